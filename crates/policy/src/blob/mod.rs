//! One generation as bytes: one value of a map for the kernel, one message for the guard.
//!
//! Everything is little-endian words of 32 bits; a place is counted in words from the start. The
//! head begins as `struct policy_head` of the BPF programs (`crates/kernel/bpf/enforce/policy.h`):
//!
//! | words | what |
//! |---|---|
//! | 0, 1 | magic, version |
//! | 2, 3 | generation |
//! | 4 | bytes of all |
//! | 5, 6 | places of `Labels`, `Rows` |
//! | 7 | states of the automaton of texts, 0: it need not run |
//! | 8-11 | places of `PathStates`, `PathEntries`, `PathLabels`, `PathLive` |
//! | 12-15 | places of `TextStates`, `TextEntries`, `TextLabels`, `TextHits` |
//! | 16 | place of `HitLabels` |
//! | 17 | operations that any rule reports or that arm one, as bits |
//! | 18- | for each operation, who may do only what rules allow (8 words) |
//! | 210- | for each operation, whom anything is denied to (8 words) |
//! | 402, 403 | hits that a slash does not clear |
//! | 404, 405 | when the first exception ends |
//! | 406- | place and length of each [`Section`] |
//!
//! Sections begin at even places. [`crate::Tables::parse`] checks every place, length and number, so that
//! whoever reads what it took never reads outside.

mod read;
mod write;

use crate::error::Error;
use crate::verdicts::OPERATIONS;

/// The first word.
pub const MAGIC: u32 = 0x4c50_4741;

/// Changes when any layout here does.
pub const VERSION: u32 = 3;

/// Words of a set of subjects.
const SET: usize = 8;

/// Where the sets of all operations begin.
const LIMITED: usize = 18;
const CONCERNED: usize = LIMITED + OPERATIONS * SET;
const STICKY: usize = CONCERNED + OPERATIONS * SET;
const EXPIRES: usize = STICKY + 2;
const SECTIONS: usize = EXPIRES + 2;
const HEAD: usize = SECTIONS + 2 * Section::ALL.len();

macro_rules! sections {
    ($($name:ident $width:literal $doc:literal,)*) => {
        /// A part of the blob.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Section { $(#[doc = $doc] $name,)* }

        impl Section {
            /// All of them, in order.
            pub const ALL: &[Section] = &[$(Section::$name,)*];

            /// Words of one item.
            pub const fn width(self) -> usize {
                match self { $(Section::$name => $width,)* }
            }
        }
    };
}

sections! {
    PathStates 2 "A state: base of its entries, default next state.",
    PathEntries 1 "Next state << 8 | byte; upper bits all ones: free.",
    PathLabels 1 "The label of each state.",
    PathLive 1 "The label of a directory for what may be below it.",
    TextStates 2 "As `PathStates`, for texts anywhere.",
    TextEntries 1 "As `PathEntries`.",
    TextLabels 1 "The label of a path that ends in this state.",
    TextHits 2 "The mask of hits of a state, or-ed on the way.",
    TextLive 1 "As `PathLive`.",
    HitLabels 1 "The label of each bit of the mask of hits.",
    Labels 24 "For each label the number of the row of each operation; row 0 says nothing.",
    Rows 40 "Sets: deny, allow, except, audit, trigger.",
    RowEntries 2 "First entry of a row, and how many.",
    Entries 2 "Effect | answer << 8 | bit << 16; rule. In a row the strongest comes first.",
    Flags 1 "What the rows of a label have at all.",
    Defaults 24 "One item: for each operation the row of the allow lists.",
    ShadowLabels 24 "As `Labels`, if all policies were carried out; empty if they are.",
    ShadowDefaults 24 "As `Defaults`.",
    ShadowConcerned 192 "As the sets in the head.",
    SubjectMasks 96 "Known; free in seven dimensions; without and with login; inherited; armed first.",
    ExecutableHashes 16 "No hash and the set without one; then a hash and the set that it satisfies, in order.",
    LabelSubjects 3 "For each label its set as executable, script, ancestor.",
    Sets 8 "Sets of subjects; the first is empty.",
    Hashes 9 "No hash and the label without one; then a hash and its label, in order.",
    Capabilities 1 "The label of each capability.",
    Processes 2 "Bit of a subject; the label of processes that have it.",
    Created 4 "Bit of a subject | in force << 8; the label of files that it makes; its id.",
    NetsV4 3 "Prefix, address, class; in order.",
    NetsV6 6 "Prefix, address from the lowest word, class; in order.",
    Protocols 1 "Protocols that are told apart, in order.",
    Classes 1 "Where the ranges of a class begin; one more than classes.",
    Ranges 3 "First and last key, label. A key is the place of the protocol, from 1, << 16 | port.",
    StepsV4 2 "`NetsV4` as first addresses and what class holds from there on; in order.",
    StepsV6 6 "As `StepsV4`: address from its upper half, class, nothing.",
    Watched 192 "For each operation, whom a rule reports or arms.",
}

impl Section {
    /// Its name in messages.
    fn name(self) -> &'static str {
        match self {
            Section::PathStates
            | Section::PathEntries
            | Section::PathLabels
            | Section::PathLive => "paths",
            Section::TextStates
            | Section::TextEntries
            | Section::TextLabels
            | Section::TextHits
            | Section::TextLive
            | Section::HitLabels => "texts",
            Section::Labels
            | Section::Rows
            | Section::RowEntries
            | Section::Entries
            | Section::Flags
            | Section::Defaults
            | Section::Watched => "verdicts",
            Section::ShadowLabels | Section::ShadowDefaults | Section::ShadowConcerned => "shadow",
            Section::SubjectMasks
            | Section::ExecutableHashes
            | Section::LabelSubjects
            | Section::Sets => "subjects",
            Section::Hashes | Section::Capabilities | Section::Processes | Section::Created => {
                "things"
            }
            Section::NetsV4
            | Section::NetsV6
            | Section::Protocols
            | Section::Classes
            | Section::Ranges
            | Section::StepsV4
            | Section::StepsV6 => "network",
        }
    }
}

/// The error for a section.
fn bad(section: Section, why: &'static str) -> Error {
    Error::Table { table: section.name(), why }
}
