//! Documents into the order of their time.
//!
//! Recorders write events nearly in order. So a window of events is kept back, and the earliest of
//! them goes first; what comes later than that keeps its place.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::Arc;

use model::field::FieldId;
use model::value::{Fields, Value};
use twox_hash::XxHash3_64;

use super::event::View;
use super::source::DOCUMENTS_MAX;
use super::{Bad, Decoder, Event, Lines, Names, Position};

/// Bad lines that are described; more are counted.
const BAD_MAX: usize = 10;
/// What comes late comes late by few events: so far its place is looked for from the end.
const NEAR: usize = 64;

/// In which order events are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they stand.
    Input,
    /// By time, then `event.sequence`, then as they stand; so many events are kept back.
    Time(usize),
}

/// Time, sequence number (absent ones last), position.
pub(crate) type Key = (i64, i64, Position);

/// What is kept back until its turn comes.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    /// What came in order, or nearly so.
    ordered: VecDeque<(Key, T)>,
    /// What came later than that.
    late: BinaryHeap<Reverse<Late<T>>>,
}

/// Compared by its place alone.
#[derive(Debug)]
struct Late<T>(Key, T);

impl<T> PartialEq for Late<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Late<T> {}

impl<T> PartialOrd for Late<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Late<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T> Waiting<T> {
    pub(crate) fn new() -> Waiting<T> {
        Waiting { ordered: VecDeque::new(), late: BinaryHeap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.ordered.len() + self.late.len()
    }

    pub(crate) fn push(&mut self, key: Key, what: T) {
        let later = self.ordered.iter().rev().take(NEAR + 1).take_while(|(known, _)| *known > key);
        match later.count() {
            0 => self.ordered.push_back((key, what)),
            near @ 1..=NEAR => self.ordered.insert(self.ordered.len() - near, (key, what)),
            _ => self.late.push(Reverse(Late(key, what))),
        }
    }

    /// Takes the earliest.
    pub(crate) fn pop(&mut self) -> Option<(Key, T)> {
        let late = self.late.peek().map(|Reverse(late)| late.0);
        let first = self.ordered.front().map(|(key, _)| *key);
        if late.is_some_and(|late| first.is_none_or(|first| late < first)) {
            self.late.pop().map(|Reverse(Late(key, what))| (key, what))
        } else {
            self.ordered.pop_front()
        }
    }
}

/// The events of one input in order.
#[derive(Debug)]
pub(crate) struct Ordered {
    lines: Lines,
    order: Order,
    waiting: Waiting<usize>,
    /// Events, of which the free ones are filled again.
    pool: Vec<Event>,
    free: Vec<usize>,
    names: Arc<Names>,
    decoder: Decoder,
    /// Time of the latest event that had one.
    now: i64,
    ended: bool,
    given: u64,
    /// What is given out now, and its position.
    current: Option<(usize, Position)>,
    pub(crate) report: Report,
}

/// What was read.
#[derive(Debug, Default, Clone)]
pub(crate) struct Report {
    /// Events.
    pub(crate) events: u64,
    /// Lines that are no events.
    pub(crate) bad: u64,
    /// The first of them.
    pub(crate) first_bad: Vec<(Position, Bad)>,
}

impl Report {
    /// Counts a line that is no event.
    pub(crate) fn add_bad(&mut self, position: Position, bad: Bad) {
        self.bad += 1;
        if self.first_bad.len() < BAD_MAX {
            self.first_bad.push((position, bad));
        }
    }
}

/// An event in its place.
#[derive(Debug)]
pub(crate) struct Placed<'o> {
    pub(crate) event: View<'o>,
    pub(crate) position: Position,
    /// Its time, or that of the event before if it has none.
    pub(crate) time: i64,
    /// Its place in the order in which events are given.
    pub(crate) ordinal: u64,
}

/// The number that an event has for the engine.
pub(crate) fn number(ordinal: u64, position: Position) -> u64 {
    ordinal << 32 | position
}

/// What a document is, in each run: XXH3, which tells documents apart and is no secret.
pub(crate) fn identity(document: &[u8]) -> u64 {
    XxHash3_64::oneshot(document.trim_ascii())
}

/// The position of an event by the number that it has for the engine.
pub(crate) fn position(number: u64) -> Position {
    number & DOCUMENTS_MAX
}

impl Fields for Placed<'_> {
    fn get(&self, field: FieldId) -> Value<'_> {
        self.event.get(field)
    }
}

impl engine::Event for Placed<'_> {
    fn number(&self) -> u64 {
        number(self.ordinal, self.position)
    }

    fn time(&self) -> i64 {
        self.time
    }

    fn identity(&self) -> u64 {
        identity(self.event.document())
    }
}

impl Order {
    /// How many events are kept back.
    pub(crate) fn window(self) -> usize {
        match self {
            Order::Input => 1,
            Order::Time(window) => window,
        }
    }
}

impl Ordered {
    /// Whatever the order is, the events of these lines come in it.
    pub(crate) fn new(lines: Lines, names: Arc<Names>, order: Order) -> Ordered {
        Ordered {
            lines,
            order,
            waiting: Waiting::new(),
            pool: Vec::new(),
            free: Vec::new(),
            decoder: Decoder::new(Arc::clone(&names)),
            names,
            now: 0,
            ended: false,
            given: 0,
            current: None,
            report: Report::default(),
        }
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> io::Result<Option<Placed<'_>>> {
        self.free.extend(self.current.take().map(|(number, _)| number));
        while !self.ended && self.waiting.len() < self.order.window() {
            self.read_one()?;
        }
        let Some(((time, _, position), number)) = self.waiting.pop() else {
            return Ok(None);
        };
        self.current = Some((number, position));
        self.given += 1;
        let (event, ordinal) = (self.pool.get(number).map(Event::view), self.given);
        Ok(event.map(|event| Placed { event, position, time, ordinal }))
    }

    fn read_one(&mut self) -> io::Result<()> {
        let Some((position, line)) = self.lines.next()? else {
            self.ended = true;
            return Ok(());
        };
        let number = self.free.pop().unwrap_or_else(|| {
            self.pool.push(Event::new(Arc::clone(&self.names)));
            self.pool.len() - 1
        });
        let Some(event) = self.pool.get_mut(number) else { return Ok(()) };
        if let Err(bad) = line.and_then(|line| event.read_with(&mut self.decoder, line)) {
            self.report.add_bad(position, bad);
            self.free.push(number);
            return Ok(());
        }
        self.report.events += 1;
        self.now = event.time().unwrap_or(self.now);
        let sequence = event.view().sequence().unwrap_or(i64::MAX);
        self.waiting.push((self.now, sequence, position), number);
        Ok(())
    }

    /// A document that was read before.
    #[cfg(test)]
    pub(crate) fn recall(&self, position: Position) -> Option<Vec<u8>> {
        self.lines.recall(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_has_its_turn_in_the_order_of_time_however_late_it_is() {
        let mut waiting = Waiting::new();
        let count = 4 * NEAR as u64;
        // Every third is late by a few, every 50th by more than is looked for.
        let time = |number: u64| match number {
            n if n % 50 == 49 => n - (NEAR as u64 + 20).min(n),
            n if n % 3 == 2 => n.saturating_sub(7),
            n => n,
        };
        let mut keys = Vec::new();
        for number in 0..count {
            let key = (i64::try_from(time(number)).unwrap(), 0, number);
            keys.push(key);
            waiting.push(key, number);
        }
        assert!(!waiting.late.is_empty() && waiting.ordered.len() > NEAR);
        keys.sort_unstable();
        let given: Vec<Key> = std::iter::from_fn(|| waiting.pop()).map(|(key, _)| key).collect();
        assert_eq!(given, keys);
    }
}
