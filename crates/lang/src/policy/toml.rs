//! TOML as a tree.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tree::{Key, Node, Value};
use crate::diagnostic::{Code, Diagnostic};

/// The document of a file, and what is wrong with its text.
pub(super) fn read(text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let found: Vec<Diagnostic> = errors
        .iter()
        .map(|error| Diagnostic::new(Code::Toml, error.span().unwrap_or(0..0), error.message()))
        .collect();
    let tree = Node { span: 0..text.len(), value: table(document.get_ref()) };
    (found.is_empty().then_some(tree), found)
}

fn table(table: &DeTable<'_>) -> Value {
    let mut keys: Vec<(Key, Node)> = table
        .iter()
        .map(|(key, value)| {
            let name = key.get_ref().to_string();
            (Key { name, span: key.span() }, node(value))
        })
        .collect();
    keys.sort_by_key(|(key, _)| key.span.start);
    Value::Map(keys)
}

// The parser bounds how deep tables and arrays nest.
fn node(value: &Spanned<DeValue<'_>>) -> Node {
    let value_of = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Text(number.as_str().to_owned()),
        },
        DeValue::Float(number) => Value::Text(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(node).collect()),
        DeValue::Table(inner) => table(inner),
    };
    Node { span: value.span(), value: value_of }
}
