//! How often is acted: by one rule, by all, and when that has become so much that something else must
//! be wrong.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde::Serialize;

/// What is counted, and how far back.
const WINDOW: Duration = Duration::from_mins(1);
/// Rules that are counted one by one; others share what is left of the sum.
const RULES_MAX: usize = 4_096;

/// How often may be acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
    /// So many were asked for that none is done until somebody says so.
    Open,
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

    /// How often may be acted.
    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Whether nothing is done any more.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Acts again.
    pub(super) fn close(&mut self) {
        *self = Limits::new(self.bounds);
    }

    /// Counts one that a rule asked for, whatever becomes of it; true when that was too much just now.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        if self.open {
            return false;
        }
        forget(&mut self.asked, now);
        self.asked.push_back(now);
        self.open = self.asked.len() > self.bounds.jump;
        self.open
    }

    /// Takes room for one, if there is any.
    pub(super) fn take(&mut self, rule: &str, now: Instant) -> Room {
        if self.open {
            return Room::Open;
        }
        forget(&mut self.done, now);
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
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut take = |rule: &str, seconds| limits.take(rule, at(seconds));
        let rooms = [take("a", 0), take("a", 1), take("a", 2)];
        assert_eq!(rooms, [Room::There, Room::There, Room::Rule]);
        assert_eq!([take("b", 3), take("b", 4)], [Room::There, Room::All]);
        assert_eq!(take("a", 60), Room::There, "the first one is a minute ago");
        for second in 0..8 {
            assert!(!limits.ask(at(second)));
        }
        assert!(!limits.ask(at(61)), "two of them are more than a minute ago");
        assert!(!limits.ask(at(61)) && limits.ask(at(61)), "that is one too many");
        assert!(limits.is_open() && !limits.ask(at(62)), "told once");
        assert_eq!(limits.take("c", at(600)), Room::Open, "until somebody says so");
        limits.close();
        assert_eq!((limits.is_open(), limits.take("c", at(600))), (false, Room::There));
    }
}
