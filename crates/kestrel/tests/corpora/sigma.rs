//! Published Sigma rules load, or are refused with the reason.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{corpora, files, kestrel};

/// Categories of which every rule runs, and how many rules there are at least.
const RUN: &[&str] = &["process_creation", "file_event", "network_connection"];
const RUN_MIN: usize = 167;
const ALL_MIN: usize = 248;

fn report(directory: &str) -> Option<Value> {
    let path = corpora()?.join("sigma").join(directory);
    let done = kestrel(&["check", path.to_str().unwrap(), "-o", "json"]);
    Some(serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}", done.err)))
}

fn errors(report: &Value) -> Vec<(String, String)> {
    let found = report["diagnostics"].as_array().unwrap().iter();
    found
        .filter(|found| found["level"] == "error")
        .map(|found| {
            let message = format!("{} {}", found["code"], found["message"]);
            (found["file"].as_str().unwrap().to_owned(), message)
        })
        .collect()
}

#[test]
fn rules_of_processes_files_and_connections_all_run() {
    let mut rules = 0;
    for category in RUN {
        let Some(report) = report(category) else { return };
        assert_eq!(errors(&report), [], "{category}");
        rules += report["rules"].as_u64().unwrap();
    }
    assert!(rules >= RUN_MIN as u64, "{rules} rules");
}

#[test]
fn a_rule_that_does_not_run_is_refused_with_the_reason() {
    let Some(report) = report("") else { return };
    let all = files("sigma", &["yml", "yaml"]).len();
    assert!(all >= ALL_MIN, "{all} rules");
    let errors = errors(&report);
    let refused: BTreeSet<&String> = errors.iter().map(|(file, _)| file).collect();
    let loaded = usize::try_from(report["rules"].as_u64().unwrap()).unwrap();
    assert_eq!(loaded + refused.len(), all, "a file was neither loaded nor refused");
    for (file, message) in &errors {
        eprintln!("refused: {file}: {message}");
        assert!(message.len() > 20, "{file}: {message} is no reason");
    }
}

/// Rules that run on documents only, with the fields that no live event has.
fn documents_only(report: &Value) -> Vec<(String, String)> {
    let found = report["diagnostics"].as_array().unwrap().iter();
    found
        .filter(|one| one["code"] == "W006")
        .filter(|one| one["help"].as_str().unwrap().contains("never matches"))
        .map(|one| {
            let file = one["file"].as_str().unwrap().rsplit('/').next().unwrap();
            (file.to_owned(), one["message"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn a_rule_that_no_live_event_satisfies_says_which_field_is_missing() {
    let Some(report) = report("") else { return };
    let rules = documents_only(&report);
    for (file, message) in &rules {
        eprintln!("documents only: {file}: {message}");
    }
    // Texts of services, and what only the audit daemon and name servers tell.
    let unavoidable = ["message", "USER", "auditd.", "destination.domain"];
    for (file, message) in &rules {
        assert!(message.starts_with("no sensor fills `"), "{file}: {message}");
        assert!(unavoidable.iter().any(|field| message.contains(field)), "{file}: {message}");
    }
    // Executions and files are events: a rule on their records alone is never among them.
    let lists = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap().to_lowercase();
        let types: Vec<&str> =
            text.lines().filter_map(|line| line.trim().strip_prefix("type: ")).collect();
        let carried = ["execve", "'execve'", "path", "'path'"];
        !types.is_empty() && types.iter().all(|kind| carried.contains(kind))
    };
    let carried: Vec<_> = files("sigma/other", &["yml"]).into_iter().filter(lists).collect();
    assert!(carried.len() >= 30, "{} rules on such records", carried.len());
    for path in carried {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!rules.iter().any(|(file, _)| file == name), "{name} should run on live events");
    }
}
