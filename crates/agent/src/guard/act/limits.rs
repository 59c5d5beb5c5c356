//! How often is acted: by one rule, by all, and when that has become so much that something else must
//! be wrong.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// What is counted, and how far back.
const WINDOW: Duration = Duration::from_mins(1);
/// Rules that are counted one by one; others share what is left of the sum.
const RULES_MAX: usize = 4_096;

/// How often may be acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// In a minute, for one rule.
    pub(crate) rule: usize,
    /// In a minute, for all.
    pub(crate) all: usize,
    /// So many that were asked for in a minute, acted on or not, and nothing is done any more.
    pub(crate) jump: usize,
}

/// What becomes of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// It may be done.
    There,
    /// The rule has had its share.
    Rule,
    /// All together had theirs.
    All,
    /// So many were asked for that none is done until somebody says so; told once as the first.
    Open {
        /// Whether it was this one that was too much.
        first: bool,
    },
}

/// What was done and asked for within the last minute.
#[derive(Debug)]
pub(super) struct Limits {
    bounds: Bounds,
    asked: VecDeque<Instant>,
    done: VecDeque<Instant>,
    by_rule: HashMap<String, VecDeque<Instant>>,
    open: bool,
}

impl Limits {
    pub(super) fn new(bounds: Bounds) -> Limits {
        Limits {
            bounds,
            asked: VecDeque::new(),
            done: VecDeque::new(),
            by_rule: HashMap::new(),
            open: false,
        }
    }

    /// Whether nothing is done any more.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Acts again.
    pub(super) fn close(&mut self) {
        *self = Limits::new(self.bounds);
    }

    /// Takes room for one, if there is any.
    pub(super) fn take(&mut self, rule: &str, now: Instant) -> Room {
        if self.open {
            return Room::Open { first: false };
        }
        forget(&mut self.asked, now);
        forget(&mut self.done, now);
        self.asked.push_back(now);
        if self.asked.len() > self.bounds.jump {
            self.open = true;
            return Room::Open { first: true };
        }
        if self.by_rule.len() >= RULES_MAX && !self.by_rule.contains_key(rule) {
            self.by_rule.retain(|_, times| {
                forget(times, now);
                !times.is_empty()
            });
        }
        if self.by_rule.len() < RULES_MAX || self.by_rule.contains_key(rule) {
            let times = self.by_rule.entry(rule.to_owned()).or_default();
            forget(times, now);
            if times.len() >= self.bounds.rule {
                return Room::Rule;
            }
            if self.done.len() >= self.bounds.all {
                return Room::All;
            }
            times.push_back(now);
        } else if self.done.len() >= self.bounds.all {
            return Room::All;
        }
        self.done.push_back(now);
        Room::There
    }
}

fn forget(times: &mut VecDeque<Instant>, now: Instant) {
    while times.front().is_some_and(|time| now.saturating_duration_since(*time) >= WINDOW) {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { rule: 2, all: 3, jump: 8 };

    #[test]
    fn a_rule_has_its_share_and_all_have_theirs_and_a_jump_ends_it() {
        let (mut limits, begin) = (Limits::new(BOUNDS), Instant::now());
        let mut take = |rule: &str, seconds: u64| limits.take(rule, begin + Duration::from_secs(seconds));
        assert_eq!([take("a", 0), take("a", 1), take("a", 2)], [Room::There, Room::There, Room::Rule]);
        assert_eq!([take("b", 3), take("b", 4)], [Room::There, Room::All]);
        assert_eq!(take("a", 60), Room::There, "the first one is a minute ago");
        assert_eq!([take("a", 61), take("a", 61), take("a", 61)], [Room::There, Room::Rule, Room::Rule]);
        assert_eq!(take("c", 62), Room::Open { first: true });
        assert_eq!(take("c", 600), Room::Open { first: false }, "until somebody says so");
        assert!(limits.is_open());
        limits.close();
        assert_eq!(limits.take("c", begin), Room::There);
    }
}
