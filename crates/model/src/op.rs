//! Operations that sensors report, and sets of them.

use crate::wire;

macro_rules! kinds {
    ($($variant:ident = $wire:ident, $name:literal, $doc:literal;)*) => {
        /// What happened; one row of `aegisbpf doctor`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[expect(clippy::cast_possible_truncation, reason = "wire numbers are below KIND_MAX = 64")]
        pub enum Kind {
            $(#[doc = $doc] $variant = wire::$wire as u8,)*
        }

        impl Kind {
            /// All kinds, in the order in which they are shown.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant),*];

            /// The kind with that number on the wire.
            pub fn from_wire(number: u16) -> Option<Kind> {
                match u32::from(number) {
                    $(wire::$wire => Some(Kind::$variant),)*
                    _ => None,
                }
            }

            /// Short name, as `doctor` and the documentation use it.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name),* }
            }

            /// What the operation is, for people.
            pub fn doc(self) -> &'static str {
                match self { $(Kind::$variant => $doc),* }
            }
        }
    };
}

kinds! {
    Exec = KIND_EXEC, "exec", "a program is executed";
    Fork = KIND_FORK, "fork", "a process is created";
    Exit = KIND_EXIT, "exit", "a process ends";
    Task = KIND_TASK, "task", "a process that was there before the agent";
    Setuid = KIND_SETUID, "setuid", "user ids change";
    Setgid = KIND_SETGID, "setgid", "group ids change";
    Setsid = KIND_SETSID, "setsid", "a session is created";
    Capset = KIND_CAPSET, "capset", "capabilities are changed by capset(2)";
    Open = KIND_OPEN, "open", "a watched file is opened";
    Create = KIND_CREATE, "create", "a file or directory is created";
    Write = KIND_WRITE, "write", "a watched file is written";
    Rename = KIND_RENAME, "rename", "a file is renamed";
    Unlink = KIND_UNLINK, "unlink", "a file is deleted";
    Link = KIND_LINK, "link", "a hard link is made";
    Attr = KIND_ATTR, "attributes", "mode (chmod), owner (chown), times or extended attributes change";
    Mount = KIND_MOUNT, "mount", "a filesystem is mounted";
    Umount = KIND_UMOUNT, "umount", "a filesystem is unmounted";
    Memfd = KIND_MEMFD, "memfd", "an anonymous memory file is created";
    Connect = KIND_CONNECT, "connect", "an outgoing connection is attempted";
    Accept = KIND_ACCEPT, "accept", "an incoming connection is accepted";
    Bind = KIND_BIND, "bind", "a socket is bound to an address";
    Listen = KIND_LISTEN, "listen", "a socket starts to listen";
    Send = KIND_SEND, "send", "a datagram is sent without connect";
    Close = KIND_CLOSE, "close", "a connection ends";
    Dns = KIND_DNS, "dns", "a name is looked up";
    Ptrace = KIND_PTRACE, "ptrace", "a process is traced";
    Signal = KIND_SIGNAL, "signal", "a process signals another";
    Module = KIND_MODULE, "module", "a kernel module is loaded";
    Bpf = KIND_BPF, "bpf", "a BPF program is loaded";
    Namespace = KIND_NAMESPACE, "namespace", "a process changes namespaces";
    IoUring = KIND_IO_URING, "io_uring", "an io_uring instance is created";
}

/// A set of kinds; bit number = wire number.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct KindSet(pub u64);

impl KindSet {
    /// No kind.
    pub const EMPTY: KindSet = KindSet(0);

    /// The set with one more kind.
    #[must_use]
    pub const fn with(self, kind: Kind) -> KindSet {
        KindSet(self.0 | 1 << kind as u8)
    }

    /// Whether the kind is in the set.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Kinds of either set.
    #[must_use]
    pub const fn union(self, other: KindSet) -> KindSet {
        KindSet(self.0 | other.0)
    }

    /// Kinds of both sets.
    #[must_use]
    pub const fn intersection(self, other: KindSet) -> KindSet {
        KindSet(self.0 & other.0)
    }

    /// Whether there is no kind.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds, in order.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<Kind> for KindSet {
    fn from_iter<T: IntoIterator<Item = Kind>>(kinds: T) -> Self {
        kinds.into_iter().fold(KindSet::EMPTY, KindSet::with)
    }
}

impl std::fmt::Debug for KindSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(Kind::name)).finish()
    }
}
