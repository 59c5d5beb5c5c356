//! Events as ECS JSON, and JSON documents as events.

mod document;
mod said;
mod time;

pub use said::said;
pub use document::{Document, DocumentError};
pub use time::{parse_time, time};

use serde_json::{Map, Value as Json};

use crate::field::{FIELDS, Field, FieldId, FieldType};
use crate::value::{Fields, Node, Value};

/// The event as one nested JSON object, fields in the order of the table, absent ones left out.
///
/// Bytes that are not UTF-8 are shown as U+FFFD, times as RFC 3339 in UTC with nanoseconds, and
/// numeric ids as text, which is what ECS prescribes.
pub fn document(event: &dyn Fields) -> Map<String, Json> {
    let mut root = Map::new();
    for (index, field) in FIELDS.iter().enumerate() {
        let Ok(index) = u16::try_from(index) else { break };
        let value = event.get(FieldId(index));
        if !value.is_null() {
            insert(&mut root, field.name, render(field, value));
        }
    }
    root
}

/// One value as JSON, in the way of its field.
pub fn render(field: &Field, value: Value<'_>) -> Json {
    match value {
        Value::List(_) => value.each().map(|item| render(field, item)).collect(),
        Value::Null => Json::Null,
        Value::Bool(flag) => flag.into(),
        Value::Int(ns) if field.kind == FieldType::Time => time(ns).into(),
        Value::Int(id) if field.kind == FieldType::Id => id.to_string().into(),
        Value::Int(number) => number.into(),
        Value::Float(number) => number.into(),
        Value::Str(bytes) => String::from_utf8_lossy(bytes).into(),
        Value::Ip(address) => address.to_string().into(),
        Value::Map(members) => {
            let member =
                |(name, node): &(Box<str>, Node)| (name.to_string(), render(field, node.value()));
            Json::Object(members.iter().map(member).collect())
        }
    }
}

/// Puts a value at a dotted name. A name that runs through a plain value is left out; the field
/// table has none such (tested).
fn insert(root: &mut Map<String, Json>, name: &str, value: Json) {
    let mut at = root;
    let mut rest = name;
    while let Some((head, tail)) = rest.split_once('.') {
        let next = at.entry(head).or_insert_with(|| Json::Object(Map::new()));
        let Json::Object(next) = next else { return };
        at = next;
        rest = tail;
    }
    at.insert(rest.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{self, by_name};
    use crate::value::List;

    /// An event given as a function.
    struct Event(fn(FieldId) -> Value<'static>);

    impl Fields for Event {
        fn get(&self, field: FieldId) -> Value<'_> {
            self.0(field)
        }
    }

    #[test]
    fn each_type_is_rendered_its_way() {
        let event = Event(|field| match field {
            field::TIMESTAMP => Value::Int(1_700_000_000_000_000_042),
            field::USER_ID => Value::Int(0),
            field::PROCESS_PID => Value::Int(7),
            field::PROCESS_ARGS => Value::List(List::Nul(b"sh\0-c\0\xff\0")),
            field::PROCESS_EXECUTABLE => Value::Str(b"/tmp/\xfe"),
            field::SOURCE_IP => Value::Ip("::1".parse().unwrap()),
            field::EVENT_TRUSTED => Value::Bool(false),
            _ => Value::Null,
        });
        let text = serde_json::to_string(&document(&event)).unwrap();
        let expected = concat!(
            r#"{"@timestamp":"2023-11-14T22:13:20.000000042Z","event":{"trusted":false},"#,
            "\"process\":{\"pid\":7,\"executable\":\"/tmp/\u{fffd}\",\"args\":[\"sh\",\"-c\",\"\u{fffd}\"]},",
            r#""user":{"id":"0"},"source":{"ip":"::1"}}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn no_name_of_the_table_runs_through_another() {
        let event = Event(|_| Value::Int(1));
        let root = document(&event);
        for field in FIELDS {
            let pointer = format!("/{}", field.name.replace('.', "/"));
            let leaf = Json::Object(root.clone()).pointer(&pointer).cloned();
            assert!(leaf.is_some_and(|leaf| !leaf.is_object()), "{} is lost", field.name);
            assert!(by_name(field.name).is_some());
        }
    }
}
