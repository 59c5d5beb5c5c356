//! Names of numbers that the kernel's interfaces fix: capabilities, signals, protocols and so on.
//! A number without a name here is shown as absent or as the number, never guessed.

use crate::wire;

/// Capability names by bit number, as in `linux/capability.h`.
pub const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

const SIGNALS: &[&str] = &[
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Namespaces by their `CLONE_NEW*` flag, in the order of `process.Ext.namespace.changed`.
pub const NAMESPACES: &[(u64, &str)] = &[
    (0x0002_0000, "mnt"),
    (0x2000_0000, "pid"),
    (0x4000_0000, "net"),
    (0x1000_0000, "user"),
    (0x0400_0000, "uts"),
    (0x0800_0000, "ipc"),
    (0x0200_0000, "cgroup"),
];

/// Words of `file.Ext.changed` by `enum attr_change`.
pub const ATTRIBUTES: &[(u64, &str)] = &[
    (wire::ATTR_MODE as u64, "mode"),
    (wire::ATTR_OWNER as u64, "owner"),
    (wire::ATTR_TIMES as u64, "times"),
    (wire::ATTR_XATTR as u64, "xattr"),
    (wire::ATTR_SIZE as u64, "size"),
];

/// Names of the capabilities in a mask.
pub fn capabilities(mask: u64) -> impl Iterator<Item = &'static str> {
    let named = CAPABILITIES.iter().enumerate();
    named.filter(move |(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| *name)
}

/// Name of a capability by its number.
pub fn capability(number: u8) -> Option<&'static str> {
    CAPABILITIES.get(usize::from(number)).copied()
}

/// Number of a capability by its name, in any case and with or without `CAP_`.
pub fn capability_number(name: &str) -> Option<u8> {
    let bare = |text: &str| text.get(4..).unwrap_or_default().to_owned();
    let wanted = name.to_ascii_uppercase();
    let wanted = wanted.strip_prefix("CAP_").unwrap_or(&wanted);
    let at = CAPABILITIES.iter().position(|one| bare(one) == wanted)?;
    u8::try_from(at).ok()
}

/// Name of a signal without `SIG`; real-time signals have none.
pub fn signal(number: u32) -> Option<&'static str> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    SIGNALS.get(index).copied()
}

/// Word of `event.provider` for an `enum provider`.
pub fn provider(number: u16) -> Option<&'static str> {
    Some(match u32::from(number) {
        wire::PROVIDER_LSM => "lsm",
        wire::PROVIDER_FENTRY => "fentry",
        wire::PROVIDER_TRACEPOINT => "tracepoint",
        wire::PROVIDER_CGROUP => "cgroup",
        wire::PROVIDER_FANOTIFY => "fanotify",
        wire::PROVIDER_CONNECTOR => "connector",
        wire::PROVIDER_PERF => "perf",
        wire::PROVIDER_ITER => "iter",
        wire::PROVIDER_SYSCALL => "syscall",
        wire::PROVIDER_KPROBE => "kprobe",
        wire::PROVIDER_PROC => "proc",
        wire::PROVIDER_TEST => "test",
        _ => return None,
    })
}

/// Word of `network.transport` for an `IPPROTO_*`.
pub fn transport(protocol: u16) -> Option<&'static str> {
    Some(match protocol {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        58 => "ipv6-icmp",
        132 => "sctp",
        136 => "udplite",
        _ => return None,
    })
}

/// Word of `dns.question.type` for a question type.
pub fn dns_type(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        43 => "DS",
        48 => "DNSKEY",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        _ => return None,
    })
}

/// Word of `file.type` for the type bits of a mode.
pub fn file_type(mode: u32) -> Option<&'static str> {
    Some(match mode & 0o170_000 {
        0o100_000 => "file",
        0o040_000 => "dir",
        0o120_000 => "symlink",
        0o020_000 | 0o060_000 => "device",
        0o010_000 => "fifo",
        0o140_000 => "socket",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel_headers() {
        let caps: Vec<_> = capabilities(1 << 21 | 1 << 0 | 1 << 39 | 1 << 63).collect();
        assert_eq!(caps, ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_BPF"], "bit 63 has no name");
        assert_eq!([signal(9), signal(15), signal(31)], [Some("KILL"), Some("TERM"), Some("SYS")]);
        assert_eq!([signal(0), signal(34)], [None, None]);
        assert_eq!(file_type(0o104_755), Some("file"));
        assert_eq!(file_type(0o4755), None, "no type bits, no type");
        for kind in 1..=wire::PROVIDER_TEST {
            assert!(provider(u16::try_from(kind).unwrap()).is_some(), "provider {kind}");
        }
    }
}
