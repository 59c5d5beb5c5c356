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
    vec![lab.path("state/history")]
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
        lab.run_scratch("c");
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
    assert_eq!(lab.status().unwrap()["events"]["recordings"], 1);
    assert!(recorder.wait_with_output().unwrap().status.success());
    let (verdict, _) = verified(&lab, &[file], &[]);
    assert_eq!(verdict["recording"]["closed"], true, "{verdict:#}");
    until("nobody records any more", PATIENCE, || {
        lab.status().unwrap()["events"]["recordings"] == 0
    });
    assert!(agent.stop().success());
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
    let segments = fs::read_dir(lab.path("state/history")).unwrap().count();
    assert_eq!(segments, 4, "one a worker");
}
