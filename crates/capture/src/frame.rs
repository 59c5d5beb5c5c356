//! Frames: what a recording is made of. Each is checked, bounded and readable without the others.
//!
//! ```text
//!  0  magic     8 bytes; what a reader looks for after a damage
//!  8  version   2
//! 10  kind      1    what is in it
//! 11            1    zero
//! 12  items     4    items in the block
//! 16  size      4    bytes of the block in memory
//! 20  packed    4    bytes before compression
//! 24  len       4    bytes that follow the header
//! 28            4    zero
//! 32  number    8    frames of items count on, so that a missing one is noticed
//! 40  sum       8    XXH3 of all that stands before it and of what follows
//! ```
//!
//! All numbers are little-endian. The sum is looked at before anything else is believed; it finds
//! accidents. It is no signature: whoever may write the file can make one that fits.

use std::hash::Hasher as _;

use twox_hash::XxHash3_64;

use crate::block::{BLOCK_MAX, Block};
use crate::columns::{self, Encoder};

/// What each frame begins with. A byte that is no text and line ends of two systems show a transfer
/// that changed them.
pub const MAGIC: [u8; 8] = *b"\x89AEG\r\n\x1aR";
/// Version of frames and columns.
pub const VERSION: u16 = 1;
/// Bytes of the header of a frame.
pub const HEADER: usize = 48;
/// Bytes before compression: columns are hardly ever longer than the block, and a list of rules has
/// room too.
pub const PACKED_MAX: usize = BLOCK_MAX + (1 << 20);
/// Bytes of a frame after its header: what does not compress grows by one part in 256 and a little.
pub const PAYLOAD_MAX: usize = PACKED_MAX + PACKED_MAX / 256 + 1024;
/// Of the levels of zstd the one that keeps up with the kernel on one core; see docs/performance.md.
const LEVEL: i32 = 1;

/// What is in a frame; the numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// What the recording says of itself.
    Head = 1,
    /// What was known when it began.
    State = 2,
    /// What happened.
    Items = 3,
    /// It was closed.
    End = 4,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        [Kind::Head, Kind::State, Kind::Items, Kind::End]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Why something is not read. Each has a code, which does not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The file does not begin with a frame.
    #[error("this is no recording: it does not begin with a frame")]
    NoRecording,
    /// Another version wrote it.
    #[error(
        "frames of version {0} are not known here ({VERSION} is): use the version that wrote it"
    )]
    Version(u16),
    /// The bytes are not those that were written.
    #[error("the frame is damaged: its checksum is another")]
    Sum,
    /// A number is larger than any writer makes.
    #[error("the frame says of its {what} what no writer says ({says})")]
    Bound {
        /// What is too large.
        what: &'static str,
        /// What it says.
        says: u64,
    },
    /// The payload cannot be unpacked, although its checksum fits.
    #[error("the frame cannot be unpacked: {0}")]
    Packing(String),
    /// What the recording says of itself cannot be understood.
    #[error("the head of the recording cannot be understood: {0}")]
    Head(String),
    /// Records of another form.
    #[error(
        "its records have version {0} of the wire format, and {expected} is read here: use the \
         version that wrote it",
        expected = model::wire::WIRE_VERSION
    )]
    Wire(u32),
    /// Written on a machine whose numbers have another order of bytes.
    #[error("it was written on a machine of the other byte order, and can be read only on one")]
    ByteOrder,
}

impl Refusal {
    /// The code.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::NoRecording => "no-recording",
            Refusal::Version(_) => "version",
            Refusal::Sum => "checksum",
            Refusal::Bound { .. } => "bound",
            Refusal::Packing(_) => "packing",
            Refusal::Head(_) => "head",
            Refusal::Wire(_) => "wire-version",
            Refusal::ByteOrder => "byte-order",
        }
    }
}

/// The header of a frame, whose bounds have been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What is in it.
    pub kind: Kind,
    /// Items in it.
    pub items: u32,
    /// Number among the frames of items.
    pub number: u64,
    /// Bytes that follow the header.
    pub len: usize,
    size: usize,
    packed: usize,
    sum: u64,
}

impl Header {
    /// Reads a header; nothing is believed yet but that these are the bounds.
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Header, Refusal> {
        let word = |at: usize| {
            let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
            word.map_or(0, u32::from_le_bytes)
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if !bytes.starts_with(&MAGIC) {
            return Err(Refusal::NoRecording);
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION {
            return Err(Refusal::Version(version));
        }
        let bound = |what, says: u64| Refusal::Bound { what, says };
        let kind = Kind::of(bytes[10]).ok_or_else(|| bound("kind", bytes[10].into()))?;
        let within = |what, at: usize, max: usize| {
            let says = word(at);
            let len = usize::try_from(says).ok().filter(|len| *len <= max);
            len.ok_or_else(|| bound(what, says.into()))
        };
        let size = within("size", 16, BLOCK_MAX)?;
        let packed = within("packed size", 20, PACKED_MAX)?;
        let len = within("length", 24, PAYLOAD_MAX)?;
        let items = within("items", 12, size / size_of::<u64>())?;
        let items = u32::try_from(items).unwrap_or_default();
        Ok(Header { kind, items, number: long(32), len, size, packed, sum: long(40) })
    }

    fn bytes(&self) -> [u8; HEADER] {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        let mut bytes = [0; HEADER];
        let parts: [(usize, &[u8]); 8] = [
            (0, &MAGIC),
            (8, &VERSION.to_le_bytes()),
            (10, &[self.kind as u8]),
            (12, &self.items.to_le_bytes()),
            (16, &small(self.size)),
            (20, &small(self.packed)),
            (24, &small(self.len)),
            (32, &self.number.to_le_bytes()),
        ];
        for (at, part) in parts {
            if let Some(place) = bytes.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
        }
        bytes
    }
}

fn sum(header: &[u8], payload: &[u8]) -> u64 {
    let mut hasher = XxHash3_64::new();
    hasher.write(header.get(..SUM_AT).unwrap_or_default());
    hasher.write(payload);
    hasher.finish()
}

/// Where the sum stands.
const SUM_AT: usize = HEADER - size_of::<u64>();

/// A frame whose checksum fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    payload: Vec<u8>,
}

impl Frame {
    /// The frame of this header and payload, if the checksum fits.
    pub fn checked(header: &[u8; HEADER], payload: &[u8]) -> Result<Frame, Refusal> {
        let parsed = Header::parse(header)?;
        if payload.len() != parsed.len || sum(header, payload) != parsed.sum {
            return Err(Refusal::Sum);
        }
        Ok(Frame { header: parsed, payload: payload.to_vec() })
    }

    /// What a head says, as JSON.
    pub(crate) fn text(&self) -> Result<Vec<u8>, Refusal> {
        self.unpack()
    }

    /// The items in it. Frames can be unpacked on any thread.
    pub fn block(&self) -> Result<Block, Refusal> {
        let Header { items, size, .. } = self.header;
        columns::decode(&self.unpack()?, items, size)
            .map_err(|error| Refusal::Packing(error.to_string()))
    }

    fn unpack(&self) -> Result<Vec<u8>, Refusal> {
        let failed = |error: std::io::Error| Refusal::Packing(error.to_string());
        // The bound was checked, and the compressor writes no more than there is room for.
        let packed = zstd::bulk::decompress(&self.payload, self.header.packed).map_err(failed)?;
        if packed.len() == self.header.packed {
            Ok(packed)
        } else {
            let says = self.header.packed as u64;
            Err(Refusal::Bound { what: "packed size", says })
        }
    }
}

/// Makes frames, and keeps the room for the next one.
pub struct Packer {
    columns: Encoder,
    packed: Vec<u8>,
    zstd: zstd::bulk::Compressor<'static>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("packed", &self.packed.len()).finish_non_exhaustive()
    }
}

impl Packer {
    /// Fails if there is no memory for a compressor.
    pub fn new() -> std::io::Result<Packer> {
        let zstd = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Packer { columns: Encoder::new(), packed: Vec::new(), zstd })
    }

    /// A block as a frame.
    pub fn block(&mut self, kind: Kind, number: u64, block: &Block) -> std::io::Result<Vec<u8>> {
        self.packed.clear();
        self.columns.encode(block, &mut self.packed);
        self.seal(kind, number, block.items(), block.bytes())
    }

    /// A text as a frame.
    pub(crate) fn text(
        &mut self,
        kind: Kind,
        number: u64,
        text: &[u8],
    ) -> std::io::Result<Vec<u8>> {
        self.packed.clear();
        self.packed.extend_from_slice(text);
        self.seal(kind, number, 0, 0)
    }

    /// Columns as they are, as a frame whose checksum fits: for those who try what a reader makes of
    /// columns that no writer makes.
    pub fn columns(
        &mut self,
        (items, size): (u32, usize),
        columns: &[u8],
    ) -> std::io::Result<Vec<u8>> {
        self.packed.clear();
        self.packed.extend_from_slice(columns);
        self.seal(Kind::Items, 0, items, size)
    }

    fn seal(
        &mut self,
        kind: Kind,
        number: u64,
        items: u32,
        size: usize,
    ) -> std::io::Result<Vec<u8>> {
        let packed = self.packed.len();
        if size > BLOCK_MAX || packed > PACKED_MAX {
            return Err(std::io::Error::other("more than one frame can hold"));
        }
        let payload = self.zstd.compress(&self.packed)?;
        let len = payload.len();
        let mut header = Header { kind, items, number, len, size, packed, sum: 0 }.bytes();
        let sum = sum(&header, &payload).to_le_bytes();
        if let Some(place) = header.get_mut(SUM_AT..) {
            place.copy_from_slice(&sum);
        }
        let mut frame = Vec::with_capacity(HEADER + len);
        frame.extend_from_slice(&header);
        frame.extend_from_slice(&payload);
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Vec<u8> {
        let mut block = Block::new();
        block.tick(7);
        Packer::new().unwrap().block(Kind::Items, 3, &block).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Block, Refusal> {
        let (header, payload) = bytes.split_first_chunk().unwrap();
        Frame::checked(header, payload)?.block()
    }

    #[test]
    fn each_flipped_bit_is_found() {
        let frame = frame();
        assert_eq!(read(&frame).unwrap().items(), 1);
        for bit in 0..frame.len() * 8 {
            let mut bytes = frame.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let refused = read(&bytes).unwrap_err();
            let expected: &[&str] = match bit / 8 {
                0..8 => &["no-recording"],
                8..10 => &["version"],
                10..28 => &["bound", "checksum"],
                _ => &["checksum"],
            };
            assert!(expected.contains(&refused.code()), "bit {bit}: {refused}");
        }
    }

    #[test]
    fn what_is_larger_than_any_writer_makes_is_refused_before_it_is_read() {
        for (at, what) in [(12, "items"), (16, "size"), (20, "packed size"), (24, "length")] {
            let mut bytes = frame();
            bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            let refused = Header::parse(bytes.first_chunk().unwrap()).unwrap_err();
            assert_eq!(refused, Refusal::Bound { what, says: u32::MAX.into() });
        }
    }

    #[test]
    fn a_payload_that_unpacks_to_more_than_it_says_is_refused() {
        let mut packer = Packer::new().unwrap();
        let bytes = packer.text(Kind::Head, 0, &vec![b'x'; 100_000]).unwrap();
        let (header, payload) = bytes.split_first_chunk().unwrap();
        let mut frame = Frame::checked(header, payload).unwrap();
        assert_eq!(frame.text().unwrap().len(), 100_000);
        frame.header.packed = 99_999;
        assert_eq!(frame.text().unwrap_err().code(), "packing");
        frame.header.packed = 100_001;
        assert_eq!(frame.text().unwrap_err().code(), "bound");
    }
}
