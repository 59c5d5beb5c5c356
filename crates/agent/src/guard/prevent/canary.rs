//! Watches a new generation for a while: it goes back by itself if much is denied that was not, or
//! if the agent itself suffers.

use std::time::{Duration, Instant};

use super::Loaded;

/// Denials that are no jump, however few there were before.
const LEAST: u64 = 20;
/// How many times more than before is a jump.
const TIMES: u64 = 10;

/// A generation on trial.
#[derive(Debug)]
pub(super) struct Canary {
    /// What is gone back to; none: to nothing.
    pub(super) before: Option<Box<Loaded>>,
    until: Instant,
    since: Instant,
    /// Denials when it came into force.
    denied: u64,
    /// Denials of a minute before that.
    usual: u64,
}

/// How a trial stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Waiting,
    /// It is over, and nothing was wrong.
    Passed,
    /// It is over, since this was wrong.
    Failed(String),
}

impl Canary {
    pub(super) fn new(
        (now, length): (Instant, Duration),
        before: Option<Loaded>,
        denied: u64,
        usual: u64,
    ) -> Canary {
        let before = before.map(Box::new);
        Canary { before, until: now + length, since: now, denied, usual }
    }

    /// Judges by how many requests were denied up to now.
    pub(super) fn judge(&self, now: Instant, denied: u64) -> Verdict {
        let more = denied.saturating_sub(self.denied);
        let seconds = now.saturating_duration_since(self.since).as_secs() + 1;
        let usual = self.usual.saturating_mul(seconds) / 60;
        if more >= LEAST && more > usual.saturating_mul(TIMES) {
            let reason = format!("{more} requests were denied in {seconds} s, {usual} are usual");
            return Verdict::Failed(reason);
        }
        if now >= self.until { Verdict::Passed } else { Verdict::Waiting }
    }

    /// Seconds that it still takes.
    pub(super) fn left(&self, now: Instant) -> u64 {
        self.until.saturating_duration_since(now).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_denials_fails_and_what_is_usual_does_not() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let length = Duration::from_mins(1);
        let quiet = Canary::new((now, length), None, 1000, 0);
        assert_eq!(quiet.judge(after(1), 1000 + LEAST - 1), Verdict::Waiting);
        let Verdict::Failed(reason) = quiet.judge(after(1), 1000 + LEAST) else { panic!() };
        assert!(reason.contains("20 requests"), "{reason}");
        assert_eq!(quiet.judge(after(60), 1000), Verdict::Passed);
        // 600 in a minute before: 100 in ten seconds are usual, and 1,000 are not a jump yet.
        let busy = Canary::new((now, length), None, 0, 600);
        assert_eq!(busy.judge(after(9), 1000), Verdict::Waiting);
        assert!(matches!(busy.judge(after(9), 1001), Verdict::Failed(_)));
    }
}
