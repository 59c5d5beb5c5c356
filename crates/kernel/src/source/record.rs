//! Builds records of `wire.h` in user space.

use model::wire::{RecAct, RecFile, RecHeader, RecIds, Span};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::sys;
use crate::sink::Sink;

/// A record structure: starts with a header.
pub(crate) trait Body: IntoBytes + Immutable + FromZeros {
    /// Its header.
    fn header(&mut self) -> &mut RecHeader;
}

macro_rules! body {
    ($($record:ty),*) => {$(
        impl Body for $record {
            fn header(&mut self) -> &mut RecHeader {
                &mut self.h
            }
        }
    )*};
}
body!(RecFile, RecIds, RecAct);

/// A record that says nothing yet but what it is, where it comes from, and that it is now.
pub(crate) fn blank<T: Body>(kind: u32, provider: u32, flags: u32, pid: u32) -> T {
    let mut body = T::new_zeroed();
    let header = body.header();
    header.time = sys::boottime();
    header.kind = short(kind);
    header.provider = short(provider);
    header.flags = flags;
    header.pid = pid;
    body
}

/// The variable part of a record, and the bytes sent in the end; reused from record to record.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    text: Vec<u8>,
    record: Vec<u8>,
}

impl Builder {
    /// Adds a string to a record of type `T` that is being made; at most `max` bytes are kept.
    /// Gives its place, and whether it was cut.
    pub(crate) fn text<T: Body>(&mut self, text: &[u8], max: u32) -> (Span, bool) {
        let max = max as usize;
        let kept = text.get(..max).unwrap_or(text);
        let span = Span {
            off: u16::try_from(size_of::<T>() + self.text.len()).unwrap_or(0),
            len: u16::try_from(kept.len()).unwrap_or(0),
        };
        self.text.extend_from_slice(kept);
        (span, kept.len() < text.len())
    }

    /// Finishes the record and hands it over.
    pub(crate) fn send<T: Body>(&mut self, mut body: T, ring: u32, sink: &mut dyn Sink) {
        let length = size_of::<T>() + self.text.len();
        body.header().len = u32::try_from(length).unwrap_or(0);
        self.record.clear();
        self.record.extend_from_slice(body.as_bytes());
        self.record.append(&mut self.text);
        sink.submit(ring, &mut self.record);
    }
}

/// Kinds and providers are numbered in 32 bits by the generator and sent in 16.
fn short(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(0)
}
