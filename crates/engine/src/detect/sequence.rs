//! Sequences: for each key tuple at most one pending partial a stage.
//!
//! An event is offered to the stages last to first, so that it never fills two places of one
//! partial. A stage takes the partial of the stage before, whatever becomes of it.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::key::{self, Kept, Members};
use super::missing::Missing;
use super::plan::{SequencePlan, Stage};
use super::quota::{self, Candidate};
use super::{Call, Member, Raw};
use crate::eval::Condition;

/// Entries of the expiry queue beyond twice the partials: then those that are gone are removed.
const QUEUE_SLACK: usize = 1024;

/// A partial by its key and stage.
type Slot = (u128, u16);

/// All partials of one rule.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    partials: HashMap<Slot, Partial>,
    /// What has been started, in the order of time: when it is over.
    queue: VecDeque<Started>,
    /// How much the partials hold.
    held: usize,
    /// Partials that were ever started.
    started: u64,
    missing: Missing,
    pub(super) evicted: u64,
    /// The event at hand was the last but one of a match that began then.
    near: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Started {
    time: i64,
    key: u128,
    serial: u64,
}

/// Events that have matched the first steps. There may be hundreds of thousands, so what few need
/// is in `extra`.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) members: Box<[Member]>,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) extra: Option<Box<Extra>>,
    /// Larger is younger.
    serial: u64,
    pub(super) origin: u32,
}

/// What few partials have.
#[derive(Debug, Default, Clone)]
pub(super) struct Extra {
    pub(super) kept: Kept,
    /// Something that must not happen between two members has happened.
    pub(super) broken: bool,
    /// The same since the last member, by what the members are: when it was.
    refuted: Option<i64>,
    /// When something last happened before the first member that must not.
    pub(super) leading: Option<i64>,
}

impl Partial {
    /// What is remembered of the members.
    fn kept(&self) -> &[key::Remembered] {
        self.extra.as_ref().map_or(&[], |extra| &extra.kept)
    }

    fn weight(&self) -> usize {
        self.members.len() + self.extra.as_ref().map_or(0, |extra| key::weight(&extra.kept))
    }
}

impl Sequence {
    pub(super) fn len(&self) -> usize {
        self.partials.len() + self.missing.waiting()
    }

    /// How much of the quota is taken.
    pub(super) fn held(&self) -> usize {
        self.held + self.missing.held()
    }

    /// When the match began that lacks only its last event since the event at hand; told once.
    pub(super) fn near(&mut self) -> Option<i64> {
        self.near.take()
    }

    /// What must still be looked at when its time is over.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    fn put(&mut self, slot: Slot, partial: Partial) {
        self.held += partial.weight();
        if let Some(older) = self.partials.insert(slot, partial) {
            self.held -= older.weight();
        }
    }

    fn take(&mut self, slot: &Slot) -> Option<Partial> {
        let partial = self.partials.remove(slot)?;
        self.held -= partial.weight();
        Some(partial)
    }

    /// Ends all that is pending for a key.
    fn end(&mut self, key: u128, plan: &SequencePlan) {
        for (stage, _) in (0u16..).zip(&plan.stages) {
            self.take(&(key, stage));
        }
    }

    /// Offers an event that satisfies these parts.
    pub(super) fn offer(
        &mut self,
        call: &mut Call<'_>,
        plan: &SequencePlan,
        parts: &[u16],
        out: &mut Vec<Raw>,
    ) {
        // Keys for which this event has ended a match that shares no event with the next.
        let mut ended = key::Tuples::new();
        for (number, stage) in plan.stages.iter().enumerate().rev() {
            let Ok(number) = u16::try_from(number) else { continue };
            // The first begins something; the others go on with what there is.
            if parts.contains(&stage.part) && (number == 0 || !self.partials.is_empty()) {
                for key in call.keys(stage.part) {
                    let complete =
                        !ended.contains(&key) && self.advance(call, plan, number, stage, key, out);
                    if complete && plan.disjoint {
                        self.end(key, plan);
                        ended.push(key);
                    }
                }
            }
        }
        self.forbidden(call, plan, parts);
        if let Some(until) = plan.until.filter(|_| !self.partials.is_empty())
            && parts.contains(&until)
        {
            for key in call.keys(until) {
                self.until(call, plan, until, key);
            }
        }
        self.bound(call.quota, plan);
    }

    /// Remembers what must not happen, and gives up what it refutes.
    fn forbidden(&mut self, call: &mut Call<'_>, plan: &SequencePlan, parts: &[u16]) {
        for (stage, missing) in (0u16..).zip(plan.stages.iter().map(|stage| &stage.before)) {
            for part in missing.iter().filter(|part| parts.contains(part)) {
                for key in call.keys(*part) {
                    match stage.checked_sub(1) {
                        // Which event it is depends on the members before it.
                        Some(before) if is_late(call, *part) => {
                            self.refute(call, *part, (key, before));
                        }
                        Some(_) => self.missing.seen((key, *part), call.event.time()),
                        None if holds_late(call, *part, &[]) => {
                            self.missing.seen((key, *part), call.event.time());
                        }
                        None => {}
                    }
                }
            }
        }
        for part in plan.trailing.iter().filter(|part| parts.contains(part)) {
            for key in call.keys(*part) {
                let (number, time) = (call.event.number(), call.event.time());
                let mut refutes = |kept: &Kept| holds_late(call, *part, kept);
                self.missing.refute(key, (number, time), &mut refutes);
            }
        }
    }

    /// Notes that a pending partial is refuted, unless its next member comes at the same time.
    fn refute(&mut self, call: &mut Call<'_>, part: u16, slot: Slot) {
        let time = call.event.time();
        let partial = self.partials.get_mut(&slot).filter(|partial| time > partial.last);
        if let Some(partial) = partial
            && holds_late(call, part, partial.kept())
        {
            let refuted = &mut partial.extra.get_or_insert_default().refuted;
            *refuted = Some(refuted.map_or(time, |before| before.min(time)));
        }
    }

    /// Ends what is pending for a key, as far as the event is the one that ends it.
    fn until(&mut self, call: &mut Call<'_>, plan: &SequencePlan, part: u16, key: u128) {
        for (stage, _) in (0u16..).zip(&plan.stages) {
            let slot = (key, stage);
            let pending = self.partials.get(&slot);
            if pending.is_some_and(|partial| holds_late(call, part, partial.kept())) {
                self.take(&slot);
            }
        }
    }

    /// Whether a partial became complete.
    fn advance(
        &mut self,
        call: &mut Call<'_>,
        plan: &SequencePlan,
        number: u16,
        stage: &Stage,
        key: u128,
        out: &mut Vec<Raw>,
    ) -> bool {
        let (time, quota) = (call.event.time(), call.quota);
        let partial = match number.checked_sub(1) {
            None => self.start(call, plan, key, stage),
            Some(before) => {
                let slot = (key, before);
                let Some(partial) = self.partials.get(&slot) else { return false };
                if !holds_late(call, stage.part, partial.kept()) {
                    return false;
                }
                let partial = if stage.fork { Some(copy(partial)) } else { self.take(&slot) };
                let Some(partial) = partial else { return false };
                if plan.maxspan.is_some_and(|span| time.saturating_sub(partial.first) > span) {
                    return false;
                }
                self.extend(call, stage, key, partial)
            }
        };
        if usize::from(number) + 1 == plan.stages.len() {
            self.missing.complete(partial, key, plan, quota, out);
            return true;
        }
        if usize::from(number) + 2 == plan.stages.len() {
            self.near = self.near.max(Some(partial.first));
        }
        self.put((key, number), partial);
        false
    }

    fn start(
        &mut self,
        call: &mut Call<'_>,
        plan: &SequencePlan,
        key: u128,
        stage: &Stage,
    ) -> Partial {
        let time = call.event.time();
        let member = call.hold();
        let seen = stage.before.iter().filter_map(|part| self.missing.last(&(key, *part)));
        let mut extra = Extra { leading: seen.max(), ..Extra::default() };
        call.keep(&mut extra.kept, stage.part);
        let needed = extra.leading.is_some() || !extra.kept.is_empty();
        if plan.maxspan.is_some() && plan.stages.len() > 1 {
            self.queue.push_back(Started { time, key, serial: self.started + 1 });
        }
        self.started += 1;
        Partial {
            members: Box::new([member]),
            first: time,
            last: time,
            extra: needed.then(|| Box::new(extra)),
            serial: self.started,
            origin: call.origin(),
        }
    }

    /// A partial with the event as its next member.
    fn extend(
        &mut self,
        call: &mut Call<'_>,
        stage: &Stage,
        key: u128,
        mut partial: Partial,
    ) -> Partial {
        let time = call.event.time();
        let between = |part: &u16| {
            self.missing.before(&(key, *part), time).is_some_and(|at| at > partial.last)
        };
        let refuted = partial.extra.as_mut().and_then(|extra| extra.refuted.take());
        let broken = refuted.is_some_and(|at| at < time) || stage.before.iter().any(between);
        let mut kept = Kept::new();
        call.keep(&mut kept, stage.part);
        if broken || !kept.is_empty() {
            let extra = partial.extra.get_or_insert_default();
            extra.broken |= broken;
            extra.kept.append(&mut kept);
        }
        let mut members = Vec::with_capacity(partial.members.len() + 1);
        members.extend_from_slice(&partial.members);
        members.push(call.hold());
        partial.members = members.into();
        partial.last = time;
        partial
    }

    /// Whether anything waits for a time.
    pub(super) fn due(&mut self, now: i64, out: &mut Vec<Raw>) {
        self.missing.due(now, out);
    }

    /// The earliest time at which something that waits is due.
    pub(super) fn deadline(&self) -> Option<i64> {
        self.missing.deadline()
    }

    /// Frees what can never be completed.
    pub(super) fn expire(&mut self, now: i64, plan: &SequencePlan) {
        let Some(span) = plan.maxspan else { return };
        while let Some(started) = self.queue.front().copied() {
            if now.saturating_sub(started.time) <= span {
                break;
            }
            self.queue.pop_front();
            for stage in (0u16..).zip(&plan.stages).map(|(number, _)| number) {
                let slot = (started.key, stage);
                if self.partials.get(&slot).is_some_and(|it| it.serial == started.serial) {
                    self.take(&slot);
                }
            }
        }
        self.missing.expire(now, span);
        if self.partials.capacity() > 4 * self.partials.len() + QUEUE_SLACK {
            self.partials.shrink_to_fit();
            self.queue.shrink_to_fit();
        }
    }

    fn bound(&mut self, quota: usize, plan: &SequencePlan) {
        if self.held() > quota {
            self.room(quota);
        }
        self.evicted += self.missing.evicted();
        if self.queue.len() > 2 * self.partials.len() + QUEUE_SLACK {
            let stages = plan.stages.len();
            let partials = &self.partials;
            self.queue.retain(|started| {
                (0u16..).take(stages).any(|stage| {
                    let partial = partials.get(&(started.key, stage));
                    partial.is_some_and(|it| it.serial == started.serial)
                })
            });
        }
    }

    /// Makes room: what is held beside what waits is less than a quota.
    fn room(&mut self, quota: usize) {
        // What must not happen is forgotten only after partials have their half.
        self.evict_partials(quota.saturating_sub(self.missing.held()).max(quota / 2));
        self.missing.bound(quota.saturating_sub(self.held));
    }

    /// Makes room: all that is held is less than a quota. What waits is told early.
    pub(super) fn evict(&mut self, quota: usize, out: &mut Vec<Raw>) {
        self.room(quota);
        while self.held() > quota {
            let Some(found) = self.missing.first() else { break };
            out.push(found);
            self.evicted += 1;
        }
        self.evicted += self.missing.evicted();
    }

    fn evict_partials(&mut self, quota: usize) {
        let all = self.partials.iter().map(|(slot, partial)| Candidate {
            what: *slot,
            origin: partial.origin,
            serial: partial.serial,
            advanced: slot.1 > 0,
            weight: partial.weight(),
        });
        let mut all: Vec<_> = all.collect();
        // The table's own order is not the same in each run; copies share a serial.
        all.sort_unstable_by_key(|one| (one.serial, one.what.1));
        for slot in quota::victims(all, quota) {
            self.take(&slot);
            self.evicted += 1;
        }
    }
}

/// What of a part depends on earlier members.
fn late<'c>(call: &Call<'c>, part: u16) -> Option<&'c Condition> {
    let filter = call.filters.get(usize::from(part)).and_then(|it| call.compiled.filter(*it));
    filter.filter(|condition| condition.late.is_some())
}

fn is_late(call: &Call<'_>, part: u16) -> bool {
    late(call, part).is_some()
}

/// Whether a part holds after these members, as far as that depends on them.
fn holds_late(call: &mut Call<'_>, part: u16, kept: &[key::Remembered]) -> bool {
    let Some(condition) = late(call, part) else { return true };
    let context = Members { kept, lineage: call.lineage };
    call.compiled.late(condition, call.event, &context, call.scratch)
}

fn copy(partial: &Partial) -> Partial {
    Partial { members: partial.members.clone(), extra: partial.extra.clone(), ..*partial }
}
