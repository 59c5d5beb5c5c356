//! Memory and descriptors that are short.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use super::{Enforced, done};
use crate::containers::cgroup_root;
use crate::lab::{root, until};
use crate::outputs::raise;
use crate::policies::{code, document};
use crate::prevention::PATIENCE;

/// A cgroup that may have little memory; gone with this value.
struct Memory {
    dir: PathBuf,
    limit: &'static str,
}

impl Memory {
    /// Of whichever version of cgroups has the memory of this host; none if neither lets us.
    fn new() -> Option<Memory> {
        let name = format!("aegisbpf-memory-{}", std::process::id());
        let places = [
            (PathBuf::from("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
            (cgroup_root(), "memory.max"),
        ];
        places.into_iter().find_map(|(root, limit)| {
            let dir = root.join(&name);
            fs::create_dir(&dir).ok()?;
            let memory = Memory { dir, limit };
            memory.dir.join(limit).exists().then_some(memory)
        })
    }

    fn bound(&self, bytes: &str) {
        fs::write(self.dir.join(self.limit), bytes).unwrap();
    }

    fn holds(&self, pid: u32) {
        fs::write(self.dir.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for _ in 0..100 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

fn number(path: &str) -> i64 {
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

#[test]
fn a_worker_without_memory_is_replaced_and_what_is_in_force_stays() {
    let test = "a_worker_without_memory_is_replaced_and_what_is_in_force_stays";
    if !root(test) {
        return;
    }
    let Some(memory) = Memory::new() else {
        println!("SKIP {test}: no cgroup of this host bounds memory");
        return;
    };
    let set = Enforced::new();
    let lab = &set.scene.lab;
    let agent = set.start(&[]);
    let (guard, worker) = (agent.guard(), set.worker());
    let badness = |pid: u32| number(&format!("/proc/{pid}/oom_score"));
    assert!(badness(worker) > badness(guard), "the kernel ends the worker first");
    raise(lab, &agent);
    memory.bound("65536");
    memory.holds(worker);
    // What happens has to be known somewhere: its table of processes grows until the kernel ends it.
    let mut pids = Vec::new();
    until("the kernel ends the worker", PATIENCE, || {
        let long = "x".repeat(100_000);
        let mut child = Command::new(lab.path("x")).args(["-c", ":", &long]).spawn().unwrap();
        pids.push(child.id());
        child.wait().unwrap();
        !crate::lab::alive(worker.into())
    });
    assert!(set.scene.is_denied(), "while there is no worker");
    until("there is another one", PATIENCE, || lab.status().is_some());
    assert_ne!(set.worker(), worker);
    assert_eq!(set.figure("worker_restarts_total", ""), 1);
    for pid in pids {
        assert!(agent.alert(pid, PATIENCE).is_some(), "{pid} was started meanwhile");
    }
    assert!(set.log().contains("code=-9"), "{}", set.log());
    raise(lab, &agent);
    assert!(agent.stop().success());
}

/// The lowest number that a new descriptor of this process would get.
fn next_fd(pid: u32) -> usize {
    let open = |number: &usize| fs::symlink_metadata(format!("/proc/{pid}/fd/{number}")).is_err();
    (0..1 << 20).find(open).unwrap()
}

/// How many descriptors a process may have from now on; what stands behind the colon stays.
fn may_have(pid: u32, number: usize) {
    done("prlimit", &["--pid", &pid.to_string(), &format!("--nofile={number}:")]);
}

#[test]
fn a_guard_without_descriptors_goes_on_and_starts_a_worker_when_there_are_some() {
    if !root("a_guard_without_descriptors_goes_on_and_starts_a_worker_when_there_are_some") {
        return;
    }
    let set = Enforced::new();
    let lab = &set.scene.lab;
    // A file that is kept from the program, beside one that nobody keeps from anybody.
    fs::create_dir(lab.path("kept")).unwrap();
    fs::write(lab.path("kept/secret"), "a secret\n").unwrap();
    let (program, secret) = (lab.path("x"), lab.path("kept/secret"));
    let spec = format!(
        "  rules: [{{id: secret, subject: {{executable: {}}}, deny: read, files: {}}}]\n",
        program.display(),
        secret.display()
    );
    let reads = |by: &str| {
        let script = format!("read line < {}", secret.display());
        Command::new(by).args(["-c", &script]).output().unwrap().status.success()
    };
    let agent = set.start(&[]);
    let second = document("secret", &spec);
    let applied = set.scene.apply("q.yaml", &format!("{}---\n{second}", set.scene.denying()), &[]);
    assert!(applied.status.success(), "{applied:?}");
    let program = program.display().to_string();
    assert!(!reads(&program) && reads("/bin/bash"));

    let guard = agent.guard();
    println!("the guard has {} descriptors, the worker {}", next_fd(guard), next_fd(set.worker()));
    may_have(guard, next_fd(guard));
    assert!(set.scene.is_denied(), "the kernel denies it by itself");
    assert!(!reads(&program));
    let worker = set.worker();
    crate::lab::signal(worker, nix::sys::signal::Signal::SIGKILL);
    until("no worker can be started", PATIENCE, || set.log().contains("no worker can be started"));
    let pid = lab.run_scratch("x");
    assert!(set.scene.is_denied(), "and the guard is there");
    assert!(!reads(&program));

    may_have(guard, 1024);
    assert!(agent.alert(pid, PATIENCE).is_some(), "what happened meanwhile is told");
    assert_eq!(agent.guard(), guard);
    until("all may read again", PATIENCE, || reads("/bin/bash"));
    assert!(!reads(&program));
    assert!(agent.stop().success());
}

#[test]
fn who_connects_and_says_nothing_keeps_others_from_asking_for_seconds_and_costs_no_descriptors() {
    if !root(
        "who_connects_and_says_nothing_keeps_others_from_asking_for_seconds_and_costs_no_descriptors",
    ) {
        return;
    }
    let set = Enforced::new();
    let lab = &set.scene.lab;
    let agent = set.start_by(&["prlimit", "--nofile=256"]);
    let worker = set.worker();
    let socket = lab.path("run/control.sock");
    let mut idle: Vec<UnixStream> =
        (0..300).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let mut told = String::new();
    idle.last_mut().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.0 429 ") && told.contains("too many"), "{told}");
    assert!(next_fd(worker) < 200, "it has {}", next_fd(worker));
    raise(lab, &agent);
    assert!(set.scene.is_denied());
    until("it answers again though nobody has left", PATIENCE, || lab.status().is_some());
    let mut first = Vec::new();
    assert_eq!(idle[0].read_to_end(&mut first).unwrap_or(0), 0, "was hung up on: {first:?}");
    assert_eq!(set.worker(), worker, "and is the same");
    assert!(agent.stop().success());
}

#[test]
fn an_agent_that_may_open_too_little_says_so() {
    if !root("an_agent_that_may_open_too_little_says_so") {
        return;
    }
    let set = Enforced::new();
    let mut command = Command::new("prlimit");
    command.arg("--nofile=24").arg(crate::lab::AGENT).args(["run", "--config", "/dev/null"]);
    command.arg("--runtime-dir").arg(set.scene.lab.path("run"));
    command.arg("--state-dir").arg(set.scene.lab.path("state"));
    command.arg("--rules").arg(set.scene.lab.path("rules"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code(&output), Some(1), "{said}");
    assert!(said.contains("may open 24 files") && said.contains("LimitNOFILE="), "{said}");
}
