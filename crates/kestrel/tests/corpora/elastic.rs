//! Published rules load, match the events that were made for them, and stop matching when one
//! decisive field is another.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Done, corpora, files, kestrel};

mod decisive;

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

/// The events as the generator should have made them.
fn repaired(fault: Fault, query: &str, list: &[Value]) -> Vec<Value> {
    let mut list = list.to_vec();
    for event in &mut list {
        match fault {
            // The first literal of the rule that holds a `*`, as it stands.
            Fault::Wildcard if !event["process"]["args"].is_null() => {
                let literal = query.split('"').find(|text| text.len() > 1 && text.ends_with('*'));
                event["process"]["args"] = json!([literal.unwrap()]);
            }
            Fault::Wildcard => {}
            Fault::Backquotes => *event = unquoted(event),
            Fault::OneType => event["event"]["type"] = json!(["user", "creation"]),
        }
    }
    list
}

/// The event without backquotes in its keys; objects that come to have the same key become one.
fn unquoted(value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let mut all = Map::new();
    for (key, inner) in members {
        let inner = unquoted(inner);
        match all.get_mut(&key.replace('`', "")) {
            Some(Value::Object(known)) => merge(known, inner),
            _ => _ = all.insert(key.replace('`', ""), inner),
        }
    }
    Value::Object(all)
}

fn merge(into: &mut Map<String, Value>, from: Value) {
    let Value::Object(from) = from else { panic!("not an object: {from}") };
    for (key, value) in from {
        match into.get_mut(&key) {
            Some(Value::Object(known)) => merge(known, value),
            _ => _ = into.insert(key, value),
        }
    }
}

/// A list is faulty if the rule matches it as soon as that one fault is repaired, and only then.
#[test]
fn faults_of_the_generator_are_faults() {
    let positives = positives();
    let mut repairs = 0;
    for (file, number, fault) in FAULTS {
        let Some(one) = positives.iter().find(|one| one.name == *file) else { continue };
        let list = &one.lists[*number];
        let mended = repaired(*fault, &one.query(), list);
        assert_ne!(&mended, list, "{file} {number}: there is nothing to repair");
        let (raised, done) = alerts(&one.rule, &[list.clone(), mended]);
        assert_eq!(raised, [false, true], "{file} {number} {fault:?}: {}", done.err);
        repairs += 1;
    }
    assert!(positives.is_empty() || repairs == FAULTS.len(), "{repairs} lists were looked at");
}

/// Files of the rules in a temporary directory, and the events made for each.
struct Positive {
    rule: PathBuf,
    name: String,
    lists: Vec<Vec<Value>>,
}

impl Positive {
    /// What the generator did wrong in that list.
    fn fault(&self, list: usize) -> Option<Fault> {
        let known = FAULTS.iter().find(|(file, number, _)| *file == self.name && *number == list);
        known.map(|(_, _, fault)| *fault)
    }

    /// The query, as it stands in the file.
    fn query(&self) -> String {
        let text = std::fs::read_to_string(&self.rule).unwrap();
        let (_, rule) = text.split_once("\n[rule]\n").unwrap();
        let (_, query) = rule.split_once("\nquery = ").unwrap();
        query.to_owned()
    }

    /// All lists, those with a fault repaired.
    fn sound_lists(&self) -> Vec<Vec<Value>> {
        let lists = self.lists.iter().enumerate().map(|(number, list)| match self.fault(number) {
            Some(fault) => repaired(fault, &self.query(), list),
            None => list.clone(),
        });
        lists.collect()
    }
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
    for one in positives() {
        let Positive { rule, name, lists } = &one;
        let (raised, done) = alerts(rule, lists);
        for (number, raised) in raised.iter().enumerate() {
            if *raised == one.fault(number).is_some() {
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
