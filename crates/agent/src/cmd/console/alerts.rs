//! The alerts that the agent remembers, the newest first.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::incidents::subject;
use super::page::{Sheet, Tone, chip, code, nothing, severity, table, time};
use super::told::{alerts, first, word};
use super::{Console, Wanted};
use crate::exit::Failure;

/// Alerts on the page; all of them are in `aegisbpf alerts`.
const SHOWN: usize = 300;
/// What can be chosen.
const SEVERITIES: &[&str] = &["critical", "high", "medium", "low", "informational"];

/// Those of a rule or a severity, or all.
pub(super) fn page(console: &Console, wanted: &Wanted) -> Result<Sheet, Failure> {
    let all = alerts(&console.args.dirs.runtime_dir)?;
    Ok(Sheet::new("Alerts", body(&all, wanted)))
}

fn is_wanted(alert: &Json, wanted: &Wanted) -> bool {
    let holds = |wanted: &Option<String>, pointer: &str| {
        let wanted = wanted.as_deref().filter(|wanted| !wanted.is_empty());
        wanted.is_none_or(|wanted| alert.pointer(pointer).and_then(Json::as_str) == Some(wanted))
    };
    holds(&wanted.rule, "/rule/id") && holds(&wanted.severity, "/severity")
}

fn body(all: &[Json], wanted: &Wanted) -> Markup {
    let found: Vec<&Json> = all.iter().rev().filter(|one| is_wanted(one, wanted)).collect();
    let rows: Vec<Vec<Markup>> = found.iter().take(SHOWN).map(|one| row(one)).collect();
    let heads = ["when", "severity", "rule", "who and what", "outcome", "incident"];
    html! {
        (form(wanted))
        @if rows.is_empty() { (nothing("No alert is remembered that is as asked for.")) }
        @else {
            p .muted { (rows.len()) " of " (all.len()) " that the agent remembers, the newest first" }
            (table("Alerts", &heads, &rows))
        }
    }
}

fn form(wanted: &Wanted) -> Markup {
    let rule = wanted.rule.as_deref().unwrap_or_default();
    html! {
        form .filter method="get" action="/alerts" {
            label { "Severity"
                select name="severity" {
                    option value="" { "all" }
                    @for one in SEVERITIES {
                        option value=(one) selected[wanted.severity.as_deref() == Some(*one)] { (one) }
                    }
                }
            }
            label { "Rule" input name="rule" value=(rule) placeholder="its id" autocomplete="off" spellcheck="false"; }
            button { "Show" }
        }
    }
}

fn row(one: &Json) -> Vec<Markup> {
    let outcome = word(one, "/event/reason");
    let incident = word(one, "/incident/id");
    let short: String = incident.chars().take(8).collect();
    vec![
        time(&word(one, "/@timestamp")),
        severity(&word(one, "/severity")),
        html! { (first(one, &["/rule/name", "/message"])) br; span .muted { (word(one, "/rule/id")) } },
        code(&subject(one)),
        html! { @if outcome.is_empty() { span .muted { "alert" } } @else { (chip(&outcome, Tone::Bad)) } },
        html! { @if incident.is_empty() { span .muted { "–" } } @else { a href={ "/incidents?id=" (incident) } { (short) } } },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_asked_for_is_shown() {
        let alert = |rule: &str, severity: &str| json!({ "rule": { "id": rule, "name": rule }, "severity": severity });
        let all = [alert("one-rule", "high"), alert("two-rule", "low")];
        let shown = |rule: Option<&str>, severity: Option<&str>| {
            let wanted = Wanted {
                rule: rule.map(str::to_owned),
                severity: severity.map(str::to_owned),
                ..Wanted::default()
            };
            let text = body(&all, &wanted).into_string();
            let rows = text.split("<tbody>").nth(1).unwrap_or_default();
            (rows.contains("one-rule"), rows.contains("two-rule"))
        };
        assert_eq!(shown(None, None), (true, true));
        assert_eq!(shown(Some(""), Some("")), (true, true), "an empty form asks for all");
        assert_eq!(shown(Some("one-rule"), None), (true, false));
        assert_eq!(shown(None, Some("low")), (false, true));
        assert_eq!(shown(Some("one-rule"), Some("low")), (false, false));
    }
}
