//! What follows from matches: results, what correlations make of them, and what only the passing of
//! time decides.

use std::collections::BTreeSet;

use model::field::FieldId;
use model::value::{Fields, Value};
use smallvec::SmallVec;

use super::key::{Kept, Name, Seed, find};
use super::plan::Plan;
use super::{Event, Found, Member, Raw, Rules, names};
use crate::eval::Compiled;

/// Correlations of correlations are followed this far.
const DEPTH_MAX: usize = 8;

/// A match as correlations see it.
pub(super) struct Told<'e> {
    /// When it is known.
    pub(super) time: i64,
    /// Its last event.
    pub(super) last: Member,
    pub(super) origin: u32,
    /// Fields of that event.
    pub(super) fields: Source<'e>,
}

/// Where fields of the last event of a match are.
pub(super) enum Source<'e> {
    Event(&'e dyn Event),
    /// The event is gone: what is remembered of it as this part of the rule.
    Kept(Kept, u16),
}

impl Fields for Source<'_> {
    fn get(&self, field: FieldId) -> Value<'_> {
        match self {
            Source::Event(event) => event.get(field),
            Source::Kept(kept, part) => find(kept, *part, Name::Field(field)),
        }
    }
}

/// The moment at which matches are told.
#[derive(Clone, Copy)]
pub(super) struct Moment<'e> {
    pub(super) time: i64,
    /// The event that completes them; none if time does.
    pub(super) event: Option<&'e dyn Event>,
    /// How many correlations lie between it and these matches.
    pub(super) depth: usize,
}

/// What a detector adds up over all rules, of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) held: usize,
    /// When something of it must be decided.
    pub(super) deadline: Option<i64>,
}

/// The same of all rules.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// How much all partial matches hold.
    pub(super) held: usize,
    /// Deadlines and their rules, at most one of each.
    deadlines: BTreeSet<(i64, u32)>,
    /// A bit for each rule that has remembered something since it was last found quiet.
    busy: Vec<u64>,
}

impl Sums {
    /// Takes account of a rule that was not there before.
    pub(super) fn add(&mut self, rule: u32, standing: Standing) {
        self.change(rule, Standing { held: 0, deadline: None }, standing);
    }

    /// Takes account of a change of one rule.
    pub(super) fn change(&mut self, rule: u32, before: Standing, after: Standing) {
        self.held = (self.held + after.held).saturating_sub(before.held);
        if before.deadline != after.deadline {
            if let Some(deadline) = before.deadline {
                self.deadlines.remove(&(deadline, rule));
            }
            self.deadlines.extend(after.deadline.map(|deadline| (deadline, rule)));
        }
        if after.held > 0 || after.deadline.is_some() {
            let (word, bit) = bit(rule);
            if self.busy.len() <= word {
                self.busy.resize(word + 1, 0);
            }
            if let Some(word) = self.busy.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Whether a rule may remember something.
    pub(super) fn is_busy(&self, rule: u32) -> bool {
        let (word, bit) = bit(rule);
        self.busy.get(word).is_some_and(|word| word & bit != 0)
    }

    /// A rule remembers nothing.
    pub(super) fn rests(&mut self, rule: u32) {
        let (word, bit) = bit(rule);
        if let Some(word) = self.busy.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Rules that may remember something, from one on.
    pub(super) fn next_busy(&self, from: u32) -> Option<u32> {
        let (first, bit) = bit(from);
        let mut words = (0u32..).zip(&self.busy).skip(first);
        let above = |(number, word): (u32, &u64)| {
            let known =
                if usize::try_from(number) == Ok(first) { word & !(bit - 1) } else { *word };
            (known != 0).then(|| number * 64 + known.trailing_zeros())
        };
        words.find_map(above)
    }

    /// The next of all deadlines that are over at a time, and its rule.
    fn over(&self, now: i64) -> Option<(i64, u32)> {
        self.deadlines.first().copied().filter(|(deadline, _)| *deadline < now || now == i64::MAX)
    }
}

fn bit(rule: u32) -> (usize, u64) {
    (usize::try_from(rule / 64).unwrap_or(usize::MAX), 1 << (rule % 64))
}

impl Rules {
    /// Sends matches through the pipes of their rule, and to the correlations that count them.
    pub(super) fn emit(
        &mut self,
        compiled: &Compiled,
        rule: u32,
        found: Vec<Raw>,
        moment: Moment<'_>,
        out: &mut Vec<Found>,
    ) {
        if found.is_empty() || moment.depth > DEPTH_MAX {
            return;
        }
        let Ok(number) = usize::try_from(rule) else { return };
        let Some(plan) = compiled.plans().get(number) else { return };
        let counting = self.counts_for.get(number).cloned().unwrap_or_default();
        let told: Vec<Told<'_>> = if counting.is_empty() {
            Vec::new()
        } else {
            found.iter().filter_map(|raw| self.told(plan, raw, moment)).collect()
        };
        let Some(state) = self.states.get_mut(number) else { return };
        let names = names(compiled, self.names, (self.limits, plan));
        for raw in found {
            state.result(plan, rule, raw, names, &mut self.scratch, out);
        }
        let mut next: SmallVec<[(u32, Vec<Raw>); 1]> = SmallVec::new();
        for (correlation, slot) in counting {
            let mut more = Vec::new();
            for told in &told {
                self.count(compiled, correlation, slot, told, &mut more);
            }
            next.push((correlation, more));
        }
        // What follows from a match comes after it, also where both are counted.
        let moment = Moment { depth: moment.depth + 1, ..moment };
        for (correlation, more) in next {
            self.emit(compiled, correlation, more, moment, out);
        }
    }

    /// A match as correlations see it: with the fields of its last event.
    fn told<'e>(&mut self, plan: &Plan, raw: &Raw, moment: Moment<'e>) -> Option<Told<'e>> {
        if let Some(part) = plan.late {
            let (last, fields) = (*raw.members.last()?, Source::Kept(raw.kept.clone(), part));
            return Some(Told { time: moment.time, last, origin: raw.origin, fields });
        }
        let (event, seed) = (moment.event?, Seed(self.limits.seed));
        let last = self.now.hold(event, seed);
        let (origin, fields) = (self.now.origin(event, seed), Source::Event(event));
        Some(Told { time: moment.time, last, origin, fields })
    }

    /// Counts a match for a correlation.
    fn count(
        &mut self,
        compiled: &Compiled,
        correlation: u32,
        slot: u16,
        told: &Told<'_>,
        out: &mut Vec<Raw>,
    ) {
        let Ok(number) = usize::try_from(correlation) else { return };
        let (Some(state), Some(plan)) = (self.states.get_mut(number), compiled.plans().get(number))
        else {
            return;
        };
        let before = state.standing();
        let bounds = (Seed(self.limits.seed), self.limits.quota(plan.kept));
        state.hit(plan, bounds, slot, told, out);
        self.sums.change(correlation, before, state.standing());
    }

    /// Decides what waited for a time, one moment after the other.
    pub(super) fn due(&mut self, compiled: &Compiled, now: i64, out: &mut Vec<Found>) {
        while let Some((deadline, rule)) = self.sums.over(now) {
            let Ok(number) = usize::try_from(rule) else { return };
            let (Some(state), Some(plan)) =
                (self.states.get_mut(number), compiled.plans().get(number))
            else {
                return;
            };
            let before = state.standing();
            let mut found = Vec::new();
            state.due(deadline.saturating_add(1), plan, &mut found);
            self.sums.change(rule, before, state.standing());
            let moment = Moment { time: deadline, event: None, depth: 0 };
            self.emit(compiled, rule, found, moment, out);
        }
    }

    /// Keeps all rules together within their bound: the largest gives way.
    pub(super) fn bound(&mut self, compiled: &Compiled, event: &dyn Event, out: &mut Vec<Found>) {
        while self.sums.held > self.limits.partials {
            let states = (0u32..).zip(self.states.iter_mut());
            let Some((rule, state)) = states.max_by_key(|(_, state)| state.held()) else { return };
            let before = state.standing();
            let mut found = Vec::new();
            state.evict(before.held.saturating_sub(1).max(1), &mut found);
            let after = state.standing();
            self.sums.change(rule, before, after);
            let moment = Moment { time: event.time(), event: Some(event), depth: 0 };
            self.emit(compiled, rule, found, moment, out);
            if after.held >= before.held {
                return;
            }
        }
    }
}
