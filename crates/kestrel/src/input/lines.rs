//! Documents one by one.

use std::io;
use std::path::Path;

use super::source::{Block, Cursor, Numbered, Source};

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
    pub(crate) fn next(&mut self) -> io::Result<Option<Numbered<'_>>> {
        loop {
            let mut after = self.cursor;
            if self.block.next(&mut after).is_some() {
                break;
            }
            if !self.source.next(&mut self.block)? {
                return Ok(None);
            }
            self.cursor = Cursor::default();
        }
        Ok(self.block.next(&mut self.cursor))
    }

    /// A document that was read before, if it is still there.
    #[cfg(test)]
    pub(crate) fn recall(&self, position: super::Position) -> Option<Vec<u8>> {
        self.source.recall(position)
    }
}
