//! All that the guard counts, for `status` and for Prometheus.

use serde_json::{Value as Json, json};

use super::{Guard, isolate, report};
use crate::proto::MESSAGE_MAX;

/// Room for the tag of the message.
const TAG: usize = 1;

/// The counters as one object, short enough for one message.
pub(super) fn of(guard: &Guard<'_>) -> Json {
    let mut counters = match guard.sensors.counters() {
        Ok(counters) => report::counters(&counters),
        Err(error) => {
            tracing::warn!(%error, "the counters cannot be read");
            return Json::Null;
        }
    };
    let programs = guard.sensors.program_use();
    let program = |one: &kernel::ProgramUse| json!({ "name": one.name, "run_ns": one.run_ns, "runs": one.runs });
    let maps = guard.sensors.map_use();
    let map =
        |one: &kernel::MapUse| json!({ "name": one.name, "entries": one.entries, "max": one.max });
    let more = [
        ("policy", guard.prevention.figures()),
        ("actions", guard.actor.figures()),
        ("outputs", guard.forwarding.figures()),
        ("audit", audit(guard)),
        ("isolations", isolations(guard)),
        ("programs", programs.iter().map(program).collect()),
        ("maps", maps.iter().map(map).collect()),
    ];
    if let Some(counters) = counters.as_object_mut() {
        counters.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    // Rules may have long names. What is by rule is left out before all is, and it is said.
    for part in ["/policy/rules", "/actions/counts"] {
        if counters.to_string().len() + TAG < MESSAGE_MAX {
            break;
        }
        tracing::warn!(part, "the names of rules are too long: what is by rule is not told");
        if let Some(list) = counters.pointer_mut(part) {
            *list = Json::Array(Vec::new());
        }
    }
    counters
}

/// How many isolations are in effect; unknown if the pins cannot be read.
fn isolations(guard: &Guard<'_>) -> Json {
    match isolate::all(&guard.args.runtime_dir) {
        Ok(all) => all.len().into(),
        Err(error) => {
            tracing::debug!(%error, "isolations cannot be looked at");
            Json::Null
        }
    }
}

/// The audit log: how long it is, whether it holds together, and what it lacks.
fn audit(guard: &Guard<'_>) -> Json {
    let mut figures = guard.look.figures();
    if let Some(figures) = figures.as_object_mut() {
        figures.insert("lost".to_owned(), guard.audit.lost().into());
    }
    figures
}
