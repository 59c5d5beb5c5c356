//! What a process executes, as `/proc` shows it.
//!
//! `/proc/PID/exe` is that of the first thread, and gone with it; the others may go on for as long as they like. So
//! where the first shows nothing, they are asked.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use nix::libc;

/// Threads of a process that are asked; who has more has some among these that go on.
const THREADS_MAX: usize = 4_096;

/// What the file is that a process or thread executes. None if it executes none: it is ending, or is of the kernel.
/// An error if that cannot be seen.
pub(crate) fn image(pid: u32) -> io::Result<Option<Metadata>> {
    shown(pid, |link| fs::metadata(link))
}

/// The name of that file; none as well if it cannot be seen.
pub(crate) fn executable(pid: u32) -> Option<PathBuf> {
    shown(pid, |link| fs::read_link(link)).ok()?
}

/// Looks at the link of the process, and, where that shows nothing, at those of its threads.
fn shown<T>(pid: u32, look: impl Fn(&Path) -> io::Result<T>) -> io::Result<Option<T>> {
    let first = look(format!("/proc/{pid}/exe").as_ref());
    if let Some(found) = unless_gone(first)? {
        return Ok(Some(found));
    }
    let threads = unless_gone(fs::read_dir(format!("/proc/{pid}/task")))?;
    for thread in threads.into_iter().flatten().filter_map(Result::ok).take(THREADS_MAX) {
        if let Some(found) = unless_gone(look(&thread.path().join("exe")))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Whoever ends takes his links with him.
fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if [libc::ENOENT, libc::ESRCH].map(Some).contains(&error.raw_os_error()) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
