//! The configuration of a real agent: files say what options say.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use crate::lab::{AGENT, Lab, root};

fn config(words: &[&str], file: &std::path::Path) -> Output {
    let mut command = Command::new(AGENT);
    command.env_remove("AEGISBPF_RULES__KEEP_GOING");
    command.arg("config").args(words).arg("--config").arg(file).output().unwrap()
}

#[test]
fn an_agent_is_started_by_a_file_alone() {
    if !root("an_agent_is_started_by_a_file_alone") {
        return;
    }
    let lab = Lab::new();
    let file = lab.path("config.toml");
    let rules = lab.path("rules").display().to_string();
    fs::write(&file, format!("[rules]\ndirectories = ['{rules}']\n[output]\nformat = 'json'\n"))
        .unwrap();
    let mut command = Command::new(AGENT);
    command.arg("run").arg("--config").arg(&file).arg("--runtime-dir").arg(lab.path("run"));
    command.arg("--state-dir").arg(lab.path("state"));
    let agent = lab.launch(command);
    let pid = lab.run_scratch("x");
    assert!(agent.alert(pid, Duration::from_secs(10)).is_some(), "the rules of the file run");
    assert_eq!(lab.status().unwrap()["rules"]["loaded"], 1);
}

#[test]
fn what_is_wrong_in_a_file_keeps_the_agent_from_starting() {
    if !root("what_is_wrong_in_a_file_keeps_the_agent_from_starting") {
        return;
    }
    let lab = Lab::new();
    let file = lab.path("config.toml");
    fs::write(&file, "[output]\nmax_alerts = 10\n").unwrap();
    assert!(config(&["check"], &file).status.success(), "the control");
    fs::write(&file, "[output]\nmax_alert = 10\n").unwrap();
    for output in [
        config(&["check"], &file),
        Command::new(AGENT).args(["run", "--config"]).arg(&file).output().unwrap(),
    ] {
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.contains("config.toml:2: there is no `output.max_alert`"), "{text}");
    }
}

#[test]
fn check_finds_what_an_agent_would_not_start_with() {
    if !root("check_finds_what_an_agent_would_not_start_with") {
        return;
    }
    let lab = Lab::new();
    let file = lab.path("config.toml");
    let (log, no) = (lab.path("alerts"), lab.path("no"));
    let (log, no) = (log.display(), no.display());
    for (text, code, what) in [
        (
            "[agent]\nuser = 'nobody-of-that-name'\n".to_owned(),
            78,
            ":2: `agent.user`: this host has no user",
        ),
        (
            "[agent]\ngroup = 'nobody-of-that-name'\n".to_owned(),
            78,
            ":2: `agent.group`: this host has no group",
        ),
        (
            format!("[state]\naudit_key = '{no}'\n"),
            78,
            ":2: `state.audit_key`: the audit key cannot be used",
        ),
        (
            format!("[outputs]\nto = ['file:{log}#name=a', 'file:{log}2#name=a']\n"),
            78,
            ":2: `outputs.to`: two outputs are called `a`",
        ),
        ("[output]\nevents = true\nformat = 'ocsf'\n".to_owned(), 78, ":2: `output.events`: "),
        (format!("[rules]\ndirectories = ['{no}']\n"), 66, ""),
    ] {
        fs::write(&file, &text).unwrap();
        let checked = config(&["check"], &file);
        let mut run = Command::new(AGENT);
        run.args(["run", "--runtime-dir"]).arg(lab.path("run")).arg("--config").arg(&file);
        let run = run.arg("--state-dir").arg(lab.path("state")).output().unwrap();
        for output in [checked, run] {
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{text}: {said}");
            assert!(said.contains(what), "{text}: {said}");
        }
    }
}

#[test]
fn an_output_that_cannot_be_is_found_before_the_agent_starts() {
    let lab = Lab::new();
    let file = lab.path("config.toml");
    let with = |output: &str| {
        fs::write(&file, format!("[outputs]\nto = [\"{output}\"]\n")).unwrap();
        config(&["check"], &file)
    };
    let control = with("kafka://broker/alerts");
    assert!(control.status.success(), "{control:?}");
    for (output, reason) in [
        ("kafka://broker/alerts/of/hosts", "the path of a Kafka address is one topic"),
        ("kafka://broker/alerts#user=me&sasl=plain&token-file=/etc/s", "not without `+tls`"),
    ] {
        let output = with(output);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.contains("config.toml:2: ") && text.contains(reason), "{text}");
    }
}

#[test]
fn show_says_what_holds_and_where_it_comes_from() {
    let lab = Lab::new();
    let file = lab.path("config.toml");
    fs::write(&file, "[output]\n\nmax_alerts = 10\n").unwrap();
    let output = config(&["show", "--origin", "-o", "json"], &file);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["output"]["max_alerts"]["value"], 10);
    let origin = shown["output"]["max_alerts"]["origin"].as_str().unwrap();
    assert!(origin.ends_with("config.toml:3"), "{origin}");
    assert_eq!(shown["policy"]["enforce"]["value"], false);
    assert_eq!(shown["policy"]["enforce"]["origin"], "default");
    let text = config(&["show"], &file);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("output.max_alerts ")), "{text}");
}
