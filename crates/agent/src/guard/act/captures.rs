//! The recording around an alert, kept: segments of the history under a second name, so that they stay
//! when the history forgets them. Nothing on the host is changed, so it is done without `--enforce`, too.
//!
//! `STATE/captures/ALERT/` holds them. They are linked at once, and again a while later: what happened
//! meanwhile may be in other segments. The last of them ends when the history begins another one.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value as Json, json};

use crate::cli::RunArgs;
use crate::state;
use crate::worker::{HISTORY, segments};

/// Captures that are kept: more alerts than somebody looks at.
const KEPT_MAX: usize = 64;
/// Captures whose end is awaited.
const OPEN_MAX: usize = 64;

/// Keeps recordings.
#[derive(Debug)]
pub(super) struct Captures {
    history: PathBuf,
    kept: PathBuf,
    /// Bytes of all captures: as much again as the history; none if there is no history.
    bytes: Option<u64>,
    before: Duration,
    after: Duration,
    open: Vec<Capture>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Capture {
    /// Number of the decision.
    pub(super) id: u64,
    /// The rule that wanted it.
    pub(super) rule: String,
    dir: PathBuf,
    since: SystemTime,
    due: Instant,
}

impl Captures {
    pub(super) fn new(args: &RunArgs) -> Captures {
        Captures {
            history: state::of_worker(&args.state_dir).join(HISTORY),
            kept: args.state_dir.join("captures"),
            bytes: args.history.0.map(|history| history.bytes),
            before: args.capture_before,
            after: args.capture_after,
            open: Vec::new(),
        }
    }

    /// Keeps what there is, and the rest when it is there.
    pub(super) fn begin(&mut self, id: u64, rule: &str, alert: &str) -> Result<(), String> {
        let limit = self.bytes.unwrap_or_default();
        let (captures, bytes) = self.held().map_err(|error| error.to_string())?;
        if captures >= KEPT_MAX || bytes >= limit || self.open.len() >= OPEN_MAX {
            let kept = self.kept.display();
            return Err(format!(
                "{captures} captures of {bytes} bytes are kept, at most {KEPT_MAX} of {limit}: \
                 remove some of {kept}"
            ));
        }
        let dir = self.kept.join(alert);
        let now = SystemTime::now();
        let since = now.checked_sub(self.before).unwrap_or(SystemTime::UNIX_EPOCH);
        let (rule, due) = (rule.to_owned(), Instant::now() + self.after);
        let one = Capture { id, rule, dir, since, due };
        self.link(&one).map_err(|error| format!("cannot keep the recording: {error}"))?;
        self.open.push(one);
        Ok(())
    }

    /// Those that are complete, with what they hold.
    pub(super) fn service(&mut self) -> Vec<(Capture, Result<Json, String>)> {
        let now = Instant::now();
        let done: Vec<Capture> = self.open.extract_if(.., |one| one.due <= now).collect();
        let ended = done.into_iter().map(|one| {
            let linked = self.link(&one);
            let about = linked.map(|(segments, bytes)| {
                json!({ "capture": one.dir.to_string_lossy(), "segments": segments, "bytes": bytes })
            });
            (one, about.map_err(|error| format!("the recording is not whole: {error}")))
        });
        ended.collect()
    }

    /// Gives segments that were written to since then a second name; how many there are, and their bytes.
    fn link(&self, one: &Capture) -> io::Result<(usize, u64)> {
        DirBuilder::new().recursive(true).mode(0o700).create(&one.dir)?;
        for (path, about) in known(&self.history)? {
            if about.modified()? < one.since {
                continue;
            }
            let Some(name) = path.file_name() else { continue };
            match fs::hard_link(&path, one.dir.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // The history has forgotten it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        let all = known(&one.dir)?;
        Ok((all.len(), all.iter().map(|(_, about)| about.len()).sum()))
    }

    /// How many captures there are, and the bytes of their segments, each counted once.
    fn held(&self) -> io::Result<(usize, u64)> {
        let (mut captures, mut bytes, mut seen) = (0, 0, HashSet::new());
        let entries = match fs::read_dir(&self.kept) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
            Err(error) => return Err(error),
        };
        for entry in entries {
            captures += 1;
            for (_, about) in known(&entry?.path())? {
                if seen.insert(about.ino()) {
                    bytes += about.len();
                }
            }
        }
        Ok((captures, bytes))
    }
}

/// The segments in a directory, and what is known of each.
fn known(dir: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let all = segments(dir)?.into_iter();
    // What is no file is no segment of ours.
    let known = all.filter_map(|path| fs::symlink_metadata(&path).ok().map(|about| (path, about)));
    Ok(known.filter(|(_, about)| about.is_file()).collect())
}
