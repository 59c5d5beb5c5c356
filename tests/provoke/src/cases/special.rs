//! Cases that are about more than one event.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use model::op::Kind;

use crate::agent::Operation;
use crate::expect::{is, list};
use crate::host::Tally;
use crate::lab::{Done, Lab, PATIENCE};

/// Where the kernel takes the next pid from, if it lets us say.
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
/// What the start of a process counts in.
const TICK: Duration = Duration::from_millis(10);
/// Attempts at getting one pid twice; another process may be faster.
const ATTEMPTS: u32 = 20;

/// Runs those of the wanted kinds.
pub(super) fn run(lab: &mut Lab, wanted: &dyn Fn(Kind) -> bool, tally: &mut Tally) {
    let seen = |lab: &Lab, kind: Kind| {
        wanted(kind) && lab.doctor.operations.get(&kind).is_some_and(Operation::seen)
    };
    if seen(lab, Kind::Exec) {
        match reuse(lab) {
            Ok(Some(failures)) => tally.case("exec/pid used again", &failures),
            Ok(None) => tally.absent("exec/pid used again", "no pid could be had twice here"),
            Err(error) => tally.case("exec/pid used again", &[format!("{error:#}")]),
        }
    }
    if seen(lab, Kind::Signal) {
        let failures = agent_signalled(lab).unwrap_or_else(|error| vec![format!("{error:#}")]);
        tally.case("signal/to the agent", &failures);
    }
    if seen(lab, Kind::Open) {
        let failures = alert(lab).unwrap_or_else(|error| vec![format!("{error:#}")]);
        tally.case("alert/watched file opened", &failures);
    }
}

/// Two processes with one pid are two entities with their own arguments.
fn reuse(lab: &Lab) -> Result<Option<Vec<String>>> {
    for _ in 0..ATTEMPTS {
        let first = lab.act(&["noop", "first"])?;
        // Start times count in ticks of 10 ms, so that every source gives a process the same id.
        std::thread::sleep(TICK * 2);
        if fs::write(LAST_PID, (first.pid - 1).to_string()).is_err() {
            return Ok(None);
        }
        let second = lab.act(&["noop", "second"])?;
        if second.pid == first.pid {
            return Ok(Some(two_entities(lab, &first, &second)));
        }
    }
    Ok(None)
}

fn two_entities(lab: &Lab, first: &Done, second: &Done) -> Vec<String> {
    let end_of_second = lab.agent.events.wait(PATIENCE, |event| {
        crate::lab::of(event, second.pid, "end") && event.list("process.args") == second.args
    });
    let Some(end) = end_of_second else {
        return vec!["expected the end of the second process, got none".to_owned()];
    };
    let execs = lab.seen(second.pid, "exec");
    let [one, .., two] = execs.as_slice() else {
        return vec![format!("expected two execs, got {}", execs.len())];
    };
    let mut failures: Vec<String> = [
        list("process.args", &first.args).failure(one),
        list("process.args", &second.args).failure(two),
        is("process.entity_id", two.text("process.entity_id").unwrap_or_default()).failure(&end),
    ]
    .into_iter()
    .flatten()
    .collect();
    if one.text("process.entity_id") == two.text("process.entity_id") {
        let starts = [one, two].map(|event| event.text("process.start").unwrap_or_default());
        failures.push(format!("expected two entity ids, got one; started {}", starts.join(", ")));
    }
    failures
}

/// What the agent itself does is not told; what is done to it is.
fn agent_signalled(lab: &Lab) -> Result<Vec<String>> {
    const SIGCONT: &str = "18";
    let agent = lab.agent.pid()?.to_string();
    let done = lab.act(&["kill", &agent, SIGCONT])?;
    let event = lab.wait(done.pid, "signal").context("expected a signal, got none")?;
    let wants = [
        is("process.Ext.signal.number", SIGCONT),
        is("process.Ext.target.pid", &agent),
        is("process.Ext.target.name", "aegisbpf"),
        is("process.executable", &lab.exe),
    ];
    Ok(wants.iter().filter_map(|want| want.failure(&event)).collect())
}

/// A match of a rule reaches the agent's standard output, with the process that did it.
fn alert(lab: &Lab) -> Result<Vec<String>> {
    let path = lab.path("watched/open");
    let done = lab.act(&["open", &path]).context("open")?;
    let pid = done.pid.to_string();
    let alert = lab
        .agent
        .alerts
        .wait(PATIENCE, |event| event.text("process.pid").as_deref() == Some(pid.as_str()));
    let Some(alert) = alert else { return Ok(vec!["expected an alert, got none".to_owned()]) };
    let rule = alert.text("rule.id").unwrap_or_default();
    let mut failures: Vec<String> = [
        is("event.kind", "alert").failure(&alert),
        is("file.path", &path).failure(&alert),
        is("process.parent.executable", &lab.exe).failure(&alert),
    ]
    .into_iter()
    .flatten()
    .collect();
    if rule != "provoke-open" {
        failures.push(format!("rule.id expected provoke-open, got {rule}"));
    }
    Ok(failures)
}
