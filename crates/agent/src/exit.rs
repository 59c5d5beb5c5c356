//! Exit codes, each with one meaning, and the error type of commands.
//!
//! The same table, for people, is `docs/reference/exit-codes.md`; a test compares the two.

use std::fmt;
use std::io;

/// How the program ends. Numbers are part of the interface: scripts and units depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// The operation failed, or the answer is "no" (`doctor` finds nothing to observe).
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No agent runs.
    NotRunning = 3,
    /// More privilege is needed.
    Permission = 4,
    /// A rules directory or file is missing or cannot be read.
    RulesUnreadable = 66,
    /// The agent is there but does not answer.
    Unreachable = 69,
    /// A fault of the agent itself.
    Internal = 70,
    /// The kernel refused every sensor.
    NoSensors = 71,
    /// The runtime directory cannot be used.
    RuntimeDir = 73,
    /// Another agent already runs with this runtime directory.
    SecondInstance = 75,
    /// A rule is malformed.
    Config = 78,
    /// The kernel has no type information (BTF).
    NoBtf = 80,
    /// The BPF programs in the executable are not those that were built.
    Modified = 81,
}

impl Exit {
    /// All codes, in order.
    #[cfg(test)]
    pub(crate) const ALL: &'static [Exit] = &[
        Exit::Ok,
        Exit::Failed,
        Exit::Usage,
        Exit::NotRunning,
        Exit::Permission,
        Exit::RulesUnreadable,
        Exit::Unreachable,
        Exit::Internal,
        Exit::NoSensors,
        Exit::RuntimeDir,
        Exit::SecondInstance,
        Exit::Config,
        Exit::NoBtf,
        Exit::Modified,
    ];

    /// What a worker has ended with, if it would end so again at once: what is wrong is in front of
    /// the operator, who must mend it.
    pub(crate) fn if_final(code: i32) -> Option<Exit> {
        [Exit::RulesUnreadable, Exit::Config, Exit::Usage, Exit::RuntimeDir]
            .into_iter()
            .find(|exit| i32::from(*exit as u8) == code)
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// Why a command could not do its work: what happened, what to do, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How to exit.
    pub(crate) exit: Exit,
    message: String,
    help: Option<String>,
}

impl Failure {
    /// A failure with this message (what, where).
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Failure {
        self.help = Some(help.into());
        self
    }

    /// The same as another kind of failure, with a place before what happened.
    #[must_use]
    pub(crate) fn within(self, exit: Exit, place: &str) -> Failure {
        Failure { exit, message: format!("{place}: {}", self.message), help: self.help }
    }

    /// The reader of our output has gone (`aegisbpf events | head`): that is no failure.
    pub(crate) fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Writing to standard output failed. A closed pipe ends the program quietly; this is the one
/// place that decides so.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::new(Exit::Ok, "");
        }
        Failure::new(Exit::Failed, format!("cannot write the output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_and_the_help_list_exactly_these_codes() {
        let page = include_str!("../../../docs/reference/exit-codes.md");
        let (page, _) = page.split_once("# Exit codes of `kestrel`").unwrap();
        let listed: Vec<u8> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
            .collect();
        let defined: Vec<u8> = Exit::ALL.iter().map(|exit| *exit as u8).collect();
        assert_eq!(listed, defined);
        let help = crate::cli::EXITS.split([' ', ',']);
        let named: Vec<u8> = help.filter_map(|word| word.parse().ok()).collect();
        assert_eq!(named, defined);
    }

    #[test]
    fn a_closed_pipe_is_silent_and_other_errors_are_not() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(closed.is_silent() && closed.exit == Exit::Ok);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(!full.is_silent() && full.exit == Exit::Failed);
    }
}
