//! Rules on audit records: on records in documents, and on the live events that stand for them.

use serde_json::{Value, json};

use super::matched_in;

#[track_caller]
fn of(detection: &str, events: &[Value]) -> Vec<u64> {
    matched_in("service: auditd", detection, events)
}

fn exec(args: &[&str]) -> Value {
    json!({ "event.category": "process", "event.type": "start", "event.action": "exec", "process.args": args,
            "process.command_line": args.join(" "), "process.name": args[0], "process.executable": format!("/usr/bin/{}", args[0]) })
}

#[test]
fn records_in_documents_are_read_under_the_names_of_auditbeat() {
    let record = |kind: &str, a0: Value| json!({ "auditd.message_type": kind, "auditd.data.a0": a0, "auditd.data.syscall": "ptrace" });
    let events = [
        record("execve", json!("zip")),
        record("EXECVE", json!("zip")),
        record("path", json!("zip")),
        record("EXECVE", json!("unzip")),
        record("EXECVE", json!(77)),
    ];
    assert_eq!(of("  s:\n    type: EXECVE\n    a0: zip\n  condition: s", &events), [1, 2]);
    assert_eq!(of("  s:\n    type: EXECVE\n    a0: 77\n  condition: s", &events), [5]);
    let call = "  s:\n    type: PATH\n    SYSCALL: ptrace\n  condition: s";
    assert_eq!(of(call, &events), [3]);
}

#[test]
fn an_execution_is_its_execve_record() {
    let events = [
        exec(&["chmod", "777", "/x"]),
        exec(&["chmod", "/x", "777"]),
        exec(&["chown", "777", "/x"]),
        json!({ "event.category": "process", "event.type": "end", "event.action": "end", "process.args": ["chmod", "777"] }),
    ];
    let rule = "  s:\n    type: EXECVE\n    a0: chmod\n    a1: 777\n  condition: s";
    assert_eq!(of(rule, &events), [1], "each argument has its place");
    assert_eq!(of(&rule.replace("a1: 777", "a1|startswith: /"), &events), [2]);
    assert_eq!(of(&rule.replace("condition: s", "condition: not s"), &events), [2, 3, 4]);
    assert_eq!(of("  s:\n    a2: /x\n  condition: s", &events), [1, 3], "without a type");
    let absent = "  s:\n    type: EXECVE\n    a0: chmod\n    a3: null\n  condition: s";
    assert_eq!(of(absent, &events), [1, 2]);
}

#[test]
fn keywords_of_audit_rules_are_looked_for_in_the_command_line() {
    let events = [exec(&["grep", "-r", "password"]), exec(&["grep", "x"]), exec(&["pass", "word"])];
    let rule = "  t:\n    type: EXECVE\n  k:\n    '|all':\n      - grep\n      - password\n  condition: t and k";
    assert_eq!(of(rule, &events), [1]);
}

#[test]
fn a_file_event_is_its_path_record() {
    let file = |path: &str, kind: &str| json!({ "event.category": "file", "event.type": kind, "event.action": kind, "file.path": path });
    let events = [
        file("/etc/ld.so.preload", "creation"),
        file("/etc/ld.so.preload", "deletion"),
        file("/etc/other", "creation"),
        json!({ "auditd.message_type": "path", "auditd.data.name": "/etc/ld.so.preload", "auditd.data.nametype": "CREATE" }),
    ];
    let rule = "  s:\n    type: PATH\n    name: /etc/ld.so.preload\n  condition: s";
    assert_eq!(of(rule, &events), [1, 2, 4]);
    let created = rule.replace("  condition", "    nametype: CREATE\n  condition");
    assert_eq!(of(&created, &events), [1, 4]);
}

#[test]
fn system_calls_that_live_events_tell_are_told_by_them() {
    let act = |action: &str, name: &str| json!({ "event.category": "process", "event.type": "info", "event.action": action, "process.name": name, "process.executable": "/tmp/x" });
    let events =
        [act("memfd_create", "a"), act("ptrace", "a"), act("memfd_create", "b"), act("end", "a")];
    let rule = "  s:\n    type: SYSCALL\n    SYSCALL: memfd_create\n    comm: a\n  condition: s";
    assert_eq!(of(rule, &events), [1]);
    let any = "  s:\n    type: SYSCALL\n    exe|startswith: /tmp/\n  condition: s";
    assert_eq!(of(any, &events), [1, 2, 3], "the end of a process is no call");
    let unseen = "  s:\n    type: SYSCALL\n    SYSCALL: sysinfo\n  condition: s";
    assert_eq!(of(unseen, &events), [0_u64; 0]);
}
