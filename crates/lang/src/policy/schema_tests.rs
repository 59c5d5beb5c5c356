//! The schema, the reader and the writer of policies say the same.

use std::collections::BTreeSet;

use model::policy::{Place, Policy};
use serde_json::{Value, json};

use super::tests::{FULL, spec};
use super::tree::ASKED;
use super::{INCLUDES, include, load, write};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../docs/reference/policy.schema.json")).unwrap()
}

/// Why the schema refuses a document.
fn refused(document: &Value) -> Option<String> {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("policy.json", schema()).unwrap();
    let index = compiler.compile("policy.json", &mut schemas).unwrap();
    schemas.validate(document, index).err().map(|error| error.to_string())
}

fn of_yaml(text: &str) -> Value {
    yaml_serde::from_str(text).unwrap()
}

/// All kinds of subjects and objects that `FULL` lacks.
const MORE: &str = r#"
  subjects: {web: {script: /srv/a.py, ancestor: "**/sshd", hash: "AAAA", group: [0, wheel]}}
  allowOnly: [{id: l, subject: web, operations: [file, network], errno: ENOENT, include: [terminal, name-resolution]}]
  rules:
    - {id: a, subject: {cgroup: /a, unit: [x.service], loginSession: false}, deny: execute, hashes: "AAAA"}
    - {id: b, subject: {container: [web-*, {name: db, image: "x/*", labels: {tier: back}}]}, deny: read, createdBy: web}
    - {id: c, deny: [ptrace, signal], processes: [web, {executable: /a}]}
    - {id: d, deny: connect, peers: ["*:/udp", ":/17", "[::/0]/tcp"], after: {operations: connect, domains: a.b, peers: "10.0.0.0/8"}}
    - {id: e, deny: capability, capabilities: sys_admin, after: {operations: capability, capabilities: CAP_BPF}}
    - {id: f, deny: read, files: /x, after: {operations: execute, hashes: ["AAAA"], createdBy: [web]}}
    - {id: g, deny: read, files: /x, after: {operations: signal, processes: web}}
"#;

/// Every policy text that is written down in the project.
fn texts() -> Vec<(String, String)> {
    let mut all = vec![("full".to_owned(), spec(FULL))];
    all.push(("more".to_owned(), spec(&MORE.replace("AAAA", &"a1".repeat(32)))));
    all.extend(INCLUDES.map(|name| (name.to_owned(), include(name).unwrap().to_owned())));
    let page = include_str!("../../../../docs/policy.md");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let whole = blocks.filter(|text| text.starts_with("apiVersion"));
    all.extend(whole.map(|text| ("docs/policy.md".to_owned(), text.to_owned())));
    assert!(all.len() > 2 + INCLUDES.len(), "the page has an example");
    all
}

/// What a text means, without where it says so.
fn meaning(name: &str, text: &str) -> Vec<Policy> {
    let loaded = load([(name.to_owned(), text.to_owned())]);
    assert!(loaded.diagnostics.is_empty(), "{name}: {:#?}", loaded.diagnostics);
    let mut policies = loaded.policies;
    for policy in &mut policies {
        policy.rules.iter_mut().for_each(|rule| rule.place = Place::default());
        policy.allow_lists.iter_mut().for_each(|list| list.place = Place::default());
    }
    policies
}

#[test]
fn every_policy_that_is_read_is_valid() {
    for (name, text) in texts() {
        meaning(&name, &text);
        assert_eq!(refused(&of_yaml(&text)), None, "{name}");
    }
}

#[test]
fn what_is_written_out_is_valid_and_means_the_same() {
    for (name, text) in texts() {
        let policies = meaning(&name, &text);
        let documents: Vec<Value> = policies.iter().map(write::document).collect();
        for document in &documents {
            assert_eq!(refused(document), None, "{name}");
        }
        let written = write::yaml(&documents);
        // The order of allow-lists and rules is that of the keys.
        let mut again = meaning(&name, &written);
        let sort = |policies: &mut Vec<Policy>| {
            for policy in policies {
                policy.rules.sort_by(|a, b| a.id.cmp(&b.id));
            }
        };
        let mut policies = policies;
        sort(&mut policies);
        sort(&mut again);
        assert_eq!(again, policies, "{written}");
    }
}

/// The sets of keys of all objects of the schema.
fn keys_of(value: &Value, all: &mut BTreeSet<BTreeSet<String>>) {
    match value {
        Value::Object(map) => {
            if map.get("additionalProperties") == Some(&Value::Bool(false)) {
                let keys = map["properties"].as_object().unwrap().keys().cloned();
                all.insert(keys.collect());
            }
            map.values().for_each(|inner| keys_of(inner, all));
        }
        Value::Array(items) => items.iter().for_each(|inner| keys_of(inner, all)),
        _ => {}
    }
}

#[test]
fn the_reader_and_the_schema_know_the_same_keys() {
    ASKED.with_borrow_mut(BTreeSet::clear);
    for (name, text) in texts() {
        meaning(&name, &text);
    }
    let read: BTreeSet<BTreeSet<String>> = ASKED.with_borrow(|all| {
        all.iter().map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()).collect()
    });
    let mut known = BTreeSet::new();
    keys_of(&schema(), &mut known);
    let unread: Vec<_> = known.difference(&read).collect();
    let unknown: Vec<_> = read.difference(&known).collect();
    assert!(
        unread.is_empty() && unknown.is_empty(),
        "only schema: {unread:#?}\nonly reader: {unknown:#?}"
    );
    assert!(read.len() >= 7, "document, metadata, spec, rule, list, subject, container, after");
}

/// A change of a document.
type Edit = fn(&mut Value);

#[test]
fn what_the_reader_refuses_is_not_valid_either() {
    let good = of_yaml(&spec("  rules: [{id: a, deny: read, files: /x}]\n"));
    assert_eq!(refused(&good), None);
    let edits: [(&str, Edit); 10] = [
        ("/apiVersion", |all| all["apiVersion"] = json!("aegisbpf.io/v2")),
        ("unknown key", |all| all["spec"]["rule"] = json!([])),
        ("no rule", |all| all["spec"] = json!({})),
        ("unknown operation", |all| all["spec"]["rules"][0]["deny"] = json!("reed")),
        ("relative path", |all| all["spec"]["rules"][0]["files"] = json!("x")),
        ("two verdicts", |all| all["spec"]["rules"][0]["kill"] = json!("read")),
        ("no verdict", |all| all["spec"]["rules"][0] = json!({"id": "a"})),
        ("until without reason", |all| {
            all["spec"]["rules"][0] =
                json!({"id": "a", "allow": "read", "until": "2026-12-24T18:00:00Z"});
        }),
        ("errno of kill", |all| {
            all["spec"]["rules"][0] = json!({"id": "a", "kill": "read", "errno": "EPERM"});
        }),
        ("a subject that names nobody", |all| {
            all["spec"]["rules"][0]["subject"] = json!({"descendants": true});
        }),
    ];
    for (what, edit) in edits {
        let mut bad = good.clone();
        edit(&mut bad);
        let text = serde_json::to_string(&bad).unwrap();
        assert!(load([("p.yaml".to_owned(), text)]).has_errors(), "{what}: it is read");
        assert!(refused(&bad).is_some(), "{what}: it is valid");
    }
}
