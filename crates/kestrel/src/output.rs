//! Where output goes, in colour if a terminal reads it and `NO_COLOR` is not set.

use std::io::{self, Write};
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nothing is wrong.
    Fine,
    /// The answer is no: rules with errors, tests that failed.
    Findings,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Fine => ExitCode::SUCCESS,
            Status::Findings => ExitCode::FAILURE,
        }
    }
}

/// Writes one JSON document to standard output.
pub(crate) fn json(document: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, document)?;
    writeln!(out)
}

/// Says on standard error what went wrong.
pub(crate) fn complain(message: &str) {
    // Standard error is the last resort; if it fails, the exit status still tells.
    _ = writeln!(anstream::stderr(), "{}error:{} {message}", style::BAD, style::BAD.render_reset());
}

/// Says on standard error what is worth knowing.
pub(crate) fn note(message: &str) {
    _ = writeln!(anstream::stderr(), "{message}");
}

/// Whether standard error shows colours.
pub(crate) fn color_on_stderr() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// The few styles in use.
pub(crate) mod style {
    use anstyle::{AnsiColor, Style};

    /// What failed.
    pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
    /// What is in order.
    pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
    /// Names.
    pub(crate) const NAME: Style = Style::new().bold();
}
