//! What a reload keeps, and that nothing but rules and events decides what is found.

use lang::Dialect;

use super::sample::S;
use super::text::{events, program};
use super::*;

/// The last rule is the one that is looked at, whatever its text.
fn named(rules: &[(Dialect, &str)]) -> Arc<Compiled> {
    let mut program = (**program(rules).program()).clone();
    for (number, rule) in program.rules.iter_mut().rev().enumerate() {
        rule.meta.id = format!("rule {number}");
    }
    Arc::new(Compiled::new(Arc::new(program)).unwrap())
}

const SEQUENCE: (Dialect, &str) = (Dialect::Elastic, "sequence by process.pid [a] [b]");
/// Another rule, which names a field that no table knows and a query over lineage.
const OTHER: (Dialect, &str) =
    (Dialect::Classic, "any where other.field == 'z' and child of [any where another.field == 1]");

/// What is found where the rules change before the last event.
fn found(rules: &[(Dialect, &str)], next: &[(Dialect, &str)], text: &str) -> Vec<Found> {
    let mut detector = Detector::new(named(rules), Limits::default());
    let mut found = Vec::new();
    let all = events(text);
    let (last, before) = all.split_last().unwrap();
    for event in before {
        detector.push(event, &mut found);
    }
    assert_eq!(found, [], "nothing yet");
    detector.replace(named(next));
    detector.push(last, &mut found);
    detector.finish(&mut found);
    found
}

#[test]
fn rules_that_did_not_change_go_on_whatever_the_others_do() {
    let own_field = "sequence by mine.id [a] [b]".to_owned();
    for (dialect, query, text) in [
        (Dialect::Elastic, SEQUENCE.1, "a b"),
        (Dialect::Elastic, "sample by process.pid [a] [b]", "a b"),
        (Dialect::Elastic, "sequence by process.pid with maxspan=9s ![x] [a] [b] ![x]", "a b"),
        (Dialect::Elastic, "sequence [a] with runs=2", "a a"),
        (Dialect::Classic, "join by process.pid [a] [b]", "b a"),
        (Dialect::Classic, "any where event.action == 'c' and descendant of [a]", "a1 b2<1 c3<2"),
        (Dialect::Classic, "sequence [a] [b] | filter events[0].process.pid == 1", "a b"),
        (Dialect::Elastic, &own_field.replace("mine.id", "?mine.id"), "a b"),
    ] {
        let rule = (dialect, query);
        let stays = found(&[rule], &[rule], text);
        assert_eq!(stays.len(), 1, "{query}");
        let mut moved = found(&[rule], &[OTHER, rule], text);
        for found in &mut moved {
            found.rule -= 1;
        }
        assert_eq!(moved, stays, "{query}: another rule came");
        assert_eq!(found(&[OTHER, rule], &[rule], text), stays, "{query}: another rule went");
    }
}

#[test]
fn a_rule_that_changed_begins_anew() {
    let changed = (Dialect::Elastic, "sequence by process.pid with maxspan=1h [a] [b]");
    assert_eq!(found(&[SEQUENCE], &[changed], "a b"), []);
    let (one, two) =
        ("sequence [a] [any where f.one == null]", "sequence [a] [any where f.two == null]");
    let (one, two) = ((Dialect::Elastic, one), (Dialect::Elastic, two));
    assert_eq!(found(&[one], &[one], "a b").len(), 1, "the control");
    assert_eq!(found(&[one], &[two], "a b"), [], "the fields have the same number");
}

#[test]
fn the_secret_of_join_keys_decides_nothing() {
    let rules = [
        (Dialect::Elastic, "sequence by process.pid [a] [b]"),
        (Dialect::Elastic, "sequence by process.pid with maxspan=9s [a] [b] ![x]"),
        (Dialect::Elastic, "sample by process.pid [a] [b]"),
        (Dialect::Classic, "any where true | count process.pid"),
    ];
    let text = "a1,2,3 b3,1,2 a4,5,6,7 b6,4,7,5 x4";
    // So few have room that some are given up.
    for partials_per_rule in [3, 1_000] {
        let run = |seed: u64| {
            let limits = Limits { partials_per_rule, seed, ..Limits::default() };
            let mut detector = Detector::new(program(&rules), limits);
            let mut found = Vec::new();
            for event in events(text) {
                detector.push(&event, &mut found);
            }
            detector.tick(100 * S, &mut found);
            detector.finish(&mut found);
            found
        };
        let first = run(0);
        assert!(first.len() > 8, "{first:?}");
        for seed in 1..50 {
            assert_eq!(run(seed), first, "seed {seed}, {partials_per_rule} a rule");
        }
    }
}
