//! Correlations: several matches or values within a time, by group.
//!
//! A condition that asks for at least so many is met by the match that makes them so many; its
//! window then begins anew, so that a flood of matches is one alert for each such number. A
//! condition with an upper bound can only be judged when the window, which the first match opens,
//! is over: what is told then counts for other correlations at that time.

use std::collections::{BTreeSet, VecDeque};

use hashbrown::{HashMap, HashSet};
use model::field::FieldId;
use model::program::{Correlation, CorrelationKind, Order};
use model::value::{Fields, Value};

use super::key::{self, Kept, Seed};
use super::quota::{self, Candidate};
use super::tell::Told;
use super::{Member, Raw};

/// Matches that one group remembers: larger counts are never met.
pub(super) const HITS_MAX: usize = 65_536;
/// Members that an alert names: the last of them.
const MEMBERS_MAX: usize = 100;

/// All groups of one correlation.
#[derive(Debug, Default)]
pub(super) struct Windows {
    groups: HashMap<u128, Window>,
    /// Windows that must be judged when they are over.
    ends: BTreeSet<(i64, u64, u128)>,
    /// Matches that all groups remember.
    held: usize,
    /// Groups that were ever begun.
    begun: u64,
    pub(super) evicted: u64,
}

/// What a correlation does with a match.
pub(super) struct Counting<'c> {
    pub(super) plan: &'c Correlation,
    /// What other correlations ask of its own matches.
    pub(super) keep: &'c [(u16, FieldId)],
    pub(super) seed: Seed,
    pub(super) quota: usize,
}

#[derive(Debug, Default)]
struct Window {
    hits: VecDeque<Hit>,
    /// What is remembered of the last of them.
    kept: Kept,
    serial: u64,
    origin: u32,
}

#[derive(Debug, Clone, Copy)]
struct Hit {
    time: i64,
    member: Member,
    /// Number of the rule in the list of the correlation.
    slot: u16,
    value: u64,
}

impl Windows {
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// How much of the quota is taken.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    fn take(&mut self, key: &u128) -> Option<Window> {
        let window = self.groups.remove(key)?;
        self.held -= window.weight();
        Some(window)
    }

    /// Takes a match of one of the rules.
    pub(super) fn hit(
        &mut self,
        counting: &Counting<'_>,
        slot: u16,
        told: &Told<'_>,
        out: &mut Vec<Raw>,
    ) {
        let Counting { plan, keep, seed, quota } = *counting;
        let time = told.time;
        let fields = plan.group_by.get(usize::from(slot)).map_or(&[][..], Vec::as_slice);
        let of = &told.fields;
        let first =
            |field| of.get(field).each().find(|value| !value.is_null()).unwrap_or(Value::Null);
        let value = match &plan.kind {
            CorrelationKind::ValueCount(field) => match first(*field) {
                Value::Null => return,
                value => seed.value(value),
            },
            _ => 0,
        };
        // An event that lacks a field of the group belongs to none.
        if fields.iter().any(|field| first(*field).is_null()) {
            return;
        }
        let key = seed.tuple(fields.iter().map(|field| first(*field)));
        let group = self.groups.entry(key).or_insert_with(|| {
            self.begun += 1;
            Window { serial: self.begun, origin: told.origin, ..Window::default() }
        });
        let before = group.weight();
        group.kept.clear();
        key::keep(&mut group.kept, keep, 0, of);
        let hit = Hit { time, member: told.last, slot, value };
        if bounded_above(plan) {
            if group.hits.is_empty() {
                self.ends.insert((time.saturating_add(span(plan)), group.serial, key));
            }
            group.add(plan, hit, HITS_MAX);
        } else {
            group.forget(time, span(plan));
            group.add(plan, hit, needed(plan));
        }
        let met = !bounded_above(plan) && group.met(plan);
        self.held = (self.held + group.weight()).saturating_sub(before);
        if met && let Some(mut group) = self.take(&key) {
            out.push(group.take(time));
        }
        if self.held > quota {
            self.evict(quota);
        }
    }

    pub(super) fn deadline(&self) -> Option<i64> {
        self.ends.first().map(|(end, ..)| *end)
    }

    /// Judges the windows that are over.
    pub(super) fn due(&mut self, now: i64, plan: &Correlation, out: &mut Vec<Raw>) {
        while self.deadline().is_some_and(|end| end < now || now == i64::MAX) {
            let Some((end, _, key)) = self.ends.pop_first() else { break };
            if let Some(mut group) = self.take(&key)
                && group.met(plan)
            {
                out.push(group.take(end));
            }
        }
    }

    /// Frees groups whose last match is too old.
    pub(super) fn expire(&mut self, now: i64, plan: &Correlation) {
        if !bounded_above(plan) {
            let old = |window: &Window| {
                window.hits.back().is_none_or(|hit| now.saturating_sub(hit.time) > span(plan))
            };
            let held = &mut self.held;
            self.groups.retain(|_, window| {
                let stays = !old(window);
                *held -= if stays { 0 } else { window.weight() };
                stays
            });
            if self.groups.capacity() > 4 * self.groups.len() + 1024 {
                self.groups.shrink_to_fit();
            }
        }
    }

    /// Makes room below a quota.
    pub(super) fn evict(&mut self, quota: usize) {
        let all = self.groups.iter().map(|(key, window)| Candidate {
            what: *key,
            origin: window.origin,
            serial: window.serial,
            advanced: window.hits.len() > 1,
            weight: window.weight(),
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|one| one.serial);
        for key in quota::victims(all, quota) {
            self.take(&key);
            self.evicted += 1;
        }
        let groups = &self.groups;
        self.ends.retain(|(.., key)| groups.contains_key(key));
    }
}

impl Window {
    fn weight(&self) -> usize {
        self.hits.len() + key::weight(&self.kept)
    }

    fn forget(&mut self, now: i64, span: i64) {
        while self.hits.front().is_some_and(|hit| now.saturating_sub(hit.time) > span) {
            self.hits.pop_front();
        }
    }

    /// Of equal values, and of matches of one rule where only their presence counts, the last stays.
    fn add(&mut self, plan: &Correlation, hit: Hit, most: usize) {
        match plan.kind {
            CorrelationKind::ValueCount(_) => self.hits.retain(|other| other.value != hit.value),
            CorrelationKind::Temporal => self.hits.retain(|other| other.slot != hit.slot),
            CorrelationKind::EventCount | CorrelationKind::TemporalOrdered => {}
        }
        self.hits.push_back(hit);
        while self.hits.len() > most.min(HITS_MAX) {
            self.hits.pop_front();
        }
    }

    fn met(&self, plan: &Correlation) -> bool {
        let count = match plan.kind {
            CorrelationKind::EventCount | CorrelationKind::ValueCount(_) => self.hits.len(),
            CorrelationKind::Temporal => {
                self.hits.iter().map(|hit| hit.slot).collect::<HashSet<_>>().len()
            }
            CorrelationKind::TemporalOrdered => {
                let next = |done: u16, hit: &Hit| done + u16::from(hit.slot == done);
                usize::from(self.hits.iter().fold(0, next))
            }
        };
        if plan.condition.is_empty() {
            return count >= plan.rules.len();
        }
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        plan.condition.iter().all(|(order, number)| match order {
            Order::Equal => count == *number,
            Order::Less => count < *number,
            Order::LessEqual => count <= *number,
            Order::Greater => count > *number,
            Order::GreaterEqual => count >= *number,
        })
    }

    fn take(&mut self, time: i64) -> Raw {
        let skip = self.hits.len().saturating_sub(MEMBERS_MAX);
        let members = self.hits.drain(..).skip(skip).map(|hit| hit.member).collect();
        Raw { members, kept: std::mem::take(&mut self.kept), time, origin: self.origin }
    }
}

fn span(plan: &Correlation) -> i64 {
    i64::try_from(plan.timespan).unwrap_or(i64::MAX)
}

/// Whether only the end of a window can tell.
pub(super) fn bounded_above(plan: &Correlation) -> bool {
    let upper = |order: &Order| matches!(order, Order::Equal | Order::Less | Order::LessEqual);
    plan.condition.iter().any(|(order, _)| upper(order))
}

/// Matches that are enough to meet the condition.
fn needed(plan: &Correlation) -> usize {
    if plan.kind == CorrelationKind::TemporalOrdered {
        return HITS_MAX;
    }
    let most = plan.condition.iter().map(|(_, number)| number.saturating_add(1)).max();
    most.map_or(HITS_MAX, |most| usize::try_from(most).unwrap_or(HITS_MAX))
}
