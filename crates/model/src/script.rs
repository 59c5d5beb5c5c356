//! Scripts: small programs of strangers, whose functions rules ask about an event by name.
//!
//! A program carries them as bytes ([`Script`]); the runtime that runs them is behind [`Scripts`], so
//! that neither the engine nor the language knows a sandbox. Whatever a script does, an answer comes
//! back: what breaks its terms is answered as "does not hold", and is told as an [`Incident`].

use std::fmt::Debug;
use std::sync::Arc;

use crate::capability::Capabilities;
use crate::field::FieldId;
use crate::program::Severity;
use crate::value::{Fields, Node, Value};

/// How a script is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A WebAssembly module (binary form).
    Wasm,
    /// Luau source.
    Lua,
}

impl Kind {
    /// The kind of a file by its ending.
    pub fn of_file(name: &str) -> Option<Kind> {
        match name.rsplit_once('.')?.1 {
            "wasm" => Some(Kind::Wasm),
            "luau" => Some(Kind::Lua),
            _ => None,
        }
    }

    /// The word used in manifests and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Wasm => "wasm",
            Kind::Lua => "lua",
        }
    }
}

/// One script of a program.
#[derive(Debug, Clone)]
pub struct Script {
    /// The word before the dot in a query (`packed` of `packed.is_upx(process.executable)`).
    pub name: String,
    /// How it is written.
    pub kind: Kind,
    /// The file that holds it, as its rule file names it.
    pub file: String,
    /// What that file holds; empty until whoever reads files has put it there.
    pub code: Arc<[u8]>,
    /// Fields that it may read, in the order of its handles.
    pub fields: Vec<FieldId>,
    /// Names and texts of regular expressions, in the order of their handles.
    pub regexes: Vec<(String, String)>,
    /// Names and texts of wildcard patterns, in the order of their handles.
    pub globs: Vec<(String, String)>,
    /// What it asks for; what it may do is `may`.
    pub asks: Capabilities,
    /// What it may do, checked again whenever it does something.
    pub may: Capabilities,
    /// What it may use.
    pub budget: Budget,
    /// Functions that rules ask, by number.
    pub functions: Vec<String>,
}

impl Script {
    /// A script without code that reads nothing and asks for nothing; it may raise alerts.
    pub fn new(name: impl Into<String>, kind: Kind, file: impl Into<String>) -> Script {
        Script {
            name: name.into(),
            kind,
            file: file.into(),
            code: Arc::from([]),
            fields: Vec::new(),
            regexes: Vec::new(),
            globs: Vec::new(),
            asks: Capabilities::ALERT,
            may: Capabilities::ALERT,
            budget: Budget::TRUSTED,
            functions: Vec::new(),
        }
    }
}

/// What one script may use. Whatever goes beyond is an [`Incident`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Work of one call: units of fuel of a Wasm module, interrupts of a Lua script.
    pub work: u64,
    /// Memory of one script, bytes.
    pub memory: usize,
    /// Entries of its state.
    pub entries: usize,
    /// Bytes of keys and values of its state.
    pub bytes: usize,
    /// Alerts with texts of its own in a minute of event time.
    pub alerts: u32,
    /// Incidents after which it is asked no more.
    pub violations: u32,
}

impl Budget {
    /// For scripts that somebody trusted has vouched for, or that whoever runs them chose himself.
    pub const TRUSTED: Budget = Budget {
        // About a millisecond of Wasm (a unit is about a nanosecond): so long may an event wait for one
        // answer, and a thousand scripts do not stop the event thread for longer than its rings hold
        // events.
        work: 1_000_000,
        // A module that brings the runtime of a language along fits. It is a bound: scripts that do
        // little use little of it.
        memory: 4 << 20,
        entries: 4_096,
        bytes: 1 << 20,
        // One a second: more is no longer read.
        alerts: 60,
        // A fault may be an accident, the fifth is a habit.
        violations: 5,
    };
}

/// A question to a script.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Number of the script in [`crate::program::Program::scripts`].
    pub script: u32,
    /// Number of the function in [`Script::functions`].
    pub function: u32,
    /// What the rule gives it.
    pub args: &'a [Value<'a>],
    /// The event. Only fields of [`Script::fields`] are shown to the script.
    pub event: &'a dyn Fields,
    /// Number of the event.
    pub number: u64,
    /// When it happened, ns since the Unix epoch.
    pub time: i64,
}

impl Debug for Ask<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Ask")
            .field("script", &self.script)
            .field("function", &self.function)
            .field("args", &self.args)
            .field("number", &self.number)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// What a script said about an event beside its answer: bounded, escaped by whoever shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// Texts that it emitted.
    pub alerts: Vec<Emitted>,
    /// Actions that it asked for, and whether it may: one that it may not is refused and told.
    pub requests: Vec<Request>,
}

/// A typed alert of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// What it says, for people.
    pub message: String,
    /// How bad it is, if the script knows better than its rule.
    pub severity: Option<Severity>,
    /// Names and values that belong to it: booleans, numbers, texts.
    pub fields: Vec<(String, Node)>,
}

/// An action that a script asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `deny`, `kill`, `quarantine`.
    pub action: String,
    /// Whether [`Script::may`] permits it.
    pub granted: bool,
}

/// A script broke its terms, or asked for what it may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Number of the script.
    pub script: u32,
    /// Number of the event.
    pub number: u64,
    /// When that happened, ns since the Unix epoch.
    pub time: i64,
    /// What it did, as a stable word: `trap`, `budget`, `memory`, `stack`, `nonsense`, `handle`,
    /// `flood`, `state`, `refused` …
    pub cause: &'static str,
    /// The same for people.
    pub detail: String,
    /// Whether it is asked no more from here on.
    pub quarantined: bool,
}

/// How a script fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Calls so far.
    pub calls: u64,
    /// Units of work so far.
    pub work: u64,
    /// Incidents since it was loaded or released.
    pub violations: u32,
    /// Why it is asked no more; none if it is.
    pub quarantined: Option<String>,
    /// Entries of its state.
    pub entries: usize,
    /// Bytes of its state.
    pub bytes: usize,
}

/// The runtime of all scripts of a program, in the order of the program.
pub trait Scripts: Debug + Send {
    /// Whether the function says yes. One that breaks its terms, or is in quarantine, says no.
    fn holds(&mut self, ask: &Ask<'_>) -> bool;

    /// Takes what a script said since this was last asked; none if it said nothing.
    fn said(&mut self, script: u32) -> Option<Said>;

    /// Takes the incidents since this was last asked. Bounded; what did not fit is counted in the
    /// standing.
    fn incidents(&mut self) -> Vec<Incident>;

    /// How a script fares.
    fn standing(&self, script: u32) -> Standing;

    /// Asks a script again that was in quarantine; false if it was not.
    fn release(&mut self, script: u32) -> bool;

    /// Takes over what unchanged scripts remembered in `old`, which is dropped.
    fn inherit(&mut self, old: Box<dyn Scripts>);

    /// For [`Scripts::inherit`]: the runtime itself.
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any>;
}
