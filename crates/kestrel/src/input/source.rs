//! Inputs into blocks of documents: lines, or the items of one JSON array.

use std::fs::File;
use std::io::{self, Read};
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
/// Bytes read at once: what a core keeps at hand while it works on them.
const BLOCK: usize = 256 << 10;
/// Items of an array in one block.
const ITEMS: usize = 64;
/// Documents of one input: places and positions share 64 bits.
pub(super) const DOCUMENTS_MAX: u64 = u32::MAX as u64;

/// Number of a document in its input, from 1: of its line, or of the item of an array.
pub(crate) type Position = u64;

/// Where a document stands in its block, and its number, or why it is none.
pub(crate) type Numbered = (Position, Result<Range<usize>, Bad>);

/// One input, first to last.
pub(crate) struct Source {
    input: Box<dyn Read + Send>,
    /// Bytes of a line whose end has not been read.
    carry: Vec<u8>,
    /// Documents given out.
    position: Position,
    /// Bytes of them.
    bytes: u64,
    array: Option<Array>,
    archive: Archive,
    live: bool,
}

struct Array {
    text: Arc<[u8]>,
    items: std::vec::IntoIter<Range<usize>>,
}

/// Items of an array, in its text.
type Items = (Arc<[u8]>, Vec<Range<usize>>);

/// Documents that stand together.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Room for whole lines, of which `used` bytes are taken.
    room: Vec<u8>,
    used: usize,
    /// Items of an array, if the input is one.
    items: Option<Items>,
    first: Position,
    /// It stands for a line that was too long and stepped over.
    long: bool,
}

/// How far a block has been read.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cursor {
    documents: usize,
    at: usize,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> io::Result<Source> {
        if path.as_os_str() == "-" {
            return Source::new(Box::new(io::stdin()), Archive::recent(), true);
        }
        let file = File::open(path)?;
        let about = file.metadata()?;
        if about.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let live = !about.is_file();
        let archive = if live { Archive::recent() } else { Archive::file(file.try_clone()?) };
        Source::new(Box::new(file), archive, live)
    }

    fn new(input: Box<dyn Read + Send>, archive: Archive, live: bool) -> io::Result<Source> {
        let (carry, array) = (Vec::new(), None);
        let mut source = Source { input, carry, position: 0, bytes: 0, array, archive, live };
        let mut start = [0; 64];
        loop {
            let read = fill(&mut source.input, &mut start)?;
            source.carry.extend_from_slice(start.get(..read).unwrap_or_default());
            let first = source.carry.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
            if first == Some(b'[') {
                source.read_array()?;
            }
            if first.is_some() || read == 0 || source.carry.len() > BLOCK {
                return Ok(source);
            }
        }
    }

    fn read_array(&mut self) -> io::Result<()> {
        let mut text = std::mem::take(&mut self.carry);
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

    /// Whether documents come while somebody waits for what they mean.
    pub(crate) fn live(&self) -> bool {
        self.live
    }

    /// Fills a block with the next documents; false at the end.
    pub(crate) fn next(&mut self, block: &mut Block) -> io::Result<bool> {
        (block.used, block.long, block.first) = (0, false, self.position + 1);
        if let Some(array) = &mut self.array {
            let items: Vec<Range<usize>> = array.items.by_ref().take(ITEMS).collect();
            let more = !items.is_empty();
            self.position += items.len() as u64;
            block.items = Some((Arc::clone(&array.text), items));
            return Ok(more);
        }
        block.items = None;
        self.lines(block)?;
        if block.used == 0 && !block.long {
            return Ok(false);
        }
        self.archive.add(block.first, self.bytes, block.text());
        self.bytes += block.used as u64;
        let ends = memchr::memchr_iter(b'\n', block.text()).count() as u64;
        let unfinished = u64::from(block.long || !block.text().ends_with(b"\n"));
        self.position += ends + unfinished;
        if self.position >= DOCUMENTS_MAX {
            let what = format!("more than {DOCUMENTS_MAX} lines; split the input");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        Ok(true)
    }

    /// Reads whole lines; at the end of the input the last line may lack its newline.
    fn lines(&mut self, block: &mut Block) -> io::Result<()> {
        let carried = self.carry.len();
        block.room.resize(block.room.len().max(carried + BLOCK), 0);
        if let Some(room) = block.room.get_mut(..carried) {
            room.copy_from_slice(&self.carry);
        }
        (block.used, self.carry) = (carried, Vec::new());
        // What the beginning of an input left may have newlines.
        let mut end = memchr::memrchr(b'\n', block.text());
        while end.is_none() {
            if block.used > LINE_MAX {
                return self.step_over(block);
            }
            if block.room.len() - block.used < BLOCK {
                block.room.resize(block.used + BLOCK, 0);
            }
            let room = block.room.get_mut(block.used..).unwrap_or_default();
            let read = fill(&mut self.input, room)?;
            if read == 0 {
                return Ok(());
            }
            let new = room.get(..read).unwrap_or_default();
            end = memchr::memrchr(b'\n', new).map(|at| block.used + at);
            block.used += read;
        }
        let end = end.map_or(block.used, |at| at + 1);
        self.carry.extend_from_slice(block.text().get(end..).unwrap_or_default());
        block.used = end;
        Ok(())
    }

    /// Steps over the rest of a line that is too long.
    fn step_over(&mut self, block: &mut Block) -> io::Result<()> {
        self.bytes += block.used as u64;
        (block.used, block.long) = (0, true);
        loop {
            let read = fill(&mut self.input, &mut block.room)?;
            let new = block.room.get(..read).unwrap_or_default();
            let newline = memchr::memchr(b'\n', new);
            let passed = newline.map_or(read, |at| at + 1);
            self.bytes += passed as u64;
            if newline.is_some() || read == 0 {
                self.carry.extend_from_slice(new.get(passed..).unwrap_or_default());
                return Ok(());
            }
        }
    }

    /// Bytes given out so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A document that was read before, if it is still there.
    pub(crate) fn recall(&self, position: Position) -> Option<Vec<u8>> {
        self.archive.get(position)
    }
}

/// Reads what there is; 0 at the end.
fn fill(input: &mut dyn Read, room: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

impl Block {
    fn text(&self) -> &[u8] {
        self.room.get(..self.used).unwrap_or_default()
    }

    /// Bytes of it.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        let text = self.items.as_ref().map_or(&self.room[..], |(text, _)| text);
        text.get(range).unwrap_or_default()
    }

    /// Bytes that it takes.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.room.len()
    }

    /// Forgets all but some of its bytes, which then stand one after another, and of which it
    /// tells where they stand now.
    pub(crate) fn keep<'r>(&mut self, ranges: impl Iterator<Item = &'r mut Range<usize>>) {
        let mut kept = Vec::new();
        for range in ranges {
            let start = kept.len();
            kept.extend_from_slice(self.bytes(range.clone()));
            *range = start..kept.len();
        }
        kept.shrink_to_fit();
        *self = Block { used: kept.len(), room: kept, ..Block::default() };
    }

    /// The next document and its number; blank lines are no documents.
    pub(crate) fn next(&self, cursor: &mut Cursor) -> Option<Numbered> {
        if let Some((_, items)) = &self.items {
            let item = items.get(cursor.documents)?;
            let position = self.first + cursor.documents as u64;
            cursor.documents += 1;
            return Some((position, Ok(item.clone())));
        }
        loop {
            let position = self.first + cursor.documents as u64;
            if self.long && cursor.documents == 0 {
                cursor.documents = 1;
                return Some((position, Err(Bad::Long)));
            }
            let start = cursor.at;
            let rest = self.text().get(start..).filter(|rest| !rest.is_empty())?;
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..end).unwrap_or_default();
            cursor.documents += 1;
            cursor.at += end + 1;
            if line.len() > LINE_MAX {
                return Some((position, Err(Bad::Long)));
            }
            if !line.trim_ascii_start().is_empty() {
                return Some((position, Ok(start..start + end)));
            }
        }
    }
}
