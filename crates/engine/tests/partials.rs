//! How much memory open partial matches take: 400,000 of them over 100 sequence rules stay under
//! 200 MB, and none is left after their window. A test of its own, so that nothing else in the
//! process counts.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use engine::eval::Compiled;
use engine::{Detector, Event, Limits};
use model::field::{self, FieldId};
use model::program::{
    Expr, Filter, Key, Literal, Logic, Program, Query, Rule, RuleMeta, Scalar, Sequence, Step, Test,
};
use model::value::{Fields, Value};

const RULES: i64 = 100;
const KEYS: i64 = 4_000;
const SPAN_NS: i64 = 60_000_000_000;
/// Resident memory that they may take, in bytes.
const BOUND: u64 = 200_000_000;

struct Seen {
    number: u64,
    action: i64,
    key: i64,
}

impl Fields for Seen {
    fn get(&self, field: FieldId) -> Value<'_> {
        match field {
            field::PROCESS_PID => Value::Int(self.action),
            field::PROCESS_PARENT_PID => Value::Int(self.key),
            _ => Value::Null,
        }
    }
}

impl Event for Seen {
    fn number(&self) -> u64 {
        self.number
    }

    fn time(&self) -> i64 {
        0
    }

    fn identity(&self) -> u64 {
        self.number
    }
}

fn rule(number: i64) -> Rule {
    let step = |literal| Step {
        filter: Filter {
            category: None,
            condition: Expr::Test(
                field::PROCESS_PID,
                Test::Equals { any: vec![Literal::Int(literal)], fold: false },
            ),
        },
        by: vec![Key { value: Scalar::Field(field::PROCESS_PARENT_PID), optional: false }],
        missing: false,
        fork: false,
    };
    let maxspan = Some(SPAN_NS.unsigned_abs());
    let steps = vec![step(number), step(-1)];
    Rule {
        meta: RuleMeta { id: number.to_string(), ..RuleMeta::default() },
        logic: Logic::Complement,
        query: Query::Sequence(Sequence { steps, disjoint: false, until: None, maxspan }),
        pipes: Vec::new(),
    }
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn partial_matches_of_many_rules_stay_under_their_bound_and_are_freed() {
    let program = Program { rules: (0..RULES).map(rule).collect(), ..Program::default() };
    let compiled = Arc::new(Compiled::new(Arc::new(program)).unwrap());
    let mut detector = Detector::new(compiled, Limits::default());
    let before = resident();
    let mut found = Vec::new();
    for number in 0..RULES * KEYS {
        let (action, key) = (number % RULES, number / RULES);
        let number = number.unsigned_abs();
        detector.push(&Seen { number, action, key }, &mut found);
    }
    let taken = resident().saturating_sub(before);
    println!("{} partial matches: {} MB", detector.partials(), taken / 1_000_000);
    assert_eq!(detector.partials(), 400_000, "none was given up");
    assert!(taken < BOUND, "{taken} bytes");
    detector.tick(SPAN_NS, &mut found);
    assert_eq!(detector.partials(), 400_000, "the window is inclusive");
    detector.tick(SPAN_NS + 1_000_000_000, &mut found);
    assert_eq!((detector.partials(), detector.held()), (0, 0), "all are over");
    assert!(found.is_empty());
}
