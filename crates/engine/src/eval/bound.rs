//! A condition taken apart by what can decide it: the kind of the event, the event, the lineage of
//! its process, scripts, and earlier members of a sequence.

use model::program::{Expr, Scalar};

use super::class;

/// A condition by when it can be decided.
pub(super) struct Parts {
    /// Holds for each event for which the condition can hold.
    pub(super) early: Expr,
    /// What lineage and scripts decide, which holds beside `early`.
    pub(super) whole: Option<Expr>,
    /// What earlier members decide.
    pub(super) late: Option<Expr>,
}

pub(super) fn split(condition: &Expr) -> Parts {
    let (late, parts): (Vec<Expr>, Vec<Expr>) =
        conjuncts(condition).into_iter().partition(Expr::names_member);
    let late = (!late.is_empty()).then_some(Expr::And(late));
    let (open, decided): (Vec<Expr>, Vec<Expr>) = parts.into_iter().partition(is_open);
    if open.is_empty() {
        return Parts { early: Expr::And(decided), whole: None, late };
    }
    let early = decided.into_iter().chain(open.iter().map(|part| weakened(part, true))).collect();
    Parts { early: Expr::And(early), whole: Some(Expr::And(open)), late }
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

/// A condition that is `most` wherever lineage or scripts could make it so: what asks for them counts
/// as the value that helps. Truth of `and` and `or` only grows with that of their parts, and that of
/// `not` only shrinks, also where unknown lies between.
fn weakened(condition: &Expr, most: bool) -> Expr {
    let each = |parts: &[Expr]| parts.iter().map(|part| weakened(part, most)).collect();
    match condition {
        Expr::And(parts) => Expr::And(each(parts)),
        Expr::Or(parts) => Expr::Or(each(parts)),
        Expr::Not(inner) => Expr::Not(Box::new(weakened(inner, !most))),
        leaf if is_open(leaf) => Expr::Const(most),
        leaf => leaf.clone(),
    }
}

/// Whether the event alone does not decide it.
fn is_open(condition: &Expr) -> bool {
    let within = |scalar: &Scalar| {
        let mut found = false;
        scalar.walk(&mut |scalar| {
            if let Scalar::Condition(condition) | Scalar::Search { condition, .. } = scalar {
                found |= is_open(condition);
            }
        });
        found
    };
    match condition {
        Expr::Lineage(..) | Expr::Script { .. } => true,
        Expr::And(parts) | Expr::Or(parts) => parts.iter().any(is_open),
        Expr::Not(inner) => is_open(inner),
        Expr::Computed(scalar, _) | Expr::Truth(scalar) => within(scalar),
        Expr::Compare { left, right, .. } => within(left) || within(right),
        Expr::Const(_) | Expr::Test(..) => false,
    }
}
