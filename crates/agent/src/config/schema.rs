//! The keys as a JSON schema, for editors and for checks elsewhere.

use serde_json::{Map, Value as Json, json};

use super::keys::{Key, Kind, keys};

/// The schema of a file (draft 2020-12).
pub(crate) fn schema() -> Json {
    let mut sections: Map<String, Json> = Map::new();
    for key in keys() {
        let section = sections.entry(key.section).or_insert_with(
            || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
        );
        if let Some(properties) = section.get_mut("properties").and_then(Json::as_object_mut) {
            properties.insert(key.name.to_owned(), one(key));
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of aegisbpf",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    })
}

fn one(key: &Key) -> Json {
    let text = json!({ "type": "string" });
    let mut about = match key.kind() {
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Number => json!({ "type": "integer", "minimum": 0 }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Text => text,
        Kind::List => json!({ "anyOf": [text, { "type": "array", "items": text }] }),
    };
    if let Some(about) = about.as_object_mut() {
        about.insert("description".to_owned(), key.doc().into());
    }
    about
}
