//! The end of the spool that is written: by the worker, in a thread of its own.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::FlockOperation;

use super::{segment, segments};
use crate::cli::record::History;

/// Into how many segments the spool is cut: so much of it goes at once when it is full.
const SEGMENTS: u64 = 16;
/// The same for its age.
const AGES: u32 = 16;
/// How often what was written is forced onto the disk. A power cut costs no more than that; a process that dies
/// costs nothing.
const SYNC: Duration = Duration::from_secs(1);
/// Bytes read at once where lines are counted.
const CHUNK: usize = 64 << 10;

/// The spool of an agent, open for writing. There is one writer at a time.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    bounds: History,
    open: Open,
    synced: Instant,
    _lock: File,
}

#[derive(Debug)]
struct Open {
    file: File,
    first: u64,
    lines: u64,
    bytes: u64,
    began: SystemTime,
}

impl Spool {
    /// Opens it where it ended; what a dead writer began and did not finish is cut.
    pub(crate) fn open(dir: &Path, bounds: History) -> io::Result<Spool> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // A writer that is about to end must have written its last line.
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("lock"))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
        let last = segments(dir)?.last().copied().unwrap_or_default();
        let open = Open::at(dir, last)?;
        let mut spool =
            Spool { dir: dir.to_owned(), bounds, open, synced: Instant::now(), _lock: lock };
        spool.prune()?;
        Ok(spool)
    }

    /// Adds whole lines. If that fails nothing of them is there.
    pub(crate) fn write(&mut self, lines: &str) -> io::Result<()> {
        let bytes = lines.len() as u64;
        let old = self.open.began.elapsed().is_ok_and(|age| age >= self.bounds.age / AGES);
        if self.open.lines > 0 && (old || self.open.bytes + bytes > self.segment()) {
            self.open.file.sync_data()?;
            self.open = Open::at(&self.dir, self.open.first + self.open.lines)?;
            self.prune()?;
        }
        if let Err(error) = self.open.file.write_all(lines.as_bytes()) {
            self.open.file.set_len(self.open.bytes)?;
            return Err(error);
        }
        self.open.bytes += bytes;
        self.open.lines += count(lines.as_bytes());
        if self.synced.elapsed() >= SYNC {
            self.synced = Instant::now();
            self.open.file.sync_data()?;
        }
        Ok(())
    }

    fn segment(&self) -> u64 {
        self.bounds.bytes / SEGMENTS
    }

    /// Deletes what is too old, or too much beside one more segment.
    fn prune(&mut self) -> io::Result<()> {
        let mut kept = Vec::new();
        for first in segments(&self.dir)?.into_iter().filter(|first| *first != self.open.first) {
            let path = segment(&self.dir, first);
            let about = fs::metadata(&path)?;
            kept.push((path, about.len(), about.modified()?));
        }
        let mut bytes: u64 = kept.iter().map(|one| one.1).sum();
        let room = self.bounds.bytes.saturating_sub(self.segment());
        for (path, size, ended) in kept {
            let is_old = ended.elapsed().is_ok_and(|age| age > self.bounds.age);
            if bytes <= room && !is_old {
                break;
            }
            fs::remove_file(path)?;
            bytes -= size;
        }
        Ok(())
    }
}

impl Open {
    fn at(dir: &Path, first: u64) -> io::Result<Open> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(segment(dir, first))?;
        let bytes = whole(&file)?;
        file.set_len(bytes)?;
        let (mut lines, mut chunk) = (0, vec![0; CHUNK]);
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                got => lines += count(chunk.get(..got).unwrap_or_default()),
            }
        }
        Ok(Open { file, first, lines, bytes, began: SystemTime::now() })
    }
}

/// Bytes up to the end of the last whole line.
fn whole(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut chunk = vec![0; CHUNK];
    while end > 0 {
        let begin = end.saturating_sub(CHUNK as u64);
        let len = usize::try_from(end - begin).unwrap_or(CHUNK);
        let part = chunk.get_mut(..len).unwrap_or_default();
        file.read_exact_at(part, begin)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

fn count(bytes: &[u8]) -> u64 {
    bytes.split(|byte| *byte == b'\n').skip(1).count() as u64
}
