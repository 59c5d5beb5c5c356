//! Making records in user space: sources that are not BPF programs, and tests.

use std::marker::PhantomData;

use zerocopy::{Immutable, IntoBytes};

use super::{RECORD_MAX, RecHeader, Span};

/// Collects the variable part of a record, then puts the fixed part before it.
///
/// ```
/// use model::wire::{Builder, KIND_UNLINK, RecFile, Record};
/// use zerocopy::FromZeros;
///
/// let mut tail = Builder::<RecFile>::new();
/// let mut fixed = RecFile::new_zeroed();
/// fixed.h.kind = KIND_UNLINK as u16;
/// fixed.path = tail.push(b"/tmp/x");
/// let buffer = tail.finish(&fixed);
/// let record = Record::parse(&buffer).unwrap();
/// assert_eq!(record.bytes(fixed.path), b"/tmp/x");
/// ```
#[derive(Debug, Clone)]
pub struct Builder<T> {
    bytes: Vec<u8>,
    fixed: PhantomData<T>,
}

impl<T: IntoBytes + Immutable> Default for Builder<T> {
    fn default() -> Self {
        Builder::new()
    }
}

impl<T: IntoBytes + Immutable> Builder<T> {
    /// A record whose fixed part is `T`.
    pub fn new() -> Self {
        Builder { bytes: vec![0; size_of::<T>()], fixed: PhantomData }
    }

    /// Appends bytes. What does not fit is left out: the span returned is then shorter.
    #[must_use]
    pub fn push(&mut self, part: &[u8]) -> Span {
        let off = self.bytes.len();
        // Spans have 16 bits, so a part that ended at RECORD_MAX itself could not be named.
        let room = (RECORD_MAX as usize - 1).saturating_sub(off);
        let part = part.get(..room).unwrap_or(part);
        self.bytes.extend_from_slice(part);
        let (off, len) = (u16::try_from(off), u16::try_from(part.len()));
        Span { off: off.unwrap_or_default(), len: len.unwrap_or_default() }
    }

    /// The record: `fixed` with its `len` filled in, then the parts, padded to eight bytes.
    pub fn finish(mut self, fixed: &T) -> Vec<u8> {
        let len = u32::try_from(self.bytes.len()).unwrap_or_default();
        if let Some(head) = self.bytes.get_mut(..size_of::<T>()) {
            head.copy_from_slice(fixed.as_bytes());
        }
        let at = std::mem::offset_of!(RecHeader, len);
        if let Some(slot) = self.bytes.get_mut(at..at + size_of::<u32>()) {
            slot.copy_from_slice(&len.to_ne_bytes());
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.bytes
    }
}
