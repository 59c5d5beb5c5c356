//! What a hostile stream can make a detector hold, and whom that costs.

use lang::Dialect;
use model::program::Order;

use super::sample::{Ev, S};
use super::text::{correlated, count_of, events, program};
use super::*;

/// What one rule may hold in these tests.
const RULE: usize = 1_000;
/// What all may.
const ALL: usize = 1_500;
const LIMITS: Limits = Limits { partials_per_rule: RULE, partials: ALL, rows: 100, seed: 0 };

fn event(number: u64, text: &str, program: &'static str) -> Ev {
    Ev { number, name: Some(program.as_bytes()), ..events(text).remove(0) }
}

/// A victim's `begin`, a flood of `begin` with other keys from one program, the victim's `end`:
/// both of the victim's events must still meet.
#[track_caller]
fn flood(name: &str, compiled: Arc<Compiled>, begin: &str, end: &str) {
    let mut detector = Detector::new(compiled, LIMITS);
    let mut found = Vec::new();
    detector.push(&event(1, &format!("{begin}0@0"), "victim"), &mut found);
    for number in 2..6_000 {
        let flood = event(number, &format!("{begin}{number}@0"), "flood");
        detector.push(&flood, &mut found);
        assert!(detector.held() <= RULE, "{name}: {} after {number}", detector.held());
    }
    let counters = detector.counters(detector.rule(name));
    assert!(counters.evictions > 4_000, "{name}: {counters:?}");
    assert_eq!(counters.evictions + counters.partials, 5_999, "{name}: each is counted");
    found.clear();
    detector.push(&event(6_000, &format!("{end}0@1"), "victim"), &mut found);
    detector.finish(&mut found);
    let is_victim = |found: &Found| found.members.contains(&1) && found.members.contains(&6_000);
    assert!(found.iter().any(is_victim), "{name}: silenced: {found:?}");
}

impl Detector {
    fn rule(&self, id: &str) -> u32 {
        let rules = &self.compiled.program().rules;
        rules.iter().position(|rule| rule.meta.id == id).unwrap().try_into().unwrap()
    }
}

#[test]
fn a_flood_of_unique_keys_stays_within_the_bound_and_blinds_nobody() {
    for query in [
        "sequence by process.pid [a] [b]",
        "sequence by process.pid with maxspan=1h [a] [b]",
        "sequence by process.pid [*] [b]",
        "sample by process.pid [a] [b]",
    ] {
        flood(query, program(&[(Dialect::Elastic, query)]), "a", "b");
    }
    for query in [
        "join by process.pid [a] [b]",
        "sequence by process.pid [a] [b] | unique process.parent.pid",
    ] {
        flood(query, program(&[(Dialect::Classic, query)]), "a", "b");
    }
}

#[test]
fn a_rule_that_is_given_less_keeps_less_and_its_neighbour_what_it_had() {
    let query = "sequence by process.pid [a] [b]";
    let both = program(&[(Dialect::Elastic, query), (Dialect::Elastic, "sequence by process.pid [a] [c]")]);
    let mut strangers = both.program().as_ref().clone();
    strangers.rules[0].meta.kept = Some(10);
    let compiled = Arc::new(Compiled::new(Arc::new(strangers)).unwrap());
    let mut detector = Detector::new(compiled, LIMITS);
    let mut found = Vec::new();
    for number in 1..=500 {
        detector.push(&event(number, &format!("a{number}@0"), "flood"), &mut found);
    }
    let [few, many] = [0, 1].map(|rule| detector.counters(rule));
    assert_eq!((few.partials, few.evictions), (10, 490), "what it lost is counted");
    assert_eq!((many.partials, many.evictions), (500, 0), "the control");
}

#[test]
fn a_flood_of_groups_stays_within_the_bound_and_blinds_no_correlation() {
    for condition in [vec![(Order::GreaterEqual, 2)], vec![(Order::Equal, 2)]] {
        let every = [(Dialect::Elastic, "any where true")];
        let compiled = correlated(&every, &[count_of(0, 3_600, condition)]);
        flood("correlation 0", compiled, "a", "b");
    }
}

#[test]
fn a_flood_of_what_waits_for_time_blinds_no_correlation_that_counts_it() {
    let unanswered = "sequence by process.pid with maxspan=1s [a] ![x]";
    let twice = count_of(0, 3_600, vec![(Order::GreaterEqual, 2)]);
    let compiled = correlated(&[(Dialect::Elastic, unanswered)], &[twice]);
    let mut detector = Detector::new(compiled, LIMITS);
    let mut found = Vec::new();
    detector.push(&event(1, "a0@0", "victim"), &mut found);
    for number in 2..6_000 {
        detector.push(&event(number, &format!("a{number}@2"), "flood"), &mut found);
        assert!(detector.held() <= ALL, "{} after {number}", detector.held());
    }
    detector.tick(4 * S, &mut found);
    assert!(detector.counters(1).evictions > 4_000, "{:?}", detector.counters(1));
    found.clear();
    detector.push(&event(6_000, "a0@10", "victim"), &mut found);
    detector.tick(12 * S, &mut found);
    let counted: Vec<_> = found.iter().filter(|found| found.rule == 1).collect();
    assert_eq!(counted.len(), 1, "{found:?}");
    assert_eq!(counted[0].members.as_slice(), [1, 6_000]);
}

#[test]
fn many_matches_of_one_group_count_as_many() {
    let every = [(Dialect::Elastic, "any where true")];
    let compiled = correlated(&every, &[count_of(0, 3_600, vec![(Order::GreaterEqual, 100_000)])]);
    let mut detector = Detector::new(compiled, LIMITS);
    let mut found = Vec::new();
    for number in 1..10_000 {
        detector.push(&event(number, &format!("a{}@0", number % 10), "flood"), &mut found);
        assert!(detector.held() <= RULE, "{} after {number}", detector.held());
    }
    assert!(detector.counters(1).evictions > 0);
}

#[test]
fn what_must_not_happen_is_forgotten_rather_than_an_alert_lost() {
    let query = "sequence by process.pid with maxspan=1h ![x] [a] ![x] [b] ![x]";
    let compiled = program(&[(Dialect::Elastic, query)]);
    let mut detector = Detector::new(compiled, LIMITS);
    let mut found = Vec::new();
    let mut number = 0;
    let mut push = |text: &str, detector: &mut Detector, found: &mut Vec<Found>| {
        number += 1;
        detector.push(&event(number, text, "flood"), found);
        assert!(detector.held() <= RULE, "{} after {number}", detector.held());
    };
    push("a0@0", &mut detector, &mut found);
    for key in 1..4_000 {
        push(&format!("x{key}@0"), &mut detector, &mut found);
    }
    for key in 1..3_000 {
        push(&format!("a{key}@1"), &mut detector, &mut found);
        push(&format!("b{key}@1"), &mut detector, &mut found);
    }
    push("b0@2", &mut detector, &mut found);
    detector.finish(&mut found);
    assert!(found.iter().any(|found| found.members.first() == Some(&1)), "the first one is told");
    assert!(detector.counters(0).evictions > 0);
}

#[test]
fn a_flood_of_one_rule_costs_no_other() {
    let (one, two) = ("sequence by process.pid [a] [b]", "sequence by process.pid [c] [b]");
    let three = "sequence by process.pid [*] [u]";
    let rules = [one, two, three].map(|query| (Dialect::Elastic, query));
    let mut detector = Detector::new(program(&rules), LIMITS);
    let mut found = Vec::new();
    detector.push(&event(1, "c0@0", "victim"), &mut found);
    for number in 2..6_000 {
        detector.push(&event(number, &format!("a{number}@0"), "victim"), &mut found);
        assert!(detector.held() <= ALL, "{} after {number}", detector.held());
    }
    detector.push(&event(6_000, "b0@1", "victim"), &mut found);
    let told: Vec<_> = found.iter().map(|found| (found.rule, found.members.as_slice())).collect();
    assert_eq!(told, [(1, [1, 6_000].as_slice())], "the same program flooded other rules");
    assert_eq!(detector.counters(1).evictions, 0);
    assert!(detector.counters(0).evictions > 0 && detector.counters(2).evictions > 0);
}

#[test]
fn long_values_that_are_remembered_count_by_their_length() {
    let query = "sequence [any where true] by process.pid \
                 [any where true] by process.pid | unique events[0].process.name";
    let mut detector = Detector::new(program(&[(Dialect::Classic, query)]), LIMITS);
    let long: &'static str = "x".repeat(64 * 1024).leak();
    let mut found = Vec::new();
    for number in 1..1_000 {
        detector.push(&event(number, &format!("a{number}@0"), long), &mut found);
        assert!(detector.held() <= RULE, "{} after {number}", detector.held());
        assert!(detector.partials() <= 2, "{} of 64 KiB each", detector.partials());
    }
}

#[test]
fn partials_are_freed_after_their_window() {
    for query in [
        "sequence by process.pid with maxspan=60s [a] [b]",
        "sequence by process.pid with maxspan=60s ![x] [a] [b] ![x]",
    ] {
        let mut detector = Detector::new(program(&[(Dialect::Elastic, query)]), Limits::default());
        let mut found = Vec::new();
        for number in 1..5_000 {
            detector.push(&event(number, &format!("a{number}@0"), "a"), &mut found);
        }
        assert_eq!(detector.partials(), 4_999, "{query}");
        detector.tick(60 * S, &mut found);
        assert_eq!(detector.partials(), 4_999, "{query}: the window is inclusive");
        detector.tick(62 * S, &mut found);
        assert_eq!((detector.partials(), detector.held()), (0, 0), "{query}");
    }
}

#[test]
fn an_event_counts_once_for_a_rule_whether_the_rule_waits_for_it_or_not() {
    let rule = "sequence by process.pid with maxspan=9s [a] [b] [b] until [u]";
    let mut detector = Detector::new(program(&[(Dialect::Elastic, rule)]), Limits::default());
    let mut found = Vec::new();
    // What goes on with nothing counts as what begins does; what satisfies no step does not.
    let events = events("b1@0 u1@0 c1@0 a1@1 b1@2 a2@3 c2@99 b2@200 b2@201");
    let count = |event: &Ev| {
        detector.push(event, &mut found);
        detector.counters(0).evaluations
    };
    let counted: Vec<u64> = events.iter().map(count).collect();
    assert_eq!(counted, [1, 2, 2, 3, 4, 5, 5, 6, 7]);
    assert_eq!((found.len(), detector.partials()), (0, 0));
}
