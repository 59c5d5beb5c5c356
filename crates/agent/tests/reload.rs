//! Rules that are read again while the agent runs.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::{Lab, root, signal, until};

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_hangup_reads_the_rules_again_and_broken_ones_change_nothing() {
    if !root("a_hangup_reads_the_rules_again_and_broken_ones_change_nothing") {
        return;
    }
    let lab = Lab::new();
    // This is about being told; the files are looked at in another test.
    let agent = lab.start_with(&["--no-watch"]);
    let worker = lab.status().unwrap()["worker"]["pid"].as_u64().unwrap();
    let loaded = |lab: &Lab| lab.status().unwrap()["rules"]["loaded"].as_u64();
    std::fs::copy("/bin/sleep", lab.path("y")).unwrap();
    lab.rule("scratch-two", &lab.path("y").display().to_string());
    // Programs go on being started while the rules are swapped: each is told, before and after.
    let pids: Vec<u32> = std::thread::scope(|scope| {
        let runs = scope.spawn(|| (0..60).map(|_| lab.run_scratch("x")).collect());
        signal(agent.guard(), Signal::SIGHUP);
        until("the second rule runs", PATIENCE, || loaded(&lab) == Some(2));
        runs.join().unwrap()
    });
    for pid in pids {
        agent.alert(pid, PATIENCE).unwrap_or_else(|| panic!("{pid} was lost"));
    }
    let alert = agent.alert(lab.run_scratch("y"), PATIENCE).expect("an alert of the new rule");
    assert_eq!(alert["rule"]["id"], "scratch-two");

    // Broken rules: the command says why, the signal only logs, and the old rules stay.
    std::fs::write(lab.path("rules/bad.toml"), "[[rule]]\nid = \"b\"\n").unwrap();
    let refused = lab.ask(&["reload"]);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{text}");
    assert!(text.contains("nothing is loaded"), "{text}");
    signal(agent.guard(), Signal::SIGHUP);
    let log = || std::fs::read_to_string(lab.path("log")).unwrap();
    until("the log tells", PATIENCE, || log().matches("the rules stay as they were").count() == 2);
    assert_eq!(loaded(&lab), Some(2));
    agent.alert(lab.run_scratch("y"), PATIENCE).expect("the old rules run");

    // A worker that is replaced meanwhile runs what is sound.
    signal(u32::try_from(worker).unwrap(), Signal::SIGKILL);
    agent.alert(lab.run_scratch("x"), PATIENCE).expect("an alert of the next worker");
    // It tells alerts before it answers.
    until("the next worker answers", PATIENCE, || lab.status().is_some());
    std::fs::remove_file(lab.path("rules/bad.toml")).unwrap();
    std::fs::remove_file(lab.path("rules/scratch-two.toml")).unwrap();
    let reloaded = lab.ask(&["reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    assert_eq!(String::from_utf8_lossy(&reloaded.stdout), "1 rules run\n");
    assert_eq!(loaded(&lab), Some(1));
    assert!(agent.stop().success());
}

#[test]
fn changed_files_are_read_without_being_told_and_what_was_pending_stays() {
    if !root("changed_files_are_read_without_being_told_and_what_was_pending_stays") {
        return;
    }
    let lab = Lab::new();
    crate::sequences::sequence(&lab, "pair", "10m", &[("", "a"), ("", "b")]);
    let agent = lab.start();
    let loaded = || lab.status().and_then(|status| status["rules"]["loaded"].as_u64());
    let first = lab.run_scratch("a");
    lab.rule("another", &lab.path("y").display().to_string());
    until("the new file is read", PATIENCE, || loaded() == Some(3));
    agent.alert(lab.run_scratch("y"), PATIENCE).expect("an alert of the new rule");
    let second = lab.run_scratch("b");
    let alert = agent.alert(second, PATIENCE).expect("the sequence went on");
    assert_eq!(alert["events"][0]["document"]["process"]["pid"], first);

    // A broken file changes nothing, and is told where people and programs look.
    std::fs::write(lab.path("rules/bad.toml"), "[[rule]]\nid = \"b\"\n").unwrap();
    let notice = agent.notice("rules_refused", PATIENCE).expect("the refusal is told");
    let reason = notice["aegisbpf"]["health"]["reason"].as_str().unwrap();
    assert!(reason.contains("nothing is loaded"), "{reason}");
    let status = lab.status().unwrap();
    assert_eq!(status["rules"]["loaded"], 3);
    assert_eq!(status["rules"]["reload"]["error"], reason);
    agent.alert(lab.run_scratch("y"), PATIENCE).expect("the old rules run");
    std::fs::remove_file(lab.path("rules/bad.toml")).unwrap();
    std::fs::remove_file(lab.path("rules/another.toml")).unwrap();
    until("the sound files are read", PATIENCE, || loaded() == Some(2));
    assert_eq!(lab.status().unwrap()["rules"]["reload"]["error"], serde_json::Value::Null);
    assert!(agent.stop().success());
}
