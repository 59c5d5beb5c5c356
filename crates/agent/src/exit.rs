//! Exit codes, each with one meaning, and the error type of commands.
//!
//! The same table, for people, is `docs/reference/exit-codes.md`; a test compares the two.

use std::error::Error;
use std::fmt;
use std::io;
use std::iter::successors;

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
    /// Others have what was asked for: the runtime directory, or all places at the control socket.
    Taken = 75,
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
        Exit::Taken,
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

    /// That this cannot be done, and why. Whoever may not do it is told so.
    pub(crate) fn cannot(what: &str, error: &(dyn Error + 'static)) -> Failure {
        let message = format!("cannot {what}: {error}");
        let is_denied = |error: &(dyn Error + 'static)| {
            let error = error.downcast_ref::<io::Error>();
            error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        };
        if successors(Some(error), |error| (*error).source()).any(is_denied) {
            return Failure::new(Exit::Permission, message).help("run it with sudo");
        }
        Failure::new(Exit::Failed, message)
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
    fn who_may_not_do_it_is_told_so() {
        let refused = io::Error::from_raw_os_error(nix::libc::EACCES);
        let failure = Failure::cannot("read a", &refused);
        assert_eq!(failure.exit, Exit::Permission);
        assert!(failure.to_string().ends_with("help: run it with sudo"), "{failure}");
        let nested = files::ReadError::Io { path: "a".to_owned(), source: refused };
        assert_eq!(Failure::cannot("read a", &nested).exit, Exit::Permission, "as a cause, too");
        let other = io::Error::from_raw_os_error(nix::libc::EIO);
        assert_eq!(Failure::cannot("read a", &other).exit, Exit::Failed);
    }

    #[test]
    fn a_closed_pipe_is_silent_and_other_errors_are_not() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(closed.is_silent() && closed.exit == Exit::Ok);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(!full.is_silent() && full.exit == Exit::Failed);
    }
}
