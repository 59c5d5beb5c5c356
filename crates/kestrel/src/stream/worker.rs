//! What can be done with events in any order: decoding, and the conditions that each satisfies.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use engine::eval::{Compiled, Scratch};

use super::{Clock, Spent, Stream};
use crate::input::{Bad, Block, Cursor, Decoded, Decoder, Event, Names, Position};

/// A block, and room for the events of it that rules may be about.
#[derive(Debug, Default)]
pub(super) struct Task {
    pub(super) block: Block,
    #[expect(clippy::vec_box, reason = "they come and go as one word")]
    pub(super) room: Vec<Box<Hit>>,
}

/// A block that was worked on, and what was found in it.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) task: Task,
    pub(super) events: Vec<Timed>,
    pub(super) bad: Vec<(Position, Bad)>,
    pub(super) spent: Spent,
}

/// An event, of which no more is kept than what comes next needs.
#[derive(Debug)]
pub(super) struct Timed {
    pub(super) position: Position,
    pub(super) time: Option<i64>,
    pub(super) sequence: Option<i64>,
    /// The event, if a rule may be about it.
    pub(super) hit: Option<Box<Hit>>,
}

/// An event that satisfies conditions, and their numbers.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) event: Event,
    pub(super) filters: Vec<u32>,
}

/// Works on blocks.
pub(super) struct Worker {
    compiled: Arc<Compiled>,
    names: Arc<Names>,
    clock: Clock,
    decoder: Decoder,
    /// The events of the block at hand.
    decoded: Vec<Decoded>,
    scratch: Scratch,
    filters: Vec<u32>,
}

impl Worker {
    pub(super) fn new(stream: &Stream) -> Worker {
        Worker {
            compiled: Arc::clone(&stream.compiled),
            names: Arc::clone(&stream.names),
            clock: stream.clock,
            decoder: Decoder::new(Arc::clone(&stream.names)),
            decoded: Vec::new(),
            scratch: Scratch::default(),
            filters: Vec::new(),
        }
    }

    /// Works until there are no blocks any more, or nobody wants the results.
    pub(super) fn serve(&mut self, blocks: &Receiver<Task>, batches: &SyncSender<Batch>) {
        for task in blocks {
            if batches.send(self.work(task)).is_err() {
                return;
            }
        }
    }

    pub(super) fn work(&mut self, mut task: Task) -> Batch {
        let start = self.clock.now();
        let (mut events, mut bad) = (Vec::new(), Vec::new());
        let mut documents = Vec::new();
        let mut cursor = Cursor::default();
        while let Some((position, document)) = task.block.next(&mut cursor) {
            if self.decoded.len() == events.len() {
                self.decoded.push(Decoded::default());
            }
            let Some(decoded) = self.decoded.get_mut(events.len()) else { break };
            let read = document
                .and_then(|document| decoded.read(&mut self.decoder, document).map(|()| document));
            match read {
                Err(reason) => bad.push((position, reason)),
                Ok(document) => {
                    let view = decoded.view(&self.names, document);
                    let (time, sequence) = (view.time(), view.sequence());
                    events.push(Timed { position, time, sequence, hit: None });
                    documents.push(document);
                }
            }
        }
        let decoded = self.clock.now();
        // Whose child a process is must be known of all of them, if rules ask for lineage.
        let all = !self.compiled.program().lineages.is_empty();
        for ((event, values), document) in events.iter_mut().zip(&self.decoded).zip(documents) {
            let view = values.view(&self.names, document);
            self.compiled.hits(&view, &mut self.scratch, &mut self.filters);
            if all || !self.filters.is_empty() {
                let empty = || Event::new(Arc::clone(&self.names));
                let room = task.room.pop();
                let mut hit =
                    room.unwrap_or_else(|| Box::new(Hit { event: empty(), filters: Vec::new() }));
                hit.event.copy(view);
                hit.filters.clone_from(&self.filters);
                event.hit = Some(hit);
            }
        }
        let eval = self.clock.now().saturating_sub(decoded);
        let decode = decoded.saturating_sub(start);
        let spent = Spent { decode, eval, ..Spent::default() };
        Batch { task, events, bad, spent }
    }
}
