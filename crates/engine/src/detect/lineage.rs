//! Which processes had events that satisfy lineage queries, and who descends from them.

use std::collections::VecDeque;

use hashbrown::HashMap;
use model::field;
use model::field::FieldId;
use model::program::Relation;
use model::value::{Fields, Value};
use smallvec::SmallVec;

use super::key::Seed;
use crate::eval::{Compiled, Context, Scratch, quick_hash};

/// Processes remembered; the oldest go first. More than the kernel lets run at once by default.
const PROCESSES_MAX: usize = 262_144;
/// Processes whose last event needs not be looked up: a power of two.
const RECENT: usize = 256;
/// Identities whose numbers are remembered: a power of two.
const IDENTITIES: usize = 256;
/// Longer ones are not; each takes a line of the cache.
const IDENTITY_MAX: usize = 36;
/// Ancestors followed: deeper than process trees are, and an end for a loop in strange documents.
const DEPTH_MAX: usize = 128;

/// A query over lineage, in the logic of the rules that ask it.
#[derive(Debug)]
pub(crate) struct Query {
    /// Number of its filter.
    pub(crate) filter: u32,
    /// Recognizes it after a reload.
    pub(crate) digest: u64,
}

/// Whom an event is about: its process and the parent of that, as numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kin {
    process: Option<u64>,
    parent: Option<u64>,
}

/// An identity that is remembered.
type Identity = SmallVec<[u8; IDENTITY_MAX]>;

/// Tells whom events are about. It remembers the numbers of identities that it was asked last: most
/// events are of few processes, and a number that nobody can foresee takes long to make.
#[derive(Debug)]
pub struct Kindred {
    seed: Seed,
    known: Vec<(Identity, u64)>,
}

impl Kindred {
    /// The seed is that of [`super::Limits`].
    pub fn new(seed: u64) -> Kindred {
        Kindred { seed: Seed(seed), known: vec![(Identity::new(), 0); IDENTITIES] }
    }

    /// Depends on the event alone, so any thread can tell it.
    pub fn of(&mut self, event: &dyn Fields) -> Kin {
        let mut first = |fields: [FieldId; 2]| {
            let value = |field: FieldId| event.get(field).each().find(|value| !value.is_null());
            fields.into_iter().find_map(value).map(|value| self.number(value))
        };
        let process = first([field::PROCESS_ENTITY_ID, field::PROCESS_PID]);
        let parent = first([field::PROCESS_PARENT_ENTITY_ID, field::PROCESS_PARENT_PID]);
        // A process is no ancestor of itself, whatever a document says.
        Kin { process, parent: parent.filter(|parent| Some(*parent) != process) }
    }

    fn number(&mut self, value: Value<'_>) -> u64 {
        let Value::Str(text) = value else { return self.seed.value(value) };
        if text.is_empty() || text.len() > IDENTITY_MAX {
            return self.seed.value(value);
        }
        let at = usize::try_from(quick_hash(text, 0) >> 32).unwrap_or_default() % IDENTITIES;
        match self.known.get_mut(at) {
            Some((known, number)) if **known == *text => *number,
            Some((known, number)) => {
                known.clear();
                known.extend_from_slice(text);
                *number = self.seed.value(value);
                *number
            }
            None => self.seed.value(value),
        }
    }
}

/// A set of query numbers.
type Bits = SmallVec<[u64; 2]>;

#[derive(Debug, Default)]
pub(super) struct Lineage {
    processes: HashMap<u64, Process>,
    order: VecDeque<u64>,
    /// What was noted last, by process: most events say the same again.
    recent: Vec<Kin>,
    pub(super) forgotten: u64,
}

#[derive(Debug, Default)]
struct Process {
    parent: Option<u64>,
    own: Bits,
}

/// The lineage of the event at hand.
#[derive(Debug)]
pub(super) struct Place<'l> {
    lineage: &'l Lineage,
    process: Option<u64>,
    parent: Option<u64>,
    now: Bits,
}

impl Lineage {
    /// Takes an event: its process, its parent, and of the filters that it may satisfy the
    /// queries that it does.
    pub(super) fn place<'l>(
        &'l mut self,
        compiled: &Compiled,
        event: &dyn Fields,
        hits: &[u32],
        kin: Kin,
        scratch: &mut Scratch,
    ) -> Place<'l> {
        self.link(kin);
        let Kin { process, parent } = kin;
        let mut place = Place { lineage: self, process, parent, now: Bits::new() };
        for (query, lineage) in (0u32..).zip(compiled.lineages()) {
            if hits.binary_search(&lineage.filter).is_ok()
                && compiled.holds_in(lineage.filter, event, &place, scratch)
            {
                set(&mut place.now, query);
            }
        }
        let now = std::mem::take(&mut place.now);
        let some = now.iter().any(|word| *word != 0);
        let known = process.filter(|_| some).and_then(|it| self.processes.get_mut(&it));
        if let Some(known) = known {
            for (query, _) in (0u32..).zip(compiled.lineages()) {
                if has(&now, query) {
                    set(&mut known.own, query);
                }
            }
        }
        Place { lineage: self, process, parent, now }
    }

    /// Takes note of a process and its parent.
    pub(super) fn link(&mut self, Kin { process, parent }: Kin) {
        let Some(process) = process else { return };
        self.recent.resize(RECENT, Kin::default());
        let (kin, at) = (Kin { process: Some(process), parent }, recent(process));
        if self.recent.get(at) == Some(&kin) {
            return;
        }
        if let Some(recent) = self.recent.get_mut(at) {
            *recent = kin;
        }
        let known = self.processes.entry(process).or_insert_with(|| {
            self.order.push_back(process);
            Process::default()
        });
        known.parent = parent.or(known.parent);
        if self.processes.len() > PROCESSES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.processes.remove(&oldest);
            self.forgotten += 1;
            if let Some(recent) = self.recent.get_mut(recent(oldest)) {
                *recent = Kin::default();
            }
        }
    }

    /// Other queries, or the same under other numbers: what is known of those that stay is kept.
    pub(super) fn renumber(&mut self, old: &[Query], new: &[Query]) {
        if new.is_empty() {
            *self = Lineage { forgotten: self.forgotten, ..Lineage::default() };
        }
        let place = |query: &Query| new.iter().position(|other| other.digest == query.digest);
        let places: Vec<Option<usize>> = old.iter().map(place).collect();
        if places.iter().enumerate().all(|(old, new)| *new == Some(old)) {
            return;
        }
        for process in self.processes.values_mut() {
            let own = std::mem::take(&mut process.own);
            for (old, new) in (0u32..).zip(&places) {
                if let Some(new) = new.and_then(|new| u32::try_from(new).ok())
                    && has(&own, old)
                {
                    set(&mut process.own, new);
                }
            }
        }
    }

    fn own(&self, process: u64, query: u32) -> bool {
        self.processes.get(&process).is_some_and(|process| has(&process.own, query))
    }
}

impl Context for Place<'_> {
    fn member(&self, _: u16, _: FieldId) -> Value<'_> {
        Value::Null
    }

    fn lineage(&self, relation: Relation, query: u32) -> Option<bool> {
        let own = |process: u64| self.lineage.own(process, query);
        if relation == Relation::Event {
            return Some(has(&self.now, query) || own(self.process?));
        }
        let known = || self.lineage.processes.get(&self.process?)?.parent;
        let mut at = self.parent.or_else(known);
        for _ in 0..DEPTH_MAX {
            let Some(process) = at else { break };
            if own(process) {
                return Some(true);
            }
            if relation == Relation::Child {
                break;
            }
            at = self.lineage.processes.get(&process).and_then(|process| process.parent);
        }
        Some(false)
    }
}

/// The place of a process among those that were noted last.
fn recent(process: u64) -> usize {
    usize::try_from(process).unwrap_or_default() % RECENT
}

fn has(bits: &Bits, query: u32) -> bool {
    let (word, bit) = split(query);
    bits.get(word).is_some_and(|word| word & bit != 0)
}

fn set(bits: &mut Bits, query: u32) {
    let (word, bit) = split(query);
    if bits.len() <= word {
        bits.resize(word + 1, 0);
    }
    if let Some(word) = bits.get_mut(word) {
        *word |= bit;
    }
}

fn split(query: u32) -> (usize, u64) {
    (usize::try_from(query / 64).unwrap_or(usize::MAX), 1 << (query % 64))
}
