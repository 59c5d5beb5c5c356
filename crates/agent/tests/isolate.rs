//! `aegisbpf isolate`: begun and ended by commands, and taken away by an agent when it is over. What
//! passes and what does not is tested in `crates/kernel/tests/isolate.rs`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::containers::cgroup_root;
use crate::lab::{AGENT, Lab, root};

/// A cgroup without processes, and the directory where its isolations are pinned; both go away.
pub(crate) struct Cgroup(pub(crate) PathBuf, PathBuf);

impl Cgroup {
    pub(crate) fn new(lab: &Lab, name: &str) -> Cgroup {
        let path = cgroup_root().join(format!("aegisbpf-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Cgroup(path, pins(lab))
    }
}

/// Where isolations are pinned that were begun with the runtime directory of a lab.
pub(crate) fn pins(lab: &Lab) -> PathBuf {
    let runtime = lab.path("run").display().to_string();
    format!("/sys/fs/bpf/aegisbpf-isolate{}", runtime.replace(['/', '.'], "_")).into()
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let gone = [&self.0, &self.1].map(fs::remove_dir);
        // A test that failed already has said more.
        assert!(std::thread::panicking() || gone.iter().all(Result::is_ok), "{gone:?}");
    }
}

fn isolate(lab: &Lab, words: &[&str]) -> Output {
    let (runtime, state) = (lab.path("run"), lab.path("state"));
    let mut command = Command::new(AGENT);
    command.args(words).arg("--runtime-dir").arg(runtime).arg("--state-dir").arg(state);
    command.output().unwrap()
}

fn list(lab: &Lab) -> Vec<Value> {
    let output = isolate(lab, &["isolate", "status", "-o", "json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["isolations"].as_array().unwrap().clone()
}

fn begin(lab: &Lab, cgroup: &Cgroup, limit: &str) -> Output {
    let path = cgroup.0.to_str().unwrap();
    let words = ["isolate", "begin", "--for", limit, "--cgroup", path, "--reason", "a test"];
    isolate(lab, &[&words[..], &["--allow", "192.0.2.1:443"]].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn an_isolation_is_begun_shown_and_ended() {
    if !root("an_isolation_is_begun_shown_and_ended") {
        return;
    }
    let lab = Lab::new();
    let cgroup = Cgroup::new(&lab, "isolate-command");
    let refused = text(&begin(&lab, &cgroup, "8d"));
    assert!(refused.contains("between 1s and 7d"), "{refused}");
    let begun = begin(&lab, &cgroup, "10m");
    assert!(begun.status.success() && text(&begun).contains("192.0.2.1:443"), "{}", text(&begun));
    let id = text(&begun).lines().next().unwrap().to_owned();
    let [one] = list(&lab).try_into().unwrap();
    assert!(one["id"] == id.as_str() && one["seconds_left"].as_u64() > Some(500), "{one}");
    let other = text(&isolate(&lab, &["isolate", "end", "other", "--reason", "a test"]));
    assert!(other.contains("no such isolation") && list(&lab).len() == 1, "{other}");
    let ended = text(&isolate(&lab, &["isolate", "end", &id, "--reason", "a test"]));
    assert!(ended.contains(&id) && list(&lab).is_empty(), "{ended}");
    let audit = fs::read_to_string(lab.path("state/audit.jsonl")).unwrap();
    let order = ["isolation-begin", "isolation-end"].map(|action| audit.find(action).unwrap());
    assert!(order.is_sorted());
}

#[test]
fn the_emergency_switch_ends_it() {
    if !root("the_emergency_switch_ends_it") {
        return;
    }
    let lab = Lab::new();
    let cgroup = Cgroup::new(&lab, "isolate-emergency");
    assert!(begin(&lab, &cgroup, "10m").status.success());
    assert_eq!(list(&lab).len(), 1);
    let words = ["emergency", "disable", "--reason", "a test"];
    let told = text(&isolate(&lab, &words));
    assert!(told.contains("nobody is cut off") && list(&lab).is_empty(), "{told}");
}

#[test]
fn an_agent_takes_away_what_is_over() {
    if !root("an_agent_takes_away_what_is_over") {
        return;
    }
    let lab = Lab::new();
    let cgroup = Cgroup::new(&lab, "isolate-over");
    let mut command = lab.command();
    command.arg("--state-dir").arg(lab.path("state"));
    let agent = lab.launch(command);
    let begun = begin(&lab, &cgroup, "15s");
    let id = text(&begun).lines().next().unwrap().to_owned();
    let start = Instant::now();
    let over = |line: &str| line.contains("isolation-over") && line.contains(&id);
    let told = || fs::read_to_string(lab.path("state/audit.jsonl")).unwrap().lines().any(over);
    while !told() && start.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(told() && start.elapsed() > Duration::from_secs(10), "{:?}", start.elapsed());
    drop(agent);
}
