//! The runtime directory, and the lock that keeps agents from running side by side.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::exit::{Exit, Failure};

/// Longest path of a Unix socket, its NUL included.
const SOCKET_PATH_MAX: usize = 108;

/// Name of the control socket in a runtime directory.
pub(crate) fn socket_path(dir: &Path) -> PathBuf {
    dir.join("control.sock")
}

/// Name of the socket at which the guard is asked for changes.
pub(crate) fn change_path(dir: &Path) -> PathBuf {
    dir.join("change.sock")
}

/// A runtime directory that is ours as long as this value lives.
#[derive(Debug)]
pub(crate) struct Runtime {
    dir: PathBuf,
    _lock: File,
}

impl Runtime {
    /// Creates the directory if needed, which a group may read, and takes the lock in it.
    pub(crate) fn claim(dir: &Path, readers: Option<u32>) -> Result<Runtime, Failure> {
        let unusable = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new(Exit::RuntimeDir, format!("{what} {}: {error}", dir.display()))
                .help("give a directory that can be written with --runtime-dir")
        };
        if socket_path(dir).as_os_str().len() >= SOCKET_PATH_MAX {
            return Err(unusable("cannot use", &"the path is too long for a socket"));
        }
        let is_new = !dir.exists();
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(dir)
            .and_then(|()| if is_new { chown(dir, None, readers) } else { Ok(()) })
            .map_err(|error| unusable("cannot create the runtime directory", &error))?;
        tighten(dir).map_err(|error| unusable("cannot use the runtime directory", &error))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(|error| unusable("cannot write the lock in", &error))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Runtime { dir: dir.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::AGAIN) => Err(Failure::new(
                Exit::Taken,
                format!("another agent already runs with {}", dir.display()),
            )
            .help("see `aegisbpf status`; stop that one first, or give another --runtime-dir")),
            Err(error) => Err(unusable("cannot lock", &error)),
        }
    }
}

/// Whoever can write here could put sockets of his own in place of ours. A new directory is made ours.
fn tighten(dir: &Path) -> std::io::Result<()> {
    let mode = dir.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o022 == 0 {
        return Ok(());
    }
    if dir.read_dir()?.next().is_some() {
        let what =
            format!("others can write there (mode {mode:o}): `chmod go-w {}`", dir.display());
        return Err(std::io::Error::other(what));
    }
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o750))
}

impl Drop for Runtime {
    /// The lock file stays: removing it would let two agents lock two files of the same name.
    fn drop(&mut self) {
        let socket = socket_path(&self.dir);
        if let Err(error) = std::fs::remove_file(&socket)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(socket = %socket.display(), %error, "cannot remove the control socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_agent_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Runtime::claim(dir.path(), None).unwrap();
        let second = Runtime::claim(dir.path(), None).unwrap_err();
        assert_eq!(second.exit, Exit::Taken);
        drop(first);
        Runtime::claim(dir.path(), None).unwrap();
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused_unless_it_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        };
        open();
        drop(Runtime::claim(dir.path(), None).unwrap());
        assert_eq!(dir.path().metadata().unwrap().permissions().mode() & 0o777, 0o750);
        open();
        let refused = Runtime::claim(dir.path(), None).unwrap_err();
        assert!(refused.to_string().contains("others can write there (mode 777)"), "{refused}");
    }

    #[test]
    fn an_unusable_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let failure = Runtime::claim(&file.join("below"), None).unwrap_err();
        assert_eq!(failure.exit, Exit::RuntimeDir);
        assert!(failure.to_string().contains("file/below"), "{failure}");
        let long = Runtime::claim(&dir.path().join("x".repeat(120)), None).unwrap_err();
        assert!(long.to_string().contains("too long"), "{long}");
    }
}
