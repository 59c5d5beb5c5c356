//! Conditions that contradict themselves, or that nothing can fail.

use model::field::{self, FieldId, FieldType};
use model::pattern;
use model::program::{Expr, Literal, Order, Place, Test};

use super::{Look, flatten};
use crate::diagnostic::Code;
use crate::fmt::{expression, field_name};

/// Looks at a condition and all that is in it.
pub(super) fn check(condition: &Expr, look: &mut Look<'_>) {
    if let Some(id) = contradicted(condition, true) {
        report(Code::NeverMatches, condition, id, look);
        return;
    }
    inner(condition, look);
}

fn inner(expr: &Expr, look: &mut Look<'_>) {
    match expr {
        Expr::And(all) => all.iter().for_each(|one| part(one, look)),
        Expr::Or(any) => {
            if let Some(id) = contradicted(expr, false) {
                report(Code::AlwaysTrue, expr, id, look);
                return;
            }
            for one in any {
                part(one, look);
            }
        }
        Expr::Not(negated) => part(negated, look),
        _ => {}
    }
}

fn part(expr: &Expr, look: &mut Look<'_>) {
    match contradicted(expr, true) {
        Some(id) => report(Code::NeverTrue, expr, id, look),
        None => inner(expr, look),
    }
}

fn report(code: Code, expr: &Expr, id: FieldId, look: &mut Look<'_>) {
    let name = field_name(id, look.program).to_owned();
    let message = match code {
        Code::AlwaysTrue => format!("nothing fails these tests of `{name}` together"),
        _ => format!("no value of `{name}` satisfies all that is asked of it"),
    };
    let mut text = expression(expr, look.program);
    if text.len() > MAX_SHOWN {
        text.truncate(text.floor_char_boundary(MAX_SHOWN));
        text.push('…');
    }
    let finding = look.push(code, message, &name);
    finding.help = match code {
        Code::AlwaysTrue => format!("`{text}`: perhaps `and` is meant"),
        _ => format!("`{text}`: perhaps `or` is meant"),
    };
}

/// Bytes of a sub-expression in a message.
const MAX_SHOWN: usize = 200;

/// The field of which the operands of a conjunction (or, turned around, of a disjunction) ask for
/// what no single value has.
fn contradicted(expr: &Expr, conjunction: bool) -> Option<FieldId> {
    let mut operands = Vec::new();
    match (expr, conjunction) {
        (Expr::And(_), true) => flatten(expr, &mut operands),
        (Expr::Or(any), false) => operands.extend(any),
        _ => return None,
    }
    // Operands as tests that must hold or must fail.
    let mut asked: Vec<(FieldId, &Test, bool)> = Vec::new();
    for one in operands {
        match one {
            Expr::Test(id, test) => asked.push((*id, test, conjunction)),
            Expr::Not(inner) => {
                if let Expr::Test(id, test) = inner.as_ref() {
                    asked.push((*id, test, !conjunction));
                }
            }
            _ => {}
        }
    }
    let mut seen = Vec::new();
    for (id, ..) in &asked {
        if seen.contains(id) || !single(*id) {
            continue;
        }
        seen.push(*id);
        let own: Vec<(&Test, bool)> = asked
            .iter()
            .filter(|(of, ..)| of == id)
            .map(|(_, test, holds)| (*test, *holds))
            .collect();
        if own.len() > 1 && empty(&own) {
            return Some(*id);
        }
    }
    None
}

/// Whether a field has at most one value.
fn single(id: FieldId) -> bool {
    field::field(id).is_some_and(|row| !matches!(row.kind, FieldType::Keywords | FieldType::Ips))
}

/// Whether no value passes all tests as asked.
fn empty(asked: &[(&Test, bool)]) -> bool {
    let absent = asked.iter().any(|(test, holds)| matches!(test, Test::Exists) && !holds);
    if absent {
        return asked.iter().any(|(_, holds)| *holds);
    }
    let finite = asked.iter().find_map(|(test, holds)| match test {
        Test::Equals { any, fold: false } if *holds => Some(any),
        _ => None,
    });
    if let Some(any) = finite {
        // Unknown counts as possible.
        return !any.iter().any(|literal| {
            asked.iter().all(|(test, holds)| passes(test, literal).is_none_or(|is| is == *holds))
        });
    }
    no_number(asked)
}

/// Whether the bounds leave no whole number.
fn no_number(asked: &[(&Test, bool)]) -> bool {
    let (mut low, mut high) = (i128::from(i64::MIN), i128::from(i64::MAX));
    let mut bounds = 0;
    for (test, holds) in asked {
        let Test::Compare(order, Literal::Int(bound)) = test else { continue };
        let bound = i128::from(*bound);
        bounds += 1;
        match (order, holds) {
            (Order::Greater, true) | (Order::LessEqual, false) => low = low.max(bound + 1),
            (Order::GreaterEqual, true) | (Order::Less, false) => low = low.max(bound),
            (Order::Less, true) | (Order::GreaterEqual, false) => high = high.min(bound - 1),
            (Order::LessEqual, true) | (Order::Greater, false) => high = high.min(bound),
            (Order::Equal, _) => bounds -= 1,
        }
    }
    bounds > 1 && low > high
}

/// Whether a literal passes a test; `None` if that is not told here.
fn passes(test: &Test, literal: &Literal) -> Option<bool> {
    let text = match literal {
        Literal::Str(text) => text.clone(),
        Literal::Int(number) => number.to_string().into_bytes(),
        Literal::Float(_) | Literal::Bool(_) => return None,
    };
    let same = |a: &[u8], fold: bool| if fold { a.eq_ignore_ascii_case(&text) } else { a == text };
    match test {
        Test::Exists => Some(true),
        Test::Equals { any, fold } => any
            .iter()
            .map(|one| match one {
                Literal::Str(wanted) => Some(same(wanted, *fold)),
                Literal::Int(number) => Some(same(number.to_string().as_bytes(), false)),
                _ => None,
            })
            .try_fold(false, |found, one| Some(found || one?)),
        Test::Wildcard { any, fold } => {
            Some(any.iter().any(|one| pattern::wildcard(one, &text, *fold)))
        }
        Test::Part { place, any, fold } => {
            let lower =
                |bytes: &[u8]| if *fold { bytes.to_ascii_lowercase() } else { bytes.to_vec() };
            let value = lower(&text);
            Some(any.iter().any(|one| {
                let one = lower(one);
                match place {
                    Place::Start => value.starts_with(&one),
                    Place::End => value.ends_with(&one),
                    Place::Anywhere => {
                        one.is_empty() || value.windows(one.len()).any(|part| part == one)
                    }
                }
            }))
        }
        Test::Compare(order, Literal::Int(bound)) => match literal {
            Literal::Int(number) => Some(match order {
                Order::Equal => number == bound,
                Order::Less => number < bound,
                Order::LessEqual => number <= bound,
                Order::Greater => number > bound,
                Order::GreaterEqual => number >= bound,
            }),
            _ => None,
        },
        _ => None,
    }
}
