//! What must be done with events in their order.

use std::io;
use std::sync::Arc;

use engine::{Counted, Detector, Found, Limits};
use model::value::Node;
use serde_json::{Value, json};

use super::worker::{Batch, Hit, Task};
use super::{Ended, Sink, Stream};
use crate::alert::{Alert, Member};
use crate::input::{self, Placed, Position, Source, Waiting};

/// Events whose room is kept for one block: as many as a block of usual events has.
const ROOM_MAX: usize = 256;

/// The state of all rules over one input.
pub(super) struct Stage<'s> {
    stream: &'s Stream,
    detector: Detector,
    waiting: Waiting<Option<Box<Hit>>>,
    /// Room of events that are over.
    #[expect(clippy::vec_box, reason = "they come and go as one word")]
    room: Vec<Box<Hit>>,
    /// Time of the latest event that had one.
    now: i64,
    /// Events that had their turn.
    given: u64,
    found: Vec<Found>,
    ended: Ended,
}

impl<'s> Stage<'s> {
    pub(super) fn new(stream: &'s Stream) -> Stage<'s> {
        Stage {
            stream,
            detector: Detector::new(Arc::clone(&stream.compiled), Limits::default()),
            waiting: Waiting::new(),
            room: Vec::new(),
            now: 0,
            given: 0,
            found: Vec::new(),
            ended: Ended::default(),
        }
    }

    /// Reads the next block; false at the end.
    pub(super) fn read(&mut self, source: &mut Source, task: &mut Task) -> io::Result<bool> {
        let start = self.stream.clock.now();
        let more = source.next(&mut task.block);
        self.ended.spent.read += self.stream.clock.now().saturating_sub(start);
        more
    }

    /// Takes the events of a block; the block can be filled again, and so can those that are over.
    pub(super) fn take(
        &mut self,
        batch: Batch,
        source: &Source,
        sink: &mut dyn Sink,
    ) -> io::Result<Task> {
        let start = self.stream.clock.now();
        let alerts = self.ended.spent.alerts;
        for (position, bad) in batch.bad {
            self.ended.report.add_bad(position, bad);
        }
        for event in batch.events {
            self.ended.report.events += 1;
            self.now = event.time.unwrap_or(self.now);
            let sequence = event.sequence.unwrap_or(i64::MAX);
            self.waiting.push((self.now, sequence, event.position), event.hit);
            if self.waiting.len() >= self.stream.order.window() {
                self.next(source, sink)?;
            }
        }
        self.ended.spent += batch.spent;
        let all = self.stream.clock.now().saturating_sub(start);
        self.ended.spent.sequences += (all + alerts).saturating_sub(self.ended.spent.alerts);
        let mut task = batch.task;
        task.room.append(&mut self.room);
        task.room.truncate(ROOM_MAX);
        Ok(task)
    }

    /// The input has ended: what waited has its turn, and what only the end decides is decided.
    pub(super) fn finish(&mut self, source: &Source, sink: &mut dyn Sink) -> io::Result<()> {
        while self.next(source, sink)? {}
        self.detector.finish(&mut self.found);
        self.alert(None, source, sink)
    }

    /// The earliest event has its turn; false if there is none.
    fn next(&mut self, source: &Source, sink: &mut dyn Sink) -> io::Result<bool> {
        let Some(((time, _, position), hit)) = self.waiting.pop() else { return Ok(false) };
        self.given += 1;
        let Some(mut hit) = hit else {
            self.detector.tick(time, &mut self.found);
            self.alert(None, source, sink)?;
            return Ok(true);
        };
        let Hit { event, filters } = &mut *hit;
        let placed = Placed { event, position, time, ordinal: self.given };
        self.detector.advance(&placed, filters, &mut self.found);
        self.alert(Some((position, event.document())), source, sink)?;
        self.room.push(hit);
        Ok(true)
    }

    /// Gives out what was found; the document of the event at hand need not be read again.
    fn alert(
        &mut self,
        now: Option<(Position, &[u8])>,
        source: &Source,
        sink: &mut dyn Sink,
    ) -> io::Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let start = self.stream.clock.now();
        for found in self.found.drain(..) {
            let rule = usize::try_from(found.rule).ok();
            let rules = &self.stream.compiled.program().rules;
            let Some(rule) = rule.and_then(|rule| rules.get(rule)) else { continue };
            let member = |number: &u64| {
                let position = input::position(*number);
                let document = match now.filter(|(at, _)| *at == position) {
                    Some((_, document)) => Some(document.to_vec()),
                    None => source.recall(position),
                };
                Member { position, document }
            };
            let members = found.members.iter().map(member).collect();
            let count = found.counted.as_ref().map(counted);
            sink.alert(&Alert { rule: &rule.meta, id: found.id, members, count })?;
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
        self.ended
    }
}

/// What `count` or `unique_count` said.
fn counted(counted: &Counted) -> Value {
    let key: Vec<Value> = counted.key.iter().map(plain).collect();
    json!({ "count": counted.count, "percent": counted.percent, "key": key })
}

fn plain(node: &Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(flag) => (*flag).into(),
        Node::Int(number) => (*number).into(),
        Node::Float(number) => (*number).into(),
        Node::Str(text) => String::from_utf8_lossy(text).into(),
        Node::List(items) => items.iter().map(plain).collect(),
        Node::Map(members) => {
            let member = |(name, node): &(Box<str>, Node)| (name.to_string(), plain(node));
            Value::Object(members.iter().map(member).collect())
        }
    }
}
