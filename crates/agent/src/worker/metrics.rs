//! Figures of scripts in the form that Prometheus reads, and the table of them in the documentation.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A figure: its name, its type, and what it tells.
type Metric = (&'static str, &'static str, &'static str);

const CALLS: Metric = (
    "aegisbpf_script_calls_total",
    "counter",
    "Questions that scripts were asked, those of before the rules were read again included.",
);
const QUARANTINED: Metric =
    ("aegisbpf_script_quarantined", "gauge", "Scripts that are in quarantine now.");
const VIOLATIONS: Metric = (
    "aegisbpf_script_violations_total",
    "counter",
    "Incidents by `script` and `cause`; those that are no violation are among them.",
);

/// All figures. Names of scripts are bounded in number and length by what a program may have, and are
/// words of small letters, digits and `_`: none needs to be escaped.
pub(super) fn text(
    calls: u64,
    quarantined: u64,
    violations: &BTreeMap<(String, &'static str), u64>,
) -> String {
    let mut out = String::new();
    for ((name, kind, help), value) in
        [(CALLS, Some(calls)), (QUARANTINED, Some(quarantined)), (VIOLATIONS, None)]
    {
        // Writing to a text does not fail.
        _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        if let Some(value) = value {
            _ = writeln!(out, "{name} {value}");
        }
    }
    for ((script, cause), count) in violations {
        let name = VIOLATIONS.0;
        _ = writeln!(out, "{name}{{script=\"{script}\",cause=\"{cause}\"}} {count}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_page() {
        let page = include_str!("../../../../docs/scripts.md");
        let (_, table) = page.split_once("<!-- metrics -->\n").unwrap();
        let (table, _) = table.split_once("<!-- end of metrics -->").unwrap();
        let row = |(name, kind, help): Metric| format!("| `{name}` | {kind} | {help} |\n");
        let rows: String = [CALLS, QUARANTINED, VIOLATIONS].map(row).concat();
        assert_eq!(table, format!("| name | type | what it tells |\n|---|---|---|\n{rows}"));
    }

    #[test]
    fn each_figure_has_its_type_and_incidents_their_cause() {
        let violations = [(("own".to_owned(), "trap"), 5), (("own".to_owned(), "state"), 1)];
        let text = text(7, 1, &violations.into());
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        let expected = [
            "# TYPE aegisbpf_script_calls_total counter",
            "aegisbpf_script_calls_total 7",
            "# TYPE aegisbpf_script_quarantined gauge",
            "aegisbpf_script_quarantined 1",
            "# TYPE aegisbpf_script_violations_total counter",
            "aegisbpf_script_violations_total{script=\"own\",cause=\"state\"} 1",
            "aegisbpf_script_violations_total{script=\"own\",cause=\"trap\"} 5",
        ];
        assert_eq!(lines, expected);
    }
}
