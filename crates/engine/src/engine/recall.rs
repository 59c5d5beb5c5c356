//! What an engine knows, told to another: names, cgroups and processes, as facts and records.
//!
//! A recording that begins while the engine works begins with this. What the state of rules is
//! (half-told sequences, counts) is not told: rules begin anew.

use model::wire::{
    Builder, FLAG_CUT_ARGS, KIND_EXEC, KIND_EXIT, KIND_SETGID, KIND_SETUID, KIND_TASK,
    PROVIDER_CONNECTOR, PROVIDER_PROC, RecHeader, RecIds, RecTask, Record, TASK_THREAD,
};
use zerocopy::FromZeros;

use super::Engine;
use crate::facts::Fact;
use crate::process::{Image, Process};

/// A part of what is known.
#[derive(Debug)]
pub enum Known<'k> {
    /// A name or path.
    Fact(Fact),
    /// Something about a process, for [`Engine::recall`].
    Record(&'k [u8]),
}

impl Engine {
    /// Tells all that is known but the state of rules: facts, then processes.
    pub fn remember(&self, each: &mut dyn FnMut(Known<'_>)) {
        self.facts.each(&mut |fact| each(Known::Fact(fact)));
        let mut ended = Vec::new();
        for process in self.table.all() {
            if process.left {
                ended.push(process);
            }
            records(process, &mut |record| each(Known::Record(record)));
            let place = process.place.as_ref().and_then(|place| place.cgroup.path());
            if let Some(path) = place {
                let (pid, start) = (process.key.pid, process.key.start);
                // As `/proc/PID/cgroup` shows one hierarchy of version 1.
                let hierarchies = [b"1::", path].concat();
                each(Known::Fact(Fact::Membership { pid, start, hierarchies }));
            }
        }
        // Last, and in their order: an ended process without a descendant does not stay for long.
        ended.sort_by_key(|process| process.ended);
        for process in ended {
            task(process, KIND_EXIT, process.ended, None, &mut |record| {
                each(Known::Record(record));
            });
        }
    }

    /// Takes a record of [`Engine::remember`]: it changes what is known, and is no event.
    pub fn recall(&mut self, record: &Record<'_>) {
        self.table.apply(record);
    }

    /// The next event has the number after this one.
    pub fn resume(&mut self, events: u64) {
        self.stats.events = events;
    }
}

/// The fewest records from which the table knows the process as it is known here.
fn records(process: &Process, each: &mut dyn FnMut(&[u8])) {
    let image = process.image.as_deref();
    if process.told == 0 && image.is_none() {
        touch(process, each);
        return ids(process, each);
    }
    let began = image.map_or(process.told, |image| image.time);
    match process.previous.as_deref() {
        Some(previous) => {
            task(process, KIND_TASK, previous.time, Some(previous), each);
            task(process, KIND_EXEC, began, image, each);
        }
        None => task(process, KIND_TASK, began, image, each),
    }
    if process.told > began {
        task(process, KIND_TASK, process.told, None, each);
    }
    if process.caps.is_none() {
        unknown_capabilities(process, each);
    }
    touch(process, each);
}

fn header(process: &Process, kind: u32, time: u64) -> RecHeader {
    RecHeader {
        time,
        start: process.key.start,
        cgroup: process.cgroup,
        pid: process.key.pid,
        tid: process.key.pid,
        uid: process.ids.uid,
        gid: process.ids.gid,
        kind: u16::try_from(kind).unwrap_or_default(),
        provider: u16::try_from(PROVIDER_PROC).unwrap_or_default(),
        ..RecHeader::new_zeroed()
    }
}

/// User, group and cgroup were told later than all else.
fn touch(process: &Process, each: &mut dyn FnMut(&[u8])) {
    let mut fixed =
        RecTask { h: header(process, KIND_TASK, process.touched), ..RecTask::new_zeroed() };
    // A thread tells what every record tells of its process, and no more.
    fixed.task_flags = TASK_THREAD;
    each(&Builder::<RecTask>::new().finish(&fixed));
}

/// All that is known is what changed.
fn ids(process: &Process, each: &mut dyn FnMut(&[u8])) {
    let mut fixed =
        RecIds { h: header(process, KIND_SETUID, process.touched), ..known_ids(process) };
    if process.caps.is_none() {
        fixed.h.provider = u16::try_from(PROVIDER_CONNECTOR).unwrap_or_default();
    }
    each(&Builder::<RecIds>::new().finish(&fixed));
    fixed.h.kind = u16::try_from(KIND_SETGID).unwrap_or_default();
    each(&Builder::<RecIds>::new().finish(&fixed));
}

fn unknown_capabilities(process: &Process, each: &mut dyn FnMut(&[u8])) {
    let mut fixed = RecIds { h: header(process, KIND_SETUID, process.told), ..known_ids(process) };
    fixed.h.provider = u16::try_from(PROVIDER_CONNECTOR).unwrap_or_default();
    each(&Builder::<RecIds>::new().finish(&fixed));
}

fn known_ids(process: &Process) -> RecIds {
    let (cap_permitted, cap_effective) = process.caps.unwrap_or_default();
    let ids = &process.ids;
    RecIds {
        cap_permitted,
        cap_effective,
        ruid: ids.ruid,
        rgid: ids.rgid,
        suid: ids.suid,
        sgid: ids.sgid,
        sid: process.sid,
        pgid: process.pgid,
        ..RecIds::new_zeroed()
    }
}

fn task(
    process: &Process,
    kind: u32,
    time: u64,
    image: Option<&Image>,
    each: &mut dyn FnMut(&[u8]),
) {
    let (ids, ns) = (&process.ids, &process.ns);
    let (cap_permitted, cap_effective) = process.caps.unwrap_or_default();
    let mut fixed = RecTask {
        h: header(process, kind, time),
        parent_start: process.parent.start,
        cap_permitted,
        cap_effective,
        ppid: process.parent.pid,
        pgid: process.pgid,
        sid: process.sid,
        ruid: ids.ruid,
        rgid: ids.rgid,
        suid: ids.suid,
        sgid: ids.sgid,
        loginuid: ids.login,
        ns_pid: ns.pid,
        ns_mnt: ns.mnt,
        ns_net: ns.net,
        ns_user: ns.user,
        tty: process.tty,
        ..RecTask::new_zeroed()
    };
    let mut tail = Builder::<RecTask>::new();
    if let Some(image) = image {
        fixed.comm = tail.push(image.comm());
        fixed.exe = tail.push(image.exe());
        fixed.script = tail.push(image.script());
        fixed.args = tail.push(image.args());
        fixed.env = tail.push(image.env());
        fixed.cwd = tail.push(image.cwd());
        (fixed.argc, fixed.task_flags) = (image.argc, image.flags);
        (fixed.exe_ino, fixed.exe_mode, fixed.exe_uid) = (image.inode, image.mode, image.owner);
        fixed.h.flags |= if image.args_cut { FLAG_CUT_ARGS } else { 0 };
    }
    each(&tail.finish(&fixed));
}
