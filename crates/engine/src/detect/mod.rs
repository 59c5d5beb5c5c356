//! What a program finds in a stream of events: the state of all rules.
//!
//! A [`Detector`] belongs to one stream. Whether an event satisfies the filters of all rules depends
//! on the event alone (unless the program asks for lineage), so that part, which is nearly all of the
//! work, can be done on any thread by [`Compiled::hits`]; what has state, [`Detector::advance`], is
//! then done in the order of the events. So one thread and many give the same.
//!
//! | module | holds |
//! |---|---|
//! | `found`, `call` | what a detector takes and gives, and what rules are given |
//! | `plan` | rules in the shape in which they run |
//! | `state` | the state of one rule |
//! | `sequence`, `missing` | sequences, and events that must not happen |
//! | `group` | samples and joins |
//! | `correlation` | counts within a time |
//! | `tell` | what follows from matches |
//! | `pipes` | what happens to results |
//! | `key`, `quota`, `lineage` | join keys, bounds, ancestors |
//! | `meter` | what rules cost |
//! | `scripted` | what depends on scripts and on lineage |

#[cfg(test)]
mod bounds;
mod call;
mod correlation;
#[cfg(test)]
mod counts;
mod found;
mod group;
mod key;
mod lineage;
mod meter;
mod missing;
mod pipes;
mod plan;
#[cfg(test)]
mod property;
mod quota;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod sample;
mod scripted;
#[cfg(test)]
mod scripts;
mod sequence;
mod state;
#[cfg(test)]
mod statements;
mod tell;
#[cfg(test)]
mod text;

use std::sync::Arc;

use model::field;
use model::script::Scripts;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use crate::eval::{Alone, Compiled, Context, NoScripts, Scratch};
use call::{Call, Now};
pub use found::{Counted, Counters, Event, Found, Limits};
use key::{Kept, Lists, Seed};
use lineage::Lineage;
pub(crate) use lineage::Query as LineageQuery;
pub use lineage::{Kin, Kindred};
use meter::Meter;
pub(crate) use plan::{Around, Plan, asked, digest};
pub(crate) use quota::{Candidate, victims};
use state::State;
use tell::{Moment, Sums};

/// Between two sweeps for what is over, in event time.
const SWEEP_NS: i64 = 1_000_000_000;

/// A member of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    number: u64,
    identity: u64,
}

/// A filter as a part of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    rule: u32,
    part: u16,
    /// It means something while the rule remembers nothing.
    begins: bool,
}

/// A match before pipes.
#[derive(Debug, Clone)]
struct Raw {
    members: SmallVec<[Member; 4]>,
    kept: Kept,
    time: i64,
    /// Who began it.
    origin: u32,
}

/// The state of all rules over one stream of events.
#[derive(Debug)]
pub struct Detector {
    /// Lent for each event and not shared: to count who has it would disturb those on other threads
    /// who read it.
    compiled: Arc<Compiled>,
    all: Rules,
}

/// What a detector knows beside its program.
#[derive(Debug)]
struct Rules {
    limits: Limits,
    states: Vec<State>,
    /// For each filter: which part of which rule it is.
    uses: Vec<SmallVec<[Use; 2]>>,
    /// For each rule: the correlations that it counts for, and its number there.
    counts_for: Vec<SmallVec<[(u32, u16); 1]>>,
    lists: Lists,
    lineage: Lineage,
    kindred: Kindred,
    scratch: Scratch,
    hits: Vec<u32>,
    touched: Vec<Use>,
    idle: Vec<Use>,
    /// Sequences that lack only their last event since the event at hand, and how long they took.
    near: Vec<(u32, i64)>,
    now: Now,
    sums: Sums,
    /// For each rule: events that meant nothing to it while it remembered nothing, and the turn of
    /// the last of them.
    passed: Vec<(u64, u64)>,
    /// Events that were offered.
    turn: u64,
    sweep: i64,
    names: [Option<field::FieldId>; 2],
    meter: Meter,
}

impl Detector {
    /// A detector that has seen nothing, and runs no script: they answer no.
    pub fn new(compiled: Arc<Compiled>, limits: Limits) -> Detector {
        Detector::with_scripts(compiled, limits, Box::new(NoScripts))
    }

    /// The same with what runs the scripts of the program.
    pub fn with_scripts(
        compiled: Arc<Compiled>,
        limits: Limits,
        scripts: Box<dyn Scripts>,
    ) -> Detector {
        let mut all = Rules {
            limits,
            states: compiled.plans().iter().map(State::new).collect(),
            uses: Vec::new(),
            counts_for: Vec::new(),
            lists: Lists::default(),
            lineage: Lineage::default(),
            kindred: Kindred::new(limits.seed),
            scratch: Scratch::default(),
            hits: Vec::new(),
            touched: Vec::new(),
            idle: Vec::new(),
            near: Vec::new(),
            now: Now::default(),
            sums: Sums::default(),
            passed: Vec::new(),
            turn: 0,
            sweep: i64::MIN,
            names: [None; 2],
            meter: Meter::default(),
        };
        all.scratch.asking.scripts.0 = scripts;
        all.link(&compiled);
        Detector { compiled, all }
    }

    /// What it runs.
    pub fn compiled(&self) -> &Arc<Compiled> {
        &self.compiled
    }

    /// Takes an event: what it completes is added to `out`, in the order of the rules.
    pub fn push(&mut self, event: &dyn Event, out: &mut Vec<Found>) {
        let Detector { compiled, all } = self;
        all.measure_filters(compiled, event);
        let mut hits = std::mem::take(&mut all.hits);
        compiled.hits(event, &mut all.scratch, &mut hits);
        all.advance(compiled, event, &mut hits, out);
        all.hits = hits;
        all.measured();
    }

    /// The same with the filters that the event satisfies, as [`Compiled::hits`] told them.
    pub fn advance(&mut self, event: &dyn Event, hits: &mut Vec<u32>, out: &mut Vec<Found>) {
        self.all.advance(&self.compiled, event, hits, out);
    }

    /// Takes an event that satisfies no filter: of it no more is asked than this.
    pub fn pass(&mut self, time: i64, kin: Kin, out: &mut Vec<Found>) {
        self.tick(time, out);
        self.all.now = Now::default();
        self.all.near.clear();
        if !self.compiled.stateless() {
            self.all.lineage.link(kin);
        }
    }

    /// Event time has come to `now`, ns since the epoch: what waited for that is decided, and what
    /// is over is freed. Each event does this too.
    pub fn tick(&mut self, now: i64, out: &mut Vec<Found>) {
        self.all.tick(&self.compiled, now, out);
    }

    /// The stream has ended: what waited is decided, and pipes give out what they hold back.
    pub fn finish(&mut self, out: &mut Vec<Found>) {
        let Detector { compiled, all } = self;
        all.due(compiled, i64::MAX, out);
        for (rule, (state, plan)) in (0u32..).zip(all.states.iter_mut().zip(compiled.plans())) {
            let names = names(compiled, all.names, (all.limits, plan));
            state.finish(plan, rule, names, &mut all.scratch, out);
        }
    }

    /// Goes on with another program without scripts. Rules that did not change keep their partial
    /// matches.
    pub fn replace(&mut self, compiled: Arc<Compiled>) {
        self.replace_with(compiled, Box::new(NoScripts));
    }

    /// The same with what runs the scripts of the program: those that did not change keep what they
    /// remember.
    pub fn replace_with(&mut self, compiled: Arc<Compiled>, mut scripts: Box<dyn Scripts>) {
        let Detector { compiled: old, all } = self;
        for (state, (passed, _)) in all.states.iter_mut().zip(&all.passed) {
            state.passed(*passed);
        }
        let states = std::mem::take(&mut all.states);
        let mut known: std::collections::HashMap<u64, State> =
            old.plans().iter().map(|plan| plan.digest).zip(states).collect();
        let plans = compiled.plans().iter();
        all.states =
            plans.map(|plan| known.remove(&plan.digest).unwrap_or(State::new(plan))).collect();
        all.lineage.renumber(old.lineages(), compiled.lineages());
        scripts.inherit(std::mem::take(&mut all.scratch.asking.scripts).0);
        all.scratch = Scratch::default();
        all.scratch.asking.scripts.0 = scripts;
        all.meter.clear();
        all.sums = Sums::default();
        for (rule, state) in (0u32..).zip(&all.states) {
            all.sums.add(rule, state.standing());
        }
        all.link(&compiled);
        self.compiled = compiled;
    }

    /// Sequences, by the number of their rule, to which the last event was the last but one, and how
    /// long before it they began, ns.
    pub fn near(&self) -> &[(u32, i64)] {
        &self.all.near
    }

    /// Who made the last event, as a number, if a later match may name it.
    pub fn holder(&self) -> Option<u32> {
        self.all.now.origin.filter(|_| self.all.now.held)
    }

    /// Partial matches of all rules.
    pub fn partials(&self) -> usize {
        self.all.states.iter().map(State::len).sum()
    }

    /// How much they hold: never more than [`Limits::partials`].
    pub fn held(&self) -> usize {
        self.all.sums.held
    }

    /// What a rule did so far.
    pub fn counters(&self, rule: u32) -> Counters {
        let Ok(rule) = usize::try_from(rule) else { return Counters::default() };
        let mut counters = self.all.states.get(rule).map(State::counters).unwrap_or_default();
        counters.evaluations += self.all.passed.get(rule).map_or(0, |(events, _)| *events);
        counters
    }

    /// Processes whose lineage was given up for lack of room.
    pub fn forgotten_processes(&self) -> u64 {
        self.all.lineage.forgotten
    }
}

impl Rules {
    fn link(&mut self, compiled: &Compiled) {
        self.uses = vec![SmallVec::new(); compiled.filter_count()];
        self.counts_for = vec![SmallVec::new(); compiled.plans().len()];
        for (number, (rule, plan)) in compiled
            .plans()
            .iter()
            .enumerate()
            .map(|(at, plan)| (at, (u32::try_from(at).unwrap_or(u32::MAX), plan)))
        {
            for (part, filter) in (0u16..).zip(compiled.parts(number)) {
                let filter = usize::try_from(*filter).ok();
                if let Some(uses) = filter.and_then(|filter| self.uses.get_mut(filter)) {
                    uses.push(Use { rule, part, begins: plan.begins(part) });
                }
            }
            let plan::Shape::Correlation(correlation) = &plan.shape else { continue };
            for (slot, counted) in (0u16..).zip(&correlation.rules) {
                // Else one would count itself, round and round.
                let counted = usize::try_from(*counted).ok().filter(|counted| *counted < number);
                if let Some(list) = counted.and_then(|it| self.counts_for.get_mut(it)) {
                    list.push((rule, slot));
                }
            }
        }
        self.lists = Lists::new(compiled);
        self.passed = vec![(0, 0); compiled.plans().len()];
        let fields = &compiled.program().fields;
        self.names = ["count", "percent"].map(|name| {
            let at = fields.iter().position(|field| field == name)?;
            u16::try_from(field::FIELDS.len() + at).ok().map(field::FieldId)
        });
    }

    fn advance(
        &mut self,
        compiled: &Compiled,
        event: &dyn Event,
        hits: &mut Vec<u32>,
        out: &mut Vec<Found>,
    ) {
        self.tick(compiled, event.time(), out);
        self.now = Now::default();
        self.near.clear();
        if compiled.asks() {
            self.scratch.asking.begin(event.number(), event.time());
        }
        if hits.is_empty() && compiled.stateless() {
            return;
        }
        compiled.begin(&mut self.scratch);
        let before = out.len();
        if compiled.stateless() {
            self.settle(compiled, event, &Alone, hits);
            self.offer(compiled, event, &Alone, hits, out);
            self.tell_said(compiled, event.number(), out.get_mut(before..));
            return;
        }
        let mut lineage = std::mem::take(&mut self.lineage);
        let kin = event.kin().unwrap_or_else(|| self.kindred.of(event));
        let place = lineage.place(compiled, event, hits, kin, &mut self.scratch);
        self.settle(compiled, event, &place, hits);
        self.offer(compiled, event, &place, hits, out);
        self.lineage = lineage;
        self.tell_said(compiled, event.number(), out.get_mut(before..));
    }

    fn offer(
        &mut self,
        compiled: &Compiled,
        event: &dyn Event,
        lineage: &dyn Context,
        hits: &[u32],
        out: &mut Vec<Found>,
    ) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.clear();
        let mut idle = std::mem::take(&mut self.idle);
        idle.clear();
        for hit in hits {
            let uses = usize::try_from(*hit).ok().and_then(|hit| self.uses.get(hit));
            for part in uses.into_iter().flatten() {
                let means = part.begins || self.sums.is_busy(part.rule);
                if means { touched.push(*part) } else { idle.push(*part) }
            }
        }
        touched.sort_unstable();
        self.pass_by(&idle, &touched);
        for group in touched.chunk_by(|a, b| a.rule == b.rule) {
            let Some(Use { rule, .. }) = group.first() else { continue };
            // What begins may also end at once.
            let parts = group.iter().chain(idle.iter().filter(|it| it.rule == *rule));
            let parts: SmallVec<[u16; 8]> = parts.map(|it| it.part).collect();
            let mut found = Vec::new();
            let begin = self.meter.begin();
            let mut near = None;
            self.with(compiled, *rule, (event, lineage), |state, call| {
                state.offer(call, &parts, &mut found);
                near = state.near();
            });
            let since = |first| event.time().saturating_sub(first);
            self.near.extend(near.map(|first| (*rule, since(first))));
            let moment = Moment { time: event.time(), event: Some(event), depth: 0 };
            self.emit(compiled, *rule, found, moment, out);
            self.meter.end(*rule, begin);
        }
        (self.touched, self.idle) = (touched, idle);
        self.bound(compiled, event, out);
    }

    /// Counts an event once for each rule that has only parts which mean nothing to it now.
    fn pass_by(&mut self, idle: &[Use], touched: &[Use]) {
        self.turn += 1;
        for Use { rule, .. } in idle {
            let passed = usize::try_from(*rule).ok().and_then(|it| self.passed.get_mut(it));
            if let Some((events, last)) = passed
                && *last != self.turn
                && touched.binary_search_by_key(rule, |it| it.rule).is_err()
            {
                (*events, *last) = (*events + 1, self.turn);
            }
        }
    }

    /// Does something to the state of a rule, and keeps the sums right.
    fn with(
        &mut self,
        compiled: &Compiled,
        rule: u32,
        (event, lineage): (&dyn Event, &dyn Context),
        action: impl FnOnce(&mut State, &mut Call<'_>),
    ) {
        let Ok(number) = usize::try_from(rule) else { return };
        let plan = compiled.plans().get(number);
        let (Some(state), Some(plan)) = (self.states.get_mut(number), plan) else { return };
        let before = state.standing();
        let mut call = Call {
            compiled,
            plan,
            filters: compiled.parts(number),
            lists: self.lists.of(number),
            event,
            lineage,
            seed: Seed(self.limits.seed),
            quota: self.limits.quota(plan.kept),
            scratch: &mut self.scratch,
            now: &mut self.now,
        };
        action(state, &mut call);
        self.sums.change(rule, before, state.standing());
    }

    fn tick(&mut self, compiled: &Compiled, now: i64, out: &mut Vec<Found>) {
        self.due(compiled, now, out);
        if now >= self.sweep {
            self.sweep = now.saturating_add(SWEEP_NS);
            let plans = compiled.plans();
            let mut from = 0;
            while let Some(rule) = self.sums.next_busy(from) {
                from = rule + 1;
                let Ok(number) = usize::try_from(rule) else { continue };
                if let (Some(state), Some(plan)) = (self.states.get_mut(number), plans.get(number))
                {
                    let before = state.standing();
                    state.expire(now, plan);
                    self.sums.change(rule, before, state.standing());
                    if state.is_quiet() {
                        self.sums.rests(rule);
                    }
                }
            }
        }
    }
}

fn names<'c>(
    compiled: &'c Compiled,
    [count, percent]: [Option<field::FieldId>; 2],
    (limits, plan): (Limits, &plan::Plan),
) -> pipes::Names<'c> {
    let rows = limits.rows.min(plan.kept);
    pipes::Names { compiled, count, percent, seed: Seed(limits.seed), rows }
}

/// Identity of an alert: the same rule and events give the same, in each run.
fn identity(rule: &str, members: &[Member], counted: Option<&Counted>) -> u128 {
    let mut hash = Sha256::new();
    hash.update(rule.len().to_le_bytes());
    hash.update(rule.as_bytes());
    for member in members {
        hash.update(member.identity.to_le_bytes());
    }
    if let Some(counted) = counted {
        hash.update(format!("{:?}", counted.key).as_bytes());
        hash.update(counted.count.to_le_bytes());
    }
    crate::host::first_half(&hash.finalize())
}
