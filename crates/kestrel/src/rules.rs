//! Loading of rule files for all commands.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use engine::eval::Compiled;
use engine::interest;
use lang::{Dialect, Level, Loaded, render};
use model::program::Program;

use crate::cli::DialectName;
use crate::input::Names;
use crate::output;

/// Endings of rule files.
const EXTENSIONS: &[&str] = &["toml", "yml", "yaml"];

/// Rules, and the files that could not be read.
pub(crate) struct Rules {
    pub(crate) loaded: Loaded,
    pub(crate) unread: Vec<files::ReadError>,
}

impl From<DialectName> for Dialect {
    fn from(name: DialectName) -> Dialect {
        match name {
            DialectName::Elastic => Dialect::Elastic,
            DialectName::Endpoint => Dialect::Endpoint,
            DialectName::Classic => Dialect::Classic,
        }
    }
}

impl Rules {
    /// Reads and compiles; warnings that only the engine can give are added.
    pub(crate) fn load(paths: &[PathBuf], dialect: Option<DialectName>) -> Rules {
        let (texts, unread) = files::read_any(paths, EXTENSIONS, files::Trust::Anyone);
        let texts = texts.into_iter().map(|file| (file.name, file.text));
        let mut loaded = lang::load_in(texts, dialect.map(Dialect::from).unwrap_or_default());
        for (rule, what) in interest::unbounded(&loaded.program) {
            loaded.warn_unbounded(
                rule,
                match what {
                    interest::Unbounded::Files => lang::Unbounded::Files,
                    interest::Unbounded::Environment => lang::Unbounded::Environment,
                },
            );
        }
        Rules { loaded, unread }
    }

    /// Made ready to run; what keeps it from that is said on standard error.
    pub(crate) fn compile(&self) -> Option<Arc<Compiled>> {
        compile(self.loaded.program.clone())
    }

    /// Number of diagnostics of a level; unread files are errors.
    pub(crate) fn count(&self, level: Level) -> usize {
        let found = self.loaded.diagnostics.iter().filter(|one| one.code.level() == level).count();
        found + if level == Level::Error { self.unread.len() } else { 0 }
    }

    /// Shows all findings on standard error.
    pub(crate) fn show(&self) -> io::Result<()> {
        self.show_from(Level::Warning)
    }

    /// Shows what keeps rules from running; other findings are for `check`.
    pub(crate) fn show_errors(&self) -> io::Result<()> {
        self.show_from(Level::Error)
    }

    fn show_from(&self, least: Level) -> io::Result<()> {
        self.show_unread();
        let mut out = anstream::stderr().lock();
        // The order of levels is from bad to less bad.
        let wanted = self.loaded.diagnostics.iter().filter(|one| one.code.level() <= least);
        for found in wanted {
            let text = render::text(found, &self.loaded.sources, output::color_on_stderr());
            writeln!(out, "{text}\n")?;
        }
        Ok(())
    }

    /// Says which files could not be read.
    pub(crate) fn show_unread(&self) {
        for error in &self.unread {
            output::complain(&error.to_string());
        }
    }

    /// All findings as JSON.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let sources = &self.loaded.sources;
        self.loaded.diagnostics.iter().map(|found| render::json(found, sources)).collect()
    }

    /// Unread files as JSON.
    pub(crate) fn unread_json(&self) -> Vec<String> {
        self.unread.iter().map(ToString::to_string).collect()
    }
}

/// A program made ready to run; what keeps it from that is said on standard error.
pub(crate) fn compile(program: Program) -> Option<Arc<Compiled>> {
    match Compiled::new(Arc::new(program)) {
        Ok(compiled) => Some(Arc::new(compiled)),
        Err(error) => {
            output::complain(&error.to_string());
            None
        }
    }
}

/// The names that the rules ask for.
pub(crate) fn names(compiled: &Compiled) -> Arc<Names> {
    let wanted = engine::reads(compiled.program());
    Arc::new(Names::new(&compiled.program().fields, |id| wanted.contains(&id)))
}
