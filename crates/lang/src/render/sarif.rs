//! Diagnostics as SARIF 2.1.0.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{inside, line_and_column, source};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::load::Source;

/// The program that found them.
#[derive(Debug, Clone, Copy)]
pub struct Tool<'t> {
    /// Its name.
    pub name: &'t str,
    /// Its version.
    pub version: &'t str,
    /// What it could not read, each with the reason: errors of the run and not of a file.
    pub unread: &'t [String],
}

/// All findings as a log, which code hosts and editors show beside the text.
pub fn sarif(all: &[Diagnostic], sources: &[Source], tool: Tool<'_>) -> Value {
    let mut codes: Vec<Code> = all.iter().map(|found| found.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| {
            json!({
                "id": code.as_str(),
                "shortDescription": { "text": code.title() },
                "defaultConfiguration": { "level": code.level().as_str() },
            })
        })
        .collect();
    let results: Vec<Value> = all
        .iter()
        .map(|found| {
            let index = codes.binary_search(&found.code).unwrap_or_default();
            result(found, source(found, sources), index)
        })
        .collect();
    let notes = tool.unread.iter();
    let notes = notes.map(|text| json!({ "level": "error", "message": { "text": text } }));
    let notes: Vec<Value> = notes.collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": tool.name, "version": tool.version, "rules": rules } },
            "invocations": [{
                "executionSuccessful": tool.unread.is_empty(),
                "toolExecutionNotifications": notes,
            }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// One result of a SARIF log.
fn result(found: &Diagnostic, source: &str, index: usize) -> Value {
    let mut message = found.message.clone();
    for more in [Some(&found.label), found.help.as_ref()].into_iter().flatten() {
        if !more.is_empty() {
            message.push_str(". ");
            message.push_str(more);
        }
    }
    let related: Vec<Value> = found
        .labels
        .iter()
        .enumerate()
        .map(|(id, (span, label))| {
            let mut place = location(found, span, source);
            if let Some(place) = place.as_object_mut() {
                place.insert("id".to_owned(), json!(id));
                place.insert("message".to_owned(), json!({ "text": label }));
            }
            place
        })
        .collect();
    json!({
        "ruleId": found.code.as_str(),
        "ruleIndex": index,
        "level": found.code.level().as_str(),
        "message": { "text": message },
        "locations": [location(found, &found.span, source)],
        "relatedLocations": related,
        "properties": { "rule": found.rule },
    })
}

fn location(found: &Diagnostic, span: &Span, source: &str) -> Value {
    let span = inside(span, source);
    let (line, column) = line_and_column(span.start, source);
    let (end_line, end_column) = line_and_column(span.end, source);
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&found.file) },
            "region": {
                "startLine": line,
                "startColumn": column,
                "endLine": end_line,
                "endColumn": end_column,
                "byteOffset": span.start,
                "byteLength": span.len(),
            },
        },
    })
}

/// A path as a URI reference: bytes that have a meaning there are written by number.
fn uri(path: &str) -> String {
    path.bytes().fold(String::with_capacity(path.len()), |mut uri, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => drop(write!(uri, "%{byte:02X}")),
        }
        uri
    })
}
