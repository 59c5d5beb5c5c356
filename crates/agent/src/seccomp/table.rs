//! All system calls that are let through: by purpose, with the kinds that have it.
//!
//! A group has two lists. What stands in the first is called: CI looks at what the processes of the agent call
//! while its tests run, and a call that nobody makes fails it, as does a group that a kind has for nothing.
//! The second is for what other versions of libraries and kernels take in place of the first, and for
//! what happens too rarely to be seen each time.

use nix::libc;

use super::Kind::{
    self, Audit, Control, Events, Forward, Grants, Guard, Incidents, Link, Post, Recorder, Resolve,
    Rules, Sender, Spool, Suppressions, Watch, Worker,
};
use super::only::{self, Only};

/// A system call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// Its number.
    pub(super) number: libc::c_long,
    /// Its name.
    pub(super) name: &'static str,
    /// With which arguments, if not with all.
    pub(super) only: Option<Only>,
}

/// Calls for one purpose.
#[derive(Debug)]
pub(super) struct Group {
    /// What they are for.
    pub(super) purpose: &'static str,
    /// Who has them.
    pub(super) kinds: &'static [Kind],
    /// What is called.
    pub(super) calls: &'static [Call],
    /// What may be called in its place.
    pub(super) spare: &'static [Call],
}

/// The groups of a kind, and of the kinds that its list holds.
pub(super) fn groups(kind: Kind) -> impl Iterator<Item = &'static Group> {
    let is_of = move |one: &&Kind| **one == kind || kind.holds().contains(*one);
    GROUPS.iter().filter(move |group| group.kinds.iter().any(|one| is_of(&one)))
}

/// `[name, name: condition, …]` with the numbers of this architecture.
macro_rules! calls {
    ($($name:ident $(: $only:ident)?),* $(,)?) => {
        &[$(Call {
            number: numbers::$name,
            name: stringify!($name),
            only: calls!(@only $($only)?),
        }),*]
    };
    (@only) => { None };
    (@only $only:ident) => { Some(only::$only) };
}

/// `SYS_name` as `name`, and what libc does not number yet.
#[expect(non_upper_case_globals, reason = "they are called as the kernel calls them")]
mod numbers {
    use nix::libc::{self, c_long};

    macro_rules! numbers {
        ($($name:ident $sys:ident),* $(,)?) => { $(pub(super) const $name: c_long = libc::$sys;)* };
    }
    numbers! {
        accept4 SYS_accept4, access SYS_access, arch_prctl SYS_arch_prctl, bind SYS_bind, bpf SYS_bpf,
        brk SYS_brk, capget SYS_capget, capset SYS_capset, chdir SYS_chdir, chmod SYS_chmod, chown SYS_chown, lchown SYS_lchown,
        clock_getres SYS_clock_getres, clock_gettime SYS_clock_gettime,
        clock_nanosleep SYS_clock_nanosleep, clone SYS_clone, clone3 SYS_clone3, close SYS_close,
        close_range SYS_close_range, connect SYS_connect, copy_file_range SYS_copy_file_range,
        dup SYS_dup, dup2 SYS_dup2, dup3 SYS_dup3, epoll_create1 SYS_epoll_create1,
        epoll_ctl SYS_epoll_ctl, epoll_pwait SYS_epoll_pwait, epoll_pwait2 SYS_epoll_pwait2,
        epoll_wait SYS_epoll_wait, eventfd SYS_eventfd, eventfd2 SYS_eventfd2, execve SYS_execve,
        execveat SYS_execveat,
        exit SYS_exit, exit_group SYS_exit_group, faccessat SYS_faccessat, faccessat2 SYS_faccessat2,
        fadvise64 SYS_fadvise64, fallocate SYS_fallocate, fanotify_init SYS_fanotify_init,
        fanotify_mark SYS_fanotify_mark, fchmod SYS_fchmod, fchmodat SYS_fchmodat, fchown SYS_fchown,
        fchownat SYS_fchownat, fcntl SYS_fcntl, fdatasync SYS_fdatasync, fgetxattr SYS_fgetxattr,
        flistxattr SYS_flistxattr, flock SYS_flock, fork SYS_fork, fremovexattr SYS_fremovexattr,
        fsetxattr SYS_fsetxattr, fstat SYS_fstat, fstatfs SYS_fstatfs, fsync SYS_fsync,
        ftruncate SYS_ftruncate, futex SYS_futex, getcpu SYS_getcpu, getcwd SYS_getcwd,
        getdents SYS_getdents, getdents64 SYS_getdents64, getegid SYS_getegid, geteuid SYS_geteuid,
        getgid SYS_getgid, getpeername SYS_getpeername, getpgid SYS_getpgid, getpid SYS_getpid,
        getppid SYS_getppid, getpriority SYS_getpriority, getrandom SYS_getrandom, getsid SYS_getsid,
        getsockname SYS_getsockname, getsockopt SYS_getsockopt, gettid SYS_gettid,
        gettimeofday SYS_gettimeofday, getuid SYS_getuid, getxattr SYS_getxattr,
        inotify_add_watch SYS_inotify_add_watch, inotify_init1 SYS_inotify_init1,
        inotify_rm_watch SYS_inotify_rm_watch, ioctl SYS_ioctl, kill SYS_kill,
        landlock_add_rule SYS_landlock_add_rule, landlock_create_ruleset SYS_landlock_create_ruleset,
        landlock_restrict_self SYS_landlock_restrict_self, lgetxattr SYS_lgetxattr, linkat SYS_linkat,
        listen SYS_listen, llistxattr SYS_llistxattr, lseek SYS_lseek, lsetxattr SYS_lsetxattr,
        lstat SYS_lstat, madvise SYS_madvise, membarrier SYS_membarrier, memfd_create SYS_memfd_create,
        mkdir SYS_mkdir, mkdirat SYS_mkdirat, mknodat SYS_mknodat, mmap SYS_mmap, mount SYS_mount,
        mprotect SYS_mprotect, mremap SYS_mremap, munmap SYS_munmap,
        name_to_handle_at SYS_name_to_handle_at, nanosleep SYS_nanosleep, newfstatat SYS_newfstatat,
        open_by_handle_at SYS_open_by_handle_at, openat SYS_openat, openat2 SYS_openat2,
        perf_event_open SYS_perf_event_open, pidfd_open SYS_pidfd_open,
        pidfd_send_signal SYS_pidfd_send_signal, pipe SYS_pipe, pipe2 SYS_pipe2, poll SYS_poll,
        ppoll SYS_ppoll, prctl SYS_prctl, pread64 SYS_pread64, prlimit64 SYS_prlimit64,
        pwrite64 SYS_pwrite64, read SYS_read, readlink SYS_readlink, readlinkat SYS_readlinkat,
        readv SYS_readv, recvfrom SYS_recvfrom, recvmmsg SYS_recvmmsg, recvmsg SYS_recvmsg,
        rename SYS_rename, renameat SYS_renameat, renameat2 SYS_renameat2,
        restart_syscall SYS_restart_syscall, rmdir SYS_rmdir, rseq SYS_rseq,
        rt_sigaction SYS_rt_sigaction, rt_sigprocmask SYS_rt_sigprocmask,
        rt_sigreturn SYS_rt_sigreturn, sched_getaffinity SYS_sched_getaffinity,
        sched_yield SYS_sched_yield, seccomp SYS_seccomp, sendfile SYS_sendfile, sendmmsg SYS_sendmmsg,
        sendmsg SYS_sendmsg, sendto SYS_sendto, set_robust_list SYS_set_robust_list,
        set_tid_address SYS_set_tid_address, setgid SYS_setgid, setgroups SYS_setgroups,
        setpriority SYS_setpriority, setresgid SYS_setresgid, setresuid SYS_setresuid,
        setsid SYS_setsid, setsockopt SYS_setsockopt, setuid SYS_setuid, setxattr SYS_setxattr,
        shutdown SYS_shutdown, sigaltstack SYS_sigaltstack, signalfd4 SYS_signalfd4, socket SYS_socket,
        socketpair SYS_socketpair, stat SYS_stat, statfs SYS_statfs, statx SYS_statx,
        symlinkat SYS_symlinkat, sysinfo SYS_sysinfo, tgkill SYS_tgkill, time SYS_time,
        umask SYS_umask, uname SYS_uname, unlink SYS_unlink, unlinkat SYS_unlinkat,
        utimensat SYS_utimensat, vfork SYS_vfork, wait4 SYS_wait4, waitid SYS_waitid, write SYS_write,
        writev SYS_writev,
    }
    /// The same on all architectures (Linux 6.8).
    pub(super) const statmount: c_long = 457;
    pub(super) const listmount: c_long = 458;
}

/// The table.
pub(super) const GROUPS: &[Group] = &[
    Group {
        purpose: "memory, never for code",
        kinds: Kind::ALL,
        calls: calls![mmap: no_code, munmap, mprotect: no_code, madvise, mremap, brk],
        spare: &[],
    },
    Group {
        purpose: "locks, time, chance, and the end",
        kinds: Kind::ALL,
        calls: calls![
            futex,
            rt_sigprocmask,
            sigaltstack,
            exit,
            exit_group,
            gettid,
            getpid,
            sched_getaffinity,
            clock_nanosleep,
            getrandom,
        ],
        // Clocks where no vDSO tells them, signals, what a panic does, and other libraries.
        spare: calls![
            clock_gettime, clock_getres, gettimeofday, time, getcpu, rt_sigreturn, rt_sigaction,
            restart_syscall, sched_yield, nanosleep, tgkill: own, membarrier, sysinfo,
        ],
    },
    Group {
        purpose: "descriptors that are open, and the agent's own log",
        kinds: Kind::ALL,
        calls: calls![read, write, close, fcntl, ioctl: terminal],
        spare: calls![readv, writev, dup],
    },
    Group {
        purpose: "new threads, and filters that are narrower",
        kinds: &[Guard, Worker, Rules, Grants, Post, Forward, Sender],
        calls: calls![
            clone: no_namespaces, rseq, set_robust_list, prctl: names, seccomp: one_more,
        ],
        // Asked for first, and answered with ENOSYS.
        spare: calls![clone3, prlimit64: asked],
    },
    Group {
        purpose: "code of scripts, made of WebAssembly where the system allows it",
        kinds: &[Worker, Rules, Grants],
        calls: calls![mmap, mprotect, rt_sigaction],
        spare: &[],
    },
    Group {
        purpose: "files to read",
        kinds: &[
            Events,
            Spool,
            Control,
            Rules,
            Recorder,
            Incidents,
            Suppressions,
            Grants,
            Forward,
            Resolve,
            Post,
            Sender,
        ],
        calls: calls![openat: to_read, geteuid, lseek, newfstatat, statx, getdents64],
        spare: calls![
            pread64, fstat, stat, lstat, access, faccessat, faccessat2, readlink, readlinkat,
            fstatfs, fadvise64, getcwd,
        ],
    },
    Group {
        purpose: "files of a directory, links not followed; what is asked for stands where no filter sees it",
        kinds: &[Guard, Grants],
        calls: calls![openat2],
        spare: &[],
    },
    Group {
        purpose: "files of the state to write",
        kinds: &[Rules, Recorder, Incidents, Spool, Forward],
        calls: calls![openat, mkdir, rename, unlink, unlinkat, fsync, fdatasync, flock,],
        spare: calls![
            pwrite64, mkdirat, renameat, renameat2, linkat, rmdir, fchmod, fchmodat, chmod,
            ftruncate, fallocate, umask,
        ],
    },
    Group {
        purpose: "several descriptors at once",
        kinds: &[Worker, Events, Control],
        calls: calls![epoll_create1, epoll_ctl, epoll_wait],
        spare: calls![epoll_pwait, epoll_pwait2, poll, ppoll],
    },
    Group {
        purpose: "messages of the two halves, files that the guard opens",
        kinds: &[Worker, Events, Link, Control, Rules, Watch, Audit, Suppressions],
        calls: calls![recvmsg, sendmsg],
        spare: calls![sendto: connected, recvfrom],
    },
    Group {
        purpose: "the control socket is served",
        kinds: &[Control],
        calls: calls![
            accept4, eventfd2, getsockopt, recvfrom, shutdown, socketpair: unix, writev, getppid,
        ],
        spare: calls![sendto: connected, setsockopt, getsockname, getpeername, eventfd],
    },
    Group {
        purpose: "names are asked for, and servers",
        kinds: &[Resolve, Post, Sender],
        calls: calls![
            socket: internet, connect, sendmmsg, recvfrom, poll, setsockopt, uname,
            ioctl: waiting,
        ],
        // With modules of the resolver that the host has set up.
        spare: calls![
            mmap,
            mprotect,
            sendto,
            bind,
            getsockname,
            getpeername,
            getsockopt,
            sendmsg,
            recvmsg,
            recvmmsg,
            ppoll,
            shutdown,
            geteuid,
            getuid,
            getegid,
            getgid,
            epoll_create1,
            epoll_ctl,
            epoll_wait,
        ],
    },
    Group {
        purpose: "an event loop, for streams of NATS",
        kinds: &[Sender],
        calls: calls![epoll_create1, epoll_ctl, epoll_wait, eventfd2],
        spare: calls![epoll_pwait, epoll_pwait2, eventfd, socketpair: unix],
    },
    Group {
        purpose: "signals to the whole group of processes are not for it",
        kinds: &[Forward],
        calls: calls![signalfd4],
        spare: &[],
    },
    Group {
        purpose: "the journal of this host",
        kinds: &[Forward],
        calls: calls![socket: unix, connect, setsockopt, memfd_create, sendmsg],
        spare: &[],
    },
    Group {
        purpose: "processes that send as nobody, each of which confines itself",
        kinds: &[Forward],
        calls: calls![
            execve,
            wait4,
            pipe2,
            dup2,
            chdir,
            setuid,
            setgid,
            setgroups,
            arch_prctl,
            set_tid_address,
            access,
            mmap,
            mprotect,
            prlimit64,
            poll,
            kill,
            landlock_create_ruleset,
            landlock_add_rule,
            landlock_restrict_self,
        ],
        spare: calls![
            vfork, fork, waitid, pipe, dup3, close_range, socketpair: unix, pidfd_open, ppoll, prctl,
            pidfd_send_signal, rt_sigaction,
        ],
    },
    Group {
        purpose: "programs, maps and events of the kernel",
        kinds: &[Guard],
        calls: calls![bpf, perf_event_open, ioctl, mmap, mprotect, prlimit64],
        // The kernel is asked for the hash of a file that is no program, where LSM programs load.
        spare: calls![mount, execveat],
    },
    Group {
        purpose: "files that the kernel asks about, and where they are",
        kinds: &[Guard],
        calls: calls![
            fanotify_init,
            fanotify_mark,
            inotify_init1,
            inotify_add_watch,
            open_by_handle_at,
            statfs,
            setpriority,
            statmount,
            listmount,
        ],
        spare: calls![name_to_handle_at, inotify_rm_watch, getpriority, epoll_pwait],
    },
    Group {
        purpose: "processes of its own",
        kinds: &[Guard],
        calls: calls![
            execve,
            wait4,
            pipe2,
            dup2,
            chdir,
            setuid,
            setgid,
            setgroups,
            socketpair,
            signalfd4,
            arch_prctl,
            set_tid_address,
            access,
            landlock_create_ruleset,
            landlock_add_rule,
            landlock_restrict_self,
        ],
        spare: calls![
            vfork,
            fork,
            waitid,
            pipe,
            dup3,
            close_range,
            pidfd_open,
            poll,
            ppoll,
            getppid,
            setresuid,
            setresgid,
            capget,
            capset,
            prctl,
            setsid,
            getcwd,
        ],
    },
    Group {
        purpose: "processes of others",
        kinds: &[Guard],
        calls: calls![kill, pidfd_open, pidfd_send_signal, getpgid, getsid, readlink],
        spare: calls![getuid, geteuid, getgid, getegid],
    },
    Group {
        purpose: "sockets of the kernel and of the agent",
        kinds: &[Guard],
        calls: calls![socket, bind, listen, chmod, chown, connect, sendto, recvfrom, setsockopt],
        spare: calls![getsockname, getsockopt, accept4, unlink, fchmodat],
    },
    Group {
        purpose: "generations of policies, recordings that are kept, files that are moved aside",
        kinds: &[Guard],
        calls: calls![
            mkdirat,
            linkat,
            rename,
            renameat,
            renameat2,
            unlinkat,
            fchmod,
            utimensat,
            flistxattr,
            fstatfs,
            ftruncate,
            memfd_create,
        ],
        spare: calls![
            rmdir,
            lchown,
            fchown,
            fchownat,
            fgetxattr,
            fsetxattr,
            fremovexattr,
            copy_file_range,
            sendfile,
            symlinkat,
            mknodat,
            fchmodat,
            fallocate,
            umask,
            getdents,
            readlinkat,
            lgetxattr,
            llistxattr,
            getxattr,
            setxattr,
            lsetxattr,
            tgkill,
        ],
    },
];
