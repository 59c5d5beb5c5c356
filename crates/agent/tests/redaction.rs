//! A secret on a command line reaches rules, and nobody who reads what the agent says.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, root};

const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "hunter2-Zq9";

#[test]
fn a_secret_is_in_no_output() {
    if !root("a_secret_is_in_no_output") {
        return;
    }
    let lab = Lab::new();
    // It asks for the secret itself: rules see values as they are.
    let text = format!(
        "[[rule]]\nid = \"sees\"\nname = \"n\"\ndescription = \"d\"\nseverity = \"low\"\nquery = \
         '''process where event.type == \"start\" and process.args == \"{SECRET}\" and \
         process.env_vars == \"PGPASSWORD={SECRET}\"'''\n"
    );
    fs::write(lab.path("rules/sees.toml"), text).unwrap();
    let agent = lab.start_with(&["--events"]);
    fs::copy("/bin/true", lab.path("y")).unwrap();
    let mut child = Command::new(lab.path("y"))
        .args(["--password", SECRET, &format!("https://me:{SECRET}@host/")])
        .env("PGPASSWORD", SECRET)
        .spawn()
        .unwrap();
    child.wait().unwrap();
    let (alert, lines) = agent.alert_and_lines(child.id(), PATIENCE);
    let alert = alert.expect("the rule has seen it");
    assert_eq!(alert["rule"]["id"], "sees");
    assert_eq!(alert["process"]["args"][2], "[redacted]", "{alert}");
    for (what, text) in [
        ("standard output", lines),
        ("alerts", said(&lab, &["alerts", "-o", "json"])),
        ("alerts for people", said(&lab, &["alerts"])),
        ("events", said(&lab, &["events", "-o", "json"])),
        ("events for people", said(&lab, &["events"])),
        ("status", said(&lab, &["status", "-o", "json"])),
        ("the log", fs::read_to_string(lab.path("log")).unwrap()),
    ] {
        assert!(!text.contains(SECRET), "{what}: {text}");
    }
    assert!(said(&lab, &["events", "-o", "json"]).contains("[redacted]"), "the event is there");
    drop(agent);
}

fn said(lab: &Lab, words: &[&str]) -> String {
    let output = lab.ask(words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_secret_that_a_script_fails_with_is_in_no_output() {
    if !root("a_secret_that_a_script_fails_with_is_in_no_output") {
        return;
    }
    let lab = Lab::new();
    let condition = format!("process.executable == \"{}\" and own.f()", lab.path("y").display());
    let table = "[[script]]\nname = \"own\"\nfile = \"own.luau\"\nfields = [\"process.args\"]\n";
    let rule = crate::packs::rule("fails", &condition, "");
    let script =
        "return { f = function()\n  error(\"seen: \" .. event.field(\"process.args\")[2])\nend }\n";
    fs::write(lab.path("rules/fails.toml"), table.to_owned() + &rule).unwrap();
    fs::write(lab.path("rules/own.luau"), script).unwrap();
    let state = lab.path("state").display().to_string();
    let agent = lab.start_with(&["--state-dir", &state]);
    fs::copy("/bin/true", lab.path("y")).unwrap();
    let mut lines = String::new();
    while !lines.contains("kestrel-script-quarantine") {
        for _ in 0..5 {
            let words = [format!("PGPASSWORD={SECRET}")];
            assert!(Command::new(lab.path("y")).args(words).status().unwrap().success());
        }
        let (marker, more) = agent.alert_and_lines(lab.run_scratch("x"), PATIENCE);
        marker.expect("an alert of the neighbour");
        lines += &more;
    }
    for (what, text) in [
        ("standard output", lines),
        ("rules", said(&lab, &["rules", "-o", "json"])),
        ("rules for people", said(&lab, &["rules"])),
        ("the log", fs::read_to_string(lab.path("log")).unwrap()),
        ("the audit log", fs::read_to_string(lab.path("state/audit.jsonl")).unwrap()),
    ] {
        assert!(text.contains("seen: PGPASSWORD=[redacted]"), "{what}: {text}");
        assert!(!text.contains(SECRET), "{what}: {text}");
    }
    drop(agent);
}
