//! What the control socket says, and what changed between two looks.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use serde_json::Value as Json;

use crate::client;
use crate::exit::Failure;

/// One look at the agent.
#[derive(Debug)]
pub(in crate::cmd) struct Look {
    /// As `aegisbpf status -o json` has it.
    pub(in crate::cmd) status: Json,
    /// As `aegisbpf rules -o json` has it.
    pub(in crate::cmd) rules: Json,
    /// The last alerts, the oldest first: as many as the agent keeps.
    pub(in crate::cmd) alerts: Vec<Json>,
    at: Instant,
}

impl Look {
    /// Looks now.
    pub(in crate::cmd) fn take(runtime_dir: &Path) -> Result<Look, Failure> {
        let status = client::get(runtime_dir, "/v1/status", &[])?.json()?;
        let rules = client::get(runtime_dir, "/v1/rules", &[])?.json()?;
        let mut answer = client::get(runtime_dir, "/v1/alerts", &[])?;
        let mut alerts = Vec::new();
        while let Some(line) = answer.line()? {
            alerts.extend(serde_json::from_str::<Json>(&line));
        }
        Ok(Look { status, rules, alerts, at: Instant::now() })
    }

    /// A number of the status, 0 if it is not there.
    pub(in crate::cmd) fn number(&self, pointer: &str) -> u64 {
        self.status.pointer(pointer).and_then(Json::as_u64).unwrap_or_default()
    }

    /// What was denied, or ended by a policy.
    pub(in crate::cmd) fn denials(&self) -> u64 {
        let verdicts = "/kernel_counters/policy/verdicts";
        self.number(&format!("{verdicts}/denied")) + self.number(&format!("{verdicts}/killed"))
    }

    /// What was done because rules matched.
    pub(in crate::cmd) fn actions(&self) -> u64 {
        let counts = self.status.pointer("/kernel_counters/actions/counts");
        let done = counts.and_then(Json::as_array).into_iter().flatten();
        let done = done.filter(|one| one.get("outcome").and_then(Json::as_str) == Some("done"));
        done.filter_map(|one| one.get("count")?.as_u64()).sum()
    }

    /// What reached no ring, and what no reader of alerts was quick enough for.
    pub(in crate::cmd) fn lost(&self) -> u64 {
        let rings = self.status.pointer("/kernel_counters/lost").and_then(Json::as_object);
        let causes = rings.into_iter().flatten().filter_map(|(_, causes)| causes.as_object());
        let lost: u64 = causes.flatten().filter_map(|(_, count)| count.as_u64()).sum();
        lost + self.number("/events/output_dropped")
    }
}

/// What happened a second, between two looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(in crate::cmd) struct Rates {
    pub(in crate::cmd) events: u64,
    pub(in crate::cmd) alerts: u64,
    pub(in crate::cmd) denials: u64,
    pub(in crate::cmd) actions: u64,
    pub(in crate::cmd) lost: u64,
}

impl Rates {
    /// What a worker counts begins anew with it: less than before is nothing.
    pub(in crate::cmd) fn between(old: &Look, new: &Look) -> Rates {
        let millis = u64::try_from(new.at.duration_since(old.at).as_millis()).unwrap_or(u64::MAX);
        let rate = |of: &dyn Fn(&Look) -> u64| {
            let more = of(new).saturating_sub(of(old));
            more.saturating_mul(1_000) / millis.max(1)
        };
        Rates {
            events: rate(&|look| look.number("/events/events")),
            alerts: rate(&|look| look.number("/events/alerts")),
            denials: rate(&Look::denials),
            actions: rate(&Look::actions),
            lost: rate(&Look::lost),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    /// A look at an agent that has seen so many events, so many seconds after another.
    pub(in super::super) fn look(events: u64, later: u64, alerts: Vec<Json>) -> Look {
        let status = json!({
            "mode": "enforce", "tier": "lsm", "version": "1", "uptime_s": 61,
            "guard": { "rss_kib": 2048 }, "worker": { "rss_kib": 4096, "restarts": 1 },
            "rules": { "loaded": 2, "refused": 0 },
            "events": { "events": events, "alerts": 3, "output_dropped": 0, "processes": 7 },
            "kernel_counters": {
                "policy": { "verdicts": { "denied": 4, "killed": 1 } },
                "actions": { "breaker": "ready", "counts": [
                    { "outcome": "done", "count": 2 }, { "outcome": "would", "count": 9 } ] },
                "lost": { "life": { "ring_full": 6 } },
            },
        });
        let rules = json!({ "rules": [
            { "id": "quick", "state": "ok", "matches": 9, "alerts": 9, "suppressed": 0, "cost_ns": 10 },
            { "id": "slow", "state": "slow", "matches": 1, "alerts": 1, "suppressed": 0, "cost_ns": 9000 },
        ] });
        Look { status, rules, alerts, at: Instant::now() + Duration::from_secs(later) }
    }

    #[test]
    fn rates_are_by_the_second_and_a_new_worker_is_none() {
        let rates = Rates::between(&look(100, 0, Vec::new()), &look(300, 2, Vec::new()));
        assert!((99..=100).contains(&rates.events), "{rates:?}");
        assert_eq!(Rates { events: 0, ..rates }, Rates::default(), "nothing else has changed");
        let anew = Rates::between(&look(300, 0, Vec::new()), &look(5, 1, Vec::new()));
        assert_eq!(anew.events, 0);
        let look = look(1, 0, Vec::new());
        assert_eq!((look.denials(), look.actions(), look.lost()), (5, 2, 6));
    }
}
