//! One process acting on another or on the kernel; credentials.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, id};

use kernel::Options;
use libbpf_rs::{MapHandle, MapInfo, RingBufferBuilder};
use model::op::Kind;
use model::wire::{Body, RecIds, Record};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::harness::{bench, skipped};

/// Somebody without any privilege.
const NOBODY: u32 = 65534;
const SIGUSR1: u32 = 10;

fn sleeper() -> Child {
    Command::new("/bin/sleep").arg("60").spawn().unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

fn ids<'a>(record: &'a Record<'a>) -> &'a RecIds {
    match record.body() {
        Body::Ids(ids) => ids,
        other => panic!("not a record of ids: {other:?}"),
    }
}

#[test]
fn a_signal_names_its_target() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Signal], Options::default());
    let mut child = sleeper();
    child.kill().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    bench.find("signal", |r| match r.body() {
        Body::Act(act) => r.header().pid == id() && act.target_pid == pid && act.op == 9,
        _ => false,
    });
}

#[test]
fn what_is_done_to_the_agent_goes_to_the_ring_of_alarms() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Signal], Options::default());
    let (mut agent, mut other) = (sleeper(), sleeper());
    bench.sensors.set_own(&[agent.id()]).unwrap();
    for target in [&other, &agent] {
        kill(pid(target), Signal::SIGUSR1).unwrap();
    }
    let (agent_pid, other_pid) = (agent.id(), other.id());
    for child in [&mut agent, &mut other] {
        child.wait().unwrap();
    }
    let mut alarms = Vec::new();
    let [alarm, ..] = bench.sensors.ring_fds();
    let map = MapHandle::from_map_id(MapInfo::new(alarm).unwrap().info.id).unwrap();
    let mut rings = RingBufferBuilder::new();
    rings
        .add(&map, |bytes| {
            let mut words = vec![0u64; bytes.len().div_ceil(8)];
            zerocopy::IntoBytes::as_mut_bytes(words.as_mut_slice())[..bytes.len()]
                .copy_from_slice(bytes);
            let record =
                Record::parse(&zerocopy::IntoBytes::as_bytes(words.as_slice())[..bytes.len()]);
            if let Body::Act(act) = record.unwrap().body() {
                alarms.push((act.h.pid, act.target_pid, act.op));
            }
            0
        })
        .unwrap();
    let rings = rings.build().unwrap();
    // Signals are told while they are sent: both records are there.
    rings.consume().unwrap();
    drop(rings);
    assert_eq!(alarms, [(id(), agent_pid, SIGUSR1)], "and not that to {other_pid}");
}

#[test]
fn what_the_agent_does_is_left_out() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Signal], Options::default());
    bench.sensors.set_own(&[id()]).unwrap();
    let mut child = sleeper();
    kill(pid(&child), Signal::SIGUSR1).unwrap();
    child.wait().unwrap();
    bench.sensors.set_own(&[]).unwrap();
    let mut last = sleeper();
    kill(pid(&last), Signal::SIGUSR1).unwrap();
    last.wait().unwrap();
    let (child, last) = (child.id(), last.id());
    let to = |r: &Record<'_>, pid| matches!(r.body(), Body::Act(act) if act.target_pid == pid);
    bench.find("the last signal", |r| to(r, last));
    assert_eq!(bench.count(|r| to(r, child)), 0);
}

#[test]
fn new_ids_are_told_with_the_old_ones() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Setuid, Kind::Setgid], Options::default());
    if bench.lacks(Kind::Setuid) || bench.lacks(Kind::Setgid) {
        return;
    }
    let mut child = Command::new("/bin/true").uid(NOBODY).gid(NOBODY).spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let of = |r: &Record<'_>, kind| r.kind() == kind && r.header().pid == pid;
    let bytes = bench.find("setgid", |r| of(r, Kind::Setgid));
    let record = Record::parse(&bytes).unwrap();
    assert_eq!((record.header().gid, ids(&record).rgid), (NOBODY, NOBODY));
    let bytes = bench.find("setuid", |r| of(r, Kind::Setuid));
    let record = Record::parse(&bytes).unwrap();
    assert_eq!((record.header().uid, ids(&record).ruid), (NOBODY, NOBODY));
}

#[test]
fn a_capability_given_up_is_told() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Capset], Options::default());
    if bench.lacks(Kind::Capset) {
        return;
    }
    let dropped = std::thread::spawn(|| {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::SYS_NICE);
        set_capabilities(None, sets).unwrap();
        (nix::unistd::gettid(), sets.effective.bits(), sets.permitted.bits())
    });
    let (tid, effective, permitted) = dropped.join().unwrap();
    let tid = u32::try_from(tid.as_raw()).unwrap();
    let bytes = bench.find("capset", |r| r.kind() == Kind::Capset && r.header().tid == tid);
    let record = Record::parse(&bytes).unwrap();
    assert_eq!(ids(&record).cap_effective, effective, "SYS_NICE is gone");
    assert_eq!(ids(&record).cap_permitted, permitted);
}

#[test]
fn tracing_names_the_traced_process() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Ptrace], Options::default());
    if bench.lacks(Kind::Ptrace) {
        return;
    }
    let mut child = sleeper();
    nix::sys::ptrace::seize(pid(&child), nix::sys::ptrace::Options::empty()).unwrap();
    let traced = child.id();
    bench.find("ptrace", |r| match r.body() {
        Body::Act(act) => r.header().pid == id() && act.target_pid == traced,
        _ => false,
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_io_uring_instance_is_told() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::IoUring], Options::default());
    if bench.lacks(Kind::IoUring) {
        return;
    }
    if let Err(error) = io_uring::IoUring::new(4) {
        println!("SKIP: no io_uring here: {error}");
        return;
    }
    bench.find("io_uring", |r| r.kind() == Kind::IoUring && r.header().pid == id());
}
