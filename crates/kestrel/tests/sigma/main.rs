//! What Sigma says, statement by statement: each on events that it decides, through the command.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod audit;
mod conditions;
mod correlations;
mod sources;
mod values;

use std::fmt::Write as _;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// An alert: the rule, and the positions of its events.
type Alert = (String, Vec<u64>);

/// What rules say about events, and what is said on standard error.
fn run(rules: &str, events: &[Value]) -> (Vec<Alert>, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("r.yml"), rules).unwrap();
    let lines = events.iter().fold(String::new(), |mut text, event| {
        writeln!(text, "{event}").unwrap();
        text
    });
    std::fs::write(directory.path().join("e.ndjson"), lines).unwrap();
    let Output { stdout, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_kestrel"))
        .args(["run", "--rules", "r.yml", "--events", "e.ndjson", "-o", "ndjson"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let alerts = String::from_utf8(stdout).unwrap();
    let alerts = alerts.lines().map(|line| {
        let alert: Value = serde_json::from_str(line).unwrap();
        let members = alert["events"].as_array().unwrap().iter();
        let members = members.map(|member| member["position"].as_u64().unwrap()).collect();
        (alert["rule"]["id"].as_str().unwrap().to_owned(), members)
    });
    (alerts.collect(), String::from_utf8(stderr).unwrap())
}

/// A rule of that log source and detection; the detection is indented by two.
fn rule(logsource: &str, detection: &str) -> String {
    format!(
        "title: T\nid: t\nlogsource: {{product: linux, {logsource}}}\ndetection:\n{detection}\n"
    )
}

/// Positions of the events that a rule of that log source matches.
#[track_caller]
fn matched_in(logsource: &str, detection: &str, events: &[Value]) -> Vec<u64> {
    let (alerts, err) = run(&rule(logsource, detection), events);
    assert!(!err.contains("error"), "{detection}\n{err}");
    alerts.into_iter().flat_map(|(_, members)| members).collect()
}

/// The same for a rule about processes; `events` are what the fields of one start hold.
#[track_caller]
fn matched(detection: &str, events: &[Value]) -> Vec<u64> {
    let events: Vec<Value> = events.iter().map(start).collect();
    matched_in("category: process_creation", detection, &events)
}

/// A start of a process with these fields.
fn start(fields: &Value) -> Value {
    let mut event =
        json!({ "event.category": "process", "event.type": "start", "event.action": "exec" });
    let event_fields = event.as_object_mut().unwrap();
    event_fields.extend(fields.as_object().unwrap().clone());
    event
}

/// A search for command lines, and starts with those.
#[track_caller]
fn lines(item: &str, lines: &[&str]) -> Vec<u64> {
    let events: Vec<Value> =
        lines.iter().map(|line| json!({ "process.command_line": line })).collect();
    matched(&format!("  s:\n    {item}\n  condition: s"), &events)
}

/// Why a rule is not run.
#[track_caller]
fn refused(text: &str) -> String {
    let (alerts, err) = run(text, &[]);
    assert_eq!(alerts, []);
    assert!(err.contains("error[E04"), "{err}");
    err
}
