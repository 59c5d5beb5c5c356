//! What the programs hold that run.
//!
//! The guard must not open a file that it may be asked about: it would wait for itself. So it remembers what
//! it was asked to let run, and what ran before it was asked at all.

use std::collections::HashMap;

use kernel::enforce::guard::{Identity, running};
use policy::Content;

use crate::guard::image;

/// Programs that are remembered: far more than a host runs. Of others the hash cannot be had.
const PROGRAMS_MAX: usize = 1 << 16;

/// What each file held when it was last executed. While it runs nobody can write it.
#[derive(Debug, Default)]
pub(super) struct Running {
    known: HashMap<Identity, Content>,
}

impl Running {
    /// Reads what runs now. To be made before anything is marked.
    pub(super) fn now() -> Result<Running, kernel::Error> {
        let mut found = Running::default();
        running(|file, hash| {
            if let Ok(about) = file.metadata() {
                found.note(Identity::of(&about), hash.map_or(Content::Unknown, Content::Is));
            }
        })?;
        Ok(found)
    }

    /// A file is about to be executed.
    pub(super) fn note(&mut self, file: Identity, content: Content) {
        if self.known.len() < PROGRAMS_MAX || self.known.contains_key(&file) {
            self.known.insert(file, content);
        }
    }

    /// What the executable of a process holds.
    pub(super) fn content(&self, pid: u32) -> Content {
        match image::image(pid) {
            Ok(Some(about)) => {
                let known = self.known.get(&Identity::of(&about));
                known.copied().unwrap_or(Content::Unknown)
            }
            // Threads of the kernel have none.
            Ok(None) => Content::Other,
            Err(_) => Content::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_known_and_what_was_never_asked_about_is_not() {
        let own = std::process::id();
        let mut running = Running::now().unwrap();
        let before = running.content(own);
        assert!(matches!(before, Content::Is(_)), "{before:?}");
        let file = Identity::of(&std::fs::metadata("/proc/self/exe").unwrap());
        running.note(file, Content::Unknown);
        assert_eq!(running.content(own), Content::Unknown, "as it was last executed");
        assert_eq!(Running::default().content(own), Content::Unknown);
    }
}
