//! Generations of rules: their history, the way back to one, and those that break.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::lab::{AGENT, Agent, Lab, root, signal, until};
use crate::packs::{self, Packs};

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A command about what is kept in the state directory of a lab.
fn state(lab: &Lab, words: &[&str]) -> Output {
    Command::new(AGENT).args(words).arg("--state-dir").arg(lab.path("state")).output().unwrap()
}

fn history(lab: &Lab) -> Value {
    let output = state(lab, &["rules", "history", "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// One of the generations in the history.
fn generation(lab: &Lab, number: u64) -> Value {
    let all = history(lab);
    let all = all["generations"].as_array().unwrap();
    let one = all.iter().find(|one| one["generation"] == number);
    one.unwrap_or_else(|| panic!("there is no {number} in {all:#?}")).clone()
}

/// What the status says of the generation that runs.
fn running(lab: &Lab) -> Value {
    let mut status = lab.status().unwrap_or_default();
    status["rules"]["generation"].take()
}

fn runs(lab: &Lab, number: u64) {
    until(&format!("generation {number} runs"), PATIENCE, || running(lab)["number"] == number);
}

fn audited(lab: &Lab, action: &str) -> Vec<Value> {
    let text = fs::read_to_string(lab.path("state/audit.jsonl")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["action"] == action).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn rule_for(lab: &Lab, id: &str, program: &str) {
    lab.rule(id, &lab.path(program).display().to_string());
}

fn reload(lab: &Lab) {
    let output = lab.ask(&["reload"]);
    assert!(output.status.success(), "{output:?}");
}

fn rollback(lab: &Lab, words: &[&str]) -> Output {
    lab.ask(&[&["rules", "rollback", "--reason", "a test"], words].concat())
}

fn kill_worker(lab: &Lab) {
    let worker = lab.status().unwrap()["worker"]["pid"].as_u64().unwrap();
    signal(u32::try_from(worker).unwrap(), Signal::SIGKILL);
    until("another worker answers", PATIENCE, || {
        lab.status().is_some_and(|status| status["worker"]["pid"] != worker)
    });
}

/// Whether a program of the lab that runs now is told of: one that surely is runs behind it.
fn found(lab: &Lab, agent: &Agent, program: &str, sure: &str) -> bool {
    let (asked, sure) = (lab.run_scratch(program), lab.run_scratch(sure));
    loop {
        let alert = agent.next(PATIENCE).expect("the alert that surely comes");
        match alert["process"]["pid"].as_u64() {
            Some(pid) if pid == u64::from(asked) => return true,
            Some(pid) if pid == u64::from(sure) => return false,
            _ => {}
        }
    }
}

/// A trial that no test waits for.
const LONG: &[&str] = &["--rules-trial", "1h"];

#[test]
fn each_set_of_rules_is_kept_and_told_and_one_of_before_comes_back_and_holds() {
    if !root("each_set_of_rules_is_kept_and_told_and_one_of_before_comes_back_and_holds") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start_with(&["--rules-trial", "0"]);
    runs(&lab, 1);
    rule_for(&lab, "two", "y");
    runs(&lab, 2);
    // Nobody need wait for the watch.
    rule_for(&lab, "scratch", "z");
    reload(&lab);
    runs(&lab, 3);
    reload(&lab);
    assert_eq!(running(&lab)["number"], 3, "the same files are no new generation");
    let all = history(&lab);
    let told = |number: u64, name: &str| generation(&lab, number)[name].clone();
    assert_eq!(all["generations"].as_array().unwrap().len(), 3, "{all:#}");
    assert_eq!((&all["active"], told(3, "state")), (&3.into(), "in force".into()));
    assert_eq!((told(1, "why"), told(2, "why")), ("start".into(), "file-change".into()));
    assert_eq!((told(3, "why"), told(3, "who")["uid"].clone()), ("reload".into(), 0.into()));
    assert_eq!((told(2, "added"), told(2, "changed")), (json!(["two"]), json!([])));
    assert_eq!((told(3, "added"), told(3, "changed")), (json!([]), json!(["scratch"])));
    let text = said(&state(&lab, &["rules", "history"]));
    assert!(text.contains("+two") && text.contains("~scratch"), "{text}");

    let back = rollback(&lab, &[]);
    assert!(said(&back).starts_with("generation 2 runs, 2 rules"), "{back:?}");
    assert!(found(&lab, &agent, "x", "y"), "the rule of before");
    assert!(!found(&lab, &agent, "z", "y"), "the one after it");
    let [line] = &audited(&lab, "rules-rollback")[..] else { panic!() };
    assert_eq!((&line["generation"], &line["before"]), (&2.into(), &3.into()));
    assert_eq!((&line["who"]["uid"], &line["reason"]), (&0.into(), &"a test".into()));
    assert!(line["who"]["pid"].as_u64().is_some(), "{line}");

    // Neither another file nor a dead worker nor another agent changes that.
    rule_for(&lab, "three", "a");
    until("the change is told", PATIENCE, || running(&lab)["changed"] == true);
    let status = said(&lab.ask(&["status"]));
    assert!(status.contains("generation 2, held by a rollback at "), "{status}");
    assert!(!found(&lab, &agent, "a", "y"));
    kill_worker(&lab);
    assert_eq!(
        (running(&lab)["number"].clone(), running(&lab)["changed"].clone()),
        (2.into(), true.into())
    );
    assert!(agent.stop().success());
    let agent = lab.start_with(&["--rules-trial", "0"]);
    assert_eq!(running(&lab)["held"]["why"], "rollback");
    assert!(found(&lab, &agent, "x", "y") && !found(&lab, &agent, "a", "y"));

    // Until somebody says so.
    let follow = lab.ask(&["rules", "follow"]);
    assert!(said(&follow).starts_with("generation 4 runs, 3 rules"), "{follow:?}");
    assert!(found(&lab, &agent, "a", "y") && !found(&lab, &agent, "x", "y"));
    let follow = lab.ask(&["rules", "follow"]);
    assert_eq!(follow.status.code(), Some(1), "{follow:?}");
    assert!(said(&follow).contains("nothing is held back"), "{follow:?}");
    let none = rollback(&lab, &["99"]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    assert!(said(&none).contains("there is no generation 99"), "{none:?}");
    assert_eq!(audited(&lab, "rules-refused")[0]["generation"], 99);
    assert!(agent.stop().success());
}

#[test]
fn a_set_of_rules_that_ends_the_worker_is_taken_back_and_one_that_does_not_stays() {
    if !root("a_set_of_rules_that_ends_the_worker_is_taken_back_and_one_that_does_not_stays") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start_with(LONG);
    // The control: what is not on trial is not what ended it.
    kill_worker(&lab);
    assert_eq!(running(&lab)["number"], 1);
    rule_for(&lab, "two", "y");
    runs(&lab, 2);
    assert!(running(&lab)["trial_left_s"].as_u64() > Some(3_000), "{}", running(&lab));
    assert_eq!(generation(&lab, 2)["state"], "on trial");
    kill_worker(&lab);
    assert_eq!(running(&lab)["number"], 1);
    assert_eq!(running(&lab)["held"]["why"], "revert");
    assert!(!found(&lab, &agent, "y", "x"));
    let broken = generation(&lab, 2);
    assert_eq!(broken["state"], "reverted");
    let reason = "the worker ended while they were on trial";
    assert_eq!(broken["broken"]["reason"], reason);
    let [line] = &audited(&lab, "rules-reverted")[..] else { panic!() };
    assert_eq!((&line["before"], &line["generation"]), (&2.into(), &1.into()));
    assert_eq!(line["reason"], reason);
    // It is held back by the next workers and agents, too, until the files change.
    kill_worker(&lab);
    assert_eq!(running(&lab)["number"], 1);
    assert!(agent.stop().success());
    let agent = lab.start_with(&["--rules-trial", "1s"]);
    assert_eq!(running(&lab)["number"], 1);
    fs::remove_file(lab.path("rules/two.toml")).unwrap();
    rule_for(&lab, "three", "y");
    runs(&lab, 3);
    // The control: it passes its trial, and a worker that ends later is not its fault.
    until("the trial is over", PATIENCE, || generation(&lab, 3)["state"] == "in force");
    kill_worker(&lab);
    assert_eq!(running(&lab)["number"], 3);
    assert!(found(&lab, &agent, "y", "x"));
    assert!(agent.stop().success());
}

#[test]
fn a_set_of_rules_that_floods_is_taken_back_and_a_good_one_is_not() {
    if !root("a_set_of_rules_that_floods_is_taken_back_and_a_good_one_is_not") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start_with(LONG);
    // The control: as many alerts of rules that were there before say nothing of the new ones.
    rule_for(&lab, "good", "y");
    runs(&lab, 2);
    (0..150).for_each(|_| _ = lab.run_scratch("x"));
    assert!(agent.alert(lab.run_scratch("y"), PATIENCE).is_some());
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(running(&lab)["number"], 2, "{:#}", history(&lab));
    reload(&lab);
    assert!(running(&lab)["trial_left_s"].as_u64().is_some(), "the same rules, the same trial");
    assert!(agent.stop().success());

    // To an agent that has just begun nothing is usual. `good` is on trial again, so what is sound is
    // the first.
    let agent = lab.start_with(LONG);
    rule_for(&lab, "floods", "z");
    runs(&lab, 3);
    let end = Instant::now() + PATIENCE;
    while running(&lab)["number"] == 3 && Instant::now() < end {
        (0..50).for_each(|_| _ = lab.run_scratch("z"));
    }
    runs(&lab, 1);
    let notice = agent.notice("rules_reverted", PATIENCE).expect("it is told");
    let told = &notice["aegisbpf"]["health"];
    assert_eq!(told["generation"], 3);
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.starts_with("its new rules raised "), "{reason}");
    assert_eq!(generation(&lab, 3)["broken"]["reason"], reason);
    assert_eq!(audited(&lab, "rules-reverted")[0]["reason"], reason);
    assert!(!found(&lab, &agent, "z", "x"));
    // The directories are read again when somebody says so.
    reload(&lab);
    runs(&lab, 4);
    assert_eq!(generation(&lab, 4)["sha256"], generation(&lab, 3)["sha256"]);
    assert_eq!(running(&lab)["reverted"], 1);
    let figures = crate::metrics::figures(&lab);
    assert!(crate::metrics::sum(&figures, "rules_reverted_total", "") > 0.0, "{figures:?}");
    assert!(agent.stop().success());
}

#[test]
fn a_set_of_rules_whose_script_breaks_is_taken_back() {
    if !root("a_set_of_rules_whose_script_breaks_is_taken_back") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start_with(&["--no-watch", "--rules-trial", "1h"]);
    let script = |body: &str| {
        let home = lab.path("").display().to_string();
        let condition = "process.executable like \"$LAB*\" and own.f(process.executable)";
        let table = "[[script]]\nname = \"own\"\nfile = \"own.luau\"\n\n";
        let text = (table.to_owned() + &packs::rule("asks", condition, "")).replace("$LAB", &home);
        fs::write(lab.path("rules/asks.toml"), text).unwrap();
        let code = format!("return {{ f = function(path) {body} end }}\n");
        fs::write(lab.path("rules/own.luau"), code).unwrap();
        reload(&lab);
    };
    // The control: one that answers stays.
    script("return true");
    (0..10).for_each(|_| _ = lab.run_scratch("y"));
    agent.alert(lab.run_scratch("y"), PATIENCE).expect("what it finds");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(running(&lab)["number"], 2);
    script("error(path)");
    runs(&lab, 3);
    let end = Instant::now() + PATIENCE;
    while running(&lab)["number"] == 3 && Instant::now() < end {
        lab.run_scratch("y");
    }
    runs(&lab, 1);
    let reason = generation(&lab, 3)["broken"]["reason"].clone();
    assert!(reason.as_str().unwrap().starts_with("its script `own` is in quarantine"), "{reason}");
    assert!(agent.stop().success());
}

#[test]
fn a_pack_whose_key_was_revoked_does_not_come_back() {
    if !root("a_pack_whose_key_was_revoked_does_not_come_back") {
        return;
    }
    let lab = Lab::new();
    let signed = Packs::new(&lab);
    let of = |id: &str| packs::rule(id, "process.executable == \"$LABx\"", "").into_bytes();
    let path = signed.signed("p", 1, &[("r.toml", &of("one"))]);
    signed.unsigned("own", 1, &[("r.toml", &of("own"))]);
    let mut command = signed.command();
    command.args(["--no-watch", "--rules-trial", "0"]);
    let agent = lab.launch(command);
    runs(&lab, 1);
    // The control: while its key counts an older pack comes back, and the record of serials stays.
    signed.signed("p", 2, &[("r.toml", &of("two"))]);
    reload(&lab);
    runs(&lab, 2);
    let back = rollback(&lab, &["1"]);
    assert!(back.status.success(), "{back:?}");
    assert_eq!(BTreeSet::from_iter(packs::run(&lab)), ["one", "own"].map(str::to_owned).into());
    signed.signed("p", 1, &[("r.toml", &of("one"))]);
    reload(&lab);
    assert!(packs::left_out(&lab).contains("[E141]"), "{}", packs::left_out(&lab));

    fs::remove_dir_all(path).unwrap();
    signed.trust("revoked = [\"KEY\"]");
    reload(&lab);
    assert_eq!(packs::run(&lab), ["own"]);
    let now = running(&lab)["number"].clone();
    let refused = rollback(&lab, &["1"]);
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    assert!(said(&refused).contains("[E134]"), "{refused:?}");
    assert_eq!((packs::run(&lab), running(&lab)["number"].clone()), (vec!["own".to_owned()], now));
    let line = audited(&lab, "rules-refused").pop().unwrap();
    assert!(line["error"].as_str().unwrap().contains("[E134]"), "{line}");
    assert_eq!(audited(&lab, "key-revoked").len(), 1);
    assert_eq!(audited(&lab, "trust-changed").len(), 1);
    fs::remove_file(lab.path("keys/own.pub")).unwrap();
    reload(&lab);
    assert_eq!(audited(&lab, "key-removed").len(), 1);
    assert!(agent.stop().success());
}

#[test]
fn the_store_is_bounded_and_a_change_of_mode_is_written_down() {
    if !root("the_store_is_bounded_and_a_change_of_mode_is_written_down") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start_with(&["--no-watch", "--rules-trial", "0"]);
    for number in 2..=20 {
        rule_for(&lab, "two", &format!("y{number}"));
        reload(&lab);
    }
    let all = history(&lab);
    let kept: Vec<u64> = all["generations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["generation"].as_u64().unwrap())
        .collect();
    assert_eq!(kept, (5..=20).collect::<Vec<_>>());
    let on_disk = fs::read_dir(lab.path("state/worker/own/rules/generations")).unwrap().count();
    assert_eq!(on_disk, kept.len());
    assert!(agent.stop().success());
    assert!(audited(&lab, "mode-changed").is_empty(), "the control: it was always the same");
    let agent = lab.start_with(&["--no-watch", "--enforce"]);
    let [line] = &audited(&lab, "mode-changed")[..] else { panic!() };
    assert_eq!((&line["before"], &line["after"]), (&"audit".into(), &"enforce".into()));
    assert!(agent.stop().success());
}

/// Agents that are killed.
const KILLS: u64 = 50;

#[test]
fn fifty_agents_killed_while_rules_change_leave_a_sound_store() {
    if !root("fifty_agents_killed_while_rules_change_leave_a_sound_store") {
        return;
    }
    let lab = Lab::new();
    let (mut seen, mut seed) = (0, 0x9E37_79B9_7F4A_7C15_u64 ^ u64::from(std::process::id()));
    for round in 0..KILLS {
        let agent = lab.start_with(&["--no-watch"]);
        let worker = lab.status().unwrap()["worker"]["pid"].as_u64().unwrap();
        // A number that nobody knows before: the moment is another each time.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let end = Instant::now() + Duration::from_millis(seed % 700);
        let mut asks = Vec::new();
        let mut number = 0;
        while Instant::now() < end {
            rule_for(&lab, "two", &format!("y{round}-{number}"));
            number += 1;
            let mut ask = Command::new(AGENT);
            ask.args(["reload", "--runtime-dir"]).arg(lab.path("run"));
            asks.push(ask.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        // The one that writes, and the other before it starts another one.
        signal(u32::try_from(worker).unwrap(), Signal::SIGKILL);
        agent.kill();
        for mut ask in asks {
            ask.wait().unwrap();
        }
        until("nobody answers", PATIENCE, || lab.status().is_none());
        let all = history(&lab);
        let list = all["generations"].as_array().unwrap();
        let active = list.iter().filter(|one| one["generation"] == all["active"]).count();
        assert_eq!(active, 1, "what is in force is there: {all:#}");
        for one in list {
            let dir =
                lab.path("state/worker/own/rules/generations").join(one["generation"].to_string());
            let files = one["files"].as_array().unwrap().iter().enumerate();
            for (at, file) in files {
                let bytes = fs::read(dir.join("files").join(at.to_string())).unwrap();
                let sum = ::packs::Sha256::of(&bytes).to_string();
                assert_eq!(file["sha256"], sum, "{dir:?}: {file}");
            }
        }
        let last = list.last().unwrap()["generation"].as_u64().unwrap();
        assert!(last >= seen, "numbers go on");
        seen = last;
        let verified = state(&lab, &["audit", "verify"]);
        assert!(verified.status.success(), "{verified:?}");
    }
    println!("{seen} generations, {KILLS} kills");
    assert!(seen > KILLS, "the test is about changes");
}
