//! Incidents on the disk, so that they outlive the worker: one file each, written beside its place and
//! renamed. They are a help for people and no evidence: what is not written when the power fails is still
//! in the alerts.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::{INCIDENTS_MAX, Incident, Incidents};
use crate::policy::store::write;

/// Directory in the state of the agent.
pub(super) const DIRECTORY: &str = "incidents";
/// Longest file that is read, bytes; the bounds of an incident allow less.
const FILE_MAX: u64 = 1024 * 1024;
/// Sets of changes that wait for the disk; more stay with the incidents until there is room.
const WAITING: usize = 2;

/// What a file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// The boot that its seconds are of.
    boot: String,
    incident: Incident,
}

/// A change: the name of an incident, and what its file says from now on, if there is to be one.
type Change = (String, Option<String>);

/// Writes incidents from a thread of its own.
#[derive(Debug)]
pub(crate) struct Keeper {
    changes: SyncSender<Vec<Change>>,
    boot: String,
    writer: JoinHandle<()>,
}

impl Keeper {
    /// For a state directory.
    pub(crate) fn start(state: &Path, boot: &str) -> io::Result<Keeper> {
        let directory = state.join(DIRECTORY);
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        write::sweep(&directory);
        let (changes, waiting) = sync_channel(WAITING);
        let writer = std::thread::Builder::new().name("incidents".into()).spawn(move || {
            crate::seccomp::thread(crate::seccomp::Kind::Incidents);
            write_all(&directory, &waiting);
        })?;
        Ok(Keeper { changes, boot: boot.to_owned(), writer })
    }

    /// Has written what has changed; never waits. What finds no room is written the next time.
    pub(crate) fn keep(&self, incidents: &mut Incidents) {
        if !incidents.has_changed() {
            return;
        }
        let (changed, gone) = incidents.take_changes();
        let text = |incident: &Incident| {
            let kept = Kept { boot: self.boot.clone(), incident: incident.clone() };
            // Maps with keys of text and finite numbers are always printable.
            serde_json::to_string(&kept).unwrap_or_default()
        };
        let written = changed.iter().filter_map(|number| {
            let incident = incidents.known.get(number)?;
            Some((incident.id.clone(), Some(text(incident))))
        });
        let all = gone.iter().map(|id| (id.clone(), None)).chain(written).collect();
        if let Err(TrySendError::Full(_)) = self.changes.try_send(all) {
            incidents.give_back(changed, gone);
        }
    }

    /// Writes what waits, and ends.
    pub(crate) fn finish(self, incidents: &mut Incidents) {
        self.keep(incidents);
        drop(self.changes);
        if self.writer.join().is_err() {
            tracing::error!("the thread that keeps incidents died");
        }
    }
}

fn write_all(directory: &Path, waiting: &Receiver<Vec<Change>>) {
    let mut told = false;
    for (id, text) in waiting.iter().flatten() {
        let done = put(directory, &id, text.as_deref());
        if let Err(error) = done {
            if !told {
                tracing::warn!(%error, "incidents cannot be kept: a restart forgets them");
            }
            told = true;
        } else {
            told = false;
        }
    }
}

/// Where an incident is kept. Its id comes from an alert, which is ours: digits and letters.
fn path(directory: &Path, id: &str) -> Option<PathBuf> {
    let is_plain = !id.is_empty()
        && id.len() <= 64
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_plain.then(|| directory.join(format!("{id}.json")))
}

fn put(directory: &Path, id: &str, text: Option<&str>) -> io::Result<()> {
    let path = path(directory, id).ok_or(io::ErrorKind::InvalidInput)?;
    let Some(text) = text else {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    let mut file = tempfile::Builder::new().prefix(write::NEW).tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(&path)?;
    Ok(())
}

/// The incidents that were kept, in the order in which something was added last. Those of another boot are
/// over. What cannot be read is told in the log and left out.
pub(crate) fn read(state: &Path, boot: &str) -> Vec<Incident> {
    let Ok(list) = std::fs::read_dir(state.join(DIRECTORY)) else { return Vec::new() };
    let mut all = Vec::new();
    // Twice as many as there should be: a worker that is killed may leave some that it meant to remove.
    for entry in list.flatten().take(2 * INCIDENTS_MAX) {
        let path = entry.path();
        match read_one(&path) {
            Ok(Kept { boot: of, mut incident }) => {
                incident.over |= of != boot;
                all.push(incident);
            }
            Err(error) => tracing::warn!(path = %path.display(), %error, "an incident is left out"),
        }
    }
    all.sort_by(|a, b| (!a.over, a.last_s, &a.last).cmp(&(!b.over, b.last_s, &b.last)));
    all
}

fn read_one(path: &Path) -> io::Result<Kept> {
    let bytes = crate::worker::read_limited(path, FILE_MAX)?;
    Ok(serde_json::from_slice(&bytes)?)
}
