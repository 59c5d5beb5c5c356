//! Findings as SARIF 2.1.0, made from the same JSON that `-o json` prints.

use lang::Code;
use serde_json::{Value, json};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// One run of one tool; files that could not be read are notes about the run.
pub(crate) fn document(found: &[Value], unread: &[String]) -> Value {
    let rules: Vec<Value> = Code::ALL
        .iter()
        .map(|code| {
            json!({
                "id": code.as_str(),
                "shortDescription": { "text": code.title() },
                "defaultConfiguration": { "level": code.level().as_str() },
            })
        })
        .collect();
    let results: Vec<Value> = found.iter().map(result).collect();
    let notes: Vec<Value> = unread
        .iter()
        .map(|text| json!({ "level": "error", "message": { "text": text } }))
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "kestrel", "version": env!("CARGO_PKG_VERSION"), "rules": rules,
            }},
            "invocations": [{
                "executionSuccessful": unread.is_empty(),
                "toolExecutionNotifications": notes,
            }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(found: &Value) -> Value {
    let text = match (&found["message"], &found["help"]) {
        (Value::String(message), Value::String(help)) => format!("{message}; help: {help}"),
        (Value::String(message), _) => message.clone(),
        _ => String::new(),
    };
    json!({
        "ruleId": found["code"],
        "level": found["level"],
        "message": { "text": text },
        "locations": [location(found, &found["span"], &found["label"])],
        "relatedLocations": found["labels"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| location(found, &one["span"], &one["label"]))
            .collect::<Vec<_>>(),
    })
}

fn location(found: &Value, span: &Value, label: &Value) -> Value {
    let length =
        span["end"].as_u64().unwrap_or(0).saturating_sub(span["start"].as_u64().unwrap_or(0));
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": found["file"] },
            "region": {
                "startLine": span["line"],
                "startColumn": span["column"],
                "byteOffset": span["start"],
                "byteLength": length,
            },
        },
        "message": { "text": label },
    })
}
