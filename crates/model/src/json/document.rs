//! A JSON document as an event: rule tests, recorded alerts, other agents' events.

use std::net::IpAddr;

use serde_json::{Map, Value as Json};
use thiserror::Error;

use crate::field::{Field, FieldId, FieldType, by_name};
use crate::json::parse_time;
use crate::value::{Fields, List, Value};

/// Deepest nesting that is followed. ECS names have at most six parts.
const DEPTH_MAX: usize = 16;

/// Why a document is not an event.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// A name that is not in the field table.
    #[error("there is no field `{0}`; `aegisbpf fields` lists all")]
    Unknown(String),
    /// A value that the field cannot have.
    #[error("`{field}` takes {expected}, but is given {found}")]
    Type {
        /// The field.
        field: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was there, as JSON.
        found: String,
    },
    /// Nested too deep.
    #[error("objects are nested deeper than {DEPTH_MAX}")]
    Deep,
}

/// An event that owns its values. Keys of the JSON may be dotted, nested or both.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Sorted by field.
    values: Vec<(FieldId, Owned)>,
}

#[derive(Debug, Clone)]
enum Owned {
    One(Value<'static>),
    Text(Vec<u8>),
    /// Texts that each end in NUL.
    Texts(Vec<u8>),
    Many(Vec<Value<'static>>),
}

impl Document {
    /// Converts a document in which every name must be known and every value fit its field.
    pub fn new(root: &Map<String, Json>) -> Result<Document, DocumentError> {
        let mut errors = Vec::new();
        let document = Document::read(root, &mut errors);
        errors.into_iter().next().map_or(Ok(document), Err)
    }

    /// Converts what is known and fits; the rest is reported and left out.
    pub fn lenient(root: &Map<String, Json>) -> (Document, Vec<DocumentError>) {
        let mut errors = Vec::new();
        (Document::read(root, &mut errors), errors)
    }

    fn read(root: &Map<String, Json>, errors: &mut Vec<DocumentError>) -> Document {
        let mut document = Document::default();
        document.walk("", root, 0, errors);
        document.values.sort_by_key(|(id, _)| *id);
        // Of a field that is given twice, the last wins, as in JSON itself.
        document.values.reverse();
        document.values.dedup_by_key(|(id, _)| *id);
        document.values.reverse();
        document
    }

    fn walk(
        &mut self,
        prefix: &str,
        object: &Map<String, Json>,
        depth: usize,
        errors: &mut Vec<DocumentError>,
    ) {
        if depth > DEPTH_MAX {
            errors.push(DocumentError::Deep);
            return;
        }
        for (key, value) in object {
            let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            if let Json::Object(inner) = value {
                self.walk(&name, inner, depth + 1, errors);
                continue;
            }
            let known = by_name(&name).zip(by_name(&name).and_then(crate::field::field));
            let Some((id, field)) = known else {
                errors.push(DocumentError::Unknown(name));
                continue;
            };
            match convert(field, value) {
                Ok(Some(owned)) => self.values.push((id, owned)),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
    }
}

impl Fields for Document {
    fn get(&self, field: FieldId) -> Value<'_> {
        let at = self.values.binary_search_by_key(&field, |(id, _)| *id);
        match at.ok().and_then(|at| self.values.get(at)) {
            None => Value::Null,
            Some((_, Owned::One(value))) => *value,
            Some((_, Owned::Text(bytes))) => Value::Str(bytes),
            Some((_, Owned::Texts(bytes))) => Value::List(List::Nul(bytes)),
            Some((_, Owned::Many(values))) => Value::List(List::Values(values)),
        }
    }
}

/// `None` for JSON null, which means absent.
fn convert(field: &'static Field, value: &Json) -> Result<Option<Owned>, DocumentError> {
    if value.is_null() {
        return Ok(None);
    }
    let refuse = |expected, found: &Json| DocumentError::Type {
        field: field.name,
        expected,
        found: found.to_string(),
    };
    let owned = match field.kind {
        FieldType::Keyword | FieldType::Path => match value {
            Json::Array(items) => Owned::Texts(texts(field, items)?),
            one => Owned::Text(text(one).ok_or_else(|| refuse("a text", one))?),
        },
        FieldType::Keywords => match value {
            Json::Array(items) => Owned::Texts(texts(field, items)?),
            one => Owned::Texts(texts(field, std::slice::from_ref(one))?),
        },
        kind => {
            let expected = expected(kind);
            let one = |item| plain(kind, item).ok_or_else(|| refuse(expected, item));
            match value {
                Json::Array(items) => Owned::Many(items.iter().map(one).collect::<Result<_, _>>()?),
                item => Owned::One(one(item)?),
            }
        }
    };
    Ok(Some(owned))
}

fn texts(field: &'static Field, items: &[Json]) -> Result<Vec<u8>, DocumentError> {
    let mut joined = Vec::new();
    for item in items {
        let bytes = text(item).filter(|bytes| !bytes.contains(&0));
        let Some(bytes) = bytes else {
            let (expected, found) = ("texts without NUL", item.to_string());
            return Err(DocumentError::Type { field: field.name, expected, found });
        };
        joined.extend_from_slice(&bytes);
        joined.push(0);
    }
    Ok(joined)
}

fn text(value: &Json) -> Option<Vec<u8>> {
    match value {
        Json::String(text) => Some(text.clone().into_bytes()),
        Json::Number(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

fn plain(kind: FieldType, value: &Json) -> Option<Value<'static>> {
    let word = value.as_str();
    match kind {
        FieldType::Id => {
            let parsed = word.and_then(|word| word.parse().ok());
            value.as_i64().or(parsed).map(Value::Int)
        }
        FieldType::Int => {
            let float = || value.as_f64().map(Value::Float);
            value.as_i64().map(Value::Int).or_else(float)
        }
        FieldType::Time => value.as_i64().or_else(|| word.and_then(parse_time)).map(Value::Int),
        FieldType::Bool => value.as_bool().map(Value::Bool),
        FieldType::Ip | FieldType::Ips => {
            word.and_then(|word| word.parse::<IpAddr>().ok()).map(Value::Ip)
        }
        FieldType::Keyword | FieldType::Path | FieldType::Keywords => None,
    }
}

fn expected(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Id => "a number, also as text",
        FieldType::Int => "a number",
        FieldType::Time => "an RFC 3339 time",
        FieldType::Bool => "true or false",
        FieldType::Ip | FieldType::Ips => "an IP address",
        FieldType::Keyword | FieldType::Path | FieldType::Keywords => "a text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field;
    use crate::json::document;

    fn map(text: &str) -> Map<String, Json> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn dotted_and_nested_keys_are_the_same() {
        for text in [
            r#"{"process.parent.name": "nginx", "user.id": "0", "event.category": "process"}"#,
            r#"{"process": {"parent": {"name": "nginx"}}, "user.id": 0, "event": {"category": ["process"]}}"#,
            r#"{"process.parent": {"name": "nginx"}, "user": {"id": "0"}, "event.category": ["process"]}"#,
        ] {
            let event = Document::new(&map(text)).unwrap();
            assert_eq!(event.get(field::PROCESS_PARENT_NAME), Value::str("nginx"), "{text}");
            assert_eq!(event.get(field::USER_ID), Value::Int(0), "{text}");
            let category: Vec<_> = event.get(field::EVENT_CATEGORY).each().collect();
            assert_eq!(category, [Value::str("process")], "{text}");
            assert_eq!(event.get(field::PROCESS_PID), Value::Null, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_names_the_field() {
        for (text, message) in [
            (r#"{"process.nmae": "x"}"#, "there is no field `process.nmae`"),
            (r#"{"process.pid": "x"}"#, "`process.pid` takes a number, but is given \"x\""),
            (r#"{"source.ip": "1.2.3"}"#, "`source.ip` takes an IP address"),
            (r#"{"process.name": true}"#, "`process.name` takes a text, but is given true"),
            (r#"{"process.args": ["a\u0000b"]}"#, "`process.args` takes texts without NUL"),
        ] {
            let error = Document::new(&map(text)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
            let (event, errors) = Document::lenient(&map(text));
            assert_eq!((event.values.len(), errors.len()), (0, 1), "{text}");
        }
    }

    #[test]
    fn null_is_absent_and_the_last_value_wins() {
        let text = r#"{"process.name": null, "process.pid": 1, "process": {"pid": 2}}"#;
        let event = Document::new(&map(text)).unwrap();
        assert_eq!(event.get(field::PROCESS_NAME), Value::Null);
        assert_eq!(event.get(field::PROCESS_PID), Value::Int(2));
    }

    #[test]
    fn what_is_rendered_reads_back() {
        let text = r#"{"@timestamp":"2023-11-14T22:13:20.000000042Z","host":{"ip":["10.0.0.1","::1"]},"process":{"pid":7,"args":["a","b"]},"user":{"id":"0"}}"#;
        let event = Document::new(&map(text)).unwrap();
        assert_eq!(serde_json::to_string(&document(&event)).unwrap(), text);
    }
}
