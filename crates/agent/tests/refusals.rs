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

/// Where objects for the kernel's BPF machine begin in an executable.
fn objects(program: &[u8]) -> Vec<usize> {
    const MACHINE: usize = 18;
    const BPF: [u8; 2] = [247, 0];
    let is_object = |at: &usize| {
        program[*at..].starts_with(b"\x7fELF")
            && program.get(at + MACHINE..at + MACHINE + 2) == Some(BPF.as_slice())
    };
    (0..program.len().saturating_sub(MACHINE)).step_by(8).filter(is_object).collect()
}

#[test]
fn programs_for_the_kernel_that_were_changed() {
    if !root("programs_for_the_kernel_that_were_changed") {
        return;
    }
    let lab = Lab::new();
    let copy = lab.path("agent");
    let mut bytes = fs::read(AGENT).unwrap();
    let doctor = || std::process::Command::new(&copy).args(["doctor", "-o", "json"]).output();
    fs::write(&copy, &bytes).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let output = doctor().unwrap();
    assert!(output.status.success(), "the control");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["objects"]["all"].as_array().unwrap().len(), 6);
    assert_eq!(told["objects"]["signed"], false, "only releases are");

    let found = objects(&bytes);
    assert!(found.len() >= 6, "{found:?}");
    for at in found {
        // Behind the header, which the loader looks at anyway.
        bytes[at + 256] ^= 1;
    }
    fs::write(&copy, &bytes).unwrap();
    refused(&doctor().unwrap(), 81, &["were modified", "digest", "install the package again"]);
}
