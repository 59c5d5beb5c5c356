//! The audit log: a chain of lines. Each names the hash of the line before it, so that no line can be
//! changed, removed, added or moved in silence.
//!
//! | module | does |
//! |---|---|
//! | `line` | one line: number, time, action, what is known of it, the hash before, its own |
//! | `files` | which files the log is in, oldest first, and their lines |
//! | `log` | adds lines: written and synced when that returns; several processes may |
//! | `sign` | signs where the chain is, so that who can write all of it cannot write it anew |
//! | `verify` | finds what was done to a log |
//!
//! In the directory of the log:
//!
//! | file | holds |
//! |---|---|
//! | `audit.jsonl` | the newest lines |
//! | `audit-NUMBER.jsonl` | older ones; the number is that of the first line |
//! | `audit.head` | number and hash of the last line: a log that is cut ends before it |

mod files;
mod line;
mod log;
mod sign;
#[cfg(test)]
mod tests;
mod verify;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use files::{Lines, Read};
pub use log::{Log, Options};
pub use sign::{KEY_MAX, Signer, Verifier};
pub use verify::{Finding, Kind, Report, head, verify};

/// Bytes of one line, its end included. What strangers name is part of it.
pub const LINE_MAX: usize = 16 << 10;

/// Why something of the log cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A key cannot be used.
    #[error("{}: {reason}", path.display())]
    Key {
        /// The file of the key.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A line would be longer than [`LINE_MAX`].
    #[error("a line of {0} bytes is longer than {LINE_MAX}")]
    TooLong(usize),
}

impl LogError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
        let path = path.to_owned();
        move |source| LogError::Io { what, path, source }
    }

    /// Whether nothing can be written since there is no room: the disk is full, or a quota is.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let LogError::Io { source, .. } = self else { return false };
        matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }
}

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Hash {
    /// From 64 lower-case hexadecimal digits.
    fn parse(text: &[u8]) -> Option<Hash> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let text: &[u8; 64] = text.try_into().ok()?;
        let mut hash = [0; 32];
        for (byte, [high, low]) in hash.iter_mut().zip(text.as_chunks().0) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Hash(hash))
    }
}

/// A place in the chain: a line and its hash. The one before the first line is all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// Number of the line; the first is 1.
    pub seq: u64,
    /// Hash of the line.
    pub hash: Hash,
}
