//! What the agent refuses: each with a message that helps and an exit code of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Output;

use crate::lab::{AGENT, Lab, root};

fn refused(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
}

#[test]
fn no_agent_runs() {
    let lab = Lab::new();
    refused(&lab.ask(&["status"]), 3, &["no agent runs", "help: start one"]);
    refused(&lab.ask(&["events"]), 3, &["no agent runs"]);
    let json = lab.ask(&["status", "-o", "json"]);
    assert_eq!(json.status.code(), Some(3));
    let status: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(status["running"], false);
}

#[test]
fn no_privilege() {
    if !root("no_privilege") {
        return;
    }
    let lab = Lab::new();
    // A copy that nobody can reach and run.
    fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = lab.path("agent");
    fs::copy(AGENT, &copy).unwrap();
    for words in [&["run"][..], &["doctor"]] {
        let output = std::process::Command::new(&copy).args(words).uid(65534).gid(65534).output();
        refused(&output.unwrap(), 4, &["needs root", "sudo"]);
    }
}

#[test]
fn malformed_missing_and_unreadable_rules() {
    if !root("malformed_missing_and_unreadable_rules") {
        return;
    }
    let lab = Lab::new();
    fs::write(lab.path("rules/bad.toml"), "[[rule]]\nid = \"b\"\nquery = \"process wher\"\n")
        .unwrap();
    let output = lab.command().output().unwrap();
    refused(&output, 78, &["bad.toml", "E0", "nothing is loaded", "--keep-going"]);

    fs::remove_dir_all(lab.path("rules")).unwrap();
    let output = lab.command().output().unwrap();
    refused(&output, 66, &["cannot read rules", "rules"]);
}

#[test]
fn an_unusable_runtime_directory() {
    if !root("an_unusable_runtime_directory") {
        return;
    }
    let lab = Lab::new();
    fs::write(lab.path("run"), "a file is in the way").unwrap();
    let output = lab.command().output().unwrap();
    refused(&output, 73, &["cannot create the runtime directory", "--runtime-dir"]);
}

#[test]
fn a_wrong_command_line() {
    let lab = Lab::new();
    refused(&lab.ask(&["status", "--no-such-flag"]), 2, &["--no-such-flag"]);
    refused(&lab.ask(&["worker", "--started", "1", "--restarts", "0"]), 2, &["aegisbpf run"]);
}
