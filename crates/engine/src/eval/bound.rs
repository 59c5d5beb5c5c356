//! A condition taken apart by what can decide it: the kind of the event, the event, the lineage of
//! its process, and earlier members of a sequence.

use model::program::{Expr, Scalar};

use super::class;

/// A condition by when it can be decided.
pub(super) struct Parts {
    /// Holds for each event for which the condition can hold.
    pub(super) early: Expr,
    /// What the lineage decides, where that is more than `early`.
    pub(super) whole: Option<Expr>,
    /// What earlier members decide.
    pub(super) late: Option<Expr>,
}

pub(super) fn split(condition: &Expr) -> Parts {
    let (late, parts): (Vec<Expr>, Vec<Expr>) =
        conjuncts(condition).into_iter().partition(Expr::names_member);
    let late = (!late.is_empty()).then_some(Expr::And(late));
    let alone = Expr::And(parts);
    if asks_lineage(&alone) {
        Parts { early: weakened(&alone, true), whole: Some(alone), late }
    } else {
        Parts { early: alone, whole: None, late }
    }
}

/// What `and` joins, of any depth.
pub(super) fn conjuncts(condition: &Expr) -> Vec<Expr> {
    match condition {
        Expr::And(parts) => parts.iter().flat_map(conjuncts).collect(),
        other => vec![other.clone()],
    }
}

/// The same as one condition.
pub(super) fn single(mut conjuncts: Vec<Expr>) -> Expr {
    match conjuncts.pop() {
        Some(only) if conjuncts.is_empty() => only,
        Some(last) => {
            conjuncts.push(last);
            Expr::And(conjuncts)
        }
        None => Expr::Const(true),
    }
}

/// Whether the kind of the event decides a condition.
pub(super) fn is_about_kind(condition: &Expr) -> bool {
    match condition {
        Expr::Test(field, _) => class::tells(*field),
        Expr::Not(inner) => is_about_kind(inner),
        Expr::And(parts) | Expr::Or(parts) => parts.iter().all(is_about_kind),
        _ => false,
    }
}

/// A condition that is `most` wherever the lineage of the process could make it so: what asks for
/// it counts as the value that helps. Truth of `and` and `or` only grows with that of their parts,
/// and that of `not` only shrinks, also where unknown lies between.
fn weakened(condition: &Expr, most: bool) -> Expr {
    let each = |parts: &[Expr]| parts.iter().map(|part| weakened(part, most)).collect();
    match condition {
        Expr::And(parts) => Expr::And(each(parts)),
        Expr::Or(parts) => Expr::Or(each(parts)),
        Expr::Not(inner) => Expr::Not(Box::new(weakened(inner, !most))),
        leaf if asks_lineage(leaf) => Expr::Const(most),
        leaf => leaf.clone(),
    }
}

fn asks_lineage(condition: &Expr) -> bool {
    let within = |scalar: &Scalar| {
        let mut found = false;
        scalar.walk(&mut |scalar| {
            if let Scalar::Condition(condition) | Scalar::Search { condition, .. } = scalar {
                found |= asks_lineage(condition);
            }
        });
        found
    };
    match condition {
        Expr::Lineage(..) => true,
        Expr::And(parts) | Expr::Or(parts) => parts.iter().any(asks_lineage),
        Expr::Not(inner) => asks_lineage(inner),
        Expr::Computed(scalar, _) | Expr::Truth(scalar) => within(scalar),
        Expr::Compare { left, right, .. } => within(left) || within(right),
        Expr::Const(_) | Expr::Test(..) => false,
    }
}
