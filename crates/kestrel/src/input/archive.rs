//! Documents that were read before, for alerts that have earlier events as members.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::source::{LINE_MAX, Position};

/// Bytes of the latest documents that are kept of an input that cannot be read twice.
const RECENT_MAX: usize = 256 << 20;

/// Bytes read at once when a file is read again.
const BLOCK: usize = 64 << 10;

/// Where to find them.
#[derive(Debug)]
pub(crate) enum Archive {
    /// A file, which is read again: where each block of lines begins, and the number of its first.
    File { file: File, places: Vec<(Position, u64)> },
    /// Items of an array, by position.
    Items { text: Arc<[u8]>, items: Vec<Range<usize>> },
    /// The latest blocks of lines of a pipe, each with the number of its first.
    Recent { blocks: VecDeque<(Position, Box<[u8]>)>, bytes: usize },
}

impl Archive {
    pub(crate) fn file(file: File) -> Archive {
        Archive::File { file, places: Vec::new() }
    }

    pub(crate) fn items(text: Arc<[u8]>, items: Vec<Range<usize>>) -> Archive {
        Archive::Items { text, items }
    }

    pub(crate) fn recent() -> Archive {
        Archive::Recent { blocks: VecDeque::new(), bytes: 0 }
    }

    /// Takes note of lines, of the number of the first, and of the byte where it begins.
    pub(crate) fn add(&mut self, first: Position, start: u64, lines: &[u8]) {
        match self {
            Archive::File { places, .. } => places.push((first, start)),
            Archive::Items { .. } => {}
            Archive::Recent { blocks, bytes } => {
                blocks.push_back((first, lines.into()));
                *bytes += lines.len();
                while *bytes > RECENT_MAX {
                    let Some((_, gone)) = blocks.pop_front() else { break };
                    *bytes -= gone.len();
                }
            }
        }
    }

    /// The document of that number.
    pub(crate) fn get(&self, position: Position) -> Option<Vec<u8>> {
        match self {
            Archive::File { file, places } => {
                let after = places.partition_point(|(first, _)| *first <= position);
                let (first, start) = places.get(after.checked_sub(1)?)?;
                file_line(file, *start, position - first)
            }
            Archive::Items { text, items } => {
                let item = items.get(usize::try_from(position.checked_sub(1)?).ok()?)?;
                text.get(item.clone()).map(<[u8]>::to_vec)
            }
            Archive::Recent { blocks, .. } => {
                let after = blocks.partition_point(|(first, _)| *first <= position);
                let (first, lines) = blocks.get(after.checked_sub(1)?)?;
                let at = usize::try_from(position - first).ok()?;
                lines.split(|byte| *byte == b'\n').nth(at).map(<[u8]>::to_vec)
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
