//! Documents that were read before, for alerts that have earlier events as members.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::lines::{LINE_MAX, Position};

/// Lines between two places that are remembered in a file.
const STRIDE: u64 = 64;
/// Bytes of the latest documents that are kept of an input that cannot be read twice.
const RECENT_MAX: usize = 256 << 20;

/// Bytes read at once when a file is read again.
const BLOCK: usize = 64 << 10;

/// Where to find them.
#[derive(Debug)]
pub(crate) enum Archive {
    /// A file, which is read again.
    File { file: File, places: Vec<u64> },
    /// Items of an array, by position.
    Items { text: Arc<[u8]>, items: Vec<Range<usize>> },
    /// The latest lines of a pipe.
    Recent { lines: VecDeque<Box<[u8]>>, first: Position, bytes: usize },
}

impl Archive {
    pub(crate) fn file(file: File) -> Archive {
        Archive::File { file, places: Vec::new() }
    }

    pub(crate) fn items(text: Arc<[u8]>, items: Vec<Range<usize>>) -> Archive {
        Archive::Items { text, items }
    }

    pub(crate) fn recent() -> Archive {
        Archive::Recent { lines: VecDeque::new(), first: 1, bytes: 0 }
    }

    /// Takes note of a line that begins at this byte.
    pub(crate) fn add(&mut self, position: Position, start: u64, line: &[u8]) {
        match self {
            Archive::File { places, .. } if position % STRIDE == 1 => places.push(start),
            Archive::File { .. } | Archive::Items { .. } => {}
            Archive::Recent { lines, first, bytes } => {
                lines.push_back(line.into());
                *bytes += line.len();
                while *bytes > RECENT_MAX {
                    let Some(gone) = lines.pop_front() else { break };
                    *bytes -= gone.len();
                    *first += 1;
                }
            }
        }
    }

    /// The document of that number.
    pub(crate) fn get(&self, position: Position) -> Option<Vec<u8>> {
        match self {
            Archive::File { file, places } => {
                let before = position.checked_sub(1)?;
                let place = places.get(usize::try_from(before / STRIDE).ok()?)?;
                file_line(file, *place, before % STRIDE)
            }
            Archive::Items { text, items } => {
                let item = items.get(usize::try_from(position.checked_sub(1)?).ok()?)?;
                text.get(item.clone()).map(<[u8]>::to_vec)
            }
            Archive::Recent { lines, first, .. } => {
                let at = usize::try_from(position.checked_sub(*first)?).ok()?;
                lines.get(at).map(|line| line.to_vec())
            }
        }
    }
}

/// The line that comes so many lines after a place. The reader's own offset is left alone.
fn file_line(file: &File, place: u64, after: u64) -> Option<Vec<u8>> {
    let mut block = vec![0; BLOCK];
    let (mut at, mut passed, mut line) = (place, 0, Vec::new());
    loop {
        let read = file.read_at(&mut block, at).ok()?;
        let mut rest = block.get(..read)?;
        at += read as u64;
        while passed < after
            && let Some(newline) = memchr::memchr(b'\n', rest)
        {
            rest = rest.get(newline + 1..)?;
            passed += 1;
        }
        if passed == after {
            let newline = memchr::memchr(b'\n', rest);
            line.extend_from_slice(rest.get(..newline.unwrap_or(rest.len()))?);
            if newline.is_some() || line.len() > LINE_MAX {
                return Some(line);
            }
        }
        if read == 0 {
            return (passed == after && !line.is_empty()).then_some(line);
        }
    }
}
