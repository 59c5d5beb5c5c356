//! The recent past in files: a ring of segments below the state directory, bounded by size and age.
//!
//! Each segment is a recording of its own that begins with what was known then; the oldest are
//! deleted whole. A segment is never written again once another has begun, so what a crash tears is
//! the end of one file.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;

use crate::cli::record::History;
use crate::exit::{Exit, Failure};

/// The directory below the state directory.
pub(crate) const DIRECTORY: &str = "history";
/// What the names of segments end with.
const ENDING: &str = "rec";
/// Segments that fill the history: so much of it is deleted at once.
const SEGMENTS: u64 = 16;
/// Bytes of a segment at least, so that beginnings do not take much of it.
const SEGMENT_MIN: u64 = 1 << 20;
/// How long a disk that failed is left alone.
const RETRY: Duration = Duration::from_secs(10);

/// The segments.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    bounds: History,
    /// The segment that is being written.
    open: Option<Open>,
    /// Those that are full, oldest first.
    closed: VecDeque<Closed>,
    /// When writing failed last.
    failed: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    bytes: u64,
    began: Instant,
}

#[derive(Debug)]
struct Closed {
    path: PathBuf,
    bytes: u64,
    ended: SystemTime,
}

impl Files {
    /// Opens the directory; segments of before stay, within the bounds.
    pub(super) fn open(state: &Path, bounds: History) -> Result<Files, Failure> {
        let dir = state.join(DIRECTORY);
        let unusable = |error: io::Error| {
            Failure::new(
                Exit::RuntimeDir,
                format!("cannot keep a history in {}: {error}", dir.display()),
            )
            .help("give a directory that can be written with --state-dir, or keep none: --history off")
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(unusable)?;
        let closed = segments(&dir).map_err(unusable)?.into_iter().filter_map(|path| {
            let about = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
            Some(Closed { path, bytes: about.len(), ended: about.modified().ok()? })
        });
        let mut files =
            Files { bounds, open: None, closed: closed.collect(), failed: None, dir: dir.clone() };
        files.prune();
        Ok(files)
    }

    /// Whether another segment is to begin.
    pub(super) fn is_due(&mut self) -> bool {
        let age = self.bounds.age / u32::try_from(SEGMENTS).unwrap_or(1);
        match &self.open {
            Some(open) => open.bytes >= self.segment() || open.began.elapsed() >= age,
            None => self.failed.take_if(|failed| failed.elapsed() >= RETRY).is_some(),
        }
    }

    /// Ends the segment and begins another one.
    pub(super) fn rotate(&mut self, end: &Bytes, beginning: &[Bytes]) {
        self.close(end);
        self.prune();
        match self.begin(beginning) {
            Ok(open) => self.open = Some(open),
            Err(error) => self.fail(&error),
        }
    }

    /// Adds a frame to the segment; false if it is lost.
    pub(super) fn write(&mut self, frame: &[u8]) -> bool {
        let Some(open) = self.open.as_mut() else { return false };
        match open.file.write_all(frame) {
            Ok(()) => {
                open.bytes += frame.len() as u64;
                true
            }
            Err(error) => {
                self.fail(&error);
                false
            }
        }
    }

    /// Ends the segment.
    pub(super) fn close(&mut self, end: &Bytes) {
        let Some(mut open) = self.open.take() else { return };
        let ended = open.file.write_all(end).and_then(|()| open.file.sync_data());
        if let Err(error) = ended {
            tracing::warn!(path = %open.path.display(), %error, "a segment of history has no end");
        }
        self.closed.push_back(Closed {
            path: open.path,
            bytes: open.bytes + end.len() as u64,
            ended: SystemTime::now(),
        });
    }

    fn begin(&self, beginning: &[Bytes]) -> io::Result<Open> {
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
        let path = self.dir.join(format!("{now}.{ENDING}"));
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        let mut bytes = 0;
        for frame in beginning {
            file.write_all(frame)?;
            bytes += frame.len() as u64;
        }
        Ok(Open { path, file, bytes, began: Instant::now() })
    }

    /// What could be written is a recording that was cut off.
    fn fail(&mut self, error: &io::Error) {
        tracing::error!(directory = %self.dir.display(), %error, "the history has a gap");
        self.failed = Some(Instant::now());
        if let Some(Open { path, bytes, .. }) = self.open.take() {
            self.closed.push_back(Closed { path, bytes, ended: SystemTime::now() });
        }
    }

    fn segment(&self) -> u64 {
        (self.bounds.bytes / SEGMENTS).max(SEGMENT_MIN)
    }

    /// Deletes the oldest segments, so that the next one fits.
    fn prune(&mut self) {
        let mut bytes: u64 = self.closed.iter().map(|one| one.bytes).sum();
        let room = self.bounds.bytes.saturating_sub(self.segment());
        while let Some(oldest) = self.closed.front() {
            let is_old = oldest.ended.elapsed().is_ok_and(|age| age > self.bounds.age);
            if bytes <= room && !is_old {
                return;
            }
            if let Err(error) = fs::remove_file(&oldest.path)
                && error.kind() != io::ErrorKind::NotFound
            {
                let path = oldest.path.display();
                tracing::warn!(%path, %error, "an old segment of history cannot be deleted");
            }
            bytes -= oldest.bytes;
            self.closed.pop_front();
        }
    }
}

/// The segments of a directory, the oldest first.
pub(crate) fn segments(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            paths.push(path);
        }
    }
    // Their names begin with when they began.
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn bounds(bytes: u64, seconds: u64) -> History {
        History { bytes, age: Duration::from_secs(seconds) }
    }

    fn names(dir: &Path) -> Vec<PathBuf> {
        let mut names: Vec<PathBuf> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_segments_go_and_all_is_for_root_alone() {
        let state = tempfile::tempdir().unwrap();
        let mut files = Files::open(state.path(), bounds(8 << 20, 3600)).unwrap();
        let (end, begin) = (Bytes::from_static(b"end"), [Bytes::from_static(b"begin")]);
        let dir = state.path().join(DIRECTORY);
        assert!(!files.write(b"nothing is open"));
        for number in 0..12 {
            files.rotate(&end, &begin);
            assert!(!files.is_due());
            assert!(files.write(&vec![number; 1 << 20]) && files.is_due());
            let bytes: u64 = names(&dir).iter().map(|path| path.metadata().unwrap().len()).sum();
            assert!(bytes <= 8 << 20, "{bytes} bytes after {number}");
        }
        files.close(&end);
        let left = names(&dir);
        assert_eq!(left.len(), 7, "{left:?}");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&left[0])), (0o700, 0o600));
        let text = fs::read(left.last().unwrap()).unwrap();
        assert!(text.starts_with(b"begin\x0b") && text.ends_with(b"\x0bend"), "the youngest");
        // Whoever comes next goes by the same bounds.
        drop(Files::open(state.path(), bounds(4 << 20, 3600)).unwrap());
        assert_eq!(names(&dir).len(), 2);
        std::thread::sleep(Duration::from_millis(1100));
        drop(Files::open(state.path(), bounds(4 << 20, 1)).unwrap());
        assert_eq!(names(&dir).len(), 0, "all of it is older than a second");
    }

    #[test]
    fn a_directory_that_cannot_be_is_named() {
        let state = tempfile::NamedTempFile::new().unwrap();
        let failure = Files::open(state.path(), bounds(1, 1)).unwrap_err();
        assert_eq!(failure.exit, Exit::RuntimeDir);
        assert!(failure.to_string().contains("--history off"), "{failure}");
    }
}
