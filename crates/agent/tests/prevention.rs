//! A running agent that carries policies out: applied, replaced, broken, taken back, switched off.
//!
//! Rules are about a copy of the shell in the scratch directory of the test, so nothing else on the
//! host is concerned.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::lab::{AGENT, Agent, Lab, root, until};
use crate::policies::{code, document, err, out};

/// Whatever a busy machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A lab with a program that connects, and somebody who listens.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) port: u16,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let lab = Lab::new();
        fs::copy("/bin/bash", lab.path("x")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // It listens as long as the test runs, and takes everybody in.
        std::thread::spawn(move || listener.incoming().for_each(drop));
        Scene { lab, port }
    }

    /// What a rule denies to the program.
    pub(crate) fn deny(&self, id: &str, peers: &str) -> String {
        let program = self.lab.path("x");
        let spec = format!(
            "  rules: [{{id: {id}, subject: {{executable: {}}}, deny: connect, peers: '{peers}'}}]\n",
            program.display()
        );
        document("scratch", &spec)
    }

    /// A policy that denies connecting to who listens.
    pub(crate) fn denying(&self) -> String {
        self.deny("no-connect", &format!("127.0.0.1:{}", self.port))
    }

    pub(crate) fn policy(&self, name: &str, text: &str) -> PathBuf {
        let path = self.lab.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Nothing of it outlives the agent.
    pub(crate) fn start(&self, options: &[&str]) -> Agent {
        self.start_to(&[&["--on-exit", "release"], options].concat())
    }

    pub(crate) fn start_to(&self, options: &[&str]) -> Agent {
        let state = self.lab.path("state");
        let all = [&["--state-dir", state.to_str().unwrap()], options].concat();
        self.lab.start_with(&all)
    }

    /// A command with the directories of this scene.
    pub(crate) fn ask(&self, words: &[&str]) -> Output {
        let mut command = Command::new(AGENT);
        command.args(words).arg("--state-dir").arg(self.lab.path("state"));
        command.arg("--runtime-dir").arg(self.lab.path("run")).output().unwrap()
    }

    pub(crate) fn apply(&self, name: &str, text: &str, more: &[&str]) -> Output {
        let path = self.policy(name, text);
        self.ask(&[&["policy", "apply", path.to_str().unwrap()], more].concat())
    }

    pub(crate) fn show(&self) -> Value {
        let shown = self.ask(&["policy", "show", "-o", "json"]);
        serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{}", err(&shown)))
    }

    /// Connects with a program; what it says if it cannot.
    pub(crate) fn connect(&self, program: &str) -> Result<(), String> {
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}", self.port);
        let output = Command::new(program).args(["-c", &script]).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(err(&output)) }
    }

    /// The program may not connect, for the reason that we gave; another one may.
    pub(crate) fn is_denied(&self) -> bool {
        assert_eq!(self.connect("/bin/bash"), Ok(()), "nobody denies it to others");
        match self.connect(self.lab.path("x").to_str().unwrap()) {
            Ok(()) => false,
            Err(reason) => {
                assert!(reason.contains("not permitted"), "{reason}");
                true
            }
        }
    }
}

#[test]
fn policies_are_replaced_while_the_agent_runs_and_broken_ones_change_nothing() {
    if !root("policies_are_replaced_while_the_agent_runs_and_broken_ones_change_nothing") {
        return;
    }
    let scene = Scene::new();
    let file = scene.policy("p.yaml", &scene.denying());
    let agent = scene.start(&["--enforce", "--policy", file.to_str().unwrap()]);
    assert!(scene.is_denied(), "it is in force when the agent answers");
    let shown = scene.show();
    assert_eq!(shown["generation"], 1);
    assert_eq!(shown["agent"]["in_kernel"]["generation"], 1);
    assert_eq!(shown["agent"]["in_kernel"]["is_what_was_given"], true);
    assert!(shown["agent"]["denied"].as_u64() >= Some(1), "{shown:#}");
    let text = out(&scene.ask(&["policy", "show"]));
    assert!(text.contains("as it was given") && text.contains("scratch/no-connect"), "{text}");

    // The file changes: nobody need be told.
    fs::write(&file, scene.deny("other", "192.0.2.1:9")).unwrap();
    until("the new policy is in force", PATIENCE, || !scene.is_denied());
    fs::write(&file, "apiVersion: aegisbpf.io/v1\nkind: Pol").unwrap();
    let log = || fs::read_to_string(scene.lab.path("log")).unwrap();
    until("the broken file is told", PATIENCE, || log().contains("the policies stay as they were"));
    assert!(log().contains("E050"), "{}", log());
    assert_eq!(scene.show()["agent"]["in_kernel"]["generation"], 2);

    // Back to what was before, and broken input of all sorts meanwhile.
    let back = scene.ask(&["policy", "rollback", "--reason", "a test"]);
    assert_eq!(code(&back), Some(0), "{}", err(&back));
    assert_eq!(out(&back), "back to what generation 1 said, as generation 3\n");
    assert!(scene.is_denied());
    let good = scene.denying();
    let large = "x: 1\n".repeat(2_000_000);
    for (text, more, wanted) in [
        (good.as_str(), &["--sha256", "00"][..], "E052"),
        (&good.replace("io/v1", "io/v2"), &[], "E050"),
        (&good.replace("deny:", "dney:"), &[], "E003"),
        (&good[..good.len() - 20], &[], "E041"),
        (&large, &[], "E051"),
        (
            &good.replace("deny: connect, peers", "deny: delete, files").replace("127", "/127"),
            &[],
            "E056",
        ),
    ] {
        let refused = scene.apply("bad.yaml", text, more);
        assert_eq!(code(&refused), Some(1), "{wanted}: {}", err(&refused));
        assert!(err(&refused).contains(&format!("[{wanted}]")), "{wanted}: {}", err(&refused));
        assert!(scene.is_denied(), "{wanted}");
    }
    let missing = scene.ask(&["policy", "apply", "/nonexistent.yaml"]);
    assert_eq!(code(&missing), Some(1));
    assert!(err(&missing).contains("E051"), "{}", err(&missing));
    assert_eq!(scene.show()["agent"]["in_kernel"]["generation"], 3);
    let history = out(&scene.ask(&["policy", "history"]));
    let actions: Vec<&str> =
        history.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(actions, ["apply", "apply", "rollback"], "{history}");
    assert!(agent.stop().success());
    assert!(!scene.is_denied(), "it was started to let go");

    // The next one begins with what was in force.
    let agent = scene.start(&["--enforce"]);
    assert!(scene.is_denied());
    assert!(agent.stop().success());
}

#[test]
fn nothing_is_denied_that_the_operator_did_not_switch_on() {
    if !root("nothing_is_denied_that_the_operator_did_not_switch_on") {
        return;
    }
    let scene = Scene::new();
    let _agent = scene.start(&[]);
    let text = scene.denying().replace("spec:\n", "spec:\n  mode: enforce\n");
    let applied = scene.apply("p.yaml", &text, &[]);
    assert_eq!(code(&applied), Some(0), "{}", err(&applied));
    assert!(out(&applied).contains("only reported"), "{}", out(&applied));
    assert!(!scene.is_denied(), "the agent was started without --enforce");
    let would = || scene.show()["agent"]["would_deny"].as_u64();
    assert!(would() >= Some(1), "{:#}", scene.show());
    assert_eq!(scene.show()["agent"]["denied"], 0);
}

#[test]
fn one_command_ends_enforcement_and_one_takes_it_up_again() {
    if !root("one_command_ends_enforcement_and_one_takes_it_up_again") {
        return;
    }
    let scene = Scene::new();
    let file = scene.policy("p.yaml", &scene.denying());
    let options = ["--enforce", "--policy", file.to_str().unwrap()];
    let agent = scene.start(&options);
    assert!(scene.is_denied());
    let off = scene.ask(&["emergency", "disable", "--reason", "it hurts"]);
    assert_eq!(code(&off), Some(0), "{}", err(&off));
    assert!(!scene.is_denied());
    let status = out(&scene.ask(&["emergency", "status"]));
    assert!(
        status.contains("it hurts") && status.contains("until the agent starts again"),
        "{status}"
    );
    // What is applied meanwhile waits.
    let applied = scene.apply("q.yaml", &scene.denying().replace("no-connect", "again"), &[]);
    assert_eq!(code(&applied), Some(0), "{}", err(&applied));
    assert!(!scene.is_denied());
    let on = scene.ask(&["emergency", "enable", "--reason", "it is well"]);
    assert_eq!(code(&on), Some(0), "{}", err(&on));
    assert!(scene.is_denied());
    assert_eq!(scene.show()["agent"]["in_kernel"]["generation"], 2);

    // It survives the agent only if that was asked for.
    let disable = |more: &[&str]| {
        let words = [&["emergency", "disable", "--reason", "r"], more].concat();
        assert_eq!(code(&scene.ask(&words)), Some(0));
    };
    disable(&[]);
    assert!(agent.stop().success());
    let agent = scene.start(&options);
    assert!(scene.is_denied());
    disable(&["--persist"]);
    assert!(agent.stop().success());
    let agent = scene.start(&options);
    assert!(!scene.is_denied());
    assert_eq!(code(&scene.ask(&["emergency", "enable", "--reason", "r"])), Some(0));
    assert!(scene.is_denied());
    assert!(agent.stop().success());
    let history = out(&scene.ask(&["policy", "history"]));
    assert_eq!(history.matches("emergency-disable").count(), 3, "{history}");
    assert_eq!(history.matches("emergency-enable").count(), 2, "{history}");
}

#[test]
fn why_tells_the_rule_its_line_and_the_edit_and_a_killer_kills() {
    if !root("why_tells_the_rule_its_line_and_the_edit_and_a_killer_kills") {
        return;
    }
    let scene = Scene::new();
    let file = scene.policy("p.yaml", &scene.denying());
    let _agent = scene.start(&["--enforce", "--policy", file.to_str().unwrap()]);
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; read x", scene.port);
    let run = || {
        let mut command = Command::new(scene.lab.path("x"));
        let script = script.replace("; read", " || true; read");
        command.args(["-c", &script]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut process = run();
    let log = || fs::read_to_string(scene.lab.path("log")).unwrap();
    until("the denial is told", PATIENCE, || log().contains("id=\"1-1\""));
    let why = scene.ask(&["why", "1-1"]);
    let text = out(&why);
    assert_eq!(code(&why), Some(0), "{}", err(&why));
    for part in
        ["scratch/no-connect", "p.yaml:5", "denied (EPERM)", "smallest edit", "allow: [connect]"]
    {
        assert!(text.contains(part), "`{part}` is missing in {text}");
    }
    assert_eq!(code(&scene.ask(&["why", "1-999"])), Some(1));
    let about = out(&scene.ask(&["why", &process.id().to_string()]));
    assert!(about.contains("rules about it") && about.contains("scratch/no-connect"), "{about}");
    let other = out(&scene.ask(&["why", &std::process::id().to_string()]));
    assert!(other.contains("no rule is about it"), "{other}");
    process.kill().unwrap();
    process.wait().unwrap();

    let killing = scene.denying().replace("deny: connect", "kill: connect");
    assert_eq!(code(&scene.apply("p.yaml", &killing, &[])), Some(0));
    let mut process = run();
    // As long as its input is open, it would live on.
    let _input = process.stdin.take();
    let ended = process.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "{}", log());
}

#[test]
fn files_are_denied_to_those_whom_a_rule_is_about_and_to_nobody_else() {
    if !root("files_are_denied_to_those_whom_a_rule_is_about_and_to_nobody_else") {
        return;
    }
    let scene = Scene::new();
    let (program, secret) = (scene.lab.path("x"), scene.lab.path("secret"));
    let link = scene.lab.path("link");
    fs::write(&secret, "a secret\n").unwrap();
    fs::hard_link(&secret, &link).unwrap();
    let spec = format!(
        "  rules: [{{id: secret, subject: {{executable: {}, descendants: true}}, deny: [read, execute], \
         files: {}}}]\n",
        program.display(),
        secret.display()
    );
    let file = scene.policy("p.yaml", &document("scratch", &spec));
    let read = |program: &str, path: &PathBuf| {
        let script = format!("read line < {} && echo \"$line\"", path.display());
        Command::new(program).args(["-c", &script]).output().unwrap()
    };
    let child = |path: &PathBuf| {
        let script = format!("/bin/cat {} || exit 7", path.display());
        Command::new(&program).args(["-c", &script]).output().unwrap()
    };
    let denied = |output: &Output| {
        assert!(err(output).contains("not permitted"), "{output:?}");
        assert_eq!(out(output), "");
    };
    let x = program.to_str().unwrap();
    assert_eq!(out(&read(x, &secret)), "a secret\n");
    let options = ["--enforce", "--policy", file.to_str().unwrap()];
    let agent = scene.start(&options);
    denied(&read(x, &secret));
    denied(&read(x, &link));
    denied(&child(&secret));
    assert_eq!(out(&read("/bin/bash", &secret)), "a secret\n");
    let log = || fs::read_to_string(scene.lab.path("log")).unwrap();
    until("the denial is told", PATIENCE, || log().contains("rule=\"scratch/secret\""));
    assert!(log().contains("operation=\"read\""), "{}", log());
    assert!(scene.show()["agent"]["denied"].as_u64() >= Some(3), "{:#}", scene.show());
    // What cannot be known here is refused with the reason, and changes nothing.
    let after = spec.replace("deny:", "after: {operations: connect}, deny:");
    let refused = scene.apply("q.yaml", &document("scratch", &after), &[]);
    assert_eq!(code(&refused), Some(1));
    assert!(err(&refused).contains("does not know who is armed"), "{}", err(&refused));
    denied(&read(x, &secret));
    assert!(agent.stop().success());
    assert_eq!(out(&read(x, &secret)), "a secret\n");

    let _agent = scene.start(&["--audit", "--policy", file.to_str().unwrap()]);
    assert_eq!(out(&read(x, &secret)), "a secret\n", "only reported");
    until("it is told what would be denied", PATIENCE, || log().contains("would be denied"));
}

#[test]
fn rules_made_at_the_command_line_hold_at_once_and_end_by_themselves() {
    if !root("rules_made_at_the_command_line_hold_at_once_and_end_by_themselves") {
        return;
    }
    let scene = Scene::new();
    let _agent = scene.start(&["--enforce"]);
    let (program, peer) = (scene.lab.path("x"), format!("127.0.0.1:{}", scene.port));
    let add = |kind: &str, ttl: &str| {
        let program = program.to_str().unwrap();
        let words = [kind, "add", &peer, "--as", program, "--reason", "an incident", "--ttl", ttl];
        let added = scene.ask(&words);
        assert_eq!(code(&added), Some(0), "{}", err(&added));
        out(&added).split(':').next().unwrap().to_owned()
    };
    let block = add("block", "1h");
    assert!(scene.is_denied());
    let list = out(&scene.ask(&["block", "list"]));
    assert!(list.contains(&block) && list.contains("an incident"), "{list}");
    // An exception for a while, which ends by itself.
    add("allow", "8s");
    assert!(!scene.is_denied());
    assert_eq!(out(&scene.ask(&["allow", "list"])).lines().count(), 2);
    until("the exception ends", PATIENCE, || scene.is_denied());
    assert_eq!(out(&scene.ask(&["allow", "list"])).lines().count(), 1);
    // Whatever else is put in force, they stay.
    let other = scene.apply("p.yaml", &scene.deny("other", "192.0.2.1:9"), &[]);
    assert_eq!(code(&other), Some(0), "{}", err(&other));
    assert!(scene.is_denied());
    let wrong = scene.ask(&["allow", "del", "allow-99"]);
    assert_eq!(code(&wrong), Some(1));
    let gone = scene.ask(&["block", "del", &block]);
    assert_eq!(code(&gone), Some(0), "{}", err(&gone));
    assert!(!scene.is_denied());
    // What is refused is not kept.
    let refused = scene.ask(&["block", "add", "/srv/x", "--reason", "r"]);
    assert_eq!(code(&refused), Some(1));
    assert!(err(&refused).contains("E056"), "{}", err(&refused));
    assert_eq!(out(&scene.ask(&["block", "list"])).lines().count(), 1);
}

#[test]
fn a_policy_on_trial_goes_back_by_itself() {
    if !root("a_policy_on_trial_goes_back_by_itself") {
        return;
    }
    let scene = Scene::new();
    let _agent = scene.start(&["--enforce"]);
    let quiet = scene.apply("p.yaml", &scene.deny("quiet", "192.0.2.1:9"), &["--canary", "2s"]);
    assert_eq!(code(&quiet), Some(0), "{}", err(&quiet));
    assert!(out(&quiet).contains("it stays"), "{}", out(&quiet));
    // Everything that the program does is denied, and it goes on trying.
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                drop(scene.connect(scene.lab.path("x").to_str().unwrap()));
            }
        });
        let failed = scene.apply("q.yaml", &scene.denying(), &["--canary", "60s"]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(code(&failed), Some(1), "{}", out(&failed));
        let text = err(&failed);
        assert!(
            text.contains("requests were denied") && text.contains("the policies before"),
            "{text}"
        );
    });
    assert!(!scene.is_denied());
    assert_eq!(scene.show()["agent"]["in_kernel"]["generation"], 1);
    let told = || out(&scene.ask(&["policy", "history"])).contains("trial-failed");
    until("the history tells", PATIENCE, told);
    assert_eq!(scene.show()["generation"], 1, "the store says the same");
}
