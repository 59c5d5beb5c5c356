//! What a call of a Luau script has spent, and why it was stopped. Once stopped it stays stopped,
//! whatever the script catches.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cause::{Cause, Stop};
use crate::limits::DEADLINE_TICKS;
use crate::ticker::Clock;

/// Interrupts between two looks at the clock.
const LOOK: u64 = 64;

/// One script's. Only the thread that calls it changes it: the atomics are there because the VM may
/// move between threads, and loads and stores of them cost nothing more.
#[derive(Debug)]
pub(super) struct Meter {
    spent: AtomicU64,
    most: u64,
    until: AtomicU64,
    stopped: AtomicBool,
    why: Mutex<Option<Stop>>,
    clock: Option<Arc<Clock>>,
}

impl Meter {
    pub(super) fn new(most: u64, clock: Option<Arc<Clock>>) -> Meter {
        Meter {
            spent: AtomicU64::new(0),
            most,
            until: AtomicU64::new(u64::MAX),
            stopped: AtomicBool::new(false),
            why: Mutex::new(None),
            clock,
        }
    }

    /// A call begins.
    #[inline]
    pub(super) fn begin(&self) {
        self.spent.store(0, Ordering::Relaxed);
        if let Some(clock) = &self.clock {
            let now = clock.ticks.load(Ordering::Relaxed);
            self.until.store(now + DEADLINE_TICKS, Ordering::Relaxed);
        }
    }

    /// What the call has spent.
    #[inline]
    pub(super) fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Spends; false if the call must end.
    #[inline]
    pub(super) fn spend(&self, units: u64) -> bool {
        let before = self.spent.load(Ordering::Relaxed);
        let spent = before + units;
        self.spent.store(spent, Ordering::Relaxed);
        if spent > self.most {
            self.stop(Stop::new(Cause::Budget, format!("{} units of work", self.most)));
        } else if before / LOOK != spent / LOOK {
            self.look();
        }
        !self.stopped.load(Ordering::Relaxed)
    }

    fn look(&self) {
        let Some(clock) = &self.clock else { return };
        if clock.ticks.load(Ordering::Relaxed) > self.until.load(Ordering::Relaxed) {
            self.stop(Stop::new(Cause::Deadline, format!("{DEADLINE_TICKS} ticks of the clock")));
        }
    }

    /// Ends the call. The first reason stands.
    #[cold]
    pub(super) fn stop(&self, stop: Stop) {
        if !self.stopped.swap(true, Ordering::Relaxed) {
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
        }
    }

    /// Why the call was stopped, if it was; the next call begins anew.
    #[inline]
    pub(super) fn end(&self) -> Option<Stop> {
        if !self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        self.stopped.store(false, Ordering::Relaxed);
        self.why.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_stays_spent_within_the_call_and_the_first_reason_stands() {
        let meter = Meter::new(10, None);
        meter.begin();
        assert!(meter.spend(10) && !meter.spend(1) && !meter.spend(0));
        meter.stop(Stop::new(Cause::Flood, "later"));
        assert_eq!(meter.end().map(|stop| stop.cause), Some(Cause::Budget));
        meter.begin();
        assert!(meter.spend(1), "another call");
        assert_eq!(meter.end(), None);
    }

    #[test]
    fn the_clock_ends_a_call_whose_work_is_not_spent() {
        let clock = Arc::new(Clock::default());
        let meter = Meter::new(1 << 40, Some(Arc::clone(&clock)));
        meter.begin();
        assert!(meter.spend(LOOK));
        clock.ticks.fetch_add(DEADLINE_TICKS + 1, Ordering::Relaxed);
        assert!(!meter.spend(LOOK));
        assert_eq!(meter.end().map(|stop| stop.cause), Some(Cause::Deadline));
    }
}
