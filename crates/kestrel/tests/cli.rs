//! The command as people run it: output, its channel, and the exit status.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

const RULE: &str = r#"
[[rule]]
id = "shell-from-nginx"
name = "nginx starts a shell"
description = "A web server has no reason to."
severity = "high"
query = 'process where event.type == "start" and process.name == "sh" and process.parent.name == "nginx"'
[[rule.test]]
name = "nginx starts sh"
alert = true
event = { event.category = "process", event.type = "start", process.name = "sh", process.parent.name = "nginx" }
[[rule.test]]
name = "cron starts sh"
alert = false
event = { "event.category" = ["process"], "event.type" = ["start"], "process.name" = "sh", "process.parent.name" = "cron" }
"#;

struct Run {
    directory: tempfile::TempDir,
}

impl Run {
    fn new(text: &str) -> Run {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("rules.toml"), text).unwrap();
        Run { directory }
    }

    fn kestrel(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_kestrel"))
            .args(args)
            .current_dir(self.directory.path())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }
}

#[test]
fn sound_rules_are_quiet_and_their_tests_pass() {
    let run = Run::new(RULE);
    let (code, out, err) = run.kestrel(&["check", "."]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("engine  shell-from-nginx: the kernel has no label for"), "{out}");
    assert!(out.ends_with("1 rules in 1 files: 0 errors, 0 warnings\n"), "{out}");
    let (code, out, err) = run.kestrel(&["test", "rules.toml"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let note = "note rules.toml: shell-from-nginx: in every test true: process.name == \"sh\"\n";
    assert!(out.contains(note), "{out}");
    assert!(
        out.ends_with("ok: 1 rules, 2 tests: 2 passed, 0 failed; 0 errors, 0 warnings\n"),
        "{out}"
    );
}

#[test]
fn a_failing_test_says_what_decided() {
    let run = Run::new(&RULE.replace(r#""cron" }"#, r#""nginx" }"#).replace(
        r#"process.name = "sh", process.parent"#,
        r#"process.name = "bash", process.parent"#,
    ));
    let (code, out, _) = run.kestrel(&["test", "."]);
    assert_eq!(code, Some(1));
    assert!(
        out.contains(
            "FAIL rules.toml: shell-from-nginx: nginx starts sh\n     \
             expected an alert, got none; decided by: `process.name` = \"bash\"\n"
        ),
        "{out}"
    );
    assert!(out.contains("cron starts sh\n     expected no alert, got one; decided by: "), "{out}");
    let (code, out, _) = run.kestrel(&["test", ".", "-o", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["tests"]), (Some(1), &Value::from(2)));
    assert_eq!(report["failed"][0]["rule"], "shell-from-nginx");
    assert_eq!(report["failed"][0]["expected_alert"], true);
}

#[test]
fn errors_go_to_standard_error_and_json_to_standard_output() {
    let run = Run::new(&RULE.replace("process.name ==", "process.nmae =="));
    let (code, out, err) = run.kestrel(&["check", "."]);
    assert_eq!(code, Some(1));
    assert_eq!(out, "0 rules in 1 files: 1 errors, 0 warnings\n");
    assert!(err.contains("error[E020]: no field `process.nmae`"), "{err}");
    assert!(!err.contains('\u{1b}'), "no colours where no terminal reads");
    let (code, out, err) = run.kestrel(&["check", ".", "-o", "json"]);
    assert_eq!((code, err.as_str()), (Some(1), ""));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["errors"], 1);
    let found = &report["diagnostics"][0];
    assert_eq!((&found["code"], &found["span"]["line"]), (&"E020".into(), &7.into()));
    assert_eq!(
        (&found["rule"], &found["file"]),
        (&"shell-from-nginx".into(), &"./rules.toml".into())
    );
}

#[test]
fn opens_without_a_path_are_a_warning() {
    let query = r#"'file where event.action == "open" and process.name == "sh"'"#;
    let start = RULE.find("'process where").unwrap();
    let end = RULE[start..].find('\n').unwrap() + start;
    let run = Run::new(&(RULE[..start].to_owned() + query + &RULE[end..]));
    let (code, _, err) = run.kestrel(&["check", "."]);
    assert_eq!(code, Some(1));
    assert!(err.contains("warning[W005]"), "{err}");
}

#[test]
fn what_cannot_be_read_is_a_finding_and_wrong_usage_is_not() {
    let run = Run::new(RULE);
    let (code, out, err) = run.kestrel(&["check", "nowhere", "."]);
    assert_eq!(code, Some(1));
    assert!(err.contains("nowhere") && out.contains("1 rules in 1 files"), "{out}{err}");
    assert_eq!(run.kestrel(&["check"]).0, Some(2));
    assert_eq!(run.kestrel(&["check", ".", "-o", "xml"]).0, Some(2));
}
