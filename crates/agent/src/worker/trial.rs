//! A new set of rules proves itself: for a while it is watched whether the rules that came with it raise
//! far more alerts, or ask for far more actions, than all rules did before, and whether their scripts
//! break.
//!
//! What rules raise that were there before says nothing of the new set: a host under attack keeps them.

use std::collections::{HashSet, VecDeque};

/// Over so many seconds things are counted.
const MINUTE: usize = 60;
/// So many times as many as before are too many.
const TIMES: u64 = 5;
/// Fewer alerts within a minute are never too many: a good rule may find that much where it comes.
const ALERTS_FLOOR: u64 = 100;
/// The same of actions, which change the host.
const ACTIONS_FLOOR: u64 = 20;
/// What scripts may do beyond their terms before the set is broken: one event may bring several.
const ERRORS_MAX: u64 = 100;

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Alerts raised, those not told included.
    pub(crate) alerts: u64,
    /// Actions that rules asked for.
    pub(crate) actions: u64,
}

impl Counts {
    fn since(self, before: Counts) -> Counts {
        Counts {
            alerts: self.alerts.saturating_sub(before.alerts),
            actions: self.actions.saturating_sub(before.actions),
        }
    }
}

/// Totals, second by second, of the last minute.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rates(VecDeque<Counts>);

impl Rates {
    /// A second later.
    pub(crate) fn add(&mut self, totals: Counts) {
        if self.0.len() > MINUTE {
            self.0.pop_front();
        }
        self.0.push_back(totals);
    }

    /// What happened within the last minute.
    fn within(&self) -> Counts {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else {
            return Counts::default();
        };
        last.since(*first)
    }

    /// The same, and of a shorter time what it would be in a minute.
    fn a_minute(&self) -> Counts {
        let seconds = self.0.len().saturating_sub(1).clamp(1, MINUTE) as u64;
        let scaled = |count: u64| count.saturating_mul(MINUTE as u64) / seconds;
        let Counts { alerts, actions } = self.within();
        Counts { alerts: scaled(alerts), actions: scaled(actions) }
    }
}

/// How a trial stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Going,
    /// It is over, and nothing was wrong.
    Passed,
    /// What is wrong.
    Broken(String),
}

/// A trial that goes on.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The generation.
    pub(crate) generation: u64,
    /// Its rules that were not there before, or were others.
    fresh: HashSet<String>,
    /// What was usual before it.
    usual: Counts,
    own: Rates,
    errors: u64,
    broken: Option<String>,
    /// When it is over, in seconds on any clock that goes on.
    end: u64,
}

impl Trial {
    /// Begins with a generation and those of its rules that are new, after what was usual.
    pub(crate) fn new(generation: u64, fresh: HashSet<String>, before: &Rates, end: u64) -> Trial {
        let mut own = Rates::default();
        own.add(Counts::default());
        let usual = before.a_minute();
        Trial { generation, fresh, usual, own, errors: 0, broken: None, end }
    }

    /// Rules that are new in it.
    pub(crate) fn fresh(&self) -> &HashSet<String> {
        &self.fresh
    }

    /// A script that these rules ask broke its terms; `ended`: it is asked no more.
    pub(crate) fn script(&mut self, name: &str, rules: &[String], ended: Option<&str>) {
        if !rules.iter().any(|rule| self.fresh.contains(rule)) {
            return;
        }
        self.errors += 1;
        if let Some(cause) = ended {
            self.broken = Some(format!("its script `{name}` is in quarantine ({cause})"));
        } else if self.errors > ERRORS_MAX {
            let what = format!("its scripts broke their terms more than {ERRORS_MAX} times");
            self.broken = Some(what);
        }
    }

    /// A second later: `own` is what the new rules did since it began.
    pub(crate) fn look(&mut self, now: u64, own: Counts) -> Verdict {
        self.own.add(own);
        if let Some(reason) = self.broken.take() {
            return Verdict::Broken(reason);
        }
        let (own, usual) = (self.own.within(), self.usual);
        for (what, own, usual, floor) in [
            ("raised", own.alerts, usual.alerts, ALERTS_FLOOR),
            ("asked for", own.actions, usual.actions, ACTIONS_FLOOR),
        ] {
            if own > floor && own > usual.saturating_mul(TIMES) {
                let things = if what == "raised" { "alerts" } else { "actions" };
                return Verdict::Broken(format!(
                    "its new rules {what} {own} {things} within a minute, usual are {usual}"
                ));
            }
        }
        if now >= self.end { Verdict::Passed } else { Verdict::Going }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alerts(alerts: u64) -> Counts {
        Counts { alerts, actions: 0 }
    }

    fn trial(before: &Rates) -> Trial {
        Trial::new(7, HashSet::from(["a".to_owned()]), before, 60)
    }

    #[test]
    fn far_more_than_usual_is_too_much_and_a_busy_host_is_not_a_new_one() {
        let mut quiet = trial(&Rates::default());
        assert_eq!(quiet.look(1, alerts(ALERTS_FLOOR)), Verdict::Going);
        let Verdict::Broken(reason) = quiet.look(2, alerts(ALERTS_FLOOR + 1)) else { panic!() };
        assert_eq!(reason, "its new rules raised 101 alerts within a minute, usual are 0");

        let mut before = Rates::default();
        (0..=10).for_each(|second| before.add(alerts(second * 50)));
        let mut busy = trial(&before);
        assert_eq!(busy.usual, alerts(3_000), "ten seconds stand for a minute");
        assert_eq!(busy.look(1, alerts(15_000)), Verdict::Going);
        assert!(matches!(busy.look(2, alerts(15_001)), Verdict::Broken(_)));

        let actions = Counts { alerts: 0, actions: ACTIONS_FLOOR + 1 };
        let Verdict::Broken(reason) = trial(&Rates::default()).look(1, actions) else { panic!() };
        assert_eq!(reason, "its new rules asked for 21 actions within a minute, usual are 0");
    }

    #[test]
    fn a_long_trial_looks_at_the_last_minute_and_ends() {
        let mut long = Trial::new(7, HashSet::new(), &Rates::default(), 600);
        for second in 1..600 {
            assert_eq!(long.look(second, alerts(second)), Verdict::Going, "{second}");
        }
        assert_eq!(long.look(600, alerts(600)), Verdict::Passed);
    }

    #[test]
    fn only_scripts_of_new_rules_count() {
        let mut trial = trial(&Rates::default());
        let rules = |id: &str| vec![id.to_owned()];
        trial.script("old", &rules("b"), Some("trap"));
        assert_eq!(trial.look(1, Counts::default()), Verdict::Going);
        for _ in 0..ERRORS_MAX {
            trial.script("new", &rules("a"), None);
        }
        assert_eq!(trial.look(2, Counts::default()), Verdict::Going);
        trial.script("new", &rules("a"), Some("trap"));
        let Verdict::Broken(reason) = trial.look(3, Counts::default()) else { panic!() };
        assert_eq!(reason, "its script `new` is in quarantine (trap)");
    }
}
