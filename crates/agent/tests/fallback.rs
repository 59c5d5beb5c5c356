//! What holds where no LSM program loads: the guard of files, and what is refused there.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::lab::{Agent, root, until};
use crate::policies::{code, document, err};
use crate::prevention::{PATIENCE, Scene};

/// The agent, if it enforces without LSM programs; else it is stopped, and why is said.
fn fallback(scene: &Scene, agent: Agent, test: &str) -> Option<Agent> {
    let shown = scene.show();
    let tier = shown["agent"]["tier"].as_str().unwrap_or_else(|| panic!("{shown:#}"));
    if tier == "fallback" {
        return Some(agent);
    }
    println!("SKIP {test}: it is about hosts without LSM programs, the tier is {tier}");
    assert!(agent.stop().success());
    None
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
    let Some(agent) = fallback(&scene, agent, test) else { return };
    let page = crate::metrics::figures(&scene.lab);
    assert!(crate::metrics::sum(&page, "policy_degraded_operations", "") > 0.0, "{page:?}");
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
    // What an agent that does not start has loaded enforces nothing, and stays for the next one.
    let ended = scene.ask(&["emergency", "disable", "--reason", "the test ends"]);
    assert!(ended.status.success(), "{}", err(&ended));
}

/// What opening a file with a program of the scene comes to: nothing, or what the shell says.
fn open(program: &Path, file: &Path) -> Result<(), String> {
    let script = format!("exec 3<{}", file.display());
    let output = Command::new(program).args(["-c", &script]).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(err(&output)) }
}

/// The event of a verdict on a file, among all that the agent prints.
fn told(scene: &Scene, agent: &Agent, reason: &str, file: &Path) -> Value {
    let end = Instant::now() + PATIENCE;
    while let Some(found) = agent.next(end.saturating_duration_since(Instant::now())) {
        if found["event"]["reason"] == reason && found["file"]["path"] == file.to_str().unwrap() {
            return found;
        }
    }
    panic!("{reason} {} is not told: {}", file.display(), scene.show());
}

#[test]
fn what_is_only_reported_of_files_goes_through_and_is_told() {
    let test = "what_is_only_reported_of_files_goes_through_and_is_told";
    if !root(test) {
        return;
    }
    let scene = Scene::new();
    let program = scene.lab.path("x");
    let [seen, kept, other] = ["seen", "kept", "other"].map(|name| scene.policy(name, "text"));
    let subject = format!("subject: {{executable: {}}}", program.display());
    let text = document(
        "p",
        &format!(
            "  rules:\n    - {{id: looks, {subject}, audit: read, files: {}}}\n    \
             - {{id: keeps, {subject}, deny: read, files: {}}}\n",
            seen.display(),
            kept.display()
        ),
    );
    let path = scene.policy("p.yaml", &text);
    let agent = scene.start(&["--enforce", "--policy", path.to_str().unwrap()]);
    let Some(agent) = fallback(&scene, agent, test) else { return };
    assert_eq!(open(&program, &seen), Ok(()), "an audit rule decides nothing");
    let reported = told(&scene, &agent, "reported", &seen);
    assert_eq!(reported["rule"]["id"], "looks", "{reported:#}");
    assert_eq!(reported["event"]["outcome"], "success", "{reported:#}");

    let refused = open(&program, &kept).unwrap_err();
    assert!(refused.contains("not permitted"), "{refused}");
    let denied = told(&scene, &agent, "denied", &kept);
    assert_eq!(denied["rule"]["id"], "keeps", "{denied:#}");
    for (who, file) in [(&program, &other), (&"/bin/bash".into(), &kept)] {
        assert_eq!(
            open(who, file),
            Ok(()),
            "no rule is about {} of {}",
            file.display(),
            who.display()
        );
    }
    assert!(agent.stop().success());
}

#[test]
fn one_denial_among_thousands_of_another_process_is_told() {
    let test = "one_denial_among_thousands_of_another_process_is_told";
    if !root(test) {
        return;
    }
    let scene = Scene::new();
    let (program, kept) = (scene.lab.path("x"), scene.policy("kept", "text"));
    let about = format!("deny: read, files: {}", kept.display());
    let path = scene.policy("p.yaml", &rule(&program, &about));
    let agent = scene.start(&["--enforce", "--policy", path.to_str().unwrap()]);
    let Some(agent) = fallback(&scene, agent, test) else { return };
    let figures = || scene.lab.status().unwrap()["kernel_counters"]["policy"].clone();
    let script = format!("for i in {{1..5000}}; do 3<{} true; done", kept.display());
    let flood = Command::new(&program).args(["-c", &script]).stderr(Stdio::null()).spawn();
    let mut flood = flood.unwrap();
    until("the flood has begun", PATIENCE, || figures()["verdicts"]["untold"].as_u64() > Some(0));
    let script = format!("exec 3<{}", kept.display());
    let single = Command::new(&program).args(["-c", &script]).stderr(Stdio::null()).spawn();
    let mut single = single.unwrap();
    assert_eq!(single.wait().unwrap().code(), Some(1), "it is denied");
    assert!(flood.try_wait().unwrap().is_none(), "the flood goes on");
    let event = loop {
        let event = told(&scene, &agent, "denied", &kept);
        if event["process"]["pid"] == single.id() {
            break event;
        }
        assert_eq!(event["process"]["pid"], flood.id(), "{event:#}");
    };
    assert_eq!(event["rule"]["id"], "a", "{event:#}");
    flood.wait().unwrap();
    until("all are counted", PATIENCE, || scene.show()["agent"]["denied"] == 5_001);
    assert_eq!(figures()["decisions_lost"], 0);
    let page = crate::metrics::figures(&scene.lab);
    assert!(crate::metrics::sum(&page, "policy_untold_total", "") > 0.0, "{page:?}");
    assert!(page["policy_decisions_lost_total"].values().all(|lost| *lost < 1.0), "{page:?}");
    assert!(agent.stop().success());
}

#[test]
fn who_is_limited_opens_only_files_that_are_listed() {
    let test = "who_is_limited_opens_only_files_that_are_listed";
    if !root(test) {
        return;
    }
    let scene = Scene::new();
    let program = scene.lab.path("x");
    let [listed, other] = ["listed", "other"].map(|name| scene.policy(name, "text"));
    let text = document(
        "p",
        &format!(
            "  subjects: {{x: {{executable: {}}}}}\n  allowOnly: [{{id: only, subject: x, operations: \
             read, include: [base-system, terminal]}}]\n  rules: [{{id: listed, subject: x, allow: read, \
             files: {}}}]\n",
            program.display(),
            listed.display()
        ),
    );
    let path = scene.policy("p.yaml", &text);
    let agent = scene.start(&["--enforce", "--policy", path.to_str().unwrap()]);
    let Some(agent) = fallback(&scene, agent, test) else { return };
    assert_eq!(
        open(&program, &listed),
        Ok(()),
        "the program itself starts, and what is listed opens"
    );
    let refused = open(&program, &other).unwrap_err();
    assert!(refused.contains("not permitted"), "{refused}");
    let denied = told(&scene, &agent, "denied", &other);
    assert_eq!(
        (&denied["rule"]["id"], &denied["event"]["outcome"]),
        (&"only".into(), &"failure".into())
    );
    assert_eq!(open("/bin/bash".as_ref(), &other), Ok(()), "nobody else is limited");
    assert!(agent.stop().success());
}

/// Its first thread ends, and another one opens the file itself or lets a child do it.
const FIRST_ENDS: &str = "import ctypes, os, subprocess, sys, threading, time
def go():
    while os.path.exists('/proc/self/exe'):
        time.sleep(0.01)
    if sys.argv[1] == 'child':
        os._exit(subprocess.run(['cat', sys.argv[2]]).returncode)
    try:
        open(sys.argv[2])
    except OSError as error:
        os.write(2, str(error).encode())
        os._exit(1)
    os._exit(0)
threading.Thread(target=go).start()
ctypes.CDLL(None).syscall(60, 0)
";

#[test]
fn who_ends_his_first_thread_is_who_he_was() {
    let test = "who_ends_his_first_thread_is_who_he_was";
    if !root(test) {
        return;
    }
    let scene = Scene::new();
    let [kept, other] = ["kept", "other"].map(|name| scene.policy(name, "text"));
    let python = Path::new("/usr/bin/python3").canonicalize().unwrap();
    let text = document(
        "p",
        &format!(
            "  rules: [{{id: a, subject: {{executable: {}, descendants: true}}, deny: read, files: {}}}]\n",
            python.display(),
            kept.display()
        ),
    );
    let path = scene.policy("p.yaml", &text);
    let agent = scene.start(&["--enforce", "--policy", path.to_str().unwrap()]);
    let Some(agent) = fallback(&scene, agent, test) else { return };
    for by in ["itself", "child"] {
        let act = |file: &Path| {
            Command::new(&python).args(["-c", FIRST_ENDS, by]).arg(file).output().unwrap()
        };
        let control = act(&other);
        assert!(control.status.success(), "{by}: {}", err(&control));
        let denied = act(&kept);
        assert!(err(&denied).contains("Operation not permitted"), "{by}: {denied:?}");
    }
    let by_another = Command::new("cat").arg(&kept).output().unwrap();
    assert!(by_another.status.success(), "{}", err(&by_another));
    assert!(agent.stop().success());
}
