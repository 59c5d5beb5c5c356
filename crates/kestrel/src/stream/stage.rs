//! What must be done with events in their order.

use std::cell::OnceCell;
use std::io;
use std::sync::Arc;

use engine::{Counted, Detector, Event, Found, Kin, Limits};
use model::field::FieldId;
use model::value::{Fields, Node, Value};
use serde_json::json;

use super::batch::{Batch, Filters, Flight, Place, Timed};
use super::{Ended, Sink, Stream};
use crate::alert::{Alert, Head, Member};
use crate::scripts;
use crate::input::{self, Names, Position, Source, Waiting};

/// Nobody attacks a recording while it is replayed, and each run shall be the same.
pub(super) const SEED: u64 = 0;
/// Alerts are given out after a block, or when there are so many.
const FOUND_MAX: usize = 1_024;

/// The state of all rules over one input.
pub(super) struct Stage<'s> {
    stream: &'s Stream,
    detector: Detector,
    waiting: Waiting<Turn>,
    flight: Flight,
    /// Time of the latest event that had one.
    now: i64,
    /// Events that had their turn.
    given: u64,
    /// Room for the events of a block.
    events: Vec<Timed>,
    filters: Vec<u32>,
    found: Vec<Found>,
    /// Events that had their turn, and how much had been found then.
    done: Vec<(Position, Place, usize)>,
    /// For each rule what its alerts begin with.
    heads: Vec<OnceCell<Head>>,
    ended: Ended,
}

/// What is to be done at the time of an event.
#[derive(Debug)]
enum Turn {
    /// It satisfies no filter.
    Pass(Kin),
    Advance(Place, Kin, Filters),
}

/// An event that has its turn. It is looked for only if somebody asks for a field.
struct Turned<'t> {
    flight: &'t Flight,
    names: &'t Names,
    place: Place,
    number: u64,
    time: i64,
    kin: Kin,
}

impl Fields for Turned<'_> {
    fn get(&self, field: FieldId) -> Value<'_> {
        let event = self.flight.event(self.place, self.names);
        event.map_or(Value::Null, |event| event.value(field))
    }
}

impl Event for Turned<'_> {
    fn number(&self) -> u64 {
        self.number
    }

    fn time(&self) -> i64 {
        self.time
    }

    fn identity(&self) -> u64 {
        let event = self.flight.event(self.place, self.names);
        event.map_or(0, |event| input::identity(event.document()))
    }

    fn kin(&self) -> Option<Kin> {
        Some(self.kin)
    }
}

impl<'s> Stage<'s> {
    pub(super) fn new(stream: &'s Stream) -> Stage<'s> {
        let limits = Limits { seed: SEED, ..Limits::default() };
        let rules = stream.compiled.program().rules.len();
        Stage {
            stream,
            detector: Detector::with_scripts(
                Arc::clone(&stream.compiled),
                limits,
                scripts::start(stream.compiled.program()),
            ),
            waiting: Waiting::new(),
            flight: Flight::default(),
            now: 0,
            given: 0,
            events: Vec::new(),
            filters: Vec::new(),
            found: Vec::new(),
            done: Vec::new(),
            heads: std::iter::repeat_with(OnceCell::new).take(rules).collect(),
            ended: Ended::default(),
        }
    }

    /// Reads the next block; `None` at the end.
    pub(super) fn read(&mut self, source: &mut Source) -> io::Result<Option<Batch>> {
        let start = self.stream.clock.now();
        let mut batch = self.flight.room();
        let more = source.next(&mut batch.block)?;
        self.ended.spent.read += self.stream.clock.now().saturating_sub(start);
        Ok(more.then_some(batch))
    }

    /// Takes the events of a block.
    pub(super) fn take(
        &mut self,
        mut batch: Batch,
        source: &Source,
        sink: &mut dyn Sink,
    ) -> io::Result<()> {
        let start = self.stream.clock.now();
        let alerts = self.ended.spent.alerts;
        for (position, bad) in batch.bad.drain(..) {
            self.ended.report.add_bad(position, bad);
        }
        self.ended.spent += batch.spent;
        let mut events = std::mem::take(&mut self.events);
        std::mem::swap(&mut events, &mut batch.events);
        let number = self.flight.take(batch);
        for event in events.drain(..) {
            self.ended.report.events += 1;
            self.now = event.time.unwrap_or(self.now);
            let sequence = event.sequence.unwrap_or(i64::MAX);
            let turn = match event.hit {
                None => Turn::Pass(event.kin),
                Some((hit, filters)) => {
                    Turn::Advance(Flight::place(number, hit), event.kin, filters)
                }
            };
            self.waiting.push((self.now, sequence, event.position), turn);
            if self.waiting.len() >= self.stream.order.window() {
                self.next();
                self.limit(source, sink)?;
            }
        }
        self.events = events;
        self.alert(source, sink)?;
        let all = self.stream.clock.now().saturating_sub(start);
        self.ended.spent.sequences += (all + alerts).saturating_sub(self.ended.spent.alerts);
        Ok(())
    }

    /// The input has ended: what waited has its turn, and what only the end decides is decided.
    pub(super) fn finish(&mut self, source: &Source, sink: &mut dyn Sink) -> io::Result<()> {
        while self.next() {
            self.limit(source, sink)?;
        }
        self.detector.finish(&mut self.found);
        self.alert(source, sink)
    }

    /// The earliest event has its turn; false if there is none.
    fn next(&mut self) -> bool {
        let Some(((time, _, position), turn)) = self.waiting.pop() else { return false };
        self.given += 1;
        let (place, kin, filters) = match turn {
            Turn::Pass(kin) => {
                self.detector.pass(time, kin, &mut self.found);
                return true;
            }
            Turn::Advance(place, kin, filters) => (place, kin, filters),
        };
        let before = self.found.len();
        let (flight, names) = (&self.flight, &*self.stream.names);
        let number = input::number(self.given, position);
        let event = Turned { flight, names, place, number, time, kin };
        self.filters.clear();
        self.filters.extend_from_slice(&filters);
        self.detector.advance(&event, &mut self.filters, &mut self.found);
        if self.found.len() > before {
            self.done.push((position, place, self.found.len()));
        } else {
            self.flight.over(place);
        }
        true
    }

    fn limit(&mut self, source: &Source, sink: &mut dyn Sink) -> io::Result<()> {
        if self.found.len() < FOUND_MAX { Ok(()) } else { self.alert(source, sink) }
    }

    /// Gives out what was found. The document of the event that completed it need not be read again.
    fn alert(&mut self, source: &Source, sink: &mut dyn Sink) -> io::Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let start = self.stream.clock.now();
        let mut latest = self.done.iter().peekable();
        for (number, found) in self.found.drain(..).enumerate() {
            while latest.next_if(|(.., upto)| *upto <= number).is_some() {}
            let rule = usize::try_from(found.rule).ok();
            let rules = &self.stream.compiled.program().rules;
            let known = rule.and_then(|rule| Some((rules.get(rule)?, self.heads.get(rule)?)));
            let Some((rule, head)) = known else { continue };
            let member = |number: &u64| {
                let position = input::position(*number);
                let here = latest.peek().filter(|(at, ..)| *at == position);
                let here =
                    here.and_then(|(_, place, _)| self.flight.event(*place, &self.stream.names));
                let document = match here {
                    Some(event) => Some(event.document().into()),
                    None => source.recall(position).map(Into::into),
                };
                Member { position, document }
            };
            let members = found.members.iter().map(member).collect();
            let count = found.counted.as_ref().map(counted);
            let head = head.get_or_init(|| Head::new(&rule.meta));
            let (id, said) = (found.id, found.said.as_slice());
            sink.alert(&Alert { rule: &rule.meta, head, id, members, count, said })?;
        }
        for (_, place, _) in self.done.drain(..) {
            self.flight.over(place);
        }
        self.ended.spent.alerts += self.stream.clock.now().saturating_sub(start);
        Ok(())
    }

    /// How it ended.
    pub(super) fn end(mut self, bytes: u64) -> Ended {
        let rules = self.stream.compiled.program().rules.len();
        let counters = (0..u32::try_from(rules).unwrap_or(u32::MAX))
            .map(|rule| self.detector.counters(rule))
            .map(|counters| counters.evictions + counters.dropped);
        self.ended.lost = counters.sum::<u64>() + self.detector.forgotten_processes();
        self.ended.bytes = bytes;
        let program = self.stream.compiled.program();
        let incidents = self.detector.scripts().incidents();
        self.ended.incidents = incidents.iter().map(|one| scripts::told(one, program)).collect();
        self.ended
    }
}

/// What `count` or `unique_count` said.
fn counted(counted: &Counted) -> serde_json::Value {
    let key: Vec<serde_json::Value> = counted.key.iter().map(plain).collect();
    json!({ "count": counted.count, "percent": counted.percent, "key": key })
}

fn plain(node: &Node) -> serde_json::Value {
    match node {
        Node::Null => serde_json::Value::Null,
        Node::Bool(flag) => (*flag).into(),
        Node::Int(number) => (*number).into(),
        Node::Float(number) => (*number).into(),
        Node::Str(text) => String::from_utf8_lossy(text).into(),
        Node::List(items) => items.iter().map(plain).collect(),
        Node::Map(members) => {
            let member = |(name, node): &(Box<str>, Node)| (name.to_string(), plain(node));
            serde_json::Value::Object(members.iter().map(member).collect())
        }
    }
}
