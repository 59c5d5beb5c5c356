//! The table of ways to see an operation, for each the best first.

use model::op::Kind;

use crate::report::Provider;

/// What a way is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    /// BPF programs, all of which must attach.
    Programs(&'static [&'static str]),
    /// A source in user space, whose records are injected.
    Source(SourceKind),
}

/// Sources in user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SourceKind {
    /// File events.
    Fanotify,
    /// Netlink process events.
    Connector,
    /// Perf side-band records.
    Perf,
    /// Changes of the mount tree.
    Mounts,
}

/// One way to see one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) kind: Kind,
    pub(crate) provider: Provider,
    /// As the kernel names it.
    pub(crate) hook: &'static str,
    pub(crate) means: Means,
    /// What is lost compared with the best way; empty: nothing.
    pub(crate) note: &'static str,
}

const fn program(
    kind: Kind,
    provider: Provider,
    hook: &'static str,
    programs: &'static [&'static str],
    note: &'static str,
) -> Way {
    Way { kind, provider, hook, means: Means::Programs(programs), note }
}

/// All ways; for one kind the better stands before the worse.
pub(crate) const WAYS: &[Way] = &[
    program(Kind::Exec, Provider::Tracepoint, "sched_process_exec", &["tp_exec"], ""),
    program(Kind::Fork, Provider::Tracepoint, "sched_process_fork", &["tp_fork"], ""),
    program(Kind::Exit, Provider::Tracepoint, "sched_process_exit", &["tp_exit"], ""),
    program(Kind::Task, Provider::Iter, "iter/task", &["iter_tasks"], ""),
];

/// The ways of one kind, the best first.
pub(crate) fn of(kind: Kind) -> impl Iterator<Item = &'static Way> {
    WAYS.iter().filter(move |way| way.kind == kind)
}
