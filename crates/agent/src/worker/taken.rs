//! What the event thread took out of the rings, and what it tells Prometheus of itself.

use kernel::rings::RING_NAMES;
use model::op::Kind;
use model::wire::{KIND_MAX, RING_COUNT};

use super::events::Worker;
use super::metrics;
use super::status::seconds_since_boot;
use crate::metrics::{Metric, Samples, Times};

/// What was taken.
#[derive(Debug)]
pub(super) struct Taken {
    records: [u64; KIND_MAX as usize],
    /// What some of them took.
    pub(super) times: Times,
    /// Bytes that waited in each ring, and that fit.
    pub(super) waiting: [(u64, u64); RING_COUNT as usize],
}

impl Taken {
    /// Nothing yet.
    pub(super) fn new() -> Taken {
        Taken {
            records: [0; KIND_MAX as usize],
            times: Times::default(),
            waiting: Default::default(),
        }
    }

    /// One more record.
    pub(super) fn count(&mut self, kind: Kind) {
        if let Some(count) = self.records.get_mut(kind as usize) {
            *count += 1;
        }
    }

    fn metrics(&self, samples: &mut Samples) {
        for kind in Kind::ALL {
            let count = self.records.get(*kind as usize).copied().unwrap_or_default();
            if count > 0 {
                samples.put(Metric::EventsDelivered, &[kind.name()], count);
            }
        }
        samples.histogram(Metric::EventSeconds, &self.times);
        for (name, (waiting, size)) in RING_NAMES.iter().zip(self.waiting) {
            samples.put(Metric::RingBytes, &[name], waiting);
            samples.put(Metric::RingSize, &[name], size);
        }
    }
}

impl Worker {
    /// What only this thread knows, as it is now.
    pub(super) fn metrics(&mut self) -> Samples {
        self.publish_figures();
        let mut samples = Samples::default();
        self.taken.metrics(&mut samples);
        metrics::figures(&mut samples, &self.board.figures());
        samples.put(Metric::OutputLines, &[], self.publisher.output.stdout.accepted());
        let health = &self.publisher.health;
        metrics::rules(&mut samples, health.infos(), &health.figures(self.engine.counters()));
        metrics::generation(&mut samples, &self.board.rules(), seconds_since_boot());
        self.scripts.metrics(self.engine.scripts(), &mut samples);
        samples
    }
}
