//! Log sources, and what Sigma's fields are in events.

use serde_json::{Value, json};

use super::{matched_in, refused, rule};

const NONE: [u64; 0] = [];

fn event(category: &str, kind: &str, action: &str) -> Value {
    json!({ "event.category": category, "event.type": kind, "event.action": action, "file.path": "/x",
            "process.executable": "/x", "dns.question.name": if category == "dns" { "x" } else { "" } })
}

/// The events of [`EVENTS`] that a category means.
#[track_caller]
fn of(category: &str, field: &str) -> Vec<u64> {
    let events: Vec<Value> = EVENTS.iter().map(|(c, t, a)| event(c, t, a)).collect();
    let detection = format!("  s:\n    {field}: '/x'\n  condition: s");
    matched_in(&format!("category: {category}"), &detection, &events)
}

const EVENTS: &[(&str, &str, &str)] = &[
    ("process", "start", "exec"),
    ("process", "start", "fork"),
    ("process", "end", "end"),
    ("process", "info", "ptrace"),
    ("file", "creation", "creation"),
    ("file", "change", "modification"),
    ("file", "change", "rename"),
    ("file", "deletion", "deletion"),
    ("file", "access", "open"),
    ("file", "change", "attribute_change"),
    ("network", "start", "connection_attempted"),
    ("network", "end", "disconnect_received"),
    ("driver", "start", "load_module"),
];

#[test]
fn categories_mean_events_by_category_type_and_action() {
    assert_eq!(of("process_creation", "Image"), [1], "a fork starts no program");
    assert_eq!(of("process_termination", "Image"), [3]);
    assert_eq!(of("process_access", "Image"), [4]);
    assert_eq!(of("file_event", "TargetFilename"), [5, 6, 7]);
    assert_eq!(of("file_change", "TargetFilename"), [6, 7, 10]);
    assert_eq!(of("file_rename", "TargetFilename"), [7]);
    assert_eq!(of("file_delete", "TargetFilename"), [8]);
    assert_eq!(of("file_access", "TargetFilename"), [9]);
    assert_eq!(of("network_connection", "Image"), [11]);
    assert_eq!(of("driver_load", "ImageLoaded"), [13]);
}

#[test]
fn fields_of_processes_are_those_of_ecs() {
    let fields = [
        ("Image", "process.executable"),
        ("CommandLine", "process.command_line"),
        ("ParentImage", "process.parent.executable"),
        ("ParentCommandLine", "process.parent.command_line"),
        ("CurrentDirectory", "process.working_directory"),
        ("User", "user.name"),
        ("LogonId", "process.Ext.login_user.id"),
        ("LogonId", "user.audit.id"),
    ];
    for (sigma, ecs) in fields {
        let yes = json!({ "event.category": "process", "event.type": "start", ecs: "77" });
        let no = json!({ "event.category": "process", "event.type": "start", ecs: "78" });
        let detection = format!("  s:\n    {sigma}: 77\n  condition: s");
        let found = matched_in("category: process_creation", &detection, &[no, yes]);
        assert_eq!(found, [2], "{sigma} is {ecs}");
    }
}

#[test]
fn fields_of_files_and_connections_are_those_of_ecs() {
    let fields = [
        ("file_event", "file", "TargetFilename", "file.path", json!("7")),
        ("network_connection", "network", "DestinationPort", "destination.port", json!(7)),
        ("network_connection", "network", "DestinationHostname", "destination.domain", json!("7")),
        ("network_connection", "network", "SourcePort", "source.port", json!(7)),
    ];
    for (source, category, sigma, ecs, value) in fields {
        let event = |value: &Value| {
            let kind = if category == "file" { "creation" } else { "start" };
            json!({ "event.category": category, "event.type": [kind], ecs: value })
        };
        let detection = format!("  s:\n    {sigma}: 7\n  condition: s");
        let events = [event(&json!("8")), event(&value)];
        let found = matched_in(&format!("category: {source}"), &detection, &events);
        assert_eq!(found, [2], "{sigma} is {ecs}");
    }
}

#[test]
fn initiated_is_the_direction() {
    let events = ["ingress", "egress"].map(|direction| {
        json!({ "event.category": "network", "event.type": ["start"], "network.direction": direction })
    });
    let of = |value: &str| {
        let detection = format!("  s:\n    Initiated: {value}\n  condition: s");
        matched_in("category: network_connection", &detection, &events)
    };
    assert_eq!((of("true"), of("'true'"), of("false")), (vec![2], vec![2], vec![1]));
}

#[test]
fn keywords_are_looked_for_in_the_raw_record() {
    let events = [
        json!({ "message": "session opened for ROOT by x" }),
        json!({ "event.original": "session opened for root" }),
        json!({ "message": "session closed for root" }),
        json!({ "process.command_line": "session opened for root" }),
    ];
    let all = "  keywords:\n    '|all':\n      - opened\n      - root\n  condition: keywords";
    assert_eq!(matched_in("service: sshd", all, &events), [1, 2]);
    let any = "  keywords:\n    - opened\n    - closed\n  condition: keywords";
    assert_eq!(matched_in("service: sshd", any, &events), [1, 2, 3]);
    let wild = "  keywords:\n    - 'opened*by'\n  condition: keywords";
    assert_eq!(matched_in("service: sshd", wild, &events), [1]);
}

#[test]
fn without_service_keywords_are_looked_for_in_what_is_typed_too() {
    let line = json!("cat /dev/tcp/1.2.3.4/5");
    let events = [
        json!({ "event.category": "process", "event.type": "start", "process.command_line": line }),
        json!({ "event.category": "process", "event.type": "end", "process.command_line": line }),
        json!({ "message": line }),
    ];
    let source = "\ndefinition: x";
    let text = "title: T\nid: t\nlogsource: {product: linux}\ndetection:\n  keywords:\n    - /dev/tcp/\n  condition: keywords\n";
    let (alerts, _) = super::run(text, &events);
    let found: Vec<u64> = alerts.into_iter().flat_map(|(_, members)| members).collect();
    assert_eq!(found, [1, 3], "once for a process, when it starts {source}");
}

#[test]
fn what_no_linux_host_sees_is_refused() {
    let of = |source: &str| refused(&rule(source, "  s:\n    Image: x\n  condition: s"));
    assert!(of("category: registry_set").contains("`registry_set`"));
    let windows = "title: T\nid: t\nlogsource: {product: windows, category: process_creation}\n\
                   detection:\n  s:\n    Image: x\n  condition: s\n";
    assert!(refused(windows).contains("`windows`"));
    let linux = matched_in("category: process_creation", "  s:\n    Image: x\n  condition: s", &[]);
    assert_eq!(linux, NONE, "the control is run");
}
