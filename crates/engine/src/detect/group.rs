//! `sample` and the classic `join`: one event for each filter with equal keys, in any order.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::key::{self, Kept};
use super::quota::{self, Candidate};
use super::{Call, Member, Raw};

/// What is pending, by key.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_key: HashMap<u128, Group>,
    /// How much they hold.
    held: usize,
    /// Groups that were ever begun.
    begun: u64,
    pub(super) evicted: u64,
}

#[derive(Debug)]
struct Group {
    /// For each filter the first events that satisfy it, at most as many as there are filters.
    slots: Vec<SmallVec<[Item; 1]>>,
    /// A sample has been found: there is one for each key.
    done: bool,
    serial: u64,
    origin: u32,
}

impl Group {
    fn weight(&self) -> usize {
        let item = |item: &Item| 1 + key::weight(&item.kept);
        1 + self.slots.iter().flatten().map(item).sum::<usize>()
    }
}

#[derive(Debug, Clone)]
struct Item {
    member: Member,
    kept: Kept,
}

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How much of the quota is taken.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    fn take(&mut self, key: &u128) -> Option<Group> {
        let group = self.by_key.remove(key)?;
        self.held -= group.weight();
        Some(group)
    }

    /// Offers an event to a sample of so many filters: no event stands for two of them.
    pub(super) fn sample(
        &mut self,
        call: &mut Call<'_>,
        filters: usize,
        parts: &[u16],
        out: &mut Vec<Raw>,
    ) {
        let mut touched = SmallVec::<[u128; 2]>::new();
        self.fill(call, filters, parts, filters, &mut touched);
        for key in touched {
            let Some(group) = self.by_key.get_mut(&key).filter(|group| !group.done) else {
                continue;
            };
            let mut chosen = Vec::with_capacity(filters);
            if choose(&group.slots, &mut chosen) {
                self.held -= group.weight() - 1;
                group.done = true;
                group.slots = Vec::new();
                out.push(raw(chosen, call.event.time(), group.origin));
            }
        }
        self.bound(call.quota);
    }

    /// Offers an event to a join of so many filters: the first that comes is taken.
    pub(super) fn join(
        &mut self,
        call: &mut Call<'_>,
        filters: usize,
        parts: &[u16],
        out: &mut Vec<Raw>,
    ) {
        let mut touched = SmallVec::<[u128; 2]>::new();
        self.fill(call, filters, parts, 1, &mut touched);
        for key in touched {
            let full = |group: &&mut Group| group.slots.iter().all(|slot| !slot.is_empty());
            if self.by_key.get_mut(&key).as_ref().is_some_and(full)
                && let Some(group) = self.take(&key)
            {
                let items = group.slots.into_iter().flatten().collect();
                out.push(raw(items, call.event.time(), group.origin));
            }
        }
        let until = u16::try_from(filters).unwrap_or(u16::MAX);
        if parts.contains(&until) {
            for key in call.keys(until) {
                self.take(&key);
            }
        }
        self.bound(call.quota);
    }

    fn fill(
        &mut self,
        call: &mut Call<'_>,
        filters: usize,
        parts: &[u16],
        most: usize,
        touched: &mut SmallVec<[u128; 2]>,
    ) {
        for part in parts.iter().copied().filter(|part| usize::from(*part) < filters) {
            for key in call.keys(part) {
                let mut item = Item { member: call.hold(), kept: Kept::new() };
                call.keep(&mut item.kept, part);
                let origin = call.origin();
                let group = self.by_key.entry(key).or_insert_with(|| {
                    self.begun += 1;
                    self.held += 1;
                    let slots = vec![SmallVec::new(); filters];
                    Group { slots, done: false, serial: self.begun, origin }
                });
                if let Some(slot) = group.slots.get_mut(usize::from(part))
                    && slot.len() < most
                {
                    self.held += 1 + key::weight(&item.kept);
                    slot.push(item);
                }
                // In the order of the keys, whichever of its filters is the one that was missing.
                if !touched.contains(&key) {
                    touched.push(key);
                }
            }
        }
    }

    fn bound(&mut self, quota: usize) {
        if self.held > quota {
            self.evict(quota);
        }
    }

    /// Makes room below a quota.
    pub(super) fn evict(&mut self, quota: usize) {
        let all = self.by_key.iter().map(|(key, group)| Candidate {
            what: *key,
            origin: group.origin,
            serial: group.serial,
            advanced: group.slots.iter().filter(|slot| !slot.is_empty()).count() > 1,
            weight: group.weight(),
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|one| one.serial);
        for key in quota::victims(all, quota) {
            self.take(&key);
            self.evicted += 1;
        }
    }
}

/// Chooses a different event for each filter, if there is one. Each filter holds as many as there
/// are filters, so there is one whenever there is one at all; the filters are at most a few.
fn choose(slots: &[SmallVec<[Item; 1]>], chosen: &mut Vec<Item>) -> bool {
    let Some(slot) = slots.get(chosen.len()) else { return true };
    for item in slot {
        if chosen.iter().any(|other| other.member.number == item.member.number) {
            continue;
        }
        chosen.push(item.clone());
        if choose(slots, chosen) {
            return true;
        }
        chosen.pop();
    }
    false
}

fn raw(items: Vec<Item>, time: i64, origin: u32) -> Raw {
    let mut found = Raw { members: SmallVec::new(), kept: Kept::new(), time, origin };
    for mut item in items {
        found.members.push(item.member);
        found.kept.append(&mut item.kept);
    }
    found
}
