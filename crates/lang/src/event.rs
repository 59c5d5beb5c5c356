//! Events of rule tests: TOML tables with nested or dotted keys, checked against the field table.

use model::field::{self, FIELDS, FieldType};
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::literal;

/// Tables within tables of an event; field names have at most five parts.
const MAX_NESTING: usize = 8;

/// The event, with one dotted key for each field.
pub(crate) fn read(keys: &DeTable<'_>, found: &mut Vec<Diagnostic>) -> Map<String, Value> {
    let mut event = Map::new();
    collect(keys, "", 0, &mut event, found);
    event
}

fn collect(
    keys: &DeTable<'_>,
    prefix: &str,
    depth: usize,
    event: &mut Map<String, Value>,
    found: &mut Vec<Diagnostic>,
) {
    for (key, value) in keys {
        let part = key.get_ref();
        let name = if prefix.is_empty() { part.to_string() } else { format!("{prefix}.{part}") };
        match value.get_ref() {
            DeValue::Table(inner) if depth < MAX_NESTING => {
                collect(inner, &name, depth + 1, event, found);
            }
            _ => {
                let Some(id) = field::by_name(&name).and_then(field::field) else {
                    let help = nearest(&name, FIELDS.iter().map(|row| row.name))
                        .map(|near| format!("there is a field `{near}`"));
                    let message = format!("no field `{name}`");
                    found.push(
                        Diagnostic::new(Code::BadTestEvent, key.span(), message).help_if(help),
                    );
                    continue;
                };
                match convert(value).filter(|converted| fits(id.kind, converted)) {
                    Some(converted) => _ = event.insert(name, converted),
                    None => found.push(wrong(&name, id.kind, value)),
                }
            }
        }
    }
}

fn wrong(name: &str, kind: FieldType, value: &Spanned<DeValue<'_>>) -> Diagnostic {
    let message = format!("`{name}` is {}", literal::describe(Some(kind)));
    Diagnostic::new(Code::BadTestEvent, value.span(), message).label("does not fit")
}

fn convert(value: &Spanned<DeValue<'_>>) -> Option<Value> {
    Some(match value.get_ref() {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Integer(number) => {
            Value::from(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => Value::from(number.as_str().parse::<f64>().ok()?),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(items) => items.iter().map(convert).collect::<Option<Value>>()?,
        DeValue::Table(_) => return None,
    })
}

/// Whether events carry such a value in a field of that type.
fn fits(kind: FieldType, value: &Value) -> bool {
    let address =
        |value: &Value| value.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok());
    match (kind, value) {
        (FieldType::Keywords, Value::Array(items)) => items.iter().all(Value::is_string),
        (FieldType::Ips, Value::Array(items)) => items.iter().all(address),
        (FieldType::Keyword | FieldType::Path | FieldType::Keywords, value) => value.is_string(),
        (FieldType::Ip | FieldType::Ips, value) => address(value),
        (FieldType::Id, Value::String(text)) => text.bytes().all(|byte| byte.is_ascii_digit()),
        (FieldType::Id | FieldType::Int, value) => value.is_i64(),
        (FieldType::Bool, value) => value.is_boolean(),
        (FieldType::Time, value) => value.is_i64() || value.is_string(),
    }
}
