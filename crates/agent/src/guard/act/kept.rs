//! What is undone later: one file an action in `STATE/actions`, written before the action is done.
//!
//! A file is there as long as its action may be in effect. Its number is that of the decision in the
//! audit log.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::deed::Deed;
use crate::policy::store;

/// Bytes of one file: names and a few numbers.
const FILE_MAX: u64 = 64 << 10;
/// Actions in effect at the same time: more are no answer to an incident.
pub(super) const KEPT_MAX: usize = 1_024;

/// An action that can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Number of the decision in the audit log.
    pub(crate) id: u64,
    /// The rule that wanted it.
    pub(crate) rule: String,
    /// The alert that it raised.
    pub(crate) alert: String,
    /// What was done.
    pub(crate) deed: Deed,
    /// When, seconds since 1970.
    pub(crate) since: i64,
    /// When it ends by itself.
    pub(crate) until: i64,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Keep {
    directory: PathBuf,
    all: Vec<Kept>,
}

fn directory(state: &Path) -> PathBuf {
    state.join("actions")
}

/// The actions in effect as the files tell, the oldest first, and the files that cannot be read.
pub(crate) fn read(state: &Path) -> io::Result<(Vec<Kept>, Vec<PathBuf>)> {
    let entries = match fs::read_dir(directory(state)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
        Err(error) => return Err(error),
    };
    let (mut all, mut bad) = (Vec::new(), Vec::new());
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    // What is still being written has another ending.
    for path in paths.filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
        let bytes = store::read(&path, FILE_MAX);
        match bytes.map(|bytes| serde_json::from_slice::<Kept>(&bytes)) {
            Ok(Ok(one)) if path.file_stem() == Some(one.id.to_string().as_ref()) => all.push(one),
            // Somebody undid it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => bad.push(path),
        }
    }
    all.sort_by_key(|one| one.id);
    Ok((all, bad))
}

impl Keep {
    /// Those that an agent before this one left.
    pub(super) fn open(state: &Path) -> Keep {
        store::write::sweep(&directory(state));
        let (all, bad) = read(state).unwrap_or_else(|error| {
            tracing::error!(%error, "what was done before cannot be read, and is not undone");
            Default::default()
        });
        for path in bad {
            let path = path.display();
            tracing::error!(%path, "what was done before cannot be read, and is not undone");
        }
        Keep { directory: directory(state), all }
    }

    /// Keeps one, on the disk.
    pub(super) fn add(&mut self, one: Kept) -> io::Result<()> {
        if self.all.len() >= KEPT_MAX {
            return Err(io::Error::other(format!("{KEPT_MAX} actions are in effect already")));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let bytes = serde_json::to_vec(&one)?;
        store::replace(&self.path(one.id), &bytes)?;
        self.all.push(one);
        Ok(())
    }

    /// Forgets one that is in effect no more.
    pub(super) fn remove(&mut self, id: u64) {
        self.all.retain(|one| one.id != id);
        if let Err(error) = fs::remove_file(self.path(id)) {
            tracing::error!(id, %error, "an action that is undone will be undone again");
        }
    }

    /// Lets one end by itself later.
    pub(super) fn postpone(&mut self, id: u64, until: i64) {
        for one in self.all.iter_mut().filter(|one| one.id == id) {
            one.until = one.until.max(until);
        }
    }

    /// Those that are meant.
    pub(super) fn of(&self, meant: impl Fn(&Kept) -> bool) -> Vec<Kept> {
        self.all.iter().filter(|one| meant(one)).cloned().collect()
    }

    /// Whether one is in effect.
    pub(super) fn has(&self, id: u64) -> bool {
        self.all.iter().any(|one| one.id == id)
    }

    fn path(&self, id: u64) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }
}
