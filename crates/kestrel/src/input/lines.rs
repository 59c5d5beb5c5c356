//! Files into documents: one a line, or the items of one JSON array.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::Bad;
use super::archive::Archive;
use super::scan::Scan;

/// Longest line: an event with a full argument block and environment is far below.
pub(crate) const LINE_MAX: usize = 4 << 20;
/// Largest file that holds one array: it is read as a whole.
const ARRAY_MAX: u64 = 256 << 20;
/// Bytes read at once.
const BUFFER: usize = 1 << 20;

/// Number of a document in its input, from 1: of its line, or of the item of an array.
pub(crate) type Position = u64;

/// A document and its number, or why it is none.
pub(crate) type Numbered<'a> = (Position, Result<&'a [u8], Bad>);

/// The documents of one input, first to last.
pub(crate) struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    position: Position,
    /// Bytes read so far.
    bytes: u64,
    array: Option<Array>,
    archive: Archive,
}

struct Array {
    text: Arc<[u8]>,
    items: std::vec::IntoIter<Range<usize>>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Lines {
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> io::Result<Lines> {
        if path.as_os_str() == "-" {
            return Lines::new(Box::new(io::stdin()), Archive::recent());
        }
        let file = File::open(path)?;
        let about = file.metadata()?;
        if about.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let archive =
            if about.is_file() { Archive::file(file.try_clone()?) } else { Archive::recent() };
        Lines::new(Box::new(file), archive)
    }

    fn new(input: Box<dyn Read + Send>, archive: Archive) -> io::Result<Lines> {
        let input = BufReader::with_capacity(BUFFER, input);
        let (line, array) = (Vec::new(), None);
        let mut lines = Lines { input, line, position: 0, bytes: 0, array, archive };
        let start = lines.input.fill_buf()?.iter().find(|byte| !byte.is_ascii_whitespace());
        if start == Some(&b'[') {
            lines.read_array()?;
        }
        Ok(lines)
    }

    fn read_array(&mut self) -> io::Result<()> {
        let mut text = Vec::new();
        self.input.by_ref().take(ARRAY_MAX + 1).read_to_end(&mut text)?;
        if text.len() as u64 > ARRAY_MAX {
            let what = format!("the array is longer than {ARRAY_MAX} bytes; give it as NDJSON");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        self.bytes = text.len() as u64;
        let mut items = Vec::new();
        let mut scan = Scan::new(&text);
        let read = scan.items(0, |scan| {
            scan.peek();
            let start = scan.at();
            scan.skip(1)?;
            items.push(start..scan.at());
            Ok(())
        });
        read.and_then(|()| scan.end()).map_err(io::Error::other)?;
        let text: Arc<[u8]> = text.into();
        self.archive = Archive::items(Arc::clone(&text), items.clone());
        self.array = Some(Array { text, items: items.into_iter() });
        Ok(())
    }

    /// The next document and its number; blank lines are no documents. A line that is too long is
    /// stepped over.
    pub(crate) fn next(&mut self) -> io::Result<Option<Numbered<'_>>> {
        if self.array.is_some() {
            return Ok(self.next_item());
        }
        loop {
            self.line.clear();
            let start = self.bytes;
            let whole = self.read_line()?;
            if self.bytes == start {
                return Ok(None);
            }
            self.position += 1;
            self.archive.add(self.position, start, &self.line);
            if !whole {
                return Ok(Some((self.position, Err(Bad::Long))));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((self.position, Ok(&self.line))));
            }
        }
    }

    fn next_item(&mut self) -> Option<(Position, Result<&[u8], Bad>)> {
        let array = self.array.as_mut()?;
        let item = array.items.next()?;
        self.position += 1;
        Some((self.position, Ok(array.text.get(item).unwrap_or_default())))
    }

    /// Reads up to the next newline; tells whether all of it was kept.
    fn read_line(&mut self) -> io::Result<bool> {
        let mut whole = true;
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            let newline = memchr::memchr(b'\n', buffer);
            let taken = newline.map_or(buffer.len(), |at| at + 1);
            let text = buffer.get(..newline.unwrap_or(taken)).unwrap_or_default();
            if self.line.len() + text.len() > LINE_MAX {
                whole = false;
                self.line.clear();
            } else if whole {
                self.line.extend_from_slice(text);
            }
            self.input.consume(taken);
            self.bytes += taken as u64;
            if newline.is_some() || taken == 0 {
                return Ok(whole);
            }
        }
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A document that was read before, if it is still there.
    pub(crate) fn recall(&self, position: Position) -> Option<Vec<u8>> {
        self.archive.get(position)
    }
}
