//! Reads suppressions again when their files change, from a thread of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Suppressions;
use super::read::{EXTENSIONS, read};
use crate::worker::{Seen, Watch as Looks};

/// Between two looks: one stat(2) for each file.
const PERIOD: Duration = Duration::from_secs(1);

/// What was read last, sound or not, until somebody takes it.
type Slot = Arc<Mutex<Option<Result<Suppressions, String>>>>;

/// Looks after the directories of suppressions.
#[derive(Debug, Default)]
pub(crate) struct Watch(Slot);

impl Watch {
    /// Starts the thread that looks; it ends with the process. The files looked so when they were read.
    pub(crate) fn start(paths: Vec<PathBuf>, read: u64) -> std::io::Result<Watch> {
        let slot = Slot::default();
        let put = Arc::clone(&slot);
        let look = move || {
            crate::seccomp::thread(crate::seccomp::Kind::Suppressions);
            let (mut looks, seen) = (Looks::default(), Seen::default());
            seen.set(read);
            loop {
                std::thread::sleep(PERIOD);
                let now = print(&paths);
                if looks.look(&seen, now) {
                    seen.set(now);
                    let read = open(&paths);
                    *put.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
                }
            }
        };
        std::thread::Builder::new().name("suppressions".into()).spawn(look)?;
        Ok(Watch(slot))
    }

    /// What was read since it was asked last.
    pub(crate) fn take(&self) -> Option<Result<Suppressions, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What the files look like.
pub(crate) fn print(paths: &[PathBuf]) -> u64 {
    files::fingerprint(paths, EXTENSIONS)
}

/// Reads suppressions that are obeyed: files of root's or the agent's user alone.
pub(crate) fn open(paths: &[PathBuf]) -> Result<Suppressions, String> {
    let now = jiff::Timestamp::now().as_second();
    let list = read(paths, files::Trust::Owner, now).map_err(|wrong| wrong.join("; "))?;
    Suppressions::new(list)
}
