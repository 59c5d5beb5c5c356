//! Rules of each form and format, run by the agent over real processes: what must be told is, and
//! beside it something that differs in one decisive point is not.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Agent, Lab, root};

/// How long an alert may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A rule of our own with this query, in which `$LAB` is the lab's directory.
fn rule(lab: &Lab, id: &str, query: &str) {
    let query = query.replace("$LAB", &lab.path("").display().to_string());
    let text = format!(
        "[[rule]]\nid = \"{id}\"\nname = \"Test\"\ndescription = \"A test.\"\nseverity = \"low\"\n\
         query = '''\n{query}\n'''\n"
    );
    fs::write(lab.path("rules").join(format!("{id}.toml")), text).unwrap();
}

/// Runs a shell script in the lab and returns the pid of the shell. `b/NAME` is a program of that
/// name that ends at once.
fn script(lab: &Lab, text: &str) -> u32 {
    fs::create_dir_all(lab.path("b")).unwrap();
    for name in ["one", "two", "three", "other"] {
        if !lab.path("b").join(name).exists() {
            fs::copy("/bin/true", lab.path("b").join(name)).unwrap();
        }
    }
    let mut shell = Command::new("/bin/sh").args(["-c", text]).current_dir(lab.path("")).spawn();
    let shell = shell.as_mut().unwrap();
    assert!(shell.wait().unwrap().success(), "{text}");
    shell.id()
}

/// Waits for the alert of a rule, and returns the pids of its events.
fn members(agent: &Agent, id: &str) -> Vec<u64> {
    loop {
        let alert = agent.next(PATIENCE).unwrap_or_else(|| panic!("no alert of {id}"));
        if alert["rule"]["id"] != id {
            continue;
        }
        let events = alert["events"].as_array().cloned().unwrap_or_else(|| vec![alert.clone()]);
        let pid = |event: &Value| {
            let event = event.get("document").unwrap_or(event);
            event["process"]["pid"].as_u64()
        };
        return events.iter().filter_map(pid).collect();
    }
}

/// What comes until a program of the lab's own rule is told: all alerts of another rule.
fn until_marker(lab: &Lab, agent: &Agent, id: &str) -> Vec<Value> {
    let marker = lab.run_scratch("x");
    let mut found = Vec::new();
    loop {
        let alert = agent.next(PATIENCE).expect("an alert of the marker");
        if alert["process"]["pid"] == marker {
            return found;
        }
        if alert["rule"]["id"] == id {
            found.push(alert);
        }
    }
}

#[test]
fn a_sequence_by_entity_id_is_about_one_process() {
    if !root("a_sequence_by_entity_id_is_about_one_process") {
        return;
    }
    let lab = Lab::new();
    rule(
        &lab,
        "same",
        "sequence by process.entity_id with maxspan=1m\n\
         [process where event.action == \"exec\" and process.executable == \"$LABb/one\"]\n\
         [process where event.action == \"exec\" and process.executable == \"$LABb/two\"]",
    );
    fs::create_dir_all(lab.path("b")).unwrap();
    // A shell under the name of the first program, which becomes the second.
    fs::copy("/bin/sh", lab.path("b/one")).unwrap();
    let agent = lab.start();
    script(&lab, "b/one -c 'b/two; :'");
    assert_eq!(until_marker(&lab, &agent, "same"), [] as [Value; 0], "two processes");
    let shell = script(&lab, "exec b/one -c 'exec b/two'");
    assert_eq!(members(&agent, "same"), [u64::from(shell), u64::from(shell)]);
    assert!(agent.stop().success());
}

#[test]
fn until_ends_what_is_pending() {
    if !root("until_ends_what_is_pending") {
        return;
    }
    let lab = Lab::new();
    rule(
        &lab,
        "unless",
        "sequence by process.parent.pid with maxspan=1m\n\
         [process where event.action == \"exec\" and process.executable == \"$LABb/one\"]\n\
         [process where event.action == \"exec\" and process.executable == \"$LABb/two\"]\n\
         until [process where event.action == \"exec\" and process.executable == \"$LABb/three\"]",
    );
    let agent = lab.start();
    script(&lab, "b/one; b/three; b/two; :");
    assert_eq!(until_marker(&lab, &agent, "unless"), [] as [Value; 0], "it was ended");
    script(&lab, "b/one; b/other; b/two; :");
    assert_eq!(members(&agent, "unless").len(), 2);
    assert!(agent.stop().success());
}

#[test]
fn what_is_missing_between_two_events_is_told() {
    if !root("what_is_missing_between_two_events_is_told") {
        return;
    }
    let lab = Lab::new();
    rule(
        &lab,
        "without",
        "sequence by process.parent.pid with maxspan=1m\n\
         [process where event.action == \"exec\" and process.executable == \"$LABb/one\"]\n\
         ![process where event.action == \"exec\" and process.executable == \"$LABb/two\"]\n\
         [process where event.action == \"exec\" and process.executable == \"$LABb/three\"]",
    );
    let agent = lab.start();
    script(&lab, "b/one; b/two; b/three; :");
    assert_eq!(until_marker(&lab, &agent, "without"), [] as [Value; 0], "it was there");
    script(&lab, "b/one; b/other; b/three; :");
    assert_eq!(members(&agent, "without").len(), 2);
    assert!(agent.stop().success());
}

#[test]
fn a_directory_of_sigma_rules_and_a_correlation_run() {
    if !root("a_directory_of_sigma_rules_and_a_correlation_run") {
        return;
    }
    let lab = Lab::new();
    let home = lab.path("").display().to_string();
    let sigma = |name: &str, text: &str| {
        fs::create_dir_all(lab.path("rules/sigma")).unwrap();
        fs::write(lab.path("rules/sigma").join(name), text.replace("$LAB", &home)).unwrap();
    };
    sigma(
        "one.yml",
        "title: The first program with a flag\nid: 5f0b8f1e-0000-4000-8000-000000000001\nname: first\n\
         status: test\nlogsource:\n  product: linux\n  category: process_creation\ndetection:\n  \
         selection:\n    Image|endswith: '/b/one'\n    CommandLine|contains: '--flag'\n  \
         condition: selection\nlevel: high\n",
    );
    sigma(
        "many.yml",
        "title: The second program\nid: 5f0b8f1e-0000-4000-8000-000000000002\nname: second\n\
         status: test\nlogsource:\n  product: linux\n  category: process_creation\ndetection:\n  \
         selection:\n    Image|endswith: '/b/two'\n  condition: selection\nlevel: low\n---\n\
         title: The second program three times\nid: 5f0b8f1e-0000-4000-8000-000000000003\n\
         status: test\ncorrelation:\n  type: event_count\n  rules:\n    - second\n  group-by:\n    \
         - User\n  timespan: 1m\n  condition:\n    gte: 3\nlevel: high\n",
    );
    let agent = lab.start();
    let (single, many) =
        ("5f0b8f1e-0000-4000-8000-000000000001", "5f0b8f1e-0000-4000-8000-000000000003");
    script(&lab, "b/one --other; b/two; b/two; :");
    for id in [single, many] {
        assert_eq!(until_marker(&lab, &agent, id), [] as [Value; 0], "{id}: not this, and not yet");
    }
    script(&lab, "b/one --flag; :");
    assert_eq!(members(&agent, single).len(), 1);
    script(&lab, "b/two; :");
    assert!(!members(&agent, many).is_empty(), "the third one");
    assert!(agent.stop().success());
}

#[test]
fn an_elastic_rule_runs_as_it_is() {
    if !root("an_elastic_rule_runs_as_it_is") {
        return;
    }
    let lab = Lab::new();
    let text = "[metadata]\ncreation_date = \"2024/01/01\"\nmaturity = \"production\"\n\n[rule]\n\
                author = [\"Test\"]\ndescription = \"A test.\"\nlanguage = \"eql\"\nlicense = \"Test\"\n\
                name = \"Elastic test\"\nrisk_score = 47\nrule_id = \"elastic-test\"\n\
                severity = \"medium\"\ntype = \"eql\"\nquery = '''\n\
                process where host.os.type == \"linux\" and event.type == \"start\" and \
                event.action in (\"exec\", \"exec_event\", \"start\") and process.name == \"one\" and \
                process.args == \"--flag\" and not process.parent.name == \"nobody\"\n'''\n";
    fs::write(lab.path("rules/elastic.toml"), text).unwrap();
    let agent = lab.start();
    script(&lab, "b/one --other; :");
    assert_eq!(until_marker(&lab, &agent, "elastic-test"), [] as [Value; 0], "another argument");
    script(&lab, "b/one --flag; :");
    assert_eq!(members(&agent, "elastic-test").len(), 1);
    let rules = lab.ask(&["rules", "-o", "json"]);
    let rules: Value = serde_json::from_slice(&rules.stdout).unwrap();
    let formats = rules["rules"].as_array().unwrap().iter().map(|rule| rule["format"].clone());
    let formats: Vec<Value> = formats.collect();
    assert!(formats.contains(&"elastic".into()) && formats.contains(&"own".into()), "{formats:?}");
    assert!(agent.stop().success());
}
