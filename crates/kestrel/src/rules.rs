//! Loading of rule files for all commands.

use std::io::{self, Write};
use std::path::PathBuf;

use engine::interest;
use lang::{Level, Loaded, render};

use crate::output;

/// Rules, and the files that could not be read.
pub(crate) struct Rules {
    pub(crate) loaded: Loaded,
    pub(crate) unread: Vec<files::ReadError>,
}

impl Rules {
    /// Reads and compiles; warnings that only the engine can give are added.
    pub(crate) fn load(paths: &[PathBuf]) -> Rules {
        let (texts, unread) = files::read_all(paths, "toml", files::Trust::Anyone);
        let mut loaded = lang::load(texts.into_iter().map(|file| (file.name, file.text)));
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

    /// Number of diagnostics of a level; unread files are errors.
    pub(crate) fn count(&self, level: Level) -> usize {
        let found = self.loaded.diagnostics.iter().filter(|one| one.code.level() == level).count();
        found + if level == Level::Error { self.unread.len() } else { 0 }
    }

    /// Shows all findings on standard error.
    pub(crate) fn show(&self) -> io::Result<()> {
        let mut out = anstream::stderr().lock();
        for error in &self.unread {
            output::complain(&error.to_string());
        }
        for found in &self.loaded.diagnostics {
            let text = render::text(found, &self.loaded.sources, output::color_on_stderr());
            writeln!(out, "{text}\n")?;
        }
        Ok(())
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
