//! What JSON values are in fields of a type.

use std::net::IpAddr;

use model::field::FieldType;
use model::value::{Node, Value};

use super::Bad;
use super::scan::{Number, Quoted, Scan, unescape};
use super::time;

/// A value that lends nothing.
pub(super) fn unowned(node: &Node) -> Option<Value<'static>> {
    match node {
        Node::Bool(flag) => Some(Value::Bool(*flag)),
        Node::Int(number) => Some(Value::Int(*number)),
        Node::Float(number) => Some(Value::Float(*number)),
        Node::Str(text) => str::from_utf8(text).ok()?.parse::<IpAddr>().ok().map(Value::Ip),
        Node::Null | Node::List(_) | Node::Map(_) => None,
    }
}

/// The values of nested arrays for a field of the table, each as its type wants it.
pub(super) fn flatten(items: Vec<Node>, kind: FieldType, flat: &mut Vec<Node>) {
    let textual = matches!(kind, FieldType::Keyword | FieldType::Path | FieldType::Keywords);
    for item in items {
        match item {
            Node::Null | Node::Map(_) => {}
            Node::List(inner) => flatten(inner, kind, flat),
            Node::Str(text) => flat.push(match parsed(Some(kind), &text) {
                None | Some(Value::Ip(_)) => Node::Str(text),
                Some(value) => Node::from(value),
            }),
            Node::Int(number) if textual => {
                flat.push(Node::Str(number.to_string().into_bytes().into()));
            }
            Node::Bool(flag) if textual => {
                flat.push(Node::Str(flag.to_string().into_bytes().into()));
            }
            Node::Int(number) => flat.push(plain(Some(kind), Number::Int(number)).into()),
            other => flat.push(other),
        }
    }
}

/// What a text says in a field that is no text; `None` leaves it a text.
pub(super) fn parsed(kind: Option<FieldType>, text: &[u8]) -> Option<Value<'static>> {
    let text = str::from_utf8(text).ok()?;
    match kind? {
        FieldType::Keyword | FieldType::Path | FieldType::Keywords => None,
        FieldType::Id | FieldType::Int => text.parse().ok().map(Value::Int),
        FieldType::Bool => text.parse().ok().map(Value::Bool),
        FieldType::Ip | FieldType::Ips => text.parse().ok().map(Value::Ip),
        FieldType::Time => time::text(text).map(Value::Int),
    }
}

pub(super) fn plain(kind: Option<FieldType>, number: Number) -> Value<'static> {
    match (kind, number) {
        (Some(FieldType::Time), Number::Int(number)) => Value::Int(time::number(number)),
        (_, Number::Int(number)) => Value::Int(number),
        (_, Number::Float(number)) => Value::Float(number),
    }
}

/// Any value, kept as it is.
pub(super) fn any(scan: &mut Scan<'_>, depth: usize) -> Result<Node, Bad> {
    Ok(match scan.peek() {
        Some(b'"') => Node::Str(string(scan)?.into()),
        Some(b'[') => {
            let mut items = Vec::new();
            scan.items(depth, |scan| {
                items.push(any(scan, depth + 1)?);
                Ok(())
            })?;
            Node::List(items)
        }
        Some(b'{') => {
            let mut members = Vec::new();
            scan.members(depth, |scan, key| {
                let mut name = Vec::new();
                unescape(scan.text().get(key.bytes).unwrap_or_default(), &mut name)?;
                let name = String::from_utf8_lossy(&name).into_owned().into_boxed_str();
                members.push((name, any(scan, depth + 1)?));
                Ok(())
            })?;
            Node::Map(members)
        }
        Some(b't' | b'f' | b'n') => scan.word()?.map_or(Node::Null, Node::Bool),
        _ => match scan.number()? {
            Number::Int(number) => Node::Int(number),
            Number::Float(number) => Node::Float(number),
        },
    })
}

fn string(scan: &mut Scan<'_>) -> Result<Vec<u8>, Bad> {
    let Quoted { bytes, .. } = scan.string()?;
    let mut plain = Vec::new();
    unescape(scan.text().get(bytes).unwrap_or_default(), &mut plain)?;
    Ok(plain)
}
