//! The forms against their official definitions.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::render::{denial, health};

/// The official schema, packaged for Python, without dependencies of its own.
const SCHEMA: &str = "ocsf-json-schema==1.2.0";
/// Prints the schema of a Detection Finding with its profiles.
const PRINT: &str = "import json, sys
from ocsf_json_schema import get_ocsf_schema, OcsfJsonSchemaEmbedded
schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=sys.argv[1]))
print(json.dumps(schema.get_class_schema('detection_finding', profiles=['container', 'host', 'security_control'])))";

fn map(json: Json) -> Map<String, Json> {
    let Json::Object(map) = json else { panic!("no object") };
    map
}

/// Alerts of all kinds: about a process, a connection, a file, a denial, and the agent itself.
fn documents() -> Vec<Map<String, Json>> {
    let process = json!({
        "entity_id": "0b33", "pid": 7, "name": "x", "executable": "/tmp/x", "args": ["x", "-a=b|c"],
        "start": "2026-11-23T11:45:40.472863471Z", "working_directory": "/tmp",
        "parent": { "pid": 1, "entity_id": "0a", "name": "init", "executable": "/sbin/init" },
    });
    let alert = |more: Json| {
        let mut one = map(json!({
            "@timestamp": "2026-11-23T11:45:41.002944260Z",
            "event": { "kind": "alert", "category": ["process"], "type": ["start"], "action": "exec",
                "outcome": "success" },
            "host": { "name": "vm", "id": "3d", "ip": ["192.0.2.2"], "boot": { "id": "a0" } },
            "user": { "id": "0", "name": "root" }, "message": "Run \\ from | /tmp\nnow",
            "alert": { "id": "ab" }, "severity": "high", "process": process,
            "rule": { "id": "exec-from-tmp", "name": "n", "description": "d", "severity": "high" },
            "threat": { "technique": { "id": ["T1059.004", "T1204"] }, "tactic": { "id": ["TA0002"] } },
        }));
        one.extend(map(more));
        one
    };
    let denied = |what: Json| {
        let mut told = map(json!({
            "time": "2026-11-23T11:45:41Z", "operation": "read", "outcome": "denied", "id": "cd",
            "rule": "base/secrets", "place": "p.yaml:3", "pid": 7, "executable": "/bin/cat",
            "uid": 1000, "generation": 2, "object": "/etc/shadow",
        }));
        told.extend(map(what));
        denial::document(&Json::Object(told))
    };
    vec![
        alert(json!({})),
        alert(json!({ "file": { "path": "/etc/shadow", "name": "shadow" } })),
        alert(json!({ "destination": { "ip": "192.0.2.9", "port": 443, "domain": "a.example" },
            "source": { "ip": "192.0.2.2", "port": 50_000 }, "network": { "transport": "tcp" },
            "container": { "id": "c1", "name": "web", "runtime": "docker" } })),
        denied(json!({})),
        denied(json!({ "outcome": "would be denied" })),
        denied(json!({ "operation": "connect", "peer": ["192.0.2.9", 443, 6] })),
        health::document("rule_slow", "rule `a` is slow", Some(json!({ "id": "a" })), &json!({})),
        health::document("rules_refused", "the rules stay as they were", None, &json!({})),
    ]
}

/// Python with the schema, or why there is none.
fn python() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/ocsf");
    let python = home.join("bin/python");
    let run = |command: &mut Command| match command.output() {
        Ok(done) if done.status.success() => Ok(done.stdout),
        Ok(done) => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    };
    if run(Command::new(&python).args(["-c", "import ocsf_json_schema"])).is_err() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        let quick = ["--disable-pip-version-check", "--retries", "1", "--timeout", "20"];
        run(Command::new(&python).args(["-m", "pip", "install", "-q", SCHEMA]).args(quick))?;
    }
    Ok(python)
}

#[test]
fn each_alert_is_a_finding_by_the_official_schema() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            println!("SKIP each_alert_is_a_finding_by_the_official_schema: no schema: {reason}");
            return;
        }
    };
    let printed = Command::new(python).args(["-c", PRINT, ocsf::VERSION]).output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let schema: Json = serde_json::from_slice(&printed.stdout).unwrap();
    let place = "https://ocsf.test/detection_finding.json";
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource(place, schema).unwrap();
    let index = compiler.compile(place, &mut schemas).unwrap();
    for document in documents() {
        let finding = ocsf(&document);
        let valid = schemas.validate(&finding, index);
        assert!(valid.is_ok(), "{:#}\n{finding:#}", valid.unwrap_err());
    }
    let mut broken = ocsf(&documents()[0]);
    broken["severity_id"] = json!("high");
    assert!(schemas.validate(&broken, index).is_err(), "the control");
}

#[test]
fn a_finding_says_what_the_alert_says() {
    let all = documents();
    let finding = ocsf(&all[2]);
    let at = |pointer: &str| finding.pointer(pointer).unwrap_or(&Json::Null);
    assert_eq!((at("/class_uid"), at("/type_uid")), (&2004.into(), &200_401.into()));
    assert_eq!((at("/severity_id"), at("/time")), (&4.into(), &1_795_434_341_002_i64.into()));
    assert_eq!(at("/finding_info/analytic/uid"), "exec-from-tmp");
    assert_eq!(at("/finding_info/attacks/1/sub_technique/uid"), "T1059.004");
    assert_eq!(at("/finding_info/attacks/1/technique/uid"), "T1059");
    assert_eq!(at("/actor/process/parent_process/path"), "/sbin/init");
    assert_eq!(at("/actor/process/cmd_line"), "x -a=b|c");
    assert_eq!(at("/evidences/0/dst_endpoint/port"), 443);
    assert_eq!(at("/disposition"), "Alert");
    assert_eq!(
        (ocsf(&all[3])["disposition"].as_str(), &ocsf(&all[3])["action_id"]),
        (Some("Blocked"), &2.into())
    );
    assert_eq!(ocsf(&all[4])["disposition"], "Allowed");
    assert_eq!(ocsf(&all[7])["is_alert"], false);
}

/// The parts of a line of CEF: the head, and the extension by keys, as a reader takes them.
fn parts(line: &str) -> (Vec<String>, Vec<(String, String)>) {
    let (mut head, mut part, mut letters) = (Vec::new(), String::new(), line.chars());
    while head.len() < 7 {
        match letters.next().unwrap() {
            '\\' => part.push(letters.next().unwrap()),
            '|' => head.push(std::mem::take(&mut part)),
            letter => part.push(letter),
        }
    }
    let rest: String = letters.collect();
    // A key is a word before an `=` that nothing escapes.
    let keys = regex::Regex::new(r"(?:^| )([A-Za-z0-9]+)=").unwrap();
    let found: Vec<_> =
        keys.captures_iter(&rest).map(|one| (one.get(0).unwrap(), one[1].to_owned())).collect();
    let ends = found.iter().skip(1).map(|one| one.0.start()).chain([rest.len()]);
    let value = |(from, to): (usize, usize)| {
        let text = rest[from..to].replace("\\=", "=").replace("\\n", "\n").replace("\\r", "\r");
        text.replace("\\\\", "\\")
    };
    let values =
        found.iter().zip(ends).map(|(one, end)| (one.1.clone(), value((one.0.end(), end))));
    (head, values.collect())
}

#[test]
fn a_line_of_cef_is_read_back_as_it_was_meant() {
    let all = documents();
    let (head, values) = parts(&cef(&all[2]));
    assert_eq!(head[..3], ["CEF:0", "AegisBPF", "aegisbpf"]);
    assert_eq!(head[4..], ["exec-from-tmp", "Run \\ from | /tmp now", "8"]);
    let of = |name: &str| values.iter().find(|one| one.0 == name).map(|one| one.1.as_str());
    assert_eq!(
        (of("dst"), of("dpt"), of("dhost")),
        (Some("192.0.2.9"), Some("443"), Some("a.example"))
    );
    assert_eq!(
        (of("rt"), of("spid"), of("cat")),
        (Some("1795434341002"), Some("7"), Some("process"))
    );
    assert_eq!((of("cs3Label"), of("cs3")), (Some("technique"), Some("T1059.004")));
    let mut odd = all[1].clone();
    odd.insert("file".to_owned(), json!({ "path": "/a=b\\c\nd |e" }));
    assert!(!cef(&odd).contains('\n'), "it stays one line");
    let (_, values) = parts(&cef(&odd));
    assert!(values.contains(&("filePath".to_owned(), "/a=b\\c\nd |e".to_owned())), "{values:?}");
    let (_, values) = parts(&cef(&all[3]));
    assert!(values.contains(&("reason".to_owned(), "denied".to_owned())), "{values:?}");
    let (head, values) = parts(&cef_notice(7));
    assert_eq!((head[4].as_str(), values[0].1.as_str()), ("lines-lost", "7"));
}

#[test]
fn what_is_no_field_of_ecs_stands_below_our_own_name() {
    for document in documents() {
        let ecs = ecs(&document, "the-id");
        for own in ["alert", "severity", "kestrel", "events", "incident"] {
            assert!(ecs.get(own).is_none(), "{own}: {ecs:#}");
        }
        assert!(ecs.pointer("/rule/severity").is_none() && ecs.pointer("/rule/file").is_none());
        assert_eq!(
            (&ecs["ecs"]["version"], &ecs["event"]["id"]),
            (&"8.17.0".into(), &"the-id".into())
        );
    }
    let all = documents();
    let alert = ecs(&all[0], "ab");
    assert_eq!(
        (&alert["event"]["severity"], &alert["aegisbpf"]["severity"]),
        (&73.into(), &"high".into())
    );
    assert_eq!(
        (&alert["aegisbpf"]["alert"]["id"], &alert["rule"]["id"]),
        (&"ab".into(), &"exec-from-tmp".into())
    );
    let denied = ecs(&all[3], "cd");
    assert_eq!(
        (&denied["aegisbpf"]["rule"]["file"], &denied["rule"]["ruleset"]),
        (&"p.yaml".into(), &"base".into())
    );
    let health = ecs(&all[7], "ef");
    assert_eq!(
        (&health["event"]["severity"], &health["aegisbpf"]["health"]),
        (&0.into(), &json!({}))
    );
}

#[test]
fn falcosidekick_gets_what_falco_would_say() {
    let all = documents();
    let told = falco(&all[2], "ab");
    assert_eq!(
        (&told["priority"], &told["rule"], &told["uuid"]),
        (&"Error".into(), &"n".into(), &"ab".into())
    );
    assert_eq!(told["time"], "2026-11-23T11:45:41.002944260Z");
    assert_eq!(told["tags"], json!(["TA0002", "T1059.004", "T1204"]));
    let fields = &told["output_fields"];
    assert_eq!((&fields["proc.exepath"], &fields["fd.rport"]), (&"/tmp/x".into(), &443.into()));
    assert_eq!((&fields["container.name"], &fields["alert.id"]), (&"web".into(), &"ab".into()));
    assert_eq!(falco(&all[7], "x")["rule"], "rules_refused", "what is told of the agent itself");
}
