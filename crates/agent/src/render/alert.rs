//! The JSON document of an alert: the event in ECS names, with the rule and the ancestors.

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
    event
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
        let alert = Json::Object(document(event, &Match { rule: &rule, id: 0xab, members: &[], earlier: &[] }, ancestors));
        let at = |pointer: &str| alert.pointer(pointer).unwrap_or(&Json::Null);
        assert_eq!(at("/event/kind"), "alert");
        assert_eq!(at("/event/action"), "exec");
        assert_eq!(at("/alert/id"), "000000000000000000000000000000ab");
        assert_eq!(at("/rule/severity"), "high");
        assert_eq!(at("/threat/technique/id"), &json!(["T1059.004"]));
        assert_eq!(at("/threat/tactic/id"), &json!(["TA0002"]));
        assert_eq!(at("/process/Ext/ancestors/0/name"), "bash");
        assert_eq!(at("/message"), "Run from /tmp");
    }
}
