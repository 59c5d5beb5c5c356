//! What guards of files denied, on its way to who tells it: bounded, and no loss is silent.
//!
//! One outlives the guards, of which each generation has its own. As in the programs of the kernel, of
//! what one process does again and again only the beginning of each second is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use model::wire::RecDenial;
use zerocopy::IntoBytes;

/// Denials that wait to be told; more are counted.
const WAITING_MAX: usize = 1_000;
/// Of one process by one rule within a second. `ALIKE_MAX` of evidence.h.
const ALIKE_MAX: u32 = 16;
/// Processes and rules that are remembered; beyond that all are forgotten, and told again.
const KNOWN_MAX: usize = 8_192;
/// Nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Process, rule, operation and flags.
type Alike = (u32, u32, u16, u16);

/// What was told of alike denials.
#[derive(Debug, Default)]
struct Known {
    since: u64,
    told: u32,
    untold: u32,
}

/// Counted since the agent was started.
#[derive(Debug, Default)]
struct Totals {
    lost: AtomicU64,
    alike: AtomicU64,
}

/// The end of a guard.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    records: SyncSender<Vec<u8>>,
    totals: Arc<Totals>,
}

/// The other end.
#[derive(Debug)]
pub(super) struct Told {
    teller: Teller,
    records: Receiver<Vec<u8>>,
}

impl Told {
    pub(super) fn new() -> Told {
        let (sender, records) = sync_channel(WAITING_MAX);
        Told { teller: Teller { records: sender, totals: Arc::default() }, records }
    }

    /// The end of another guard.
    pub(super) fn teller(&self) -> Teller {
        self.teller.clone()
    }

    /// What came since the last call.
    pub(super) fn records(&self) -> impl Iterator<Item = Vec<u8>> {
        self.records.try_iter().take(WAITING_MAX)
    }

    /// Denials that found no room.
    pub(super) fn lost(&self) -> u64 {
        self.teller.totals.lost.load(Ordering::Relaxed)
    }

    /// Denials like many others, only counted.
    pub(super) fn alike(&self) -> u64 {
        self.teller.totals.alike.load(Ordering::Relaxed)
    }
}

impl Teller {
    /// Tells a denial with the path behind it. Who was denied waits for this, so it waits for nobody.
    pub(super) fn tell(&self, record: &RecDenial, path: &[u8]) {
        let mut bytes = record.as_bytes().to_vec();
        bytes.extend_from_slice(path);
        if self.records.try_send(bytes).is_err() {
            self.totals.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Of one guard: what it told of late.
#[derive(Debug, Default)]
pub(super) struct Limit {
    known: HashMap<Alike, Known>,
}

impl Limit {
    /// Whether a denial is told: then how many like it were not, before it.
    pub(super) fn untold(&mut self, record: &RecDenial, teller: &Teller) -> Option<u32> {
        let alike = (record.h.pid, record.rule, record.operation, record.flags);
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&alike) {
            self.known.clear();
        }
        let known = self.known.entry(alike).or_default();
        if known.told > 0 && record.h.time.saturating_sub(known.since) < SECOND {
            if known.told < ALIKE_MAX {
                known.told += 1;
                return Some(0);
            }
            known.untold = known.untold.saturating_add(1);
            teller.totals.alike.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        (known.since, known.told) = (record.h.time, 1);
        Some(std::mem::take(&mut known.untold))
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn record(pid: u32, time: u64) -> RecDenial {
        let mut record = RecDenial::new_zeroed();
        (record.h.pid, record.h.time) = (pid, time);
        record
    }

    #[test]
    fn of_a_flood_the_beginning_of_each_second_is_told_and_others_are_not_hidden() {
        let (told, mut limit) = (Told::new(), Limit::default());
        let teller = told.teller();
        let mut ask = |pid, time| limit.untold(&record(pid, time), &teller);
        let flood: Vec<_> = (0..1_000).map(|at| ask(1, SECOND + at)).collect();
        assert_eq!(flood.iter().filter(|one| **one == Some(0)).count(), ALIKE_MAX as usize);
        assert_eq!(ask(2, SECOND + 500), Some(0), "another process");
        assert_eq!(ask(1, 2 * SECOND), Some(1_000 - ALIKE_MAX), "the next second");
        assert_eq!(told.alike(), 1_000 - u64::from(ALIKE_MAX));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let told = Told::new();
        for _ in 0..WAITING_MAX + 3 {
            told.teller().tell(&record(1, 1), b"/a");
        }
        assert_eq!(told.lost(), 3);
        let first = told.records().next().unwrap();
        assert!(first.ends_with(b"/a") && first.len() == size_of::<RecDenial>() + 2);
        assert_eq!(told.records().count(), WAITING_MAX - 1);
    }
}
