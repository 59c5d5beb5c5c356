//! Statements 18 to 29 of the language, each by name, and the bounds.
#![expect(
    clippy::cast_possible_wrap,
    clippy::needless_for_each,
    reason = "numbers of tests are small"
)]

use std::sync::Arc;

use model::field::{self, FieldId};
use model::program::{
    Correlation, CorrelationKind, Expr, Filter, Key, Literal, Logic, Order, Program, Query, Rule,
    RuleMeta, Scalar, Sequence, Step, Test,
};
use model::value::{Fields, List, Value};

use super::*;
use crate::eval::Compiled;

const S: i64 = 1_000_000_000;

/// An event: its name, its keys, its time in seconds.
#[derive(Debug, Clone)]
struct Ev {
    number: u64,
    time: i64,
    name: String,
    keys: Vec<Value<'static>>,
    program: &'static str,
}

impl Fields for Ev {
    fn get(&self, field: FieldId) -> Value<'_> {
        match field {
            field::EVENT_ACTION => Value::str(&self.name),
            field::PROCESS_PID if self.keys.is_empty() => Value::Null,
            field::PROCESS_PID => Value::List(List::Values(&self.keys)),
            field::PROCESS_NAME => Value::str(self.program),
            _ => Value::Null,
        }
    }
}

impl Event for Ev {
    fn number(&self) -> u64 {
        self.number
    }

    fn time(&self) -> i64 {
        self.time
    }

    fn identity(&self) -> u64 {
        self.number + 1000
    }
}

fn ev(number: u64, name: &str, key: i64, seconds: i64) -> Ev {
    let keys = vec![Value::Int(key)];
    Ev { number, time: seconds * S, name: name.to_owned(), keys, program: "p" }
}

fn is(name: &str) -> Expr {
    if name == "*" {
        return Expr::Const(true);
    }
    let any = vec![Literal::Str(name.as_bytes().to_vec())];
    Expr::Test(field::EVENT_ACTION, Test::Equals { any, fold: false })
}

/// `a`, `!a` for a missing step, `a?` for an optional key.
fn step(text: &str) -> Step {
    let name = text.trim_start_matches('!');
    let optional = name.ends_with('?');
    let condition = is(name.trim_end_matches('?'));
    let value = Scalar::Field(field::PROCESS_PID);
    Step {
        filter: Filter { category: None, condition },
        by: vec![Key { value, optional }],
        missing: text.starts_with('!'),
        fork: false,
    }
}

fn rule(id: &str, query: Query) -> Rule {
    let meta = RuleMeta { id: id.to_owned(), ..RuleMeta::default() };
    Rule { meta, logic: Logic::Complement, query, pipes: Vec::new() }
}

fn sequence(steps: &[&str], maxspan: Option<u64>, until: Option<&str>) -> Rule {
    let steps = steps.iter().copied().map(step).collect();
    let maxspan = maxspan.map(|seconds| seconds * 1_000_000_000);
    rule("s", Query::Sequence(Sequence { steps, disjoint: false, until: until.map(step), maxspan }))
}

fn detector(rules: Vec<Rule>, limits: Limits) -> Detector {
    let program = Program { rules, ..Program::default() };
    Detector::new(Arc::new(Compiled::new(Arc::new(program)).unwrap()), limits)
}

fn run(rules: Vec<Rule>, events: &[Ev]) -> Vec<Vec<u64>> {
    let mut detector = detector(rules, Limits::default());
    let mut found = Vec::new();
    events.iter().for_each(|event| detector.push(event, &mut found));
    detector.finish(&mut found);
    found.into_iter().map(|found| found.members.to_vec()).collect()
}

/// Events named by single letters, one a second, all with key 1.
fn letters(text: &str) -> Vec<Ev> {
    let each = text.chars().enumerate();
    each.map(|(at, name)| ev(at as u64 + 1, &name.to_string(), 1, at as i64)).collect()
}

#[test]
fn s18_a_newer_partial_replaces_the_older() {
    assert_eq!(run(vec![sequence(&["a", "b"], None, None)], &letters("aab")), [[2, 3]]);
}

#[test]
fn s19_one_event_ends_one_sequence_and_begins_the_next() {
    let rules = vec![sequence(&["*", "*"], None, None)];
    assert_eq!(run(rules, &letters("xxx")), [[1, 2], [2, 3]]);
}

#[test]
fn s20_a_rejected_event_consumes_the_partial() {
    let rules = vec![sequence(&["a", "b", "c"], Some(3), None)];
    let mut events = letters("abcc");
    events[2].time = 9 * S;
    events[3].time = 3 * S;
    assert_eq!(run(rules, &events), Vec::<Vec<u64>>::new());
}

#[test]
fn s21_maxspan_is_inclusive() {
    let at = |seconds| {
        let events = [ev(1, "a", 1, 0), ev(2, "b", 1, seconds)];
        run(vec![sequence(&["a", "b"], Some(5), None)], &events).len()
    };
    assert_eq!((at(5), at(6)), (1, 0));
}

#[test]
fn s22_until_kills_between_but_not_at_the_end() {
    let until = |text| run(vec![sequence(&["a", "b"], None, Some("u"))], &letters(text)).len();
    assert_eq!((until("aub"), until("ab"), until("uab")), (0, 1, 1));
    let same = run(vec![sequence(&["a", "b"], None, Some("b"))], &letters("ab"));
    assert_eq!(same, [[1, 2]], "until at the last member does not matter");
    let first = run(vec![sequence(&["a", "b"], None, Some("a"))], &letters("ab"));
    assert!(first.is_empty(), "until at an earlier member kills");
}

#[test]
fn s23_runs_of_one_step_do_not_overlap() {
    assert_eq!(run(vec![sequence(&["a"; 3], None, None)], &letters("aaaaaaa")).len(), 5);
}

#[test]
fn s25_absent_keys_leave_out_unless_optional() {
    let mut events = letters("ab");
    events.iter_mut().for_each(|event| event.keys.clear());
    assert!(run(vec![sequence(&["a", "b"], None, None)], &events).is_empty());
    assert_eq!(run(vec![sequence(&["a?", "b?"], None, None)], &events), [[1, 2]]);
    let other = [ev(1, "a", 1, 0), ev(2, "b", 2, 1)];
    assert!(run(vec![sequence(&["a", "b"], None, None)], &other).is_empty());
}

#[test]
fn s26_each_distinct_value_of_an_array_is_a_key() {
    let mut events = [ev(1, "a", 1, 0), ev(2, "b", 2, 1), ev(3, "b", 1, 2)];
    events[0].keys = vec![Value::Int(1), Value::Int(2), Value::Int(1)];
    assert_eq!(run(vec![sequence(&["a", "b"], None, None)], &events), [[1, 2], [1, 3]]);
}

#[test]
fn s28_missing_in_the_middle() {
    let middle = |text| run(vec![sequence(&["a", "!x", "b"], Some(9), None)], &letters(text)).len();
    assert_eq!((middle("ab"), middle("axb"), middle("xab"), middle("abx")), (1, 0, 1, 1));
    let mut tie = letters("axb");
    tie[1].time = tie[2].time;
    assert_eq!(run(vec![sequence(&["a", "!x", "b"], Some(9), None)], &tie).len(), 1, "strictly");
}

#[test]
fn s28_missing_before() {
    let at = |seconds| {
        let events = [ev(1, "x", 1, 0), ev(2, "a", 1, seconds), ev(3, "b", 1, seconds + 1)];
        run(vec![sequence(&["!x", "a", "b"], Some(5), None)], &events).len()
    };
    assert_eq!((at(1), at(4), at(5)), (0, 0, 1), "counted from the last member");
}

#[test]
fn s28_missing_after_is_decided_by_event_time() {
    let rules = || vec![sequence(&["a", "b", "!x"], Some(5), None)];
    let mut detector = detector(rules(), Limits::default());
    let mut found = Vec::new();
    for event in [ev(1, "a", 1, 0), ev(2, "b", 1, 1)] {
        detector.push(&event, &mut found);
    }
    detector.tick(5 * S, &mut found);
    assert!(found.is_empty(), "it may still happen");
    detector.tick(5 * S + 1, &mut found);
    assert_eq!(found.len(), 1, "no event had to come");
    let at = |seconds| {
        let events = [ev(1, "a", 1, 0), ev(2, "b", 1, 1), ev(3, "x", 1, seconds)];
        run(rules(), &events).len()
    };
    assert_eq!((at(5), at(6)), (0, 1), "counted from the first member");
}

#[test]
fn s28_missing_on_both_sides() {
    let at = |before: Option<i64>, after: Option<i64>| {
        let mut events = vec![ev(2, "a", 1, 10), ev(3, "b", 1, 11)];
        before.into_iter().for_each(|time| events.insert(0, ev(1, "x", 1, time)));
        after.into_iter().for_each(|time| events.push(ev(4, "x", 1, time)));
        run(vec![sequence(&["!x", "a", "b", "!x"], Some(5), None)], &events).len()
    };
    assert_eq!((at(None, Some(12)), at(Some(9), None)), (1, 1), "absent on one side");
    assert_eq!((at(Some(9), Some(14)), at(Some(9), Some(15))), (0, 1), "further apart");
}

#[test]
fn s29_samples_are_in_any_order_and_one_for_each_key() {
    let sample = |text| {
        let steps = ["a", "b"].map(step).to_vec();
        run(vec![rule("s", Query::Sample(steps))], &letters(text))
    };
    assert_eq!(sample("baab"), [[2, 1]]);
    let twice = run(vec![rule("s", Query::Sample(["*", "*"].map(step).to_vec()))], &letters("x"));
    assert!(twice.is_empty(), "no event stands for two filters");
}

#[test]
fn correlations_count_within_their_window() {
    let correlation = |kind, condition| {
        let query = Query::Correlation(Correlation {
            kind,
            rules: vec![0],
            group_by: vec![Vec::new()],
            timespan: 5_000_000_000,
            condition,
        });
        let mut base = rule("base", Query::Event(Filter { category: None, condition: is("a") }));
        base.meta.silent = true;
        vec![base, rule("c", query)]
    };
    let many = || correlation(CorrelationKind::EventCount, vec![(Order::GreaterEqual, 3)]);
    assert_eq!(run(many(), &letters("abaa")), [[1, 3, 4]]);
    assert!(run(many(), &letters("aabbbba")).is_empty(), "too far apart");
    let kind = CorrelationKind::ValueCount(field::PROCESS_PID);
    let values = || correlation(kind.clone(), vec![(Order::GreaterEqual, 2)]);
    assert!(run(values(), &letters("aaaa")).is_empty(), "one value");
    assert_eq!(run(values(), &[ev(1, "a", 1, 0), ev(2, "a", 2, 1)]), [[1, 2]]);
}

#[test]
fn partials_are_freed_after_their_window() {
    let mut detector = detector(vec![sequence(&["a", "b"], Some(60), None)], Limits::default());
    let mut found = Vec::new();
    (1..10_000).for_each(|n| detector.push(&ev(n, "a", n as i64, 0), &mut found));
    assert_eq!(detector.partials(), 9_999);
    detector.tick(62 * S, &mut found);
    assert_eq!(detector.partials(), 0);
}
