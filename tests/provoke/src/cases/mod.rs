//! The cases, and how one is run.

mod file;
mod kernel;
mod net;
mod process;
mod special;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use model::action;
use model::op::Kind;

use crate::agent::Operation;
use crate::expect::{Want, has, is, list, present};
use crate::host::Tally;
use crate::lab::{Done, Lab, PATIENCE};

/// How often the events are looked at.
const POLL: Duration = Duration::from_millis(20);

/// An operation and the event that it must give.
struct Case {
    name: &'static str,
    kind: Kind,
    /// Performs it.
    run: fn(&mut Lab) -> Result<Done>,
    /// What the event says, beyond what is common to all; a field named here replaces the common
    /// expectation about it.
    want: fn(&Lab, &Done) -> Vec<Want>,
}

/// A neighbouring operation that gives no event of that kind.
struct Control {
    name: &'static str,
    kind: Kind,
    run: fn(&mut Lab) -> Result<Done>,
}

/// Runs all cases of the wanted kinds.
pub(crate) fn run(lab: &mut Lab, wanted: &dyn Fn(Kind) -> bool, tally: &mut Tally) {
    for case in families().filter(|case| wanted(case.kind)) {
        let name = format!("{}/{}", case.kind.name(), case.name);
        if case.kind == Kind::Module && lab.module.is_none() {
            tally.absent(&name, "no module was given that could be loaded (--module)");
            continue;
        }
        let row = lab.doctor.operations.get(&case.kind);
        if let Some(row) = row.filter(|row| row.seen() && untold(case, row)) {
            tally.absent(&name, &format!("{} does not tell it: {}", row.hook, row.note));
            continue;
        }
        let seen = lab.doctor.operations.get(&case.kind).is_some_and(Operation::seen);
        let failures = match (case.run)(lab) {
            Err(error) => vec![format!("expected the operation to succeed, got {error:#}")],
            Ok(done) if seen => compare(lab, case, &done),
            Ok(done) => silent(lab, case.kind, &done),
        };
        let note = lab.doctor.operations.get(&case.kind).map(|row| row.note.clone());
        match note {
            _ if seen || !failures.is_empty() => tally.case(&name, &failures),
            note => tally.absent(&name, &note.unwrap_or_else(|| "not in doctor".to_owned())),
        }
    }
    let families = [process::CONTROLS, file::CONTROLS, net::CONTROLS, kernel::CONTROLS];
    for control in families.into_iter().flatten().filter(|control| wanted(control.kind)) {
        let failures = match (control.run)(lab) {
            Err(error) => vec![format!("expected the operation to succeed, got {error:#}")],
            Ok(done) => silent(lab, control.kind, &done),
        };
        tally.case(&format!("{}/not: {}", control.kind.name(), control.name), &failures);
    }
    special::run(lab, wanted, tally);
}

/// Whether doctor says that the source tells of the operation, but not of this form of it.
fn untold(case: &Case, row: &Operation) -> bool {
    match (case.kind, case.name) {
        (Kind::Attr, "times") => row.provider == "lsm" && !row.hook.contains("vfs_utimes"),
        (Kind::Attr, "chown") => row.note.contains("changes of owner"),
        (Kind::Attr, "extended attribute") => row.note.contains("extended attributes are not told"),
        (Kind::Ptrace, "trace me") => !row.hook.contains("ptrace_traceme"),
        _ => false,
    }
}

/// Waits for the event and compares it; the failures of the candidate that came closest.
fn compare(lab: &Lab, case: &Case, done: &Done) -> Vec<String> {
    let action = action::of(case.kind).action;
    let specific = (case.want)(lab, done);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let wants = merged(lab, case.kind, done, &specific);
        let failures = lab.seen(done.pid, action).into_iter().map(|event| {
            wants.iter().filter_map(|want| want.failure(&event)).collect::<Vec<String>>()
        });
        let best = failures.min_by_key(Vec::len);
        if best.as_ref().is_some_and(Vec::is_empty) {
            return Vec::new();
        }
        if Instant::now() > deadline {
            let none = format!("expected event.action {action} of pid {}, got none", done.pid);
            return best.unwrap_or_else(|| vec![none]);
        }
        std::thread::sleep(POLL);
    }
}

/// Waits until all events of the process must have come; the failure is one of that kind.
fn silent(lab: &mut Lab, kind: Kind, done: &Done) -> Vec<String> {
    if let Err(error) = overtaken(lab, kind) {
        return vec![format!("{error:#}")];
    }
    let action = action::of(kind).action;
    // The actor's own start and end are no failure of the sensors.
    let mut surplus = lab.seen(done.pid, action);
    if matches!(kind, Kind::Exec | Kind::Fork | Kind::Exit) && !surplus.is_empty() {
        surplus.remove(0);
    }
    surplus.iter().map(|event| format!("expected no {action}, got {}", event.0)).collect()
}

/// Provokes an event of that kind and waits for it: one source keeps its order, so whatever it
/// had to tell of an earlier operation has come by then. Of a kind that nobody tells of there is
/// nothing to wait for but the end of a later process.
fn overtaken(lab: &mut Lab, kind: Kind) -> Result<()> {
    let possible = kind != Kind::Module || lab.module.is_some();
    let seen = lab.doctor.operations.get(&kind).is_some_and(Operation::seen);
    let case = families().find(|case| case.kind == kind && possible && seen);
    let (done, action) = match case {
        Some(case) => ((case.run)(lab)?, action::of(kind).action),
        None => (lab.act(&["noop"])?, action::of(Kind::Exit).action),
    };
    let marker = lab.wait(done.pid, action);
    marker
        .with_context(|| format!("expected {action} of the marker, pid {}, got none", done.pid))?;
    Ok(())
}

/// All cases, by family.
fn families() -> impl Iterator<Item = &'static Case> {
    [process::CASES, file::CASES, net::CASES, kernel::CASES].into_iter().flatten()
}

/// The common expectations with the specific ones in their place.
fn merged(lab: &Lab, kind: Kind, done: &Done, specific: &[Want]) -> Vec<Want> {
    let replaced = |want: &Want| specific.iter().any(|s| s.field() == want.field());
    let mut wants = common(lab, kind, done);
    wants.retain(|want| !replaced(want));
    wants.extend_from_slice(specific);
    wants
}

/// What every event says about its kind, its source and its process.
fn common(lab: &Lab, kind: Kind, done: &Done) -> Vec<Want> {
    let words = action::of(kind);
    let provider = lab.doctor.operations.get(&kind).map(|row| row.provider.clone());
    let exe = std::path::Path::new(&done.exe);
    let name = exe.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut wants = vec![
        is("event.kind", "event"),
        list("event.category", words.category),
        list("event.type", words.types),
        is("event.action", words.action),
        is("event.module", "aegisbpf"),
        is("event.dataset", words.dataset),
        is("event.provider", provider.unwrap_or_default()),
        present("@timestamp"),
        present("event.sequence"),
        present("host.id"),
        is("host.os.type", "linux"),
        is("process.pid", done.pid),
        present("process.entity_id"),
        present("process.start"),
        is("process.executable", &done.exe),
        is("process.name", name),
        list("process.args", &done.args),
        is("process.user.id", done.uid),
        is("user.id", done.uid),
        is("process.group.id", done.gid),
        is("process.parent.pid", done.parent),
        present("process.parent.entity_id"),
        is("process.parent.executable", &lab.exe),
        has("process.Ext.ancestors.name", "provoke"),
    ];
    if kind != Kind::Exec
        && let Some(started) = lab.seen(done.pid, "exec").first()
        && let Some(id) = started.text("process.entity_id")
    {
        wants.push(is("process.entity_id", id));
    }
    wants
}
