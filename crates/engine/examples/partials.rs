//! How much memory open partial matches take: 400,000 of them over 100 sequence rules, then none
//! after their window.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example for people")]

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
const SPAN_NS: u64 = 60_000_000_000;

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
    let steps = vec![step(number), step(-1)];
    Rule {
        meta: RuleMeta { id: number.to_string(), ..RuleMeta::default() },
        logic: Logic::Complement,
        query: Query::Sequence(Sequence {
            steps,
            disjoint: false,
            until: None,
            maxspan: Some(SPAN_NS),
        }),
        pipes: Vec::new(),
    }
}

/// Resident memory in megabytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0u64) * 4096 / 1_000_000
}

fn main() -> Result<(), engine::eval::CompileError> {
    let program = Program { rules: (0..RULES).map(rule).collect(), ..Program::default() };
    let compiled = Arc::new(Compiled::new(Arc::new(program))?);
    let mut detector = Detector::new(compiled, Limits::default());
    let before = resident();
    let mut found = Vec::new();
    for number in 0..RULES * KEYS {
        let (action, key) = (number % RULES, number / RULES);
        let number = number.unsigned_abs();
        detector.push(&Seen { number, action, key }, &mut found);
    }
    println!("{} partials: {} MB", detector.partials(), resident() - before);
    detector.tick(2 * 60_000_000_000, &mut found);
    println!("{} partials after their window", detector.partials());
    Ok(())
}
