//! What the agent says of itself at one moment: the figures for Prometheus.

use std::collections::BTreeMap;

/// What is counted by the guard and the kernel, and so never begins anew.
const LASTING: &[&str] = &[
    "events_sent_total",
    "events_dropped_total",
    "events_incomplete_total",
    "policy_verdicts_total",
    "worker_restarts_total",
    "audit_lines",
];
/// What a worker counts.
const OF_WORKER: &[&str] = &[
    "events_delivered_total",
    "events_malformed_total",
    "events_total",
    "alerts_total",
    "rule_alerts_total",
    "rule_matches_total",
    "output_lines_total",
    "output_dropped_total",
    "recording_lost_total",
];

/// Series with their values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// From the text; what is no figure is passed over.
    pub(super) fn of(text: &str) -> Figures {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let each = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.strip_prefix("aegisbpf_")?.to_owned(), value.parse().ok()?))
        });
        Figures(each.collect())
    }

    /// The sum of a figure's series whose labels contain this.
    pub(super) fn sum(&self, name: &str, label: &str) -> f64 {
        let those = self.series(name).filter(|(series, _)| series.contains(label));
        // The sum of nothing is no negative zero here.
        those.fold(0.0, |sum, (_, value)| sum + value)
    }

    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let is_its = move |series: &str| series.split('{').next() == Some(name);
        let all = self.0.iter().map(|(series, value)| (series.as_str(), *value));
        all.filter(move |(series, _)| is_its(series))
    }

    /// What was put into rings, and could not be.
    pub(super) fn sent(&self) -> f64 {
        self.sum("events_sent_total", "")
    }

    /// What was taken out of them, by this worker.
    pub(super) fn delivered(&self) -> f64 {
        self.sum("events_delivered_total", "") + self.sum("events_malformed_total", "")
    }

    /// What reached no ring.
    pub(super) fn dropped(&self) -> f64 {
        self.sum("events_dropped_total", "")
    }

    /// Whether both are of the same worker.
    pub(super) fn same_worker(&self, other: &Figures) -> bool {
        let restarts = |one: &Figures| one.sum("worker_restarts_total", "");
        (restarts(self) - restarts(other)).abs() < 0.5
    }

    /// Counters that went down until a later moment.
    pub(super) fn fell(&self, later: &Figures) -> Vec<String> {
        let same = self.same_worker(later);
        let counted = LASTING.iter().chain(OF_WORKER.iter().filter(|_| same));
        let fell = counted.flat_map(|name| self.series(name)).filter_map(|(series, before)| {
            let after = *later.0.get(series)?;
            (after < before).then(|| format!("{series} went from {before} to {after}"))
        });
        fell.collect()
    }

    /// What these figures say that cannot be.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let (told, of_rules) = (self.sum("alerts_total", ""), self.sum("rule_alerts_total", ""));
        let (alerts, matches) = (of_rules, self.sum("rule_matches_total", ""));
        let mut found = Vec::new();
        if of_rules > told {
            found.push(format!("{of_rules} alerts of rules are among {told} alerts"));
        }
        if alerts > matches {
            found.push(format!("{alerts} alerts of {matches} matches"));
        }
        found
    }
}

/// What was sent and not delivered, at a calm moment that was looked at twice: others go on, so it is known within
/// bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Open {
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Open {
    pub(super) fn between(first: &Figures, second: &Figures) -> Open {
        // Figures of one look are not of one instant: kernel and worker are asked one after the other.
        Open { least: first.sent() - second.delivered(), most: second.sent() - first.delivered() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(restarts: u32, sent: u32, delivered: u32) -> Figures {
        Figures::of(&format!(
            "# TYPE x counter\naegisbpf_worker_restarts_total {restarts}\n\
             aegisbpf_events_sent_total{{operation=\"open\"}} {sent}\n\
             aegisbpf_events_delivered_total{{operation=\"open\"}} {delivered}\n"
        ))
    }

    #[test]
    fn counters_may_begin_anew_with_a_worker_and_never_else() {
        let one = figures(0, 10, 10);
        assert_eq!(one.fell(&figures(1, 12, 0)), [""; 0], "another worker");
        assert_eq!(one.fell(&figures(0, 12, 9)).len(), 1, "the same");
        assert_eq!(one.fell(&figures(1, 9, 9)).len(), 1, "the kernel's");
    }

    #[test]
    fn what_is_open_is_known_within_bounds() {
        let open = Open::between(&figures(0, 100, 98), &figures(0, 103, 103));
        assert_eq!(open, Open { least: -3.0, most: 5.0 });
    }

    #[test]
    fn more_alerts_than_matches_cannot_be() {
        let text = "aegisbpf_alerts_total 3\naegisbpf_rule_alerts_total{rule=\"a\"} 2\n";
        let said = Figures::of(text).contradictions();
        assert_eq!(said, ["2 alerts of 0 matches"]);
        let whole = format!("{text}aegisbpf_rule_matches_total{{rule=\"a\"}} 2\n");
        assert!(Figures::of(&whole).contradictions().is_empty());
    }
}
