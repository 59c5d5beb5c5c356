//! Figures of scripts, of actions and of generations of rules in the form that Prometheus reads, and the tables
//! of them in the documentation.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value as Json;

use super::board::RuleSet;

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

const GENERATION: Metric =
    ("aegisbpf_rules_generation", "gauge", "The generation of rules that runs; 0: it is not kept.");
const AGE: Metric = (
    "aegisbpf_rules_age_seconds",
    "gauge",
    "How long this worker has been running that generation.",
);
const TRIAL: Metric =
    ("aegisbpf_rules_trial_left_seconds", "gauge", "How long it is still on trial; 0: it is not.");
const HELD: Metric = (
    "aegisbpf_rules_held_back",
    "gauge",
    "1 while the directories are not read: after a rollback, or after rules that broke.",
);
const REVERTED: Metric = (
    "aegisbpf_rules_reverted_total",
    "counter",
    "Generations that broke and were taken back since this worker started.",
);
const UNKEPT: Metric = (
    "aegisbpf_rules_unkept_total",
    "counter",
    "Sets of rules that run or ran and could not be kept as a generation, since then.",
);

/// Figures of the generation that runs, `now` in seconds since boot.
pub(super) fn rules(set: &RuleSet, now: u64) -> String {
    let generation = set.generation.clone().unwrap_or_default();
    let left = generation.trial_until.map_or(0, |until| until.saturating_sub(now));
    let mut out = String::new();
    for ((name, kind, help), value) in [
        (GENERATION, generation.number.unwrap_or_default()),
        (AGE, now.saturating_sub(generation.began)),
        (TRIAL, left),
        (HELD, u64::from(generation.held.is_some())),
        (REVERTED, generation.reverted),
        (UNKEPT, generation.unkept),
    ] {
        // Writing to a text does not fail.
        _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    out
}

const ACTIONS: Metric = (
    "aegisbpf_actions_total",
    "counter",
    "Actions that rules asked for, by `rule`, `verb` and `outcome`.",
);
const IN_EFFECT: Metric =
    ("aegisbpf_actions_in_effect", "gauge", "Actions in effect that can be undone.");
const TRIPPED: Metric = (
    "aegisbpf_actions_breaker_tripped",
    "gauge",
    "1 when rules asked for so much that all is only reported.",
);

/// Figures of actions, out of what the guard counts.
pub(super) fn actions(counters: &Json) -> String {
    let actions = counters.get("actions").unwrap_or(&Json::Null);
    let mut out = String::new();
    let mut heading = |(name, kind, help): Metric, lines: &str| {
        // Writing to a text does not fail.
        _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
    };
    let mut counts = String::new();
    for one in actions.get("counts").and_then(Json::as_array).into_iter().flatten() {
        let of = |name: &str| escaped(one.get(name).and_then(Json::as_str).unwrap_or_default());
        let (rule, verb, outcome) = (of("rule"), of("verb"), of("outcome"));
        let count = one.get("count").and_then(Json::as_u64).unwrap_or_default();
        let labels = format!("rule=\"{rule}\",verb=\"{verb}\",outcome=\"{outcome}\"");
        _ = writeln!(counts, "{}{{{labels}}} {count}", ACTIONS.0);
    }
    heading(ACTIONS, &counts);
    let in_effect = actions.get("in_effect").and_then(Json::as_u64).unwrap_or_default();
    heading(IN_EFFECT, &format!("{} {in_effect}\n", IN_EFFECT.0));
    let tripped = actions.get("breaker").and_then(Json::as_str) == Some("tripped");
    heading(TRIPPED, &format!("{} {}\n", TRIPPED.0, u8::from(tripped)));
    out
}

/// A value of a label, as Prometheus reads it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Figures of scripts. Names of scripts are bounded in number and length by what a program may have, and are
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
        let row = |(name, kind, help): &Metric| format!("| `{name}` | {kind} | {help} |\n");
        let scripts =
            (include_str!("../../../../docs/scripts.md"), &[CALLS, QUARANTINED, VIOLATIONS][..]);
        let responses =
            (include_str!("../../../../docs/responses.md"), &[ACTIONS, IN_EFFECT, TRIPPED][..]);
        let rules = (
            include_str!("../../../../docs/rules.md"),
            &[GENERATION, AGE, TRIAL, HELD, REVERTED, UNKEPT][..],
        );
        for (page, metrics) in [scripts, responses, rules] {
            let (_, table) = page.split_once("<!-- metrics -->\n").unwrap();
            let (table, _) = table.split_once("<!-- end of metrics -->").unwrap();
            let rows: String = metrics.iter().map(row).collect();
            assert_eq!(table, format!("| name | type | what it tells |\n|---|---|---|\n{rows}"));
        }
    }

    #[test]
    fn a_generation_has_its_figures() {
        let generation = super::super::board::Generation {
            number: Some(7),
            began: 100,
            trial_until: Some(160),
            ..Default::default()
        };
        let set = RuleSet { generation: Some(generation), ..RuleSet::default() };
        let text = rules(&set, 130);
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "aegisbpf_rules_generation 7",
            "aegisbpf_rules_age_seconds 30",
            "aegisbpf_rules_trial_left_seconds 30",
            "aegisbpf_rules_held_back 0",
            "aegisbpf_rules_reverted_total 0",
            "aegisbpf_rules_unkept_total 0",
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn actions_are_counted_by_rule_verb_and_outcome() {
        let counts =
            serde_json::json!([{ "rule": "a\"b", "verb": "kill", "outcome": "done", "count": 3 }]);
        let counters = serde_json::json!({
            "actions": { "counts": counts, "in_effect": 2, "breaker": "tripped" },
        });
        let text = actions(&counters);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let first = r#"aegisbpf_actions_total{rule="a\"b",verb="kill",outcome="done"} 3"#;
        let rest = ["aegisbpf_actions_in_effect 2", "aegisbpf_actions_breaker_tripped 1"];
        assert_eq!(lines, [first, rest[0], rest[1]]);
        assert!(actions(&Json::Null).contains("aegisbpf_actions_breaker_tripped 0"));
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
