//! What scripts said, as alerts show it: one form for everybody who shows alerts.

use serde_json::{Map, Value as Json, json};

use crate::escape::escaped;
use crate::script::{Emitted, Said};
use crate::value::Node;

/// The list under `kestrel.script`: an object for each text that was emitted, with `message` and,
/// where they were given, `severity` and `fields`; then one for each action that was asked for, with
/// `request` and `granted`. Texts of strangers cannot steer what shows them.
pub fn said(all: &[Said]) -> Json {
    let mut list = Vec::new();
    for one in all {
        list.extend(one.alerts.iter().map(emitted));
        let requests = one.requests.iter();
        list.extend(requests.map(
            |request| json!({ "request": escaped(&request.action), "granted": request.granted }),
        ));
    }
    Json::Array(list)
}

fn emitted(emitted: &Emitted) -> Json {
    let mut shown = Map::new();
    shown.insert("message".to_owned(), escaped(&emitted.message).into());
    if let Some(severity) = emitted.severity {
        shown.insert("severity".to_owned(), severity.as_str().into());
    }
    if !emitted.fields.is_empty() {
        let fields = emitted.fields.iter().map(|(name, value)| (escaped(name), node(value)));
        shown.insert("fields".to_owned(), Json::Object(fields.collect()));
    }
    Json::Object(shown)
}

fn node(value: &Node) -> Json {
    match value {
        Node::Null => Json::Null,
        Node::Bool(flag) => (*flag).into(),
        Node::Int(number) => (*number).into(),
        Node::Float(number) => (*number).into(),
        Node::Str(text) => escaped(&String::from_utf8_lossy(text)).into(),
        Node::List(items) => items.iter().map(node).collect(),
        Node::Map(members) => {
            members.iter().map(|(name, value)| (escaped(name), node(value))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Severity;
    use crate::script::Request;

    #[test]
    fn texts_and_requests_are_listed_and_cannot_steer_a_terminal() {
        let alert = Emitted {
            message: "a\x1b[2Jb".to_owned(),
            severity: Some(Severity::High),
            fields: vec![("n\n".to_owned(), Node::Str(b"\xff\x07".as_slice().into()))],
        };
        let plain =
            Emitted { message: "c".to_owned(), severity: None, fields: vec![] };
        let request = Request { action: "kill".to_owned(), granted: false };
        let all = [Said { alerts: vec![alert, plain], requests: vec![request] }, Said::default()];
        let expected = json!([
            { "message": r"a\u{1b}[2Jb", "severity": "high", "fields": { r"n\n": "\u{fffd}\\u{7}" } },
            { "message": "c" },
            { "request": "kill", "granted": false },
        ]);
        assert_eq!(said(&all), expected);
        assert_eq!(said(&[]), json!([]));
    }
}
