//! The table of ways to see an operation, for each the best first.

use model::op::Kind;

use crate::report::Provider;

/// One way by BPF programs to see one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) kind: Kind,
    pub(crate) provider: Provider,
    /// As the kernel names it.
    pub(crate) hook: &'static str,
    /// Programs, all of which must attach.
    pub(crate) programs: &'static [&'static str],
    /// What is lost compared with the best there could be; empty: nothing.
    pub(crate) note: &'static str,
}

const fn program(
    kind: Kind,
    provider: Provider,
    hook: &'static str,
    programs: &'static [&'static str],
    note: &'static str,
) -> Way {
    Way { kind, provider, hook, programs, note }
}

/// Sees operations that then fail, too.
const BEFORE: &str = "told before the operation: an attempt that fails is reported as well";

const WRITE: &str = "told before the first write to an open file";

/// All ways by programs; for one kind the better stands before the worse. Sources in user space
/// come after the ways here, and before [`LAST`].
pub(crate) const WAYS: &[Way] = &[
    program(Kind::Exec, Provider::Tracepoint, "sched_process_exec", &["tp_exec"], ""),
    program(Kind::Fork, Provider::Tracepoint, "sched_process_fork", &["tp_fork"], ""),
    program(Kind::Exit, Provider::Tracepoint, "sched_process_exit", &["tp_exit"], ""),
    program(Kind::Task, Provider::Iter, "iter/task", &["iter_tasks"], ""),
    program(Kind::Setuid, Provider::Lsm, "task_fix_setuid", &["lsm_setuid"], ""),
    program(Kind::Setgid, Provider::Lsm, "task_fix_setgid", &["lsm_setgid"], ""),
    program(Kind::Capset, Provider::Lsm, "capset", &["lsm_capset"], ""),
    program(Kind::Open, Provider::Lsm, "file_open of watched files", &["lsm_open"], ""),
    program(
        Kind::Write,
        Provider::Lsm,
        "file_open, file_permission, mmap_file, path_truncate, file_truncate of watched files",
        &["lsm_open", "lsm_write", "lsm_map", "lsm_truncate", "lsm_file_truncate"],
        WRITE,
    ),
    program(
        Kind::Write,
        Provider::Lsm,
        "file_open, file_permission, mmap_file, path_truncate of watched files",
        &["lsm_open", "lsm_write", "lsm_map", "lsm_truncate"],
        "told before the first write to an open file, and before a truncation, each time",
    ),
    program(
        Kind::Create,
        Provider::Lsm,
        "path_mknod, path_mkdir, path_symlink",
        &["lsm_mknod", "lsm_mkdir", "lsm_symlink"],
        BEFORE,
    ),
    program(Kind::Rename, Provider::Lsm, "path_rename", &["lsm_rename"], BEFORE),
    program(
        Kind::Unlink,
        Provider::Lsm,
        "path_unlink, path_rmdir",
        &["lsm_unlink", "lsm_rmdir"],
        BEFORE,
    ),
    program(Kind::Link, Provider::Lsm, "path_link", &["lsm_link"], BEFORE),
    program(
        Kind::Attr,
        Provider::Lsm,
        "path_chmod, path_chown, fentry vfs_utimes",
        &["lsm_chmod", "lsm_chown", "fentry_times"],
        "changes of extended attributes are not told; an attempt that fails is",
    ),
    program(
        Kind::Attr,
        Provider::Lsm,
        "path_chmod, path_chown",
        &["lsm_chmod", "lsm_chown"],
        "changes of times and extended attributes are not told; an attempt that fails is",
    ),
    // Before 6.1 a program cannot take the ids of path_chown, which are structures.
    program(
        Kind::Attr,
        Provider::Lsm,
        "path_chmod, fentry vfs_utimes",
        &["lsm_chmod", "fentry_times"],
        "changes of owner and extended attributes are not told; an attempt that fails is",
    ),
    program(
        Kind::Mount,
        Provider::Lsm,
        "sb_mount, move_mount",
        &["lsm_mount", "lsm_move_mount"],
        BEFORE,
    ),
    program(Kind::Umount, Provider::Lsm, "sb_umount", &["lsm_umount"], BEFORE),
    program(Kind::Memfd, Provider::Fentry, "fexit memfd_create", &["fexit_memfd"], ""),
    program(
        Kind::Connect,
        Provider::Tracepoint,
        "inet_sock_set_state, cgroup connect",
        &["tp_connect", "cg_connect4", "cg_connect6"],
        "TCP by the tracepoint, other protocols by the cgroup hooks; the local port is not chosen yet",
    ),
    program(Kind::Accept, Provider::Fentry, "fexit inet_csk_accept", &["fexit_accept"], ""),
    program(Kind::Accept, Provider::Fentry, "fexit inet_csk_accept", &["fexit_accept_old"], ""),
    program(
        Kind::Accept,
        Provider::Tracepoint,
        "inet_sock_set_state, cgroup getpeername",
        &["tp_connection", "cg_taken4", "cg_taken6"],
        "told of the process that listens; of another one that accepts, too, if it asks for the \
         address of the peer, as most do",
    ),
    program(
        Kind::Accept,
        Provider::Tracepoint,
        "inet_sock_set_state",
        &["tp_connection"],
        "the process is the one that listens, not the one of its workers that accepts",
    ),
    program(Kind::Bind, Provider::Cgroup, "cgroup bind", &["cg_bind4", "cg_bind6"], BEFORE),
    program(Kind::Listen, Provider::Tracepoint, "inet_sock_set_state", &["tp_connect"], ""),
    program(
        Kind::Send,
        Provider::Cgroup,
        "cgroup sendmsg",
        &["cg_sendmsg4", "cg_sendmsg6"],
        BEFORE,
    ),
    program(
        Kind::Close,
        Provider::Tracepoint,
        "inet_sock_set_state",
        &["tp_connection"],
        "TCP connections made since the agent started",
    ),
    program(
        Kind::Dns,
        Provider::Cgroup,
        "cgroup egress",
        &["dns_egress", "dns_connect4", "dns_connect6", "dns_sendmsg4", "dns_sendmsg6"],
        "questions over UDP port 53; a small program sees each packet that is sent",
    ),
    program(
        Kind::Ptrace,
        Provider::Lsm,
        "ptrace_access_check, ptrace_traceme",
        &["lsm_ptrace", "lsm_traceme"],
        BEFORE,
    ),
    program(Kind::Signal, Provider::Tracepoint, "signal_generate", &["tp_signal"], ""),
    program(
        Kind::Module,
        Provider::Tracepoint,
        "module_load, kernel_read_file",
        &["tp_module", "lsm_read_file"],
        "",
    ),
    program(
        Kind::Module,
        Provider::Tracepoint,
        "module_load",
        &["tp_module"],
        "the file of the module is unknown",
    ),
    program(Kind::Bpf, Provider::Lsm, "bpf", &["lsm_bpf"], BEFORE),
    program(Kind::IoUring, Provider::Tracepoint, "io_uring_create", &["tp_io_uring"], ""),
];

/// Ways that tax what has nothing to do with the operation, or depend on how the kernel was compiled:
/// only when nothing else is there.
pub(crate) const LAST: &[Way] = &[
    program(
        Kind::Setsid,
        Provider::Fentry,
        "fexit ksys_setsid",
        &["fexit_setsid"],
        "silent on a kernel whose compiler put the function into its caller",
    ),
    program(
        Kind::Memfd,
        Provider::Syscall,
        "raw tracepoint sys_exit",
        &["raw_memfd"],
        "every system call of every process pays for it (some 80 ns) while it is attached",
    ),
    program(
        Kind::Capset,
        Provider::Syscall,
        "raw tracepoint sys_exit",
        &["raw_capset"],
        "every system call of every process pays for it (some 80 ns) while it is attached; the \
         capabilities from before are not told",
    ),
];

/// The ways of one kind in a table, the best first.
pub(crate) fn of(table: &'static [Way], kind: Kind) -> impl Iterator<Item = &'static Way> {
    table.iter().filter(move |way| way.kind == kind)
}

#[cfg(test)]
mod tests {
    use model::tiers::{self, Tier};

    use super::*;
    use crate::source::SourceId;

    /// The source in user space that tells an operation, as `event.provider` calls it.
    fn in_user_space(kind: Kind) -> Option<&'static str> {
        let source = SourceId::ALL.into_iter().find(|source| source.kinds().contains(kind))?;
        Some(match source {
            SourceId::Fanotify | SourceId::Mounts => "fanotify",
            SourceId::Connector => "connector",
            SourceId::Perf => "perf",
        })
    }

    /// The best way of a tier: programs, sources in user space, and last what taxes others. Programs
    /// of LSM and fentry need what the tier `fallback` lacks.
    fn best(kind: Kind, tier: Tier) -> Option<&'static str> {
        let works = |way: &&Way| {
            tier == Tier::Lsm || !matches!(way.provider, Provider::Lsm | Provider::Fentry)
        };
        let first = of(WAYS, kind).find(works).map(|way| way.provider.name());
        let last = of(LAST, kind).find(works).map(|way| way.provider.name());
        first.or_else(|| in_user_space(kind)).or(last)
    }

    #[test]
    fn the_reference_of_fields_names_the_best_way_of_each_tier() {
        for kind in Kind::ALL {
            for tier in [Tier::Lsm, Tier::Fallback] {
                let expected = best(*kind, tier).unwrap_or_else(|| panic!("{kind:?}: no way"));
                assert_eq!(tiers::source(*kind, tier), expected, "{kind:?} in {tier:?}");
            }
        }
    }
}
