//! What a policy says, after its text has been read: who may do what to which things.
//!
//! `lang` makes it from YAML or TOML, `policy` compiles it to the tables that both enforcement
//! tiers decide from. Nothing here is resolved yet: names of users, units and mounts mean what they
//! mean on the host where the policy is applied.
//!
//! **Precedence.** For one request, of all rules whose subject, operation and object fit: an
//! exception that has not expired allows; else a rule that denies or kills decides; else a rule
//! that allows; else the default of the subject (allow, unless an allow-list covers it for this
//! operation). Audit rules report and decide nothing. Order in the file never matters.

use std::net::IpAddr;

use crate::program::Severity;

/// One policy document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// `metadata.name`: unique among the loaded policies.
    pub name: String,
    /// Whether its verdicts are carried out or only reported; the host's mode if absent.
    pub mode: Option<Mode>,
    /// Rules, in the order of the file.
    pub rules: Vec<Rule>,
    /// Subjects that may do only what rules allow.
    pub allow_lists: Vec<AllowList>,
}

/// Whether verdicts are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Reported as what would have been done.
    Audit,
    /// Carried out.
    Enforce,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Unique in its policy.
    pub id: String,
    /// Who asks; empty means every process.
    pub subject: Subject,
    /// What is asked for.
    pub operations: Operations,
    /// What it is asked of.
    pub objects: Vec<Object>,
    /// The answer.
    pub verdict: Verdict,
    /// How bad it is that somebody asked.
    pub severity: Severity,
    /// For the person who reads the evidence.
    pub message: Option<String>,
    /// Set on rules that outrank denials.
    pub exception: Option<Exception>,
    /// The subject must have done this before: its label changes when it does.
    pub after: Option<Trigger>,
    /// Where the rule is written.
    pub place: Place,
}

/// Default deny for a subject.
#[derive(Debug, Clone, PartialEq)]
pub struct AllowList {
    /// Names the list in evidence.
    pub id: String,
    /// Who is limited.
    pub subject: Subject,
    /// Which operations are limited; others stay as they are.
    pub operations: Operations,
    /// What a refusal returns.
    pub errno: Errno,
    /// Where it is written.
    pub place: Place,
}

/// Why a rule outranks denials, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Seconds since 1970 at which it ends.
    pub until: i64,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub author: String,
}

/// A deed that changes the label of who does it, and of its children from then on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Trigger {
    /// The deed; none if the engine arms the rule.
    pub operations: Operations,
    /// What it is done to.
    pub objects: Vec<Object>,
    /// The rule of a rule file whose first steps the engine follows: it arms the process that took
    /// them, and only that one.
    pub sequence: Option<String>,
}

/// A byte range of a file of the load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Its bytes.
    pub bytes: std::ops::Range<usize>,
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Goes through.
    Allow,
    /// Fails with this error.
    Deny(Errno),
    /// Fails with `EPERM`, and the process gets `SIGKILL`.
    Kill,
    /// Goes through and is reported.
    Audit,
}

/// Errors that a refusal may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Errno {
    /// `EPERM`, the default.
    #[default]
    Perm,
    /// `EACCES`.
    Access,
    /// `ENOENT`: as if the thing did not exist.
    NoEntry,
    /// `ECONNREFUSED`, for the network.
    Refused,
}

/// Who asks. Every list that is not empty must hold the process; within a list one is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Path patterns of the executable.
    pub executables: Vec<String>,
    /// SHA-256 of the executable.
    pub hashes: Vec<[u8; 32]>,
    /// Path patterns of the script that an interpreter runs.
    pub scripts: Vec<String>,
    /// Users, by name or number.
    pub users: Vec<String>,
    /// Groups, by name or number.
    pub groups: Vec<String>,
    /// Subtrees of version 2 of cgroups, by path.
    pub cgroups: Vec<String>,
    /// Units and slices of systemd.
    pub units: Vec<String>,
    /// Containers.
    pub containers: Vec<Container>,
    /// Path patterns of the executable of any ancestor.
    pub ancestors: Vec<String>,
    /// Also all that such a process starts, whatever that is.
    pub descendants: bool,
    /// Only processes of a login session (true) or of none (false).
    pub login_session: Option<bool>,
}

/// Containers by what the runtime says of them; what is absent fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Container {
    /// Name, `*` and `?` allowed.
    pub name: Option<String>,
    /// Image, `*` and `?` allowed.
    pub image: Option<String>,
    /// Labels, all of which must be there.
    pub labels: Vec<(String, String)>,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Object {
    /// Whatever it is.
    Any,
    /// Files by a path pattern: `*` and `?` within a name, `**` across names, `/x/**` also `/x`.
    Path(String),
    /// Files by SHA-256 of what they hold (execution and code mapping only).
    Hash([u8; 32]),
    /// Files that a subject created since the policy is in force.
    CreatedBy(Box<Subject>),
    /// Addresses of the other side, or of this side for bind and listen.
    Peer(Peer),
    /// Addresses that the host's resolver gave for a name; `*.` at the start fits one or more labels.
    Domain {
        /// The name, in lower case.
        name: String,
        /// First and last port.
        ports: Option<(u16, u16)>,
    },
    /// Capabilities by their number.
    Capability(u8),
    /// Processes, for signals and ptrace.
    Process(Box<Subject>),
}

/// A network, its ports and protocol; what is absent fits all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Address and prefix length.
    pub network: Option<(IpAddr, u8)>,
    /// First and last port.
    pub ports: Option<(u16, u16)>,
    /// Protocol number, as `IPPROTO_TCP`.
    pub protocol: Option<u16>,
}

macro_rules! operations {
    ($($variant:ident $name:literal $doc:literal,)*) => {
        /// What is asked for. The number is the one that the kernel half uses.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Operation { $(#[doc = $doc] $variant,)* }

        impl Operation {
            /// All of them, in order of their numbers.
            pub const ALL: &[Operation] = &[$(Operation::$variant,)*];

            /// The word in policies and evidence.
            pub const fn name(self) -> &'static str {
                match self { $(Operation::$variant => $name,)* }
            }
        }
    };
}

operations! {
    Read "read" "Open for reading, and all that copies the bytes.",
    Write "write" "Open for writing, truncate.",
    Create "create" "A new file, directory, link or node of this name.",
    Delete "delete" "Unlink and rmdir.",
    Rename "rename" "To or from this name.",
    Link "link" "Another name for this file.",
    Attributes "attributes" "Mode, owner, times, extended attributes, ACL.",
    Execute "execute" "As program, interpreter or script.",
    MapCode "map-code" "Map as code, anonymous memory included.",
    Connect "connect" "Connect, and datagrams that name their peer.",
    Bind "bind" "Bind to an address.",
    Listen "listen" "Listen on an address.",
    Accept "accept" "Accept from a peer.",
    Send "send" "Send to a peer.",
    Receive "receive" "Receive from a peer.",
    RawSocket "raw-socket" "Make a raw or packet socket.",
    Capability "capability" "Use a capability.",
    Ptrace "ptrace" "Trace a process or read its memory.",
    Signal "signal" "Send a signal.",
    LoadModule "load-module" "Load a kernel module.",
    Bpf "bpf" "The bpf system call.",
    Mount "mount" "Mount, unmount, move, remount, pivot.",
    Namespace "namespace" "Make or enter a namespace.",
    IoUring "io-uring" "Make a ring.",
}

/// A set of operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Operations(pub u32);

impl Operations {
    /// The set with one more.
    #[must_use]
    pub const fn with(self, one: Operation) -> Operations {
        Operations(self.0 | 1 << one as u8)
    }

    /// Whether it is in the set.
    pub const fn has(self, one: Operation) -> bool {
        self.0 & (1 << one as u8) != 0
    }

    /// The operations of the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.iter().copied().filter(move |one| self.has(*one))
    }

    /// Whether none is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
