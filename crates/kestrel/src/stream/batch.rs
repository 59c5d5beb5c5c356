//! A block of documents with what was found in it, and those of them that wait for their turn.
//!
//! Nothing is copied: an event stays in its block until it has had its turn. An event that waits
//! very long would keep its whole block, so of blocks that are left behind only the events are
//! kept that still wait.

use std::collections::VecDeque;
use std::ops::Range;

use engine::Kin;
use smallvec::SmallVec;

use super::Spent;
use crate::input::{Bad, Block, Decoded, Names, Position, View};

/// Events whose room is kept for another block: more than a block of usual events has.
const ROOM_MAX: usize = 256;
/// Blocks that are kept whole: some 20 are enough for the events that are kept back for order.
pub(super) const WHOLE_MAX: usize = 64;

/// A block, before and after it was worked on; its room is used again and again.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) block: Block,
    pub(super) events: Vec<Timed>,
    pub(super) bad: Vec<(Position, Bad)>,
    pub(super) spent: Spent,
    /// Room for events that satisfy filters; the first `used` are taken.
    hits: Vec<Hit>,
    used: usize,
}

/// An event as others see it that are not about it.
#[derive(Debug)]
pub(super) struct Timed {
    pub(super) position: Position,
    pub(super) time: Option<i64>,
    pub(super) sequence: Option<i64>,
    /// Where its document stands in the block.
    pub(super) document: Range<usize>,
    pub(super) kin: Kin,
    /// Its place among the events that satisfy filters, and those.
    pub(super) hit: Option<(u32, Filters)>,
}

/// An event that satisfies filters.
#[derive(Debug, Default)]
struct Hit {
    document: Range<usize>,
    decoded: Decoded,
}

/// Numbers of the filters that an event satisfies: they are at hand when all else has left the
/// cache, and often nothing else is asked for.
pub(super) type Filters = SmallVec<[u32; 4]>;

/// Where an event that satisfies filters waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    batch: u32,
    hit: u32,
}

impl Batch {
    /// Forgets what was found.
    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.bad.clear();
        self.used = 0;
    }

    /// Keeps an event, whose values are taken.
    pub(super) fn hit(&mut self, event: &Timed, decoded: &mut Decoded) -> Option<u32> {
        if self.hits.len() == self.used {
            self.hits.push(Hit::default());
        }
        let hit = self.hits.get_mut(self.used)?;
        std::mem::swap(&mut hit.decoded, decoded);
        hit.document = event.document.clone();
        self.used += 1;
        u32::try_from(self.used - 1).ok()
    }

    /// Keeps of it only what still waits.
    fn shrink(&mut self, over: &[bool]) {
        self.hits.truncate(self.used);
        self.hits.shrink_to_fit();
        let mut waiting = Vec::new();
        for (hit, over) in self.hits.iter_mut().zip(over) {
            if *over {
                hit.decoded = Decoded::default();
            } else {
                waiting.push(&mut hit.document);
            }
        }
        self.block.keep(waiting.into_iter());
        (self.events, self.bad) = (Vec::new(), Vec::new());
    }
}

/// Blocks of which events wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Flight {
    batches: Vec<Flying>,
    /// Places of those that are over.
    free: Vec<u32>,
    /// Those that are whole, the oldest first; a number tells them from others in their place.
    whole: VecDeque<(u32, u64)>,
    taken: u64,
    /// Blocks all of whose events are over.
    over: Vec<Batch>,
}

#[derive(Debug, Default)]
struct Flying {
    batch: Batch,
    number: u64,
    left: usize,
    /// Which of its events are over: apart from them, since to look at each takes long.
    over: Vec<bool>,
}

impl Flight {
    /// Takes a block; the places of its events are those that follow [`Place`] zero of it.
    pub(super) fn take(&mut self, batch: Batch) -> u32 {
        let left = batch.used;
        self.taken += 1;
        let flying = Flying { batch, number: self.taken, left, over: vec![false; left] };
        let place = self.free.pop().unwrap_or_else(|| {
            self.batches.push(Flying::default());
            u32::try_from(self.batches.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(free) = self.at(place) {
            *free = flying;
        }
        if left == 0 {
            self.end(place);
            return place;
        }
        self.whole.push_back((place, self.taken));
        while self.whole.len() > WHOLE_MAX
            && let Some((place, number)) = self.whole.pop_front()
        {
            if let Some(old) = self.at(place).filter(|old| old.number == number) {
                old.batch.shrink(&old.over);
            }
        }
        place
    }

    fn at(&mut self, place: u32) -> Option<&mut Flying> {
        self.batches.get_mut(usize::try_from(place).ok()?)
    }

    /// The place of an event in a block that was taken.
    pub(super) fn place(batch: u32, hit: u32) -> Place {
        Place { batch, hit }
    }

    /// An event.
    pub(super) fn event<'f>(&'f self, place: Place, names: &'f Names) -> Option<View<'f>> {
        let Batch { block, hits, .. } =
            &self.batches.get(usize::try_from(place.batch).ok()?)?.batch;
        let hit = hits.get(usize::try_from(place.hit).ok()?)?;
        Some(hit.decoded.view(names, block.bytes(hit.document.clone())))
    }

    /// An event has had its turn, and nobody will ask for it again.
    pub(super) fn over(&mut self, place: Place) {
        let Some(flying) = self.at(place.batch) else { return };
        let over = usize::try_from(place.hit).ok().and_then(|hit| flying.over.get_mut(hit));
        if let Some(over) = over {
            *over = true;
        }
        flying.left = flying.left.saturating_sub(1);
        if flying.left == 0 {
            self.end(place.batch);
        }
    }

    fn end(&mut self, place: u32) {
        let Some(flying) = self.at(place) else { return };
        let number = std::mem::take(&mut flying.number);
        let mut batch = std::mem::take(&mut flying.batch);
        self.free.push(place);
        // Nearly always it is the oldest.
        let whole = self.whole.iter().position(|it| *it == (place, number));
        if whole.and_then(|at| self.whole.remove(at)).is_some() || batch.used == 0 {
            batch.hits.truncate(ROOM_MAX);
            self.over.push(batch);
        }
    }

    /// Room for another block.
    pub(super) fn room(&mut self) -> Batch {
        self.over.pop().unwrap_or_default()
    }

    /// Bytes that all blocks take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.batches.iter().map(|flying| flying.batch.block.room()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;
    use crate::input::{Cursor, Decoder, Source};

    const BLOCKS: usize = WHOLE_MAX + 40;

    /// A block of two events, both of which wait.
    fn batch(path: &std::path::Path, names: &Arc<Names>) -> Batch {
        let mut batch = Batch::default();
        assert!(Source::open(path).unwrap().next(&mut batch.block).unwrap());
        let (mut cursor, mut decoder) = (Cursor::default(), Decoder::new(Arc::clone(names)));
        while let Some((position, document)) = batch.block.next(&mut cursor) {
            let (document, mut decoded) = (document.unwrap(), Decoded::default());
            decoded.read(&mut decoder, batch.block.bytes(document.clone())).unwrap();
            let (time, sequence, kin) = (None, None, Kin::default());
            let event = Timed { position, time, sequence, document, kin, hit: None };
            batch.hit(&event, &mut decoded).unwrap();
        }
        batch
    }

    #[test]
    fn an_event_that_waits_long_keeps_itself_and_not_its_block() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"{\"a\":1}\n{\"a\":2}\n").unwrap();
        let names = Arc::new(Names::new(&[], |_| true));
        let (mut flight, mut places) = (Flight::default(), Vec::new());
        let whole = batch(file.path(), &names).block.room();
        for _ in 0..BLOCKS {
            let number = flight.take(batch(file.path(), &names));
            flight.over(Flight::place(number, 0));
            places.push(Flight::place(number, 1));
        }
        let most = WHOLE_MAX * whole + BLOCKS * 64;
        assert!(flight.bytes() <= most, "{} of {}", flight.bytes(), BLOCKS * whole);
        assert!(flight.bytes() >= WHOLE_MAX * whole, "younger ones stay as they are");
        for place in places {
            assert_eq!(flight.event(place, &names).unwrap().document(), b"{\"a\":2}");
            flight.over(place);
        }
        assert_eq!(flight.bytes(), 0, "nothing waits");
        assert_eq!(flight.room().block.room(), whole, "its room is used again");
    }
}
