//! Which source tells an operation, and by it a field: where BPF LSM programs attach (tier `lsm`),
//! and where they do not (`fallback`). Sources are called as in `event.provider`.
//!
//! This is what the best kernel of a tier offers. What a host really has is found by trying, and
//! `doctor` tells it; the crate that tries checks its own table against this one.

use crate::applies;
use crate::field::{self, FieldId, Source};
use crate::op::Kind;

/// Whether BPF LSM programs attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// They do.
    Lsm,
    /// They do not: tracepoints, cgroup programs and sources in user space are left.
    Fallback,
}

/// What stands for "no source can tell".
pub const NONE: &str = "-";

/// The source of an operation.
pub const fn source(kind: Kind, tier: Tier) -> &'static str {
    let (lsm, fallback) = match kind {
        Kind::Exec
        | Kind::Fork
        | Kind::Exit
        | Kind::Connect
        | Kind::Listen
        | Kind::Close
        | Kind::Signal
        | Kind::Module
        | Kind::IoUring => ("tracepoint", "tracepoint"),
        Kind::Task => ("iter", "iter"),
        Kind::Setuid | Kind::Setgid | Kind::Ptrace => ("lsm", "connector"),
        Kind::Setsid => ("connector", "connector"),
        Kind::Capset => ("lsm", "syscall"),
        Kind::Open
        | Kind::Create
        | Kind::Write
        | Kind::Rename
        | Kind::Unlink
        | Kind::Link
        | Kind::Attr
        | Kind::Mount
        | Kind::Umount => ("lsm", "fanotify"),
        Kind::Memfd => ("fentry", "syscall"),
        Kind::Accept => ("fentry", "tracepoint"),
        Kind::Bind | Kind::Send | Kind::Dns => ("cgroup", "cgroup"),
        Kind::Bpf => ("lsm", "perf"),
        Kind::Namespace => ("perf", "perf"),
    };
    match tier {
        Tier::Lsm => lsm,
        Tier::Fallback => fallback,
    }
}

/// What a process is, told when it starts a program or is found at the start of the agent.
const PROCESS: &[Kind] = &[Kind::Exec, Kind::Task];
const CREDENTIALS: &[Kind] = &[Kind::Exec, Kind::Task, Kind::Setuid, Kind::Setgid];
const CAPABILITIES: &[Kind] = &[Kind::Exec, Kind::Task, Kind::Setuid, Kind::Capset];
const NAMESPACES: &[Kind] = &[Kind::Exec, Kind::Task, Kind::Namespace];

/// Fields of all events that only some operations tell, and that the process table keeps from then
/// on. The first prefix that fits counts.
const TOLD_BY: &[(&str, &[Kind])] = &[
    ("process.Ext.memfd.", &[Kind::Exec, Kind::Memfd]),
    ("process.user.", CREDENTIALS),
    ("process.group.", CREDENTIALS),
    ("process.real_", CREDENTIALS),
    ("process.saved_", CREDENTIALS),
    ("user.", CREDENTIALS),
    ("group.", CREDENTIALS),
    ("process.thread.capabilities.", CAPABILITIES),
    ("process.Ext.namespace.", NAMESPACES),
    ("process.Ext.in_host_namespaces", NAMESPACES),
    ("process.thread.id", &[]),
    ("process.pid", &[]),
    ("process.entity_id", &[]),
    ("process.", PROCESS),
];

/// What a source cannot tell although it tells the operation.
const UNTOLD: &[(&str, Tier, &[Kind])] = &[
    ("process.Ext.bpf.program.id", Tier::Lsm, &[Kind::Bpf]),
    ("process.Ext.load_module.path", Tier::Fallback, &[Kind::Module]),
    ("file.Ext.open.write", Tier::Fallback, &[Kind::Open]),
    ("file.Ext.original.", Tier::Fallback, &[Kind::Link]),
    ("file.inode", Tier::Fallback, &[Kind::Unlink]),
    ("file.size", Tier::Fallback, &[Kind::Unlink]),
    ("file.mode", Tier::Fallback, &[Kind::Unlink]),
    ("file.uid", Tier::Fallback, &[Kind::Unlink]),
    ("file.gid", Tier::Fallback, &[Kind::Unlink]),
    ("file.type", Tier::Fallback, &[Kind::Unlink]),
    ("file.Ext.setuid", Tier::Fallback, &[Kind::Unlink]),
];

/// The operations that tell a field in a tier; those of [`applies::kinds`], less what their source
/// there cannot tell.
pub fn told_by(id: FieldId, tier: Tier) -> Vec<Kind> {
    let name = field::field(id).map_or("", |field| field.name);
    let fits = |prefix: &&str| name.starts_with(*prefix);
    let told = TOLD_BY.iter().find(|(prefix, _)| fits(prefix)).map(|(_, kinds)| *kinds);
    let mut kinds: Vec<Kind> = match told {
        Some(kinds) if !kinds.is_empty() && applies::kinds(id) == applies::events() => {
            kinds.to_vec()
        }
        _ => applies::kinds(id).iter().collect(),
    };
    let untold = UNTOLD.iter().filter(|(prefix, of, _)| fits(prefix) && *of == tier);
    for (_, _, untold) in untold {
        kinds.retain(|kind| !untold.contains(kind));
    }
    kinds
}

/// The sources of a field in a tier, each once, in words.
pub fn words(id: FieldId, tier: Tier) -> String {
    match field::field(id).map(|field| field.source) {
        Some(Source::All | Source::Constant) => return "every source".to_owned(),
        Some(Source::Host) => return "host".to_owned(),
        Some(Source::Kernel | Source::State) | None => {}
    }
    let kinds = told_by(id, tier);
    if kinds.len() == applies::events().iter().count() {
        return "every source".to_owned();
    }
    let mut names: Vec<&str> = Vec::new();
    for name in kinds.into_iter().map(|kind| source(kind, tier)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { NONE.to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::FIELDS;

    #[test]
    fn each_prefix_is_of_a_field_that_no_earlier_one_takes() {
        for (at, (prefix, _)) in TOLD_BY.iter().enumerate() {
            let taken = |name: &str| TOLD_BY[..at].iter().any(|(p, _)| name.starts_with(p));
            let is_used = FIELDS.iter().any(|f| f.name.starts_with(prefix) && !taken(f.name));
            assert!(is_used, "{prefix} is of no field");
        }
        for (prefix, tier, untold) in UNTOLD {
            let of = (0..).map(FieldId).zip(FIELDS).filter(|(_, f)| f.name.starts_with(prefix));
            let mut of = of.peekable();
            assert!(of.peek().is_some(), "{prefix} is of no field");
            for (id, field) in of {
                let applies = untold.iter().all(|kind| applies::kinds(id).contains(*kind));
                assert!(applies, "{}: {untold:?} never tell it", field.name);
                assert!(untold.iter().all(|kind| !told_by(id, *tier).contains(kind)));
            }
        }
    }

    #[test]
    fn words_are_the_sources_of_the_tier() {
        let both = |id| (words(id, Tier::Lsm), words(id, Tier::Fallback));
        let pair = |lsm: &str, fallback: &str| (lsm.to_owned(), fallback.to_owned());
        assert_eq!(both(field::FILE_PATH), pair("lsm", "fanotify"));
        assert_eq!(both(field::FILE_EXT_OPEN_WRITE), pair("lsm", NONE));
        assert_eq!(both(field::PROCESS_EXT_BPF_PROGRAM_ID), pair(NONE, "perf"));
        assert_eq!(both(field::PROCESS_ARGS), pair("tracepoint, iter", "tracepoint, iter"));
        assert_eq!(
            both(field::PROCESS_USER_ID),
            pair("tracepoint, iter, lsm", "tracepoint, iter, connector")
        );
        assert_eq!(both(field::PROCESS_PID), pair("every source", "every source"));
        assert_eq!(both(field::USER_NAME), pair("host", "host"));
        assert_eq!(both(field::DNS_QUESTION_NAME), pair("cgroup", "cgroup"));
    }
}
