//! Reads suppressions again when their files change, from a thread of its own.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Suppressions;
use super::read::{EXTENSIONS, read};
use crate::worker::{Seen, Watch as Looks};

/// Between two looks: one stat(2) for each file.
const PERIOD: Duration = Duration::from_secs(1);

/// What was read last, sound or not, until somebody takes it.
type Slot = Arc<Mutex<Option<Result<Suppressions, String>>>>;

/// Where suppressions are read.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Files and directories.
    pub(crate) paths: Vec<PathBuf>,
    /// Nobody named them: they need not be there.
    pub(crate) may_lack: bool,
}

impl Places {
    /// What the files look like.
    pub(crate) fn print(&self) -> u64 {
        files::fingerprint(&self.paths, EXTENSIONS)
    }

    /// Reads suppressions that are obeyed: files of root's or the agent's user alone.
    pub(crate) fn open(&self) -> Result<Suppressions, String> {
        let is_missing = |path: &PathBuf| {
            files::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        let mut paths = self.paths.clone();
        paths.retain(|path| !self.may_lack || !is_missing(path));
        let now = jiff::Timestamp::now().as_second();
        let list = read(&paths, files::Trust::Owner, now).map_err(|wrong| wrong.join("; "))?;
        Suppressions::new(list)
    }
}

/// Looks after the directories of suppressions.
#[derive(Debug)]
pub(crate) struct Watch {
    slot: Slot,
    asked: Arc<AtomicBool>,
}

impl Watch {
    /// Starts the thread that looks; it ends with the process. The files looked so when they were read;
    /// `only_asked`: they are read again if somebody asks, not if they look otherwise.
    pub(crate) fn start(places: Places, read: u64, only_asked: bool) -> std::io::Result<Watch> {
        let (slot, asked) = (Slot::default(), Arc::new(AtomicBool::default()));
        let (put, wanted) = (Arc::clone(&slot), Arc::clone(&asked));
        let look = move || {
            crate::seccomp::thread(crate::seccomp::Kind::Suppressions);
            let (mut looks, seen) = (Looks::default(), Seen::default());
            seen.set(read);
            loop {
                std::thread::sleep(PERIOD);
                let now = places.print();
                let changed = !only_asked && looks.look(&seen, now);
                if wanted.swap(false, Ordering::Relaxed) || changed {
                    seen.set(now);
                    let read = places.open();
                    *put.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
                }
            }
        };
        std::thread::Builder::new().name("suppressions".into()).spawn(look)?;
        Ok(Watch { slot, asked })
    }

    /// Has them read at the next look, whether they look otherwise or not.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// What was read since it was asked last.
    pub(crate) fn take(&self) -> Option<Result<Suppressions, String>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
