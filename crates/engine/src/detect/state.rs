//! The state of one rule.

use super::correlation::{Counting, Windows};
use super::group::Groups;
use super::pipes::{Names, Pipes, Row};
use super::plan::{Plan, Shape};
use super::sequence::Sequence;
use super::tell::{Standing, Told};
use super::{Call, Counters, Found, Raw, identity};
use crate::detect::key::{Kept, Seed};
use crate::eval::Scratch;

/// What a rule remembers.
#[derive(Debug)]
pub(super) struct State {
    shape: Pending,
    pipes: Pipes,
    /// Results that come at the end, in the order of their first member.
    ordered: Vec<Row>,
    counters: Counters,
}

#[derive(Debug)]
enum Pending {
    Event,
    Sequence(Box<Sequence>),
    Groups(Groups),
    Windows(Windows),
}

impl State {
    pub(super) fn new(plan: &Plan) -> State {
        let shape = match plan.shape {
            Shape::Event => Pending::Event,
            Shape::Sequence(_) => Pending::Sequence(Box::default()),
            Shape::Sample(_) | Shape::Join(_) => Pending::Groups(Groups::default()),
            Shape::Correlation(_) => Pending::Windows(Windows::default()),
        };
        let (pipes, counters) = (Pipes::default(), Counters::default());
        State { shape, pipes, ordered: Vec::new(), counters }
    }

    pub(super) fn len(&self) -> usize {
        match &self.shape {
            Pending::Event => 0,
            Pending::Sequence(sequence) => sequence.len(),
            Pending::Groups(groups) => groups.len(),
            Pending::Windows(windows) => windows.len(),
        }
    }

    /// How much of the quotas is taken.
    pub(super) fn held(&self) -> usize {
        match &self.shape {
            Pending::Event => 0,
            Pending::Sequence(sequence) => sequence.held(),
            Pending::Groups(groups) => groups.held(),
            Pending::Windows(windows) => windows.held(),
        }
    }

    /// Whether nothing is left of what was remembered.
    pub(super) fn is_quiet(&self) -> bool {
        let Standing { held, deadline } = self.standing();
        let queue = match &self.shape {
            Pending::Sequence(sequence) => sequence.queued(),
            Pending::Event | Pending::Groups(_) | Pending::Windows(_) => 0,
        };
        held + queue == 0 && deadline.is_none()
    }

    /// Events satisfied parts of the rule that meant nothing.
    pub(super) fn passed(&mut self, events: u64) {
        self.counters.evaluations += events;
    }

    /// Takes an event that satisfies these parts of the rule.
    pub(super) fn offer(&mut self, call: &mut Call<'_>, parts: &[u16], out: &mut Vec<Raw>) {
        self.counters.evaluations += 1;
        match (&mut self.shape, &call.plan.shape) {
            (Pending::Sequence(sequence), Shape::Sequence(plan)) => {
                sequence.offer(call, plan, parts, out);
            }
            (Pending::Groups(groups), Shape::Sample(filters)) => {
                groups.sample(call, *filters, parts, out);
            }
            (Pending::Groups(groups), Shape::Join(filters)) => {
                groups.join(call, *filters, parts, out);
            }
            (Pending::Event, Shape::Event) => {
                let mut kept = Kept::new();
                call.keep(&mut kept, 0);
                let members = [call.member()].into_iter().collect();
                // Only what may be told late is asked for its origin.
                out.push(Raw { members, kept, time: call.event.time(), origin: 0 });
            }
            _ => {}
        }
    }

    /// Takes a match that a correlation counts.
    pub(super) fn hit(
        &mut self,
        plan: &Plan,
        (seed, quota): (Seed, usize),
        slot: u16,
        told: &Told<'_>,
        out: &mut Vec<Raw>,
    ) {
        self.counters.evaluations += 1;
        if let (Pending::Windows(windows), Shape::Correlation(correlation)) =
            (&mut self.shape, &plan.shape)
        {
            let keep = &plan.keep;
            windows.hit(&Counting { plan: correlation, keep, seed, quota }, slot, told, out);
        }
    }

    /// When the match of a sequence began that lacks only its last event now; told once.
    pub(super) fn near(&mut self) -> Option<i64> {
        match &mut self.shape {
            Pending::Sequence(sequence) => sequence.near(),
            _ => None,
        }
    }

    /// What the detector adds up over all rules.
    pub(super) fn standing(&self) -> Standing {
        Standing { held: self.held(), deadline: self.deadline() }
    }

    fn deadline(&self) -> Option<i64> {
        match &self.shape {
            Pending::Sequence(sequence) => sequence.deadline(),
            Pending::Windows(windows) => windows.deadline(),
            Pending::Event | Pending::Groups(_) => None,
        }
    }

    /// Decides what waited for a time.
    pub(super) fn due(&mut self, now: i64, plan: &Plan, out: &mut Vec<Raw>) {
        match (&mut self.shape, &plan.shape) {
            (Pending::Sequence(sequence), _) => sequence.due(now, out),
            (Pending::Windows(windows), Shape::Correlation(plan)) => windows.due(now, plan, out),
            _ => {}
        }
    }

    /// Frees what is over.
    pub(super) fn expire(&mut self, now: i64, plan: &Plan) {
        match (&mut self.shape, &plan.shape) {
            (Pending::Sequence(sequence), Shape::Sequence(plan)) => sequence.expire(now, plan),
            (Pending::Windows(windows), Shape::Correlation(plan)) => windows.expire(now, plan),
            _ => {}
        }
    }

    /// Makes room below a quota.
    pub(super) fn evict(&mut self, quota: usize, out: &mut Vec<Raw>) {
        match &mut self.shape {
            Pending::Event => {}
            Pending::Sequence(sequence) => sequence.evict(quota, out),
            Pending::Groups(groups) => groups.evict(quota),
            Pending::Windows(windows) => windows.evict(quota),
        }
    }

    /// Sends a match through the pipes.
    pub(super) fn result(
        &mut self,
        plan: &Plan,
        rule: u32,
        raw: Raw,
        names: Names<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<Found>,
    ) {
        let row = Row { raw, counted: None };
        if plan.ordered() {
            if self.ordered.len() < names.rows {
                self.ordered.push(row);
            } else {
                self.pipes.dropped += 1;
            }
            return;
        }
        let mut rows = Vec::new();
        self.pipes.push(plan, 0, row, names, scratch, &mut rows);
        self.give(plan, rule, rows, out);
    }

    /// The stream has ended.
    pub(super) fn finish(
        &mut self,
        plan: &Plan,
        rule: u32,
        names: Names<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<Found>,
    ) {
        let mut rows = Vec::new();
        let mut ordered = std::mem::take(&mut self.ordered);
        ordered.sort_by(|a, b| numbers(a).cmp(numbers(b)));
        for row in ordered {
            self.pipes.push(plan, 0, row, names, scratch, &mut rows);
        }
        self.pipes.finish(plan, names, scratch, &mut rows);
        self.give(plan, rule, rows, out);
    }

    fn give(&mut self, plan: &Plan, rule: u32, rows: Vec<Row>, out: &mut Vec<Found>) {
        self.counters.matches += rows.len() as u64;
        if plan.silent {
            return;
        }
        out.extend(rows.into_iter().map(|row| Found {
            rule,
            id: identity(&plan.id, &row.raw.members, row.counted.as_ref()),
            members: row.raw.members.iter().map(|member| member.number).collect(),
            time: row.raw.time,
            counted: row.counted,
            said: Vec::new(),
        }));
    }

    pub(super) fn counters(&self) -> Counters {
        let evictions = match &self.shape {
            Pending::Event => 0,
            Pending::Sequence(sequence) => sequence.evicted,
            Pending::Groups(groups) => groups.evicted,
            Pending::Windows(windows) => windows.evicted,
        };
        let partials = self.len() as u64;
        Counters { evictions, partials, dropped: self.pipes.lost(), ..self.counters }
    }
}

/// Numbers of the members of a result.
fn numbers(row: &Row) -> impl Iterator<Item = u64> {
    row.raw.members.iter().map(|member| member.number)
}
