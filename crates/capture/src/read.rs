//! Frames from a file that may be torn or damaged.
//!
//! A frame is believed when its checksum fits. Where one does not, the reader looks for the next
//! place at which one begins, goes on there and tells how many bytes it passed over. Where none
//! follows, the rest is a torn tail: what was being written when the writer died.

use std::io::{self, Read};

use crate::frame::{Frame, HEADER, Header, MAGIC, PAYLOAD_MAX, Refusal};

/// Bytes read at once.
const CHUNK: usize = 256 << 10;
/// Bytes whose checksum is looked at for nothing in one search. A file that is full of beginnings of
/// frames must not take longer than its length allows: beyond this the search does not look inside
/// what such a beginning says of its length.
const SEARCH_MAX: usize = 64 << 20;

/// What a recording is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A sound frame.
    Frame(Frame),
    /// Bytes that are none, with sound frames after them.
    Damage {
        /// Where they begin.
        at: u64,
        /// How many they are.
        bytes: u64,
        /// Why they are no frame.
        why: Refusal,
    },
    /// Bytes at the end that are no whole frame.
    Torn {
        /// Where they begin: up to here the recording is sound.
        at: u64,
        /// How many they are.
        bytes: u64,
    },
}

/// Reads pieces, one after another.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where in the buffer the next frame should begin.
    next: usize,
    /// Where in the file the buffer begins.
    at: u64,
    /// Whether nothing more can be read.
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads from the beginning, which must be that of a frame.
    pub fn open(source: R) -> Result<Reader<R>, OpenError> {
        let mut reader = Reader { source, buffer: Vec::new(), next: 0, at: 0, ended: false };
        reader.fill(HEADER)?;
        match reader.buffer.first_chunk().map(Header::parse) {
            // Another version is another version even where nothing else is understood. A damaged
            // beginning is a damage, if it can be told that this is a recording.
            Some(Err(refusal @ Refusal::Version(_))) => Err(refusal.into()),
            Some(Err(refusal)) if !reader.buffer.starts_with(&MAGIC) => Err(refusal.into()),
            Some(Ok(_) | Err(_)) => Ok(reader),
            None => Err(Refusal::NoRecording.into()),
        }
    }

    /// Bytes that were read and are done with.
    pub fn position(&self) -> u64 {
        self.at + self.next as u64
    }

    /// The next piece; `None` at the end.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        if self.next > CHUNK {
            self.buffer.drain(..self.next);
            self.at += self.next as u64;
            self.next = 0;
        }
        let begin = self.next;
        let (mut why, mut searched) = (None, 0_usize);
        loop {
            match self.frame_here()? {
                Here::Frame(frame) if begin == self.next => {
                    self.next += HEADER + frame.header.len;
                    return Ok(Some(Piece::Frame(frame)));
                }
                Here::Frame(_) | Here::End if begin < self.next => {
                    let (at, bytes) = (self.at + begin as u64, (self.next - begin) as u64);
                    // What was cut in its header or payload is a tail; a whole one is a damage.
                    let is_tail = self.is_at_end();
                    return Ok(Some(match why {
                        Some(why) if !is_tail => Piece::Damage { at, bytes, why },
                        _ => Piece::Torn { at, bytes },
                    }));
                }
                Here::Frame(_) | Here::End => return Ok(None),
                Here::Not(refusal, len) => {
                    why.get_or_insert(refusal);
                    searched = searched.saturating_add(len);
                    self.next += if searched > SEARCH_MAX { len.max(1) } else { 1 };
                    self.seek()?;
                }
            }
        }
    }

    fn is_at_end(&self) -> bool {
        self.ended && self.next >= self.buffer.len()
    }

    /// Makes so many bytes after the next position available, if there are as many.
    fn fill(&mut self, bytes: usize) -> io::Result<()> {
        while !self.ended && self.buffer.len() < self.next + bytes {
            let before = self.buffer.len();
            let wanted = (self.next + bytes - before).max(CHUNK);
            let got = (&mut self.source).take(wanted as u64).read_to_end(&mut self.buffer)?;
            self.ended = got < wanted;
        }
        Ok(())
    }

    /// The frame that begins at the next position, if one does. What it says of its length is within
    /// bounds before it is read.
    fn frame_here(&mut self) -> io::Result<Here> {
        self.fill(HEADER)?;
        let rest = self.buffer.get(self.next..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Here::End);
        }
        let header = match rest.first_chunk().map(Header::parse) {
            None => return Ok(Here::Not(Refusal::NoRecording, 0)),
            Some(Err(refusal)) => return Ok(Here::Not(refusal, 0)),
            Some(Ok(header)) => header,
        };
        self.fill(HEADER + header.len.min(PAYLOAD_MAX))?;
        let rest = self.buffer.get(self.next..).unwrap_or_default();
        let Some((bytes, payload)) = rest.split_first_chunk() else { return Ok(Here::End) };
        let Some(payload) = payload.get(..header.len) else {
            return Ok(Here::Not(Refusal::Sum, 0));
        };
        Ok(match Frame::checked(bytes, payload) {
            Ok(frame) => Here::Frame(frame),
            Err(refusal) => Here::Not(refusal, HEADER + header.len),
        })
    }

    /// Goes to the next place at which a frame may begin, or to the end.
    fn seek(&mut self) -> io::Result<()> {
        self.next = self.next.min(self.buffer.len());
        loop {
            self.fill(MAGIC.len())?;
            let rest = self.buffer.get(self.next..).unwrap_or_default();
            let found = rest.windows(MAGIC.len()).position(|window| window == MAGIC);
            if let Some(found) = found {
                self.next += found;
                return Ok(());
            }
            // The beginning of a magic may be at the end of what has been read.
            let passed = rest.len().saturating_sub(MAGIC.len() - 1);
            self.next += passed;
            if self.ended {
                self.next = self.buffer.len();
                return Ok(());
            }
            self.fill(CHUNK)?;
        }
    }
}

/// What is at a place.
enum Here {
    Frame(Frame),
    /// No frame, and how many bytes it took to know that.
    Not(Refusal, usize),
    End,
}

/// Why a recording cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is none, or one of another version.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Kind, Packer};
    use crate::{Block, Item};

    /// Three frames, each with a tick of its number.
    fn three() -> (Vec<u8>, Vec<usize>) {
        let mut packer = Packer::new().unwrap();
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let mut block = Block::new();
            block.tick(number);
            bytes.extend(packer.block(Kind::Items, number, &block).unwrap());
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    /// Ticks that were read, and all else.
    fn read(bytes: &[u8]) -> (Vec<u64>, Vec<Piece>) {
        let (mut ticks, mut others) = (Vec::new(), Vec::new());
        let mut reader = Reader::open(bytes).unwrap();
        while let Some(piece) = reader.next_piece().unwrap() {
            match piece {
                Piece::Frame(frame) => ticks.extend(frame.block().unwrap().iter().map(|item| {
                    let Ok(Item::Tick(tick)) = item else { panic!("{item:?}") };
                    tick
                })),
                other => others.push(other),
            }
        }
        assert_eq!(reader.position(), bytes.len() as u64);
        (ticks, others)
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_at_the_last_sound_frame_and_told() {
        let (bytes, ends) = three();
        assert_eq!(read(&bytes), (vec![0, 1, 2], Vec::new()));
        for len in HEADER..bytes.len() {
            let whole = ends.iter().filter(|end| **end <= len).count();
            let at = ends[..whole].last().copied().unwrap_or_default();
            let (ticks, others) = read(&bytes[..len]);
            assert_eq!(ticks, (0..whole as u64).collect::<Vec<_>>(), "{len}");
            let torn = Piece::Torn { at: at as u64, bytes: (len - at) as u64 };
            assert_eq!(others, if len == at { Vec::new() } else { vec![torn] }, "{len}");
        }
        for len in 0..HEADER {
            let error = Reader::open(&bytes[..len]).unwrap_err();
            assert!(matches!(error, OpenError::Refused(Refusal::NoRecording)), "{len}: {error}");
        }
    }

    #[test]
    fn a_flipped_bit_costs_its_frame_alone_and_is_told() {
        let (bytes, ends) = three();
        for bit in ends[0] * 8..ends[1] * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let (ticks, others) = read(&damaged);
            assert_eq!(ticks, [0, 2], "bit {bit}");
            let [Piece::Damage { at, bytes, .. }] = others[..] else { panic!("{others:?}") };
            assert_eq!((at, bytes), (ends[0] as u64, (ends[1] - ends[0]) as u64));
        }
    }

    #[test]
    fn what_lies_between_frames_is_passed_over_however_long_it_is() {
        let (bytes, ends) = three();
        for len in [1, 7, 8, 9, CHUNK - 3, CHUNK * 3 + 5] {
            let (head, tail) = bytes.split_at(ends[0]);
            let (ticks, others) = read(&[head, &vec![MAGIC[0]; len], tail].concat());
            assert_eq!(ticks, [0, 1, 2]);
            let [Piece::Damage { bytes, .. }] = others[..] else { panic!("{others:?}") };
            assert_eq!(bytes, len as u64);
        }
    }

    #[test]
    fn another_file_and_another_version_are_refused() {
        let (mut bytes, _) = three();
        bytes[8] = 9;
        let error = Reader::open(&bytes[..]).unwrap_err();
        assert!(matches!(error, OpenError::Refused(Refusal::Version(9))), "{error}");
        let error = Reader::open(&[b'{'; 100][..]).unwrap_err();
        assert!(matches!(error, OpenError::Refused(Refusal::NoRecording)), "{error}");
    }
}
