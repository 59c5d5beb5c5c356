//! Adds lines to a log.
//!
//! Whoever adds one holds the lock of `audit.head` meanwhile, so several processes may. The line is
//! synced before the head is written: the head is never ahead of what a disk has, and what is behind it
//! is at most what a crash left.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::files::{self, HEAD, HEAD_BYTES, Last, NEWEST};
use super::sign::Signer;
use super::{Hash, Link, LogError, line};

/// How often and how long somebody else's lock is waited for: a line takes milliseconds.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes of what a crash left that are shown in the line about it.
const TORN_SHOWN: usize = 512;

/// The actions of lines that the log makes itself.
pub(super) const TORN: &str = "audit-torn";
pub(super) const DAMAGED: &str = "audit-damaged";
pub(super) const REMOVED: &str = "audit-removed";
pub(super) const CHECKPOINT: &str = "audit-checkpoint";

/// How a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes after which a new file begins.
    pub file_bytes: u64,
    /// Files that are kept, the newest included; at least two.
    pub files: usize,
    /// Lines between two signatures, if there is a key.
    pub signed_every: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { file_bytes: 16 << 20, files: 16, signed_every: 100 }
    }
}

/// A log that lines are added to.
#[derive(Debug)]
pub struct Log {
    directory: PathBuf,
    options: Options,
    signer: Option<Signer>,
}

impl Log {
    /// The log in a directory, which need not exist.
    #[must_use]
    pub fn at(directory: &Path, options: Options, signer: Option<Signer>) -> Log {
        Log { directory: directory.to_owned(), options, signer }
    }

    /// Adds a line: written and synced when this returns. `time` is that of the line, as RFC 3339.
    ///
    /// # Errors
    /// If the line is too long or cannot be written whole; then nothing of it is left.
    pub fn append(
        &self,
        time: &str,
        action: &str,
        about: &Map<String, Json>,
    ) -> Result<Link, LogError> {
        let mut open = Open::lock(&self.directory)?;
        open.mend(time)?;
        if open.length >= self.options.file_bytes {
            self.rotate(&mut open, time)?;
        }
        let link = open.add(time, action, about)?;
        if let Some(signer) = &self.signer
            && link.seq.is_multiple_of(self.options.signed_every.max(1))
        {
            open.sign(time, signer)?;
        }
        open.write()?;
        Ok(link)
    }

    /// Signs where the chain is now, if there is a key and anything to sign.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn checkpoint(&self, time: &str) -> Result<(), LogError> {
        let Some(signer) = &self.signer else { return Ok(()) };
        let mut open = Open::lock(&self.directory)?;
        open.mend(time)?;
        if open.end.seq > 0 && !open.ends_signed {
            open.sign(time, signer)?;
        }
        open.write()
    }

    /// Begins a new file, and removes what is too old after a line says so.
    fn rotate(&self, open: &mut Open, time: &str) -> Result<(), LogError> {
        if let Some(signer) = &self.signer {
            open.sign(time, signer)?;
        }
        open.write()?;
        open.begin()?;
        let all = files::all(&self.directory)?;
        let keep = self.options.files.max(2);
        for old in all.iter().take(all.len().saturating_sub(keep)) {
            let mut file = files::open(old, fs::OpenOptions::new().read(true))?;
            let last = match files::tail(&mut file, old)?.last {
                Last::Line(line) => Some(line.link),
                Last::None | Last::Foreign => None,
            };
            let name = old.file_name().unwrap_or_default().to_string_lossy();
            let last = last.map(|one| json!({ "seq": one.seq, "hash": one.hash.to_string() }));
            let about = json!({ "file": name, "last": last });
            open.add(time, REMOVED, &object(about))?;
            open.write()?;
            fs::remove_file(old).map_err(LogError::io("remove", old))?;
        }
        Ok(())
    }
}

fn object(json: Json) -> Map<String, Json> {
    if let Json::Object(map) = json { map } else { Map::new() }
}

/// A log while it is locked.
struct Open {
    directory: PathBuf,
    head: File,
    known: Option<Link>,
    path: PathBuf,
    file: File,
    /// Bytes of whole lines in the newest file.
    length: u64,
    torn: Vec<u8>,
    /// The last line there is.
    end: Link,
    ends_signed: bool,
    /// Why the chain cannot go on from the last line there is.
    damage: Option<&'static str>,
    /// Lines that are not written yet.
    lines: Vec<u8>,
}

impl Open {
    fn lock(directory: &Path) -> Result<Open, LogError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(LogError::io("create", directory))?;
        let path = directory.join(HEAD);
        let head = files::open(&path, fs::OpenOptions::new().read(true).write(true).create(true))?;
        lock(&head, FlockOperation::NonBlockingLockExclusive)
            .map_err(LogError::io("lock", &path))?;
        let mut bytes = vec![0; HEAD_BYTES];
        let known = head.read_exact_at(&mut bytes, 0).ok().and_then(|()| files::head(&bytes));
        let (path, mut file) = newest(directory)?;
        let tail = files::tail(&mut file, &path)?;
        let mut open = Open {
            directory: directory.to_owned(),
            head,
            known,
            path,
            file,
            length: tail.whole,
            torn: tail.torn,
            end: Link::default(),
            ends_signed: false,
            damage: None,
            lines: Vec::new(),
        };
        let last = match tail.last {
            Last::None => open.before()?,
            last => last,
        };
        open.begin_after(last);
        Ok(open)
    }

    /// Where the chain goes on: behind the last line, or behind what the head knows if that is more.
    fn begin_after(&mut self, last: Last) {
        let sound = match last {
            Last::Line(line) if line.real == line.link.hash => Some(line.link),
            _ => None,
        };
        self.end = sound.unwrap_or_default();
        let known = self.known.unwrap_or_default();
        self.damage = match last {
            Last::Line(_) | Last::Foreign if sound.is_none() => {
                Some("the last line is not as it was written")
            }
            _ if known.seq > self.end.seq => Some("the last lines are missing"),
            Last::Line(_) if self.known.is_none() => Some("the head is missing"),
            _ => None,
        };
        if known.seq > self.end.seq {
            self.end = known;
        }
    }

    /// The last line of the file before an empty one.
    fn before(&self) -> Result<Last, LogError> {
        let all = files::all(&self.directory)?;
        let older = all.iter().rev().find(|path| **path != self.path);
        let Some(old) = older else { return Ok(Last::None) };
        let mut file = files::open(old, fs::OpenOptions::new().read(true))?;
        Ok(files::tail(&mut file, old)?.last)
    }

    /// Says what a crash left or somebody did, and cuts off what is no whole line.
    fn mend(&mut self, time: &str) -> Result<(), LogError> {
        if !self.torn.is_empty() {
            let torn = std::mem::take(&mut self.torn);
            self.file.set_len(self.length).map_err(LogError::io("cut", &self.path))?;
            let shown = torn.get(..TORN_SHOWN).unwrap_or(&torn);
            let about = json!({
                "bytes": torn.len(),
                "sha256": Hash(Sha256::digest(&torn).into()).to_string(),
                "begins": String::from_utf8_lossy(shown),
            });
            self.add(time, TORN, &object(about))?;
        }
        if let Some(reason) = self.damage.take() {
            self.add(time, DAMAGED, &object(json!({ "reason": reason })))?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        time: &str,
        action: &str,
        about: &Map<String, Json>,
    ) -> Result<Link, LogError> {
        let (bytes, link) = line::seal(&self.end, time, action, about)?;
        self.lines.extend(bytes);
        (self.end, self.ends_signed) = (link, false);
        Ok(link)
    }

    fn sign(&mut self, time: &str, signer: &Signer) -> Result<(), LogError> {
        let about = json!({ "signature": signer.sign(&self.end)? });
        self.add(time, CHECKPOINT, &object(about))?;
        self.ends_signed = true;
        Ok(())
    }

    /// Writes what was added. Nothing of it stays if that fails.
    fn write(&mut self) -> Result<(), LogError> {
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() {
            return Ok(());
        }
        let written =
            self.file.write_all_at(&lines, self.length).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // What cannot even be cut is found as torn, and said, by whoever adds the next line.
            drop(self.file.set_len(self.length));
            return Err(LogError::Io { what: "write", path: self.path.clone(), source });
        }
        self.length = self.length.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        let head = files::head_bytes(&self.end);
        let path = self.directory.join(HEAD);
        self.head.write_all_at(head.as_bytes(), 0).map_err(LogError::io("write", &path))
    }

    /// Gives the newest file its number, and begins another.
    fn begin(&mut self) -> Result<(), LogError> {
        let mut first = files::open(&self.path, fs::OpenOptions::new().read(true))?;
        let seq = files::first(&mut first, &self.path)?.map_or(self.end.seq, |one| one.link.seq);
        let old = self.directory.join(files::older(seq));
        fs::rename(&self.path, &old).map_err(LogError::io("rename", &self.path))?;
        let (path, file) = newest(&self.directory)?;
        (self.path, self.file, self.length) = (path, file, 0);
        Ok(())
    }
}

/// The file of the newest lines; a new one is as durable as its lines will be.
fn newest(directory: &Path) -> Result<(PathBuf, File), LogError> {
    let path = directory.join(NEWEST);
    let new = path.symlink_metadata().is_err();
    let file = files::open(&path, fs::OpenOptions::new().read(true).write(true).create(true))?;
    if new {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(LogError::io("sync", directory))?;
    }
    Ok((path, file))
}

/// Locks the log, as long as this descriptor of its head is open.
pub(super) fn lock(head: &File, how: FlockOperation) -> io::Result<()> {
    for _ in 0..TRIES {
        match flock(head, how) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "somebody else holds its lock"))
}
