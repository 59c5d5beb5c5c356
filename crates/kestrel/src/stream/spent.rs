//! Where the time of a stream goes.

use std::ops::AddAssign;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Processor time by stage, of all threads together.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) read: Duration,
    pub(crate) decode: Duration,
    pub(crate) eval: Duration,
    pub(crate) sequences: Duration,
    pub(crate) alerts: Duration,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Spent) {
        self.read += other.read;
        self.decode += other.decode;
        self.eval += other.eval;
        self.sequences += other.sequences;
        self.alerts += other.alerts;
    }
}

/// Whether anybody wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Off,
    On,
}

impl Clock {
    /// Processor time of this thread: what others do on the machine does not count.
    pub(super) fn now(self) -> Duration {
        if self == Clock::Off {
            return Duration::ZERO;
        }
        Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
    }
}
