//! Made from crates/kernel/bpf/wire.h by `cargo xtask codegen`. Do not edit.
#![expect(missing_docs, reason = "documented in wire.h")]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub const WIRE_VERSION: u32 = 1;
pub const RECORD_MAX: u32 = 65536;
pub const PATH_MAX_BYTES: u32 = 4096;
pub const ARGS_MAX_BYTES: u32 = 32768;
pub const ENV_MAX_BYTES: u32 = 8192;

// enum ring
pub const RING_ALARM: u32 = 0;
pub const RING_LIFE: u32 = 1;
pub const RING_REST: u32 = 2;
pub const RING_COUNT: u32 = 3;

// enum kind
pub const KIND_NONE: u32 = 0;
pub const KIND_EXEC: u32 = 1;
pub const KIND_FORK: u32 = 2;
pub const KIND_EXIT: u32 = 3;
pub const KIND_TASK: u32 = 4;
pub const KIND_SETUID: u32 = 5;
pub const KIND_SETGID: u32 = 6;
pub const KIND_SETSID: u32 = 7;
pub const KIND_CAPSET: u32 = 8;
pub const KIND_OPEN: u32 = 16;
pub const KIND_CREATE: u32 = 17;
pub const KIND_WRITE: u32 = 18;
pub const KIND_RENAME: u32 = 19;
pub const KIND_UNLINK: u32 = 20;
pub const KIND_LINK: u32 = 21;
pub const KIND_ATTR: u32 = 22;
pub const KIND_MOUNT: u32 = 23;
pub const KIND_UMOUNT: u32 = 24;
pub const KIND_MEMFD: u32 = 25;
pub const KIND_CONNECT: u32 = 32;
pub const KIND_ACCEPT: u32 = 33;
pub const KIND_BIND: u32 = 34;
pub const KIND_LISTEN: u32 = 35;
pub const KIND_SEND: u32 = 36;
pub const KIND_CLOSE: u32 = 37;
pub const KIND_DNS: u32 = 38;
pub const KIND_PTRACE: u32 = 48;
pub const KIND_SIGNAL: u32 = 49;
pub const KIND_MODULE: u32 = 50;
pub const KIND_BPF: u32 = 51;
pub const KIND_NAMESPACE: u32 = 52;
pub const KIND_IO_URING: u32 = 53;
pub const KIND_MAX: u32 = 64;

// enum provider
pub const PROVIDER_NONE: u32 = 0;
pub const PROVIDER_LSM: u32 = 1;
pub const PROVIDER_FENTRY: u32 = 2;
pub const PROVIDER_TRACEPOINT: u32 = 3;
pub const PROVIDER_CGROUP: u32 = 4;
pub const PROVIDER_FANOTIFY: u32 = 5;
pub const PROVIDER_CONNECTOR: u32 = 6;
pub const PROVIDER_PERF: u32 = 7;
pub const PROVIDER_ITER: u32 = 8;
pub const PROVIDER_SYSCALL: u32 = 9;
pub const PROVIDER_KPROBE: u32 = 10;
pub const PROVIDER_PROC: u32 = 11;
pub const PROVIDER_TEST: u32 = 12;

// enum rec_flag
pub const FLAG_UNTRUSTED: u32 = 1 << 0;
pub const FLAG_NO_CREDS: u32 = 1 << 1;
pub const FLAG_NO_START: u32 = 1 << 2;
pub const FLAG_CUT_PATH: u32 = 1 << 3;
pub const FLAG_CUT_ARGS: u32 = 1 << 4;
pub const FLAG_CUT_ENV: u32 = 1 << 5;
pub const FLAG_PATH_PARTIAL: u32 = 1 << 6;
pub const FLAG_AFTER: u32 = 1 << 7;
pub const FLAG_DENIED: u32 = 1 << 8;
pub const FLAG_LATE_TIME: u32 = 1 << 9;

// enum task_flag
pub const TASK_MEMFD: u32 = 1 << 0;
pub const TASK_DELETED: u32 = 1 << 1;
pub const TASK_SCRIPT: u32 = 1 << 2;
pub const TASK_THREAD: u32 = 1 << 3;
pub const TASK_KTHREAD: u32 = 1 << 4;
pub const TASK_STDIN_TTY: u32 = 1 << 5;
pub const TASK_STDIN_SOCKET: u32 = 1 << 6;
pub const TASK_STDOUT_SOCKET: u32 = 1 << 7;
pub const TASK_STDIN_PIPE: u32 = 1 << 8;
pub const TASK_SECURE: u32 = 1 << 9;

// enum attr_change
pub const ATTR_MODE: u32 = 1 << 0;
pub const ATTR_OWNER: u32 = 1 << 1;
pub const ATTR_TIMES: u32 = 1 << 2;
pub const ATTR_XATTR: u32 = 1 << 3;
pub const ATTR_SIZE: u32 = 1 << 4;

// enum loss
pub const LOSS_RING_FULL: u32 = 0;
pub const LOSS_PATH: u32 = 1;
pub const LOSS_ARGS: u32 = 2;
pub const LOSS_STORAGE: u32 = 3;
pub const LOSS_SOURCE: u32 = 4;
pub const LOSS_RESOLVE: u32 = 5;
pub const LOSS_TOO_LONG: u32 = 6;
pub const LOSS_NO_PROCESS: u32 = 7;
pub const LOSS_COUNT: u32 = 8;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Span {
    pub off: u16,
    pub len: u16,
}

const _: () = assert!(size_of::<Span>() == 4);

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecHeader {
    pub time: u64,
    pub start: u64,
    pub cgroup: u64,
    pub pid: u32,
    pub tid: u32,
    pub uid: u32,
    pub gid: u32,
    pub len: u32,
    pub flags: u32,
    pub kind: u16,
    pub provider: u16,
    pub cpu: u32,
}

const _: () = assert!(size_of::<RecHeader>() == 56);

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecTask {
    pub h: RecHeader,
    pub parent_start: u64,
    pub cap_permitted: u64,
    pub cap_effective: u64,
    pub cap_inheritable: u64,
    pub exe_ino: u64,
    pub exe_dev: u64,
    pub exe_size: u64,
    pub ppid: u32,
    pub pgid: u32,
    pub sid: u32,
    pub ruid: u32,
    pub rgid: u32,
    pub suid: u32,
    pub sgid: u32,
    pub loginuid: u32,
    pub audit_session: u32,
    pub ns_pid: u32,
    pub ns_mnt: u32,
    pub ns_net: u32,
    pub ns_user: u32,
    pub ns_uts: u32,
    pub ns_ipc: u32,
    pub ns_cgroup: u32,
    pub tty: u32,
    pub exit_code: u32,
    pub task_flags: u32,
    pub argc: u32,
    pub args_bytes: u32,
    pub exe_mode: u32,
    pub exe_uid: u32,
    pub exe_gid: u32,
    pub comm: Span,
    pub exe: Span,
    pub script: Span,
    pub args: Span,
    pub env: Span,
    pub cwd: Span,
    pub unused: [Span; 2],
}

const _: () = assert!(size_of::<RecTask>() == 240);

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecIds {
    pub h: RecHeader,
    pub cap_permitted: u64,
    pub cap_effective: u64,
    pub old_uid: u32,
    pub old_gid: u32,
    pub ruid: u32,
    pub rgid: u32,
    pub suid: u32,
    pub sgid: u32,
    pub sid: u32,
    pub pgid: u32,
}

const _: () = assert!(size_of::<RecIds>() == 104);

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecFile {
    pub h: RecHeader,
    pub dev: u64,
    pub ino: u64,
    pub size: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub open_flags: u32,
    pub changed: u32,
    pub magic: u32,
    pub path: Span,
    pub old_path: Span,
    pub name: Span,
    pub unused: Span,
}

const _: () = assert!(size_of::<RecFile>() == 120);

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecNet {
    pub h: RecHeader,
    pub saddr: [u8; 16],
    pub daddr: [u8; 16],
    pub family: u16,
    pub sport: u16,
    pub dport: u16,
    pub protocol: u16,
    pub sock_type: u32,
    pub result: i32,
    pub dns_type: u32,
    pub name: Span,
    pub cookie: u64,
}

const _: () = assert!(size_of::<RecNet>() == 120);

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecAct {
    pub h: RecHeader,
    pub target_start: u64,
    pub value: u64,
    pub value2: u64,
    pub target_pid: u32,
    pub op: u32,
    pub code: i32,
    pub name: Span,
    pub path: Span,
    pub unused: u32,
}

const _: () = assert!(size_of::<RecAct>() == 104);

// enum why
pub const WHY_DEFAULT: u32 = 0;
pub const WHY_RULE: u32 = 1;
pub const WHY_IMPLIED: u32 = 2;
pub const WHY_LIST: u32 = 3;
pub const WHY_UNRESOLVED: u32 = 4;
pub const WHY_SELF: u32 = 5;

// enum denial_flag
pub const DENIAL_WOULD: u32 = 1 << 0;
pub const DENIAL_AUDIT: u32 = 1 << 1;
pub const DENIAL_SOCKET: u32 = 1 << 2;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecDenial {
    pub h: RecHeader,
    pub generation: u64,
    pub dev: u64,
    pub ino: u64,
    pub address: [u8; 16],
    pub rule: u32,
    pub label: u32,
    pub operation: u16,
    pub answer: u16,
    pub why: u16,
    pub flags: u16,
    pub family: u16,
    pub port: u16,
    pub protocol: u16,
    pub sock_type: u16,
    pub path: Span,
    pub untold: u32,
}

const _: () = assert!(size_of::<RecDenial>() == 128);
