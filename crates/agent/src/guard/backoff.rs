//! When a worker that died is started again.

use std::time::Duration;

/// Delay before the first restart: a worker that was killed is back within a second.
const FIRST: Duration = Duration::from_millis(50);
/// Longest delay, for a worker that dies again and again. Meanwhile events wait in the rings, which
/// hold some seconds of a busy host: whoever kills workers must not make the agent blind.
const LONGEST: Duration = Duration::from_secs(1);
/// A worker that lived this long is sound: the next restart is quick again.
const SOUND: Duration = Duration::from_mins(1);

/// Doubles the delay with each death that follows soon on the one before.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// No death yet.
    pub(crate) fn new() -> Backoff {
        Backoff { next: FIRST }
    }

    /// How long to wait after the death of a worker that lived so long.
    pub(crate) fn delay(&mut self, lived: Duration) -> Duration {
        if lived >= SOUND {
            self.next = FIRST;
        }
        let delay = self.next;
        self.next = (delay * 2).min(LONGEST);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_grows_to_a_bound_and_recovers() {
        let mut backoff = Backoff::new();
        let soon = Duration::from_secs(1);
        let first: Vec<_> = (0..4).map(|_| backoff.delay(soon)).collect();
        assert_eq!(first, [FIRST, FIRST * 2, FIRST * 4, FIRST * 8]);
        assert!(first.iter().all(|delay| *delay < Duration::from_secs(1)));
        let last = (0..20).map(|_| backoff.delay(soon)).last();
        assert_eq!(last, Some(LONGEST));
        assert_eq!(backoff.delay(SOUND), FIRST);
    }
}
