//! The Elastic Common Schema and nothing else: our own JSON has its names already, but also some of our own. They
//! go below `aegisbpf`, so that a strict mapping takes every document.

use serde_json::{Map, Value as Json, json};

use super::text;

/// The version of the schema.
const VERSION: &str = "8.17.0";
/// Our own names at the top; below `aegisbpf` they are called the same.
const OWN: &[&str] = &["alert", "events", "incident", "kestrel", "severity"];
/// The same below `rule`.
const OWN_OF_RULES: &[&str] = &["severity", "file", "line"];

/// An alert; `id` is its identity.
pub(crate) fn document(document: &Map<String, Json>, id: &str) -> Json {
    let mut ecs = document.clone();
    let severity = text(document, "severity");
    let mut own = match ecs.remove("aegisbpf") {
        Some(Json::Object(own)) => own,
        _ => Map::new(),
    };
    own.extend(moved(&mut ecs, OWN));
    let rule = ecs.get_mut("rule").and_then(Json::as_object_mut);
    let (mut of_rule, mut tags) = (Map::new(), None);
    if let Some(rule) = rule {
        of_rule.extend(moved(rule, OWN_OF_RULES));
        tags = rule.remove("tags");
    }
    if !of_rule.is_empty() {
        own.insert("rule".to_owned(), of_rule.into());
    }
    if let Some(tags) = tags {
        ecs.insert("tags".to_owned(), tags);
    }
    if !own.is_empty() {
        ecs.insert("aegisbpf".to_owned(), own.into());
    }
    ecs.insert("ecs".to_owned(), json!({ "version": VERSION }));
    let event = ecs.entry("event").or_insert_with(|| json!({}));
    if let Some(event) = event.as_object_mut() {
        event.insert("id".to_owned(), id.into());
        event.insert("severity".to_owned(), number(severity.as_deref()).into());
    }
    ecs.into()
}

/// Takes these out, with their names.
fn moved(from: &mut Map<String, Json>, names: &[&str]) -> Vec<(String, Json)> {
    names.iter().filter_map(|name| Some(((*name).to_owned(), from.remove(*name)?))).collect()
}

/// Severities as numbers; Elastic's own rules have the same.
fn number(word: Option<&str>) -> u64 {
    match word {
        Some("critical") => 99,
        Some("high") => 73,
        Some("medium") => 47,
        Some("low") => 21,
        _ => 0,
    }
}
