//! Records for tests, made field by field.

use model::wire::{
    Builder, KIND_EXEC, KIND_EXIT, KIND_FORK, KIND_TASK, PROVIDER_TRACEPOINT, RecHeader, RecTask,
    Record, Span,
};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::host::Host;
use crate::process::Key;

/// A millisecond of event time.
pub(crate) const MS: u64 = 1_000_000;

/// A record in memory of its own, aligned as rings are.
pub(crate) struct Bytes(Vec<u64>);

impl Bytes {
    pub(crate) fn of<T: IntoBytes + Immutable>(tail: Builder<T>, fixed: &T) -> Bytes {
        let bytes = tail.finish(fixed);
        let mut words = vec![0; bytes.len() / 8];
        words.as_mut_slice().as_mut_bytes().copy_from_slice(&bytes);
        Bytes(words)
    }

    #[track_caller]
    pub(crate) fn record(&self) -> Record<'_> {
        Record::parse(self.0.as_slice().as_bytes()).unwrap()
    }
}

/// A header with the fields that every test needs.
pub(crate) fn header(kind: u32, time: u64, process: Key) -> RecHeader {
    let mut header = RecHeader::new_zeroed();
    header.kind = u16::try_from(kind).unwrap();
    header.provider = u16::try_from(PROVIDER_TRACEPOINT).unwrap();
    header.time = time;
    header.pid = process.pid;
    header.tid = process.pid;
    header.start = process.start;
    header
}

/// A task record under construction.
pub(crate) struct Task {
    pub(crate) fixed: RecTask,
    tail: Builder<RecTask>,
}

impl Task {
    fn new(kind: u32, time: u64, process: Key, parent: Key) -> Task {
        let mut fixed = RecTask::new_zeroed();
        fixed.h = header(kind, time, process);
        (fixed.ppid, fixed.parent_start) = (parent.pid, parent.start);
        fixed.loginuid = u32::MAX;
        Task { fixed, tail: Builder::new() }
    }

    pub(crate) fn exec(time: u64, process: Key, parent: Key, exe: &str) -> Task {
        let mut task = Task::new(KIND_EXEC, time, process, parent);
        task.fixed.exe = task.part(exe.as_bytes());
        task
    }

    pub(crate) fn fork(time: u64, process: Key, parent: Key) -> Task {
        Task::new(KIND_FORK, time, process, parent)
    }

    pub(crate) fn exit(time: u64, process: Key, parent: Key) -> Task {
        Task::new(KIND_EXIT, time, process, parent)
    }

    pub(crate) fn found(time: u64, process: Key, parent: Key, exe: &str) -> Task {
        let mut task = Task::exec(time, process, parent, exe);
        task.fixed.h.kind = u16::try_from(KIND_TASK).unwrap();
        task
    }

    pub(crate) fn part(&mut self, bytes: &[u8]) -> Span {
        self.tail.push(bytes)
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Task {
        let joined: String = args.iter().flat_map(|arg| [arg, "\0"]).collect();
        self.fixed.args = self.part(joined.as_bytes());
        self.fixed.argc = u32::try_from(args.len()).unwrap();
        self
    }

    /// Changes the fixed part.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut RecTask)) -> Task {
        change(&mut self.fixed);
        self
    }

    pub(crate) fn done(self) -> Bytes {
        Bytes::of(self.tail, &self.fixed)
    }
}

/// A host whose clock was at 1,000 s after the epoch when it booted.
pub(crate) fn host() -> Host {
    Host {
        boot_id: "5e9f0a3c-boot".to_owned(),
        machine_id: "0123456789abcdef".to_owned(),
        hostname: "web1".to_owned(),
        agent_id: "agent-1".to_owned(),
        ips: vec!["10.0.0.1".parse().unwrap()],
        cgroup_v1: false,
        boot_time_unix_ns: 1_000_000_000_000,
    }
}

/// A process.
pub(crate) fn key(pid: u32, start: u64) -> Key {
    Key { pid, start }
}
