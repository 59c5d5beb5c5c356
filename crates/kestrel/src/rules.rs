//! Loading of rule files for all commands.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::eval::Compiled;
use engine::interest;
use lang::{Diagnostic, Dialect, Level, Loaded, Source, render};
use model::program::Program;

use crate::cli::DialectName;
use crate::input::Names;
use crate::{output, scripts};

/// Stands for standard input.
pub(crate) const STDIN: &str = "-";
/// What it is called in findings, before its ending.
pub(crate) const STDIN_NAME: &str = "stdin.";
/// Endings of rule files.
const EXTENSIONS: &[&str] = &["toml", "yml", "yaml"];

/// Rules, and the files that could not be read.
pub(crate) struct Rules {
    pub(crate) loaded: Loaded,
    pub(crate) unread: Vec<String>,
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
    /// Reads and compiles, scripts too; warnings that only the engine can give are added.
    pub(crate) fn load(paths: &[PathBuf], dialect: Option<DialectName>) -> Rules {
        let (texts, unread) = read(paths, EXTENSIONS);
        let mut loaded = lang::load_in(texts, dialect.map(Dialect::from).unwrap_or_default());
        scripts::prepare(&mut loaded);
        for (rule, what) in interest::unbounded(&loaded.program) {
            loaded.warn_unbounded(rule, what);
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
            output::complain(error);
        }
    }

    /// All findings as JSON.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let sources = &self.loaded.sources;
        self.loaded.diagnostics.iter().map(|found| render::json(found, sources)).collect()
    }
}

/// Shows on standard error what is wrong with a text.
pub(crate) fn show_found(name: &str, text: &str, found: Vec<Diagnostic>) -> io::Result<()> {
    let sources = [Source { name: name.to_owned(), text: text.to_owned() }];
    let mut err = anstream::stderr().lock();
    for mut one in found {
        name.clone_into(&mut one.file);
        writeln!(err, "{}\n", render::text(&one, &sources, output::color_on_stderr()))?;
    }
    Ok(())
}

/// The files below the given paths, by name; and what could not be read. A path that gives no file
/// is told too: whoever names it expects some.
pub(crate) fn read(paths: &[PathBuf], extensions: &[&str]) -> (Vec<(String, String)>, Vec<String>) {
    let (mut texts, mut unread) = (Vec::new(), Vec::new());
    for path in paths {
        if path.as_os_str() == STDIN {
            match stdin() {
                Ok(found) => texts.push(found),
                Err(error) => unread.push(format!("standard input: {error}")),
            }
            continue;
        }
        let given = std::slice::from_ref(path);
        let (found, errors) = files::read_all(given, extensions, files::Trust::Anyone);
        if found.is_empty() && errors.is_empty() {
            unread.push(nothing_in(path, extensions));
        }
        texts.extend(found.into_iter().map(|file| (file.name, file.text)));
        unread.extend(errors.iter().map(ToString::to_string));
    }
    (texts, unread)
}

fn nothing_in(path: &Path, extensions: &[&str]) -> String {
    let endings: Vec<String> = extensions.iter().map(|one| format!("*.{one}")).collect();
    format!("{}: no rule file ({})", path.display(), endings.join(", "))
}

/// Standard input as a file whose name says its format.
fn stdin() -> io::Result<(String, String)> {
    let mut text = String::new();
    io::stdin().lock().take(files::MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > files::MAX_BYTES {
        let what = format!("more than {} bytes", files::MAX_BYTES);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    let is_sigma = text.lines().any(|line| {
        ["logsource:", "detection:", "correlation:"].iter().any(|key| line.starts_with(key))
    });
    Ok((format!("{STDIN_NAME}{}", if is_sigma { "yml" } else { "toml" }), text))
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
