//! What holds where no LSM program loads: the guard of files, and what is refused there.

use std::path::Path;

use crate::lab::root;
use crate::policies::{code, document, err};
use crate::prevention::Scene;

/// Whether an agent with these rules enforces without LSM programs; says so if not.
fn is_fallback(scene: &Scene, test: &str) -> bool {
    let tier = scene.show()["tier"].clone();
    if tier != "fallback" {
        println!("SKIP {test}: it is about hosts without LSM programs, the tier is {tier}");
    }
    tier == "fallback"
}

/// A policy with one rule about a program of the scene.
fn rule(program: &Path, rest: &str) -> String {
    let program = program.display();
    document("p", &format!("  rules: [{{id: a, subject: {{executable: {program}}}, {rest}}}]\n"))
}

#[test]
fn an_agent_does_not_start_with_what_it_cannot_do_unless_that_is_accepted() {
    let test = "an_agent_does_not_start_with_what_it_cannot_do_unless_that_is_accepted";
    if !root(test) {
        return;
    }
    let scene = Scene::new();
    let file = scene.lab.path("kept");
    let text =
        rule(&scene.lab.path("x"), &format!("deny: [delete, read], files: {}", file.display()));
    let path = scene.policy("p.yaml", &text);
    let options = ["--enforce", "--policy", path.to_str().unwrap()];
    let accepting = [&options[..], &["--accept-degraded", "delete"]].concat();
    let agent = scene.start(&accepting);
    if !is_fallback(&scene, test) {
        return;
    }
    // A rule of the command line is put in force together with what was accepted before.
    let block = ["block", "add", "/srv/none", "--operations", "read", "--reason", "a test"];
    let blocked = scene.ask(&block);
    assert_eq!(code(&blocked), Some(0), "{}", err(&blocked));
    assert!(agent.stop().success());

    let state = scene.lab.path("state");
    let refused =
        scene.lab.command().args(options).arg("--state-dir").arg(&state).output().unwrap();
    let said = err(&refused);
    assert!(!refused.status.success(), "{said}");
    for part in [
        "p/a at ",
        "p.yaml:5",
        "`delete` cannot be enforced here",
        "asks about none",
        "--accept-degraded delete",
    ] {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
}
