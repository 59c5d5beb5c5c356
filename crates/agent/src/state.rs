//! Which part of the state directory is whose.
//!
//! What the guard trusts lies in the state directory itself, and is root's: generations of policies, what
//! actions can be undone by, the audit log. What the worker keeps (generations of rules, the history, what
//! is known of packs) lies in `worker/own/` below it and belongs to the worker's user. Whoever runs as root
//! reads that as the word of a process without privileges, and writes nothing there.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use rustix::fs::Mode;
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use crate::exit::{Exit, Failure};

/// What is made for the worker below the state directory, and the worker's own in it.
const WORKER: [&str; 2] = ["worker", "own"];
/// Where the worker finds it, whatever leads there: it is its working directory.
pub(crate) const OWN: &str = "/proc/self/cwd";
/// Permission bits with which a group writes, or others do anything.
const LOOSE: u32 = 0o027;
/// Permission bits of anybody but the owner.
const OTHERS: u32 = 0o077;

/// What the worker keeps, seen from other processes.
pub(crate) fn of_worker(state: &Path) -> PathBuf {
    let [made, own] = WORKER;
    state.join(made).join(own)
}

/// Looks whether the state directory is root's alone, and all that lies in it. What is new may be made so:
/// a directory of whoever made it for us, without anything in it.
pub(crate) fn judge(state: &Path) -> Result<(), Failure> {
    let unusable = |error: io::Error| {
        let message = format!("cannot look at the state directory {}: {error}", state.display());
        Failure::new(Exit::RuntimeDir, message)
            .help("give another state directory: --state-dir DIR")
    };
    let Some(about) = there(fs::metadata(state)).map_err(unusable)? else { return Ok(()) };
    let own = rustix::process::geteuid().as_raw();
    let mut entries = fs::read_dir(state).map_err(unusable)?.peekable();
    if entries.peek().is_none() && about.uid() == own {
        fs::set_permissions(state, Permissions::from_mode(0o700)).map_err(unusable)?;
        return Ok(());
    }
    let entries = entries.map(|entry| entry.map(|entry| entry.path()));
    for path in std::iter::once(Ok(state.to_owned())).chain(entries) {
        let path = path.map_err(unusable)?;
        // What is removed meanwhile need not be judged.
        let Some(about) = there(fs::symlink_metadata(&path)).map_err(unusable)? else { continue };
        if about.uid() != own || (!about.is_symlink() && about.mode() & LOOSE != 0) {
            let (owner, mode, at) = (about.uid(), about.mode() & 0o7777, path.display());
            let what = format!("{at} is open to others (owner {owner}, mode {mode:o})");
            let help =
                format!("see who has used it, then `chown root {at}; chmod go-w,o-rwx {at}`");
            return Err(Failure::new(Exit::RuntimeDir, what).help(help));
        }
    }
    Ok(())
}

fn there<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Makes the worker's directory, which is the user's alone, and opens it.
pub(crate) fn prepare(state: &Path, uid: u32, gid: u32) -> Result<File, Failure> {
    let dir = of_worker(state);
    let unusable = |error: io::Error| {
        let message = format!("cannot make {} for the worker: {error}", dir.display());
        Failure::new(Exit::RuntimeDir, message)
            .help("give another state directory: --state-dir DIR")
    };
    let open = match directory(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(state, uid, gid).and_then(|()| directory(&dir))
        }
        there => there,
    };
    let open = open.map_err(unusable)?;
    let about = open.metadata().map_err(unusable)?;
    if about.uid() != uid || about.mode() & OTHERS != 0 {
        let (owner, mode, at) = (about.uid(), about.mode() & 0o7777, dir.display());
        let what = format!("{at} is not user {uid}'s alone (owner {owner}, mode {mode:o})");
        return Err(Failure::new(Exit::RuntimeDir, what).help(format!(
            "the worker keeps its state there: `chown -R {uid} {at}; chmod 0700 {at}`, or move it away"
        )));
    }
    Ok(open)
}

fn directory(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)
}

/// Nothing is given away, which would take a capability: a thread that is that user makes the directory,
/// in one that is open for a moment and lies where nobody else comes.
fn make(state: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let [made, own] = WORKER;
    let outer = state.join(made);
    DirBuilder::new().recursive(true).mode(0o700).create(&outer)?;
    let outer = directory(&outer)?;
    if !rustix::process::geteuid().is_root() {
        return Ok(rustix::fs::mkdirat(&outer, own, Mode::RWXU)?);
    }
    outer.set_permissions(Permissions::from_mode(0o1777))?;
    let as_user = || {
        set_thread_groups(&[])?;
        set_thread_gid(rustix::process::Gid::from_raw(gid))?;
        set_thread_uid(rustix::process::Uid::from_raw(uid))?;
        rustix::fs::mkdirat(&outer, own, Mode::RWXU)
    };
    let done = std::thread::scope(|scope| scope.spawn(as_user).join());
    outer.set_permissions(Permissions::from_mode(0o700))?;
    Ok(done.map_err(|_| io::Error::other("a thread has ended"))??)
}

/// Reads a file of the worker up to a limit. Where another process is asked to read it, it is no link and
/// nothing that could keep the reader waiting.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = options.read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed shows that there is too much.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_the_worker_leads_nobody_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, link) = (dir.path().join("secret"), dir.path().join("link"));
        fs::write(&secret, "secret").unwrap();
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        assert_eq!(read(&link, 100).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(read(&secret, 100).unwrap(), b"secret", "the control");
        assert!(read(&secret, 3).unwrap_err().to_string().contains("more than 3 bytes"));
    }

    #[test]
    fn state_that_others_may_change_or_read_is_refused_by_name() {
        let scratch = tempfile::tempdir().unwrap();
        let state = scratch.path().join("state");
        let mode =
            |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        judge(&state).unwrap();
        fs::create_dir(&state).unwrap();
        mode(&state, 0o777);
        judge(&state).unwrap();
        assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700, "it was new");
        let log = state.join("audit.jsonl");
        fs::write(&log, "").unwrap();
        for (bits, is_sound) in [(0o600, true), (0o640, true), (0o660, false), (0o644, false)] {
            mode(&log, bits);
            let judged = judge(&state);
            assert_eq!(judged.is_ok(), is_sound, "{bits:o}");
            if let Err(refused) = judged {
                assert!(refused.to_string().contains("audit.jsonl is open to others"), "{refused}");
            }
        }
        mode(&log, 0o600);
        mode(&state, 0o755);
        let refused = judge(&state).unwrap_err();
        assert_eq!(refused.exit, Exit::RuntimeDir);
        assert!(refused.to_string().contains("mode 755"), "{refused}");
    }

    #[test]
    fn a_directory_that_others_may_read_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        prepare(state.path(), uid, gid).unwrap();
        let dir = of_worker(state.path());
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).unwrap();
        let refused = prepare(state.path(), uid, gid).unwrap_err();
        assert_eq!(refused.exit, Exit::RuntimeDir);
        assert!(refused.to_string().contains("mode 750"), "{refused}");
    }
}
