//! One generation: everything that a tier needs to decide, as plain data.

use crate::limits::LABELS_MAX;
use crate::network::Network;
use crate::paths::Paths;
use crate::subjects::Subjects;
use crate::verdicts::{HAS_DENY, Verdicts};

/// All tables of one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Which generation, given by who loads it.
    pub generation: u64,
    /// Seconds since 1970 at which the first exception ends and the policies must be compiled
    /// anew; [`i64::MAX`] if none does.
    pub expires: i64,
    /// Labels of paths.
    pub paths: Paths,
    /// Labels of things that are not paths.
    pub things: Things,
    /// Labels of peers.
    pub network: Network,
    /// Selectors of processes.
    pub subjects: Subjects,
    /// What labels mean.
    pub verdicts: Verdicts,
}

/// Labels of things that are no paths and no peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Things {
    /// Of what a file holds, in order.
    pub hashes: Vec<([u8; 32], u32)>,
    /// Of a file whose hash cannot be had: all that is denied by hash is denied of it. 0 if nothing is.
    pub unhashed: u32,
    /// Of each capability, by its number.
    pub capabilities: Vec<u32>,
    /// Of processes that have the bit of a selector.
    pub processes: Vec<(u8, u32)>,
    /// Of files made by processes that have the bit of a selector.
    pub created: Vec<Created>,
}

/// What follows for a file from who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// The bit of the selector, in this generation.
    pub bit: u8,
    /// Whether a rule that is carried out denies such files.
    pub in_force: bool,
    /// The label of the file.
    pub label: u32,
    /// What the selector is called in all generations; never 0. See [`crate::makers`].
    pub id: u64,
}

/// What is known of what a file holds, as SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Content {
    /// It is this.
    Is([u8; 32]),
    /// It is nothing that any rule names, or no rule names hashes.
    #[default]
    Other,
    /// It cannot be had: it may be what a rule denies, and is nothing that a rule allows.
    Unknown,
}

/// The labels of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Labels {
    list: [u32; LABELS_MAX],
    len: usize,
    /// Something about the object is not known, or a label that denies found no room: whom anything
    /// of the kind is denied to is refused.
    pub unresolved: bool,
}

impl Labels {
    /// Of an object that could not be resolved.
    pub const UNRESOLVED: Labels = Labels { list: [0; LABELS_MAX], len: 0, unresolved: true };

    /// The labels in order of their coming.
    pub fn as_slice(&self) -> &[u32] {
        self.list.get(..self.len).unwrap_or_default()
    }

    /// Adds what is known of the same object by other means: its path and its hash, its path and who
    /// made it.
    #[must_use]
    pub fn with(mut self, other: &Labels, verdicts: &Verdicts) -> Labels {
        self.unresolved |= other.unresolved;
        other.as_slice().iter().for_each(|label| self.add(*label, verdicts));
        self
    }

    /// Adds one. Without room, only a label that denies matters.
    pub fn add(&mut self, label: u32, verdicts: &Verdicts) {
        if label == 0 || self.as_slice().contains(&label) {
            return;
        }
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = label;
            self.len += 1;
        } else {
            let flags = verdicts.flags.get(label as usize).copied().unwrap_or(HAS_DENY);
            self.unresolved |= flags & HAS_DENY != 0;
        }
    }
}
