//! What can be wrong with a load of policies or with a table, with codes that stay.

use crate::pattern::PatternError;

/// Why no tables were made, or why bytes are no tables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(clippy::error_impl_error, reason = "it is the one error of the crate, known by its path")]
pub enum Error {
    /// A pattern does not parse.
    #[error("{rule}: {error}")]
    Pattern {
        /// The rule or list it is in.
        rule: String,
        /// What is wrong.
        error: PatternError,
    },
    /// More of something than there is room for.
    #[error("{what}: at most {max} can be loaded, these policies need {found}; {advice}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
        /// What was asked for, or a lower bound of it.
        found: usize,
        /// What to change.
        advice: &'static str,
    },
    /// Wildcards of several patterns overlap so much that no table of a sensible size tells them
    /// apart.
    #[error(
        "the patterns of paths need more than {max} {what}: wildcards that overlap multiply; use \
         fewer patterns with `**` in the middle or several `*` in one name"
    )]
    TooComplex {
        /// What ran out.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A network whose prefix is longer than its address.
    #[error("{rule}: a prefix of {found} bits is longer than the address ({max} bits)")]
    Prefix {
        /// The rule it is in.
        rule: String,
        /// The prefix as written.
        found: u8,
        /// What the address has.
        max: u8,
    },
    /// A capability that no kernel can have.
    #[error("{rule}: there is no capability {number}")]
    Capability {
        /// The rule it is in.
        rule: String,
        /// The number.
        number: u8,
    },
    /// Bytes that are no tables of this version.
    #[error("table {table}: {why}")]
    Table {
        /// Which one.
        table: &'static str,
        /// What does not hold.
        why: &'static str,
    },
}

impl Error {
    /// The code in messages and documents. Codes are never given to something else.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Pattern { .. } => "T001",
            Error::TooMany { .. } => "T002",
            Error::TooComplex { .. } => "T003",
            Error::Prefix { .. } => "T004",
            Error::Table { .. } => "T005",
            Error::Capability { .. } => "T006",
        }
    }
}

/// A number for a table. Everything counted here is bounded far below `u32::MAX`.
pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
