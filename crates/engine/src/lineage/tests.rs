//! Entry leaders by their rules, long chains, gaps.

use crate::facts::{Fact, Facts};
use crate::lineage::{ANCESTORS_MAX, Entry, ancestors, entry};
use crate::process::Key;
use crate::table::Table;
use crate::testing::{MS, Task, key};

const CONTAINER: u64 = 77;

/// One process of a family: pid, parent, executable, session, mount namespace, cgroup.
type Member = (u32, u32, &'static str, u32, u32, u64);

fn family(members: &[Member]) -> (Table, Facts) {
    let (mut table, mut facts) = (Table::default(), Facts::default());
    for (pid, parent, exe, sid, ns_mnt, cgroup) in members {
        let task = Task::found(1000 * MS, start(*pid), start(*parent), exe).with(|task| {
            (task.sid, task.ns_mnt, task.ns_pid) = (*sid, *ns_mnt, 1);
            task.h.cgroup = *cgroup;
        });
        table.apply(&task.done().record());
    }
    let path = format!("/system.slice/docker-{}.scope", "a".repeat(64)).into_bytes();
    facts.learn(Fact::Cgroup { id: CONTAINER, path });
    (table, facts)
}

/// Processes start in the order of their pids.
fn start(pid: u32) -> Key {
    if pid == 0 { Key::default() } else { key(pid, u64::from(pid) * 10 * MS) }
}

const SYSTEMD: Member = (1, 0, "/usr/lib/systemd/systemd", 1, 5, 1);
const SSHD: Member = (10, 1, "/usr/sbin/sshd", 10, 5, 2);
/// What it shows, the family, the process, its entry leader, the type.
const CASES: &[(&str, &[Member], u32, u32, &str)] = &[
    ("process 1 is its own", &[SYSTEMD], 1, 1, "init"),
    (
        "the login shell of an ssh session",
        &[
            SYSTEMD,
            SSHD,
            (20, 10, "/usr/sbin/sshd", 20, 5, 2),
            (21, 20, "/bin/bash", 21, 5, 3),
            (22, 21, "/bin/ls", 21, 5, 3),
        ],
        22,
        21,
        "sshd",
    ),
    ("sshd itself is a service", &[SYSTEMD, SSHD], 10, 10, "systemd"),
    (
        "an ssh command without a session of its own stays with sshd",
        &[SYSTEMD, SSHD, (21, 10, "/bin/scp", 10, 5, 3)],
        21,
        10,
        "systemd",
    ),
    (
        "a login at the console",
        &[SYSTEMD, (30, 1, "/bin/login", 30, 5, 2), (31, 30, "/bin/bash", 31, 5, 2)],
        31,
        31,
        "terminal",
    ),
    (
        "a cron job",
        &[
            SYSTEMD,
            (40, 1, "/usr/sbin/cron", 40, 5, 2),
            (41, 40, "/usr/sbin/cron", 40, 5, 2),
            (42, 41, "/bin/sh", 42, 5, 2),
        ],
        42,
        42,
        "cron",
    ),
    (
        "the first process of a container",
        &[
            SYSTEMD,
            (50, 1, "/usr/bin/containerd-shim", 50, 5, 2),
            (51, 50, "/bin/sh", 51, 9, CONTAINER),
            (52, 51, "/bin/ls", 51, 9, CONTAINER),
        ],
        52,
        51,
        "container",
    ),
    (
        "another mount namespace alone is no container",
        &[SYSTEMD, (60, 1, "/usr/bin/thing", 60, 9, 2)],
        60,
        60,
        "systemd",
    ),
    (
        "process 1 is not systemd",
        &[(1, 0, "/sbin/init", 1, 5, 1), (70, 1, "/usr/bin/thing", 70, 5, 2)],
        70,
        70,
        "init",
    ),
    ("nothing is known of the parent", &[(80, 0, "/bin/sh", 80, 5, 2)], 80, 80, "unknown"),
    (
        "the oldest known ancestor, of type unknown",
        &[(79, 0, "/bin/a", 79, 5, 2), (80, 79, "/bin/sh", 79, 5, 2)],
        80,
        79,
        "unknown",
    ),
];

#[test]
fn the_entry_leader_follows_the_rules() {
    for (what, members, pid, leader, kind) in CASES {
        let (table, facts) = family(members);
        let process = table.find(start(*pid)).and_then(|slot| table.get(slot)).unwrap();
        let Entry { leader: found, kind: found_kind } = entry(&table, &facts, process);
        assert_eq!((found.key.pid, found_kind), (*leader, *kind), "{what}");
    }
}

#[test]
fn a_chain_made_on_purpose_is_cut() {
    let members: Vec<Member> = (1..=200).map(|pid| (pid, pid - 1, "/bin/x", 1, 5, 1)).collect();
    let (table, _) = family(&members);
    let last = table.find(start(200)).and_then(|slot| table.get(slot)).unwrap();
    let pids: Vec<u32> = ancestors(&table, last).map(|ancestor| ancestor.key.pid).collect();
    assert_eq!(pids.len(), ANCESTORS_MAX);
    assert_eq!((pids[0], pids[63]), (199, 136), "nearest first");
}

#[test]
fn processes_that_claim_each_other_as_parent_do_not_hang() {
    let mut table = Table::default();
    let (a, b) = (key(5, 100 * MS), key(6, 100 * MS));
    for (child, parent) in [(a, b), (b, a)] {
        table.apply(&Task::found(200 * MS, child, parent, "/bin/x").done().record());
    }
    let process = table.find(a).and_then(|slot| table.get(slot)).unwrap();
    assert_eq!(ancestors(&table, process).count(), ANCESTORS_MAX);
}
