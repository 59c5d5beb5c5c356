//! Frames into a file.

use std::io::{self, Write};

use crate::frame::{Kind, Packer};
use crate::{Block, Head};

/// Writes one recording. Each frame is handed on as a whole; what is lost when the writer dies is
/// the frame that was being written.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    packer: Packer,
    number: u64,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the head and what was known.
    pub fn begin(out: W, head: &Head, state: &[Block]) -> io::Result<Writer<W>> {
        let mut packer = Packer::new()?;
        let head_frame = head.frame(&mut packer)?;
        let mut writer = Writer { out, packer, number: head.first_frame, bytes: 0 };
        writer.put(&head_frame)?;
        for block in state {
            let frame = writer.packer.block(Kind::State, 0, block)?;
            writer.put(&frame)?;
        }
        Ok(writer)
    }

    /// Writes what happened.
    pub fn block(&mut self, block: &Block) -> io::Result<()> {
        let frame = self.packer.block(Kind::Items, self.number, block)?;
        self.number += 1;
        self.put(&frame)
    }

    /// Writes that nothing follows.
    pub fn end(mut self) -> io::Result<W> {
        let frame = self.packer.block(Kind::End, self.number, &Block::default())?;
        self.put(&frame)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Bytes that were written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn put(&mut self, frame: &[u8]) -> io::Result<()> {
        self.out.write_all(frame)?;
        self.bytes += frame.len() as u64;
        Ok(())
    }
}
