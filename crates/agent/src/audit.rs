//! The agent's side of the audit log: who was let in with what, what was changed or refused, and what
//! went beyond its terms.

mod look;

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use capture::audit::{KEY_MAX, Lines, Log, LogError, Options, Read, Signer};
use serde_json::{Map, Value as Json, json};

use crate::exit::{Exit, Failure};
use crate::seccomp;
pub(crate) use look::Look;

/// Things of which it is known when they were told last; then all are told again.
const SEEN_MAX: usize = 1_024;
/// How long the same is not told again.
const MINUTE: Duration = Duration::from_mins(1);
/// How long lines may stay without a signature, if there is a key.
const UNSIGNED: Duration = Duration::from_mins(10);

/// Lines that wait for the disk where who tells them must not.
const WAITING_MAX: usize = 1_024;

/// How long whoever ends waits for what it noted.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a thread that writes for others is given.
#[derive(Debug)]
enum Work {
    /// A line.
    Line(String, Json),
    /// Somebody wants to know when all before it is written.
    Tell(SyncSender<()>),
}

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Audit {
    directory: PathBuf,
    log: Log,
    /// Who writes, if that is another thread.
    writer: Option<SyncSender<Work>>,
    /// What was told when, and how much of the same was left out since.
    seen: Mutex<HashMap<String, Seen>>,
    lost: AtomicU64,
    signed: Mutex<Instant>,
}

/// What was told, and is not told again for a while.
#[derive(Debug)]
struct Seen {
    since: Instant,
    /// How much of the same came since, and the last of it.
    more: u64,
    action: String,
    about: Json,
}

impl Seen {
    /// The line about what was left out: it is the last of them itself.
    fn line(self) -> Option<(String, Json)> {
        let Seen { more, action, mut about, .. } = self;
        let others = more.checked_sub(1)?;
        if let Some(about) = about.as_object_mut() {
            about.insert("left_out".to_owned(), others.into());
        }
        Some((action, about))
    }
}

/// The key of a file that signs the log, if one is named. Whoever else has it could write a log that looks signed.
pub(crate) fn key(file: Option<&Path>) -> Result<Option<Signer>, Failure> {
    let unusable = |error: &dyn Display| {
        let help = "make one with `ssh-keygen -t ed25519 -N '' -f FILE`";
        Failure::new(Exit::Config, format!("the audit key cannot be used: {error}")).help(help)
    };
    let Some(path) = file else { return Ok(None) };
    let bytes = files::read_bytes(path, KEY_MAX, files::Trust::Private);
    let bytes = bytes.map_err(|error| unusable(&error))?;
    let key = Signer::new(&String::from_utf8_lossy(&bytes), path);
    key.map(Some).map_err(|error| unusable(&error))
}

impl Audit {
    /// The log of a state directory, which need not exist.
    pub(crate) fn at(state: &Path) -> Audit {
        Audit::new(state, Options::default(), None)
    }

    /// The same for the guard, who begins new files so that no more than `bytes` are kept, and signs if there is a key.
    pub(crate) fn signed(state: &Path, bytes: u64, key: Option<Signer>) -> Audit {
        let options = Options::default();
        let file_bytes = bytes / u64::try_from(options.files).unwrap_or(1);
        Audit::new(state, Options { file_bytes, ..options }, key)
    }

    /// Of a process that may not write the log, and whose threads must not wait for who does: another
    /// thread hands over what they note.
    pub(crate) fn through(
        write: impl Fn(&str, &Json) -> std::io::Result<()> + Send + 'static,
    ) -> Result<Audit, Failure> {
        let (sender, waiting) = sync_channel(WAITING_MAX);
        let started = Builder::new().name("audit".to_owned()).spawn(move || {
            seccomp::thread(seccomp::Kind::Audit);
            for work in waiting {
                match work {
                    Work::Line(action, about) => {
                        if let Err(error) = write(&action, &about) {
                            tracing::error!(audit = action, %error, "the audit log lacks a line");
                        }
                    }
                    // Who does not wait any more need not be told.
                    Work::Tell(done) => drop(done.send(())),
                }
            }
        });
        started.map_err(|error| {
            Failure::new(Exit::Internal, format!("cannot start a thread: {error}"))
        })?;
        // Nothing is read or written there by this process.
        Ok(Audit { writer: Some(sender), ..Audit::at(Path::new("/nonexistent")) })
    }

    fn new(state: &Path, options: Options, signer: Option<Signer>) -> Audit {
        Audit {
            directory: state.to_owned(),
            log: Log::at(state, options, signer),
            writer: None,
            seen: Mutex::default(),
            lost: AtomicU64::new(0),
            signed: Mutex::new(Instant::now()),
        }
    }

    /// Adds a line: what happened, and what is to be known of it. What cannot be written is told in
    /// the agent's own log, and counted.
    pub(crate) fn note(&self, action: &str, about: Json) {
        if let Some(writer) = &self.writer {
            if writer.try_send(Work::Line(action.to_owned(), about)).is_err() {
                self.lost.fetch_add(1, Ordering::Relaxed);
                tracing::error!(audit = action, "the audit log lacks a line: too many wait");
            }
            return;
        }
        if let Err(error) = self.write(action, about) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(audit = action, %error, "the audit log lacks a line");
        }
    }

    /// The same for what must not be done unless it is written down.
    pub(crate) fn write(&self, action: &str, about: Json) -> Result<u64, LogError> {
        let about = match about {
            Json::Object(about) => about,
            other => Map::from_iter([("about".to_owned(), other)]),
        };
        tracing::info!(audit = action, "{}", json!(about));
        let time = jiff::Timestamp::now().to_string();
        let link = match self.log.append(&time, action, &about) {
            Err(LogError::TooLong(bytes)) => {
                let short = Map::from_iter([("too_long".to_owned(), bytes.into())]);
                self.log.append(&time, action, &short)
            }
            other => other,
        };
        link.map(|link| link.seq)
    }

    /// The same for what somebody can make happen over and over: one line in a minute about the same,
    /// which tells how many were left out before it.
    pub(crate) fn note_of(&self, of: &str, action: &str, about: Json) {
        self.note_times(of, action, about, 1);
    }

    /// The same for what happened so many times at once; `about` is one of them.
    pub(crate) fn note_times(&self, of: &str, action: &str, mut about: Json, times: u64) {
        let mut seen = self.seen();
        let key = format!("{action} {of}");
        let now = Instant::now();
        let mut forgotten = Vec::new();
        if seen.len() >= SEEN_MAX && !seen.contains_key(&key) {
            forgotten.extend(seen.drain().filter_map(|(_, one)| one.line()));
        }
        let more = match seen.get_mut(&key) {
            Some(one) if now.duration_since(one.since) < MINUTE => {
                one.more = one.more.saturating_add(times);
                one.about = about;
                return;
            }
            Some(one) => {
                one.since = now;
                Some(std::mem::take(&mut one.more).saturating_add(times.saturating_sub(1)))
            }
            None => {
                let one =
                    Seen { since: now, more: 0, action: action.to_owned(), about: about.clone() };
                seen.insert(key, one);
                (times > 1).then(|| times - 1)
            }
        };
        drop(seen);
        if let (Some(more), Some(about)) = (more, about.as_object_mut()) {
            about.insert("left_out".to_owned(), more.into());
        }
        self.note(action, about);
        for (action, about) in forgotten {
            self.note(&action, about);
        }
    }

    /// Tells what was left out more than a minute ago, or all of it.
    fn catch_up(&self, all: bool) {
        let now = Instant::now();
        let is_old = |one: &Seen| all || now.duration_since(one.since) >= MINUTE;
        let old: Vec<Seen> =
            self.seen().extract_if(|_, one| is_old(one)).map(|(_, one)| one).collect();
        for (action, about) in old.into_iter().filter_map(Seen::line) {
            self.note(&action, about);
        }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what was noted is written: a process that ends takes its threads with it.
    pub(crate) fn finish(&self) {
        let Some(writer) = &self.writer else { return };
        let (done, told) = sync_channel(1);
        let asked = writer.try_send(Work::Tell(done)).is_ok();
        if !asked || told.recv_timeout(PATIENCE).is_err() {
            tracing::error!("the audit log may lack its last lines: the disk does not answer");
        }
    }

    /// Tells what was left out, and signs where the log is, now and then; `end` when nobody will do it
    /// later.
    pub(crate) fn service(&self, end: bool) {
        self.catch_up(end);
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if !end && signed.elapsed() < UNSIGNED {
            return;
        }
        *signed = Instant::now();
        drop(signed);
        if let Err(error) = self.log.checkpoint(&jiff::Timestamp::now().to_string()) {
            tracing::error!(%error, "the audit log is not signed");
        }
    }

    /// Lines that could not be written, as far as whoever notes them knows.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The lines whose action is wanted, the oldest first. What is no line is passed over.
    pub(crate) fn lines(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Json>, LogError> {
        let lines = match Lines::of(&self.directory) {
            Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let mut found = Vec::new();
        for line in lines {
            if let (_, _, Read::Line(bytes)) = line?
                && let Ok(line) = serde_json::from_slice::<Json>(&bytes)
                && line.get("action").and_then(Json::as_str).is_some_and(&wanted)
            {
                found.push(line);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_told_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::at(&dir.path().join("state"));
        audit.note("pack-loaded", json!({ "id": "a\n\u{1b}[2J" }));
        audit.note("long", json!({ "id": "x".repeat(capture::audit::LINE_MAX) }));
        let found = audit.lines(|_| true).unwrap();
        assert_eq!(
            (&found[0]["action"], &found[0]["id"]),
            (&"pack-loaded".into(), &"a\n\u{1b}[2J".into())
        );
        assert!(found[1]["too_long"].as_u64() > Some(1000) && found.len() == 2);
        assert_eq!(audit.lost(), 0);
    }

    #[test]
    fn a_key_that_others_can_read_signs_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let mut make = std::process::Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file);
        assert!(make.status().unwrap().success());
        let read = || key(Some(&file));
        assert!(read().is_ok(), "as ssh-keygen makes it");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = read().unwrap_err();
        assert_eq!(refused.exit, Exit::Config);
        let told = refused.to_string();
        assert!(told.contains("key: open to others") && told.contains("mode 644"), "{told}");
    }

    #[test]
    fn what_is_done_over_and_over_is_told_once_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::at(dir.path());
        for _ in 0..100 {
            audit.note_of("a", "arm-refused", json!({ "rule": "a" }));
        }
        audit.note_of("b", "arm-refused", json!({ "rule": "b" }));
        let found = audit.lines(|action| action == "arm-refused").unwrap();
        let rules: Vec<&str> = found.iter().filter_map(|line| line["rule"].as_str()).collect();
        assert_eq!(rules, ["a", "b"]);
        audit.service(true);
        let found = audit.lines(|action| action == "arm-refused").unwrap();
        let told: Vec<u64> = found.iter().filter_map(|line| line["left_out"].as_u64()).collect();
        assert_eq!(
            (found.len(), told),
            (3, vec![98]),
            "100 are three lines: a, b, and the rest of a"
        );
    }

    #[test]
    fn what_happens_many_times_at_once_is_counted_to_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::at(dir.path());
        for (of, times) in [("a", 1), ("a", 40), ("a", 2), ("b", 500)] {
            audit.note_times(of, "denied", json!({ "rule": of }), times);
        }
        audit.service(true);
        let found = audit.lines(|action| action == "denied").unwrap();
        let of = |rule: &str| -> u64 {
            let lines = found.iter().filter(|line| line["rule"] == rule);
            lines.map(|line| 1 + line["left_out"].as_u64().unwrap_or(0)).sum()
        };
        assert_eq!((of("a"), of("b"), found.len()), (43, 500, 3), "{found:?}");
    }

    #[test]
    fn a_link_is_not_written_through_and_what_is_lost_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, dir.path().join("audit.jsonl")).unwrap();
        let audit = Audit::at(dir.path());
        audit.note("x", json!({}));
        assert_eq!((std::fs::read_to_string(elsewhere).unwrap().as_str(), audit.lost()), ("", 1));
    }
}
