//! Correlations: each kind where it fires and where it does not.

use serde_json::{Value, json};

use super::{Alert, refused, run};

/// Two rules about command lines.
const RULES: &str = "\
title: One
id: one
name: first
logsource: {product: linux, category: process_creation}
detection:
  s:
    CommandLine: one
  condition: s
---
title: Two
id: two
logsource: {product: linux, category: process_creation}
detection:
  s:
    CommandLine: two
  condition: s
---
";

/// A correlation `c`; what it says is indented by two.
fn rules(correlation: &str) -> String {
    format!("{RULES}title: C\nid: c\ncorrelation:\n{correlation}\n")
}

/// Starts at these seconds, of these users, with these command lines.
fn events(all: &[(u32, &str, &str)]) -> Vec<Value> {
    let event = |(second, user, line): &(u32, &str, &str)| {
        json!({
            "@timestamp": format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60),
            "event.category": "process", "event.type": "start", "event.action": "exec",
            "user.name": user, "process.parent.name": user, "process.command_line": line,
            "process.pid": second,
        })
    };
    all.iter().map(event).collect()
}

/// All alerts, also those of rules that no correlation names.
#[track_caller]
fn all_alerts(correlation: &str, all: &[(u32, &str, &str)]) -> Vec<Alert> {
    let (alerts, err) = run(&rules(correlation), &events(all));
    assert!(!err.contains("error"), "{err}");
    alerts
}

/// Those of the correlation and of the rule `one`.
#[track_caller]
fn alerts(correlation: &str, all: &[(u32, &str, &str)]) -> Vec<Alert> {
    let mut alerts = all_alerts(correlation, all);
    alerts.retain(|(rule, _)| rule != "two");
    alerts
}

fn c(members: &[u64]) -> Alert {
    ("c".to_owned(), members.to_vec())
}

const COUNT: &str = "  type: event_count\n  rules: [one]\n  group-by: [User]\n  timespan: 1m\n  \
                     condition: {gte: 3}";

#[test]
fn event_count_counts_within_the_timespan() {
    let three = [(0, "a", "one"), (30, "a", "one"), (59, "a", "one")];
    assert_eq!(alerts(COUNT, &three), [c(&[1, 2, 3])]);
    let late = [(0, "a", "one"), (30, "a", "one"), (61, "a", "one")];
    assert_eq!(alerts(COUNT, &late), []);
    let slides = [(0, "a", "one"), (30, "a", "one"), (61, "a", "one"), (80, "a", "one")];
    assert_eq!(alerts(COUNT, &slides), [c(&[2, 3, 4])]);
    let other = [(0, "a", "one"), (1, "a", "two"), (2, "a", "one")];
    assert_eq!(alerts(COUNT, &other), [], "another rule does not count");
}

#[test]
fn group_by_keeps_groups_apart_and_without_it_there_is_one() {
    let mixed = [(0, "a", "one"), (1, "b", "one"), (2, "a", "one"), (3, "b", "one")];
    assert_eq!(alerts(COUNT, &mixed), []);
    let together = COUNT.replace("  group-by: [User]\n", "");
    assert_eq!(alerts(&together, &mixed), [c(&[1, 2, 3])]);
    let mut more = mixed.to_vec();
    more.push((4, "b", "one"));
    assert_eq!(alerts(COUNT, &more), [c(&[2, 4, 5])]);
}

#[test]
fn comparisons_of_counts_are_run() {
    let of = |condition: &str| {
        let all = [(0, "a", "one"), (1, "a", "one"), (200, "b", "two")];
        alerts(&COUNT.replace("gte: 3", condition), &all).len()
    };
    assert_eq!((of("gte: 2"), of("gt: 1"), of("gt: 2"), of("eq: 2")), (1, 1, 0, 1));
    assert_eq!((of("lt: 3"), of("lte: 1"), of("eq: 1")), (1, 0, 0), "when the window is over");
}

#[test]
fn value_count_counts_different_values() {
    let count = "  type: value_count\n  rules: [one]\n  group-by: [User]\n  timespan: 1m\n  \
                 condition: {field: ProcessId, gte: 3}";
    let three = [(0, "a", "one"), (1, "a", "one"), (2, "a", "one")];
    assert_eq!(alerts(count, &three), [c(&[1, 2, 3])], "three process ids");
    let one = count.replace("ProcessId", "CommandLine");
    assert_eq!(alerts(&one, &three), [], "three times the same line");
}

#[test]
fn temporal_asks_for_all_rules_in_any_order() {
    let temporal = "  type: temporal\n  rules: [one, two]\n  group-by: [User]\n  timespan: 1m";
    assert_eq!(alerts(temporal, &[(0, "a", "two"), (5, "a", "one")]), [c(&[1, 2])]);
    assert_eq!(alerts(temporal, &[(0, "a", "one"), (5, "a", "two")]), [c(&[1, 2])]);
    assert_eq!(alerts(temporal, &[(0, "a", "one"), (5, "b", "two")]), [], "two groups");
    assert_eq!(alerts(temporal, &[(0, "a", "one"), (61, "a", "two")]), [], "too late");
    assert_eq!(alerts(temporal, &[(0, "a", "one"), (5, "a", "one")]), [], "one rule twice");
}

#[test]
fn temporal_ordered_asks_for_the_order_of_the_list() {
    let ordered =
        "  type: temporal_ordered\n  rules: [one, two]\n  group-by: [User]\n  timespan: 1m";
    assert_eq!(alerts(ordered, &[(0, "a", "one"), (5, "a", "two")]), [c(&[1, 2])]);
    assert_eq!(alerts(ordered, &[(0, "a", "two"), (5, "a", "one")]), []);
    assert_eq!(alerts(ordered, &[(0, "a", "one"), (61, "a", "two")]), [], "too late");
    assert_eq!(alerts(ordered, &[(0, "a", "one"), (5, "b", "two")]), [], "two groups");
}

#[test]
fn aliases_name_one_key_in_the_words_of_each_rule() {
    let aliases = "  type: temporal\n  rules: [one, two]\n  group-by: [who]\n  timespan: 1m\n  \
                   aliases:\n    who:\n      one: User\n      two: CommandLine";
    assert_eq!(alerts(aliases, &[(0, "two", "one"), (5, "a", "two")]), [c(&[1, 2])]);
    assert_eq!(alerts(aliases, &[(0, "a", "one"), (5, "a", "two")]), [], "the control");
}

#[test]
fn generate_lets_the_rules_alert_too() {
    let both = [(0, "a", "one"), (5, "a", "two")];
    let temporal = "  type: temporal\n  rules: [one, two]\n  timespan: 1m";
    assert_eq!(all_alerts(temporal, &both), [c(&[1, 2])], "they are silent");
    let mut loud = all_alerts(&format!("{temporal}\n  generate: true"), &both);
    loud.sort();
    assert_eq!(loud, [c(&[1, 2]), ("one".to_owned(), vec![1]), ("two".to_owned(), vec![2])]);
}

#[test]
fn rules_are_named_by_id_or_name_and_a_correlation_may_name_another() {
    let named = COUNT.replace("[one]", "[first]").replace("gte: 3", "gte: 1");
    assert_eq!(alerts(&named, &[(0, "a", "one")]), [c(&[1])]);
    let text = format!(
        "{}---\ntitle: D\nid: d\ncorrelation:\n  type: temporal\n  rules: [c, two]\n  timespan: 5m\n",
        rules(&named)
    );
    let (alerts, err) = run(&text, &events(&[(0, "a", "one"), (100, "a", "two")]));
    assert_eq!((alerts.len(), err.contains("error")), (1, false), "{err}");
    assert_eq!(alerts[0].0, "d");
}

#[test]
fn what_is_not_run_says_why() {
    let of = |correlation: &str| refused(&rules(correlation));
    assert!(of(&COUNT.replace("[one]", "[nobody]")).contains("`nobody`"));
    assert!(of(&COUNT.replace("gte: 3", "neq: 3")).contains("`neq`"));
    let two = "  type: value_count\n  rules: [one, two]\n  timespan: 1m\n  aliases:\n    x:\n      \
               one: User\n      two: CommandLine\n  condition: {field: x, gte: 2}";
    assert!(of(two).contains("not the same field"));
    let aliases = "  type: temporal\n  rules: [one, two]\n  group-by: [x]\n  timespan: 1m\n  \
                   aliases:\n    x:\n      one: User";
    assert!(of(aliases).contains("says nothing about the rule `two`"));
}
