//! What the service manager is told, and a configuration that is read again by SIGHUP.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::{AGENT, Agent, Lab, alive, root, signal, until};

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A service manager that listens.
struct Manager(UnixDatagram);

impl Manager {
    fn new(lab: &Lab) -> Manager {
        let socket = UnixDatagram::bind(lab.path("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager(socket)
    }

    /// The next message that holds this line, by its lines; those before it are passed over.
    fn hears(&self, line: &str) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut bytes = [0; 4096];
        while Instant::now() < end {
            let length =
                self.0.recv(&mut bytes).unwrap_or_else(|e| panic!("{line} is not told: {e}"));
            let lines: Vec<String> =
                String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned).collect();
            if lines.iter().any(|one| one == line) {
                return lines;
            }
        }
        panic!("{line} is not told");
    }
}

/// An agent with a file of configuration, started as a service.
fn service(lab: &Lab) -> Agent {
    let mut command = Command::new(AGENT);
    command.args(["run", "-o", "json", "--config"]).arg(lab.path("config.toml"));
    command.arg("--runtime-dir").arg(lab.path("run")).stdin(Stdio::null());
    command.env("NOTIFY_SOCKET", lab.path("notify")).env("WATCHDOG_USEC", "20000000");
    lab.launch(command)
}

/// The file: where rules are, and more.
fn configure(lab: &Lab, rules: &str, more: &str) {
    let rules = lab.path(rules);
    let text = format!("[rules]\ndirectories = [\"{}\"]\n{more}", rules.display());
    fs::write(lab.path("config.toml"), text).unwrap();
}

fn audited(lab: &Lab, action: &str) -> Vec<Value> {
    let text = fs::read_to_string(lab.path("state/audit.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["action"] == action).collect()
}

fn loaded(lab: &Lab) -> Option<u64> {
    lab.status()?["rules"]["loaded"].as_u64()
}

#[test]
fn the_service_manager_is_told_and_another_configuration_takes_over_if_it_is_sound() {
    if !root("the_service_manager_is_told_and_another_configuration_takes_over_if_it_is_sound") {
        return;
    }
    let lab = Lab::new();
    let manager = Manager::new(&lab);
    configure(&lab, "rules", "");
    let agent = service(&lab);
    let ready = manager.hears("READY=1");
    assert!(ready.contains(&"STATUS=1 rules run; no policies".to_owned()), "{ready:?}");
    manager.hears("WATCHDOG=1");

    // The same configuration again: rules are read, and the same worker goes on.
    let worker = || lab.status().and_then(|status| status["worker"]["pid"].as_u64());
    let first = worker().unwrap();
    signal(agent.guard(), Signal::SIGHUP);
    let reloading = manager.hears("RELOADING=1");
    let since = reloading.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(since.parse::<u64>().unwrap() > 0);
    manager.hears("READY=1");
    assert_eq!(worker(), Some(first));

    // Another directory: a worker that reads it takes over, and an option that cannot change is named.
    fs::create_dir(lab.path("more")).unwrap();
    fs::copy(lab.path("rules/scratch.toml"), lab.path("more/scratch.toml")).unwrap();
    let text = fs::read_to_string(lab.path("more/scratch.toml")).unwrap();
    fs::write(lab.path("more/two.toml"), text.replace("\"scratch\"", "\"two\"")).unwrap();
    configure(&lab, "more", "[actions]\nmax = 7\n");
    signal(agent.guard(), Signal::SIGHUP);
    manager.hears("RELOADING=1");
    let ready = manager.hears("READY=1");
    assert!(ready.contains(&"STATUS=2 rules run; no policies".to_owned()), "{ready:?}");
    until("the rules of the other directory run", PATIENCE, || loaded(&lab) == Some(2));
    let second = worker().unwrap();
    assert!(second != first && !alive(first), "{first} {second}");
    assert_eq!(lab.status().unwrap()["worker"]["restarts"], 0, "nobody ended by itself");
    assert_eq!(
        audited(&lab, "config-changed")[0]["keys"],
        serde_json::json!(["rules.directories"])
    );
    assert_eq!(audited(&lab, "config-kept")[0]["keys"], serde_json::json!(["actions.max"]));
    let notice = agent.notice("config_kept", PATIENCE).expect("it is told");
    assert!(notice["message"].as_str().unwrap().contains("actions.max"), "{notice}");
    agent.alert(lab.run_scratch("x"), PATIENCE).expect("the new worker raises alerts");

    // One that is wrong changes nothing, whether the file is or the rules that it names.
    configure(&lab, "more", "[rules]\nnothing = 1\n");
    signal(agent.guard(), Signal::SIGHUP);
    manager.hears("RELOADING=1");
    manager.hears("READY=1");
    let notice = agent.notice("config_refused", PATIENCE).expect("it is told");
    assert!(notice["message"].as_str().unwrap().contains("stays as it was"), "{notice}");
    fs::create_dir(lab.path("bad")).unwrap();
    fs::write(lab.path("bad/bad.toml"), "[[rule]]\nid = \"b\"\n").unwrap();
    configure(&lab, "bad", "");
    signal(agent.guard(), Signal::SIGHUP);
    until("the worker that was to follow has ended", PATIENCE, || {
        audited(&lab, "config-refused").len() == 2
    });
    assert_eq!((worker(), loaded(&lab)), (Some(second), Some(2)));
    agent.alert(lab.run_scratch("x"), PATIENCE).expect("the old worker goes on");

    signal(agent.guard(), Signal::SIGTERM);
    manager.hears("STOPPING=1");
    assert!(agent.stop().success());
}

#[test]
fn a_worker_whose_event_thread_is_stuck_is_another_soon() {
    if !root("a_worker_whose_event_thread_is_stuck_is_another_soon") {
        return;
    }
    let lab = Lab::new();
    let manager = Manager::new(&lab);
    configure(&lab, "rules", "");
    let agent = service(&lab);
    manager.hears("READY=1");
    let worker = lab.status().unwrap()["worker"]["pid"].as_u64().unwrap();
    signal(u32::try_from(worker).unwrap(), Signal::SIGSTOP);
    // The service manager waits 20 seconds, so the guard waits 10.
    until("the worker is ended", PATIENCE, || !alive(worker));
    assert_eq!(audited(&lab, "worker-stuck")[0]["pid"], worker);
    until("another one answers", PATIENCE, || {
        lab.status().is_some_and(|status| status["worker"]["restarts"] == 1)
    });
    agent.alert(lab.run_scratch("x"), PATIENCE).expect("it raises alerts");
    manager.hears("WATCHDOG=1");
    assert!(agent.stop().success());
}
