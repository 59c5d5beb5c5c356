//! Containers: found where only version 1 of cgroups knows of them, and called by name in a policy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::lab::{Lab, root, until};
use crate::policies::{document, err};
use crate::prevention::{PATIENCE, Scene};

/// Processes leave a cgroup a little after they were waited for.
fn remove_cgroup(dir: &Path) {
    for _ in 0..100 {
        if fs::remove_dir(dir).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A container of version 1, as runtimes with the cgroupfs driver make them; removed with this.
struct OldContainer {
    dir: PathBuf,
    parent_is_ours: bool,
}

impl OldContainer {
    fn new(id: &str) -> std::io::Result<OldContainer> {
        let parent = Path::new("/sys/fs/cgroup/pids/docker");
        let parent_is_ours = !parent.exists();
        fs::create_dir_all(parent.join(id))?;
        Ok(OldContainer { dir: parent.join(id), parent_is_ours })
    }
}

impl Drop for OldContainer {
    fn drop(&mut self) {
        remove_cgroup(&self.dir);
        if self.parent_is_ours {
            drop(fs::remove_dir("/sys/fs/cgroup/pids/docker"));
        }
    }
}

#[test]
fn a_container_that_only_version_1_of_cgroups_knows_is_found() {
    if !root("a_container_that_only_version_1_of_cgroups_knows_is_found") {
        return;
    }
    if !Path::new("/sys/fs/cgroup/pids/cgroup.procs").exists() {
        println!(
            "SKIP a container of version 1: no such hierarchy is mounted at /sys/fs/cgroup/pids"
        );
        return;
    }
    let id = format!("{:064x}", u128::from(std::process::id()) << 64 | 0xabcd);
    let container = OldContainer::new(&id).unwrap();
    let lab = Lab::new();
    fs::copy("/bin/sleep", lab.path("x")).unwrap();
    let (procs, x) = (container.dir.join("cgroup.procs"), lab.path("x"));
    let (procs, x) = (procs.display(), x.display());
    let shell = |script: String| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap()
    };
    // One that is there before the agent, and one that comes with a mount namespace of its own.
    let mut before = shell(format!("echo $$ > {procs}; read go; exec {x} 1"));
    until("it is in the container", Duration::from_secs(30), || {
        let procs = fs::read_to_string(container.dir.join("cgroup.procs")).unwrap();
        !procs.trim().is_empty()
    });
    let agent = lab.start();
    drop(before.stdin.take());
    let mut after = shell(format!("echo $$ > {procs}; exec unshare --mount {x} 1"));
    for child in [&mut before, &mut after] {
        let alert = agent.alert(child.id(), Duration::from_secs(30)).expect("an alert");
        assert_eq!(alert["container"]["id"], id, "{alert:#}");
        assert_eq!(alert["container"]["runtime"], "docker");
        child.wait().unwrap();
    }
    let outside = agent.alert(lab.run_scratch("x"), Duration::from_secs(30)).expect("an alert");
    assert_ne!(outside["container"]["id"], id, "{outside:#}");
    assert!(agent.stop().success());
}

/// A container as CRI-O leaves it on disk, with a cgroup of version 2; removed with this.
pub(crate) struct Container {
    cgroup: PathBuf,
    bundle: PathBuf,
}

impl Container {
    pub(crate) fn new(number: u16, image: &str) -> Container {
        let id = format!("{:064x}", u128::from(std::process::id()) << 64 | u128::from(number));
        let cgroup = cgroup_root().join(format!("crio-{id}.scope"));
        let bundle = Path::new("/run/containers/storage/overlay-containers").join(id);
        let notes = json!({"io.kubernetes.cri-o.ImageName": image, "team": "tests"});
        fs::create_dir_all(bundle.join("userdata")).unwrap();
        let config = json!({"annotations": notes}).to_string();
        fs::write(bundle.join("userdata/config.json"), config).unwrap();
        fs::create_dir(&cgroup).unwrap();
        Container { cgroup, bundle }
    }

    /// Whether who is in it may connect.
    pub(crate) fn connects(&self, port: u16) -> bool {
        connects(&self.cgroup, port)
    }
}

/// Whether who is in a cgroup may connect; refused for the reason that we gave.
pub(crate) fn connects(cgroup: &Path, port: u16) -> bool {
    let procs = cgroup.join("cgroup.procs");
    let script = format!("echo $$ > {} && exec 3<>/dev/tcp/127.0.0.1/{port}", procs.display());
    let output = Command::new("/bin/bash").args(["-c", &script]).output().unwrap();
    let denied = err(&output).contains("not permitted");
    assert!(output.status.success() || denied, "{output:?}");
    !denied
}

impl Drop for Container {
    fn drop(&mut self) {
        remove_cgroup(&self.cgroup);
        drop(fs::remove_dir_all(&self.bundle));
        // What others have made below it stays.
        for dir in self.bundle.ancestors().skip(1).take(3) {
            drop(fs::remove_dir(dir));
        }
    }
}

pub(crate) fn cgroup_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let of_version_2 = |line: &str| line.split(' ').nth(2) == Some("cgroup2");
    let line = mounts.lines().find(|line| of_version_2(line)).expect("version 2 of cgroups");
    PathBuf::from(line.split(' ').nth(1).unwrap())
}

#[test]
fn a_rule_holds_for_containers_of_an_image_that_come_later_and_for_no_other() {
    if !root("a_rule_holds_for_containers_of_an_image_that_come_later_and_for_no_other") {
        return;
    }
    let scene = Scene::new();
    let rule = |container: &str| {
        format!(
            "  rules: [{{id: a, subject: {{container: {container}}}, deny: connect, \
             peers: '127.0.0.1:{}'}}]\n",
            scene.port
        )
    };
    let spec = rule("{image: 'aegisbpf-test:*', labels: {team: tests}}");
    let file = scene.policy("p.yaml", &document("scratch", &spec));
    let before = Container::new(1, "docker.io/library/aegisbpf-test");
    let agent = scene.start(&["--enforce", "--policy", file.to_str().unwrap()]);
    until("who was there before is denied", PATIENCE, || !before.connects(scene.port));
    let (after, other) =
        (Container::new(2, "aegisbpf-test:2"), Container::new(3, "quay.io/aegisbpf-test:2"));
    until("who came later is denied", PATIENCE, || !after.connects(scene.port));
    assert!(other.connects(scene.port), "another image");
    assert_eq!(scene.connect("/bin/bash"), Ok(()), "no container");
    let unknown = scene.apply("q.yaml", &document("scratch", &rule("nobody")), &[]);
    assert!(unknown.status.success(), "{}", err(&unknown));
    assert!(after.connects(scene.port), "the rule is about another");
    assert!(scene.show().to_string().contains("container nobody"), "{:#}", scene.show());
    assert!(agent.stop().success());
}
