//! Groups of fanotify that are asked before a file is opened, executed or read, and inotify, which
//! tells of new names in a directory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{read, write};

use crate::error::Error;
use crate::source::sys;

/// Asked before the content is used; the thread that asks, not its process. Marks have no bound of
/// the kernel's: there is one of ours.
const FLAGS: u32 = libc::FAN_CLASS_CONTENT
    | libc::FAN_CLOEXEC
    | libc::FAN_NONBLOCK
    | libc::FAN_UNLIMITED_MARKS
    | libc::FAN_UNLIMITED_QUEUE
    | libc::FAN_REPORT_TID;
/// Bytes of `struct fanotify_event_metadata`.
const EVENT_BYTES: usize = 24;
/// Bytes of `struct inotify_event` before the name.
const NOTICE_BYTES: usize = 16;

/// What can be asked.
pub(super) const OPEN: u64 = libc::FAN_OPEN_PERM;
pub(super) const EXECUTE: u64 = libc::FAN_OPEN_EXEC_PERM;
pub(super) const READ: u64 = libc::FAN_ACCESS_PERM;

/// What a mark is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum On {
    /// One file, by whatever name.
    File,
    /// The files in a directory, by their names there.
    Children,
    /// A whole filesystem.
    Filesystem,
}

/// A question: somebody waits for the answer.
#[derive(Debug)]
pub(super) struct Asked {
    /// The file, open.
    pub(super) file: OwnedFd,
    /// The thread that waits.
    pub(super) tid: u32,
    /// What it wants.
    pub(super) mask: u64,
}

/// A group that is asked.
#[derive(Debug)]
pub(super) struct Group {
    fd: OwnedFd,
}

impl Group {
    pub(super) fn new() -> Result<Group, Error> {
        let fd = sys::fanotify_init(FLAGS);
        let fd = fd.map_err(|error| Error::io("make a fanotify group that is asked", error))?;
        Ok(Group { fd })
    }

    /// Adds events to a mark. What is gone already needs none.
    pub(super) fn mark(&self, on: On, mask: u64, path: &Path) -> io::Result<()> {
        let (flags, mask) = match on {
            On::File => (libc::FAN_MARK_INODE | libc::FAN_MARK_DONT_FOLLOW, mask),
            On::Children => (
                libc::FAN_MARK_INODE | libc::FAN_MARK_DONT_FOLLOW | libc::FAN_MARK_ONLYDIR,
                mask | libc::FAN_EVENT_ON_CHILD,
            ),
            On::Filesystem => (libc::FAN_MARK_FILESYSTEM, mask),
        };
        match sys::fanotify_mark(self.fd.as_fd(), libc::FAN_MARK_ADD | flags, mask, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Takes the question that waits for longest. One alone: who is taken and not answered yet can be
    /// answered by nobody else.
    pub(super) fn question(&self) -> Result<Option<Asked>, Error> {
        let mut event = [0; EVENT_BYTES];
        match read(&self.fd, &mut event) {
            Ok(_) => Ok(question(&event)),
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(None),
            Err(error) => Err(Error::io("read a fanotify event", error.into())),
        }
    }

    /// Takes all marks away: nobody is asked about any more, who waits still does.
    pub(super) fn forget(&self) -> io::Result<()> {
        for kind in [libc::FAN_MARK_INODE, libc::FAN_MARK_FILESYSTEM] {
            sys::fanotify_mark(self.fd.as_fd(), libc::FAN_MARK_FLUSH | kind, 0, Path::new("/"))?;
        }
        Ok(())
    }

    /// Answers: the process goes on, or its call fails with `EPERM`.
    pub(super) fn answer(&self, asked: &Asked, allow: bool) -> Result<(), Error> {
        answer(self.fd.as_fd(), asked.file.as_raw_fd(), allow)
    }

    /// Answers a question by the number of its descriptor.
    pub(super) fn answer_number(&self, number: i32, allow: bool) -> Result<(), Error> {
        answer(self.fd.as_fd(), number, allow)
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn answer(group: BorrowedFd<'_>, number: i32, allow: bool) -> Result<(), Error> {
    let verdict = if allow { libc::FAN_ALLOW } else { libc::FAN_DENY };
    let response = [number.to_ne_bytes(), verdict.to_ne_bytes()].concat();
    match write(group, &response) {
        // Somebody else has answered, or the process was killed while it waited.
        Ok(_) | Err(nix::Error::ENOENT) => Ok(()),
        Err(error) => Err(Error::io("answer a fanotify event", error.into())),
    }
}

fn question(bytes: &[u8]) -> Option<Asked> {
    let mask = u64::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
    let file = sys::adopt(i32::from_ne_bytes(*bytes.get(16..)?.first_chunk()?))?;
    let tid = i32::from_ne_bytes(*bytes.get(20..)?.first_chunk()?);
    Some(Asked { file, tid: u32::try_from(tid).ok()?, mask })
}

/// Tells of new names in directories.
#[derive(Debug)]
pub(super) struct News {
    fd: OwnedFd,
    directories: std::collections::BTreeMap<i32, PathBuf>,
}

impl News {
    pub(super) fn new() -> Result<News, Error> {
        let fd = sys::inotify_init().map_err(|error| Error::io("make an inotify group", error))?;
        Ok(News { fd, directories: std::collections::BTreeMap::new() })
    }

    /// Watches a directory.
    pub(super) fn watch(&mut self, directory: &Path) -> io::Result<()> {
        const MASK: u32 =
            libc::IN_CREATE | libc::IN_MOVED_TO | libc::IN_ONLYDIR | libc::IN_DONT_FOLLOW;
        let number = sys::inotify_watch(self.fd.as_fd(), MASK, directory)?;
        self.directories.insert(number, directory.to_owned());
        Ok(())
    }

    /// The new names since the last call; none if some were lost, so that all must be looked for.
    pub(super) fn names(&mut self) -> Result<Option<Vec<PathBuf>>, Error> {
        let mut buffer = vec![0; 64 << 10];
        let mut names = Vec::new();
        loop {
            let taken = match read(&self.fd, &mut buffer) {
                Ok(taken) => taken,
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(Some(names)),
                Err(error) => return Err(Error::io("read inotify events", error.into())),
            };
            let mut rest = buffer.get(..taken).unwrap_or_default();
            while let Some((name, number, mask, behind)) = notice(rest) {
                if mask & libc::IN_Q_OVERFLOW != 0 {
                    return Ok(None);
                }
                names.extend(self.directories.get(&number).map(|of| of.join(name)));
                if mask & libc::IN_IGNORED != 0 {
                    self.directories.remove(&number);
                }
                rest = behind;
            }
        }
    }
}

impl AsFd for News {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The first of some notices: name, directory, mask, and the notices behind it.
fn notice(bytes: &[u8]) -> Option<(&std::ffi::OsStr, i32, u32, &[u8])> {
    use std::os::unix::ffi::OsStrExt;
    let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let number = i32::from_ne_bytes(*bytes.first_chunk()?);
    let length = usize::try_from(word(12)?).ok()?;
    let name = bytes.get(NOTICE_BYTES..NOTICE_BYTES + length)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let behind = bytes.get(NOTICE_BYTES + length..)?;
    Some((std::ffi::OsStr::from_bytes(name), number, word(4)?, behind))
}
