//! The predicates of a rule: the smallest conditions that have a truth of their own.

use std::collections::HashMap;

use engine::Detector;
use engine::eval::{answered, value_of};
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
    /// A script that something else spared has no value; everything else has.
    pub(crate) asked: bool,
    /// The fields that it reads, and what they hold.
    pub(crate) fields: Vec<(String, Json)>,
}

/// What scripts answered to the questions of a rule about one event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers(HashMap<String, bool>);

impl Answers {
    /// Those about the event that a detector took last.
    pub(crate) fn of(detector: &Detector, rule: &Rule, program: &Program) -> Answers {
        if program.scripts.is_empty() {
            return Answers::default();
        }
        let questions = rule.questions(program).into_iter();
        let answer = |one: &Expr| Some((format!("{one:?}"), detector.answer(one)?));
        Answers(questions.filter_map(answer).collect())
    }

    /// None if it was not asked.
    fn get(&self, question: &Expr) -> Option<bool> {
        if self.0.is_empty() { None } else { self.0.get(&format!("{question:?}")).copied() }
    }

    /// A condition with the answers in it.
    pub(crate) fn within(&self, condition: &Expr) -> Expr {
        answered(condition, &|question| self.get(question))
    }
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
pub(crate) fn holds(
    filter: &Filter,
    rule: &Rule,
    event: &dyn Fields,
    answers: &Answers,
) -> Option<bool> {
    let parts = match &filter.condition {
        Expr::And(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    let (late, alone): (Vec<&Expr>, Vec<_>) = parts.iter().partition(|part| part.names_member());
    let is_true =
        |part: &&Expr| value_of(&answers.within(part), rule.logic, event) == Some(true);
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
    answers: &Answers,
) -> Vec<Outcome> {
    let value = |leaf: &Expr| match leaf {
        Expr::Script { .. } => answers.get(leaf),
        // What it is compared with was in another event; what a script says of each element of a
        // list is not kept.
        _ if leaf.names_member() || leaf.asks_script() => None,
        _ => value_of(leaf, rule.logic, event),
    };
    let outcome = |leaf: &Expr| Outcome {
        text: expression(leaf, program),
        value: value(leaf),
        asked: !matches!(leaf, Expr::Script { .. }) || answers.get(leaf).is_some(),
        fields: fields(leaf, program).into_iter().map(|id| held(id, program, event)).collect(),
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

/// The fields that a predicate reads, those of the script that it asks included, each once.
pub(crate) fn fields(leaf: &Expr, program: &Program) -> Vec<FieldId> {
    let mut all = Vec::new();
    if let Expr::Script { script, .. } = leaf {
        let script = usize::try_from(*script).ok().and_then(|at| program.scripts.get(at));
        all.extend(script.into_iter().flat_map(|script| &script.fields));
    }
    leaf.walk(&mut |scalar| match scalar {
        Scalar::Field(id) if !all.contains(id) => all.push(*id),
        _ => {}
    });
    all
}
