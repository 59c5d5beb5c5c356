//! Looks now and then whether the lines of the audit log hold each other, in a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use capture::audit::{Options, head, verify};
use serde_json::{Value as Json, json};

/// How often: all of it may be 256 MiB, which take a second of a core.
const EVERY: Duration = Duration::from_hours(1);
/// A log that grows or is rotated while it is read may look broken once; it does not twice.
const AGAIN: Duration = Duration::from_secs(1);
/// What the last look has found.
const UNKNOWN: u8 = 0;
const WHOLE: u8 = 1;
const BROKEN: u8 = 2;

/// What is known of a log.
#[derive(Debug)]
pub(crate) struct Look {
    directory: PathBuf,
    found: Arc<AtomicU8>,
    last: Mutex<Option<Instant>>,
}

impl Look {
    /// Nobody has looked yet.
    pub(crate) fn new(directory: &Path) -> Look {
        Look { directory: directory.to_owned(), found: Arc::default(), last: Mutex::default() }
    }

    /// Looks, if it is time. Nobody waits for it.
    pub(crate) fn service(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        let (directory, found) = (self.directory.clone(), Arc::clone(&self.found));
        let look = move || found.store(look(&directory), Ordering::Relaxed);
        if let Err(error) = Builder::new().name("audit-look".to_owned()).spawn(look) {
            tracing::warn!(%error, "the audit log is not looked at");
        }
    }

    /// Number of the last line, and whether the log is broken; `null`: not known.
    pub(crate) fn figures(&self) -> Json {
        let lines = head(&self.directory).ok().map(|head| head.map_or(0, |head| head.seq));
        let broken = match self.found.load(Ordering::Relaxed) {
            WHOLE => Some(false),
            BROKEN => Some(true),
            _ => None,
        };
        json!({ "lines": lines, "broken": broken })
    }
}

/// What there is to see, once or twice.
fn look(directory: &Path) -> u8 {
    let first = state(directory);
    if first != BROKEN {
        return first;
    }
    std::thread::sleep(AGAIN);
    let second = state(directory);
    if second == BROKEN {
        tracing::error!("the audit log is broken: `aegisbpf audit verify` tells where");
    }
    second
}

fn state(directory: &Path) -> u8 {
    match verify(directory, None, Options::default().signed_every, |_| {}) {
        Ok(report) if report.findings.is_empty() => WHOLE,
        Ok(_) => BROKEN,
        Err(error) => {
            tracing::warn!(%error, "the audit log cannot be looked at");
            UNKNOWN
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Audit;

    #[test]
    fn a_changed_line_is_seen_and_a_whole_log_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::at(dir.path());
        for number in 0..3 {
            audit.note("x", json!({ "number": number }));
        }
        let known = Look::new(dir.path());
        assert_eq!(known.figures(), json!({ "lines": 3, "broken": null }), "nobody has looked");
        assert_eq!(look(dir.path()), WHOLE);
        let file = dir.path().join("audit.jsonl");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("\"number\":1", "\"number\":7")).unwrap();
        known.service();
        let end = Instant::now() + Duration::from_secs(30);
        while known.figures()["broken"].is_null() {
            assert!(Instant::now() < end, "nobody looks");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(known.figures(), json!({ "lines": 3, "broken": true }));
    }
}
