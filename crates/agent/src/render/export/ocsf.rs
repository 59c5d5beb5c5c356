//! OCSF: an alert as a Detection Finding (class 2004), version 1.5.0, with the profiles `container`,
//! `host` and `security_control`.
//!
//! Source of names and numbers: <https://schema.ocsf.io/1.5.0/classes/detection_finding>.

use serde_json::{Map, Value as Json, json};

use super::{PRODUCT, VENDOR, at, millis, number, outcome, text};

/// The version of the schema.
pub(super) const VERSION: &str = "1.5.0";
/// Detection Finding.
const CLASS: u64 = 2004;
/// Findings.
const CATEGORY: u64 = 2;
/// A finding that is new.
const CREATE: u64 = 1;

/// An alert as a finding; `document` has ECS names.
pub(crate) fn document(document: &Map<String, Json>) -> Json {
    let severity = text(document, "severity").unwrap_or_default();
    let is_health = at(document, "rule").is_none() && at(document, "process").is_none();
    let mut finding = json!({
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "category_uid": CATEGORY,
        "category_name": "Findings",
        "activity_id": CREATE,
        "activity_name": "Create",
        "type_uid": CLASS * 100 + CREATE,
        "type_name": "Detection Finding: Create",
        "severity_id": severity_id(&severity),
        "severity": words(&severity),
        "status_id": 1,
        "status": "New",
        "is_alert": !is_health,
        "time": millis(document, "@timestamp").unwrap_or_default(),
        "message": text(document, "message"),
        "metadata": {
            "version": VERSION,
            "profiles": ["container", "host", "security_control"],
            "product": {
                "name": PRODUCT, "vendor_name": VENDOR, "version": env!("CARGO_PKG_VERSION"),
            },
            "uid": text(document, "alert.id"),
            "correlation_uid": text(document, "incident.id"),
            "event_code": text(document, "rule.id").or_else(|| text(document, "event.action")),
        },
        "finding_info": info(document),
        "device": device(document),
        "actor": process(document).map(|process| json!({ "process": process })),
        "evidences": evidences(document).map(|one| json!([one])),
    });
    let (action, disposition) = match outcome(document) {
        Some("denied") => ((2, "Denied"), (2, "Blocked")),
        Some(_) => ((3, "Observed"), (1, "Allowed")),
        None => ((3, "Observed"), (19, "Alert")),
    };
    if let Some(finding) = finding.as_object_mut() {
        finding.insert("action_id".to_owned(), action.0.into());
        finding.insert("action".to_owned(), action.1.into());
        finding.insert("disposition_id".to_owned(), disposition.0.into());
        finding.insert("disposition".to_owned(), disposition.1.into());
    }
    without_nulls(&mut finding);
    finding
}

/// Numbers of severities.
fn severity_id(word: &str) -> u64 {
    match word {
        "informational" => 1,
        "low" => 2,
        "medium" => 3,
        "high" => 4,
        "critical" => 5,
        _ => 0,
    }
}

fn words(word: &str) -> String {
    let mut letters = word.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => "Unknown".to_owned(),
    }
}

/// What was found, and by which rule.
fn info(document: &Map<String, Json>) -> Json {
    let rule = at(document, "rule").and_then(Json::as_object);
    let analytic = rule.map(|rule| {
        json!({
            "uid": text(rule, "id"), "name": text(rule, "name"), "type_id": 1, "type": "Rule",
            "version": text(rule, "version"), "desc": text(rule, "description"),
        })
    });
    let attacks = attacks(document);
    json!({
        "uid": text(document, "alert.id").or_else(|| text(document, "event.action"))
            .unwrap_or_else(|| "unknown".to_owned()),
        "title": text(document, "message"),
        "desc": text(document, "rule.description"),
        "created_time": millis(document, "@timestamp"),
        "src_url": text(document, "rule.reference"),
        "analytic": analytic,
        "attacks": if attacks.is_empty() { Json::Null } else { attacks.into() },
    })
}

/// Techniques and tactics of ATT&CK.
fn attacks(document: &Map<String, Json>) -> Vec<Json> {
    let all = |path: &str| {
        let list = at(document, path).and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(Json::as_str)
    };
    let tactics = all("threat.tactic.id").map(|id| json!({ "tactic": { "uid": id } }));
    let techniques = all("threat.technique.id").map(|id| match id.split_once('.') {
        Some((technique, _)) => {
            json!({ "technique": { "uid": technique }, "sub_technique": { "uid": id } })
        }
        None => json!({ "technique": { "uid": id } }),
    });
    tactics.chain(techniques).collect()
}

/// The host.
fn device(document: &Map<String, Json>) -> Option<Json> {
    at(document, "host")?;
    Some(json!({
        "type_id": 0,
        "type": "Unknown",
        "hostname": text(document, "host.name"),
        "uid": text(document, "host.id"),
        "ip": text(document, "host.ip"),
        "boot_uid": text(document, "host.boot.id"),
        "os": { "name": "Linux", "type_id": 200, "type": "Linux" },
    }))
}

/// The process that did it, its parent and its user.
fn process(document: &Map<String, Json>) -> Option<Json> {
    let one = at(document, "process")?.as_object()?;
    let parent = at(one, "parent").and_then(Json::as_object).and_then(|parent| {
        Some(json!({
            "pid": number(parent, "pid")?,
            "uid": text(parent, "entity_id"),
            "name": text(parent, "name"),
            "path": text(parent, "executable"),
            "cmd_line": text(parent, "command_line"),
        }))
    });
    Some(json!({
        "pid": number(one, "pid")?,
        "uid": text(one, "entity_id"),
        "name": text(one, "name"),
        "path": text(one, "executable"),
        "cmd_line": text(one, "command_line").or_else(|| joined(one, "args")),
        "working_directory": text(one, "working_directory"),
        "created_time": millis(one, "start"),
        "file": text(one, "executable").map(|path| file(&path)),
        "user": user(document),
        "parent_process": parent,
        "container": container(document),
    }))
}

fn joined(of: &Map<String, Json>, name: &str) -> Option<String> {
    let words = at(of, name)?.as_array()?;
    Some(words.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" "))
}

fn user(document: &Map<String, Json>) -> Option<Json> {
    let (id, name) = (text(document, "user.id"), text(document, "user.name"));
    (id.is_some() || name.is_some()).then(|| json!({ "uid": id, "name": name }))
}

fn container(document: &Map<String, Json>) -> Option<Json> {
    let (id, name) = (text(document, "container.id"), text(document, "container.name"));
    (id.is_some() || name.is_some())
        .then(|| json!({ "uid": id, "name": name, "runtime": text(document, "container.runtime") }))
}

fn file(path: &str) -> Json {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    json!({ "name": name, "path": path, "parent_folder": folder, "type_id": 1, "type": "Regular File" })
}

/// What it was done to: a file, a peer, and the process.
fn evidences(document: &Map<String, Json>) -> Option<Json> {
    let peer = |side: &str| {
        let ip = text(document, &format!("{side}.ip"));
        let port = number(document, &format!("{side}.port"));
        let domain = text(document, &format!("{side}.domain"));
        (ip.is_some() || domain.is_some())
            .then(|| json!({ "ip": ip, "port": port, "hostname": domain }))
    };
    let evidence = json!({
        "process": process(document),
        "file": text(document, "file.path").map(|path| file(&path)),
        "src_endpoint": peer("source"),
        "dst_endpoint": peer("destination"),
    });
    let is_some = evidence.as_object().is_some_and(|all| all.values().any(|one| !one.is_null()));
    is_some.then_some(evidence)
}

/// The schema has no nulls.
fn without_nulls(value: &mut Json) {
    match value {
        Json::Object(all) => {
            all.retain(|_, one| !one.is_null());
            all.values_mut().for_each(without_nulls);
        }
        Json::Array(all) => all.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
