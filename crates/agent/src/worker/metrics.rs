//! Fills in the figures of [`crate::metrics`]: what the event thread knows, what the guard counts, and what is
//! known of the processes.

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;

use super::board::{Board, Figures, RuleInfo, RuleSet};
use super::health;
use super::host::read_limited;
use super::status::{self, About};
use crate::metrics::{Metric, Samples, Seconds};

/// Losses after which an event is sent all the same, without what is named.
const INCOMPLETE: [&str; 3] = ["path", "args", "storage"];
/// Modes of the agent.
const MODES: [&str; 3] = ["detect", "audit", "enforce"];
/// What becomes of what an output reads, and what the forwarder calls it.
const OUTCOMES: [(&str, &str); 4] = [
    ("delivered", "sent"),
    ("passed_over", "passed_over"),
    ("refused", "refused"),
    ("lost", "lost"),
];
/// Bytes read of /proc/PID/stat.
const STAT_MAX: u64 = 4 * 1024;
/// Fields of it behind the name in brackets: time in user mode, and in the kernel.
const USER_TIME: usize = 11;
/// Nanoseconds of the clock in which /proc tells processor time; `USER_HZ` is 100 wherever this runs.
const TICK_NS: u64 = 10_000_000;

/// What each rule found and cost.
pub(super) fn rules(samples: &mut Samples, infos: &[RuleInfo], figures: &[health::Figures]) {
    let each = |number: fn(&health::Figures) -> u64| {
        infos.iter().map(|info| info.id.as_str()).zip(figures.iter().map(number))
    };
    samples.named(Metric::RuleMatches, each(|one| one.counters.matches));
    samples.named(Metric::RuleAlerts, each(|one| one.alerts));
    samples.named(Metric::RuleSuppressed, each(|one| one.suppressed));
    let slow_first = |one: &health::Figures| std::cmp::Reverse(one.cost_ns);
    let mut costs: Vec<_> = infos.iter().zip(figures).collect();
    costs.sort_by_key(|(_, one)| slow_first(one));
    for (info, one) in costs.into_iter().take(crate::metrics::BY_NAME_MAX) {
        samples.know(Metric::RuleCost, &[&info.id], one.cost_ns.map(Seconds));
    }
}

/// What scripts did.
pub(super) fn scripts<'a>(
    samples: &mut Samples,
    (calls, quarantined): (u64, u64),
    violations: impl Iterator<Item = (&'a str, &'a str, u64)>,
) {
    samples.put(Metric::ScriptCalls, &[], calls);
    samples.put(Metric::ScriptQuarantined, &[], quarantined);
    for (script, cause, count) in violations {
        samples.put(Metric::ScriptViolations, &[script, cause], count);
    }
}

/// What the event thread published last.
pub(super) fn figures(samples: &mut Samples, figures: &Figures) {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    for (metric, value) in [
        (Metric::EventsMalformed, figures.malformed),
        (Metric::Events, figures.events),
        (Metric::EventsUnresolved, figures.unresolved),
        (Metric::ProcessesEvicted, figures.processes_evicted),
        (Metric::ProcessTableBytes, figures.image_bytes),
        (Metric::MemberBytes, figures.member_bytes),
        (Metric::MembersEvicted, figures.members_evicted),
        (Metric::PartialsEvicted, figures.partials_evicted),
        (Metric::RulesSlow, count(figures.rules_slow.len())),
        (Metric::RulesNoisy, count(figures.rules_noisy.len())),
        (Metric::Alerts, figures.alerts),
        (Metric::AlertsCovered, figures.alerts_covered),
        (Metric::AlertsRepeated, figures.alerts_repeated),
        (Metric::ActionsAsked, figures.actions_asked),
        (Metric::ActionsLeftOut, figures.actions_left_out),
        (Metric::OutputDropped, figures.output_dropped),
        (Metric::SpoolDropped, figures.spool_dropped),
        (Metric::Clients, figures.clients),
        (Metric::Recordings, figures.recordings),
        (Metric::RecordingLost, figures.recording_lost),
        (Metric::RecordingFramesLost, figures.recording_frames_lost),
    ] {
        samples.put(metric, &[], value);
    }
    samples.put(Metric::Processes, &["running"], figures.processes);
    samples.put(Metric::Processes, &["ended"], figures.processes_ended);
    samples.put(Metric::AuditLost, &["worker"], figures.audit_lost);
}

/// The generation of rules that runs, `now` in seconds since boot.
pub(super) fn generation(samples: &mut Samples, set: &RuleSet, now: u64) {
    let generation = set.generation.clone().unwrap_or_default();
    let left = generation.trial_until.map_or(0, |until| until.saturating_sub(now));
    for (metric, value) in [
        (Metric::RulesLoaded, u64::try_from(set.loaded).unwrap_or(u64::MAX)),
        (Metric::RulesRefused, u64::try_from(set.refused).unwrap_or(u64::MAX)),
        (Metric::RulesGeneration, generation.number.unwrap_or_default()),
        (Metric::RulesAge, now.saturating_sub(generation.began)),
        (Metric::RulesTrial, left),
        (Metric::RulesHeldBack, u64::from(generation.held.is_some())),
        (Metric::RulesReverted, generation.reverted),
        (Metric::RulesUnkept, generation.unkept),
    ] {
        samples.put(metric, &[], value);
    }
}

/// All that is known outside of the event thread.
pub(super) fn agent(samples: &mut Samples, about: &About, board: &Board, state: &Path) {
    samples.put(Metric::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1);
    let now = status::seconds_since_boot();
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let then = |since_boot: u64| unix.saturating_sub(now.saturating_sub(since_boot));
    samples.put(Metric::StartTime, &[], then(about.started));
    samples.put(Metric::WorkerStartTime, &[], then(about.worker_started));
    samples.put(Metric::WorkerRestarts, &[], about.restarts);
    let guard = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get()).to_string();
    for (name, pid) in [("guard", guard.as_str()), ("worker", "self")] {
        let bytes = status::rss_kib(pid).map(|kib| kib.saturating_mul(1024));
        samples.know(Metric::ResidentBytes, &[name], bytes);
        samples.know(Metric::CpuSeconds, &[name], processor_time(pid).map(Seconds));
    }
    samples.know(Metric::HistoryBytes, &[], history(state));
    report(samples, &board.report());
    let mode = status::mode(board);
    for one in MODES {
        samples.put(Metric::Mode, &[one], u8::from(mode == one));
    }
    kernel(samples, &board.counters());
    policy(samples, &board.counters(), unix);
    outputs(samples, &board.counters(), unix);
    actions(samples, &board.counters());
}

/// What is observed.
fn report(samples: &mut Samples, report: &Json) {
    samples.know(Metric::TierInfo, &[text(report, "tier")], known(report, "tier").map(|_| 1));
    let operations = report.get("operations").and_then(Json::as_array);
    let mut states = std::collections::BTreeMap::new();
    for operation in operations.into_iter().flatten() {
        *states.entry(text(operation, "state")).or_insert(0_u64) += 1;
    }
    for (state, count) in states {
        samples.put(Metric::Operations, &[state], count);
    }
}

/// What the kernel half sent and lost, and its programs and maps.
fn kernel(samples: &mut Samples, counters: &Json) {
    for (operation, count) in pairs(counters.get("sent")) {
        samples.put(Metric::EventsSent, &[operation], count);
    }
    let rings = counters.get("lost").and_then(Json::as_object);
    for (ring, causes) in rings.into_iter().flatten() {
        for (cause, count) in pairs(Some(causes)) {
            let is_sent = INCOMPLETE.contains(&cause);
            let metric = if is_sent { Metric::EventsIncomplete } else { Metric::EventsDropped };
            samples.put(metric, &[ring, cause], count);
        }
    }
    for program in list(counters, "programs") {
        let name = [text(program, "name")];
        samples.know(Metric::ProgramSeconds, &name, number(program, "run_ns").map(Seconds));
        samples.know(Metric::ProgramRuns, &name, number(program, "runs"));
    }
    for map in list(counters, "maps") {
        let name = [text(map, "name")];
        samples.know(Metric::MapEntries, &name, number(map, "entries"));
        samples.know(Metric::MapSize, &name, number(map, "max"));
    }
}

/// What came of policies, `now` in seconds since 1970.
fn policy(samples: &mut Samples, counters: &Json, now: u64) {
    let Some(policy) = counters.get("policy") else { return };
    let generation = number(policy, "generation");
    samples.put(Metric::PolicyGeneration, &[], generation.unwrap_or_default());
    let age = number(policy, "made").map(|made| now.saturating_sub(made));
    samples.know(Metric::PolicyAge, &[], age);
    samples.know(Metric::PolicyTierInfo, &[text(policy, "tier")], known(policy, "tier").map(|_| 1));
    samples.put(Metric::PolicyDegraded, &[], number(policy, "degraded").unwrap_or_default());
    let off = policy.get("disabled") == Some(&Json::Bool(true));
    samples.put(Metric::Emergency, &[], u8::from(off));
    for (outcome, count) in pairs(policy.get("verdicts")) {
        if outcome == "untold" {
            samples.put(Metric::PolicyUntold, &[], count);
        } else {
            samples.put(Metric::PolicyVerdicts, &[outcome], count);
        }
    }
    for one in list(policy, "rules") {
        let labels = [text(one, "rule"), text(one, "outcome")];
        samples.know(Metric::PolicyDenials, &labels, number(one, "count"));
    }
    samples.put(Metric::PolicyDecisionsLost, &[], number(policy, "decisions_lost").unwrap_or(0));
    let Some(audit) = counters.get("audit") else { return };
    samples.know(Metric::AuditLines, &[], number(audit, "lines"));
    samples.know(Metric::AuditLost, &["guard"], number(audit, "lost"));
    let broken = audit.get("broken").and_then(Json::as_bool);
    samples.know(Metric::AuditBroken, &[], broken.map(u8::from));
    samples.know(Metric::Isolations, &[], number(counters, "isolations"));
}

/// Actions, out of what the guard counts.
fn actions(samples: &mut Samples, counters: &Json) {
    let actions = counters.get("actions").unwrap_or(&Json::Null);
    for one in list(actions, "counts") {
        let labels = [text(one, "rule"), text(one, "verb"), text(one, "outcome")];
        samples.know(Metric::Actions, &labels, number(one, "count"));
    }
    samples.put(Metric::ActionsInEffect, &[], number(actions, "in_effect").unwrap_or_default());
    samples.put(Metric::ActionsWaiting, &[], number(actions, "waiting").unwrap_or_default());
    let tripped = text(actions, "breaker") == "tripped";
    samples.put(Metric::ActionsBreaker, &[], u8::from(tripped));
}

/// Outputs that read the spool, as the guard hears of them, `now` in seconds since 1970.
fn outputs(samples: &mut Samples, counters: &Json, now: u64) {
    let Some(outputs) = counters.get("outputs") else { return };
    for one in list(outputs, "all") {
        let name = text(one, "name");
        for (outcome, count) in OUTCOMES {
            samples.know(Metric::OutputItems, &[name, outcome], number(one, count));
        }
        samples.know(Metric::OutputFailures, &[name], number(one, "failures"));
        samples.put(Metric::OutputDelivering, &[name], u8::from(text(one, "state") == "ok"));
        samples.know(Metric::OutputWaitingBytes, &[name], number(one, "backlog_bytes"));
        let first = known(one, "waiting_since").and_then(|time| time.parse().ok());
        let age = |first: jiff::Timestamp| now.saturating_sub(first.as_second().unsigned_abs());
        samples.put(Metric::OutputWaitingSeconds, &[name], first.map_or(0, age));
    }
    samples.know(Metric::ForwarderRestarts, &[], number(outputs, "restarts"));
    samples.know(Metric::SpoolSize, &[], number(outputs, "spool_bytes"));
}

fn known<'a>(of: &'a Json, name: &str) -> Option<&'a str> {
    of.get(name).and_then(Json::as_str)
}

fn text<'a>(of: &'a Json, name: &str) -> &'a str {
    known(of, name).unwrap_or_default()
}

fn number(of: &Json, name: &str) -> Option<u64> {
    of.get(name).and_then(Json::as_u64)
}

fn list<'a>(of: &'a Json, name: &str) -> impl Iterator<Item = &'a Json> {
    of.get(name).and_then(Json::as_array).into_iter().flatten()
}

/// Names and numbers of an object.
fn pairs(of: Option<&Json>) -> impl Iterator<Item = (&str, u64)> {
    let pairs = of.and_then(Json::as_object).into_iter().flatten();
    pairs.filter_map(|(name, count)| Some((name.as_str(), count.as_u64()?)))
}

/// Processor time of a process in nanoseconds.
fn processor_time(pid: &str) -> Option<u64> {
    let bytes = read_limited(Path::new(&format!("/proc/{pid}/stat")), STAT_MAX).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // The name may hold anything, also brackets and blanks.
    let (_, rest) = text.rsplit_once(") ")?;
    let mut times = rest.split(' ').skip(USER_TIME).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some(user.saturating_add(system).saturating_mul(TICK_NS))
}

/// Bytes of the history; none if there is none that we may look at.
fn history(state: &Path) -> Option<u64> {
    let segments = super::segments(&state.join(super::HISTORY)).ok()?;
    Some(segments.iter().filter_map(|path| path.symlink_metadata().ok()).map(|one| one.len()).sum())
}
