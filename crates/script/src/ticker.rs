//! The clock behind the deadline: one thread that ticks while calls are made, and sleeps otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crate::limits::TICK_MS;

/// Ticks without a call after which the thread rests.
const PATIENCE: u32 = 100;
/// Rests no longer than this: a call whose wake-up was lost between two looks is found then.
const REST: Duration = Duration::from_secs(1);

/// What caller and thread share.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Ticks so far.
    pub(crate) ticks: AtomicU64,
    /// Calls so far, as far as the thread must know.
    calls: AtomicU64,
    resting: AtomicBool,
    stop: AtomicBool,
}

/// The thread. It ends with this.
#[derive(Debug)]
pub(crate) struct Ticker {
    clock: Arc<Clock>,
    thread: Option<JoinHandle<()>>,
    wake: Option<Thread>,
    calls: u64,
}

impl Ticker {
    /// Starts it; each tick is told to `each` as well. Without a thread (the system may refuse one) the
    /// budget of work still ends every call.
    pub(crate) fn start(each: impl Fn() + Send + 'static) -> Ticker {
        let clock = Arc::new(Clock::default());
        let shared = Arc::clone(&clock);
        let thread = std::thread::Builder::new()
            .name("script-clock".into())
            .spawn(move || run(&shared, &each));
        let thread = thread.ok();
        let wake = thread.as_ref().map(|thread| thread.thread().clone());
        Ticker { clock, thread, wake, calls: 0 }
    }

    /// What scripts read the time from.
    pub(crate) fn clock(&self) -> Arc<Clock> {
        Arc::clone(&self.clock)
    }

    /// A call begins.
    #[inline]
    pub(crate) fn call(&mut self) {
        self.calls += 1;
        self.clock.calls.store(self.calls, Ordering::Release);
        if self.clock.resting.load(Ordering::Relaxed) {
            self.rouse();
        }
    }

    #[cold]
    fn rouse(&self) {
        if let Some(thread) = &self.wake {
            thread.unpark();
        }
    }

    /// Whether it rests, for tests.
    #[cfg(test)]
    fn rests(&self) -> bool {
        self.clock.resting.load(Ordering::SeqCst)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.clock.stop.store(true, Ordering::SeqCst);
        self.rouse();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked: it only counts.
            let _ended = thread.join();
        }
    }
}

fn run(clock: &Clock, each: &dyn Fn()) {
    let (mut seen, mut idle) = (0, 0);
    while !clock.stop.load(Ordering::SeqCst) {
        let calls = clock.calls.load(Ordering::Acquire);
        idle = if calls == seen { idle + 1 } else { 0 };
        seen = calls;
        if idle > PATIENCE {
            clock.resting.store(true, Ordering::SeqCst);
            std::thread::park_timeout(REST);
            clock.resting.store(false, Ordering::SeqCst);
            // One tick, to see whether that was a call or the end of the rest.
            idle = PATIENCE - 1;
        }
        std::thread::park_timeout(Duration::from_millis(TICK_MS));
        clock.ticks.fetch_add(1, Ordering::Relaxed);
        each();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(what: impl Fn() -> bool) -> bool {
        (0..1_000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            what()
        })
    }

    #[test]
    fn it_rests_when_nobody_calls_and_ticks_when_somebody_does() {
        let mut ticker = Ticker::start(|| {});
        assert!(until(|| ticker.rests()), "nobody calls");
        let before = ticker.clock.ticks.load(Ordering::SeqCst);
        ticker.call();
        assert!(until(|| ticker.clock.ticks.load(Ordering::SeqCst) > before + 10), "it ticks on");
    }
}
