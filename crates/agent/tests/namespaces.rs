//! The agent in namespaces that are not the host's: it enforces nothing where it could not tell whom.

use std::fs;
use std::process::Command;

use crate::faults::Enforced;
use crate::lab::{AGENT, Lab, root};
use crate::policies::{code, err};

#[test]
fn in_a_namespace_of_processes_of_its_own_nothing_is_enforced_and_that_is_said() {
    if !root("in_a_namespace_of_processes_of_its_own_nothing_is_enforced_and_that_is_said") {
        return;
    }
    let lab = Lab::new();
    let own = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child", AGENT]).args(words);
        command
    };
    let mut refused = own(&["run", "--config", "/dev/null", "--enforce"]);
    refused.arg("--rules").arg(lab.path("rules")).arg("--runtime-dir").arg(lab.path("run"));
    let refused = refused.arg("--state-dir").arg(lab.path("state")).output().unwrap();
    assert_eq!(code(&refused), Some(78), "{}", err(&refused));
    assert!(err(&refused).contains("hostPID: true"), "{}", err(&refused));
    let doctor = own(&["doctor", "-o", "json"]).output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert_eq!(found["facts"]["namespaces"]["pid"], "own");
    // The control: another namespace is nothing to the agent.
    let set = Enforced::new();
    let agent = set.start_by(&["unshare", "--uts"]);
    assert!(set.scene.is_denied());
    assert!(agent.stop().success());
}

#[test]
fn out_of_a_namespace_of_cgroups_of_its_own_it_goes_to_the_hosts() {
    if !root("out_of_a_namespace_of_cgroups_of_its_own_it_goes_to_the_hosts") {
        return;
    }
    let of = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/cgroup")).unwrap();
    let host = of(2);
    let set = Enforced::new();
    let other =
        Command::new("unshare").args(["--cgroup", "readlink", "/proc/self/ns/cgroup"]).output();
    let other = String::from_utf8(other.unwrap().stdout).unwrap();
    assert_ne!(other.trim(), host.display().to_string(), "the control: it begins elsewhere");
    let agent = set.start_by(&["unshare", "--cgroup"]);
    assert_eq!((of(agent.guard()), of(set.worker())), (host.clone(), host));
    assert!(set.scene.is_denied());
    assert!(agent.stop().success());
}
