//! The JSON document of an alert: the event in ECS names, with the rule, the ancestors, and all
//! events if there are several.

use model::alert::Match;
use serde_json::{Map, Value as Json, json};

/// Turns the document of an event into that of an alert about it. `ancestors` are readable
/// descriptions, parent first.
pub(crate) fn document(
    mut event: Map<String, Json>,
    matched: &Match<'_>,
    ancestors: Vec<Json>,
) -> Map<String, Json> {
    let rule = matched.rule;
    let events = events(&event, matched);
    put(&mut event, "event", "kind", "alert".into());
    if let Some(process) = event.get_mut("process").and_then(Json::as_object_mut) {
        // In ECS terms `process.Ext.ancestors.name` stays what it was: the names of all of them.
        put(process, "Ext", "ancestors", ancestors.into());
    }
    event.insert("message".to_owned(), rule.name.clone().into());
    event.insert("alert".to_owned(), json!({ "id": format!("{:032x}", matched.id) }));
    event.insert(
        "rule".to_owned(),
        json!({
            "id": rule.id,
            "name": rule.name,
            "description": rule.description,
            "severity": rule.severity.as_str(),
            "tags": rule.tags,
            "reference": rule.references,
            "file": rule.file,
        }),
    );
    event.insert("severity".to_owned(), rule.severity.as_str().into());
    let (tactics, techniques): (Vec<&String>, Vec<&String>) =
        rule.attack.iter().partition(|id| id.starts_with("TA"));
    let mut threat = Map::new();
    threat.insert("framework".to_owned(), "MITRE ATT&CK".into());
    if !tactics.is_empty() {
        threat.insert("tactic".to_owned(), json!({ "id": tactics }));
    }
    if !techniques.is_empty() {
        threat.insert("technique".to_owned(), json!({ "id": techniques }));
    }
    if threat.len() > 1 {
        event.insert("threat".to_owned(), threat.into());
    }
    if let Some(events) = events {
        event.insert("events".to_owned(), events.into());
    }
    event
}

/// The members of a match of several events, in the order of the rule's steps; the document is
/// `null` if the event is not remembered.
fn events(event: &Map<String, Json>, matched: &Match<'_>) -> Option<Vec<Json>> {
    let at_hand = event.get("event").and_then(|it| it.get("sequence")).and_then(Json::as_u64);
    let member = |number: &u64| {
        let earlier = matched.earlier.iter().find(|(earlier, _)| earlier == number);
        let document = match earlier {
            Some((_, document)) => Json::Object(Map::clone(document)),
            None if at_hand == Some(*number) => Json::Object(event.clone()),
            None => Json::Null,
        };
        json!({ "sequence": number, "document": document })
    };
    (matched.members.len() > 1).then(|| matched.members.iter().map(member).collect())
}

/// The ancestors as an event itself names them, parent first.
pub(crate) fn ancestors(event: &Map<String, Json>) -> Vec<Json> {
    let names = event.get("process").and_then(|it| it.pointer("/Ext/ancestors/name"));
    let names = names.and_then(Json::as_array).into_iter().flatten();
    names.map(|name| json!({ "name": name })).collect()
}

/// Sets a key of an inner object, which is made if it is not there.
fn put(root: &mut Map<String, Json>, object: &str, key: &str, value: Json) {
    let inner = root.entry(object).or_insert_with(|| Json::Object(Map::new()));
    if let Some(inner) = inner.as_object_mut() {
        inner.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::program::{RuleMeta, Severity};
    use std::sync::Arc;

    #[test]
    fn an_alert_names_rule_technique_and_ancestors() {
        let rule = RuleMeta {
            id: "exec-from-tmp".into(),
            name: "Run from /tmp".into(),
            severity: Severity::High,
            attack: vec!["TA0002".into(), "T1059.004".into()],
            ..RuleMeta::default()
        };
        let json = r#"{"event":{"kind":"event","action":"exec"},
            "process":{"pid":2,"Ext":{"ancestors":{"name":["bash"]}}}}"#;
        let event = serde_json::from_str(json).unwrap();
        let ancestors = vec![json!({ "pid": 1, "name": "bash" })];
        let matched = Match { rule: &rule, id: 0xab, members: &[7], earlier: &[], said: &[] };
        let alert = Json::Object(document(event, &matched, ancestors));
        let at = |pointer: &str| alert.pointer(pointer).unwrap_or(&Json::Null);
        assert_eq!(at("/event/kind"), "alert");
        assert_eq!(at("/event/action"), "exec");
        assert_eq!(at("/alert/id"), "000000000000000000000000000000ab");
        assert_eq!(at("/rule/severity"), "high");
        assert_eq!(at("/threat/technique/id"), &json!(["T1059.004"]));
        assert_eq!(at("/threat/tactic/id"), &json!(["TA0002"]));
        assert_eq!(at("/process/Ext/ancestors/0/name"), "bash");
        assert_eq!(at("/message"), "Run from /tmp");
        assert_eq!(at("/events"), &Json::Null, "it is about one event");
    }

    #[test]
    fn an_alert_about_several_events_has_them_all() {
        let rule = RuleMeta::default();
        let object = |json: Json| json.as_object().unwrap().clone();
        let event = |number: u64, name: &str| {
            let process = json!({ "name": name, "Ext": { "ancestors": { "name": ["init"] } } });
            object(json!({ "event": { "sequence": number }, "process": process }))
        };
        let earlier = [(3, Arc::new(event(3, "a")))];
        let matched = Match { rule: &rule, id: 1, members: &[2, 3, 9], earlier: &earlier, said: &[] };
        let last = event(9, "b");
        let ancestors = ancestors(&last);
        assert_eq!(ancestors, [json!({ "name": "init" })]);
        let alert = Json::Object(document(last, &matched, ancestors));
        let at = |pointer: &str| alert.pointer(pointer).unwrap_or(&Json::Null);
        assert_eq!(at("/events/0"), &json!({ "sequence": 2, "document": null }), "forgotten");
        assert_eq!(at("/events/1/document/process/name"), "a");
        assert_eq!((at("/events/2/sequence"), at("/process/name")), (&9.into(), &"b".into()));
        assert_eq!(at("/events/2/document/event"), &json!({ "sequence": 9 }), "as it was");
    }
}
