//! Records as the kernel half writes them, checked once and then read in place.
//!
//! [`Record::parse`] looks at the header, the kind and the length; strings are cut out on demand
//! by [`Record::bytes`]. Nothing is copied and no input can cause a panic. The version of the
//! format is the business of whoever carries records (a recording, the guard), not of a record.

mod build;
mod generated;

pub use build::Builder;
pub use generated::*;

use thiserror::Error;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::op::Kind;

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// Shorter than the fixed part of its kind, or not at an address divisible by eight.
    #[error("{have} bytes at this address cannot hold a {what} record (short or unaligned)")]
    Short {
        /// Kind of record, or `header`.
        what: &'static str,
        /// Bytes that were there.
        have: usize,
    },
    /// The length in the header is not between the fixed part and the bytes that are there.
    #[error("record says it has {says} bytes, but {have} are there")]
    Length {
        /// Length in the header.
        says: u32,
        /// Bytes that were there.
        have: usize,
    },
    /// A kind that this version does not know.
    #[error("record of unknown kind {0}; it was written by another version")]
    Kind(u16),
}

/// The fixed part of a record, by shape.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// exec, fork, exit, task
    Task(&'a RecTask),
    /// setuid, setgid, setsid, capset
    Ids(&'a RecIds),
    /// files and mounts
    File(&'a RecFile),
    /// network
    Net(&'a RecNet),
    /// one process acting on another, or on the kernel
    Act(&'a RecAct),
}

/// One record, borrowed from the ring, a recording or a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    bytes: &'a [u8],
    kind: Kind,
    body: Body<'a>,
}

impl<'a> Record<'a> {
    /// Checks and decodes. `bytes` may be longer than the record (rings pad to eight bytes).
    pub fn parse(bytes: &'a [u8]) -> Result<Record<'a>, WireError> {
        let header: &RecHeader = fixed(bytes, "header")?;
        let kind = Kind::from_wire(header.kind).ok_or(WireError::Kind(header.kind))?;
        let says = WireError::Length { says: header.len, have: bytes.len() };
        let len = usize::try_from(header.len).map_err(|_| says)?;
        let bytes = bytes.get(..len).ok_or(says)?;
        let body = match kind {
            Kind::Exec | Kind::Fork | Kind::Exit | Kind::Task => {
                Body::Task(fixed(bytes, kind.name())?)
            }
            Kind::Setuid | Kind::Setgid | Kind::Setsid | Kind::Capset => {
                Body::Ids(fixed(bytes, kind.name())?)
            }
            Kind::Open
            | Kind::Create
            | Kind::Write
            | Kind::Rename
            | Kind::Unlink
            | Kind::Link
            | Kind::Attr
            | Kind::Mount
            | Kind::Umount
            | Kind::Memfd => Body::File(fixed(bytes, kind.name())?),
            Kind::Connect
            | Kind::Accept
            | Kind::Bind
            | Kind::Listen
            | Kind::Send
            | Kind::Close
            | Kind::Dns => Body::Net(fixed(bytes, kind.name())?),
            Kind::Ptrace
            | Kind::Signal
            | Kind::Module
            | Kind::Bpf
            | Kind::Namespace
            | Kind::IoUring => Body::Act(fixed(bytes, kind.name())?),
        };
        Ok(Record { bytes, kind, body })
    }

    /// What every record begins with.
    pub fn header(&self) -> &'a RecHeader {
        match self.body {
            Body::Task(r) => &r.h,
            Body::Ids(r) => &r.h,
            Body::File(r) => &r.h,
            Body::Net(r) => &r.h,
            Body::Act(r) => &r.h,
        }
    }

    /// What happened.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The fixed part.
    pub fn body(&self) -> Body<'a> {
        self.body
    }

    /// The bytes that a span names; empty if it does not lie inside the record.
    pub fn bytes(&self, span: Span) -> &'a [u8] {
        let start = usize::from(span.off);
        self.bytes.get(start..start + usize::from(span.len)).unwrap_or_default()
    }

    /// The whole record, without the ring's padding.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether a `FLAG_*` is set.
    pub fn has(&self, flag: u32) -> bool {
        self.header().flags & flag != 0
    }
}

fn fixed<'a, T>(bytes: &'a [u8], what: &'static str) -> Result<&'a T, WireError>
where
    T: FromBytes + KnownLayout + Immutable,
{
    let short = WireError::Short { what, have: bytes.len() };
    T::ref_from_prefix(bytes).map(|(fixed, _)| fixed).map_err(|_| short)
}

#[cfg(test)]
mod tests;
