//! The keys: each is an option of `aegisbpf run` by another name.

use std::any::TypeId;
use std::fmt;
use std::sync::OnceLock;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Args, Command};

use crate::cli::RunArgs;

/// A key of the configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its table.
    pub(crate) section: &'static str,
    /// Its name there.
    pub(crate) name: &'static str,
    /// The option of `run` that it stands for.
    pub(crate) option: &'static str,
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Switch,
    /// A number, 0 or above.
    Number,
    /// One of these words.
    Choice(Vec<String>),
    /// A text.
    Text,
    /// Several texts, or one.
    List,
}

const fn key(section: &'static str, name: &'static str, option: &'static str) -> Key {
    Key { section, name, option }
}

/// All keys, by tables. Where the control socket and the state are is no key: other commands must find
/// them too.
const KEYS: &[Key] = &[
    key("rules", "directories", "rules"),
    key("rules", "packs", "packs"),
    key("rules", "keys", "keys"),
    key("rules", "trust", "trust"),
    key("rules", "suppressions", "suppressions"),
    key("rules", "strict", "strict"),
    key("rules", "keep_going", "keep-going"),
    key("rules", "no_watch", "no-watch"),
    key("rules", "trial", "rules-trial"),
    key("policy", "files", "policy"),
    key("policy", "enforce", "enforce"),
    key("policy", "accept_degraded", "accept-degraded"),
    key("policy", "cgroup", "cgroup"),
    key("policy", "on_exit", "on-exit"),
    key("policy", "self_protect", "self-protect"),
    key("actions", "protect", "protect"),
    key("actions", "max", "max-actions"),
    key("actions", "max_rule", "max-rule-actions"),
    key("actions", "breaker", "breaker"),
    key("actions", "ttl", "action-ttl"),
    key("actions", "audit_full", "audit-full"),
    key("actions", "isolate_allow", "isolate-allow"),
    key("actions", "webhook", "webhook"),
    key("actions", "capture_before", "capture-before"),
    key("actions", "capture_after", "capture-after"),
    key("output", "format", "output"),
    key("output", "events", "events"),
    key("output", "no_alerts", "no-alerts"),
    key("output", "max_alerts", "max-alerts"),
    key("output", "redact", "redact"),
    key("agent", "user", "user"),
    key("agent", "group", "group"),
    key("agent", "seccomp", "seccomp"),
    key("outputs", "to", "forward"),
    key("outputs", "spool", "spool"),
    key("state", "audit_key", "audit-key"),
    key("state", "audit_size", "audit-size"),
    key("state", "history", "history"),
];

/// Tables whose keys are the worker's alone.
const LIVE_SECTIONS: &[&str] = &["rules", "output"];

/// Options of `run` that are no keys.
#[cfg(test)]
pub(super) const NO_KEYS: &[&str] = &[
    // It says which files count.
    "config",
    // It is what happens without `enforce`.
    "audit",
    "runtime-dir",
    "state-dir",
];

/// All keys.
pub(crate) fn keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter()
}

/// `run` and its options.
fn run() -> &'static Command {
    static RUN: OnceLock<Command> = OnceLock::new();
    RUN.get_or_init(|| RunArgs::augment_args(Command::new("run")))
}

impl Key {
    /// The key of this name in this table.
    pub(crate) fn named(section: &str, name: &str) -> Option<&'static Key> {
        keys().find(|key| key.section == section && key.name == name)
    }

    /// Its option.
    fn arg(&self) -> Option<&'static Arg> {
        run().get_arguments().find(|arg| arg.get_long() == Some(self.option))
    }

    /// Whether it can change while the agent runs: it is about what only the worker does, and another one
    /// can take its place.
    pub(crate) fn is_live(&self) -> bool {
        LIVE_SECTIONS.contains(&self.section) || (self.section, self.name) == ("state", "history")
    }

    /// What clap calls its option.
    pub(super) fn id(&self) -> String {
        self.arg().map_or_else(String::new, |arg| arg.get_id().to_string())
    }

    /// What it holds.
    pub(crate) fn kind(&self) -> Kind {
        let Some(arg) = self.arg() else { return Kind::Text };
        let choices: Vec<String> =
            arg.get_possible_values().iter().map(|one| one.get_name().to_owned()).collect();
        match arg.get_action() {
            ArgAction::SetTrue => Kind::Switch,
            ArgAction::Append => Kind::List,
            _ if !choices.is_empty() => Kind::Choice(choices),
            _ if is_number(arg.get_value_parser()) => Kind::Number,
            _ => Kind::Text,
        }
    }

    /// What holds if nobody says anything.
    pub(crate) fn default(&self) -> Vec<String> {
        if self.kind() == Kind::Switch {
            return vec!["false".to_owned()];
        }
        let values = self.arg().map(Arg::get_default_values).unwrap_or_default();
        values.iter().map(|one| one.to_string_lossy().into_owned()).collect()
    }

    /// What it is for.
    pub(crate) fn doc(&self) -> String {
        let help = self.arg().and_then(|arg| arg.get_long_help().or(arg.get_help()));
        help.map(ToString::to_string).unwrap_or_default()
    }

    /// The variable of the environment that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("AEGISBPF_{}__{}", self.section, self.name).to_uppercase()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.section, self.name)
    }
}

fn is_number(parser: &ValueParser) -> bool {
    [TypeId::of::<u64>(), TypeId::of::<u32>(), TypeId::of::<usize>()]
        .into_iter()
        .any(|one| parser.type_id() == one)
}
