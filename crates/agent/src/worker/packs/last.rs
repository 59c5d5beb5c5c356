//! The last good version of each pack, as one file in the state directory. It is judged like any other
//! when it is read: a key that was revoked meanwhile takes it out, too.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ::packs::limits::MAX_PACK;
use ::packs::{Code, Compiled, FILE, Refusal, Sha256, Untrusted};

use super::find::Found;

/// The directory below the state directory.
const DIRECTORY: &str = "packs";

/// What is kept.
#[derive(Debug)]
pub(super) struct Last {
    directory: PathBuf,
}

impl Last {
    /// Of a state directory, which need not exist.
    pub(super) fn at(state: &Path) -> Last {
        Last { directory: state.join(DIRECTORY) }
    }

    /// The file for the pack at a path.
    fn file(&self, path: &Path) -> PathBuf {
        let name = Sha256::of(path.as_os_str().as_bytes());
        self.directory.join(format!("{name}.{FILE}"))
    }

    /// Keeps a version that is good. Without it the agent runs as well, until that pack is refused.
    pub(super) fn keep(&self, path: &Path, compiled: &Compiled) {
        let kept = compiled.verified().to_file().map_err(|refusal| refusal.to_string());
        let done = kept.and_then(|bytes| {
            let file = self.file(path);
            if fs::metadata(&file).is_ok_and(|about| about.len() == bytes.len() as u64)
                && files::read_bytes(&file, MAX_PACK, files::Trust::Owner)
                    .is_ok_and(|old| old == bytes)
            {
                return Ok(());
            }
            self.write(&file, &bytes).map_err(|error| error.to_string())
        });
        if let Err(error) = done {
            tracing::warn!(path = %path.display(), error, "the good version of a pack is not kept");
        }
    }

    fn write(&self, file: &Path, bytes: &[u8]) -> std::io::Result<()> {
        create(&self.directory)?;
        let mut new = tempfile::NamedTempFile::new_in(&self.directory)?;
        new.write_all(bytes)?;
        new.as_file().sync_all()?;
        new.persist(file).map(drop).map_err(|error| error.error)
    }

    /// The version that was kept, if there is one. It counts as found where the pack is.
    pub(super) fn open(&self, path: &Path) -> Option<Result<Untrusted, Refusal>> {
        let bytes = files::read_bytes(&self.file(path), MAX_PACK, files::Trust::Owner).ok()?;
        let real = files::real(path).unwrap_or_else(|_| path.to_owned());
        let place = format!("{} (last good version)", path.display());
        Some(Untrusted::from_bytes(&real, &place, bytes))
    }

    /// Removes those of packs that are there no more: what an operator takes away does not come back.
    pub(super) fn forget_all_but(&self, found: &[Found]) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let kept: BTreeSet<PathBuf> = found.iter().map(|one| self.file(&one.path)).collect();
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| !kept.contains(path))
        {
            if let Err(error) = fs::remove_file(&path) {
                tracing::debug!(path = %path.display(), %error, "an old pack stays");
            }
        }
    }
}

fn create(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Makes the state directory if it is not there.
pub(super) fn directory(state: &Path) -> Result<(), Refusal> {
    create(state)
        .map_err(|error| Refusal::new(Code::Unreadable, &state.display().to_string(), error))
}
