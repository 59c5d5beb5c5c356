//! The order of events: statement 24.

use std::io::Write;

use crate::input::{Lines, Names, Order, Ordered};

/// Positions of these lines in the order in which rules see them.
fn order(lines: &[&str]) -> Vec<u64> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(lines.join("\n").as_bytes()).unwrap();
    let names = std::sync::Arc::new(Names::new(&[], |_| true));
    let mut events = Ordered::new(Lines::open(file.path()).unwrap(), names, Order::Time(100));
    let mut all = Vec::new();
    while let Some(placed) = events.next().unwrap() {
        all.push(placed.position);
    }
    all
}

#[test]
fn s24_time_comes_before_sequence_before_place() {
    let first = r#"{"@timestamp":"2024-01-01T00:00:00.000000002Z","event.sequence":1}"#;
    let second = r#"{"@timestamp":"2024-01-01T00:00:00.000000001Z","event.sequence":2}"#;
    assert_eq!(order(&[first, second]), [2, 1], "one nanosecond decides, not the sequence");
    let of = |sequence: &str| format!(r#"{{"@timestamp":5,"event":{{"sequence":{sequence}}}}}"#);
    assert_eq!(order(&[&of("9"), &of("10"), &of("3")]), [3, 1, 2], "by number, not by text");
    assert_eq!(order(&[&of("3"), &of("3")]), [1, 2]);
}

#[test]
fn s24_what_has_no_sequence_comes_after_what_has_one() {
    let none = r#"{"@timestamp":5}"#;
    let null = r#"{"@timestamp":5,"event.sequence":null}"#;
    let one = r#"{"@timestamp":5,"event.sequence":1}"#;
    assert_eq!(order(&[none, null, one]), [3, 1, 2]);
}
