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

/// Whether an event satisfies a filter, looked at alone; `None` if earlier events decide that.
pub(crate) fn holds(filter: &Filter, rule: &Rule, event: &dyn Fields) -> Option<bool> {
    let parts = match &filter.condition {
        Expr::And(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    let (late, alone): (Vec<&Expr>, Vec<_>) = parts.iter().partition(|part| part.names_member());
    let is_true = |part: &&Expr| value_of(part, rule.logic, event) == Some(true);
    let fits = has_category(filter, event) && alone.iter().all(is_true);
    (!fits || late.is_empty()).then_some(fits)
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
        // What it is compared with was in another event.
        value: if leaf.names_member() { None } else { value_of(leaf, rule.logic, event) },
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
    leaf.walk(&mut |scalar| match scalar {
        Scalar::Field(id) if !all.contains(id) => all.push(*id),
        _ => {}
    });
    all
}
