//! A running agent: alerts, answers, restarts, and its end.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::{AGENT, Lab, alive, root, signal, until};

const SECOND: Duration = Duration::from_secs(1);
/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often something that takes less than a second is tried: a machine that is busy with other
/// things makes anything late now and then.
const TRIES: usize = 5;

/// Tries something until it takes less than a second.
fn within_a_second(what: &str, mut one: impl FnMut() -> Duration) {
    let took: Vec<Duration> =
        (0..TRIES).map(|_| one()).take_while(|took| *took >= SECOND).collect();
    assert!(took.len() < TRIES, "{what}: it took {took:?}");
}

fn pid(status: &Value, who: &str) -> u64 {
    status[who]["pid"].as_u64().unwrap()
}

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_program_in_a_scratch_directory_raises_an_alert_within_a_second() {
    if !root("a_program_in_a_scratch_directory_raises_an_alert_within_a_second") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    let mut found = None;
    within_a_second("from the end of the program to its alert", || {
        let pid = lab.run_scratch("x");
        let begin = Instant::now();
        found = Some(agent.alert(pid, PATIENCE).expect("an alert"));
        begin.elapsed()
    });
    let alert = found.unwrap();
    let at = |pointer: &str| alert.pointer(pointer).unwrap_or(&Value::Null);
    assert_eq!(at("/event/kind"), "alert");
    assert_eq!(at("/rule/id"), "scratch");
    assert_eq!(at("/rule/severity"), "high");
    assert_eq!(at("/threat/technique/id/0"), "T1204.002");
    assert_eq!(at("/process/args/1"), "0.01");
    assert_eq!(at("/process/executable"), &Value::from(lab.path("x").display().to_string()));
    assert_eq!(at("/user/name"), "root");
    assert_eq!(at("/alert/id").as_str().unwrap().len(), 32);
    // The ancestors: this test first.
    assert_eq!(at("/process/parent/pid"), std::process::id());
    assert_eq!(at("/process/Ext/ancestors/0/pid"), std::process::id());
    let ancestry = at("/process/Ext/ancestry").as_array().unwrap().len();
    assert_eq!(at("/process/Ext/ancestors").as_array().unwrap().len(), ancestry);
    assert_eq!(at("/process/Ext/ancestors/0/entity_id"), at("/process/Ext/ancestry/0"));

    let guard = agent.guard();
    assert!(agent.stop().success());
    assert!(!lab.path("run/control.sock").exists(), "nothing is left behind");
    let links = Command::new("bpftool").args(["link", "list"]).output();
    match links {
        Ok(links) => {
            let text = String::from_utf8_lossy(&links.stdout).into_owned();
            assert!(!text.contains(&format!("aegisbpf({guard})")), "{text}");
        }
        Err(error) => println!("SKIP the list of links: bpftool cannot be run: {error}"),
    }
}

/// What the first page of the documentation promises, word for word but for the place.
#[test]
fn a_copied_sleep_in_tmp_raises_an_alert_of_the_shipped_rules_with_its_ancestry() {
    if !root("a_copied_sleep_in_tmp_raises_an_alert_of_the_shipped_rules_with_its_ancestry") {
        return;
    }
    let lab = Lab::new();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules");
    let agent = lab.start_with(&["--rules", shipped]);
    let x = lab.path("x").display().to_string();
    assert!(x.starts_with("/tmp/"), "{x}");
    let mut found = None;
    within_a_second("from the start of the program to its alert", || {
        let begin = Instant::now();
        let script = format!("cp /bin/sleep {x} && {x} 1; :");
        let mut shell = Command::new("/bin/sh").args(["-c", &script]).spawn().unwrap();
        let alert = loop {
            let alert = agent.next(PATIENCE).expect("an alert");
            let by = alert.pointer("/process/parent/pid").and_then(Value::as_u64);
            if alert["rule"]["id"] == "execution-from-temporary-directory"
                && by == Some(shell.id().into())
            {
                break alert;
            }
        };
        let took = begin.elapsed();
        shell.wait().unwrap();
        found = Some(alert);
        took
    });
    let alert = found.unwrap();
    let at = |pointer: &str| alert.pointer(pointer).unwrap_or(&Value::Null);
    assert_eq!((at("/process/executable"), at("/process/args/1")), (&x.into(), &"1".into()));
    let ancestor = |at: usize, what: &str| alert["process"]["Ext"]["ancestors"][at][what].clone();
    assert_eq!(ancestor(0, "args")[1], "-c");
    assert_eq!(ancestor(1, "pid"), std::process::id(), "this test");
    assert_eq!(at("/process/Ext/ancestry/0"), at("/process/parent/entity_id"));
    assert!(agent.stop().success());
}

#[test]
fn commands_get_answers() {
    if !root("commands_get_answers") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    let second = lab.command().output().unwrap();
    assert_eq!(second.status.code(), Some(75), "{}", String::from_utf8_lossy(&second.stderr));

    let status = lab.status().unwrap();
    assert_eq!(pid(&status, "guard"), u64::from(agent.guard()));
    assert_eq!(status["rules"]["loaded"], 1);
    assert!(status["kernel_counters"]["sent"]["exec"].as_u64().is_some(), "{status}");
    assert!(status["events"]["processes"].as_u64().unwrap() > 10, "{status}");
    let text = lab.ask(&["status"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("lost       "), "{text:?}");

    let started = lab.run_scratch("x");
    agent.alert(started, PATIENCE).expect("an alert");
    let filter = format!("process.pid == {started} and event.action == \"exec\"");
    until("the event is in the recent past", PATIENCE, || {
        let events = lab.ask(&["events", "-o", "json", "--where", &filter]);
        let events = json_lines(&events.stdout);
        events.len() == 1 && events[0]["process"]["name"] == "x"
    });
    let alerts = lab.ask(&["alerts"]);
    assert!(String::from_utf8_lossy(&alerts.stdout).contains("Scratch program"), "{alerts:?}");
    let bad = lab.ask(&["events", "--where", "process.nmae == 1"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("process.nmae"), "{bad:?}");
    let bad = lab.ask(&["events", "--kinds", "dance"]);
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
    assert!(agent.stop().success());
}

#[test]
fn following_widens_what_the_sensors_deliver_and_leaving_narrows_it() {
    if !root("following_widens_what_the_sensors_deliver_and_leaving_narrows_it") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    let attached = || {
        // The doctor of the running agent, as curl would ask for it.
        let socket = std::os::unix::net::UnixStream::connect(lab.path("run/control.sock")).unwrap();
        std::io::Write::write_all(&mut &socket, b"GET /v1/doctor HTTP/1.0\r\nHost: x\r\n\r\n")
            .unwrap();
        let answer = std::io::read_to_string(socket).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let report: Value = serde_json::from_str(body).unwrap();
        let rows = report["operations"].as_array().unwrap().clone();
        let io_uring = rows.iter().find(|row| row["operation"] == "io_uring").unwrap().clone();
        io_uring["attached"].as_bool().unwrap()
    };
    assert!(!attached(), "no rule needs it");
    let mut client = Command::new(AGENT)
        .args(["events", "--follow", "--kinds", "exec,io_uring", "-n", "1000000", "--runtime-dir"])
        .arg(lab.path("run"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the client's kinds are attached", PATIENCE, attached);
    client.kill().unwrap();
    client.wait().unwrap();
    until("nobody wants it any more", PATIENCE, || !attached());
    assert!(agent.stop().success());
}

#[test]
fn a_killed_worker_is_back_within_a_second_and_nothing_is_lost() {
    if !root("a_killed_worker_is_back_within_a_second_and_nothing_is_lost") {
        return;
    }
    let lab = Lab::new();
    lab.rule("scratch-two", &lab.path("y").display().to_string());
    let agent = lab.start();
    let before = agent.alert(lab.run_scratch("x"), PATIENCE).expect("an alert before");
    let worker = pid(&lab.status().unwrap(), "worker");
    std::fs::copy("/bin/sleep", lab.path("y")).unwrap();
    signal(u32::try_from(worker).unwrap(), Signal::SIGKILL);
    let meanwhile = lab.run_scratch("y");
    let after = agent.alert(meanwhile, PATIENCE).expect("the event waited in the ring");
    assert_eq!(after["rule"]["id"], "scratch-two");
    let parent = |alert: &Value| alert["process"]["parent"]["entity_id"].clone();
    assert_eq!(parent(&before), parent(&after), "this test is the same process as before");
    assert_eq!(after["process"]["parent"]["args"], before["process"]["parent"]["args"]);
    let mut last = worker;
    let mut answered = || {
        until("the new worker answers", PATIENCE, || {
            let now = lab.status().map_or(last, |status| pid(&status, "worker"));
            now != std::mem::replace(&mut last, now)
        })
    };
    answered();
    within_a_second("from a kill to the next answer", || {
        let worker = pid(&lab.status().unwrap(), "worker");
        signal(u32::try_from(worker).unwrap(), Signal::SIGKILL);
        answered()
    });
    assert!(lab.status().unwrap()["worker"]["restarts"].as_u64() >= Some(2));
    assert!(agent.stop().success());
}

#[test]
fn a_worker_does_not_outlive_its_guard() {
    if !root("a_worker_does_not_outlive_its_guard") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    let worker = pid(&lab.status().unwrap(), "worker");
    agent.kill();
    until("the worker ends", PATIENCE, || !alive(worker));
    assert_eq!(lab.ask(&["status"]).status.code(), Some(3));
    // Its lock is gone with it: the next agent starts.
    assert!(lab.start().stop().success());
}

#[test]
fn a_reader_that_leaves_ends_a_command_quietly() {
    if !root("a_reader_that_leaves_ends_a_command_quietly") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    let mut client = Command::new(AGENT)
        .args(["events", "--follow", "--kinds", "exec", "--runtime-dir"])
        .arg(lab.path("run"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(client.stdout.take());
    until("the client notices", PATIENCE, || {
        lab.run_scratch("x");
        client.try_wait().unwrap().is_some()
    });
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(agent.stop().success());
}
