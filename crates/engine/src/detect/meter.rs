//! What rules cost: measured on the events that the caller picks, with a clock that the caller
//! brings. What it says goes into the costs and nowhere else: matches do not depend on it.

use super::found::Event;
use super::{Detector, Rules};
use crate::eval::{Compiled, Scratch};

/// Costs of the last event that was measured.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Set while an event is measured.
    clock: Option<fn() -> u64>,
    scratch: Scratch,
    costs: Vec<(u32, u64)>,
}

impl Meter {
    /// Begins to measure what follows.
    pub(super) fn begin(&self) -> Option<u64> {
        self.clock.map(|clock| clock())
    }

    /// What followed was the work of a rule.
    pub(super) fn end(&mut self, rule: u32, begin: Option<u64>) {
        if let (Some(clock), Some(begin)) = (self.clock, begin) {
            self.costs.push((rule, clock().saturating_sub(begin)));
        }
    }

    /// Another program: its numbers mean other rules.
    pub(super) fn clear(&mut self) {
        *self = Meter::default();
    }
}

impl Detector {
    /// The next event is measured with this clock, which counts nanoseconds.
    pub fn measure_next(&mut self, clock: fn() -> u64) {
        self.all.meter.clock = Some(clock);
    }

    /// Rules and the time that each took for the event that was measured, in no order; a rule may
    /// be named more than once. Rules that the event cannot concern cost nothing and are not named.
    pub fn costs(&self) -> &[(u32, u64)] {
        &self.all.meter.costs
    }
}

impl Rules {
    /// Measures the filters of an event, if it is to be measured.
    pub(super) fn measure_filters(&mut self, compiled: &Compiled, event: &dyn Event) {
        let Some(clock) = self.meter.clock else { return };
        let Meter { scratch, costs, .. } = &mut self.meter;
        costs.clear();
        let uses = &self.uses;
        compiled.measure(event, scratch, clock, &mut |filter, cost| {
            let uses = usize::try_from(filter).ok().and_then(|filter| uses.get(filter));
            costs.extend(uses.into_iter().flatten().map(|it| (it.rule, cost)));
        });
    }

    /// The event has been measured.
    pub(super) fn measured(&mut self) {
        self.meter.clock = None;
    }
}
