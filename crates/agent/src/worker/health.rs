//! Rules that are too slow or too noisy for this host.
//!
//! A rule that matches all the time would bury all others, and one that costs too much would cost
//! events: both are told once when that begins, in the stream of alerts, and shown by `status` and
//! `rules`. Nothing is left out in silence: what a noisy rule would have said is counted, and the
//! count is told each minute.
//!
//! Costs are measured on a few events only, by the processor time of the event thread, so that a
//! busy host makes no rule look slow.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use engine::Counters;
use rustix::time::{ClockId, clock_gettime};

use super::board::RuleInfo;

/// What a rule may take of each event, on average over all events of the host. At 20,000 events a
/// second it would be a tenth of a core.
pub(crate) const COST_BUDGET_NS: u64 = 5_000;
/// Events measured before a cost is believed.
const SAMPLES_MIN: u64 = 32;
/// One event of so many is measured, and the first ones of each second: quiet hosts are measured too.
const SAMPLE_EVERY: u64 = 1024;
/// How many those are.
const SAMPLE_FIRST: u64 = 16;
/// Over which time alerts are counted and costs averaged, in seconds.
const WINDOW_S: u64 = 60;

/// Something to tell about a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The rule, by number.
    pub(crate) rule: usize,
    /// What.
    pub(crate) what: What,
}

/// What is told about a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It takes so many nanoseconds of each event.
    Slow(u64),
    /// It has reached the limit of alerts; more of them are counted.
    Noisy,
    /// So many alerts were counted and not told within the last minute.
    Suppressed(u64),
}

/// What is known of a rule beyond its text, for `aegisbpf rules`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// What the engine counts.
    pub(crate) counters: Counters,
    /// Alerts told.
    pub(crate) alerts: u64,
    /// Alerts counted and not told.
    pub(crate) suppressed: u64,
    /// Alerts within the last minute, those not told included.
    pub(crate) a_minute: u64,
    /// Processor time of an event, on average; `None`: not measured yet.
    pub(crate) cost_ns: Option<u64>,
    /// It is above its budget.
    pub(crate) slow: bool,
    /// It has reached the limit of alerts.
    pub(crate) noisy: bool,
}

impl Figures {
    /// `ok`, or what is wrong.
    pub(crate) fn state(&self) -> &'static str {
        match (self.slow, self.noisy) {
            (false, false) => "ok",
            (true, false) => "slow",
            (false, true) => "noisy",
            (true, true) => "slow, noisy",
        }
    }
}

/// What is known of one rule.
#[derive(Debug, Clone, Default)]
struct Rule {
    alerts: u64,
    suppressed: u64,
    /// Of this window and the one before it.
    raised: [u64; 2],
    untold: u64,
    cost: u64,
    last_cost: Option<u64>,
    slow: bool,
    noisy: bool,
    /// It came with the set that is on trial.
    fresh: bool,
}

/// The health of all rules that run.
#[derive(Debug)]
pub(crate) struct Health {
    infos: Arc<[RuleInfo]>,
    numbers: HashMap<String, usize>,
    rules: Vec<Rule>,
    /// Alerts of one rule that are told within a minute.
    limit: u64,
    /// Events since the last look.
    events: u64,
    samples: u64,
    /// Alerts, those not told included, and those of them of rules that are on trial.
    raised: [u64; 2],
    /// When the window began, in seconds on any clock that goes on.
    window: Option<u64>,
    notices: Vec<Notice>,
}

impl Health {
    /// Nothing has happened yet.
    pub(crate) fn new(infos: Arc<[RuleInfo]>, limit: u64) -> Health {
        let mut health = Health {
            infos: Arc::default(),
            numbers: HashMap::new(),
            rules: Vec::new(),
            limit: limit.max(1),
            events: 0,
            samples: 0,
            raised: [0; 2],
            window: None,
            notices: Vec::new(),
        };
        health.replace(infos);
        health
    }

    /// Other rules run from here on. What is known of those that stay is kept, but for their costs.
    pub(crate) fn replace(&mut self, infos: Arc<[RuleInfo]>) {
        let kept = |info: &RuleInfo| {
            let old = self.numbers.get(&info.id).and_then(|number| self.rules.get(*number));
            Rule { cost: 0, ..old.cloned().unwrap_or_default() }
        };
        self.rules = infos.iter().map(kept).collect();
        self.numbers =
            infos.iter().enumerate().map(|(number, info)| (info.id.clone(), number)).collect();
        self.infos = infos;
        self.samples = 0;
        // They name rules by their old numbers.
        self.notices.clear();
    }

    /// These rules are on trial, and no others.
    pub(crate) fn put_on_trial(&mut self, ids: &HashSet<String>) {
        for (info, rule) in self.infos.iter().zip(&mut self.rules) {
            rule.fresh = ids.contains(&info.id);
        }
        let [all, _] = self.raised;
        self.raised = [all, 0];
    }

    /// Alerts up to now, those not told included: of all rules, and of those on trial since that began.
    pub(crate) fn raised(&self) -> [u64; 2] {
        self.raised
    }

    /// Alerts of a rule that are told within a minute.
    pub(crate) fn limit(&self, rule: usize) -> u64 {
        limit_of(self.limit, self.infos.get(rule))
    }

    /// The rules, in the order of the program.
    pub(crate) fn infos(&self) -> &Arc<[RuleInfo]> {
        &self.infos
    }

    /// Whether the next event is to be measured.
    pub(crate) fn wants_sample(&mut self) -> bool {
        self.events += 1;
        self.events <= SAMPLE_FIRST || self.events.is_multiple_of(SAMPLE_EVERY)
    }

    /// Takes what rules cost for one event.
    pub(crate) fn sample(&mut self, costs: &[(u32, u64)]) {
        self.samples += 1;
        for (rule, cost) in costs {
            let rule = usize::try_from(*rule).ok().and_then(|rule| self.rules.get_mut(rule));
            if let Some(rule) = rule {
                rule.cost = rule.cost.saturating_add(*cost);
            }
        }
    }

    /// Whether an alert of that rule is to be told; if not, it is counted.
    pub(crate) fn admits(&mut self, id: &str) -> bool {
        let Some(number) = self.numbers.get(id).copied() else { return true };
        let Some(rule) = self.rules.get_mut(number) else { return true };
        let [all, fresh] = &mut self.raised;
        (*all, *fresh) = (*all + 1, *fresh + u64::from(rule.fresh));
        let limit = limit_of(self.limit, self.infos.get(number));
        let [raised, _] = &mut rule.raised;
        *raised += 1;
        if *raised <= limit {
            rule.alerts += 1;
            return true;
        }
        if *raised == limit + 1 {
            self.notices.push(Notice { rule: number, what: What::Noisy });
        }
        rule.noisy = true;
        rule.suppressed += 1;
        rule.untold += 1;
        false
    }

    /// Time has come to `now`, in seconds: what is to be told.
    pub(crate) fn look(&mut self, now: u64) -> Vec<Notice> {
        self.events = 0;
        if self.samples >= SAMPLES_MIN {
            for (number, rule) in self.rules.iter_mut().enumerate() {
                let cost = rule.cost / self.samples;
                rule.last_cost = Some(cost);
                if cost > COST_BUDGET_NS && !rule.slow {
                    rule.slow = true;
                    self.notices.push(Notice { rule: number, what: What::Slow(cost) });
                }
            }
        }
        let begun = *self.window.get_or_insert(now);
        if now.saturating_sub(begun) >= WINDOW_S {
            self.window = Some(now);
            self.turn();
        }
        std::mem::take(&mut self.notices)
    }

    /// Ends a window.
    fn turn(&mut self) {
        let believed = self.samples >= SAMPLES_MIN;
        for (number, rule) in self.rules.iter_mut().enumerate() {
            let untold = std::mem::take(&mut rule.untold);
            if untold > 0 {
                self.notices.push(Notice { rule: number, what: What::Suppressed(untold) });
            }
            rule.noisy = untold > 0;
            rule.slow = rule.slow && (!believed || rule.last_cost > Some(COST_BUDGET_NS));
            let [raised, _] = rule.raised;
            rule.raised = [0, raised];
            if believed {
                rule.cost = 0;
            }
        }
        if believed {
            self.samples = 0;
        }
    }

    /// The end: what was counted and is not told yet.
    pub(crate) fn finish(&mut self) -> Vec<Notice> {
        self.turn();
        std::mem::take(&mut self.notices)
    }

    /// Figures of all rules, in the order of the program.
    pub(crate) fn figures(&self, counters: Vec<Counters>) -> Vec<Figures> {
        let figures = |(rule, counters): (&Rule, Counters)| Figures {
            counters,
            alerts: rule.alerts,
            suppressed: rule.suppressed,
            a_minute: rule.raised.into_iter().max().unwrap_or_default(),
            cost_ns: rule.last_cost,
            slow: rule.slow,
            noisy: rule.noisy,
        };
        self.rules.iter().zip(counters).map(figures).collect()
    }

    /// Alerts that were counted and not told.
    pub(crate) fn suppressed(&self) -> u64 {
        self.rules.iter().map(|rule| rule.suppressed).sum()
    }

    /// Ids of the rules that are too slow, and of those that are too noisy.
    pub(crate) fn ailing(&self) -> [Vec<String>; 2] {
        let ids = |ails: fn(&Rule) -> bool| {
            let rules = self.infos.iter().zip(&self.rules);
            rules.filter(|(_, rule)| ails(rule)).map(|(info, _)| info.id.clone()).collect()
        };
        [ids(|rule| rule.slow), ids(|rule| rule.noisy)]
    }
}

/// What all rules may raise, and what this one may by how far its author is trusted.
fn limit_of(all: u64, info: Option<&RuleInfo>) -> u64 {
    info.map(|info| info.max_alerts).filter(|most| *most > 0).map_or(all, |most| most.min(all))
}

/// Processor time of this thread, in nanoseconds.
pub(crate) fn processor_time() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infos(ids: &[&str]) -> Arc<[RuleInfo]> {
        ids.iter().map(|id| RuleInfo { id: (*id).to_owned(), ..RuleInfo::default() }).collect()
    }

    fn notice(rule: usize, what: What) -> Notice {
        Notice { rule, what }
    }

    #[test]
    fn alerts_beyond_the_limit_are_counted_and_told_in_sum() {
        let mut health = Health::new(infos(&["a", "b"]), 3);
        assert_eq!(health.look(100), []);
        let told = (0..10).filter(|_| health.admits("a")).count();
        assert_eq!((told, health.admits("b")), (3, true), "one rule does not silence another");
        assert_eq!(health.look(101), [notice(0, What::Noisy)]);
        assert_eq!(health.look(102), [], "told once");
        assert_eq!(health.ailing(), [vec![], vec!["a".to_owned()]]);
        assert_eq!(health.look(160), [notice(0, What::Suppressed(7))]);
        assert!(health.admits("a"), "another minute");
        assert_eq!(health.look(220), []);
        assert_eq!(health.ailing(), [vec![], vec![] as Vec<String>], "a quiet minute");
        let figures = &health.figures(vec![Counters::default(); 2])[0];
        assert_eq!((figures.alerts, figures.suppressed, figures.a_minute), (4, 7, 1));
        for _ in 0..5 {
            health.admits("a");
        }
        assert_eq!(health.finish(), [notice(0, What::Noisy), notice(0, What::Suppressed(2))]);
    }

    #[test]
    fn a_slow_rule_is_told_once_it_is_certain_and_forgiven_after_a_good_minute() {
        let mut health = Health::new(infos(&["a", "b"]), 3);
        let measure = |health: &mut Health, cost: u64| {
            for _ in 0..SAMPLES_MIN {
                health.sample(&[(1, cost), (1, cost)]);
            }
        };
        health.sample(&[(1, 1_000_000)]);
        assert_eq!(health.look(100), [], "one event proves nothing");
        measure(&mut health, COST_BUDGET_NS);
        let [Notice { rule: 1, what: What::Slow(cost) }] = health.look(101)[..] else { panic!() };
        assert!(cost > 2 * COST_BUDGET_NS - COST_BUDGET_NS / 10, "{cost}");
        assert_eq!(health.look(102), []);
        assert_eq!(health.look(160), []);
        assert_eq!(health.ailing()[0], ["b"]);
        measure(&mut health, COST_BUDGET_NS / 4);
        assert_eq!(health.look(220), []);
        assert!(health.ailing()[0].is_empty());
        assert_eq!(health.figures(vec![Counters::default(); 2])[0].cost_ns, Some(0));
    }

    #[test]
    fn one_event_of_many_and_the_first_after_a_look_are_measured() {
        let mut health = Health::new(infos(&[]), 3);
        let sampled = |health: &mut Health, events: u64| {
            (0..events).map(|_| u64::from(health.wants_sample())).sum::<u64>()
        };
        assert_eq!(sampled(&mut health, 3 * SAMPLE_EVERY), SAMPLE_FIRST + 3);
        health.look(1);
        assert_eq!(sampled(&mut health, 50), SAMPLE_FIRST);
    }

    #[test]
    fn other_rules_leave_those_that_stay_as_they_are() {
        let mut health = Health::new(infos(&["a", "b"]), 3);
        for _ in 0..5 {
            health.admits("b");
        }
        health.replace(infos(&["b", "c"]));
        assert_eq!(health.ailing()[1], ["b"]);
        assert!(!health.admits("b") && health.admits("c"));
        assert_eq!(health.figures(vec![Counters::default(); 2])[0].suppressed, 3);
    }

    #[test]
    fn processor_time_goes_on_with_work() {
        let begin = processor_time();
        while processor_time() == begin {}
        assert!(processor_time() > begin);
    }
}
