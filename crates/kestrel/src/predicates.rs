//! The predicates of a rule: the smallest conditions that have a truth of their own.

use engine::eval::value_of;
use lang::fmt::{expression, field_name};
use model::field::{self, FieldId};
use model::json;
use model::program::{Expr, Filter, Literal, Logic, Program, Rule, Scalar, Test};
use model::value::{Fields, Value};
use serde_json::Value as Json;

/// What a predicate is on one event.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The predicate as query text.
    pub(crate) text: String,
    /// `None` is unknown.
    pub(crate) value: Option<bool>,
    /// The fields that it reads, and what they hold.
    pub(crate) fields: Vec<(String, Json)>,
}

/// All predicates of a condition, in the order of the rule.
pub(crate) fn leaves(condition: &Expr) -> Vec<&Expr> {
    match condition {
        Expr::Const(_) => Vec::new(),
        Expr::And(parts) | Expr::Or(parts) => parts.iter().flat_map(leaves).collect(),
        Expr::Not(inner) => leaves(inner),
        leaf => vec![leaf],
    }
}

/// Whether an event satisfies a filter, looked at alone.
pub(crate) fn holds(filter: &Filter, rule: &Rule, event: &dyn Fields) -> bool {
    has_category(filter, event) && value_of(&filter.condition, rule.logic, event) == Some(true)
}

/// Whether it has the category.
pub(crate) fn has_category(filter: &Filter, event: &dyn Fields) -> bool {
    filter.category.as_ref().is_none_or(|name| {
        let any = vec![Literal::Str(name.clone().into_bytes())];
        let test = Expr::Test(field::EVENT_CATEGORY, Test::Equals { any, fold: false });
        value_of(&test, Logic::Complement, event) == Some(true)
    })
}

/// Each predicate of a filter on an event.
pub(crate) fn outcomes(
    filter: &Filter,
    rule: &Rule,
    program: &Program,
    event: &dyn Fields,
) -> Vec<Outcome> {
    let outcome = |leaf: &Expr| Outcome {
        text: expression(leaf, program),
        value: value_of(leaf, rule.logic, event),
        fields: fields(leaf).into_iter().map(|id| held(id, program, event)).collect(),
    };
    leaves(&filter.condition).into_iter().map(outcome).collect()
}

/// Name of a field, and what the event has there.
pub(crate) fn held(id: FieldId, program: &Program, event: &dyn Fields) -> (String, Json) {
    let value = event.get(id);
    // A field of documents has no type: it is shown as it is.
    let row = field::field(id).or_else(|| field::field(field::PROCESS_PID));
    let shown = match (row, value) {
        (_, Value::Null) | (None, _) => Json::Null,
        (Some(row), value) => json::render(row, value),
    };
    (field_name(id, program).to_owned(), shown)
}

/// The fields that a predicate reads, each once.
pub(crate) fn fields(leaf: &Expr) -> Vec<FieldId> {
    let mut all = Vec::new();
    expr(leaf, &mut all);
    let mut seen = Vec::new();
    all.retain(|id| {
        let new = !seen.contains(id);
        seen.push(*id);
        new
    });
    all
}

fn expr(condition: &Expr, all: &mut Vec<FieldId>) {
    match condition {
        Expr::Const(_) | Expr::Lineage(..) => {}
        Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| expr(part, all)),
        Expr::Not(inner) => expr(inner, all),
        Expr::Test(id, _) => all.push(*id),
        Expr::Computed(value, _) | Expr::Truth(value) => scalar(value, all),
        Expr::Compare { left, right, .. } => {
            scalar(left, all);
            scalar(right, all);
        }
    }
}

fn scalar(value: &Scalar, all: &mut Vec<FieldId>) {
    match value {
        Scalar::Field(id) => all.push(*id),
        Scalar::Element(inner, _) => scalar(inner, all),
        Scalar::Call { args, .. } => args.iter().for_each(|arg| scalar(arg, all)),
        Scalar::Arithmetic(_, left, right) => {
            scalar(left, all);
            scalar(right, all);
        }
        Scalar::Condition(condition) => expr(condition, all),
        Scalar::Search { list, condition, .. } => {
            scalar(list, all);
            expr(condition, all);
        }
        Scalar::Literal(_) | Scalar::Null | Scalar::Member(..) | Scalar::Variable(_) => {}
    }
}
