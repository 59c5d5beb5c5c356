//! What a kernel is known to offer, so that a sensor that falls back to a poorer way is a failure.

use model::op::Kind;

use crate::agent::Doctor;

/// Where the events of each operation come from on a kernel with BPF LSM: the best way that there
/// is. The second is part of the hook's name where several ways have the same provider.
const LSM: &[(Kind, &str, &str)] = &[
    (Kind::Exec, "tracepoint", "sched_process_exec"),
    (Kind::Fork, "tracepoint", "sched_process_fork"),
    (Kind::Exit, "tracepoint", "sched_process_exit"),
    (Kind::Setuid, "lsm", "task_fix_setuid"),
    (Kind::Setgid, "lsm", "task_fix_setgid"),
    (Kind::Setsid, "connector", "PROC_EVENT_SID"),
    (Kind::Capset, "lsm", "capset"),
    (Kind::Open, "lsm", "file_open"),
    (Kind::Create, "lsm", "path_mknod"),
    (Kind::Write, "lsm", "path_truncate"),
    (Kind::Rename, "lsm", "path_rename"),
    (Kind::Unlink, "lsm", "path_unlink"),
    (Kind::Link, "lsm", "path_link"),
    (Kind::Attr, "lsm", "path_chmod"),
    (Kind::Mount, "lsm", "move_mount"),
    (Kind::Umount, "lsm", "sb_umount"),
    (Kind::Memfd, "fentry", "memfd_create"),
    (Kind::Connect, "tracepoint", "cgroup connect"),
    (Kind::Accept, "fentry", "inet_csk_accept"),
    (Kind::Bind, "cgroup", "bind"),
    (Kind::Listen, "tracepoint", "inet_sock_set_state"),
    (Kind::Send, "cgroup", "sendmsg"),
    (Kind::Close, "tracepoint", "inet_sock_set_state"),
    (Kind::Dns, "cgroup", "egress"),
    (Kind::Ptrace, "lsm", "ptrace_traceme"),
    (Kind::Signal, "tracepoint", "signal_generate"),
    (Kind::Module, "tracepoint", "kernel_read_file"),
    (Kind::Bpf, "lsm", "bpf"),
    (Kind::Namespace, "perf", "PERF_RECORD_NAMESPACES"),
    (Kind::IoUring, "tracepoint", "io_uring_create"),
];

/// Why the report falls short of what this tier promises for an operation.
pub(crate) fn broken(doctor: &Doctor, kind: Kind, tier: Option<&str>) -> Option<String> {
    let Some(row) = doctor.operations.get(&kind) else {
        return Some("expected a row of doctor, got none".to_owned());
    };
    if !row.seen() {
        return Some(format!("expected observed, got absent: {}", row.note));
    }
    let promised = LSM.iter().find(|(of, _, _)| *of == kind && tier == Some("lsm"));
    let (_, provider, hook) = promised?;
    let holds = row.provider == *provider && row.hook.contains(hook);
    (!holds).then(|| {
        format!("expected {provider} {hook}, got {} {}: {}", row.provider, row.hook, row.improve)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Operation;

    #[test]
    fn every_operation_has_a_promise() {
        for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Task) {
            let promises = LSM.iter().filter(|(of, _, _)| of == kind).count();
            assert_eq!(promises, 1, "{}", kind.name());
        }
    }

    #[test]
    fn a_poorer_way_and_none_are_broken_promises() {
        let text = str::to_owned;
        let row = |state: &str, provider: &str| Operation {
            state: text(state),
            provider: text(provider),
            hook: text("path_rename"),
            note: String::new(),
            improve: text("boot with bpf"),
        };
        let report = |row| Doctor {
            tier: text("lsm"),
            operations: [(Kind::Rename, row)].into_iter().collect(),
        };
        let judge = |row, tier| broken(&report(row), Kind::Rename, tier);
        assert_eq!(judge(row("observed", "lsm"), Some("lsm")), None);
        assert_eq!(judge(row("observed", "fanotify"), None), None);
        let poorer = judge(row("observed", "fanotify"), Some("lsm")).unwrap();
        assert!(poorer.contains("expected lsm path_rename, got fanotify"), "{poorer}");
        assert!(judge(row("absent", ""), None).unwrap().contains("got absent"));
        assert!(broken(&report(row("observed", "lsm")), Kind::Exec, None).is_some());
    }
}
