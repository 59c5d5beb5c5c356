//! What correlations count, and when. What only passing time decides counts at the moment at which
//! it is known, with the fields of its last event, though that event is gone.

use lang::Dialect;
use model::field;
use model::program::{Correlation, CorrelationKind, Order};

use super::sample::S;
use super::text::{correlated, count_of, events};
use super::*;

/// An `a` that no `x` follows within five seconds.
const UNANSWERED: &str = "sequence by process.pid with maxspan=5s [a] ![x]";

/// What the last of these correlations finds; the rules before it are texts.
fn found(rules: &[&str], correlations: &[Correlation], text: &str) -> Vec<Vec<u64>> {
    let mut detector = detector(rules, correlations);
    let mut found = Vec::new();
    for event in events(text) {
        detector.push(&event, &mut found);
    }
    detector.finish(&mut found);
    of_last(&found, rules.len() + correlations.len() - 1)
}

fn detector(rules: &[&str], correlations: &[Correlation]) -> Detector {
    let rules: Vec<(Dialect, &str)> = rules.iter().map(|rule| (Dialect::Elastic, *rule)).collect();
    Detector::new(correlated(&rules, correlations), Limits::default())
}

fn of_last(found: &[Found], last: usize) -> Vec<Vec<u64>> {
    let of = found.iter().filter(|found| usize::try_from(found.rule) == Ok(last));
    of.map(|found| found.members.to_vec()).collect()
}

fn twice(rule: u32, seconds: u64) -> Correlation {
    count_of(rule, seconds, vec![(Order::GreaterEqual, 2)])
}

#[test]
fn matches_and_values_are_counted_within_their_window() {
    let name = "any where event.action == \"a\"";
    let one_group = |it| Correlation { group_by: vec![Vec::new()], ..it };
    let three = || one_group(count_of(0, 5, vec![(Order::GreaterEqual, 3)]));
    assert_eq!(found(&[name], &[three()], "a b a a"), [[1, 3, 4]]);
    assert!(found(&[name], &[three()], "a a b b b b a").is_empty(), "too far apart");
    let kind = CorrelationKind::ValueCount(field::PROCESS_PID);
    let values = || one_group(Correlation { kind: kind.clone(), ..twice(0, 5) });
    assert!(found(&[name], &[values()], "a a a a").is_empty(), "one value");
    assert_eq!(found(&[name], &[values()], "a1 a2"), [[1, 2]]);
}

#[test]
fn what_was_waited_for_counts_when_nothing_has_come() {
    let of = |text| found(&[UNANSWERED], &[twice(0, 60)], text);
    assert_eq!(of("a1@0 c9@20 a1@21 c9@40"), [[1, 3]]);
    assert_eq!(of("a1@0 a1@21"), [[1, 2]], "the stream ends");
    assert!(of("a1@0 x1@3 a1@21 c9@40").is_empty(), "one was answered");
    assert!(of("a1@0 c9@20 a2@21 c9@40").is_empty(), "of two groups");
}

#[test]
fn it_counts_at_the_time_at_which_it_is_known() {
    let of = |text| found(&[UNANSWERED], &[twice(0, 10)], text);
    assert_eq!(of("a1@0 a1@10 c9@40"), [[1, 2]], "known after 5 and 15 s");
    assert!(of("a1@0 a1@10.1 c9@40").is_empty());
    let both = "sequence by process.pid with maxspan=30s [a] ![x]";
    let ordered = |rules| Correlation {
        kind: CorrelationKind::TemporalOrdered,
        rules,
        group_by: vec![Vec::new(), Vec::new()],
        timespan: 60_000_000_000,
        condition: Vec::new(),
    };
    let quick = "sequence by process.pid with maxspan=5s [b] ![x]";
    let of = |rules| found(&[both, quick], &[ordered(rules)], "a1@0 b1@1 c9@100");
    assert_eq!(of(vec![1, 0]), [[2, 1]], "the later one is known first");
    assert!(of(vec![0, 1]).is_empty());
}

#[test]
fn a_count_that_is_judged_at_the_end_of_its_window_counts_for_another() {
    let pair = || count_of(0, 5, vec![(Order::Equal, 2)]);
    let name = "any where event.action == \"a\"";
    let of = |text| found(&[name], &[pair(), twice(1, 60)], text);
    assert_eq!(of("a1@0 a1@1 a1@20 a1@21 c9@40"), [[2, 4]], "the last event of each");
    assert!(of("a1@0 a1@1 a1@20 c9@40").is_empty(), "one pair");
    assert!(of("a1@0 a1@1 a2@20 a2@21 c9@40").is_empty(), "of two groups");
    // Through a correlation that itself is judged at once.
    let values = Correlation {
        kind: CorrelationKind::ValueCount(field::PROCESS_PARENT_PID),
        ..count_of(1, 60, vec![(Order::GreaterEqual, 1)])
    };
    let of = |text| found(&[name], &[pair(), values.clone(), twice(2, 60)], text);
    assert_eq!(of("a1<7@0 a1<7@1 a1<7@20 a1<7@21 c9@40"), [[2, 4]]);
    assert!(of("a1<7@0 a1<7@1 a1<7@20 a1@21 c9@40").is_empty(), "the last event has no value");
}

#[test]
fn how_often_time_is_told_makes_no_difference() {
    let rules = [UNANSWERED, "sequence by process.pid with maxspan=3s [b] ![x]"];
    let kind = CorrelationKind::TemporalOrdered;
    let rules_of = Correlation { kind, rules: vec![1, 0], ..twice(0, 60) };
    let both = Correlation { group_by: vec![vec![], vec![]], condition: vec![], ..rules_of };
    let run = |ticks: &[i64]| {
        let mut detector = detector(&rules, std::slice::from_ref(&both));
        let mut found = Vec::new();
        for event in events("a1@0 b1@1") {
            detector.push(&event, &mut found);
        }
        for second in ticks {
            detector.tick(second * S, &mut found);
        }
        found
    };
    let (once, often) = (run(&[100]), run(&[2, 3, 4, 5, 6, 7, 100]));
    assert_eq!(once, often);
    assert_eq!(of_last(&once, 2), [[2, 1]]);
}
