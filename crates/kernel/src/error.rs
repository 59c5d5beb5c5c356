//! What can go wrong with the kernel half; the agent maps the variants to exit codes.

use std::io;
use std::path::PathBuf;

/// An error of the kernel half: what failed, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(clippy::error_impl_error, reason = "it is the one error of the crate, known by its path")]
pub enum Error {
    /// The kernel was built without type information.
    #[error("{} is missing: this kernel was built without BTF; use a kernel with CONFIG_DEBUG_INFO_BTF=y (all current distribution kernels have it)", path.display())]
    NoBtf {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The process may not load BPF programs.
    #[error(
        "no privilege to {what}: {source}; run as root, or grant CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_SYS_ADMIN"
    )]
    NoPrivilege {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The embedded object was refused as a whole.
    #[error(
        "cannot load the BPF programs: {reason}; please report this with the output of `uname -r`"
    )]
    Load {
        /// The last words of the loader.
        reason: String,
    },
    /// An embedded object is not what was built, or not what was signed.
    #[error(
        "the BPF programs in this executable were modified: {reason}; install the package again"
    )]
    Modified {
        /// What differs.
        reason: String,
    },
    /// A program that everything needs was refused.
    #[error("the kernel refused the BPF program {program}: {reason}")]
    Refused {
        /// Name of the program.
        program: String,
        /// What the kernel or the verifier said.
        reason: String,
    },
    /// A map of the object could not be used.
    #[error("BPF map {map}: {reason}")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// What happened.
        reason: String,
    },
    /// Tables of a policy that cannot be put in force; what was in force before stays.
    #[error("the tables of the policy cannot be put in force: {reason}")]
    Tables {
        /// What is wrong with them.
        reason: String,
    },
    /// An operation of the operating system failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// An operation of the operating system that failed.
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Error {
        Error::Io { what: what.into(), source }
    }

    /// A map that failed.
    pub(crate) fn map(map: &'static str, reason: &impl ToString) -> Error {
        Error::Map { map, reason: reason.to_string() }
    }
}
