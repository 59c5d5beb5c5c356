//! A directory whose files are read by name and never leave it: no links, no way up, no exchange
//! between the look and the read.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::Mode;

use crate::access::{self, lent};
use crate::{MAX_DEPTH, ReadError, Trust, check_trust, check_way, shown, too_much};

/// How a way below the directory may go. A mount point below it is as good as a link.
const BENEATH: ResolveFlag = ResolveFlag::RESOLVE_BENEATH
    .union(ResolveFlag::RESOLVE_NO_SYMLINKS)
    .union(ResolveFlag::RESOLVE_NO_MAGICLINKS)
    .union(ResolveFlag::RESOLVE_NO_XDEV);
/// A pipe must not block the open, a terminal not become ours.
const READ: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

/// An open directory. Names are relative to it, with `/` between their parts.
#[derive(Debug)]
pub struct Directory {
    open: OwnedFd,
    path: PathBuf,
    trust: Trust,
}

impl Directory {
    /// Opens a directory; a link that is named itself is followed.
    pub fn open(path: &Path, trust: Trust) -> Result<Directory, ReadError> {
        check_way(path, trust)?;
        let failed = |error| access::failed(path, error);
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let own = || open(path, flags, Mode::empty()).map_err(io::Error::from);
        let open = lent(path).unwrap_or_else(own).map_err(failed)?;
        let directory = Directory { open, path: path.to_owned(), trust };
        directory.checked(path, directory.open.as_fd())?;
        Ok(directory)
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a file below it holds, at most `limit` bytes.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        let path = self.path.join(name);
        let file = File::from(self.reach(name, READ)?);
        contents(file, &path, limit, self.trust)
    }

    /// Opens a file or a directory below it for somebody else to read.
    pub fn lend(&self, name: &str) -> Result<OwnedFd, ReadError> {
        let open = self.reach(name, READ)?;
        self.checked(&self.path.join(name), open.as_fd())?;
        Ok(open)
    }

    /// The names of all files below it, hidden ones too, sorted; at most `most`. Whatever is neither
    /// a file nor a directory is an error. A directory that holds nothing is told as `name/`.
    pub fn names(&self, most: usize) -> Result<Vec<String>, ReadError> {
        let mut names = Vec::new();
        self.list("", 0, most, &mut names)?;
        names.sort_unstable();
        Ok(names)
    }

    fn list(
        &self,
        below: &str,
        depth: usize,
        most: usize,
        names: &mut Vec<String>,
    ) -> Result<(), ReadError> {
        let path = self.path.join(below);
        if depth > MAX_DEPTH {
            return Err(too_much(&path, MAX_DEPTH, "levels of directories"));
        }
        let failed = |errno: Errno| ReadError::Io { path: shown(&path), source: errno.into() };
        let open = match below {
            // Opened anew: the place in a directory belongs to the open file.
            "" => lent(&self.path)
                .unwrap_or_else(|| {
                    let flags = READ | OFlag::O_DIRECTORY;
                    Ok(openat(self.open.as_fd(), ".", flags, Mode::empty())?)
                })
                .map_err(|error| access::failed(&path, error))?,
            below => self.reach(below, READ | OFlag::O_DIRECTORY)?,
        };
        self.checked(&path, open.as_fd())?;
        let before = names.len();
        let mut directory = Dir::from_fd(open).map_err(failed)?;
        for entry in directory.iter() {
            let entry = entry.map_err(failed)?;
            if is_itself(entry.file_name()) {
                continue;
            }
            let name = joined(below, entry.file_name());
            match entry.file_type() {
                Some(Type::Directory) => self.list(&name, depth + 1, most, names)?,
                Some(Type::File) => self.tell(name, most, names)?,
                _ => return Err(ReadError::NotRegular { path: shown(&self.path.join(name)) }),
            }
        }
        if names.len() == before && depth > 0 {
            self.tell(format!("{below}/"), most, names)?;
        }
        Ok(())
    }

    fn tell(&self, name: String, most: usize, names: &mut Vec<String>) -> Result<(), ReadError> {
        if names.len() >= most {
            return Err(too_much(&self.path, most, "files"));
        }
        names.push(name);
        Ok(())
    }

    /// Opens what is below. Kernels before 5.6 and some sandboxes have no `openat2`: there each part
    /// of the way is opened by itself.
    fn reach(&self, name: &str, flags: OFlag) -> Result<OwnedFd, ReadError> {
        let path = self.path.join(name);
        if let Some(open) = lent(&path) {
            return open.map_err(|error| access::failed(&path, error));
        }
        let how = OpenHow::new().flags(flags).resolve(BENEATH);
        let opened = match openat2(self.open.as_fd(), name, how) {
            Err(Errno::ENOSYS | Errno::EPERM) => self.step_by_step(name, flags),
            opened => opened,
        };
        opened.map_err(|errno| match errno {
            Errno::ELOOP | Errno::EXDEV | Errno::ENOTDIR => {
                ReadError::NotRegular { path: shown(&path) }
            }
            errno => ReadError::Io { path: shown(&path), source: errno.into() },
        })
    }

    /// What a file holds where there is no `openat2`.
    #[cfg(test)]
    pub(crate) fn read_step_by_step(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::from(self.step_by_step(name, READ)?).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn step_by_step(&self, name: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
        let (way, last) = name.rsplit_once('/').map_or(("", name), |(way, last)| (way, last));
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Errno::EXDEV);
        }
        let mut at: Option<OwnedFd> = None;
        for part in way.split('/').filter(|part| !part.is_empty()) {
            let here = at.as_ref().map_or(self.open.as_fd(), AsFd::as_fd);
            at = Some(openat(here, part, READ | OFlag::O_DIRECTORY, Mode::empty())?);
        }
        let here = at.as_ref().map_or(self.open.as_fd(), AsFd::as_fd);
        openat(here, last, flags, Mode::empty())
    }

    fn checked(&self, path: &Path, open: BorrowedFd<'_>) -> Result<(), ReadError> {
        let failed = |source| ReadError::Io { path: shown(path), source };
        let open = File::from(open.try_clone_to_owned().map_err(failed)?);
        check_trust(path, &open.metadata().map_err(failed)?, self.trust)
    }
}

/// What one file holds, at most `limit` bytes; a link that is named itself is followed.
pub fn read_bytes(path: &Path, limit: u64, trust: Trust) -> Result<Vec<u8>, ReadError> {
    check_way(path, trust)?;
    let open = access::open(path).map_err(|error| access::failed(path, error))?;
    contents(open, path, limit, trust)
}

/// All checks are made on the open file, so nothing can be exchanged between check and use.
pub(crate) fn contents(
    file: File,
    path: &Path,
    limit: u64,
    trust: Trust,
) -> Result<Vec<u8>, ReadError> {
    let failed = |source: io::Error| ReadError::Io { path: shown(path), source };
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(ReadError::NotRegular { path: shown(path) });
    }
    check_trust(path, &about, trust)?;
    let mut bytes = Vec::new();
    // One byte more than allowed shows that there is too much.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooMuch { path: shown(path), limit, what: "bytes" });
    }
    Ok(bytes)
}

fn is_itself(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// A name that is not text is kept recognisable: nobody lists it, so it is told as one too many.
fn joined(below: &str, name: &CStr) -> String {
    let name = name.to_string_lossy();
    if below.is_empty() { name.into_owned() } else { format!("{below}/{name}") }
}

/// Reads a file that another one names: it lies beside that one or below.
pub fn read_beside(
    file: &Path,
    name: &str,
    limit: u64,
    trust: Trust,
) -> Result<Vec<u8>, ReadError> {
    if let Some(beside) = file.with_file_name(name).to_str().map(Path::new)
        && let Some(open) = lent(beside)
    {
        let open = open.map_err(|error| access::failed(beside, error))?;
        return contents(File::from(open), beside, limit, trust);
    }
    let directory = file.parent().filter(|path| !path.as_os_str().is_empty());
    Directory::open(directory.unwrap_or(Path::new(".")), trust)?.read(name, limit)
}
