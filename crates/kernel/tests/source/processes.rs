//! Credentials, sessions, tracing, namespaces and BPF programs.

use std::process::{Child, Command};

use kernel::source::{SourceId, probe};
use model::op::{Kind, KindSet};
use model::wire;
use nix::libc;

use crate::children::{child, run};
use crate::collect::{Collected, Live, Said, root};

/// Runs an act while the events are read, as the agent does.
fn watch_child(live: &mut Live, what: &'static str) -> u32 {
    let worker = std::thread::spawn(move || child(what));
    while !worker.is_finished() {
        live.settle();
    }
    live.settle();
    worker.join().unwrap()
}

/// Records of one process.
fn of<T: Copy>(all: &[Said<T>], pid: u32, of: impl Fn(&T) -> u32) -> Vec<&Said<T>> {
    all.iter().filter(|said| of(&said.record) == pid).collect()
}

#[test]
fn setuid_says_all_ids() {
    let Some(_alone) = root() else { return };
    let mut live = Live::new(&[Kind::Setuid], &[]);
    let pid = watch_child(&mut live, "setuid");
    let found = of(&live.seen.ids, pid, |r| r.h.pid);
    assert!(!found.is_empty(), "no event");
    for said in found {
        assert_eq!((said.kind, said.ring), (Kind::Setuid, wire::RING_LIFE));
        let r = said.record;
        assert_eq!((r.ruid, r.h.uid, r.suid), (12, 34, 56));
        assert_eq!((r.rgid, r.h.gid, r.sgid), (0, 0, 0));
        assert_eq!(r.h.flags, wire::FLAG_NO_START | wire::FLAG_AFTER);
        assert_eq!(u32::from(r.h.provider), wire::PROVIDER_CONNECTOR);
        assert_eq!(r.cap_effective, 0, "gone with uid 0");
        assert_eq!(r.old_uid, u32::MAX, "the source does not know");
    }
}

#[test]
fn setgid_says_all_ids() {
    let Some(_alone) = root() else { return };
    let mut live = Live::new(&[Kind::Setgid], &[]);
    let pid = watch_child(&mut live, "setgid");
    let found = of(&live.seen.ids, pid, |r| r.h.pid);
    let r = found.first().expect("no event").record;
    assert_eq!((r.rgid, r.h.gid, r.sgid), (12, 34, 56));
    assert_eq!((r.ruid, r.h.uid, r.suid), (0, 0, 0));
}

#[test]
fn setsid_says_the_session_and_only_what_is_wanted_comes() {
    let Some(_alone) = root() else { return };
    let mut live = Live::new(&[Kind::Setsid], &[]);
    let other = watch_child(&mut live, "setuid");
    let before = now();
    let pid = watch_child(&mut live, "setsid");
    assert!(of(&live.seen.ids, other, |r| r.h.pid).is_empty(), "setuid was not asked for");
    let found = of(&live.seen.ids, pid, |r| r.h.pid);
    assert_eq!(found.len(), 1);
    let r = found[0].record;
    assert_eq!((found[0].kind, r.sid, r.pgid), (Kind::Setsid, pid, pid));
    assert!((before..now()).contains(&r.h.time), "the kernel's time on the boot clock");
}

fn now() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    u64::try_from(now.tv_sec() * 1_000_000_000 + now.tv_nsec()).unwrap()
}

#[test]
fn a_connector_queue_that_runs_over_is_told() {
    let Some(_alone) = root() else { return };
    let mut live = Live::new(&[Kind::Setuid], &[]);
    child("loop");
    let lost = &live.settle().lost;
    assert!(
        lost.contains(&(wire::RING_LIFE, wire::LOSS_SOURCE, 1)),
        "40,000 messages fit? {lost:?}"
    );
}

/// A process that does nothing, until the test is over.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Sleeper(Command::new("sleep").arg("60").spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn seizing_a_process_is_told() {
    let Some(_alone) = root() else { return };
    let target = Sleeper::new();
    let mut live = Live::new(&[Kind::Ptrace], &[]);
    let tracer = child(&format!("seize {}", target.0.id()));
    live.settle();
    let found = of(&live.seen.acts, tracer, |r| r.h.pid);
    assert_eq!(found.len(), 1, "{:?}", live.seen.acts);
    let r = found[0].record;
    assert_eq!(
        (found[0].kind, r.target_pid, r.op),
        (Kind::Ptrace, target.0.id(), libc::PTRACE_ATTACH)
    );
    assert_eq!(r.h.flags, wire::FLAG_NO_START | wire::FLAG_NO_CREDS);
}

/// The flags of namespace records of one process.
fn changes(seen: &Collected, pid: u32) -> Vec<u64> {
    let found = of(&seen.acts, pid, |r| r.h.pid);
    found.iter().filter(|said| said.kind == Kind::Namespace).map(|said| said.record.value).collect()
}

#[test]
fn unshare_is_a_change_and_a_fork_is_none() {
    let Some(_alone) = root() else { return };
    let mut live = Live::new(&[Kind::Namespace], &[]);
    let forker = run("sh", &["-c", "(true); (true); true | true"]);
    let seen = live.settle();
    assert_eq!(changes(seen, forker), [0u64; 0], "forks");
    let pid = watch_child(&mut live, "unshare");
    let flags = (libc::CLONE_NEWUTS | libc::CLONE_NEWNS).unsigned_abs();
    assert_eq!(changes(&live.seen, pid), [u64::from(flags)]);
    let said = of(&live.seen.acts, pid, |r| r.h.pid)[0];
    assert!(said.record.value2 > 0xf000_0000, "inode of the first: {:#x}", said.record.value2);
    assert_eq!(u32::from(said.record.h.provider), wire::PROVIDER_PERF);
    // Joining ours again, as an escape from a container does.
    let ours = format!("--uts=/proc/{}/ns/uts", std::process::id());
    let pid = run("unshare", &["-u", "nsenter", &ours, "true"]);
    live.settle();
    let uts = u64::from(libc::CLONE_NEWUTS.unsigned_abs());
    assert_eq!(changes(&live.seen, pid), [uts, uts]);
}

#[test]
fn a_bpf_program_load_says_id_tag_and_name() {
    let Some(_alone) = root() else { return };
    let mut live = Live::new(&[Kind::Bpf], &[]);
    let dir = tempfile::tempdir().unwrap();
    let info = dir.path().join("info");
    let pid = child(&format!("bpf {}", info.display()));
    let info = std::fs::read_to_string(info).unwrap();
    let line = |key| info.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim();
    live.settle();
    let found = of(&live.seen.acts, pid, |r| r.h.pid);
    assert_eq!(found.len(), 1, "the unload is not told: {found:?}");
    let said = found[0];
    assert_eq!((said.kind, said.record.op), (Kind::Bpf, 5));
    assert_eq!(said.record.value.to_string(), line("prog_id:"));
    assert_eq!(format!("{:016x}", said.record.value2), line("prog_tag:"));
    assert_eq!(said.name, b"tested");
}

#[test]
fn what_this_kernel_offers_was_tried() {
    let Some(_alone) = root() else { return };
    let (offers, errors) = probe();
    assert!(errors.is_empty(), "{errors:?}");
    let kinds: KindSet = offers.iter().map(|offer| offer.kind).collect();
    let all = SourceId::ALL.iter().fold(KindSet::EMPTY, |all, id| all.union(id.kinds()));
    assert_eq!(kinds, all);
    for offer in offers {
        assert!(!offer.hook.is_empty(), "{offer:?}");
        println!("{:<10} {} ({})", offer.kind.name(), offer.hook, offer.note);
    }
}
