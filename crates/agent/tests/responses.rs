//! What rules do when they match: a real agent, real processes.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::{AGENT, Agent, Lab, alive, root, signal, until};

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program of the lab that sleeps; it ends with this value.
pub(crate) struct Sleeper(Child);

impl Sleeper {
    pub(crate) fn start(lab: &Lab, name: &str) -> Sleeper {
        let program = lab.path(name);
        if !program.exists() {
            fs::copy("/bin/sleep", &program).unwrap();
        }
        Sleeper(Command::new(program).arg("300").stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        self.0.try_wait().unwrap().and_then(|status| status.signal())
    }

    fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A rule about the start of a program of the lab, with a response.
pub(crate) fn rule(lab: &Lab, id: &str, program: &str, response: &str) {
    lab.rule(id, &lab.path(program).display().to_string());
    let path = lab.path("rules").join(format!("{id}.toml"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        path,
        text.replace("severity =", &format!("response = [\"{response}\"]\nseverity =")),
    )
    .unwrap();
}

fn start(lab: &Lab, more: &[&str]) -> Agent {
    let mut command = lab.command();
    command.arg("--state-dir").arg(lab.path("state")).args(more);
    lab.launch(command)
}

/// `actions` with these words, as JSON.
fn actions(lab: &Lab, words: &[&str]) -> Value {
    let output = lab_command(lab, words);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn lab_command(lab: &Lab, words: &[&str]) -> std::process::Output {
    let mut command = Command::new(AGENT);
    command.arg("actions").args(words).args(["-o", "json"]);
    command.arg("--state-dir").arg(lab.path("state")).arg("--runtime-dir").arg(lab.path("run"));
    command.output().unwrap()
}

fn audit(lab: &Lab) -> Vec<Value> {
    let text = fs::read_to_string(lab.path("state/audit.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_rule_kills_only_where_the_operator_enforces() {
    if !root("a_rule_kills_only_where_the_operator_enforces") {
        return;
    }
    let lab = Lab::new();
    rule(&lab, "scratch", "x", "kill");
    let agent = start(&lab, &[]);
    let mut spared = Sleeper::start(&lab, "x");
    assert!(agent.alert(spared.pid(), PATIENCE).is_some());
    until("it would have been done", PATIENCE, || {
        audit(&lab).iter().any(|line| line["decision"] == "would" && line["pid"] == spared.pid())
    });
    assert_eq!(spared.signal(), None, "detection only");
    let would = actions(&lab, &["--would"]);
    assert_eq!((&would[0]["rule"], &would[0]["response"]), (&"scratch".into(), &"kill".into()));
    assert_eq!((&would[0]["user"], &would[0]["count"]), (&"root".into(), &1.into()));
    assert_eq!(would[0]["executable"], lab.path("x").to_str().unwrap());
    agent.stop();

    let agent = start(&lab, &["--enforce"]);
    let mut control = Sleeper::start(&lab, "y");
    let mut victim = Sleeper::start(&lab, "x");
    until("it is killed", PATIENCE, || victim.signal() == Some(9));
    assert_eq!((control.signal(), spared.signal()), (None, None));
    until("it is listed", PATIENCE, || actions(&lab, &["list"])[0]["outcome"] == "done");
    let list = actions(&lab, &["list"]);
    assert_eq!(list[0]["decision"]["pid"], victim.pid());
    let id = list[0]["id"].to_string();
    let refused = lab_command(&lab, &["rollback", &id, "--reason", "a test"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("cannot be undone"), "{said}");
    agent.stop();
}

#[test]
fn who_was_stopped_goes_on_by_rollback_and_after_its_time_also_when_the_agent_was_killed() {
    if !root("who_was_stopped_goes_on_by_rollback_and_after_its_time") {
        return;
    }
    let lab = Lab::new();
    rule(&lab, "scratch", "x", "stop");
    let agent = start(&lab, &["--enforce"]);
    let one = Sleeper::start(&lab, "x");
    until("it is stopped", PATIENCE, || one.state() == 'T');
    until("it is listed", PATIENCE, || actions(&lab, &["list"])[0]["outcome"] == "done");
    let list = actions(&lab, &["list"]);
    assert!(list[0]["in_effect_until"].is_string(), "{list}");
    let undone = actions(&lab, &["rollback", "--rule", "scratch", "--reason", "a test"]);
    assert_eq!((&undone[0]["id"], &undone[0]["error"]), (&list[0]["id"], &Value::Null));
    until("it goes on", PATIENCE, || one.state() == 'S');
    let end = audit(&lab).into_iter().rfind(|line| line["action"] == "response-undo").unwrap();
    assert_eq!((&end["uid"], &end["reason"]), (&0.into(), &"a test".into()));
    agent.stop();

    let agent = start(&lab, &["--enforce", "--action-ttl", "5s"]);
    let two = Sleeper::start(&lab, "x");
    until("it is stopped", PATIENCE, || two.state() == 'T');
    agent.kill();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(two.state(), 'T', "nobody was there to let it go on");
    let agent = start(&lab, &[]);
    until("it goes on", PATIENCE, || two.state() == 'S');
    let end = audit(&lab).into_iter().rfind(|line| line["action"] == "response-undo").unwrap();
    assert_eq!(end["decision"], "expired");
    agent.stop();
}

#[test]
fn ten_thousand_matches_of_a_kill_rule_trip_the_breaker() {
    if !root("ten_thousand_matches_of_a_kill_rule_trip_the_breaker") {
        return;
    }
    let lab = Lab::new();
    rule(&lab, "scratch", "x", "kill");
    rule(&lab, "kept", "kept", "kill");
    let kept = lab.path("kept");
    fs::copy("/bin/sleep", &kept).unwrap();
    fs::copy("/bin/sleep", lab.path("x")).unwrap();
    let agent = start(&lab, &["--enforce", "--protect", kept.to_str().unwrap()]);
    let mut protected = Sleeper::start(&lab, "kept");
    until("it is spared", PATIENCE, || {
        audit(&lab).iter().any(|line| {
            line["decision"] == "refused"
                && line["reason"].as_str().unwrap().ends_with("is protected")
        })
    });
    let storm = "i=0; while [ $i -lt 10000 ]; do \"$0\" 0; i=$((i+1)); done";
    let status = Command::new("sh").args(["-c", storm]).arg(lab.path("x")).status().unwrap();
    assert!(status.success());
    let figures = || lab.status().map(|status| status["kernel_counters"]["actions"].clone());
    until("all were asked for", Duration::from_mins(2), || {
        let counts =
            figures().unwrap_or_default()["counts"].as_array().cloned().unwrap_or_default();
        let of = |one: &&Value| one["rule"] == "scratch";
        counts.iter().filter(of).filter_map(|one| one["count"].as_u64()).sum::<u64>() == 10_000
    });
    let figures = figures().unwrap();
    assert_eq!(figures["breaker"], "tripped", "{figures}");
    let done = figures["counts"].as_array().unwrap().iter();
    let done: u64 = done
        .filter(|one| ["done", "failed"].iter().any(|word| one["outcome"] == *word))
        .filter_map(|one| one["count"].as_u64())
        .sum();
    assert!(done <= 20, "the limit of one rule: {figures}");
    assert_eq!(protected.signal(), None, "protected");
    let lines = audit(&lab);
    assert_eq!(lines.iter().filter(|line| line["action"] == "responses-off").count(), 1);
    assert!(lines.len() < 1_000, "{} lines", lines.len());
    let mut victim = Sleeper::start(&lab, "x");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(victim.signal(), None, "nothing is done any more");
    let resumed = lab.ask(&["actions", "resume", "--reason", "the storm is over"]);
    assert!(resumed.status.success(), "{resumed:?}");
    until("rules act again", PATIENCE, || Sleeper::start(&lab, "x").dies());
    agent.stop();
}

impl Sleeper {
    /// Whether it is killed soon.
    fn dies(&mut self) -> bool {
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            self.signal() == Some(9)
        })
    }
}

#[test]
fn a_response_that_is_aimed_at_the_parent_spares_the_child() {
    if !root("a_response_that_is_aimed_at_the_parent_spares_the_child") {
        return;
    }
    let lab = Lab::new();
    fs::copy("/bin/bash", lab.path("parent")).unwrap();
    fs::copy("/bin/sleep", lab.path("x")).unwrap();
    // As Elastic writes it: no rule file of our own names anybody but who acts.
    let rule = |field: &str| {
        let query = format!(
            "process where event.type == \"start\" and process.executable == \"{}\"",
            lab.path("x").display()
        );
        let text = format!(
            "[rule]\nid = \"2b2a6d28-6b1c-4a0c-9f5e-0d7f2f6a1c11\"\nname = \"n\"\n\
             query = '''\n{query}\n'''\n\n[[actions]]\naction = \"kill_process\"\n\
             field = \"{field}\"\nstate = 0\n"
        );
        fs::write(lab.path("rules/elastic.toml"), text).unwrap();
    };
    fs::remove_file(lab.path("rules/scratch.toml")).unwrap();
    rule("process.parent.entity_id");
    let agent = start(&lab, &["--enforce", "--no-watch"]);
    let family = || {
        let script = format!("\"{}\" 300 & echo $!; wait", lab.path("x").display());
        let mut command = Command::new(lab.path("parent"));
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut parent = Sleeper(command.spawn().unwrap());
        let mut line = String::new();
        let out = parent.0.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        (parent, line.trim().parse::<u64>().unwrap())
    };
    let end = |pid: u64| signal(u32::try_from(pid).unwrap(), Signal::SIGKILL);
    let (mut parent, child) = family();
    until("the parent is killed", PATIENCE, || parent.signal() == Some(9));
    assert!(alive(child), "who acted is spared");
    let line = |pid: u32| audit(&lab).into_iter().find(|line| line["pid"] == pid);
    assert_eq!(line(parent.pid()).unwrap()["decision"], "do");
    assert_eq!(line(u32::try_from(child).unwrap()), None);
    end(child);

    // The control: the same rule, aimed at who acts.
    rule("process.entity_id");
    assert!(lab.ask(&["reload"]).status.success());
    let (mut parent, child) = family();
    until("the child is killed", PATIENCE, || !alive(child));
    until("it is written down", PATIENCE, || line(u32::try_from(child).unwrap()).is_some());
    assert_eq!(line(parent.pid()), None);
    assert_ne!(parent.signal(), Some(9));
    agent.stop();
}

#[test]
fn rules_that_come_back_may_do_what_they_could() {
    if !root("rules_that_come_back_may_do_what_they_could") {
        return;
    }
    let lab = Lab::new();
    rule(&lab, "scratch", "x", "kill");
    let agent = start(&lab, &["--enforce", "--no-watch"]);
    let mut first = Sleeper::start(&lab, "x");
    until("it is killed", PATIENCE, || first.signal() == Some(9));

    lab.rule("scratch", &lab.path("x").display().to_string());
    assert!(lab.ask(&["reload"]).status.success());
    let mut spared = Sleeper::start(&lab, "x");
    assert!(agent.alert(spared.pid(), PATIENCE).is_some());

    let back = lab.ask(&["rules", "rollback", "--reason", "a test"]);
    assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
    let mut second = Sleeper::start(&lab, "x");
    until("it is killed again", PATIENCE, || second.signal() == Some(9));
    assert_eq!(spared.signal(), None, "the rules between could not");
    agent.stop();
}
