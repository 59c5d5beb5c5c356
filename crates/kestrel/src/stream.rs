//! One input through the rules: events in order, alerts out.

use std::io;
use std::path::Path;
use std::sync::Arc;

use engine::eval::Compiled;
use engine::{Counted, Detector, Found, Limits};
use model::value::Node;
use serde_json::{Value, json};

use crate::alert::{Alert, Member};
use crate::input::{self, Event, Lines, Names, Order, Ordered};

/// Events that are kept back to put them in order: recorders with several threads write events
/// some milliseconds late.
pub(crate) const WINDOW: usize = 1_024;
/// The same where everything is read before something is shown, as in a search.
pub(crate) const WINDOW_MAX: usize = 1 << 20;

/// The rules at work on one input.
pub(crate) struct Stream {
    compiled: Arc<Compiled>,
    detector: Detector,
    pub(crate) events: Ordered,
    found: Vec<Found>,
}

impl Stream {
    pub(crate) fn open(
        path: &Path,
        compiled: &Arc<Compiled>,
        names: &Arc<Names>,
        order: Order,
    ) -> io::Result<Stream> {
        let events = Ordered::new(Lines::open(path)?, Arc::clone(names), order);
        let detector = Detector::new(Arc::clone(compiled), Limits::default());
        Ok(Stream { compiled: Arc::clone(compiled), detector, events, found: Vec::new() })
    }

    /// Takes the next event; calls back for each alert. False at the end of the input, after what
    /// only the end decides.
    pub(crate) fn step(
        &mut self,
        alert: &mut dyn FnMut(&Alert<'_>) -> io::Result<()>,
    ) -> io::Result<bool> {
        let more = if let Some(placed) = self.events.next()? {
            self.detector.push(&placed, &mut self.found);
            true
        } else {
            self.detector.finish(&mut self.found);
            false
        };
        for found in self.found.drain(..) {
            let rule = usize::try_from(found.rule).ok();
            let rule = rule.and_then(|rule| self.compiled.program().rules.get(rule));
            let Some(rule) = rule else { continue };
            let members = found.members.iter().map(|number| member(&self.events, *number));
            let (members, count) = (members.collect(), found.counted.as_ref().map(counted));
            alert(&Alert { rule: &rule.meta, id: found.id, members, count })?;
        }
        Ok(more)
    }

    /// Partial matches that were given up at a limit, and results that pipes had no room for.
    pub(crate) fn lost(&self) -> u64 {
        let rules = self.compiled.program().rules.len();
        let counters = (0..u32::try_from(rules).unwrap_or(u32::MAX))
            .map(|rule| self.detector.counters(rule))
            .map(|counters| counters.evictions + counters.dropped);
        counters.sum::<u64>() + self.detector.forgotten_processes()
    }
}

/// The document of a member; the latest one is at hand.
fn member(events: &Ordered, number: u64) -> Member {
    let position = input::position(number);
    let current = events.current_position() == Some(position);
    let document = match events.current().filter(|_| current) {
        Some(event) => Some(Event::document(event).to_vec()),
        None => events.recall(position),
    };
    Member { position, document }
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
