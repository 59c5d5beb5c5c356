//! Conditions between searches.

use serde_json::{Value, json};

use super::{matched, refused, rule};

/// Starts with the command lines `a`, `b`, `ab` and `c`.
fn events() -> Vec<Value> {
    ["a", "b", "ab", "c"].iter().map(|line| json!({ "process.command_line": line })).collect()
}

const SEARCHES: &str = "  x1:\n    CommandLine|contains: a\n  x2:\n    CommandLine|contains: b\n  \
                        y:\n    CommandLine: c\n  _z:\n    CommandLine: c\n";

#[track_caller]
fn of(condition: &str) -> Vec<u64> {
    matched(&format!("{SEARCHES}  condition: {condition}"), &events())
}

#[test]
fn and_or_and_not_bind_as_everywhere() {
    assert_eq!(of("x1 and x2"), [3]);
    assert_eq!(of("x1 or x2"), [1, 2, 3]);
    assert_eq!(of("not x1"), [2, 4]);
    assert_eq!(of("y or x1 and x2"), [3, 4]);
    assert_eq!(of("(y or x1) and x2"), [3]);
    assert_eq!(of("not (x1 or x2)"), [4]);
    assert_eq!(of("x1 and not x2"), [1]);
}

#[test]
fn not_is_the_complement_also_where_the_field_is_absent() {
    let events = [json!({}), json!({ "process.command_line": "a" })];
    assert_eq!(matched("  x:\n    CommandLine: a\n  condition: not x", &events), [1]);
}

#[test]
fn one_of_and_all_of_go_by_pattern_and_them_leaves_out_underscores() {
    assert_eq!(of("1 of x*"), [1, 2, 3]);
    assert_eq!(of("any of x*"), [1, 2, 3]);
    assert_eq!(of("all of x*"), [3]);
    assert_eq!(of("2 of x*"), [3]);
    assert_eq!(of("x1 and not 1 of x2*"), [1]);
    assert_eq!(of("1 of them"), [1, 2, 3, 4]);
    assert_eq!(of("all of them"), [0_u64; 0]);
    assert_eq!(of("1 of _*"), [4]);
}

#[test]
fn a_list_of_conditions_means_any() {
    let detection = format!("{SEARCHES}  condition:\n    - x1 and x2\n    - y");
    assert_eq!(matched(&detection, &events()), [3, 4]);
}

#[test]
fn a_condition_on_what_is_not_there_is_refused() {
    let of = |condition: &str| {
        refused(&rule("category: process_creation", &format!("{SEARCHES}  condition: {condition}")))
    };
    assert!(of("x1 and nope").contains("`nope`"));
    assert!(of("1 of q*").contains("`q*`"));
    assert!(of("4 of x*").contains("4 of 2"));
    let counted = refused(&rule(
        "category: process_creation",
        &format!("{SEARCHES}  timeframe: 5m\n  condition: x1"),
    ));
    assert!(counted.contains("correlation"), "{counted}");
}
