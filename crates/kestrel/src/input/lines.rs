//! Documents one by one.

use std::io;
use std::path::Path;

use super::Bad;
use super::source::{Block, Cursor, Position, Source};

/// A document and its number, or why it is none.
type Document<'l> = (Position, Result<&'l [u8], Bad>);

/// The documents of one input, first to last.
#[derive(Debug)]
pub(crate) struct Lines {
    source: Source,
    block: Block,
    cursor: Cursor,
}

impl Lines {
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> io::Result<Lines> {
        let source = Source::open(path)?;
        Ok(Lines { source, block: Block::default(), cursor: Cursor::default() })
    }

    /// The next document and its number.
    pub(crate) fn next(&mut self) -> io::Result<Option<Document<'_>>> {
        loop {
            if let Some((position, document)) = self.block.next(&mut self.cursor) {
                return Ok(Some((position, document.map(|range| self.block.bytes(range)))));
            }
            if !self.source.next(&mut self.block)? {
                return Ok(None);
            }
            self.cursor = Cursor::default();
        }
    }

    /// A document that was read before, if it is still there.
    #[cfg(test)]
    pub(crate) fn recall(&self, position: Position) -> Option<Vec<u8>> {
        self.source.recall(position)
    }
}
