//! A disk that is full, and one that cannot be written.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;

use super::Enforced;
use crate::lab::{AGENT, Lab, root, until};
use crate::outputs::{arrived, raise};
use crate::policies::{code, err};
use crate::prevention::PATIENCE;
use crate::responses::{Sleeper, rule};

/// Room for all that an agent of a test keeps, and not much to fill.
const SIZE: &str = "size=48m,mode=700";

/// A small filesystem; gone with this value.
struct Disk(PathBuf);

impl Disk {
    fn new(at: &Path) -> Disk {
        fs::create_dir(at).unwrap();
        mount(Some("scratch"), at, Some("tmpfs"), MsFlags::empty(), Some(SIZE)).unwrap();
        Disk(at.to_owned())
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        let error = file.write_all(&[0]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOSPC));
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }

    /// As after a fault of a disk. While somebody writes the kernel refuses.
    fn becomes_read_only(&self) {
        until("nothing is being written", PATIENCE, || self.remount(MsFlags::MS_RDONLY).is_ok());
    }

    fn becomes_writable(&self) {
        self.remount(MsFlags::empty()).unwrap();
    }

    fn remount(&self, flags: MsFlags) -> nix::Result<()> {
        let flags = MsFlags::MS_REMOUNT | flags;
        mount(None::<&str>, &self.0, None::<&str>, flags, Some(SIZE))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap_or_default();
    }
}

/// Segments of the history.
fn segments(lab: &Lab) -> usize {
    fs::read_dir(lab.path("state/worker/own/history")).map_or(0, Iterator::count)
}

fn audit(lab: &Lab) -> Value {
    let mut command = Command::new(AGENT);
    command.args(["audit", "verify", "-o", "json", "--state-dir"]).arg(lab.path("state"));
    serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_full_disk_stops_neither_detection_nor_prevention() {
    if !root("a_full_disk_stops_neither_detection_nor_prevention") {
        return;
    }
    let set = Enforced::new();
    let lab = &set.scene.lab;
    rule(lab, "kills", "victim", "kill");
    let disk = Disk::new(&lab.path("state"));
    let out = lab.path("got");
    let forward = format!("file:{}", out.display());
    let agent = set.start(&["--history", "16MiB,1h", "--forward", &forward]);
    let before = raise(lab, &agent);
    arrived(&out, &[&before]);
    let mut control = Sleeper::start(lab, "victim");
    until("the control is killed", PATIENCE, || control.signal() == Some(9));

    disk.fill();
    let meanwhile = [raise(lab, &agent), raise(lab, &agent)];
    assert!(set.scene.is_denied());
    // The last page of the log may have room for a line or two.
    let refused = || set.figure("actions_total", "outcome=\"refused-unwritten\"") > 0;
    let mut spared = Sleeper::start(lab, "victim");
    until("what the log cannot hold is refused and counted", PATIENCE, || {
        if spared.signal().is_some() {
            spared = Sleeper::start(lab, "victim");
        }
        refused()
    });
    assert_eq!(spared.signal(), None, "nothing is done that is not written down before");
    until("so is what the history lacks", PATIENCE, || {
        // What happens is written once a second.
        lab.run_scratch("x");
        set.figure("recording_frames_lost_total", "") > 0
    });
    let refused = set.scene.apply("q.yaml", &set.scene.deny("other", "192.0.2.1:9"), &[]);
    assert_ne!(code(&refused), Some(0));
    assert!(err(&refused).contains("No space left"), "{}", err(&refused));
    assert!(set.scene.is_denied(), "by the policies of before");
    // The next one starts on a full disk, too.
    set.kill_worker();
    let last = raise(lab, &agent);
    let late = segments(lab);

    disk.make_room();
    arrived(&out, &[&before, &meanwhile[0], &meanwhile[1], &last]);
    let mut victim = Sleeper::start(lab, "victim");
    until("rules act again", PATIENCE, || victim.signal() == Some(9));
    assert_eq!(spared.signal(), None, "what was refused is not done later");
    let applied = set.scene.apply("q.yaml", &set.scene.deny("other", "192.0.2.1:9"), &[]);
    assert_eq!(code(&applied), Some(0), "{}", err(&applied));
    assert!(!set.scene.is_denied());
    until("the history goes on", PATIENCE, || segments(lab) > late);
    assert_eq!(audit(lab)["sound"], true, "{:#}", audit(lab));
    assert!(agent.stop().success());
}

#[test]
fn a_disk_that_cannot_be_written_stops_neither_detection_nor_prevention() {
    if !root("a_disk_that_cannot_be_written_stops_neither_detection_nor_prevention") {
        return;
    }
    let set = Enforced::new();
    let lab = &set.scene.lab;
    let disk = Disk::new(&lab.path("state"));
    // Without a history no file is open for writing, and the kernel makes it so.
    let agent = set.start(&["--history", "off", "--no-watch"]);
    disk.becomes_read_only();
    raise(lab, &agent);
    assert!(set.scene.is_denied());
    let refused = set.scene.apply("q.yaml", &set.scene.deny("other", "192.0.2.1:9"), &[]);
    assert_ne!(code(&refused), Some(0));
    assert!(err(&refused).contains("Read-only file system"), "{}", err(&refused));
    // Rules that cannot be kept run all the same, and that is told.
    lab.rule("more", &lab.path("y").display().to_string());
    let reload = lab.ask(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    let more = agent.alert(lab.run_scratch("y"), PATIENCE).expect("an alert of the new rule");
    assert_eq!(more["rule"]["id"], "more");
    until("it is told that they are not kept", PATIENCE, || {
        set.figure("rules_unkept_total", "") > 0
    });

    disk.becomes_writable();
    raise(lab, &agent);
    let kept = || set.figure("rules_generation", "");
    lab.rule("other", "/nonexistent");
    assert!(lab.ask(&["reload"]).status.success());
    until("rules are kept again", Duration::from_secs(20), || kept() > 0);
    let applied = set.scene.apply("q.yaml", &set.scene.deny("other", "192.0.2.1:9"), &[]);
    assert_eq!(code(&applied), Some(0), "{}", err(&applied));
    assert_eq!(audit(lab)["sound"], true, "{:#}", audit(lab));
    assert!(agent.stop().success());
}

#[test]
fn a_worker_that_dies_on_a_disk_that_cannot_be_written_is_followed_by_another() {
    if !root("a_worker_that_dies_on_a_disk_that_cannot_be_written_is_followed_by_another") {
        return;
    }
    let set = Enforced::new();
    let lab = &set.scene.lab;
    let disk = Disk::new(&lab.path("state"));
    let agent = set.start(&["--history", "off"]);
    disk.becomes_read_only();
    set.kill_worker();
    raise(lab, &agent);
    assert!(set.scene.is_denied());
    disk.becomes_writable();
    raise(lab, &agent);
    assert!(agent.stop().success());
}
