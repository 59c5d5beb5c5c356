//! What the agent records, replayed with the other tool: the same alerts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::{AGENT, Agent, Lab, root, signal, until};
use crate::sequences::sequence;

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// `kestrel`, which is built beside the agent.
fn kestrel() -> Command {
    let path = Path::new(AGENT).with_file_name("kestrel");
    assert!(path.exists(), "{}: build it first: cargo build -p kestrel", path.display());
    Command::new(path)
}

/// Replays, and tells how the alerts compare.
fn verified(lab: &Lab, recording: &[PathBuf], more: &[&str]) -> (Value, Output) {
    let mut command = kestrel();
    command.arg("replay").args(recording).arg("--rules").arg(lab.path("rules"));
    let output = command.args(["--verify", "-o", "ndjson"]).args(more).output().unwrap();
    let verdict = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (verdict, output)
}

fn with_history(lab: &Lab) -> Agent {
    let state = lab.path("state");
    lab.start_with(&["--history", "64MiB,1h", "--state-dir", state.to_str().unwrap()])
}

fn history(lab: &Lab) -> Vec<PathBuf> {
    vec![lab.path("state/worker/own/history")]
}

fn run(lab: &Lab, agent: &Agent, names: &[&str]) -> u64 {
    let mut alerts = 0;
    for name in names {
        let pid = lab.run_scratch(name);
        if *name == "x" {
            agent.alert(pid, PATIENCE).expect("an alert");
            alerts += 1;
        }
    }
    alerts
}

fn worker(lab: &Lab) -> u64 {
    lab.status().unwrap_or_default()["worker"]["pid"].as_u64().unwrap_or_default()
}

#[test]
fn a_history_replays_to_the_very_alerts_that_were_raised() {
    if !root("a_history_replays_to_the_very_alerts_that_were_raised") {
        return;
    }
    let lab = Lab::new();
    sequence(&lab, "pair", "1m", &[("", "a"), ("", "b")]);
    sequence(&lab, "alone", "1s", &[("", "c"), ("!", "b")]);
    let agent = with_history(&lab);
    let mut ids = Vec::new();
    for _ in 0..5 {
        lab.run_scratch("a");
        for name in ["b", "x"] {
            let alert = agent.alert(lab.run_scratch(name), PATIENCE).expect("an alert");
            ids.push(alert["alert"]["id"].as_str().unwrap().to_owned());
        }
    }
    lab.run_scratch("c");
    let late = agent.next(PATIENCE).expect("an alert that only time decides");
    assert_eq!(late["rule"]["id"], "alone");
    ids.push(late["alert"]["id"].as_str().unwrap().to_owned());
    assert!(agent.stop().success());
    let (verdict, output) = verified(&lab, &history(&lab), &[]);
    assert!(output.status.success(), "{verdict:#} {output:?}");
    assert_eq!(verdict["live"], verdict["replayed"], "{verdict:#}");
    assert_eq!(verdict["live"]["alerts"], ids.len(), "{verdict:#}");
    assert_eq!((&verdict["open"], &verdict["recording"]["whole"]), (&0.into(), &true.into()));
    // The alerts themselves, in their order, on one thread and on eight.
    let mut outputs = Vec::new();
    for threads in ["1", "8"] {
        let mut command = kestrel();
        command.arg("replay").args(history(&lab)).arg("--rules").arg(lab.path("rules"));
        let output = command.args(["-o", "ndjson", "--threads", threads]).output().unwrap();
        outputs.push(String::from_utf8(output.stdout).unwrap());
    }
    assert_eq!(outputs[0], outputs[1]);
    let replayed: Vec<String> = outputs[0]
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["alert"]["id"].clone())
        .map(|id| id.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(replayed, ids);
    // Other rules are refused, with what differs, unless that is wanted.
    lab.rule("more", "/nonexistent");
    let (_, output) = verified(&lab, &history(&lab), &[]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("[other-rules]"), "{error}");
    assert!(error.contains("more.toml as it is given did not run"), "{error}");
    let (verdict, _) = verified(&lab, &history(&lab), &["--force"]);
    assert_eq!(verdict["live"], verdict["replayed"], "{verdict:#}");
}

#[test]
fn a_recording_that_begins_while_the_agent_works_is_equal_too() {
    if !root("a_recording_that_begins_while_the_agent_works_is_equal_too") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    run(&lab, &agent, &["x", "y"]);
    let file = lab.path("night.rec");
    let record = |more: &[&str]| {
        let mut command = Command::new(AGENT);
        command.arg("record").arg(&file).args(more).arg("--runtime-dir").arg(lab.path("run"));
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    let recorder = record(&[]);
    until("the recording has begun", PATIENCE, || file.metadata().is_ok_and(|m| m.len() > 0));
    // An alert may repeat one of before for a second.
    std::thread::sleep(Duration::from_millis(1500));
    let alerts = run(&lab, &agent, &["x", "y", "x", "x"]);
    signal(recorder.id(), Signal::SIGINT);
    let output = recorder.wait_with_output().unwrap();
    assert!(output.status.success(), "a signal ends it in order: {output:?}");
    let (verdict, output) = verified(&lab, std::slice::from_ref(&file), &[]);
    assert!(output.status.success(), "{verdict:#} {output:?}");
    assert_eq!(verdict["live"], verdict["replayed"], "{verdict:#}");
    assert_eq!(verdict["live"]["alerts"], alerts, "{verdict:#}");
    assert_eq!(verdict["recording"]["closed"], true, "{verdict:#}");
    let again = record(&[]).wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&again.stderr);
    assert!(error.contains("never written over another"), "{error}");
    // So does its time, and a recording that nobody reads ends.
    fs::remove_file(&file).unwrap();
    let recorder = record(&["--for", "2s"]);
    until("the recording has begun", PATIENCE, || file.metadata().is_ok_and(|m| m.len() > 0));
    assert_eq!(lab.status().unwrap()["events"]["recordings"], 2, "beside the history");
    assert!(recorder.wait_with_output().unwrap().status.success());
    let (verdict, _) = verified(&lab, &[file], &[]);
    assert_eq!(verdict["recording"]["closed"], true, "{verdict:#}");
    until("nobody but the history records any more", PATIENCE, || {
        lab.status().unwrap()["events"]["recordings"] == 1
    });
    assert!(agent.stop().success());
}

#[test]
fn the_tree_of_an_alert_tells_where_it_came_from_and_shows_no_secret() {
    if !root("the_tree_of_an_alert_tells_where_it_came_from_and_shows_no_secret") {
        return;
    }
    let lab = Lab::new();
    let agent = with_history(&lab);
    lab.run_scratch("x");
    let shell = format!(
        "{} 0.01; {} --password s3cret-Z; exit 0",
        lab.path("x").display(),
        lab.path("y").display()
    );
    fs::copy("/bin/true", lab.path("y")).unwrap();
    let mut parent = Command::new("/bin/sh").args(["-c", &shell]).spawn().unwrap();
    let first = agent.next(PATIENCE).expect("an alert");
    let alert = agent.next(PATIENCE).expect("an alert of the shell's child");
    assert_ne!(first["alert"]["id"], alert["alert"]["id"]);
    assert!(parent.wait().unwrap().success());
    assert!(agent.stop().success());
    let state = lab.path("state").display().to_string();
    let tree = |words: &[&str]| {
        let mut command = Command::new(AGENT);
        command.arg("tree").args(words).args(["--state-dir", &state]).output().unwrap()
    };
    let id = alert["alert"]["id"].as_str().unwrap();
    let story: Value = serde_json::from_slice(&tree(&[id, "-o", "json"]).stdout).unwrap();
    assert_eq!((&story["rule"], &story["process"]["name"]), (&"scratch".into(), &"x".into()));
    let above = story["ancestors"].as_array().unwrap().last().unwrap();
    assert_eq!(above["pid"], parent.id().to_string(), "{above:#}");
    assert_eq!(story["process"]["entity_id"], alert["process"]["entity_id"]);
    // Of the shell, by its pid: both children, and the secret of one of them is none of anybody's.
    let text = tree(&[&parent.id().to_string()]);
    let text = String::from_utf8(text.stdout).unwrap();
    for part in ["└─ x (", "└─ y (", "--password [redacted]", "exit 0"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("s3cret"), "{text}");
    let page = lab.path("page.html");
    let made = tree(&[id, "--html", page.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("Alert of rule scratch") && !page.contains("s3cret"), "{page}");
    assert!(!page.contains("http://") && !page.contains("src="), "it needs nothing else");
    let unknown = tree(&["00000000000000000000000000000000"]);
    let error = String::from_utf8_lossy(&unknown.stderr);
    assert!(error.contains("no alert 00000000000000000000000000000000"), "{error}");
}

#[test]
fn killed_workers_leave_recordings_that_can_be_read() {
    if !root("killed_workers_leave_recordings_that_can_be_read") {
        return;
    }
    let lab = Lab::new();
    let agent = with_history(&lab);
    let file = lab.path("cut.rec");
    let mut command = Command::new(AGENT);
    command.arg("record").arg(&file).arg("--runtime-dir").arg(lab.path("run"));
    let recorder = command.stderr(Stdio::piped()).spawn().unwrap();
    until("the recording has begun", PATIENCE, || file.metadata().is_ok_and(|m| m.len() > 0));
    for round in 0..3 {
        run(&lab, &agent, &["x", "y", "x"]);
        let killed = worker(&lab);
        signal(u32::try_from(killed).unwrap(), Signal::SIGKILL);
        until("the next worker answers", PATIENCE, || {
            let next = worker(&lab);
            next != 0 && next != killed
        });
        println!("round {round}");
    }
    run(&lab, &agent, &["x"]);
    let output = recorder.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("the agent has ended the recording"), "{error}");
    assert!(agent.stop().success());
    for recording in [history(&lab), vec![file]] {
        let (verdict, output) = verified(&lab, &recording, &[]);
        assert!(output.status.success(), "{verdict:#} {output:?}");
        assert_eq!(verdict["live"], verdict["replayed"], "{verdict:#}");
    }
    let segments = fs::read_dir(lab.path("state/worker/own/history")).unwrap().count();
    assert_eq!(segments, 4, "one a worker");
}

/// A policy about the lab's file for everybody.
fn policy(lab: &Lab, name: &str, rules: &str) -> String {
    let file = lab.path(name);
    let text = format!(
        "apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {{name: lab}}\nspec:\n  mode: audit\n  \
         rules:\n{rules}"
    );
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn what_a_policy_would_have_denied_is_told_with_what_would_allow_it() {
    if !root("what_a_policy_would_have_denied_is_told_with_what_would_allow_it") {
        return;
    }
    let lab = Lab::new();
    let [secret, other] = ["secret", "other"].map(|name| lab.path(name).display().to_string());
    let rule = format!(
        "[[rule]]\nid = \"opens\"\nname = \"Opens\"\ndescription = \"A test.\"\nseverity = \"low\"\n\
         query = '''file where event.action == \"open\" and file.path in (\"{secret}\", \"{other}\")'''\n"
    );
    fs::write(lab.path("rules/opens.toml"), rule).unwrap();
    for file in [&secret, &other] {
        fs::write(file, "x").unwrap();
    }
    let agent = with_history(&lab);
    for file in [&secret, &secret, &other] {
        let done = Command::new("/bin/cat").arg(file).output().unwrap();
        assert!(done.status.success());
        let alert = agent.next(PATIENCE).expect("an alert about the open");
        assert_eq!(alert["file"]["path"], **file, "{alert:#}");
        // The same of the same process within a second is told once; each is another process.
    }
    assert!(agent.stop().success());
    let state = lab.path("state").display().to_string();
    let ask = |words: &[&str]| {
        let mut command = Command::new(AGENT);
        command.arg("policy").args(words).args(["--state-dir", &state]).output().unwrap()
    };
    let strict = policy(
        &lab,
        "strict.yaml",
        &format!("    - {{id: keep, deny: [read, write], files: [{secret}]}}\n"),
    );
    let output = ask(&["simulate", &strict, "-o", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let group = &found["groups"][0];
    assert_eq!(found["denied"], 2, "{found:#} {output:?}");
    assert_eq!((&group["rule"], &group["count"]), (&"lab/keep".into(), &2.into()));
    assert!(group["program"].as_str().unwrap().ends_with("/cat"), "{group:#}");
    assert_eq!(group["user"], "root");
    assert_eq!(group["requests"][0]["request"], format!("read {secret}"));
    let exception = group["exception"].as_str().unwrap();
    assert!(exception.contains("in the policy lab") && exception.contains(&secret), "{exception}");
    let text = String::from_utf8(ask(&["simulate", &strict]).stdout).unwrap();
    assert!(text.contains("2 would be denied") && text.contains("to allow the first"), "{text}");
    // The control: nothing is denied of what nobody did, and of what is older than asked for.
    let nothing = policy(
        &lab,
        "nothing.yaml",
        &format!("    - {{id: keep, deny: [write], files: [{secret}.not]}}\n"),
    );
    for words in [
        &["simulate", &*nothing, "-o", "json"][..],
        &["simulate", &strict, "--since", "0s", "-o", "json"],
    ] {
        let found: Value = serde_json::from_slice(&ask(words).stdout).unwrap();
        assert_eq!(found["denied"], 0, "{words:?}: {found:#}");
    }
    // Of two policies.
    let history = format!("{state}/worker/own/history");
    let diff = ask(&["diff", &nothing, &strict, "--recording", &history, "-o", "json"]);
    let diff: Value = serde_json::from_slice(&diff.stdout).unwrap();
    let change = &diff["recorded"]["changed"][0];
    assert_eq!((&change["count"], &change["after"]["by"]), (&2.into(), &"lab/keep".into()));
    assert_eq!(diff["recorded"]["changed"].as_array().unwrap().len(), 1, "{diff:#}");
}
