//! Why a file is not taken or not given back. Each reason has a code, and says what to do.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::shown;

/// A reason.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The path is not whole, or has `..` in it.
    #[error("{}: the path must begin with / and have no .. in it", shown(.0))]
    NotPlain(PathBuf),
    /// The root directory.
    #[error("/ is never taken")]
    Root,
    /// There is a link on the way, or the file is one.
    #[error("{}: leads through a symbolic link; give the path that it leads to", shown(.0))]
    Link(PathBuf),
    /// The directory is not there.
    #[error("{}: its directory is gone; make it again, or give another path", shown(.0))]
    ParentGone(PathBuf),
    /// The directory lets nobody change its names.
    #[error("{}: its directory is immutable or append-only; see chattr(1)", shown(.0))]
    ParentFixed(PathBuf),
    /// There is no such file.
    #[error("{}: there is no such file", shown(.0))]
    NoFile(PathBuf),
    /// It is no regular file.
    #[error("{}: is a {kind}; only regular files are taken", shown(.path))]
    NotRegular {
        /// Where.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The kernel makes it up.
    #[error("{}: is on a filesystem that holds no files ({name}); nothing is there to be taken", shown(.path))]
    Pseudo {
        /// Where.
        path: PathBuf,
        /// Which filesystem.
        name: &'static str,
    },
    /// It comes from another machine or from a process, which could keep the guard waiting.
    #[error("{}: is on {name}, which could keep the agent waiting; take it where the file is", shown(.path))]
    Foreign {
        /// Where.
        path: PathBuf,
        /// Which filesystem.
        name: &'static str,
    },
    /// Another file has its name.
    #[error("{}: is not the file that was meant: {why}; look again", shown(.path))]
    Replaced {
        /// Where.
        path: PathBuf,
        /// What differs.
        why: String,
    },
    /// The host needs it.
    #[error("{}: is protected: {why}", shown(.path))]
    Protected {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It is larger than the vault takes.
    #[error("{}: has {bytes} bytes on disk, the limit is {limit}", shown(.path))]
    TooLarge {
        /// Where.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The vault is full.
    #[error("the quarantine is full: {0}; restore or delete what is in it")]
    Full(String),
    /// It has other names, and the vault is on another filesystem.
    #[error("{}: has {links} names on a filesystem that the quarantine is not on: the others would still lead to it; take them all away, or deny it", shown(.path))]
    HardLinked {
        /// Where.
        path: PathBuf,
        /// How many names.
        links: u64,
    },
    /// Somebody wrote to it meanwhile.
    #[error("{}: changed {when}; {}", shown(.path), .help)]
    Changed {
        /// Where.
        path: PathBuf,
        /// When.
        when: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// Something else has its name.
    #[error("{}: something else has this name now; move it away, or give another path", shown(.0))]
    NameTaken(PathBuf),
    /// The filesystem does not keep what the file had.
    #[error("{}: cannot be as it was there: {what}; it stays in quarantine", shown(.path))]
    Unlike {
        /// Where.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// More extended attributes than are kept.
    #[error("{}: has more than {limit} bytes of extended attributes", shown(.path))]
    Attributes {
        /// Where.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// No id.
    #[error("{0:?} is no id: letters, digits, - and _, at most 64")]
    BadId(String),
    /// An id that is in use.
    #[error("{0}: a file of this id is in quarantine already")]
    IdTaken(String),
    /// An id that is not in use.
    #[error("{0}: no file of this id is in quarantine; see `aegisbpf quarantine list`")]
    Unknown(String),
    /// A record that says nothing.
    #[error("{id}: its record cannot be used: {why}; what is there is left as it is")]
    Record {
        /// Which.
        id: String,
        /// Why not.
        why: String,
    },
    /// Others could get at the vault.
    #[error("{}: belongs to another user or is open to others; `chown root` and `chmod 700` it", shown(.0))]
    OpenVault(PathBuf),
    /// Somebody else acts on the vault.
    #[error("{}: another process acts on it; try again", shown(.0))]
    Busy(PathBuf),
    /// What this process sees there cannot be written, whatever others see.
    #[error("{}: is read-only for this process; in the agent's unit that is its sandbox, which /usr/share/doc/aegisbpf/examples/quarantine.conf opens", shown(.0))]
    ReadOnly(PathBuf),
    /// The system refused something.
    #[error("cannot {what} {}: {source}", shown(.path))]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Refusal {
    /// The reason as a word that programs can rely on.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Refusal::NotPlain(_) => "path-not-plain",
            Refusal::Root => "root",
            Refusal::Link(_) => "through-link",
            Refusal::ParentGone(_) => "parent-gone",
            Refusal::ParentFixed(_) => "parent-fixed",
            Refusal::NoFile(_) => "no-file",
            Refusal::NotRegular { .. } => "not-regular",
            Refusal::Pseudo { .. } => "pseudo-filesystem",
            Refusal::Foreign { .. } => "foreign-filesystem",
            Refusal::Replaced { .. } => "replaced",
            Refusal::Protected { .. } => "protected",
            Refusal::TooLarge { .. } => "too-large",
            Refusal::Full(_) => "quarantine-full",
            Refusal::HardLinked { .. } => "hard-linked",
            Refusal::Changed { .. } => "changed",
            Refusal::NameTaken(_) => "name-taken",
            Refusal::Unlike { .. } => "unlike",
            Refusal::Attributes { .. } => "attributes",
            Refusal::BadId(_) => "bad-id",
            Refusal::IdTaken(_) => "id-taken",
            Refusal::Unknown(_) => "unknown-id",
            Refusal::Record { .. } => "record",
            Refusal::OpenVault(_) => "open-vault",
            Refusal::Busy(_) => "busy",
            Refusal::ReadOnly(_) => "read-only",
            Refusal::Io { .. } => "io",
        }
    }

    /// A system call that failed.
    pub(super) fn io(what: &'static str, path: &Path) -> impl Fn(Errno) -> Refusal + use<> {
        let path = path.to_owned();
        move |error| match error {
            Errno::ROFS => Refusal::ReadOnly(path.clone()),
            error => Refusal::Io { what, path: path.clone(), source: error.into() },
        }
    }

    /// The same as the standard library tells it.
    pub(super) fn std(what: &'static str, path: &Path, source: io::Error) -> Refusal {
        Refusal::Io { what, path: path.to_owned(), source }
    }
}
