//! Alerts that would say the same again.
//!
//! Writing a file in one go creates it and modifies it, and a rule about both would alert twice.
//! So a rule that matched for a file of a process does not match again for both within
//! [`REPEAT_NS`] of event time; what it would have said is counted.

use std::collections::VecDeque;

use crate::process::Key;

/// How long an alert stands for later ones about the same rule, process and file. Long enough for
/// a program that opens, writes and renames; whoever goes on for longer is told again.
pub const REPEAT_NS: u64 = 1_000_000_000;
/// Most alerts remembered. More within a second are a flood, of which some may come twice.
pub const REPEATS_MAX: usize = 256;

/// An alert that was told.
#[derive(Debug)]
struct Told {
    time: u64,
    rule: u32,
    process: Key,
    path: Box<[u8]>,
}

/// The latest alerts about files, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Repeats(VecDeque<Told>);

impl Repeats {
    /// Whether this was told a moment ago; if not, it counts as told now.
    pub(crate) fn is_repeat(&mut self, rule: u32, process: Key, path: &[u8], time: u64) -> bool {
        // Records may come late by a little: then the times are the other way round.
        self.0.retain(|told| told.time.abs_diff(time) < REPEAT_NS);
        let same =
            |told: &Told| told.rule == rule && told.process == process && *told.path == *path;
        if self.0.iter().any(same) {
            return true;
        }
        if self.0.len() >= REPEATS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Told { time, rule, process, path: path.into() });
        false
    }

    /// The rules have other numbers now; none, if a rule is gone.
    pub(crate) fn renumber(&mut self, number: impl Fn(u32) -> Option<u32>) {
        self.0.retain_mut(|told| match number(told.rule) {
            Some(rule) => {
                told.rule = rule;
                true
            }
            None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_rule_process_and_file_repeat() {
        let mut repeats = Repeats::default();
        let (one, two) = (Key { pid: 7, start: 1 }, Key { pid: 7, start: 2 });
        assert!(!repeats.is_repeat(0, one, b"/a", 10));
        assert!(repeats.is_repeat(0, one, b"/a", 11));
        assert!(repeats.is_repeat(0, one, b"/a", 9), "told late");
        for (rule, process, path) in [(1, one, b"/a"), (0, two, b"/a"), (0, one, b"/b")] {
            assert!(!repeats.is_repeat(rule, process, path, 12));
        }
        assert!(repeats.is_repeat(0, one, b"/a", 9 + REPEAT_NS));
        assert!(!repeats.is_repeat(0, one, b"/a", 10 + REPEAT_NS), "it goes on: told again");
    }

    #[test]
    fn rules_keep_what_they_told_under_other_numbers() {
        let mut repeats = Repeats::default();
        let key = Key { pid: 7, start: 1 };
        assert!(!repeats.is_repeat(0, key, b"/a", 10) && !repeats.is_repeat(1, key, b"/a", 10));
        repeats.renumber(|rule| (rule == 1).then_some(5));
        assert!(repeats.is_repeat(5, key, b"/a", 11), "was 1");
        assert!(!repeats.is_repeat(0, key, b"/a", 11), "is another rule now");
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut repeats = Repeats::default();
        for number in 0..u32::try_from(REPEATS_MAX).unwrap() + 10 {
            assert!(!repeats.is_repeat(number, Key { pid: 7, start: 1 }, b"/a", 10));
        }
        assert_eq!(repeats.0.len(), REPEATS_MAX);
        assert!(!repeats.is_repeat(0, Key { pid: 7, start: 1 }, b"/a", 10), "forgotten");
    }
}
