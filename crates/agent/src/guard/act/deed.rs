//! What can be done, and undone: all that an action is, and nothing of whether it may be.
//!
//! A new kind of action is one more variant here: it says how it is done, and, if it can be undone, how.
//! What is kept of it on the disk is the variant itself, so it holds all that undoing it needs.

use std::io;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::process::{self, Gone, Held};
use super::protected::Protected;
use crate::proto::Verb;

/// A process, as it can be found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, ns since boot.
    pub(crate) start: u64,
    /// The boot that both are of.
    pub(crate) boot: String,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub(crate) enum Deed {
    /// A process ends.
    Kill(Process),
    /// A process and all that came from it end.
    KillTree(Process),
    /// A process stops where it is.
    Stop(Process),
    /// A stopped process goes on.
    Continue(Process),
}

impl Deed {
    /// What a rule asks for.
    pub(super) fn new(verb: Verb, process: Process) -> Deed {
        match verb {
            Verb::Kill => Deed::Kill(process),
            Verb::KillTree => Deed::KillTree(process),
            Verb::Stop => Deed::Stop(process),
            Verb::Continue => Deed::Continue(process),
        }
    }

    /// Whether it can be undone.
    pub(crate) fn is_reversible(&self) -> bool {
        match self {
            Deed::Stop(_) => true,
            // Who was stopped by somebody else is not ours to stop again.
            Deed::Kill(_) | Deed::KillTree(_) | Deed::Continue(_) => false,
        }
    }

    /// What it was done to, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Deed::Kill(one) => format!("kill process {}", one.pid),
            Deed::KillTree(one) => format!("kill process {} and all that came from it", one.pid),
            Deed::Stop(one) => format!("stop process {}", one.pid),
            Deed::Continue(one) => format!("continue process {}", one.pid),
        }
    }

    /// Does it to a process that is held; what is to be known of it beside that it was done.
    pub(super) fn act(&self, held: &Held, protected: &Protected, worker: u32) -> io::Result<Json> {
        match self {
            Deed::Kill(_) => held.signal(Signal::KILL).map(|()| json!({})),
            Deed::KillTree(_) => kill_tree(held, protected, worker),
            Deed::Stop(_) => held.signal(Signal::STOP).map(|()| json!({})),
            Deed::Continue(_) => held.signal(Signal::CONT).map(|()| json!({})),
        }
    }

    /// Undoes it; what is to be known of that.
    pub(super) fn undo(&self) -> Result<Json, String> {
        match self {
            Deed::Stop(process) => match process.hold() {
                Ok(held) => held
                    .signal(Signal::CONT)
                    .map(|()| json!({}))
                    .map_err(|error| format!("the process does not go on: {error}")),
                // Nobody is stopped any more, which is what was asked for.
                Err(gone) => Ok(json!({ "process": gone.to_string() })),
            },
            Deed::Kill(_) | Deed::KillTree(_) | Deed::Continue(_) => {
                Err(format!("{} cannot be undone", self.describe()))
            }
        }
    }

    /// What can be seen of it when nobody knows whether it was done: the agent ended meanwhile.
    pub(super) fn seen(process: &Process) -> String {
        match process.hold() {
            Err(gone) => gone.to_string(),
            Ok(held) if held.is_stopped() => "it is stopped".to_owned(),
            Ok(_) => "it runs".to_owned(),
        }
    }
}

impl Process {
    /// Holds it, if it is still there.
    pub(super) fn hold(&self) -> Result<Held, Gone> {
        if self.boot != process::boot() {
            return Err(Gone::Boot);
        }
        Held::of(self.pid, self.start)
    }
}

/// Ends a process and all that came from it, but for what is spared.
///
/// All are stopped before the first is ended, and children are ended before their parents: whoever goes
/// on after a crash finds those that are left below the root.
pub(super) fn kill_tree(held: &Held, protected: &Protected, worker: u32) -> io::Result<Json> {
    held.signal(Signal::STOP)?;
    // Who cannot be held any more needs no mercy.
    let spared = |pid| Held::any(pid).is_some_and(|one| protected.spares(&one, worker).is_some());
    let (all, whole) = process::descendants(held, spared);
    for one in all.iter().rev() {
        if let Err(error) = one.signal(Signal::KILL) {
            tracing::debug!(pid = one.pid, %error, "it ended by itself");
        }
    }
    held.signal(Signal::KILL)?;
    let pids: Vec<u32> = all.iter().map(|one| one.pid).take(process::NAMED_MAX).collect();
    Ok(json!({ "processes": all.len() + 1, "descendants": pids, "whole": whole }))
}
