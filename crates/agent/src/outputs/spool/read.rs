//! The end of the spool that is read: by the forwarder, once an output.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, statat};

use super::{LINE_MAX, directory, name, segments};

/// Lines handed over at once: what may have to be told again after a crash.
const BATCH_LINES: usize = 256;
/// Bytes read at once, unless a line is longer.
const BATCH_BYTES: usize = 256 << 10;

/// How far a reader is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The first line of the segment.
    pub(crate) segment: u64,
    /// Bytes of it that are done.
    pub(crate) at: u64,
    /// The number of the next line.
    pub(crate) line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.segment, self.at, self.line)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let numbers: Vec<u64> = text.split_whitespace().map_while(|one| one.parse().ok()).collect();
        match numbers[..] {
            [segment, at, line] if line >= segment => Ok(Place { segment, at, line }),
            _ => Err("it is no place in a spool".to_owned()),
        }
    }
}

/// One reader.
#[derive(Debug)]
pub(crate) struct Reader {
    dir: PathBuf,
    place: Place,
    open: Option<File>,
    lost: u64,
}

impl Reader {
    /// Goes on at a place.
    pub(crate) fn new(dir: &Path, place: Place) -> Reader {
        Reader { dir: dir.to_owned(), place, open: None, lost: 0 }
    }

    /// How far it is.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Goes on there: a place that came with a line.
    pub(crate) fn advance(&mut self, place: Place) {
        self.place = place;
    }

    /// Looks for its place anew.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    /// Lines that were given up before they were read, since this was last asked.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Bytes that wait.
    pub(crate) fn backlog(&self) -> u64 {
        let (Ok(all), Ok(within)) = (segments(&self.dir), directory(&self.dir)) else { return 0 };
        let later = all.into_iter().filter(|first| *first >= self.place.segment);
        let about = |first| statat(&within, name(first), AtFlags::SYMLINK_NOFOLLOW).ok();
        let bytes = later.filter_map(about).map(|one| u64::try_from(one.st_size).unwrap_or(0));
        bytes.fold(0, u64::saturating_add).saturating_sub(self.place.at)
    }

    /// The next lines, each with the place behind it; none if all is read.
    pub(crate) fn batch(&mut self) -> io::Result<Vec<(String, Place)>> {
        loop {
            if self.open.is_none() && !self.find()? {
                return Ok(Vec::new());
            }
            // Asked first: what is written to a segment is there before the next one is.
            let next = self.next()?;
            let Some(file) = &self.open else { return Ok(Vec::new()) };
            let bytes = some(file, self.place.at)?;
            let lines = self.cut(&bytes);
            if !lines.is_empty() {
                return Ok(lines);
            }
            let Some(next) = next else { return Ok(Vec::new()) };
            self.jump(next);
        }
    }

    fn next(&self) -> io::Result<Option<u64>> {
        Ok(segments(&self.dir)?.into_iter().find(|first| *first > self.place.segment))
    }

    /// Opens the segment of the place, or the one that follows on what has gone.
    fn find(&mut self) -> io::Result<bool> {
        let all = match segments(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            all => all?,
        };
        if !all.contains(&self.place.segment) {
            let later = all.iter().copied().find(|first| *first >= self.place.line);
            match (later, all.first()) {
                (Some(first), _) => self.jump(first),
                // It was begun anew: nothing of it has been read.
                (None, Some(first)) => self.place = Place { segment: *first, at: 0, line: *first },
                (None, None) => return Ok(false),
            }
        }
        let file = match open(&self.dir, self.place.segment) {
            // Given up at this very moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        if self.place.at > file.metadata()?.len() {
            // Another spool, or what a power cut left of this one: better twice than not at all.
            self.place = Place { segment: self.place.segment, at: 0, line: self.place.segment };
        }
        self.open = Some(file);
        Ok(true)
    }

    fn jump(&mut self, first: u64) {
        self.lost += first.saturating_sub(self.place.line);
        self.place = Place { segment: first, at: 0, line: first };
        // If it has gone meanwhile, the one behind it is looked for.
        self.open = open(&self.dir, first).ok();
    }

    fn cut(&self, bytes: &[u8]) -> Vec<(String, Place)> {
        let (mut lines, mut place) = (Vec::new(), self.place);
        for line in bytes.split_inclusive(|byte| *byte == b'\n').take(BATCH_LINES) {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            place.at += line.len() as u64;
            place.line += 1;
            lines.push((String::from_utf8_lossy(text).into_owned(), place));
        }
        lines
    }
}

/// Opens a segment. The writer has fewer rights than we have: no link of its is followed, and no second name that
/// it gave to a file of somebody else.
fn open(dir: &Path, first: u64) -> io::Result<File> {
    let within = directory(dir)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(&within, name(first), flags, Mode::empty())?);
    let about = file.metadata()?;
    if !about.is_file() || about.uid() != fstat(&within)?.st_uid {
        return Err(io::Error::other(format!(
            "{} is no file of who writes the spool",
            name(first)
        )));
    }
    Ok(file)
}

/// What is there from a place on: up to a batch, and at least a line if it is whole.
fn some(file: &File, at: u64) -> io::Result<Vec<u8>> {
    let mut size = BATCH_BYTES;
    loop {
        let mut bytes = vec![0; size];
        let mut got = 0;
        while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at + got as u64)? {
                0 => break,
                more => got += more,
            }
        }
        bytes.truncate(got);
        if got < size || bytes.contains(&b'\n') || size > LINE_MAX {
            return Ok(bytes);
        }
        size *= 2;
    }
}
