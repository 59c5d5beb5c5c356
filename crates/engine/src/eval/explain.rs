//! Why a rule matched an event, or did not.

use model::field::{self, FieldId};
use model::program::{Expr, Literal, Rule, Test};
use model::value::Fields;

use super::Compiled;
use super::predicate::Check;

/// A test that decided the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blame {
    /// The field that it is about.
    pub field: FieldId,
    /// Whether the field satisfies the test.
    pub satisfied: bool,
}

impl Compiled {
    /// The tests that decide whether the rule matches the event, in the order of the rule: had one
    /// of them come out differently, the result might have too.
    pub fn explain(&self, rule: usize, event: &dyn Fields) -> Vec<Blame> {
        let mut blamed = Vec::new();
        let Some(rule) = self.program.rules.get(rule) else { return blamed };
        if !category(rule, event) {
            return vec![Blame { field: field::EVENT_CATEGORY, satisfied: false }];
        }
        decide(&rule.condition, event, &mut blamed);
        let mut seen = Vec::new();
        blamed.retain(|blame| {
            let new = !seen.contains(blame);
            seen.push(*blame);
            new
        });
        blamed
    }
}

/// Whether the event has the category of the rule.
fn category(rule: &Rule, event: &dyn Fields) -> bool {
    let Some(name) = &rule.category else { return true };
    let any = vec![Literal::Str(name.clone().into_bytes())];
    test(field::EVENT_CATEGORY, &Test::Equals { any, fold: false }, event)
}

fn test(field: FieldId, test: &Test, event: &dyn Fields) -> bool {
    // Compiled before as part of the program, so it does compile.
    Check::new(test).is_ok_and(|check| event.get(field).each().any(|value| check.holds(value)))
}

/// The value of a condition; the tests that decided it are added.
fn decide(condition: &Expr, event: &dyn Fields, blamed: &mut Vec<Blame>) -> bool {
    match condition {
        Expr::Const(value) => *value,
        Expr::Not(inner) => !decide(inner, event, blamed),
        Expr::And(parts) => decide_all(parts, event, blamed, false),
        Expr::Or(parts) => decide_all(parts, event, blamed, true),
        Expr::Test(field, tested) => {
            let satisfied = test(*field, tested, event);
            blamed.push(Blame { field: *field, satisfied });
            satisfied
        }
    }
}

/// If an operand has the decisive value, those that have it are to blame, else all.
fn decide_all(parts: &[Expr], event: &dyn Fields, blamed: &mut Vec<Blame>, decisive: bool) -> bool {
    let (mut decided, mut others) = (Vec::new(), Vec::new());
    let mut found = false;
    for part in parts {
        let mut own = Vec::new();
        if decide(part, event, &mut own) == decisive {
            found = true;
            decided.append(&mut own);
        } else {
            others.append(&mut own);
        }
    }
    blamed.append(if found { &mut decided } else { &mut others });
    found == decisive
}
