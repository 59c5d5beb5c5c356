//! Alerts of a real agent in the forms of other tools.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{AGENT, Lab, root};

/// Asks again until something is printed.
fn printed(lab: &Lab, words: &[&str]) -> String {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let output = lab.ask(words);
        let text = String::from_utf8(output.stdout).unwrap();
        if !text.is_empty() || Instant::now() > end {
            return text;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn alerts_are_printed_as_findings_and_as_cef() {
    if !root("alerts_are_printed_as_findings_and_as_cef") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start_with(&["--state-dir", lab.path("state").to_str().unwrap()]);
    let pid = lab.run_scratch("x");
    let alert = agent.alert(pid, Duration::from_secs(10)).unwrap();

    let finding = printed(&lab, &["alerts", "-n", "1", "-o", "ocsf"]);
    let finding: Value = serde_json::from_str(&finding).unwrap();
    assert_eq!(finding["class_uid"], 2004);
    assert_eq!(finding["actor"]["process"]["pid"], u64::from(pid));
    assert_eq!(finding["metadata"]["uid"], alert["alert"]["id"]);
    assert_eq!(finding["device"]["hostname"], alert["host"]["name"]);

    let line = printed(&lab, &["alerts", "-n", "1", "-o", "cef"]);
    assert!(line.starts_with("CEF:0|AegisBPF|aegisbpf|"), "{line}");
    assert!(line.contains("|scratch|Scratch program|8|"), "{line}");
    assert!(line.contains(&format!(" spid={pid} ")), "{line}");
}

#[test]
fn events_have_no_such_forms_and_that_is_said() {
    if !root("events_have_no_such_forms_and_that_is_said") {
        return;
    }
    let lab = Lab::new();
    for words in [&["events", "-o", "ocsf"][..], &["run", "--events", "-o", "cef"]] {
        let mut command = Command::new(AGENT);
        let output =
            command.args(words).arg("--runtime-dir").arg(lab.path("run")).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("OCSF and CEF are for alerts"), "{text}");
    }
}
