//! Which processes an alert is about: the one that acted, and its ancestors up to the root of its tree.

use serde_json::{Map, Value as Json};

use super::incident::Process;

/// Programs that start work for many who have nothing to do with each other: a tree begins below them.
/// Names as the kernel keeps them, at most 15 bytes.
const START_FOR_MANY: &[&str] = &[
    "agetty",
    "anacron",
    "atd",
    "conmon",
    "containerd",
    "containerd-shim",
    "crio",
    "cron",
    "crond",
    "dockerd",
    "dropbear",
    "gdm3",
    "inetd",
    "init",
    "kthreadd",
    "kubelet",
    "lightdm",
    "login",
    "podman",
    "runsvdir",
    "s6-svscan",
    "sshd",
    "sshd-session",
    "supervisord",
    "systemd",
    "xinetd",
];
/// Bytes of a name in the kernel.
const COMM_MAX: usize = 15;
/// Ancestors that are looked at: as many as an event has, with room.
const DEPTH_MAX: usize = 64;

/// A process and those that it came from, as far as they belong to one tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lineage {
    /// The one that acted first; never empty.
    processes: Vec<Process>,
    root: Process,
    /// Of other events that the alert is about.
    others: Vec<String>,
}

impl Lineage {
    /// Of an alert; none if it is about no process.
    pub(super) fn of(alert: &Map<String, Json>) -> Option<Lineage> {
        let own = Process::acting(alert)?;
        let ancestors = alert.get("process").and_then(|it| it.pointer("/Ext/ancestors"));
        let ancestors = ancestors.and_then(Json::as_array).into_iter().flatten();
        let mut processes = vec![own];
        for process in ancestors.take(DEPTH_MAX).map_while(Process::ancestor) {
            if process.pid <= 1 || starts_for_many(&process.name) {
                break;
            }
            if let Some(child) = processes.last_mut() {
                child.parent = Some(process.entity_id.clone());
            }
            processes.push(process);
        }
        let others = alert.get("events").and_then(Json::as_array).into_iter().flatten();
        let id =
            |event: &Json| Some(event.pointer("/document/process/entity_id")?.as_str()?.into());
        let root = processes.last()?.clone();
        Some(Lineage { processes, root, others: others.filter_map(id).collect() })
    }

    /// Where the tree begins.
    pub(super) fn root(&self) -> &Process {
        &self.root
    }

    /// The process that acted first, then its ancestors.
    pub(super) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// By what they are known, the nearest first.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        let own = self.processes.iter().map(|process| process.entity_id.as_str());
        own.chain(self.others.iter().map(String::as_str))
    }
}

fn starts_for_many(name: &str) -> bool {
    let end = name.char_indices().map(|(at, _)| at).take_while(|at| *at <= COMM_MAX).last();
    let short = if name.len() > COMM_MAX { name.get(..end.unwrap_or(0)) } else { Some(name) };
    short.is_some_and(|name| START_FOR_MANY.contains(&name))
}
