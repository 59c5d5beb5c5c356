//! Published rules load, match the events that were made for them, and stop matching when one
//! decisive field is another.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Done, corpora, files, kestrel};

const RULES_MIN: usize = 330;
const POSITIVES_MIN: usize = 239;

/// What the generator of the events did wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The query asks for a literal `*`, since `in` has no wildcards; the events have other text there.
    Wildcard,
    /// The query names a field in backquotes; the events have them as part of the name.
    Backquotes,
    /// The query asks for two values of `event.type` at once; the events have one.
    OneType,
}

/// Lists of events that do not satisfy their rule: file, number of the list, and why.
const FAULTS: &[(&str, usize, Fault)] = &[
    ("defense_evasion_apparmor_profile_compilation.toml", 0, Fault::Wildcard),
    ("defense_evasion_apparmor_profile_compilation.toml", 1, Fault::Wildcard),
    ("defense_evasion_apparmor_profile_compilation.toml", 2, Fault::Wildcard),
    (
        "execution_d4c_k8s_mda_forbidden_direct_interactive_kubernetes_api_request.toml",
        0,
        Fault::Backquotes,
    ),
    (
        "execution_d4c_k8s_mda_forbidden_direct_interactive_kubernetes_api_request.toml",
        1,
        Fault::Backquotes,
    ),
    (
        "execution_d4c_k8s_mda_forbidden_direct_interactive_kubernetes_api_request.toml",
        2,
        Fault::Backquotes,
    ),
    (
        "execution_d4c_k8s_mda_kubernetes_api_activity_by_unusual_utilities.toml",
        0,
        Fault::Backquotes,
    ),
    (
        "execution_d4c_k8s_mda_kubernetes_api_activity_by_unusual_utilities.toml",
        1,
        Fault::Backquotes,
    ),
    (
        "execution_d4c_k8s_mda_kubernetes_api_activity_by_unusual_utilities.toml",
        2,
        Fault::Backquotes,
    ),
    (
        "execution_d4c_k8s_mda_service_account_token_access_followed_by_kubernetes_api_request.toml",
        0,
        Fault::Backquotes,
    ),
    (
        "execution_d4c_k8s_mda_service_account_token_access_followed_by_kubernetes_api_request.toml",
        1,
        Fault::Backquotes,
    ),
    (
        "execution_d4c_k8s_mda_service_account_token_access_followed_by_kubernetes_api_request.toml",
        2,
        Fault::Backquotes,
    ),
    ("persistence_linux_user_account_creation.toml", 0, Fault::OneType),
    ("persistence_linux_user_account_creation.toml", 1, Fault::OneType),
    ("persistence_linux_user_account_creation.toml", 2, Fault::OneType),
    ("privilege_escalation_enlightenment_window_manager.toml", 1, Fault::Wildcard),
];

/// Whether the events and the query show the fault.
fn is_faulty(fault: Fault, query: &str, list: &[Value]) -> bool {
    let text: String = list.iter().map(Value::to_string).collect();
    match fault {
        Fault::Wildcard => query.contains("*\"") && !text.contains('*'),
        Fault::Backquotes => query.contains('`') && text.contains('`'),
        Fault::OneType => {
            query.contains(r#"event.type == "user" and event.type == "creation""#)
                && list.iter().all(|event| event["event"]["type"].as_array().unwrap().len() == 1)
        }
    }
}

#[test]
fn faults_of_the_generator_are_faults() {
    let positives = positives();
    for (file, number, fault) in FAULTS {
        let Some(one) = positives.iter().find(|one| one.name == *file) else { continue };
        let query = std::fs::read_to_string(&one.rule).unwrap();
        assert!(is_faulty(*fault, &query, &one.lists[*number]), "{file} {number}: {fault:?}");
    }
}

/// Files of the rules in a temporary directory, and the events made for each.
struct Positive {
    rule: PathBuf,
    name: String,
    lists: Vec<Vec<Value>>,
}

fn positives() -> Vec<Positive> {
    let Some(corpora) = corpora() else { return Vec::new() };
    let text = std::fs::read_to_string(corpora.join("elastic/positives.ndjson")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let all: Vec<Positive> = lines
        .map(|line| {
            let name = line["rule"].as_str().unwrap().to_owned();
            let directory = corpora.join("elastic").join(line["dialect"].as_str().unwrap());
            let lists = line["events"].as_array().unwrap().iter();
            let lists = lists.map(|list| list.as_array().unwrap().clone()).collect();
            Positive { rule: directory.join(&name), name, lists }
        })
        .collect();
    assert!(all.len() >= POSITIVES_MIN, "{} rules have events", all.len());
    all
}

/// Runs one rule on lists of events, each a stream of its own; tells for which an alert came.
fn alerts(rule: &Path, lists: &[Vec<Value>]) -> (Vec<bool>, Done) {
    let directory = tempfile::tempdir().unwrap();
    let mut arguments = vec!["run".to_owned(), "--rules".to_owned(), rule.display().to_string()];
    arguments.extend(["-o", "ndjson", "--events"].map(str::to_owned));
    for (number, list) in lists.iter().enumerate() {
        let mut text = String::new();
        for event in list {
            writeln!(text, "{event}").unwrap();
        }
        let path = directory.path().join(format!("{number}.ndjson"));
        std::fs::write(&path, text).unwrap();
        arguments.push(path.display().to_string());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = kestrel(&arguments);
    let mut raised = vec![false; lists.len()];
    for alert in done.lines() {
        let input = Path::new(alert["input"].as_str().unwrap()).file_stem().unwrap().to_owned();
        let number: usize = input.to_str().unwrap().parse().unwrap();
        raised[number] = true;
    }
    (raised, done)
}

#[test]
fn all_rules_load() {
    let rules = files("elastic", &["toml"]);
    if rules.is_empty() {
        return;
    }
    assert!(rules.len() >= RULES_MIN, "{} rules", rules.len());
    let directory = corpora().unwrap().join("elastic");
    let done = kestrel(&["check", directory.to_str().unwrap(), "-o", "json"]);
    let report: Value = serde_json::from_str(&done.out).unwrap();
    let errors: Vec<String> = report["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|found| found["level"] == "error")
        .map(|found| format!("{}: {} {}", found["file"], found["code"], found["message"]))
        .collect();
    assert!(errors.is_empty(), "{} errors:\n{}", errors.len(), errors.join("\n"));
    assert_eq!(report["rules"].as_u64().unwrap(), rules.len() as u64);
}

#[test]
fn rules_match_the_events_that_were_made_for_them() {
    let mut wrong = Vec::new();
    for Positive { rule, name, lists } in positives() {
        let (raised, done) = alerts(&rule, &lists);
        for (number, raised) in raised.iter().enumerate() {
            let fault = FAULTS.iter().any(|(file, list, _)| *file == name && *list == number);
            if *raised == fault {
                let text: Vec<String> = lists[number].iter().map(Value::to_string).collect();
                wrong.push(format!(
                    "{name} {number}: {raised} {}\n  {}",
                    done.err,
                    text.join("\n  ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} lists:\n{}", wrong.len(), wrong.join("\n"));
}

/// The tests that decided, as `explain` tells them.
fn decisive(rule: &Path, event: &Value) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("event.ndjson");
    std::fs::write(&path, format!("{event}\n")).unwrap();
    let (rule, path) = (rule.to_str().unwrap(), path.to_str().unwrap());
    let done = kestrel(&["explain", rule, "--event", path, "-o", "json"]);
    let report: Value = serde_json::from_str(&done.out)
        .unwrap_or_else(|error| panic!("{rule}: {error}: {} {}", done.out, done.err));
    let blamed = report["rules"][0]["events"][0]["decided_by"].as_array().unwrap();
    blamed.iter().map(|one| one["field"].as_str().unwrap().to_owned()).collect()
}

/// The event with another value in a field.
fn changed(event: &Value, field: &str) -> Option<Value> {
    let mut event = event.clone();
    let parts: Vec<&str> = field.split('.').collect();
    let (last, path) = parts.split_last()?;
    let mut at = event.as_object_mut()?;
    for part in path {
        at = at.entry(*part).or_insert_with(|| Map::new().into()).as_object_mut()?;
    }
    let other = match at.get(*last) {
        None | Some(Value::Null | Value::String(_)) => json!("no-such-value"),
        Some(Value::Array(_)) => json!(["no-such-value"]),
        Some(Value::Number(_)) => json!(987_654_321),
        Some(Value::Bool(flag)) => json!(!flag),
        Some(Value::Object(_)) => return None,
    };
    at.insert((*last).to_owned(), other);
    Some(event)
}

#[test]
fn another_value_in_a_decisive_field_raises_nothing() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for Positive { rule, name, lists } in positives() {
        let Some([event]) = lists.first().map(Vec::as_slice) else { continue };
        let text = std::fs::read_to_string(&rule).unwrap();
        if text.contains("sequence") && text.contains("maxspan") || text.contains("\nsample") {
            continue;
        }
        let fields = decisive(&rule, event);
        let events: Vec<Vec<Value>> =
            fields.iter().filter_map(|field| Some(vec![changed(event, field)?])).collect();
        if events.is_empty() {
            wrong.push(format!("{name}: nothing decisive among {fields:?}"));
            continue;
        }
        let (raised, _) = alerts(&rule, &events);
        checked += 1;
        if raised.iter().all(|raised| *raised) {
            wrong.push(format!("{name}: still raised with another value in any of {fields:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
}
