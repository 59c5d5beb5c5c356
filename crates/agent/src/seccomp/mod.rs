//! What the kernel lets a process of the agent do: filters of system calls (seccomp), one a kind of process
//! and thread.
//!
//! | module | holds |
//! |---|---|
//! | [`network`] | what the worker never has, switched on or not: a way to the network |
//! | `kinds` | processes and threads that have a list of their own |
//! | `table` | all system calls that are let through, by purpose |
//! | `only` | with which arguments |
//!
//! `run --seccomp` switches the lists on. They hold each other: the guard's holds for all that it starts, so
//! it has whatever any process of the agent needs; the worker's holds for its threads, of which each
//! narrows it when it begins. What is refused fails with EPERM, and the kernel's audit log tells of it. It
//! kills nobody: a call that a newer library makes must not be the end of the agent, and whoever could
//! make the agent call something must not be able to end it so. Only `clone3` fails with ENOSYS, since
//! libraries then take `clone`, whose flags a filter can see.

mod kinds;
mod network;
mod only;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use kinds::Kind;
pub(crate) use network::no_network;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::confine::{Whom, confine};
use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule};
use serde_json::{Value as Json, json};

use crate::exit::{Exit, Failure};

/// Whether this process is under its list.
static ON: AtomicBool = AtomicBool::new(false);

/// Puts this process under the list of its kind, whatever threads it has.
pub(crate) fn process(kind: Kind) -> Result<(), Failure> {
    let held = allowed(kind).and_then(|filter| put(&filter, Whom::Process));
    // Whoever it started it from has seen to the rest.
    let held = match kind {
        Kind::Guard => held.and_then(|()| put(&without_clone3()?, Whom::ProcessInSilence)),
        _ => held,
    };
    held.map_err(|error| unable(kind, &error))?;
    ON.store(true, Ordering::Relaxed);
    Ok(())
}

/// Puts the calling thread under the list of its kind, if its process is under one.
pub(crate) fn thread(kind: Kind) {
    if !ON.load(Ordering::Relaxed) {
        return;
    }
    if let Err(error) = allowed(kind).and_then(|filter| put(&filter, Whom::Thread)) {
        // The list of the process holds all the same.
        tracing::error!(%error, thread = kind.name(), "a thread has no list of its own");
    }
}

/// A process that is about to be started will be under the list of its kind, if this one is under one.
/// Said before its other arguments.
pub(crate) fn child(command: &mut Command, kind: Kind) -> &mut Command {
    if ON.load(Ordering::Relaxed) {
        command.args(["--confine", kind.name()]);
    }
    command
}

/// All lists: what each kind of process and thread may call beside what it starts may, and what for.
pub(crate) fn lists() -> Json {
    let of = |kind: &Kind| {
        let own = table::GROUPS.iter().filter(|group| group.kinds.contains(kind));
        let names = |calls: &[table::Call]| calls.iter().map(|one| one.name).collect::<Vec<_>>();
        let groups = own.map(|group| {
            json!({ "purpose": group.purpose, "calls": names(group.calls), "spare": names(group.spare) })
        });
        (format!("{kind:?}").to_lowercase(), groups.collect::<Vec<_>>().into())
    };
    Json::Object(Kind::ALL.iter().map(of).collect())
}

fn unable(kind: Kind, error: &Unable) -> Failure {
    let message = format!("cannot confine `{}`: {error}", kind.name());
    Failure::new(Exit::Internal, message).help(
        "it needs a kernel with CONFIG_SECCOMP_FILTER, and a service manager that lets it call \
         seccomp(2); without `--seccomp` the agent runs unconfined",
    )
}

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unable {
    /// It cannot be made.
    #[error(transparent)]
    Filter(#[from] seccompiler::BackendError),
    /// The kernel does not take it.
    #[error(transparent)]
    Kernel(#[from] std::io::Error),
}

/// Lets pass what the table has for this kind.
fn allowed(kind: Kind) -> Result<BpfProgram, Unable> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let calls = table::groups(kind).flat_map(|group| group.calls.iter().chain(group.spare));
    for call in calls {
        let alternatives = match call.only {
            Some(only) => only()?,
            None => Vec::new(),
        };
        match rules.entry(call.number) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(alternatives);
            }
            // Without conditions it passes anyway.
            std::collections::btree_map::Entry::Occupied(mut place) => {
                if alternatives.is_empty() || place.get().is_empty() {
                    place.get_mut().clear();
                } else {
                    place.get_mut().extend(alternatives);
                }
            }
        }
    }
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    program(rules, refuse, SeccompAction::Allow)
}

/// What `clone3` is asked for stands where no filter can look: libraries take `clone` where it is missing.
fn without_clone3() -> Result<BpfProgram, Unable> {
    let rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    program(rules, SeccompAction::Allow, missing)
}

/// A filter: what the rules name has the second outcome, all else the first.
fn program(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    other: SeccompAction,
    named: SeccompAction,
) -> Result<BpfProgram, Unable> {
    let arch = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, other, named, arch)?.try_into()?)
}

/// Puts a filter in force.
fn put(program: &BpfProgram, whom: Whom) -> Result<(), Unable> {
    let code: Vec<_> = program.iter().map(|one| (one.code, one.jt, one.jf, one.k)).collect();
    Ok(confine(&code, whom)?)
}
