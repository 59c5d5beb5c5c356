//! What a detector takes and gives.

use model::script::Said;
use model::value::{Fields, Node};
use smallvec::SmallVec;

use super::Kin;

/// An event in a stream.
pub trait Event: Fields {
    /// Its position: larger than that of each event before.
    fn number(&self) -> u64;
    /// When it happened, ns since the Unix epoch.
    fn time(&self) -> i64;
    /// What it is, the same in each run: a hash of all that it holds. Asked only for members of
    /// matches, complete or not.
    fn identity(&self) -> u64;
    /// What [`super::Kindred`] tells of the event with the seed of the detector, if that is known
    /// already.
    fn kin(&self) -> Option<Kin> {
        None
    }
}

/// Bounds of a detector.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What partial matches of one rule hold: events, what is remembered of them, and events that
    /// must not happen. A partial match is at least one.
    pub partials_per_rule: usize,
    /// The same of all rules.
    pub partials: usize,
    /// Results that the pipes of a rule hold back (`tail`, `sort`), and tuples that they know
    /// (`unique`, `count`).
    pub rows: usize,
    /// Secret of join keys: random on a live host, fixed for replay.
    pub seed: u64,
}

impl Default for Limits {
    /// Enough for every host that is not attacked.
    fn default() -> Limits {
        Limits { partials_per_rule: 65_536, partials: 524_288, rows: 1_000_000, seed: 0 }
    }
}

impl Limits {
    /// What a rule may keep that is given no more than `kept` by itself.
    pub(super) fn quota(self, kept: usize) -> usize {
        self.partials_per_rule.min(kept).max(1)
    }
}

/// A rule matched.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Number of the rule in the program.
    pub rule: u32,
    /// Numbers of the events that matched it, in the order of its steps.
    pub members: SmallVec<[u64; 4]>,
    /// Identity of the alert: derived from the rule id and the identities of the members.
    pub id: u128,
    /// Time of the last member, or when what it lacks was certain.
    pub time: i64,
    /// What `count` or `unique_count` said.
    pub counted: Option<Counted>,
    /// What the scripts that it asks said about the event that completed it.
    pub said: Vec<Said>,
}

/// A result of `count` or `unique_count`.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// Of all, 0 to 1.
    pub percent: f64,
    /// The tuple that was counted.
    pub key: Vec<Node>,
}

/// What one rule did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events that satisfied one of its filters.
    pub evaluations: u64,
    /// Matches.
    pub matches: u64,
    /// Partial matches that were given up for lack of room.
    pub evictions: u64,
    /// Partial matches now.
    pub partials: u64,
    /// Results that pipes had no room for.
    pub dropped: u64,
}
