//! Documents into the order of their time.
//!
//! Recorders write events nearly in order. So a window of events is kept back, and the earliest of
//! them goes first; what comes later than that keeps its place.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;

use super::{Bad, Event, Lines, Names, Position};

/// Bad lines that are described; more are counted.
pub(crate) const BAD_MAX: usize = 10;

/// In which order events are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they stand.
    Input,
    /// By time, then `event.sequence`, then as they stand; so many events are kept back.
    Time(usize),
}

/// Time, sequence number (absent ones last), position.
type Key = (i64, i64, Position);

/// The events of one input in order.
#[derive(Debug)]
pub(crate) struct Ordered {
    lines: Lines,
    order: Order,
    waiting: BinaryHeap<Reverse<(Key, usize)>>,
    /// Events, of which the free ones are filled again.
    pool: Vec<Event>,
    free: Vec<usize>,
    names: Arc<Names>,
    /// Time of the latest event that had one.
    now: i64,
    ended: bool,
    /// What is given out now.
    current: Option<usize>,
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

/// An event in its place.
#[derive(Debug)]
pub(crate) struct Placed<'o> {
    pub(crate) event: &'o Event,
    pub(crate) position: Position,
    /// Its time, or that of the event before if it has none.
    pub(crate) time: i64,
}

impl Ordered {
    pub(crate) fn new(lines: Lines, names: Arc<Names>, order: Order) -> Ordered {
        Ordered {
            lines,
            order,
            waiting: BinaryHeap::new(),
            pool: Vec::new(),
            free: Vec::new(),
            names,
            now: 0,
            ended: false,
            current: None,
            report: Report::default(),
        }
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> io::Result<Option<Placed<'_>>> {
        self.free.extend(self.current.take());
        let window = match self.order {
            Order::Input => 1,
            Order::Time(window) => window,
        };
        while !self.ended && self.waiting.len() < window {
            self.read_one()?;
        }
        let Some(Reverse(((time, _, position), number))) = self.waiting.pop() else {
            return Ok(None);
        };
        self.current = Some(number);
        let event = self.pool.get(number);
        Ok(event.map(|event| Placed { event, position, time }))
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
        if let Err(bad) = line.and_then(|line| event.read(line)) {
            self.report.bad += 1;
            if self.report.first_bad.len() < BAD_MAX {
                self.report.first_bad.push((position, bad));
            }
            self.free.push(number);
            return Ok(());
        }
        self.report.events += 1;
        self.now = event.time().unwrap_or(self.now);
        let sequence = event.sequence().unwrap_or(i64::MAX);
        self.waiting.push(Reverse(((self.now, sequence, position), number)));
        Ok(())
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// A document that was read before.
    pub(crate) fn recall(&mut self, position: Position) -> Option<Vec<u8>> {
        self.lines.recall(position)
    }
}
