//! A block as columns of small numbers, and back to the same bytes.
//!
//! A record is a fixed part of 32-bit words and a variable one of strings. Nearly all of it has been
//! told before: by the last record of the same process (who acts), by the last one with the same
//! strings (what it acts on), by the last one of the same kind. So each word is written as its
//! difference to what these told, and most are not written at all. What is left goes into one column
//! for each word of the fixed part: numbers that resemble each other, which a compressor likes.
//!
//! Nothing here knows what a word means, but for four of the header (time, start, process, length)
//! that are guessed better; a wrong guess costs bytes and changes none. A record that the decoder of
//! the kernel's records refuses is kept as it came, like all items that are no records.
//!
//! | module | holds |
//! |---|---|
//! | `memory` | what was told before: the same on both ways |
//! | `encode`, `decode` | there and back |
//! | `number` | numbers of as many bytes as they need |

mod decode;
mod encode;
mod memory;
mod number;
#[cfg(test)]
mod tests;

pub(crate) use decode::decode;
pub(crate) use encode::Encoder;

/// Words of the longest fixed part that a column has room for; that of a task has 60.
const WORDS_MAX: usize = 64;
/// Different pairs of kind and source within a block.
const SORTS_MAX: u8 = 96;

/// What a byte of the column of tags means below the first of [`RECORD`].
const NEW_RECORD: u8 = 16;
const NEW_KNOWN: u8 = 17;
/// A record of a sort that was there before: this and its number.
const RECORD: u8 = 32;
/// The same for a process that was known.
const KNOWN: u8 = RECORD + SORTS_MAX;

/// The columns, in the order in which they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Column {
    /// What an item is.
    Tags,
    /// Lengths of items that are no records.
    Lens,
    /// Their bytes.
    Others,
    /// Kind, source and size of the fixed part, once a sort.
    Sorts,
    /// Process, as the difference to the one before.
    Pids,
    /// Time, as the difference to the record before.
    Times,
    /// Start of the process, where it is another than was known.
    Starts,
    /// Number of the strings: 0 for new ones.
    Tails,
    /// Lengths of new ones.
    TailLens,
    /// Their bytes.
    Text,
    /// Which words of the header differ from what was guessed.
    HeadMasks,
    /// The same of what follows it.
    BodyMasks,
    /// Differences of the first word; one column for each follows.
    Words,
}

const COLUMNS: usize = Column::Words as usize + WORDS_MAX;

/// Why columns are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadColumns {
    /// A column ends before what the others say of it.
    #[error("a column ends early")]
    Short,
    /// A number names what is not there.
    #[error("a column names what is not there")]
    Name,
    /// The items take more room than the frame said.
    #[error("there is more than the frame says")]
    More,
}
