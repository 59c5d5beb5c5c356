//! What `aegisbpf status` shows.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::board::{Board, LeftOut, RuleInfo};
use super::health::{COST_BUDGET_NS, Figures};
use super::host::read_limited;

/// Bytes read of /proc/PID/status.
const STATUS_MAX: u64 = 16 * 1024;

/// What does not change while the worker lives.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// The user that it runs as: a name is asked for once, before it is confined.
    pub(crate) user: String,
    /// When the guard started, seconds since boot.
    pub(crate) started: u64,
    /// When this worker started, seconds since boot.
    pub(crate) worker_started: u64,
    /// How many workers came before this one.
    pub(crate) restarts: u32,
    /// How it is confined.
    pub(crate) confined: Confined,
}

/// What `--seccomp` has come to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confined {
    /// Whether processes and threads have lists of system calls.
    pub(crate) seccomp: bool,
    /// The version of Landlock that holds the worker, if one does.
    pub(crate) landlock: Option<u32>,
}

/// The status as one object. `fresh`: the counters are of now.
pub(crate) fn document(about: &About, board: &Board, fresh: bool) -> Json {
    let now = seconds_since_boot();
    let figures = board.figures();
    let report = board.report();
    let worker = std::process::id();
    let guard = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    json!({
        "running": true,
        "version": env!("CARGO_PKG_VERSION"),
        "mode": mode(board),
        "tier": report.get("tier").cloned().unwrap_or_default(),
        "kernel": report.get("kernel").cloned().unwrap_or_default(),
        "uptime_s": now.saturating_sub(about.started),
        "guard": { "pid": guard, "rss_kib": rss_kib(&guard.to_string()) },
        "worker": {
            "pid": worker,
            "user": about.user,
            "rss_kib": rss_kib("self"),
            "restarts": about.restarts,
            "seccomp": if about.confined.seccomp { "lists" } else { "no network" },
            "landlock": about.confined.landlock,
            "uptime_s": now.saturating_sub(about.worker_started),
        },
        "rules": rule_set(board, now),
        "events": figures,
        "kernel_counters": board.counters(),
        "kernel_counters_fresh": fresh,
    })
}

/// Who we are: a name, or a number where this host has none for it.
pub(crate) fn user() -> String {
    let uid = nix::unistd::geteuid();
    let known = nix::unistd::User::from_uid(uid).ok().flatten();
    known.map_or_else(|| uid.to_string(), |known| known.name)
}

/// The rules that run, with the times of their generation.
fn rule_set(board: &Board, now: u64) -> Json {
    let set = board.rules();
    let mut json = json!(set);
    let told = json.get_mut("generation").and_then(Json::as_object_mut);
    if let (Some(told), Some(generation)) = (told, set.generation) {
        let left = generation.trial_until.map(|until| until.saturating_sub(now));
        told.insert("age_s".to_owned(), now.saturating_sub(generation.began).into());
        told.insert("trial_left_s".to_owned(), json!(left));
    }
    json
}

/// `enforce` if policies are carried out, `audit` if they are reported, `detect` if there are none.
pub(super) fn mode(board: &Board) -> Json {
    let counters = board.counters();
    let policy = counters.get("policy").filter(|policy| !policy["generation"].is_null());
    policy.map_or_else(|| "detect".into(), |policy| policy["mode"].clone())
}

/// What `aegisbpf rules` shows.
pub(crate) fn rules(
    infos: &[RuleInfo],
    figures: &[Figures],
    left_out: &[LeftOut],
    scripts: &[Json],
) -> Json {
    let rules = infos.iter().zip(figures).map(|(info, figures)| {
        let mut rule = json!(info);
        let more = json!({
            "state": figures.state(),
            "matches": figures.counters.matches,
            "alerts": figures.alerts,
            "suppressed": figures.suppressed,
            "alerts_a_minute": figures.a_minute,
            "cost_ns": figures.cost_ns,
            "evaluations": figures.counters.evaluations,
            "partials": figures.counters.partials,
            "evictions": figures.counters.evictions,
            "dropped": figures.counters.dropped,
        });
        if let (Json::Object(rule), Json::Object(more)) = (&mut rule, more) {
            rule.extend(more);
        }
        rule
    });
    json!({
        "budget_ns": COST_BUDGET_NS,
        "rules": rules.collect::<Vec<_>>(),
        "scripts": scripts,
        "left_out": left_out,
    })
}

/// Now, on the clock that all event times are on.
pub(crate) fn seconds_since_boot() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or_default()
}

/// Resident memory of a process.
pub(super) fn rss_kib(pid: &str) -> Option<u64> {
    let bytes = read_limited(Path::new(&format!("/proc/{pid}/status")), STATUS_MAX).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::board::RuleSet;
    use super::*;

    #[test]
    fn memory_is_told_as_it_is() {
        assert!(rss_kib("self").unwrap() > 500);
        assert_eq!(rss_kib("0"), None);
        let about = About {
            user: String::new(),
            started: 0,
            worker_started: 0,
            restarts: 2,
            confined: Confined { seccomp: true, landlock: Some(6) },
        };
        let board = Board::new();
        board.put_rules(RuleSet { loaded: 3, ..RuleSet::default() });
        let status = document(&about, &board, false);
        assert_eq!(status["worker"]["restarts"], 2);
        assert_eq!(status["rules"]["loaded"], 3);
        assert_eq!(status["events"]["alerts"], 0);
    }
}
