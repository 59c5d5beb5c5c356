//! What the worker cannot do, and that it does its work all the same: under its filter of system calls,
//! and where the system lets nobody make code while it runs.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::{AGENT, Lab, root};
use crate::packs::rule;
use crate::scripts::module;

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Each thread of a process: its name, and the values of two lines of its status.
fn threads(pid: u64) -> Vec<(String, String, String)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let about = |task: std::io::Result<fs::DirEntry>| {
        // One that has ended meanwhile tells nothing.
        let text = fs::read_to_string(task.unwrap().path().join("status")).ok()?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default().trim().to_owned()
        };
        Some((value("Name:"), value("Seccomp:"), value("NoNewPrivs:")))
    };
    tasks.filter_map(about).collect()
}

/// Addresses of this host that are no loopback, as the agent tells them.
fn own_addresses() -> Vec<Value> {
    let all = nix::ifaddrs::getifaddrs().unwrap().filter_map(|one| one.address);
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    let own: BTreeSet<IpAddr> = all.filter_map(ip).filter(|ip| !ip.is_loopback()).collect();
    own.iter().map(|ip| ip.to_string().into()).collect()
}

#[test]
fn each_thread_of_the_worker_is_under_its_filter() {
    if !root("each_thread_of_the_worker_is_under_its_filter") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    let status = lab.status().unwrap();
    let pid = |who: &str| status[who]["pid"].as_u64().unwrap();
    let all = threads(pid("worker"));
    let names: Vec<&str> = all.iter().map(|(name, ..)| name.as_str()).collect();
    for name in ["aegisbpf-worker", "guard", "output", "control", "rules", "watch"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    for (name, seccomp, privileges) in &all {
        assert_eq!((seccomp.as_str(), privileges.as_str()), ("2", "1"), "{name}");
    }
    assert_eq!(status["worker"]["seccomp"], "lists");
    // Its own two hold what it starts, too.
    for (name, seccomp, _) in threads(pid("guard")) {
        assert_eq!(seccomp, "2", "{name}");
    }
    // Nothing that it does needed more.
    let alert = agent.alert(lab.run_scratch("x"), PATIENCE).expect("an alert");
    let addresses: Vec<Value> = alert["host"]["ip"].as_array().cloned().unwrap_or_default();
    assert_eq!(addresses, own_addresses(), "they are asked of the network");
    for words in [&["rules"][..], &["events"], &["alerts"], &["status"], &["reload"]] {
        assert!(lab.ask(words).status.success(), "{words:?}");
    }
    let log = fs::read_to_string(lab.path("log")).unwrap();
    assert!(!log.contains("EPERM") && !log.contains("not permitted"), "{log}");
    // One that takes its place is, too, before it reads a rule.
    crate::lab::signal(u32::try_from(pid("worker")).unwrap(), nix::sys::signal::Signal::SIGKILL);
    agent.alert(lab.run_scratch("x"), PATIENCE).expect("an alert of the next worker");
    crate::lab::until("the next worker answers", PATIENCE, || lab.status().is_some());
    let next = lab.status().unwrap()["worker"]["pid"].as_u64().unwrap();
    assert_ne!(next, pid("worker"));
    assert!(threads(next).iter().all(|(_, seccomp, _)| seccomp == "2"));
    assert!(agent.stop().success());
}

/// Lets nobody make code from here on (`PR_SET_MDWE`, which service managers set for
/// `MemoryDenyWriteExecute`), and becomes the program that is named.
const NO_CODE: &str = "import ctypes, os, sys\n\
    if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0) != 0: sys.exit(99)\n\
    os.execv(sys.argv[1], sys.argv[1:])\n";

/// The same command where nobody can make code; none if this host has no such thing.
fn without_code(command: &Command) -> Option<Command> {
    let mut tried = Command::new("python3");
    let tried = tried.args(["-c", NO_CODE, "/bin/true"]).status();
    if !tried.as_ref().is_ok_and(std::process::ExitStatus::success) {
        println!("SKIP where nobody can make code: PR_SET_MDWE cannot be set: {tried:?}");
        return None;
    }
    let mut same = Command::new("python3");
    same.args(["-c", NO_CODE]).arg(command.get_program()).args(command.get_args());
    Some(same)
}

/// What `doctor` says of Wasm, for programs and for people; as it is, or where nobody can make code.
fn doctor(changed: impl Fn(Command) -> Option<Command>) -> (Value, String) {
    let said = |form: &str| {
        let mut doctor = Command::new(AGENT);
        doctor.args(["doctor", "-o", form]);
        changed(doctor).unwrap().output().unwrap().stdout
    };
    let json: Value = serde_json::from_slice(&said("json")).unwrap();
    let text = String::from_utf8(said("text")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Wasm ")).unwrap_or_default();
    (json["wasm"]["backend"].clone(), line.to_owned())
}

/// Memory of a process that holds code and is of no file: what it has made itself.
fn made_code(pid: u64) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let is_made = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1).is_some_and(|how| how.contains('x')) && words.get(5).is_none()
    };
    maps.lines().filter(is_made).count()
}

/// What does not differ from one run to the next.
fn essence(alert: &Value) -> Value {
    let at = |pointer: &str| alert.pointer(pointer).cloned().unwrap_or_default();
    let process = ["executable", "args", "name"].map(|name| at(&format!("/process/{name}")));
    json!([at("/rule"), at("/severity"), at("/kestrel"), at("/event/action"), process])
}

#[test]
fn where_nobody_can_make_code_modules_are_interpreted_with_the_same_alerts() {
    if !root("where_nobody_can_make_code_modules_are_interpreted_with_the_same_alerts") {
        return;
    }
    let lab = Lab::new();
    let says = module(
        "(import \"kestrel_v1\" \"emit\" (func $emit (param i32 i32 i32) (result i32)))
         (import \"kestrel_v1\" \"value_len\" (func $len (param i32) (result i32)))
         (import \"kestrel_v1\" \"emit_i64\" (func $add (param i32 i32 i64) (result i32)))
         (data (i32.const 0) \"look\") (data (i32.const 16) \"length\")
         (func (export \"f\") (param i32) (result i32)
           (drop (call $emit (i32.const 3) (i32.const 0) (i32.const 4)))
           (drop (call $add (i32.const 16) (i32.const 6)
             (i64.extend_i32_u (call $len (local.get 0)))))
           (i32.const 1))",
    );
    let condition = format!(
        "process.executable == \"{}\" and own.f(process.executable)",
        lab.path("wasm").display()
    );
    let table = "[[script]]\nname = \"own\"\nfile = \"own.wasm\"\n".to_owned();
    fs::write(lab.path("rules/own.toml"), table + &rule("own", &condition, "")).unwrap();
    fs::write(lab.path("rules/own.wasm"), says).unwrap();
    let mut found = Vec::new();
    let own = |mut command: Command| {
        command.arg("--state-dir").arg(lab.path("state"));
        command
    };
    let Some(confined) = without_code(&own(lab.command())) else { return };
    for (command, has_code) in [(own(lab.command()), true), (confined, false)] {
        let agent = lab.launch(command);
        let worker = lab.status().unwrap()["worker"]["pid"].as_u64().unwrap();
        assert_eq!(made_code(worker) > 0, has_code, "modules are compiled, or are not");
        let alert = agent.alert(lab.run_scratch("wasm"), PATIENCE).expect("an alert");
        assert_eq!(alert["kestrel"]["script"][0]["message"], "look");
        found.push(essence(&alert));
        assert!(agent.stop().success());
    }
    assert_eq!(found[0], found[1]);
    let (backend, line) = doctor(Some);
    assert!(backend == "native" && line.contains("modules are compiled"), "{line}");
    let (backend, line) = doctor(|doctor| without_code(&doctor));
    assert!(backend == "pulley" && line.contains("MemoryDenyWriteExecute"), "{line}");
}
