//! Containers that come and go by the thousand.

use std::fs;

use super::Enforced;
use crate::containers::Container;
use crate::lab::{root, until};
use crate::outputs::raise;
use crate::policies::{document, err};
use crate::prevention::PATIENCE;

/// How many there are in all: as many as CI has time for, unless it is said that there are more (10,000 by hand).
const SOME: u16 = 1_000;
const HOW_MANY: &str = "AEGISBPF_TEST_CONTAINERS";
/// How many there are at a time.
const AT_A_TIME: u16 = 50;
/// Resident memory that may come with them: what an allocator keeps, not what was known of each.
const GROWTH_KIB: u64 = 16 * 1024;

/// Resident memory in KiB, and descriptors.
fn has(pid: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib = line.trim().trim_end_matches(" kB").parse().unwrap();
    (kib, fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count())
}

#[test]
fn thousands_of_containers_come_and_go_and_the_last_one_is_denied() {
    if !root("thousands_of_containers_come_and_go_and_the_last_one_is_denied") {
        return;
    }
    let many = std::env::var(HOW_MANY).map_or(SOME, |text| text.parse().unwrap());
    let set = Enforced::new();
    let scene = &set.scene;
    let spec = format!(
        "  rules: [{{id: a, subject: {{container: {{image: 'aegisbpf-test:*'}}}}, deny: connect, \
         peers: '127.0.0.1:{}'}}]\n",
        scene.port
    );
    let agent = set.start(&[]);
    let applied = scene.apply("q.yaml", &document("scratch", &spec), &[]);
    assert!(applied.status.success(), "{}", err(&applied));
    let round = |from: u16| {
        let numbers = from..many.min(from + AT_A_TIME);
        let all: Vec<Container> = numbers
            .map(|number| Container::new(number, "docker.io/library/aegisbpf-test"))
            .collect();
        let last = all.last().unwrap();
        until("the last of them is denied", PATIENCE, || !last.connects(scene.port));
        let other = Container::new(u16::MAX, "quay.io/other");
        assert!(other.connects(scene.port), "the control");
    };
    // What a first look costs is no growth.
    round(0);
    let before = [agent.guard(), set.worker()].map(has);
    for from in (AT_A_TIME..many).step_by(usize::from(AT_A_TIME)) {
        round(from);
    }
    until("nobody is meant any more", PATIENCE, || {
        scene.show().to_string().contains("aegisbpf-test")
    });
    let after = [agent.guard(), set.worker()].map(has);
    println!(
        "{many} containers: guard and worker had (KiB, descriptors) {before:?}, then {after:?}"
    );
    for ((kib, fds), (now_kib, now_fds)) in before.into_iter().zip(after) {
        assert!(now_kib <= kib + GROWTH_KIB, "{before:?} {after:?}");
        assert!(now_fds <= fds + 2, "{before:?} {after:?}");
    }
    let dropped = set.figure("events_dropped_total", "ring=\"life\"");
    assert_eq!(dropped, 0, "no start of a process is lost over it");
    raise(&scene.lab, &agent);
    assert_eq!(set.figure("worker_restarts_total", ""), 0);
    assert!(agent.stop().success());
}
