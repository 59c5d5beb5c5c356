//! Where a process comes from: ancestors, leaders, and how it entered the host.
//!
//! # Entry leader
//! The nearest process, the process itself first and then its ancestors, through which its session
//! entered the host. It is the first for which one of these rules holds, tried in this order:
//!
//! 1. `init`: it is process 1.
//! 2. `container`: its pid or mount namespace differs from its parent's, and its cgroup is a
//!    container's.
//! 3. `sshd`: it leads its session, and its parent is `sshd` or `sshd-session`, which it is not
//!    itself.
//! 4. `terminal`: it leads its session, and its parent is a program that logs users in at a
//!    terminal: `login`, `agetty`, `getty` or `mgetty`, which it is not itself.
//! 5. `cron`: its parent is `cron`, `crond`, `anacron`, `fcron` or `atd`, and it is not one itself.
//! 6. `systemd`: its parent is called `systemd` (the system's manager or a user's).
//! 7. `init`: its parent is process 1, which is something else than systemd.
//!
//! If none holds, the entry leader is the oldest known ancestor, of type `unknown`. The parent is
//! the one that forked it; that it was handed to another process later changes nothing.

use crate::facts::Facts;
use crate::process::Process;
use crate::table::{Slot, Table};

/// Most ancestors that are followed. Real chains have under 20; a chain that a program builds on
/// purpose is cut here.
pub const ANCESTORS_MAX: usize = 64;

const SSHD: &[&[u8]] = &[b"sshd", b"sshd-session"];
const LOGIN: &[&[u8]] = &[b"login", b"agetty", b"getty", b"mgetty"];
const CRON: &[&[u8]] = &[b"cron", b"crond", b"anacron", b"fcron", b"atd"];

/// The entry leader of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) leader: &'a Process,
    pub(crate) kind: &'static str,
}

/// Known ancestors, parent first.
pub(crate) fn ancestors<'a>(
    table: &'a Table,
    process: &Process,
) -> impl Iterator<Item = &'a Process> {
    let parent = move |of: &Process| table.find(of.parent).and_then(|slot| table.get(slot));
    std::iter::successors(parent(process), move |ancestor| parent(ancestor)).take(ANCESTORS_MAX)
}

/// Leader of the group or session with that id, at that time.
pub(crate) fn leader(table: &Table, id: u32, time: u64) -> Option<&Process> {
    let slot: Slot = table.at(id, time)?;
    table.get(slot)
}

/// See the module.
pub(crate) fn entry<'a>(table: &'a Table, facts: &Facts, process: &'a Process) -> Entry<'a> {
    let mut oldest = process;
    for leader in std::iter::once(process).chain(ancestors(table, process)) {
        oldest = leader;
        let parent = table.find(leader.parent).and_then(|slot| table.get(slot));
        if let Some(kind) = entry_kind(facts, leader, parent) {
            return Entry { leader, kind };
        }
    }
    Entry { leader: oldest, kind: "unknown" }
}

fn entry_kind(facts: &Facts, process: &Process, parent: Option<&Process>) -> Option<&'static str> {
    if process.key.pid == 1 {
        return Some("init");
    }
    let parent = parent?;
    let differs = |own: u32, theirs: u32| own != 0 && theirs != 0 && own != theirs;
    let (own, theirs) = (process.ns, parent.ns);
    let is_container =
        facts.place(process.cgroup, Some(process)).is_some_and(|it| it.container().is_some());
    if is_container && (differs(own.pid, theirs.pid) || differs(own.mnt, theirs.mnt)) {
        return Some("container");
    }
    let leads = process.sid == process.key.pid;
    let from = |names: &[&[u8]]| {
        let named = |of: &Process| of.name().is_some_and(|name| names.contains(&name));
        named(parent) && !named(process)
    };
    match () {
        () if leads && from(SSHD) => Some("sshd"),
        () if leads && from(LOGIN) => Some("terminal"),
        () if from(CRON) => Some("cron"),
        () if parent.name() == Some(b"systemd") => Some("systemd"),
        () if parent.key.pid == 1 => Some("init"),
        () => None,
    }
}

#[cfg(test)]
mod tests;
