//! The JSON document of what the agent tells about itself in the stream of alerts.

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

/// A notice about rules: `action` says what, `message` says it to people, `rule` names the rule if
/// it is about one, `details` are figures.
pub(crate) fn document(
    action: &str,
    message: &str,
    rule: Option<Json>,
    details: &Json,
) -> Map<String, Json> {
    let mut document = Map::new();
    document.insert("@timestamp".to_owned(), Timestamp::now().to_string().into());
    document.insert(
        "event".to_owned(),
        // In ECS the kind of event that tells that something is wrong with the events themselves.
        json!({
            "kind": "pipeline_error",
            "action": action,
            "module": "aegisbpf",
            "dataset": "aegisbpf.health",
        }),
    );
    document.insert("message".to_owned(), message.into());
    if let Some(rule) = rule {
        document.insert("rule".to_owned(), rule);
    }
    document.insert("aegisbpf".to_owned(), json!({ "health": details }));
    document
}
