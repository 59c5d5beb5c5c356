//! More rules than there are: copies of real ones with other literals, for measuring.

use model::field;
use model::program::{Expr, Literal, Program, Query, Rule, Step, Test};

/// Adds copies until there are so many rules. Vocabulary (`event.type` …) stays as it is, since it
/// is what real rules share; correlations name rules by number and are not copied.
pub(crate) fn to(program: &mut Program, count: usize) {
    let originals: Vec<Rule> = program
        .rules
        .iter()
        .filter(|rule| !matches!(rule.query, Query::Correlation(_)))
        .cloned()
        .collect();
    let mut round = 0;
    while program.rules.len() < count && !originals.is_empty() {
        round += 1;
        for rule in originals.iter().take(count - program.rules.len()) {
            program.rules.push(renamed(rule, round));
        }
    }
    program.rules.truncate(count);
}

fn renamed(rule: &Rule, round: usize) -> Rule {
    let mut rule = rule.clone();
    rule.meta.id = format!("{}-{round}", rule.meta.id);
    match &mut rule.query {
        Query::Event(filter) => expr(&mut filter.condition, round),
        Query::Sequence(sequence) => {
            sequence.steps.iter_mut().chain(&mut sequence.until).for_each(|one| step(one, round));
        }
        Query::Sample(steps) => steps.iter_mut().for_each(|one| step(one, round)),
        Query::Join { steps, until } => {
            steps.iter_mut().chain(until).for_each(|one| step(one, round));
        }
        Query::Correlation(_) => {}
    }
    rule
}

fn step(step: &mut Step, round: usize) {
    expr(&mut step.filter.condition, round);
}

fn expr(condition: &mut Expr, round: usize) {
    match condition {
        Expr::And(parts) | Expr::Or(parts) => parts.iter_mut().for_each(|part| expr(part, round)),
        Expr::Not(inner) => expr(inner, round),
        Expr::Test(id, test) => {
            let shared = field::field(*id).is_some_and(|field| {
                field.name.starts_with("event.") || field.name.starts_with("host.")
            });
            if !shared {
                literals(test, round);
            }
        }
        Expr::Const(_)
        | Expr::Computed(..)
        | Expr::Compare { .. }
        | Expr::Truth(_)
        | Expr::Lineage(..)
        | Expr::Script { .. } => {}
    }
}

/// Each literal gets the number of the round at its end, before a last wildcard.
fn literals(test: &mut Test, round: usize) {
    let suffix = round.to_string();
    match test {
        Test::Equals { any, .. } => {
            for literal in any {
                if let Literal::Str(text) = literal {
                    text.extend_from_slice(suffix.as_bytes());
                }
            }
        }
        Test::Wildcard { any, .. } => {
            for pattern in any {
                let end = pattern.iter().rposition(|byte| !matches!(byte, b'*' | b'?'));
                let at = end.map_or(0, |end| end + 1);
                pattern.splice(at..at, suffix.bytes());
            }
        }
        Test::Part { any, .. } => {
            for text in any {
                text.extend_from_slice(suffix.as_bytes());
            }
        }
        Test::Exists
        | Test::Compare(..)
        | Test::Regex { .. }
        | Test::Cidr(_)
        | Test::Length(..) => {}
    }
}
