//! Containers on hosts where only version 1 of cgroups knows of them.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::{Lab, root, until};

/// A container of version 1, as runtimes with the cgroupfs driver make them; removed with this.
struct OldContainer {
    dir: std::path::PathBuf,
    parent_is_ours: bool,
}

impl OldContainer {
    fn new(id: &str) -> std::io::Result<OldContainer> {
        let parent = std::path::Path::new("/sys/fs/cgroup/pids/docker");
        let parent_is_ours = !parent.exists();
        std::fs::create_dir_all(parent.join(id))?;
        Ok(OldContainer { dir: parent.join(id), parent_is_ours })
    }
}

impl Drop for OldContainer {
    fn drop(&mut self) {
        // Processes leave a cgroup a little after they were waited for.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.dir).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.parent_is_ours {
            drop(std::fs::remove_dir("/sys/fs/cgroup/pids/docker"));
        }
    }
}

#[test]
fn a_container_that_only_version_1_of_cgroups_knows_is_found() {
    if !root("a_container_that_only_version_1_of_cgroups_knows_is_found") {
        return;
    }
    if !std::path::Path::new("/sys/fs/cgroup/pids/cgroup.procs").exists() {
        println!(
            "SKIP a container of version 1: no such hierarchy is mounted at /sys/fs/cgroup/pids"
        );
        return;
    }
    let id = format!("{:064x}", u128::from(std::process::id()) << 64 | 0xabcd);
    let container = OldContainer::new(&id).unwrap();
    let lab = Lab::new();
    std::fs::copy("/bin/sleep", lab.path("x")).unwrap();
    let (procs, x) = (container.dir.join("cgroup.procs"), lab.path("x"));
    let (procs, x) = (procs.display(), x.display());
    let shell = |script: String| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap()
    };
    // One that is there before the agent, and one that comes with a mount namespace of its own.
    let mut before = shell(format!("echo $$ > {procs}; read go; exec {x} 1"));
    until("it is in the container", Duration::from_secs(30), || {
        let procs = std::fs::read_to_string(container.dir.join("cgroup.procs")).unwrap();
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
