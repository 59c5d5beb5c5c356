/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Every record that crosses the line between kernel and user space is written down here and
 * nowhere else. crates/model/src/wire/generated.rs is made from this file (`cargo xtask codegen`).
 *
 * A record is one struct rec_* followed by its variable part. A `struct span` names bytes of the
 * variable part: offset from the start of the record, and length. Strings carry no NUL at the end;
 * lists (argv, environment) are strings that each end in NUL. All numbers are native-endian.
 * Fixed widths only, no implicit padding (abi.bpf.c is compiled with -Wpadded -Werror).
 */
#ifndef AEGIS_WIRE_H
#define AEGIS_WIRE_H

#define WIRE_VERSION 1
/* Longest record in bytes: an exec with its argument block. */
#define RECORD_MAX 65536
#define PATH_MAX_BYTES 4096
/* Bytes of argv kept; longer ones are cut and flagged CUT_ARGS. */
#define ARGS_MAX_BYTES 32768
/* Bytes of the environment block kept when a rule asks for it; cut is flagged CUT_ENV. */
#define ENV_MAX_BYTES 8192

/* Which ring a record travels in. A flood in one never starves another. */
enum ring {
	RING_ALARM = 0, /* denials, tampering with the agent */
	RING_LIFE = 1,  /* exec, fork, exit, credentials, sessions */
	RING_REST = 2,  /* files, network, everything else */
	RING_COUNT = 3,
};

/* What happened. The numbers are stored in recordings: never reuse one. */
enum kind {
	KIND_NONE = 0,
	/* process life: struct rec_task */
	KIND_EXEC = 1,
	KIND_FORK = 2,
	KIND_EXIT = 3,
	KIND_TASK = 4, /* a process that was already there when the agent started */
	/* credentials and session: struct rec_ids */
	KIND_SETUID = 5,
	KIND_SETGID = 6,
	KIND_SETSID = 7,
	KIND_CAPSET = 8,
	/* files: struct rec_file */
	KIND_OPEN = 16,
	KIND_CREATE = 17,
	KIND_WRITE = 18,
	KIND_RENAME = 19,
	KIND_UNLINK = 20,
	KIND_LINK = 21,
	KIND_ATTR = 22, /* mode, owner, times, extended attributes; see `changed` */
	KIND_MOUNT = 23,
	KIND_UMOUNT = 24,
	KIND_MEMFD = 25,
	/* network: struct rec_net */
	KIND_CONNECT = 32,
	KIND_ACCEPT = 33,
	KIND_BIND = 34,
	KIND_LISTEN = 35,
	KIND_SEND = 36, /* datagram to an address, without connect */
	KIND_CLOSE = 37,
	KIND_DNS = 38,
	/* one process acting on another, or on the kernel: struct rec_act */
	KIND_PTRACE = 48,
	KIND_SIGNAL = 49,
	KIND_MODULE = 50,
	KIND_BPF = 51,
	KIND_NAMESPACE = 52,
	KIND_IO_URING = 53,
	KIND_MAX = 64,
};

/* Where a record came from; `aegisbpf doctor` prints it. */
enum provider {
	PROVIDER_NONE = 0,
	PROVIDER_LSM = 1,
	PROVIDER_FENTRY = 2,
	PROVIDER_TRACEPOINT = 3, /* tp_btf */
	PROVIDER_CGROUP = 4,
	PROVIDER_FANOTIFY = 5,
	PROVIDER_CONNECTOR = 6, /* netlink process events */
	PROVIDER_PERF = 7,      /* perf side-band records */
	PROVIDER_ITER = 8,
	PROVIDER_SYSCALL = 9, /* raw syscall tracepoints: taxes every system call */
	PROVIDER_KPROBE = 10,
	PROVIDER_PROC = 11, /* read from /proc */
	PROVIDER_TEST = 12,
};

enum rec_flag {
	/* An argument was read from the caller's memory, which another thread may have changed. */
	FLAG_UNTRUSTED = 1 << 0,
	/* uid and gid in the header are unknown: take those of the process table. */
	FLAG_NO_CREDS = 1 << 1,
	/* start is unknown (a source that knows only the pid). */
	FLAG_NO_START = 1 << 2,
	FLAG_CUT_PATH = 1 << 3,
	FLAG_CUT_ARGS = 1 << 4,
	FLAG_CUT_ENV = 1 << 5,
	/* The path could not be resolved to the end (deeper than the bound, unreachable). */
	FLAG_PATH_PARTIAL = 1 << 6,
	/* The state in the record was read after the event. */
	FLAG_AFTER = 1 << 7,
	/* The operation was refused (by us or, where known, by the kernel). */
	FLAG_DENIED = 1 << 8,
	/* time is when the source's record was read, not when it happened. */
	FLAG_LATE_TIME = 1 << 9,
};

enum task_flag {
	TASK_MEMFD = 1 << 0,   /* the executable is an anonymous memory file */
	TASK_DELETED = 1 << 1, /* the executable has no name any more */
	TASK_SCRIPT = 1 << 2,  /* started through an interpreter; `script` names the file */
	TASK_THREAD = 1 << 3,
	TASK_KTHREAD = 1 << 4,
	TASK_STDIN_TTY = 1 << 5,
	TASK_STDIN_SOCKET = 1 << 6,
	TASK_STDOUT_SOCKET = 1 << 7,
	TASK_STDIN_PIPE = 1 << 8,
	TASK_SECURE = 1 << 9, /* AT_SECURE: setuid, setgid or file capabilities took effect */
};

/* Which attributes a KIND_ATTR record is about; 0 = the source cannot tell. */
enum attr_change {
	ATTR_MODE = 1 << 0,
	ATTR_OWNER = 1 << 1,
	ATTR_TIMES = 1 << 2,
	ATTR_XATTR = 1 << 3,
	ATTR_SIZE = 1 << 4,
};

/* Causes for which a record did not reach user space, per CPU and ring; none is silent. */
enum loss {
	LOSS_RING_FULL = 0,
	LOSS_PATH = 1,       /* a path could not be read; the record was sent without it */
	LOSS_ARGS = 2,       /* argv could not be read (page not present) */
	LOSS_STORAGE = 3,    /* task, socket or inode storage refused */
	LOSS_SOURCE = 4,     /* fanotify, netlink or perf told of an overflow of its own queue */
	LOSS_RESOLVE = 5,    /* a file handle could not be resolved to a path */
	LOSS_TOO_LONG = 6,   /* record above RECORD_MAX */
	LOSS_NO_PROCESS = 7, /* the acting process could not be told */
	LOSS_COUNT = 8,
};

struct span {
	unsigned short off;
	unsigned short len;
};

/* The first bytes of every record. */
struct rec_header {
	unsigned long long time;   /* ns since boot, suspend included */
	unsigned long long start;  /* start of the process (group leader), ns since boot */
	unsigned long long cgroup; /* cgroup v2 id */
	unsigned int pid; /* process (thread group) id in the initial pid namespace; 0: none */
	unsigned int tid;
	unsigned int uid; /* effective, now; initial user namespace */
	unsigned int gid;
	unsigned int len;   /* bytes of the record, header included; the ring may hold more */
	unsigned int flags; /* enum rec_flag */
	unsigned short kind;
	unsigned short provider;
	unsigned int cpu;
};

struct rec_task {
	struct rec_header h;
	unsigned long long parent_start; /* start of the parent, ns since boot */
	unsigned long long cap_permitted;
	unsigned long long cap_effective;
	unsigned long long cap_inheritable;
	unsigned long long exe_ino;
	unsigned long long exe_dev; /* kernel dev_t of the superblock */
	unsigned long long exe_size;
	unsigned int ppid; /* thread group id of the parent; for KIND_FORK, h is the child */
	unsigned int pgid;
	unsigned int sid;
	unsigned int ruid;
	unsigned int rgid;
	unsigned int suid;
	unsigned int sgid;
	unsigned int loginuid; /* audit login uid, 0xffffffff: none */
	unsigned int audit_session;
	unsigned int ns_pid; /* inode numbers of the namespaces */
	unsigned int ns_mnt;
	unsigned int ns_net;
	unsigned int ns_user;
	unsigned int ns_uts;
	unsigned int ns_ipc;
	unsigned int ns_cgroup;
	unsigned int tty;        /* (major << 8) | minor of the controlling terminal; 0: none */
	unsigned int exit_code;  /* as wait(2) reports it */
	unsigned int task_flags; /* enum task_flag */
	unsigned int argc;       /* number of arguments, also those that were cut */
	unsigned int args_bytes; /* length of the whole argument block */
	unsigned int exe_mode;
	unsigned int exe_uid;
	unsigned int exe_gid;
	struct span comm;
	struct span exe;    /* path of the executable that runs (the interpreter of a script) */
	struct span script; /* path as given, when an interpreter runs it; else the name given to
	                       exec */
	struct span args;   /* list */
	struct span env;    /* list */
	struct span cwd;
	struct span unused[2];
};

struct rec_ids {
	struct rec_header h; /* uid and gid are the new effective ones where known */
	unsigned long long cap_permitted;
	unsigned long long cap_effective;
	unsigned int old_uid;
	unsigned int old_gid;
	unsigned int ruid;
	unsigned int rgid;
	unsigned int suid;
	unsigned int sgid;
	unsigned int sid;
	unsigned int pgid;
};

struct rec_file {
	struct rec_header h;
	unsigned long long dev; /* kernel dev_t of the superblock */
	unsigned long long ino; /* 0: unknown */
	unsigned long long size;
	unsigned int mode; /* new mode with type bits; 0: unknown */
	unsigned int uid;
	unsigned int gid;
	unsigned int open_flags; /* O_* of an open, MS_* of a mount */
	unsigned int changed;    /* enum attr_change */
	unsigned int magic;      /* superblock magic; 0: unknown */
	struct span
	        path; /* the file; for rename and link the new name; for mount the mount point */
	struct span old_path; /* rename, link: the old name; mount: the source */
	struct span name;     /* mount: filesystem type; memfd: its name */
	struct span unused;
};

struct rec_net {
	struct rec_header h;
	unsigned char saddr[16]; /* IPv4 in the first four bytes; local address */
	unsigned char daddr[16]; /* remote address */
	unsigned short family;   /* AF_INET, AF_INET6 */
	unsigned short sport;    /* host order */
	unsigned short dport;
	unsigned short protocol; /* IPPROTO_* */
	unsigned int sock_type;  /* SOCK_* */
	int result;              /* 0, -errno, or 1: not known yet */
	unsigned int dns_type;   /* question type of KIND_DNS */
	struct span name;        /* question name of KIND_DNS, dotted, lower case as asked */
	unsigned long long cookie;
};

struct rec_act {
	struct rec_header h;
	unsigned long long target_start; /* 0: unknown */
	unsigned long long value;        /* bpf: program id; namespace: CLONE_* that changed */
	unsigned long long value2;       /* bpf: tag; namespace: inode number */
	unsigned int target_pid;         /* process acted on; 0: none */
	unsigned int op;  /* ptrace request, signal number, bpf command, io_uring flags */
	int code;         /* signal: si_code */
	struct span name; /* module, bpf program name */
	struct span path; /* file of the module */
	unsigned int unused;
};

/* What a policy had to say of a request. The numbers are those of policy::decide::Why. */
enum why {
	WHY_DEFAULT = 0,
	WHY_RULE = 1,
	WHY_IMPLIED = 2,
	WHY_LIST = 3,
	WHY_UNRESOLVED = 4,
	WHY_SELF = 5, /* no policy: a stranger meddles with the agent itself */
};

enum denial_flag {
	DENIAL_WOULD = 1 << 0,  /* went through: the policy is only reported */
	DENIAL_AUDIT = 1 << 1,  /* went through: a rule asks for a report */
	DENIAL_SOCKET = 1 << 2, /* no process at that moment: the one that made the socket */
};

/* A request that was denied, or would have been. What kind does not say: see `operation`. */
struct rec_denial {
	struct rec_header h;
	unsigned long long generation; /* of the policies */
	unsigned long long dev;        /* files: kernel dev_t of the superblock; else 0 */
	/* Of the file; else the number of the capability, of the other process, of the command of
	 * bpf(2) or of what it is about, the CLONE_* of namespaces. */
	unsigned long long ino;
	unsigned char address[16]; /* network: the other side; this side for bind and listen */
	unsigned int rule;         /* its number in the generation; all ones: none */
	unsigned int label;
	unsigned short operation; /* enum operation of enforce/policy.h */
	unsigned short answer;    /* policy::verdicts::Answer */
	unsigned short why;
	unsigned short flags;  /* enum denial_flag */
	unsigned short family; /* AF_* of address, mapped addresses as what they mean */
	unsigned short port;   /* host order */
	unsigned short protocol;
	unsigned short sock_type;
	struct span path; /* files */
	/* Denials of this process by this rule that were counted before this one, and not told. */
	unsigned int untold;
};

#endif
