//! What can be done with events in any order: decoding, and the conditions that each satisfies.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use engine::eval::{Compiled, Scratch};
use engine::{Kin, Kindred};

use super::batch::{Batch, Timed};
use super::{Clock, Spent, Stream};
use crate::input::{Cursor, Decoded, Decoder, Names};

/// Events that are decoded before they are evaluated: their values are then still at hand.
const AT_ONCE: usize = 128;

/// Works on blocks.
pub(super) struct Worker {
    compiled: Arc<Compiled>,
    names: Arc<Names>,
    clock: Clock,
    decoder: Decoder,
    kindred: Kindred,
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
            kindred: Kindred::new(super::stage::SEED),
            decoded: Vec::new(),
            scratch: Scratch::default(),
            filters: Vec::new(),
        }
    }

    /// Works until there are no blocks any more, or nobody wants the results.
    pub(super) fn serve(&mut self, blocks: &Receiver<Batch>, batches: &SyncSender<Batch>) {
        for mut batch in blocks {
            self.work(&mut batch);
            if batches.send(batch).is_err() {
                return;
            }
        }
    }

    pub(super) fn work(&mut self, batch: &mut Batch) {
        batch.clear();
        let mut spent = Spent::default();
        let mut cursor = Cursor::default();
        let mut start = self.clock.now();
        loop {
            let first = batch.events.len();
            let more = self.decode(batch, &mut cursor);
            let decoded = self.clock.now();
            self.evaluate(batch, first);
            let end = self.clock.now();
            spent.decode += decoded.saturating_sub(start);
            spent.eval += end.saturating_sub(decoded);
            start = end;
            if !more {
                break;
            }
        }
        batch.spent = spent;
    }

    /// Decodes the next events; false if there are no more after them.
    fn decode(&mut self, batch: &mut Batch, cursor: &mut Cursor) -> bool {
        let first = batch.events.len();
        loop {
            let number = batch.events.len() - first;
            if number == AT_ONCE {
                return true;
            }
            let Some((position, document)) = batch.block.next(cursor) else { return false };
            if self.decoded.len() == number {
                self.decoded.push(Decoded::default());
            }
            let Some(decoded) = self.decoded.get_mut(number) else { return false };
            let read = document.and_then(|range| {
                let document = batch.block.bytes(range.clone());
                decoded.read(&mut self.decoder, document).map(|()| range)
            });
            match read {
                Err(reason) => batch.bad.push((position, reason)),
                Ok(document) => {
                    let view = decoded.view(&self.names, batch.block.bytes(document.clone()));
                    let (time, sequence) = (view.time(), view.sequence());
                    let (kin, hit) = (Kin::default(), None);
                    batch.events.push(Timed { position, time, sequence, document, kin, hit });
                }
            }
        }
    }

    fn evaluate(&mut self, batch: &mut Batch, first: usize) {
        // Whose child a process is must be known of all of them, if rules ask for lineage.
        let lineage = !self.compiled.program().lineages.is_empty();
        let mut events = std::mem::take(&mut batch.events);
        for (event, decoded) in events.iter_mut().skip(first).zip(&mut self.decoded) {
            let view = decoded.view(&self.names, batch.block.bytes(event.document.clone()));
            self.compiled.hits(&view, &mut self.scratch, &mut self.filters);
            if lineage {
                event.kin = self.kindred.of(&view);
            }
            if !self.filters.is_empty() {
                let hit = batch.hit(event, decoded);
                event.hit = hit.map(|hit| (hit, self.filters.as_slice().into()));
            }
        }
        batch.events = events;
    }
}
