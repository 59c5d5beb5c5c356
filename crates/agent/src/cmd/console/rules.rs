//! The rules that run: what they found, what they cost, and what is wrong with some.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::change::{self, Offer};
use super::page::{
    Sheet, Tone, chip, code, nothing, number, pairs, part, plain, severity, table, time,
};
use super::told::{count, is, list, object, word};
use super::{Console, Wanted};
use crate::cmd::status::span;
use crate::exit::Failure;

/// Width of the picture of a cost.
const BAR: u64 = 80;

/// Looks at them.
pub(super) fn page(console: &Console, _: &Wanted) -> Result<Sheet, Failure> {
    let runtime = &console.args.dirs.runtime_dir;
    let (known, status) = (object(runtime, "/v1/rules")?, object(runtime, "/v1/status")?);
    let reload = Offer {
        action: "/change/reload",
        button: "Read the rules again",
        says: None,
        about: "",
        reason: false,
    };
    let body = html! {
        div .card { (generation(&status)) }
        (change::form(console, reload))
        (rules(&known))
        (scripts(&known))
        (left_out(&known))
    };
    Ok(Sheet::new("Rules", body))
}

fn generation(status: &Json) -> Markup {
    let at = |name: &str| format!("/rules/generation/{name}");
    let trial = count(status, &at("trial_left_s"));
    let held = word(status, &at("held/why"));
    let error = word(status, "/rules/reload/error");
    let state = html! {
        @if trial > 0 { (chip("on trial", Tone::Warn)) " for " (span(trial)) " more" }
        @else if !held.is_empty() { (chip("held", Tone::Warn)) " by a " (held) }
        @else { (chip("in force", Tone::Good)) }
        @if is(status, &at("changed")) { " The files have changed since." }
    };
    let directories = list(status, "/rules/directories");
    pairs(&[
        ("Generation", plain(&word(status, &at("number")))),
        ("State", state),
        ("Since", time(&word(status, &at("since")))),
        ("Loaded", html! { (number(count(status, "/rules/loaded"))) }),
        ("Refused", html! { (number(count(status, "/rules/refused"))) }),
        ("Read from", html! { @for one in directories { (code(&word(one, ""))) " " } }),
        (
            "Last reading",
            if error.is_empty() {
                html! { "without a fault" }
            } else {
                html! { (chip("failed", Tone::Bad)) " " (error) }
            },
        ),
    ])
}

/// Those first that have something wrong, then those that found most.
fn rules(known: &Json) -> Markup {
    let mut rules: Vec<&Json> = list(known, "/rules").iter().collect();
    rules.sort_by_key(|rule| {
        let found = std::cmp::Reverse((
            count(rule, "/alerts"),
            count(rule, "/matches"),
            count(rule, "/cost_ns"),
        ));
        (word(rule, "/state") == "ok", found)
    });
    let budget = count(known, "/budget_ns");
    let rows: Vec<Vec<Markup>> = rules.iter().map(|rule| row(rule, budget)).collect();
    let heads = [
        "state",
        "rule",
        "severity",
        "matches",
        "alerts",
        "only counted",
        "cost an event",
        "decided by",
        "from",
    ];
    html! {
        @if rows.is_empty() { (nothing("No rule runs.")) } @else { (table("Rules", &heads, &rows)) }
    }
}

fn row(rule: &Json, budget: u64) -> Vec<Markup> {
    let state = word(rule, "/state");
    let id = word(rule, "/id");
    let pack = word(rule, "/pack");
    vec![
        chip(&state, Tone::good_if(state == "ok", Tone::Warn)),
        html! { (word(rule, "/name")) br; a .muted href={ "/alerts?rule=" (id) } { (id) } },
        severity(&word(rule, "/severity")),
        html! { (number(count(rule, "/matches"))) },
        html! { (number(count(rule, "/alerts"))) },
        html! { (number(count(rule, "/suppressed"))) },
        cost(count(rule, "/cost_ns"), budget),
        plain(&word(rule, "/placement")),
        html! { (code(&word(rule, "/file"))) @if !pack.is_empty() { " " span .tag { (pack) } } },
    ]
}

/// A cost beside what a rule may cost.
fn cost(nanoseconds: u64, budget: u64) -> Markup {
    let width = (nanoseconds.saturating_mul(BAR) / budget.max(1)).min(BAR);
    let class = if nanoseconds > budget { "severe" } else { "other" };
    html! {
        span .cost {
            svg viewBox={ "0 0 " (BAR) " 8" } width=(BAR) height="8" aria-hidden="true" {
                rect .ground x="0" y="0" width=(BAR) height="8" rx="4" {}
                rect .(class) x="0" y="0" width=(width) height="8" rx="4" {}
            }
            " " @if nanoseconds == 0 { span .muted { "not measured" } } @else { (number(nanoseconds)) " ns" }
        }
    }
}

fn scripts(known: &Json) -> Markup {
    let row = |one: &Json| {
        let state = word(one, "/state");
        vec![
            chip(&state, Tone::good_if(word(one, "/quarantined").is_empty(), Tone::Bad)),
            code(&word(one, "/name")),
            plain(&word(one, "/kind")),
            html! { (number(count(one, "/calls"))) },
            html! { (number(count(one, "/violations"))) },
            plain(&word(one, "/quarantined")),
        ]
    };
    let rows: Vec<Vec<Markup>> = list(known, "/scripts").iter().map(row).collect();
    if rows.is_empty() {
        return html! {};
    }
    let heads = ["state", "script", "kind", "calls", "violations", "why"];
    part("Scripts", &table("Scripts", &heads, &rows))
}

fn left_out(known: &Json) -> Markup {
    let all = list(known, "/left_out");
    let row = |one: &Json| {
        vec![plain(&word(one, "/id")), code(&word(one, "/file")), plain(&word(one, "/reason"))]
    };
    let rows: Vec<Vec<Markup>> = all.iter().map(row).collect();
    if rows.is_empty() {
        return html! {};
    }
    part("Left out", &table("Left out", &["rule", "file", "why"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_comes_first_and_then_what_found_most() {
        let rule = |id: &str, state: &str, alerts: u64| json!({ "id": id, "name": id, "state": state, "alerts": alerts });
        let known = json!({ "rules": [rule("calm", "ok", 0), rule("busy", "ok", 9), rule("slow", "slow", 1)] });
        let text = rules(&known).into_string();
        let at = |id: &str| text.find(&format!("rule={id}")).unwrap();
        assert!(at("slow") < at("busy") && at("busy") < at("calm"), "{text}");
    }

    #[test]
    fn a_cost_beyond_the_budget_is_not_drawn_beyond_it() {
        assert!(cost(100, 50).into_string().contains(r#"class="severe" x="0" y="0" width="80""#));
        assert!(cost(25, 50).into_string().contains(r#"class="other" x="0" y="0" width="40""#));
        assert!(
            cost(1, 0).into_string().contains("width=\"80\""),
            "no budget: nothing is divided by it"
        );
    }
}
