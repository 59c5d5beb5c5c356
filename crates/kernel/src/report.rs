//! What this kernel offers, as `doctor` prints it.

use model::op::Kind;
use model::wire;

/// How much of the promise this kernel can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// BPF LSM programs load and attach.
    Lsm,
    /// They do not, but fanotify and cgroup programs could deny.
    Fallback,
    /// Operations can only be reported.
    Observe,
}

impl Tier {
    /// Name for people and documents.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Lsm => "lsm",
            Tier::Fallback => "fallback",
            Tier::Observe => "observe",
        }
    }
}

/// What can be done about an operation here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It can be denied.
    Enforced,
    /// It is reported.
    Observed,
    /// It is not seen.
    Absent,
}

impl State {
    /// Name for people and documents.
    pub fn name(self) -> &'static str {
        match self {
            State::Enforced => "enforced",
            State::Observed => "observed",
            State::Absent => "absent",
        }
    }
}

macro_rules! providers {
    ($($variant:ident = $wire:ident, $name:literal;)*) => {
        /// Where records come from; the numbers are those of the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(clippy::cast_possible_truncation, reason = "wire numbers of providers are small")]
        #[expect(missing_docs, reason = "documented in wire.h")]
        pub enum Provider {
            $($variant = wire::$wire as u8,)*
        }

        impl Provider {
            /// The provider with that number on the wire.
            pub fn from_wire(number: u32) -> Option<Provider> {
                match number {
                    $(wire::$wire => Some(Provider::$variant),)*
                    _ => None,
                }
            }

            /// Name for people and documents.
            pub fn name(self) -> &'static str {
                match self { $(Provider::$variant => $name),* }
            }
        }
    };
}

providers! {
    Lsm = PROVIDER_LSM, "lsm";
    Fentry = PROVIDER_FENTRY, "fentry";
    Tracepoint = PROVIDER_TRACEPOINT, "tracepoint";
    Cgroup = PROVIDER_CGROUP, "cgroup";
    Fanotify = PROVIDER_FANOTIFY, "fanotify";
    Connector = PROVIDER_CONNECTOR, "connector";
    Perf = PROVIDER_PERF, "perf";
    Iter = PROVIDER_ITER, "iter";
    Syscall = PROVIDER_SYSCALL, "syscall";
    Proc = PROVIDER_PROC, "proc";
}

/// One operation and how it is seen.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The operation.
    pub kind: Kind,
    /// What can be done about it.
    pub state: State,
    /// Who reports it; none when it is absent.
    pub provider: Option<Provider>,
    /// The hook or the source, as the kernel names it.
    pub hook: String,
    /// Whether it is attached now (only what rules need is).
    pub attached: bool,
    /// What is lost in this way, or why the operation is absent; empty when nothing is lost.
    pub note: String,
    /// What would improve it; empty when it is the best there is.
    pub improve: String,
}

/// What this kernel offers.
#[derive(Debug, Clone)]
pub struct Report {
    /// The tier.
    pub tier: Tier,
    /// Release of the running kernel.
    pub kernel: String,
    /// Whether the kernel describes its types.
    pub btf: bool,
    /// All operations in the order of [`Kind::ALL`].
    pub operations: Vec<Operation>,
}
