//! Labels: which claims of the loaded policies hold for an object.
//!
//! A claim is the smallest thing that a pattern, a network or a hash decides: "the object of rule 7
//! fits", "the executables of selector 3 fit". A label is a set of claims; each set is stored once.

use std::collections::HashMap;

use crate::error::{Error, number};
use crate::limits::LABEL_NUMBERS_MAX;

/// One fact that an object may make true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claim {
    /// It is an object of this rule.
    Rule(u32),
    /// It is an object of the deed that arms this rule.
    Trigger(u32),
    /// As executable it fits this selector.
    Executable(u8),
    /// As script it fits this selector.
    Script(u8),
    /// As executable of an ancestor it fits this selector.
    Ancestor(u8),
}

/// What a label stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// These claims hold for the object.
    Holds(Box<[Claim]>),
    /// These claims can come to hold below the directory. Only rules that deny are kept, for each
    /// selector the strongest.
    Below(Box<[Claim]>),
}

/// All labels; number 0 is that nothing is known.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    numbers: HashMap<Meaning, u32>,
    pub(crate) meanings: Vec<Meaning>,
}

impl Labels {
    /// Only label 0.
    pub(crate) fn new() -> Labels {
        let nothing = Meaning::Holds(Box::default());
        Labels { numbers: HashMap::from([(nothing.clone(), 0)]), meanings: vec![nothing] }
    }

    /// The label of a set of claims.
    pub(crate) fn holds(&mut self, mut claims: Vec<Claim>) -> Result<u32, Error> {
        claims.sort_unstable();
        claims.dedup();
        self.number(Meaning::Holds(claims.into()))
    }

    /// The label of a directory below which these claims can come to hold.
    pub(crate) fn below(&mut self, claims: &[Claim]) -> Result<u32, Error> {
        if claims.is_empty() { Ok(0) } else { self.number(Meaning::Below(claims.into())) }
    }

    fn number(&mut self, meaning: Meaning) -> Result<u32, Error> {
        if let Some(known) = self.numbers.get(&meaning) {
            return Ok(*known);
        }
        let new = number(self.meanings.len());
        if self.meanings.len() >= LABEL_NUMBERS_MAX {
            return Err(Error::TooMany {
                what: "labels",
                max: LABEL_NUMBERS_MAX,
                found: self.meanings.len() + 1,
                advice: "use fewer patterns that overlap",
            });
        }
        self.meanings.push(meaning.clone());
        self.numbers.insert(meaning, new);
        Ok(new)
    }
}

/// What can be denied below directories: sets of claims of rules, joined.
pub(crate) struct Threats<'a> {
    /// Whether a rule counts, and if so for whom and how strongly; smaller is stronger.
    rank: &'a dyn Fn(u32) -> Option<Rank>,
    numbers: HashMap<Box<[Claim]>, u32>,
    sets: Vec<Box<[Claim]>>,
    joined: HashMap<(u32, u32), u32>,
}

/// For whom a rule denies and how strongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// Rules that differ here are all kept.
    pub(crate) group: (u8, bool),
    /// Of equals the smallest is kept.
    pub(crate) strength: (u8, u32),
}

impl<'a> Threats<'a> {
    pub(crate) fn new(rank: &'a dyn Fn(u32) -> Option<Rank>) -> Threats<'a> {
        Threats {
            rank,
            numbers: HashMap::from([(Box::default(), 0)]),
            sets: vec![Box::default()],
            joined: HashMap::new(),
        }
    }

    /// The number of what these claims threaten.
    pub(crate) fn of<'c>(&mut self, claims: impl IntoIterator<Item = &'c Claim>) -> u32 {
        let mut ranked: Vec<(Rank, Claim)> = Vec::new();
        for claim in claims {
            if let Claim::Rule(rule) = claim
                && let Some(rank) = (self.rank)(*rule)
            {
                ranked.push((rank, *claim));
            }
        }
        ranked.sort_unstable();
        ranked.dedup_by_key(|one| one.0.group);
        let set: Box<[Claim]> = ranked.into_iter().map(|one| one.1).collect();
        if let Some(known) = self.numbers.get(&set) {
            return *known;
        }
        let new = number(self.sets.len());
        self.sets.push(set.clone());
        self.numbers.insert(set, new);
        new
    }

    /// Both together.
    pub(crate) fn join(&mut self, one: u32, other: u32) -> u32 {
        let key = (one.min(other), one.max(other));
        if let Some(known) = self.joined.get(&key) {
            return *known;
        }
        let both: Vec<Claim> = self.get(one).iter().chain(self.get(other)).copied().collect();
        let joined = self.of(&both);
        self.joined.insert(key, joined);
        joined
    }

    /// The claims behind a number.
    pub(crate) fn get(&self, number: u32) -> &[Claim] {
        self.sets.get(number as usize).map_or(&[], |set| set)
    }
}
