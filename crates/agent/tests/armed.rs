//! Rules of rule files that deny: the kernel decides them, or their last step after the engine has
//! followed the others.
//!
//! Rules are about files, a port and a copy of the shell that only the test has.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::lab::{AGENT, Agent, Lab, root, until};
use crate::policies::{code, err, out};

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(40);

/// A lab with a file of rules, and somebody who listens.
struct Scene {
    lab: Lab,
    port: u16,
}

/// A shell that does what it is told, one line after the other.
struct Shell {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Shell {
    fn start(program: &str) -> Shell {
        let script = "while read -r line; do eval \"$line\" && echo ok || echo failed; done";
        let mut command = Command::new(program);
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Shell { child, out }
    }

    /// Whether a line went well.
    fn does(&mut self, line: &str) -> bool {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut said = String::new();
        self.out.read_line(&mut said).unwrap();
        assert!(["ok\n", "failed\n"].contains(&said.as_str()), "{line}: {said:?}");
        said == "ok\n"
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

impl Scene {
    fn new(rules: impl Fn(&Lab, u16) -> String) -> Scene {
        let lab = Lab::new();
        fs::copy("/bin/bash", lab.path("x")).unwrap();
        fs::write(lab.path("secret"), "a secret\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        fs::write(lab.path("rules/deny.toml"), rules(&lab, port)).unwrap();
        Scene { lab, port }
    }

    fn start(&self) -> Agent {
        let [state, file] =
            ["state", "rules/deny.toml"].map(|one| self.lab.path(one).display().to_string());
        let release = ["--on-exit", "release"];
        let more = ["--state-dir", &state, "--enforce", "--policy", &file];
        self.lab.start_with(&[&release[..], &more].concat())
    }

    fn ask(&self, words: &[&str]) -> Output {
        let mut command = Command::new(AGENT);
        command.args(words).arg("--state-dir").arg(self.lab.path("state"));
        command.arg("--runtime-dir").arg(self.lab.path("run")).output().unwrap()
    }

    fn armed(&self) -> Option<u64> {
        let shown = self.ask(&["policy", "show", "-o", "json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        shown["agent"]["armed"].as_u64()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.lab.path("log")).unwrap()
    }

    fn read(&self) -> String {
        format!("read text < {}", self.lab.path("secret").display())
    }

    fn connect(&self) -> String {
        format!("{{ :; }} 3<>/dev/tcp/127.0.0.1/{}", self.port)
    }

    /// The log tells that this process was denied, by this rule.
    fn told(&self, rule: &str, pid: u32) {
        let parts = [" denied ", &format!("rule=\"rules/{rule}\""), &format!("pid={pid} ")];
        until(&format!("the denial by {rule} is told"), PATIENCE, || {
            self.log().lines().any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }
}

fn rule(id: &str, query: &str) -> String {
    format!(
        "[[rule]]\nid = \"{id}\"\nname = \"{id}\"\ndescription = \"A test.\"\nseverity = \
         \"high\"\nresponse = [\"deny\"]\nquery = '''\n{query}\n'''\n"
    )
}

/// Who read the secret connects no more, for so long.
fn leak(lab: &Lab, port: u16, span: &str) -> String {
    let secret = lab.path("secret").display().to_string();
    rule(
        "leak",
        &format!(
            "sequence by process.entity_id{span}\n\
             [file where event.action == \"open\" and file.path == \"{secret}\"]\n\
             [network where event.action == \"connection_attempted\" and destination.port == {port}]"
        ),
    )
}

#[test]
fn a_rule_that_denies_is_decided_by_the_kernel() {
    if !root("a_rule_that_denies_is_decided_by_the_kernel") {
        return;
    }
    let scene = Scene::new(|lab, port| {
        let program = lab.path("x").display().to_string();
        let query = format!(
            "network where event.action == \"connection_attempted\" and destination.port == {port} \
             and process.executable == \"{program}\""
        );
        rule("no-connect", &query)
    });
    let file = scene.lab.path("rules/deny.toml").display().to_string();
    let agent = scene.start();
    let program = scene.lab.path("x").display().to_string();
    let (mut covered, mut free) = (Shell::start(&program), Shell::start("/bin/bash"));
    assert!(free.does(&scene.connect()), "nobody denies it to others");
    assert!(!covered.does(&scene.connect()));
    scene.told("no-connect", covered.child.id());
    let question = format!("connect 127.0.0.1:{}/tcp as {program}", scene.port);
    let said = Command::new(AGENT).args(["policy", "explain", &question, &file]).output().unwrap();
    assert_eq!(code(&said), Some(0), "{}", err(&said));
    for part in ["denied (EPERM)", "rules/no-connect", "deny.toml:2"] {
        assert!(out(&said).contains(part), "`{part}` is missing in {}", out(&said));
    }
    let shown = out(&scene.ask(&["policy", "show"]));
    assert!(shown.contains("rules/no-connect"), "{shown}");
    assert!(agent.stop().success());
}

#[test]
fn the_last_step_of_a_sequence_is_denied_to_the_process_that_took_the_others() {
    if !root("the_last_step_of_a_sequence_is_denied_to_the_process_that_took_the_others") {
        return;
    }
    let scene = Scene::new(|lab, port| leak(lab, port, ""));
    let agent = scene.start();
    let (mut one, mut other) = (Shell::start("/bin/bash"), Shell::start("/bin/bash"));
    assert!(one.does(&scene.connect()), "it did nothing before");
    assert!(one.does(&scene.read()));
    until("the process is armed", PATIENCE, || scene.armed() == Some(1));
    assert!(!one.does(&scene.connect()), "{}", scene.log());
    scene.told("leak", one.child.id());
    assert!(other.does(&scene.connect()), "another process did not read");
    assert!(one.does(&format!("( {} )", scene.connect())), "nor did a child");
    // What a process did is not forgotten when the policies are put in force again.
    let again = scene.ask(&["policy", "apply", "--again"]);
    assert_eq!(code(&again), Some(0), "{}", err(&again));
    assert!(!one.does(&scene.connect()), "{}", scene.log());
    drop(one);
    until("the process has ended", PATIENCE, || scene.armed() == Some(0));
    assert!(agent.stop().success());
}

#[test]
fn a_sequence_that_took_too_long_denies_nothing() {
    if !root("a_sequence_that_took_too_long_denies_nothing") {
        return;
    }
    let scene = Scene::new(|lab, port| leak(lab, port, " with maxspan=4s"));
    let agent = scene.start();
    let mut one = Shell::start("/bin/bash");
    assert!(one.does(&scene.read()));
    until("the process is armed", PATIENCE, || scene.armed() == Some(1));
    assert!(!one.does(&scene.connect()), "{}", scene.log());
    scene.told("leak", one.child.id());
    until("the sequence is over", PATIENCE, || scene.armed() == Some(0));
    assert!(one.does(&scene.connect()), "{}", scene.log());
    // Not for ever: it begins again.
    assert!(one.does(&scene.read()));
    until("the process is armed again", PATIENCE, || scene.armed() == Some(1));
    assert!(!one.does(&scene.connect()), "{}", scene.log());
    assert!(agent.stop().success());
}
