//! The files of a log, and their lines.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};

use super::line::{self, Parsed};
use super::log;
use super::{Hash, LINE_MAX, Link, LogError};

/// The file of the newest lines.
pub(super) const NEWEST: &str = "audit.jsonl";
/// The file that says where the chain ends.
pub(super) const HEAD: &str = "audit.head";
const OLDER: (&str, &str) = ("audit-", ".jsonl");
/// Digits of a number in a name, so that names sort as numbers do.
const DIGITS: usize = 20;
/// Bytes of the head: a number, a space, a hash, the end of the line.
pub(super) const HEAD_BYTES: usize = DIGITS + 1 + 64 + 1;

/// The name of a file whose first line has this number.
pub(super) fn older(first: u64) -> String {
    format!("{}{first:0DIGITS$}{}", OLDER.0, OLDER.1)
}

/// The number in the name of such a file.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_prefix(OLDER.0)?.strip_suffix(OLDER.1)?;
    let are_digits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().ok())?
}

/// The files of a log that are there, oldest first.
pub(super) fn all(directory: &Path) -> Result<Vec<PathBuf>, LogError> {
    let failed = |source| LogError::Io { what: "read", path: directory.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if number(&path).is_some() {
            found.push(path);
        }
    }
    found.sort();
    let newest = directory.join(NEWEST);
    if newest.symlink_metadata().is_ok() {
        found.push(newest);
    }
    Ok(found)
}

/// Opens a file of the log; a link is not what was meant.
pub(super) fn open(path: &Path, options: &mut fs::OpenOptions) -> Result<File, LogError> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();
    let file =
        options.mode(0o600).custom_flags(flags).open(path).map_err(LogError::io("open", path))?;
    if !file.metadata().is_ok_and(|about| about.is_file()) {
        let source = io::Error::other("it is no regular file");
        return Err(LogError::Io { what: "open", path: path.to_owned(), source });
    }
    Ok(file)
}

/// What a head says; none if it is not one.
pub(super) fn head(bytes: &[u8]) -> Option<Link> {
    let text = bytes.strip_suffix(b"\n")?;
    let (number, hash) = text.split_at_checked(DIGITS)?;
    let seq = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some(Link { seq, hash: Hash::parse(hash.strip_prefix(b" ")?)? })
}

/// A head in bytes.
pub(super) fn head_bytes(link: &Link) -> String {
    format!("{:0DIGITS$} {}\n", link.seq, link.hash)
}

/// What the last whole line of a file is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Last {
    /// There is none.
    #[default]
    None,
    /// One of a log.
    Line(Parsed),
    /// Something else.
    Foreign,
}

/// Where a file ends.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Bytes of whole lines.
    pub(super) whole: u64,
    /// What is behind the last whole line.
    pub(super) torn: Vec<u8>,
    /// The last of these.
    pub(super) last: Last,
}

/// The end of a file; longer than a line is no line.
pub(super) fn tail(file: &mut File, path: &Path) -> Result<Tail, LogError> {
    let failed = || LogError::io("read", path);
    let length = file.seek(SeekFrom::End(0)).map_err(failed())?;
    let room = u64::try_from(2 * LINE_MAX).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(length.saturating_sub(room))).map_err(failed())?;
    let mut bytes = Vec::new();
    file.take(room).read_to_end(&mut bytes).map_err(failed())?;
    let ends = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let torn = bytes.split_off(ends(&bytes));
    let whole = length.saturating_sub(u64::try_from(torn.len()).unwrap_or(u64::MAX));
    bytes.pop();
    let last = match bytes.get(ends(&bytes)..).filter(|_| whole > 0) {
        None => Last::None,
        Some(text) => line::parse(text).map_or(Last::Foreign, Last::Line),
    };
    Ok(Tail { whole, torn, last })
}

/// The first line of a file, if it is one of a log.
pub(super) fn first(file: &mut File, path: &Path) -> Result<Option<Parsed>, LogError> {
    let mut reader = BufReader::new(file.try_clone().map_err(LogError::io("read", path))?);
    match one(&mut reader).map_err(LogError::io("read", path))? {
        Some(Read::Line(line)) => Ok(line::parse(&line)),
        _ => Ok(None),
    }
}

/// One line as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// A whole line, without its end.
    Line(Vec<u8>),
    /// Longer than a line can be; so many bytes were passed over.
    TooLong(u64),
    /// The last one, without an end.
    Torn(Vec<u8>),
}

/// The lines of a log, from the oldest on.
#[derive(Debug)]
pub struct Lines {
    waiting: std::vec::IntoIter<(PathBuf, File)>,
    open: Option<(PathBuf, BufReader<File>, u64)>,
}

impl Lines {
    /// Of the log in a directory.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn of(directory: &Path) -> Result<Lines, LogError> {
        Lines::opened(directory, |_| 0)
    }

    /// Of the files that may hold lines behind this one.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn behind(directory: &Path, seq: u64) -> Result<Lines, LogError> {
        // A file is of no use if the next one begins no later than the line that is wanted.
        let later =
            |path: &PathBuf| number(path).is_some_and(|first| first <= seq.saturating_add(1));
        Lines::opened(directory, |all| all.iter().rposition(later).unwrap_or_default())
    }

    /// Of the files from one of them on. All are opened before any is read, while nobody may add a line:
    /// else a file that ends meanwhile would be passed over, and one that is too old would be missed.
    fn opened(directory: &Path, from: impl Fn(&[PathBuf]) -> usize) -> Result<Lines, LogError> {
        let path = directory.join(HEAD);
        let head = match open(&path, fs::OpenOptions::new().read(true)) {
            Ok(head) => Some(head),
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(head) = &head {
            log::lock(head, FlockOperation::NonBlockingLockShared)
                .map_err(LogError::io("lock", &path))?;
        }
        let all = all(directory)?;
        let wanted = all.get(from(&all)..).unwrap_or_default().iter();
        let opened =
            wanted.map(|path| Ok((path.clone(), open(path, fs::OpenOptions::new().read(true))?)));
        let waiting = opened.collect::<Result<Vec<_>, LogError>>()?.into_iter();
        Ok(Lines { waiting, open: None })
    }

    /// The next line with its file and its number in it, from 1.
    fn step(&mut self) -> Result<Option<(PathBuf, u64, Read)>, LogError> {
        loop {
            if self.open.is_none() {
                let Some((path, file)) = self.waiting.next() else { return Ok(None) };
                self.open = Some((path, BufReader::new(file), 0));
            }
            let Some((path, reader, number)) = &mut self.open else { return Ok(None) };
            match one(reader).map_err(LogError::io("read", path))? {
                Some(read) => {
                    *number += 1;
                    return Ok(Some((path.clone(), *number, read)));
                }
                None => self.open = None,
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<(PathBuf, u64, Read), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

fn one(reader: &mut BufReader<File>) -> io::Result<Option<Read>> {
    let (room, mut line) = (u64::try_from(LINE_MAX).unwrap_or(u64::MAX), Vec::new());
    if reader.by_ref().take(room).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(Read::Line(line)));
    }
    let mut passed = u64::try_from(line.len()).unwrap_or(u64::MAX);
    if passed < room {
        return Ok(Some(Read::Torn(line)));
    }
    loop {
        line.clear();
        let taken = reader.by_ref().take(room).read_until(b'\n', &mut line)?;
        passed = passed.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
        if taken == 0 || line.last() == Some(&b'\n') {
            return Ok(Some(Read::TooLong(passed)));
        }
    }
}
