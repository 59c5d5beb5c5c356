//! Who is never acted on, whatever a rule says: what the host needs to stay up and to be reached.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::process::{Held, parent};

/// Programs that hosts need: init, who lets an operator in, who keeps the log, who installs what mends
/// it, and who runs containers.
const PROGRAMS: &[&str] = &[
    "/usr/lib/systemd/systemd",
    "/usr/lib/systemd/systemd-journald",
    "/usr/lib/systemd/systemd-logind",
    "/usr/lib/systemd/systemd-udevd",
    "/usr/sbin/init",
    "/sbin/init",
    "/usr/sbin/sshd",
    "/usr/lib/openssh/sshd-session",
    "/usr/sbin/agetty",
    "/usr/bin/login",
    "/usr/bin/dbus-daemon",
    "/usr/bin/dpkg",
    "/usr/bin/apt",
    "/usr/bin/apt-get",
    "/usr/bin/rpm",
    "/usr/bin/dnf",
    "/usr/bin/containerd",
    "/usr/bin/dockerd",
    "/usr/bin/kubelet",
];
/// Ancestors that are looked at.
const ANCESTORS_MAX: usize = 64;

/// Who is spared.
#[derive(Debug)]
pub(super) struct Protected {
    programs: Vec<PathBuf>,
    /// This process and those that it came from: the operator's session, or the service manager.
    own: Vec<u32>,
}

impl Protected {
    /// The usual ones, and what the operator named.
    pub(super) fn new(named: &[PathBuf]) -> Protected {
        for path in named.iter().filter(|path| identity(path).is_none()) {
            tracing::warn!(path = %path.display(), "not there: nothing is protected by this name yet");
        }
        let named = named.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone()));
        let programs = PROGRAMS.iter().map(PathBuf::from).chain(named).collect();
        let mut own = vec![std::process::id()];
        while let Some(next) = own.last().and_then(|pid| parent(*pid)).filter(|pid| *pid > 0) {
            if own.len() >= ANCESTORS_MAX {
                break;
            }
            own.push(next);
        }
        Protected { programs, own }
    }

    /// Why a process is spared; none if it is not. `worker` is ours, 0 if there is none.
    pub(super) fn spares(&self, process: &Held, worker: u32) -> Option<String> {
        if process.pid == 1 {
            return Some("it is init".to_owned());
        }
        if self.own.contains(&process.pid) || worker == process.pid {
            return Some("it is the agent, or what it was started by".to_owned());
        }
        let image = match process.image() {
            Ok(image) => image,
            Err(error) => return Some(format!("what it executes cannot be seen: {error}")),
        };
        let Some(file) = image.map(|about| (about.dev(), about.ino())) else {
            // Who is ending is none of those that a host needs.
            return process.is_of_the_kernel().then(|| "it is a thread of the kernel".to_owned());
        };
        // By the file and not by its name: a container has names of its own. But who runs on while his
        // package is upgraded executes a file that has no name any more.
        let replaced = replaced(process);
        let is_it =
            |path: &&PathBuf| identity(path) == Some(file) || Some(*path) == replaced.as_ref();
        self.programs.iter().find(is_it).map(|one| said(one))
    }

    /// Why a program is spared; none if it is not.
    pub(super) fn names(&self, path: &Path) -> Option<String> {
        let file = identity(path);
        let is_it = |one: &&PathBuf| *one == path || file.is_some() && identity(one) == file;
        self.programs.iter().find(is_it).map(|one| said(one))
    }
}

fn said(program: &Path) -> String {
    format!("{} is protected", program.display())
}

/// The name that the file of a process had before another took its place, if we see the same mounts as
/// the process: elsewhere anybody may give any name to anything.
fn replaced(process: &Held) -> Option<PathBuf> {
    let mounts = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let name = process.executable()?.into_os_string().into_string().ok()?;
    let name = name.strip_suffix(" (deleted)")?;
    let own = mounts("self")?;
    (mounts(&process.pid.to_string())? == own).then(|| PathBuf::from(name))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let about = fs::metadata(path).ok()?;
    Some((about.dev(), about.ino()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::guard::prevent::{TICK, started};

    fn held(pid: u32) -> Held {
        let start = started(pid).unwrap_or_default() * TICK;
        Held::of(pid, start).unwrap()
    }

    #[test]
    fn init_and_the_agent_and_what_was_named_are_spared_and_others_are_not() {
        let mut sleep = Command::new("sleep").arg("60").spawn().unwrap();
        let process = held(sleep.id());
        let plain = Protected::new(&[]);
        assert_eq!(plain.spares(&process, 0), None, "the control");
        assert!(plain.spares(&process, sleep.id()).unwrap().contains("the agent"));
        let path = process.executable().unwrap();
        assert!(Protected::new(&[path]).spares(&process, 0).unwrap().ends_with("is protected"));
        assert!(plain.spares(&held(1), 0).unwrap().contains("init"));
        assert!(plain.spares(&held(std::process::id()), 0).unwrap().contains("the agent"));
        let dir = tempfile::tempdir().unwrap();
        let [own, other] = ["own", "other"].map(|name| dir.path().join(name));
        let mut held_by = [&own, &other].map(|path| {
            fs::copy("/bin/sleep", path).unwrap();
            Command::new(path).arg("60").spawn().unwrap()
        });
        let protected = Protected::new(std::slice::from_ref(&own));
        for path in [&own, &other] {
            fs::remove_file(path).unwrap();
            fs::copy("/bin/sleep", path).unwrap();
        }
        let spared = held_by.each_ref().map(|child| protected.spares(&held(child.id()), 0));
        assert!(
            spared[0].as_ref().unwrap().ends_with("own is protected"),
            "although it was upgraded"
        );
        assert_eq!(spared[1], None, "the control");
        for child in &mut held_by {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        sleep.kill().unwrap();
        sleep.wait().unwrap();
    }
}
