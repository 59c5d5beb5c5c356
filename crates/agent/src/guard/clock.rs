//! Whether somebody has set the clock of the host.
//!
//! Records carry the time since boot, and a worker adds to it once and for all what the clock said when it was
//! started: so nothing that rules measure depends on who sets the clock meanwhile. But an agent is often
//! started before a host knows what time it is. So when the clock was set, another worker takes over.

use std::time::{Duration, Instant};

use crate::worker::boot_time;

/// Less is no other time: a leap second, or what passes between two looks at two clocks.
const LEAST: Duration = Duration::from_secs(2);
/// Whoever sets the clock over and over changes the worker no more often.
const PERIOD: Duration = Duration::from_secs(10);

/// What the clock said.
#[derive(Debug)]
pub(super) struct Clock {
    /// When the host was booted, as the clock had it when a worker was started by it.
    known: i64,
    /// How far the clock was from that at the last look.
    away: Duration,
    /// When it was found set.
    set: Option<Instant>,
}

impl Clock {
    /// As it is now.
    pub(super) fn new() -> Clock {
        Clock { known: boot_time(), away: Duration::ZERO, set: None }
    }

    /// Whether it was set since the last time that it was.
    pub(super) fn was_set(&mut self) -> bool {
        self.compare(boot_time(), Instant::now())
    }

    /// By how much.
    pub(super) fn away(&self) -> Duration {
        self.away
    }

    fn compare(&mut self, boot: i64, now: Instant) -> bool {
        let away = Duration::from_nanos(boot.abs_diff(self.known));
        let is_soon = self.set.is_some_and(|set| now.saturating_duration_since(set) < PERIOD);
        if away < LEAST || is_soon {
            return false;
        }
        (self.known, self.away, self.set) = (boot, away, Some(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_clock_that_is_set_is_noticed_in_both_directions_and_not_too_often() {
        let start = Instant::now();
        let mut clock = Clock { known: 1_000 * SECOND, away: Duration::ZERO, set: None };
        assert!(!clock.compare(1_001 * SECOND, start), "a leap second");
        assert!(clock.compare(4_600 * SECOND, start));
        assert_eq!(clock.away(), Duration::from_hours(1));
        assert!(!clock.compare(4_600 * SECOND, start + 2 * PERIOD), "it stays so");
        assert!(clock.compare(1_000 * SECOND, start + 2 * PERIOD), "and back");
        assert!(!clock.compare(9_000 * SECOND, start + 2 * PERIOD), "too soon");
        assert!(clock.compare(9_000 * SECOND, start + 3 * PERIOD), "later it is");
    }
}
