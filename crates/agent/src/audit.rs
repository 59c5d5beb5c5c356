//! The audit log: who was let in with what, what was refused, and what went beyond its terms. Lines
//! are only ever added; the file is root's alone.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json};

/// The file below the state directory.
const FILE: &str = "audit.jsonl";
/// Bytes after which a new one begins; the one before is kept.
const FILE_MAX: u64 = 16 << 20;
/// Bytes of one line: what strangers name is part of it.
const LINE_MAX: usize = 16 << 10;

/// Things of which it is known when they were told last; then all are told again.
const SEEN_MAX: usize = 1_024;
/// How long the same is not told again.
const MINUTE: Duration = Duration::from_mins(1);

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Audit {
    path: PathBuf,
    writing: Mutex<()>,
    /// What was told when, and how much of the same was left out since.
    seen: Mutex<HashMap<String, (Instant, u64)>>,
    lost: AtomicU64,
}

impl Audit {
    /// The log of a state directory, which need not exist.
    pub(crate) fn at(state: &Path) -> Audit {
        Audit {
            path: state.join(FILE),
            writing: Mutex::new(()),
            seen: Mutex::default(),
            lost: AtomicU64::new(0),
        }
    }

    /// Adds a line: what happened, and what is to be known of it. What cannot be written is told in
    /// the agent's own log, and counted.
    pub(crate) fn note(&self, action: &str, about: Json) {
        let mut line = Map::new();
        line.insert("@timestamp".to_owned(), jiff::Timestamp::now().to_string().into());
        line.insert("action".to_owned(), action.into());
        match about {
            Json::Object(about) => line.extend(about),
            other => drop(line.insert("about".to_owned(), other)),
        }
        let mut text = Json::Object(line).to_string();
        if text.len() > LINE_MAX {
            let short = serde_json::json!({
                "@timestamp": jiff::Timestamp::now().to_string(),
                "action": action,
                "too_long": text.len(),
            });
            text = short.to_string();
        }
        tracing::info!(audit = action, "{text}");
        // A thread that died while it wrote leaves half a line at worst.
        let _one = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = self.write(&text) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(path = %self.path.display(), %error, "the audit log lacks a line");
        }
    }

    /// The same for what somebody can make happen over and over: one line in a minute about the same,
    /// which tells how many were left out before it.
    pub(crate) fn note_of(&self, of: &str, action: &str, mut about: Json) {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = format!("{action} {of}");
        let now = Instant::now();
        if seen.len() >= SEEN_MAX && !seen.contains_key(&key) {
            seen.clear();
        }
        match seen.get_mut(&key) {
            Some((time, more)) if now.duration_since(*time) < MINUTE => {
                *more += 1;
                return;
            }
            Some((time, more)) => {
                let more = std::mem::take(more).into();
                if let Some(about) = about.as_object_mut() {
                    about.insert("left_out".to_owned(), more);
                }
                *time = now;
            }
            None => drop(seen.insert(key, (now, 0))),
        }
        drop(seen);
        self.note(action, about);
    }

    /// Lines that could not be written.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        if let Some(state) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
        }
        let open = || {
            let mut options = OpenOptions::new();
            // Whoever can put a link here is root, and a link is nevertheless not what was meant.
            let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
            options.append(true).create(true).mode(0o600).custom_flags(flags).open(&self.path)
        };
        let mut file = open()?;
        if file.metadata()?.size() >= FILE_MAX {
            fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
            file = open()?;
        }
        file.write_all(format!("{text}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lines(path: &Path) -> Vec<Json> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn lines_are_added_for_root_alone_and_a_full_file_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::at(&dir.path().join("state"));
        let path = dir.path().join("state").join(FILE);
        audit.note("pack-loaded", json!({ "id": "a\n\u{1b}[2J" }));
        audit.note("long", json!({ "id": "x".repeat(LINE_MAX) }));
        let found = lines(&path);
        assert_eq!(
            (&found[0]["action"], &found[0]["id"]),
            (&"pack-loaded".into(), &"a\n\u{1b}[2J".into())
        );
        assert!(found[1]["too_long"].as_u64() > Some(1000) && found.len() == 2);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::write(&path, vec![b' '; usize::try_from(FILE_MAX).unwrap()]).unwrap();
        audit.note("next", json!({}));
        assert_eq!(lines(&path).len(), 1);
        assert_eq!(fs::metadata(path.with_extension("jsonl.1")).unwrap().len(), FILE_MAX);
        assert_eq!(audit.lost(), 0);
    }

    #[test]
    fn what_is_done_over_and_over_is_told_once_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::at(dir.path());
        for _ in 0..100 {
            audit.note_of("a", "arm-refused", json!({ "rule": "a" }));
        }
        audit.note_of("b", "arm-refused", json!({ "rule": "b" }));
        let found = lines(&dir.path().join(FILE));
        let rules: Vec<&str> = found.iter().filter_map(|line| line["rule"].as_str()).collect();
        assert_eq!(rules, ["a", "b"]);
    }

    #[test]
    fn a_link_is_not_written_through_and_what_is_lost_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, dir.path().join(FILE)).unwrap();
        let audit = Audit::at(dir.path());
        audit.note("x", json!({}));
        assert_eq!((fs::read_to_string(elsewhere).unwrap().as_str(), audit.lost()), ("", 1));
    }
}
