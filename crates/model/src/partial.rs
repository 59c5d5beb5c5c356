//! What can be told about a rule before any event: on which operations it can match at all.
//!
//! Category, type and action of an operation are known, so a condition is evaluated with three
//! values: true, false, and unknown for all other fields.

use crate::action::{self, Action};
use crate::field;
use crate::field::FieldId;
use crate::op::{Kind, KindSet};
use crate::program::{Expr, Filter, Literal, Rule, Test};
use crate::{pattern, value::List, value::Value};

impl Rule {
    /// Operations whose events the rule looks at.
    pub fn kinds(&self) -> KindSet {
        self.filters().map(Filter::kinds).fold(KindSet::EMPTY, KindSet::union)
    }
}

impl Filter {
    /// Operations whose live events can satisfy the filter: these have none of the fields that only
    /// documents have.
    pub fn kinds(&self) -> KindSet {
        Kind::ALL.iter().copied().filter(|kind| self.can_match(*kind, Origin::Live)).collect()
    }

    /// Whether any document can satisfy the filter, as far as category, type and action tell.
    pub fn is_possible(&self) -> bool {
        Kind::ALL.iter().any(|kind| self.can_match(*kind, Origin::Document))
    }

    fn can_match(&self, kind: Kind, origin: Origin) -> bool {
        let words = action::of(kind);
        if words.category.is_empty() {
            return false;
        }
        if let Some(category) = &self.category
            && !words.category.contains(&category.as_str())
        {
            return false;
        }
        value(&self.condition, &words, origin) != Some(false)
    }
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Live,
    Document,
}

/// The value of a condition on live events where the words of the operation decide it.
pub fn truth(condition: &Expr, words: &Action) -> Option<bool> {
    value(condition, words, Origin::Live)
}

fn value(condition: &Expr, words: &Action, origin: Origin) -> Option<bool> {
    match condition {
        Expr::Const(value) => Some(*value),
        Expr::Not(inner) => value(inner, words, origin).map(|value| !value),
        Expr::And(all) => decide(all, words, origin, false),
        Expr::Or(any) => decide(any, words, origin, true),
        // Computed from fields that are not known; what a script says is known when it is asked.
        Expr::Computed(..)
        | Expr::Compare { .. }
        | Expr::Truth(_)
        | Expr::Lineage(..)
        | Expr::Script { .. } => None,
        Expr::Test(id, _) if origin == Origin::Live && field::field(*id).is_none() => Some(false),
        Expr::Test(field, test) => {
            let mut result = Some(false);
            for value in known(*field, words)?.each() {
                match holds(test, value) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => result = None,
                }
            }
            result
        }
    }
}

/// `decisive` if any operand has that value, the opposite if all have it, else unknown.
fn decide(operands: &[Expr], words: &Action, origin: Origin, decisive: bool) -> Option<bool> {
    let mut result = Some(!decisive);
    for operand in operands {
        match value(operand, words, origin) {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

/// Value of a field in all events of an operation.
fn known(field: FieldId, words: &Action) -> Option<Value<'static>> {
    match field {
        field::EVENT_CATEGORY => Some(Value::List(List::Words(words.category))),
        field::EVENT_TYPE => Some(Value::List(List::Words(words.types))),
        field::EVENT_ACTION => Some(Value::str(words.action)),
        field::EVENT_KIND => Some(Value::str("event")),
        field::EVENT_MODULE => Some(Value::str("aegisbpf")),
        field::HOST_OS_TYPE => Some(Value::str("linux")),
        _ => None,
    }
}

/// Whether a word satisfies a test; unknown for tests that nobody writes on words.
pub fn word(test: &Test, word: &str) -> Option<bool> {
    holds(test, Value::str(word))
}

fn holds(test: &Test, value: Value<'_>) -> Option<bool> {
    let Value::Str(text) = value else { return None };
    match test {
        Test::Exists => Some(true),
        Test::Equals { any, fold } => Some(any.iter().any(|literal| match literal {
            Literal::Str(wanted) if *fold => wanted.eq_ignore_ascii_case(text),
            Literal::Str(wanted) => wanted == text,
            _ => false,
        })),
        Test::Wildcard { any, fold } => {
            Some(any.iter().any(|wanted| pattern::wildcard(wanted, text, *fold)))
        }
        _ => None,
    }
}
