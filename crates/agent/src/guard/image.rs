//! What a process executes, as `/proc` shows it.
//!
//! `/proc/PID/exe` is that of the first thread, and gone with it; the others may go on for as long as they like. So
//! where the first shows nothing, they are asked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::libc;

/// Threads of a process that are asked; who has more has some among these that go on.
const THREADS_MAX: usize = 4_096;

/// Where the file is shown that a process or thread executes. None if it executes none: it is ending, or is of
/// the kernel. An error if that cannot be seen.
pub(crate) fn image(pid: u32) -> io::Result<Option<PathBuf>> {
    let first = PathBuf::from(format!("/proc/{pid}/exe"));
    if is_there(&first)? {
        return Ok(Some(first));
    }
    let threads = match fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(threads) => threads,
        Err(error) => return unless_gone(error).map(|()| None),
    };
    for thread in threads.filter_map(Result::ok).take(THREADS_MAX) {
        let path = thread.path().join("exe");
        if is_there(&path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The name of that file; none as well if it cannot be seen.
pub(crate) fn executable(pid: u32) -> Option<PathBuf> {
    fs::read_link(image(pid).ok()??).ok()
}

/// Whether there is a file behind a link of `/proc`.
fn is_there(link: &Path) -> io::Result<bool> {
    fs::metadata(link).map_or_else(|error| unless_gone(error).map(|()| false), |_| Ok(true))
}

/// Whoever ends takes his links with him.
fn unless_gone(error: io::Error) -> io::Result<()> {
    let is_gone = [libc::ENOENT, libc::ESRCH].map(Some).contains(&error.raw_os_error());
    if is_gone { Ok(()) } else { Err(error) }
}
