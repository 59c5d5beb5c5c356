//! Where files are opened: by this process, or by one that may read more and lends what it opened.
//!
//! Whoever lends has judged the way there; what was opened is judged here like everything else.

use std::ffi::{CStr, OsStr};
use std::fmt::Debug;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag, open as open_file};
use nix::libc;
use nix::sys::stat::{Mode, fstatat};

use crate::{MAX_ENTRIES, ReadError, Trust, check_way, shown};

/// A pipe must not block the open, a terminal not become ours. A link that is named itself is followed.
const READ: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_CLOEXEC).union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

/// Opens files for a process that may not do so itself.
pub trait Opener: Debug + Send + Sync {
    /// Whether this is one of those; what is not is opened by the process itself.
    fn serves(&self, path: &Path) -> bool;
    /// Opens a file or a directory for reading, if it is one that the process is to read. The error may
    /// hold a [`ReadError`], which is told as it is.
    fn open(&self, path: &Path) -> io::Result<OwnedFd>;
}

static OPENER: OnceLock<Box<dyn Opener>> = OnceLock::new();

/// From now on files are opened so in this process, until it ends; false if somebody said so before.
pub fn open_by(opener: Box<dyn Opener>) -> bool {
    OPENER.set(opener).is_ok()
}

/// Whether somebody opens files for this process, and so has judged the way to them.
pub(crate) fn is_lent() -> bool {
    OPENER.get().is_some()
}

/// What the opener says, if this is opened by one.
pub(crate) fn lent(path: &Path) -> Option<io::Result<OwnedFd>> {
    let opener = OPENER.get().filter(|opener| opener.serves(path))?;
    Some(opener.open(path))
}

/// Opens a file or a directory that was named, for a process that may not do so itself. Nobody but root
/// and we may be able to put another thing in its place.
pub fn lend(path: &Path) -> Result<OwnedFd, ReadError> {
    check_way(path, Trust::Owner)?;
    open(path).map(OwnedFd::from).map_err(|error| failed(path, error))
}

/// Why something was not read.
pub(crate) fn failed(path: &Path, error: io::Error) -> ReadError {
    match error.downcast::<ReadError>() {
        Ok(refused) => refused,
        Err(source) => ReadError::Io { path: shown(path), source },
    }
}

/// Opens a file or a directory for reading, whoever can write it.
pub fn open(path: &Path) -> io::Result<File> {
    let own = || open_file(path, READ, Mode::empty()).map_err(io::Error::from);
    lent(path).unwrap_or_else(own).map(File::from)
}

/// What is known of a file or a directory.
pub fn metadata(path: &Path) -> io::Result<Metadata> {
    match lent(path) {
        Some(open) => File::from(open?).metadata(),
        None => fs::metadata(path),
    }
}

/// Whether something is there that may be read.
pub fn exists(path: &Path) -> bool {
    metadata(path).is_ok()
}

/// Where it really is, links followed.
pub fn real(path: &Path) -> io::Result<PathBuf> {
    match lent(path) {
        Some(open) => {
            // It stays open while it is asked after.
            let open = open?;
            fs::read_link(format!("/proc/self/fd/{}", open.as_raw_fd()))
        }
        None => fs::canonicalize(path),
    }
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, whatever it points to.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

impl Kind {
    fn of(entry: Type) -> Kind {
        match entry {
            Type::File => Kind::File,
            Type::Directory => Kind::Directory,
            Type::Symlink => Kind::Link,
            _ => Kind::Other,
        }
    }
}

/// What an entry is, by looking at it.
fn looked(within: &OwnedFd, name: &CStr) -> io::Result<Kind> {
    let about = fstatat(within, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(match about.st_mode & libc::S_IFMT {
        libc::S_IFREG => Kind::File,
        libc::S_IFDIR => Kind::Directory,
        libc::S_IFLNK => Kind::Link,
        _ => Kind::Other,
    })
}

/// The visible entries of a directory, unsorted; `None` if there are more than [`MAX_ENTRIES`].
pub fn list(path: &Path) -> io::Result<Option<Vec<(PathBuf, Kind)>>> {
    let mut directory = Dir::from_fd(OwnedFd::from(open(path)?))?;
    let within = directory.as_fd().try_clone_to_owned()?;
    let mut all = Vec::new();
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().starts_with(b".") {
            continue;
        }
        if all.len() == MAX_ENTRIES {
            return Ok(None);
        }
        let said = entry.file_type().map(Kind::of);
        // Some file systems do not say it in their directories.
        let kind = said.map_or_else(|| looked(&within, name), Ok)?;
        all.push((path.join(OsStr::from_bytes(name.to_bytes())), kind));
    }
    Ok(Some(all))
}
