//! What an event must say, field by field.
#![expect(clippy::needless_pass_by_value, reason = "literals read best without a reference")]

use crate::event::Event;

/// An expectation about one field.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    field: &'static str,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Is(String),
    IsIfPresent(String),
    Has(String),
    Lacks(String),
    List(Vec<String>),
    Contains(String),
    Present,
    Absent,
}

/// The field has this value.
pub(crate) fn is(field: &'static str, value: impl ToString) -> Want {
    Want { field, rule: Rule::Is(value.to_string()) }
}

/// The source may not know the field; if it does, it has this value.
pub(crate) fn is_if_present(field: &'static str, value: impl ToString) -> Want {
    Want { field, rule: Rule::IsIfPresent(value.to_string()) }
}

/// One of the field's values is this.
pub(crate) fn has(field: &'static str, value: impl ToString) -> Want {
    Want { field, rule: Rule::Has(value.to_string()) }
}

/// The field has values, and none of them is this.
pub(crate) fn lacks(field: &'static str, value: impl ToString) -> Want {
    Want { field, rule: Rule::Lacks(value.to_string()) }
}

/// The field has exactly these values, in this order.
pub(crate) fn list<T: ToString>(field: &'static str, values: &[T]) -> Want {
    Want { field, rule: Rule::List(values.iter().map(ToString::to_string).collect()) }
}

/// This is part of the field's text.
pub(crate) fn contains(field: &'static str, part: impl ToString) -> Want {
    Want { field, rule: Rule::Contains(part.to_string()) }
}

/// The field is there.
pub(crate) fn present(field: &'static str) -> Want {
    Want { field, rule: Rule::Present }
}

/// The field is not there.
pub(crate) fn absent(field: &'static str) -> Want {
    Want { field, rule: Rule::Absent }
}

impl Want {
    /// The field it is about.
    pub(crate) fn field(&self) -> &'static str {
        self.field
    }

    /// Why the event does not satisfy it; `None` when it does.
    pub(crate) fn failure(&self, event: &Event) -> Option<String> {
        if model::field::by_name(self.field).is_none() {
            return Some(format!("the case names a field that does not exist: {}", self.field));
        }
        let (text, values) = (event.text(self.field), event.list(self.field));
        let (holds, wanted) = match &self.rule {
            Rule::Is(want) => (text.as_ref() == Some(want), want.clone()),
            Rule::IsIfPresent(want) => {
                (text.as_ref().is_none_or(|text| text == want), format!("{want} or nothing"))
            }
            Rule::Has(want) => (values.contains(want), format!("{want} in the list")),
            Rule::Lacks(want) => {
                (!values.is_empty() && !values.contains(want), format!("a list without {want}"))
            }
            Rule::List(want) => (values == *want, format!("{want:?}")),
            Rule::Contains(part) => {
                (text.as_ref().is_some_and(|t| t.contains(part)), format!("text with {part}"))
            }
            Rule::Present => (text.is_some(), "a value".to_owned()),
            Rule::Absent => (text.is_none(), "nothing".to_owned()),
        };
        let got = text.map_or("nothing".to_owned(), |text| short(&text));
        (!holds).then(|| format!("{} expected {}, got {got}", self.field, short(&wanted)))
    }
}

/// Text that fits into a line of a report.
fn short(text: &str) -> String {
    const LONGEST: usize = 300;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn failures_say_field_expectation_and_value() {
        let event = Event(json!({"process": {"pid": 7, "args": ["a", "b"]}}));
        assert_eq!(is("process.pid", 7).failure(&event), None);
        assert_eq!(is("process.pid", 8).failure(&event).unwrap(), "process.pid expected 8, got 7");
        assert_eq!(list("process.args", &["a", "b"]).failure(&event), None);
        assert!(list("process.args", &["b", "a"]).failure(&event).is_some());
        assert!(lacks("process.env_vars", "x").failure(&event).is_some(), "an absent list");
        assert!(is("process.nonsense", 1).failure(&event).unwrap().contains("does not exist"));
        assert_eq!(is_if_present("file.path", "/x").failure(&event), None);
        assert!(absent("process.pid").failure(&event).is_some());
    }
}
