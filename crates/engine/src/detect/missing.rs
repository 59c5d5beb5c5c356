//! Events that must not happen: before, between and after the members of a sequence.
//!
//! The members are matched as if the missing steps were absent. What must not lie between two of
//! them is known when the later one comes; what must not follow is waited for, on event time.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;

use super::Raw;
use super::key::{self, Kept};
use super::plan::SequencePlan;
use super::sequence::Partial;

/// A missing part and its key.
type Slot = (u128, u16);

/// What is known of the missing steps of one rule.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// The last time of each, and the last time before that.
    seen: HashMap<Slot, (i64, Option<i64>)>,
    /// In the order of time, so that old ones can be forgotten.
    order: VecDeque<(i64, Slot)>,
    /// Complete but for the time that must pass: by deadline.
    waiting: BTreeMap<Due, Waiting>,
    /// Of each key, what waits.
    by_key: HashMap<u128, Vec<Due>>,
    /// How much that is.
    held: usize,
    /// All that ever waited.
    waited: u64,
    evicted: u64,
}

/// When something is due, and a number of its own.
type Due = (i64, u64);

#[derive(Debug)]
struct Waiting {
    key: u128,
    /// Number of the last member.
    last: u64,
    found: Raw,
}

impl Waiting {
    fn weight(&self) -> usize {
        self.found.members.len() + key::weight(&self.found.kept)
    }
}

impl Missing {
    /// Matches that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How much of the quota is taken.
    pub(super) fn held(&self) -> usize {
        self.seen.len() + self.held
    }

    /// Something happened that must not happen somewhere.
    pub(super) fn seen(&mut self, slot: Slot, time: i64) {
        let (last, before) = self.seen.entry(slot).or_insert((time, None));
        if *last < time {
            *before = Some(*last);
            *last = time;
        }
        self.order.push_back((time, slot));
    }

    /// The last time at which it happened.
    pub(super) fn last(&self, slot: &Slot) -> Option<i64> {
        self.seen.get(slot).map(|(last, _)| *last)
    }

    /// The last time before a time.
    pub(super) fn before(&self, slot: &Slot, time: i64) -> Option<i64> {
        let (last, before) = self.seen.get(slot)?;
        if *last < time { Some(*last) } else { *before }
    }

    /// All members are there: decides, or waits until it can be decided.
    pub(super) fn complete(
        &mut self,
        partial: Partial,
        key: u128,
        plan: &SequencePlan,
        quota: usize,
        out: &mut Vec<Raw>,
    ) {
        let Partial { members, first, last, extra, origin, .. } = partial;
        let extra = extra.map(|extra| *extra).unwrap_or_default();
        if extra.broken {
            return;
        }
        let span = plan.maxspan.unwrap_or(i64::MAX);
        let members = members.iter().copied().collect();
        let found = Raw { members, kept: extra.kept, time: last, origin };
        let leads = plan.stages.first().is_some_and(|stage| !stage.before.is_empty());
        let deadline = match (leads, plan.trailing.is_empty()) {
            (false, true) => None,
            (true, true) => {
                if extra.leading.is_some_and(|time| last.saturating_sub(time) <= span) {
                    return;
                }
                None
            }
            (false, false) => Some(first.saturating_add(span)),
            // With something before, that and what follows must be further apart.
            (true, false) => extra.leading.map(|time| time.saturating_add(span)),
        };
        let Some(deadline) = deadline.filter(|deadline| *deadline >= last) else {
            out.push(found);
            return;
        };
        let number = found.members.last().map_or(0, |member| member.number);
        let waiting = Waiting { key, last: number, found };
        self.held += waiting.weight();
        self.waited += 1;
        let due = (deadline, self.waited);
        self.by_key.entry(key).or_default().push(due);
        self.waiting.insert(due, waiting);
        // Half of the quota, so that there is room for what is not complete.
        while self.held > quota / 2 {
            // It was nearly over, and nothing has refuted it yet.
            let Some(oldest) = self.first() else { break };
            out.push(oldest);
            self.evicted += 1;
        }
    }

    /// What must not follow has followed, in an event of this number and time: of the matches that
    /// wait, those are given up whose members say so.
    pub(super) fn refute(
        &mut self,
        key: u128,
        (number, time): (u64, i64),
        refutes: &mut dyn FnMut(&Kept) -> bool,
    ) {
        let Some(dues) = self.by_key.get_mut(&key) else { return };
        let (waiting, held) = (&mut self.waiting, &mut self.held);
        dues.retain(|due| {
            let one = waiting.get(due).filter(|one| due.0 >= time && one.last < number);
            let stays = !one.is_some_and(|one| refutes(&one.found.kept));
            if !stays && let Some(gone) = waiting.remove(due) {
                *held -= gone.weight();
            }
            stays
        });
        if dues.is_empty() {
            self.by_key.remove(&key);
        }
    }

    /// Gives out what nothing can refute any more.
    pub(super) fn due(&mut self, now: i64, out: &mut Vec<Raw>) {
        while self.deadline().is_some_and(|deadline| deadline < now || now == i64::MAX) {
            let Some(found) = self.first() else { break };
            out.push(found);
        }
    }

    /// Takes out what is due first.
    pub(super) fn first(&mut self) -> Option<Raw> {
        let (due, waiting) = self.waiting.pop_first()?;
        self.held -= waiting.weight();
        self.forget(waiting.key, due);
        Some(waiting.found)
    }

    pub(super) fn deadline(&self) -> Option<i64> {
        self.waiting.first_key_value().map(|(due, _)| due.0)
    }

    /// Forgets what is too old to matter.
    pub(super) fn expire(&mut self, now: i64, span: i64) {
        // What came before the first member matters up to one span before the last, and members
        // are at most one span apart.
        let old = now.saturating_sub(span.saturating_mul(2));
        while let Some((time, slot)) = self.order.front().copied().filter(|(time, _)| *time < old) {
            self.order.pop_front();
            if self.last(&slot) == Some(time) {
                self.seen.remove(&slot);
            }
        }
        if self.seen.capacity() > 4 * self.seen.len() + 1024 {
            self.seen.shrink_to_fit();
            self.order.shrink_to_fit();
        }
    }

    /// Keeps at most a quota: of what has happened the oldest goes. A rule that forgets what must
    /// not happen says too much, never too little.
    pub(super) fn bound(&mut self, quota: usize) {
        while self.held() > quota {
            let Some((time, slot)) = self.order.pop_front() else { break };
            if self.last(&slot) == Some(time) {
                self.seen.remove(&slot);
                self.evicted += 1;
            }
        }
    }

    /// How many were given up since the last time.
    pub(super) fn evicted(&mut self) -> u64 {
        if self.order.len() > 2 * self.seen.len() + 1024 {
            let seen = &self.seen;
            self.order.retain(|(time, slot)| seen.get(slot).is_some_and(|(last, _)| last == time));
        }
        std::mem::take(&mut self.evicted)
    }

    fn forget(&mut self, key: u128, due: Due) {
        if let Some(dues) = self.by_key.get_mut(&key) {
            dues.retain(|one| *one != due);
            if dues.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }
}
