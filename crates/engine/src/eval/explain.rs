//! Why a filter holds for an event, or does not.

use model::field::{self, FieldId};
use model::program::{Expr, Filter, Logic, Scalar, Test};
use model::value::{Fields, Value};

use super::build::Builder;
use super::predicate::Check;
use super::{Alone, Compiled, Env, Scratch};

/// A test that decided the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blame {
    /// The field that it is about.
    pub field: FieldId,
    /// Whether the field satisfies the test.
    pub satisfied: bool,
}

impl Compiled {
    /// The tests that decide whether the first filter of the rule holds for the event, in the order
    /// of the rule: had one of them come out differently, the result might have too.
    pub fn explain(&self, rule: usize, event: &dyn Fields) -> Vec<Blame> {
        let Some(rule) = self.program.rules.get(rule) else { return Vec::new() };
        rule.filters().next().map_or_else(Vec::new, |filter| blame(filter, rule.logic, event))
    }
}

/// The tests that decide whether a filter holds for an event.
pub fn blame(filter: &Filter, logic: Logic, event: &dyn Fields) -> Vec<Blame> {
    let mut blamed = Vec::new();
    if !category(filter, event) {
        return vec![Blame { field: field::EVENT_CATEGORY, satisfied: false }];
    }
    decide(&filter.condition, logic, event, &mut blamed);
    let mut seen = Vec::new();
    blamed.retain(|blame| {
        let new = !seen.contains(blame);
        seen.push(*blame);
        new
    });
    blamed
}

/// The value of any condition by itself: what `explain` shows of its parts.
pub fn value_of(condition: &Expr, logic: Logic, event: &dyn Fields) -> Option<bool> {
    let mut builder = Builder::default();
    // Compiled before as part of the program, so it does compile.
    let node = builder.node(condition).ok()?;
    let compiled = builder.finish();
    let mut scratch = Scratch::default();
    compiled.begin(&mut scratch);
    let env = Env { event, context: &Alone, three: logic == Logic::ThreeValued };
    compiled.truth(&node, env, None, &mut scratch)
}

/// A condition with what scripts answered in the place of the questions; what was not asked counts
/// as answered no.
pub fn answered(condition: &Expr, answer: &dyn Fn(&Expr) -> Option<bool>) -> Expr {
    let each = |parts: &[Expr]| parts.iter().map(|part| answered(part, answer)).collect();
    match condition {
        Expr::And(parts) => Expr::And(each(parts)),
        Expr::Or(parts) => Expr::Or(each(parts)),
        Expr::Not(inner) => Expr::Not(Box::new(answered(inner, answer))),
        Expr::Script { .. } => Expr::Const(answer(condition).unwrap_or(false)),
        other => other.clone(),
    }
}

/// Whether the event has the category of the filter.
fn category(filter: &Filter, event: &dyn Fields) -> bool {
    filter.category.as_ref().is_none_or(|name| {
        event.get(field::EVENT_CATEGORY).each().any(|one| one == Value::str(name))
    })
}

fn test(field: FieldId, test: &Test, event: &dyn Fields) -> bool {
    Check::new(test).is_ok_and(|check| check.any(event.get(field)))
}

/// The value of a condition; the tests that decided it are added.
fn decide(condition: &Expr, logic: Logic, event: &dyn Fields, blamed: &mut Vec<Blame>) -> bool {
    match condition {
        Expr::Const(value) => *value,
        Expr::Not(inner) => !decide(inner, logic, event, blamed),
        Expr::And(parts) => decide_all(parts, logic, event, blamed, false),
        Expr::Or(parts) => decide_all(parts, logic, event, blamed, true),
        Expr::Test(field, tested) => {
            let satisfied = test(*field, tested, event);
            blamed.push(Blame { field: *field, satisfied });
            satisfied
        }
        Expr::Computed(..)
        | Expr::Compare { .. }
        | Expr::Truth(_)
        | Expr::Lineage(..)
        | Expr::Script { .. } => {
            let satisfied = value_of(condition, logic, event) == Some(true);
            condition.walk(&mut |scalar| {
                if let Scalar::Field(field) = scalar {
                    blamed.push(Blame { field: *field, satisfied });
                }
            });
            satisfied
        }
    }
}

/// If an operand has the decisive value, those that have it are to blame, else all.
fn decide_all(
    parts: &[Expr],
    logic: Logic,
    event: &dyn Fields,
    blamed: &mut Vec<Blame>,
    decisive: bool,
) -> bool {
    let (mut decided, mut others) = (Vec::new(), Vec::new());
    let mut found = false;
    for part in parts {
        let mut own = Vec::new();
        if decide(part, logic, event, &mut own) == decisive {
            found = true;
            decided.append(&mut own);
        } else {
            others.append(&mut own);
        }
    }
    blamed.append(if found { &mut decided } else { &mut others });
    found == decisive
}
