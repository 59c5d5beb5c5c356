//! Quarantine: files moved aside so that nobody runs or reads them, and given back exactly as they were.
//!
//! | module | does |
//! |---|---|
//! | `refusal` | why something is not done, each reason with a code |
//! | `place` | finds a file without following links, and says what it is |
//! | `protected` | which files are never taken |
//! | `holders` | which processes have it open or run it |
//! | `meta` | owner, mode, times, extended attributes and flags: read, set, compared |
//! | `content` | digests and copies that know holes |
//! | `record` | what is written down of a file before it is touched |
//! | `take`, `restore` | the two acts |
//! | `recover` | finishes or undoes what a crash left |
//!
//! In the state directory:
//!
//! | path | holds |
//! |---|---|
//! | `quarantine/lock` | one process at a time acts here |
//! | `quarantine/ID/record.json` | what the file was, and how far the act has come |
//! | `quarantine/ID/content` | the file: the very inode where a rename can bring it here, else a copy |
//!
//! The record is there before anything happens to the file, and after everything. So whatever is cut
//! off leaves the file in its place or a record that brings it back, and whoever opens the vault next
//! settles it.

mod content;
mod holders;
mod meta;
mod place;
mod protected;
mod record;
mod recover;
mod refusal;
mod restore;
mod take;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, flock, mkdirat, openat, unlinkat,
};
use rustix::io::Errno;
use serde_json::json;

use crate::audit::Audit;

pub(crate) use place::Identity;
pub(crate) use record::Record;
pub(crate) use recover::Leftover;
pub(crate) use refusal::Refusal;
pub(crate) use take::Expected;

/// Name of the vault in the state directory.
const VAULT: &str = "quarantine";
/// Name of the file itself below its id.
const CONTENT: &str = "content";
/// How long another process may keep the vault to itself: about what a copy of the largest file takes.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// How often we look whether it has done.
const LOCK_LOOK: Duration = Duration::from_millis(10);
/// Longest id; ids are names of directories, and people type them.
const ID_MAX: usize = 64;

/// Bytes on disk of one file at most; holes are free. More would keep the guard busy for many seconds.
pub(crate) const FILE_BYTES: u64 = 1 << 30;
/// Bytes on disk of all files at most: what an operator can spare beside logs.
const VAULT_BYTES: u64 = 8 << 30;
/// Files at most; each is looked at when one more is taken.
pub(crate) const FILES: usize = 1_000;

/// What the vault takes at most, and what it never takes.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Bytes on disk of one file; holes are free.
    pub(crate) file_bytes: u64,
    /// Bytes on disk of all files.
    pub(crate) vault_bytes: u64,
    /// How many files.
    pub(crate) files: usize,
    /// Files, and directories with all that is in them, that are never taken, beside our own list.
    pub(crate) protected: Vec<PathBuf>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            file_bytes: FILE_BYTES,
            vault_bytes: VAULT_BYTES,
            files: FILES,
            protected: Vec::new(),
        }
    }
}

/// The vault of a state directory, ours alone as long as this value lives.
#[derive(Debug)]
pub(crate) struct Vault {
    dir: OwnedFd,
    path: PathBuf,
    limits: Limits,
    _lock: File,
}

impl Vault {
    /// Opens the vault, makes it if needed, and settles what a crash left: the second value tells what.
    pub(crate) fn open(
        state_dir: &Path,
        limits: Limits,
    ) -> Result<(Vault, Vec<Leftover>), Refusal> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_dir)
            .map_err(|error| Refusal::std("make the directory", state_dir, error))?;
        let state = state_dir.canonicalize();
        let state = state.map_err(|error| Refusal::std("find the directory", state_dir, error))?;
        let path = state.join(VAULT);
        let failed = |what| Refusal::io(what, &path);
        match mkdirat(CWD, &path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("make the vault")(error)),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let dir = openat(CWD, &path, flags, Mode::empty()).map_err(failed("open the vault"))?;
        let dir = File::from(dir);
        let about = dir.metadata().map_err(|error| Refusal::std("look at", &path, error))?;
        if about.uid() != rustix::process::geteuid().as_raw() || about.mode() & 0o077 != 0 {
            return Err(Refusal::OpenVault(path));
        }
        let lock = lock(&dir, &path)?;
        let vault = Vault { dir: dir.into(), path, limits, _lock: lock };
        let leftovers = vault.recover()?;
        Ok((vault, leftovers))
    }

    /// The records of all files that are in quarantine, and the ids that have none that can be read.
    pub(crate) fn list(&self) -> Result<(Vec<Record>, Vec<String>), Refusal> {
        let (mut records, mut unreadable) = (Vec::new(), Vec::new());
        for id in self.ids()? {
            match self.cell(&id).and_then(|cell| Record::read(&cell, &id)) {
                Ok(record) => records.push(record),
                Err(_) => unreadable.push(id),
            }
        }
        records.sort_by(|a, b| (a.taken_at, &a.id).cmp(&(b.taken_at, &b.id)));
        Ok((records, unreadable))
    }

    /// Names of the directories in the vault.
    fn ids(&self) -> Result<Vec<String>, Refusal> {
        let failed = Refusal::io("list", &self.path);
        let names = |dir: Dir| -> Result<Vec<String>, Errno> {
            let mut ids = Vec::new();
            for entry in dir {
                if let Ok(name) = entry?.file_name().to_str()
                    && name != "lock"
                    && is_id(name)
                {
                    ids.push(name.to_owned());
                }
            }
            Ok(ids)
        };
        Dir::read_from(&self.dir).and_then(names).map_err(failed)
    }

    /// The directory of one file.
    fn cell(&self, id: &str) -> Result<OwnedFd, Refusal> {
        if !is_id(id) {
            return Err(Refusal::BadId(id.to_owned()));
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        match openat(&self.dir, id, flags, Mode::empty()) {
            Ok(cell) => Ok(cell),
            Err(Errno::NOENT) => Err(Refusal::Unknown(id.to_owned())),
            Err(error) => Err(Refusal::io("open", &self.path.join(id))(error)),
        }
    }

    /// Removes what is left of a file that is no longer here. The content must be gone or of no use.
    fn remove(&self, id: &str) -> Result<(), Refusal> {
        let cell = self.cell(id)?;
        for name in [CONTENT, record::NAME, record::NEW] {
            match unlinkat(&cell, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => {
                    return Err(Refusal::io("remove", &self.path.join(id).join(name))(error));
                }
            }
        }
        unlinkat(&self.dir, id, AtFlags::REMOVEDIR)
            .and_then(|()| rustix::fs::fsync(&self.dir))
            .map_err(Refusal::io("remove", &self.path.join(id)))
    }
}

/// Whether a file is in quarantine by this id, as far as its directory tells.
pub(crate) fn has(state: &Path, id: &str) -> bool {
    is_id(id) && state.join(VAULT).join(id).exists()
}

/// Why a file is one that is never taken, and so never denied to all; none if it is not.
pub(crate) fn protects(path: &Path, state: &Path, more: &[PathBuf]) -> Option<String> {
    let about = std::fs::metadata(path).ok()?;
    protected::why(path, Identity::of(&about), state, more)
        .map(|why| format!("{} is protected: {why}", path.display()))
}

/// Opens the vault; what a crash left is written into the audit log, and returned for people.
pub(crate) fn settle(
    state: &Path,
    limits: Limits,
    audit: &Audit,
) -> Result<(Vault, Vec<String>), Refusal> {
    let (vault, leftovers) = Vault::open(state, limits)?;
    let mut messages = Vec::new();
    for Leftover { id, path, code, message } in leftovers {
        messages.push(format!("{id} {path}: {message}"));
        let about = json!({ "id": id, "path": path, "code": code, "message": message });
        audit.note("quarantine-settled", about);
    }
    Ok((vault, messages))
}

/// Whether there ever was a file in quarantine.
pub(crate) fn is_there(state: &Path) -> bool {
    state.join(VAULT).exists()
}

/// The same for an agent that starts, if there is anything to settle.
pub(crate) fn settle_at_start(state: &Path, audit: &Audit) {
    if !is_there(state) {
        return;
    }
    if let Err(refusal) = settle(state, Limits::default(), audit) {
        tracing::error!(code = refusal.code(), %refusal, "the quarantine cannot be looked at");
    }
}

/// Waits until no other process acts on the vault.
fn lock(dir: &File, path: &Path) -> Result<File, Refusal> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = openat(dir, "lock", flags, Mode::RUSR | Mode::WUSR)
        .map_err(Refusal::io("open the lock of", path))?;
    let start = Instant::now();
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock.into()),
            Err(Errno::AGAIN) if start.elapsed() < LOCK_WAIT => std::thread::sleep(LOCK_LOOK),
            Err(Errno::AGAIN) => return Err(Refusal::Busy(path.to_owned())),
            Err(error) => return Err(Refusal::io("lock", path)(error)),
        }
    }
}

/// Whether this can be the name of a directory in the vault.
fn is_id(id: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=ID_MAX).contains(&id.len()) && id.as_bytes().iter().all(plain)
}

/// A path for people.
fn shown(path: &Path) -> String {
    model::escape::escaped(&String::from_utf8_lossy(path.as_os_str().as_bytes()))
}
