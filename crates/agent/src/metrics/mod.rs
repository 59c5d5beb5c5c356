//! All figures of the agent that Prometheus reads: one enum, of which the reference page is made.
//!
//! [`Samples`] holds what they are at one moment; `worker/metrics.rs` fills it. The text is Prometheus'
//! own format 0.0.4, a line a series: there is nothing in it that a library would save us from.

mod table;

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

pub(crate) use table::Metric;

/// Series of one figure that are told apart by the name of a rule; all others are summed up as
/// [`OTHER`]. A thousand hosts with so many series each are what one Prometheus takes with ease.
pub(crate) const BY_NAME_MAX: usize = 500;
/// What those beyond it are called. No rule can be: ids are in kebab-case and have no brackets.
pub(crate) const OTHER: &str = "(other)";
/// The type of the text, for who asks by HTTP.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How a figure behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, until what counts it starts again.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many values are up to each bound.
    Histogram,
}

impl Kind {
    /// As Prometheus calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// The figures at one moment: for each its series, by labels.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    series: BTreeMap<Metric, Vec<String>>,
}

impl Samples {
    /// Tells the value of a series; `labels` are those of [`Metric::labels`], in that order.
    pub(crate) fn put(&mut self, metric: Metric, labels: &[&str], value: impl Display) {
        let line = format!("{}{} {value}", metric.name(), braces(metric.labels(), labels));
        self.series.entry(metric).or_default().push(line);
    }

    /// The same for a figure that may not be known.
    pub(crate) fn know<T: Display>(&mut self, metric: Metric, labels: &[&str], value: Option<T>) {
        if let Some(value) = value {
            self.put(metric, labels, value);
        }
    }

    /// Tells numbers by name, of which there may be more than are told apart.
    pub(crate) fn named<'a>(
        &mut self,
        metric: Metric,
        numbers: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        let mut numbers = numbers.into_iter();
        for (name, number) in numbers.by_ref().take(BY_NAME_MAX) {
            self.put(metric, &[name], number);
        }
        if let Some(rest) = numbers.map(|(_, number)| number).reduce(u64::saturating_add) {
            self.put(metric, &[OTHER], rest);
        }
    }

    /// Tells a histogram.
    pub(crate) fn histogram(&mut self, metric: Metric, times: &Times) {
        let name = metric.name();
        let lines = self.series.entry(metric).or_default();
        let mut up_to = 0;
        for ((_, bound), count) in BOUNDS.iter().zip(times.counts) {
            up_to += count;
            lines.push(format!("{name}_bucket{{le=\"{bound}\"}} {up_to}"));
        }
        lines.push(format!("{name}_bucket{{le=\"+Inf\"}} {}", times.count));
        lines.push(format!("{name}_sum {}", Seconds(times.sum_ns)));
        lines.push(format!("{name}_count {}", times.count));
    }

    /// All of it as Prometheus reads it. A figure without a series is named all the same.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for metric in Metric::ALL {
            let (name, help, kind) = (metric.name(), metric.help(), metric.kind().name());
            // Writing to a text does not fail.
            _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for line in self.series.get(metric).into_iter().flatten() {
                _ = writeln!(out, "{line}");
            }
        }
        out
    }
}

/// Labels and their values, if there are any.
fn braces(names: &[&str], values: &[&str]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let pairs = names.iter().zip(values);
    let pairs = pairs.map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

/// A value of a label, as Prometheus reads it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Nanoseconds that are shown as seconds, exactly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seconds(pub(crate) u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// Upper bounds of [`Times`], in nanoseconds and as they are shown in seconds: an event takes some
/// microseconds; the last is where the event thread would fall behind.
const BOUNDS: [(u64, &str); 8] = [
    (2_000, "0.000002"),
    (5_000, "0.000005"),
    (10_000, "0.00001"),
    (25_000, "0.000025"),
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (1_000_000, "0.001"),
    (10_000_000, "0.01"),
];

/// Times that something took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum_ns: u64,
}

impl Times {
    /// One more.
    pub(crate) fn add(&mut self, ns: u64) {
        let within = BOUNDS.iter().position(|(bound, _)| ns <= *bound);
        if let Some(count) = within.and_then(|at| self.counts.get_mut(at)) {
            *count += 1;
        }
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }
}

/// The reference page.
pub(crate) fn page() -> String {
    let mut out = String::from("| name | type | labels | what it tells |\n|---|---|---|---|\n");
    for metric in Metric::ALL {
        let labels = metric.labels().iter().map(|label| format!("`{label}`"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        let (name, kind, help) = (metric.name(), metric.kind().name(), metric.help());
        _ = writeln!(out, "| `{name}` | {kind} | {labels} | {help} |");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(samples: &Samples) -> Vec<String> {
        let text = samples.text();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn the_reference_page_is_what_the_code_says() {
        let page = include_str!("../../../../docs/reference/metrics.md");
        let (_, table) = page.split_once("<!-- made -->\n").unwrap();
        assert_eq!(table, super::page(), "write there what `aegisbpf metrics --list` prints");
    }

    #[test]
    fn names_are_those_that_prometheus_asks_for() {
        for metric in Metric::ALL {
            let name = metric.name();
            assert!(name.starts_with("aegisbpf_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind() == Kind::Counter, "{name}");
            assert!(metric.help().ends_with('.') && !metric.help().contains('|'), "{name}");
            let alike = Metric::ALL.iter().filter(|other| other.name() == name);
            assert_eq!(alike.count(), 1, "{name}");
        }
    }

    #[test]
    fn rules_beyond_the_bound_are_one_series_and_their_sum_is_told() {
        let mut samples = Samples::default();
        let ids: Vec<String> = (0..BY_NAME_MAX + 3).map(|n| format!("r{n}")).collect();
        samples.named(Metric::RuleMatches, ids.iter().map(|id| (id.as_str(), 2)));
        let series = series(&samples);
        assert_eq!(series.len(), BY_NAME_MAX + 1);
        assert_eq!(series[0], "aegisbpf_rule_matches_total{rule=\"r0\"} 2");
        assert_eq!(series[BY_NAME_MAX], "aegisbpf_rule_matches_total{rule=\"(other)\"} 6");
        let mut few = Samples::default();
        few.named(Metric::RuleMatches, [("a", 1)]);
        assert_eq!(self::series(&few), ["aegisbpf_rule_matches_total{rule=\"a\"} 1"], "control");
    }

    #[test]
    fn values_of_labels_are_escaped_and_figures_without_series_are_named() {
        let mut samples = Samples::default();
        samples.put(Metric::Actions, &["a\"b\\\n", "kill", "done"], 3);
        samples.know(Metric::AuditLines, &[], None::<u64>);
        let line = r#"aegisbpf_actions_total{rule="a\"b\\\n",verb="kill",outcome="done"} 3"#;
        assert_eq!(series(&samples), [line]);
        assert!(samples.text().contains("# TYPE aegisbpf_audit_lines gauge\n"));
    }

    #[test]
    fn buckets_hold_all_that_is_up_to_their_bound() {
        let mut times = Times::default();
        for ns in [1, 2_000, 2_001, 60_000_000_000] {
            times.add(ns);
        }
        let mut samples = Samples::default();
        samples.histogram(Metric::EventSeconds, &times);
        let told: Vec<String> = series(&samples);
        assert_eq!(told[0], "aegisbpf_event_seconds_bucket{le=\"0.000002\"} 2");
        assert_eq!(told[1], "aegisbpf_event_seconds_bucket{le=\"0.000005\"} 3");
        let end = &told[told.len() - 3..];
        let bucket = "aegisbpf_event_seconds_bucket{le=\"+Inf\"} 4";
        let sum = "aegisbpf_event_seconds_sum 60.000004002";
        assert_eq!(end, [bucket, sum, "aegisbpf_event_seconds_count 4"]);
    }
}
