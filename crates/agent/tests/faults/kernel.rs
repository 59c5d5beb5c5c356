//! What the kernel keeps for the agent and somebody takes away: the BPF filesystem, a cgroup that a policy names.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::{Enforced, done};
use crate::containers::{cgroup_root, connects};
use crate::isolate;
use crate::lab::{root, until};
use crate::outputs::raise;
use crate::policies::{code, document, err};
use crate::prevention::PATIENCE;

/// A cgroup of version 2; gone with this value.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(name: &str) -> Cgroup {
        let dir = cgroup_root().join(name);
        fs::create_dir(&dir).unwrap();
        Cgroup(dir)
    }

    fn remove(&self) {
        until("the cgroup is empty and goes", PATIENCE, || fs::remove_dir(&self.0).is_ok());
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.0));
    }
}

#[test]
fn a_cgroup_that_goes_and_comes_again_is_denied_the_same() {
    if !root("a_cgroup_that_goes_and_comes_again_is_denied_the_same") {
        return;
    }
    let set = Enforced::new();
    let (scene, lab) = (&set.scene, &set.scene.lab);
    let name = format!("aegisbpf-gone-{}", std::process::id());
    let spec = format!(
        "  rules: [{{id: a, subject: {{cgroup: /{name}}}, deny: connect, peers: '127.0.0.1:{}'}}]\n",
        scene.port
    );
    let cgroup = Cgroup::new(&name);
    let agent = set.start(&[]);
    let applied = scene.apply("q.yaml", &document("scratch", &spec), &[]);
    assert_eq!(code(&applied), Some(0), "{}", err(&applied));
    assert!(!connects(&cgroup.0, scene.port), "the control");
    cgroup.remove();
    let unknown = || scene.show().to_string().contains(&format!("cgroup /{name}"));
    until("it is told that nobody is meant", PATIENCE, unknown);
    assert_eq!(scene.connect("/bin/bash"), Ok(()), "others go on");
    // Another one of that name has another number.
    fs::create_dir(&cgroup.0).unwrap();
    until("it is denied again", PATIENCE, || !connects(&cgroup.0, scene.port));
    assert!(!unknown());
    raise(lab, &agent);
    assert!(agent.stop().success());
}

#[test]
fn an_isolated_cgroup_that_goes_takes_its_isolation_along() {
    if !root("an_isolated_cgroup_that_goes_takes_its_isolation_along") {
        return;
    }
    let set = Enforced::new();
    let scene = &set.scene;
    let cgroup = Cgroup::new(&format!("aegisbpf-cut-{}", std::process::id()));
    let agent = set.start(&[]);
    let path = cgroup.0.display().to_string();
    let begun =
        scene.ask(&["isolate", "begin", "--for", "10m", "--reason", "a test", "--cgroup", &path]);
    assert_eq!(code(&begun), Some(0), "{}", err(&begun));
    let isolations = || set.figure("isolations", "");
    assert_eq!(isolations(), 1);
    cgroup.remove();
    let ended = scene.ask(&["isolate", "end", "--reason", "a test"]);
    assert_eq!(code(&ended), Some(0), "what is left can be ended: {}", err(&ended));
    assert_eq!(isolations(), 0);
    fs::remove_dir(isolate::pins(&scene.lab)).unwrap();
    raise(&scene.lab, &agent);
    assert!(agent.stop().success());
}

#[test]
fn an_unmounted_bpf_filesystem_costs_no_enforcement() {
    if !root("an_unmounted_bpf_filesystem_costs_no_enforcement") {
        return;
    }
    let set = Enforced::new();
    let scene = &set.scene;
    // Its mounts are its own, and the filesystem is one that it mounts itself: nobody else loses anything.
    let alone = "umount --lazy /sys/fs/bpf; exec \"$0\" \"$@\"";
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", alone];
    let agent = set.start_by(&words);
    assert!(scene.is_denied());
    let within = |words: &[&str]| {
        let guard = agent.guard().to_string();
        let output = done("nsenter", &[&["--target", &guard, "--mount"], words].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let pins = || {
        let found = within(&["find", "/sys/fs/bpf", "-name", "link-*"]);
        found.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let has = |all: &BTreeSet<String>, word: &str| all.iter().any(|one| one.contains(word));
    let before = pins();
    assert!(has(&before, "connect4"), "{before:?}");
    within(&["umount", "--lazy", "/sys/fs/bpf"]);
    assert!(scene.is_denied(), "what is in force stays so");
    until("it is pinned again", PATIENCE, || pins() == before);
    assert!(set.log().contains("all is pinned again"), "{}", set.log());

    // Another operation needs another program.
    within(&["umount", "--lazy", "/sys/fs/bpf"]);
    let spec = format!(
        "  rules: [{{id: a, subject: {{executable: {}}}, deny: [connect, bind], peers: '127.0.0.1:{}'}}]\n",
        scene.lab.path("x").display(),
        scene.port
    );
    let applied = scene.apply("q.yaml", &document("scratch", &spec), &[]);
    assert_eq!(code(&applied), Some(0), "{}", err(&applied));
    assert!(scene.is_denied() && has(&pins(), "bind4"), "{:?}", pins());
    raise(&scene.lab, &agent);
    let off = scene.ask(&["emergency", "disable", "--reason", "the test ends"]);
    assert_eq!(code(&off), Some(0), "{}", err(&off));
    assert!(!scene.is_denied(), "the way back works");
    assert!(agent.stop().success());
}
