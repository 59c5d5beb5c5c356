//! The audit log of a running agent: what it holds, what is found in it after somebody was there, and
//! what a kill leaves.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::lab::{AGENT, root, until};
use crate::policies::{code, out};
use crate::prevention::{PATIENCE, Scene};

/// A command about the log of a scene.
fn audit(scene: &Scene, words: &[&str]) -> std::process::Output {
    let state = scene.lab.path("state");
    Command::new(AGENT).arg("audit").args(words).arg("--state-dir").arg(state).output().unwrap()
}

fn report(scene: &Scene, words: &[&str]) -> Value {
    let output = audit(scene, &[&["verify", "-o", "json"], words].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// The actions in the log, the oldest first, but for the rules that were loaded.
fn actions(scene: &Scene) -> Vec<String> {
    let lines = out(&audit(scene, &["tail", "-n", "1000", "-o", "json"]));
    let action = |line: &str| serde_json::from_str::<Value>(line).unwrap()["action"].clone();
    let actions = lines.lines().map(|line| action(line).as_str().unwrap().to_owned());
    actions.filter(|action| action != "rules-loaded").collect()
}

fn apply(scene: &Scene, path: &str) {
    let done = scene.ask(&["policy", "apply", path, "--reason", "an incident"]);
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn who_changed_what_is_in_the_log_and_a_change_of_the_log_is_found() {
    let test = "who_changed_what_is_in_the_log_and_a_change_of_the_log_is_found";
    if !root(test) {
        return;
    }
    let scene = Scene::new();
    let key = scene.lab.path("key");
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
    assert!(make.status().unwrap().success());
    let agent = scene.start(&["--audit-key", key.to_str().unwrap()]);
    let policy = scene.policy("p.yaml", &scene.denying());
    apply(&scene, policy.to_str().unwrap());
    let off = scene.ask(&["emergency", "disable", "--reason", "it locks us out"]);
    assert!(off.status.success(), "{off:?}");
    assert!(agent.stop().success());

    let seen = actions(&scene);
    let wanted =
        ["agent-started", "policy-apply", "emergency-disable", "agent-stopped", "audit-checkpoint"];
    assert_eq!(seen, wanted);
    let text = out(&audit(&scene, &["tail", "-n", "4"]));
    assert!(text.contains("policy-apply") && text.contains("an incident"), "{text}");
    let public = scene.lab.path("key.pub");
    let sound = report(&scene, &["--key", public.to_str().unwrap()]);
    assert_eq!((&sound["sound"], &sound["signed"]), (&true.into(), &5.into()), "{sound:#}");

    let path = scene.lab.path("state").join("audit.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace("it locks us out", "we were told to")).unwrap();
    let found = audit(&scene, &["verify"]);
    assert_eq!(code(&found), Some(1));
    assert!(out(&found).starts_with("A001 ") && out(&found).contains("audit.jsonl:4"), "{found:?}");
    fs::write(&path, whole).unwrap();
    assert_eq!(code(&audit(&scene, &["verify"])), Some(0), "as it was");
}

#[test]
fn what_was_denied_is_in_the_log_once_a_minute_with_its_number() {
    if !root("what_was_denied_is_in_the_log_once_a_minute_with_its_number") {
        return;
    }
    let scene = Scene::new();
    let policy = scene.policy("p.yaml", &scene.denying());
    // The control: what would be denied is none.
    let agent = scene.start(&[]);
    apply(&scene, policy.to_str().unwrap());
    assert!(!scene.is_denied());
    assert!(agent.stop().success());
    assert!(!actions(&scene).contains(&"denied".to_owned()), "{:?}", actions(&scene));

    let agent = scene.start(&["--enforce"]);
    for _ in 0..3 {
        assert!(scene.is_denied());
        std::thread::sleep(std::time::Duration::from_millis(1_100));
    }
    assert!(agent.stop().success());
    let lines = out(&audit(&scene, &["tail", "-n", "1000", "-o", "json"]));
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let denied: Vec<Value> = lines.filter(|line| line["action"] == "denied").collect();
    // The first one, and what was left out when the agent ended.
    let [first, rest] = &denied[..] else { panic!("{denied:?}") };
    assert!(first.get("left_out").is_none(), "{first}");
    assert!(first["rule"].as_str().is_some_and(|rule| rule.contains('/')), "{first}");
    assert_eq!(first["operation"], "connect", "{first}");
    assert!(rest["left_out"] == 1, "{rest}");
    assert!(report(&scene, &[])["findings"].as_array().is_none_or(Vec::is_empty));
}

#[test]
fn a_log_of_agents_that_were_killed_is_one_chain() {
    let test = "a_log_of_agents_that_were_killed_is_one_chain";
    if !root(test) {
        return;
    }
    let scene = Scene::new();
    let policy = scene.policy("p.yaml", &scene.denying());
    for _ in 0..3 {
        let agent = scene.start(&[]);
        apply(&scene, policy.to_str().unwrap());
        agent.kill();
        // Its worker ends a moment later.
        until("nobody answers", PATIENCE, || scene.lab.status().is_none());
    }
    let found = report(&scene, &[]);
    assert_eq!((&found["sound"], &found["lines"]), (&true.into(), &9.into()), "{found:#}");
    let seen = actions(&scene);
    assert_eq!(seen, ["agent-started", "policy-apply"].repeat(3));
    let ended = scene.ask(&["emergency", "disable", "--reason", "the test ends"]);
    assert!(ended.status.success(), "{ended:?}");
}
