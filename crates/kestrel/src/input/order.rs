//! Documents into the order of their time.
//!
//! Recorders write events nearly in order. So a window of events is kept back, and the earliest of
//! them goes first; what comes later than that keeps its place.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;

use model::field::FieldId;
use model::value::{Fields, Value};
use sha2::{Digest, Sha256};

use super::{Bad, Decoder, Event, Lines, Names, Position};

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

/// An event in its place.
#[derive(Debug)]
pub(crate) struct Placed<'o> {
    pub(crate) event: &'o Event,
    pub(crate) position: Position,
    /// Its time, or that of the event before if it has none.
    pub(crate) time: i64,
    /// Its place in the order in which events are given.
    pub(crate) ordinal: u64,
}

/// Documents of one input: places and positions share 64 bits.
const DOCUMENTS_MAX: u64 = u32::MAX as u64;

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
        self.ordinal << 32 | self.position
    }

    fn time(&self) -> i64 {
        self.time
    }

    fn identity(&self) -> u64 {
        let digest = Sha256::digest(self.event.document().trim_ascii());
        digest.first_chunk().copied().map_or(0, u64::from_le_bytes)
    }
}

impl Ordered {
    pub(crate) fn new(lines: Lines, names: Arc<Names>, order: Order) -> Ordered {
        Ordered {
            lines,
            order,
            waiting: BinaryHeap::new(),
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
        self.current = Some((number, position));
        self.given += 1;
        let (event, ordinal) = (self.pool.get(number), self.given);
        Ok(event.map(|event| Placed { event, position, time, ordinal }))
    }

    fn read_one(&mut self) -> io::Result<()> {
        let Some((position, line)) = self.lines.next()? else {
            self.ended = true;
            return Ok(());
        };
        if position >= DOCUMENTS_MAX {
            let what = format!("more than {DOCUMENTS_MAX} lines; split the input");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.pool.push(Event::new(Arc::clone(&self.names)));
            self.pool.len() - 1
        });
        let Some(event) = self.pool.get_mut(number) else { return Ok(()) };
        if let Err(bad) = line.and_then(|line| event.read_with(&mut self.decoder, line)) {
            self.report.bad += 1;
            if self.report.first_bad.len() < BAD_MAX {
                self.report.first_bad.push((position, bad));
            }
            self.free.push(number);
            return Ok(());
        }
        self.report.events += 1;
        self.now = event.time().unwrap_or(self.now);
        let sequence = event.view().sequence().unwrap_or(i64::MAX);
        self.waiting.push(Reverse(((self.now, sequence, position), number)));
        Ok(())
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// The event that was given last.
    pub(crate) fn current(&self) -> Option<&Event> {
        self.pool.get(self.current?.0)
    }

    /// Its position.
    pub(crate) fn current_position(&self) -> Option<Position> {
        self.current.map(|(_, position)| position)
    }

    /// A document that was read before.
    pub(crate) fn recall(&self, position: Position) -> Option<Vec<u8>> {
        self.lines.recall(position)
    }
}
