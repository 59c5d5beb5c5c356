//! The overview: whether all is well, what happens, and what to look at first.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::page::{Sheet, Tone, chip, figure, many, nothing, number, part, severity, table, time};
use super::told::{count, first, is, list, word};
use super::{Console, Wanted, incidents, told};
use crate::cmd::status::{losses, span};
use crate::cmd::top::look::{Look, Rates};
use crate::exit::{Exit, Failure};

/// Seconds between two pages where somebody keeps looking.
const LIVE: u32 = 5;
/// Alerts that are shown.
const ALERTS: usize = 8;
/// Incidents that are shown.
const INCIDENTS: usize = 5;
/// Minutes of the picture of alerts.
const MINUTES: usize = 60;
/// Height of that picture.
const HEIGHT: u64 = 60;

/// Looks now.
pub(super) fn page(console: &Console, wanted: &Wanted) -> Result<Sheet, Failure> {
    let runtime = &console.args.dirs.runtime_dir;
    let look = Look::take(runtime)?;
    let known = told::object(runtime, "/v1/incidents")?;
    let mut last = console
        .last
        .lock()
        .map_err(|_| Failure::new(Exit::Internal, "another page ended in a fault"))?;
    let rates = last.as_ref().map(|before| Rates::between(before, &look));
    let now = jiff::Timestamp::now();
    let body = body(&look, &known, rates, now);
    *last = Some(look);
    let live = wanted.live == Some(true);
    let body = html! {
        p .live {
            @if live { a href="/" { "Stop" } " · shown anew every " (LIVE) " seconds" }
            @else { a href="/?live=true" { "Keep looking" } }
        }
        (body)
    };
    Ok(Sheet::new("Overview", body).every(live.then_some(LIVE)))
}

fn body(look: &Look, known: &Json, rates: Option<Rates>, now: jiff::Timestamp) -> Markup {
    let all = list(known, "/incidents");
    let newest: Vec<&Json> = all.iter().rev().take(INCIDENTS).collect();
    let open = all.iter().filter(|one| is(one, "/open")).count();
    let latest = look.alerts.iter().rev().take(ALERTS);
    let rows: Vec<Vec<Markup>> = latest.map(alert).collect();
    html! {
        (verdict(&look.status))
        div .figures { (figures(look, open, rates)) }
        (part("Alerts of the last hour", &picture(&look.alerts, now)))
        section {
            h2 { "Incidents" }
            @if newest.is_empty() { (nothing("No incident is known.")) }
            @else { (incidents::list_of(&newest)) p { a href="/incidents" { "All incidents" } } }
        }
        section {
            h2 { "Latest alerts" }
            @if rows.is_empty() { (nothing("No alert was raised since the agent started.")) }
            @else {
                (table("Latest alerts", &["when", "severity", "what", "program"], &rows))
                p { a href="/alerts" { "All alerts" } }
            }
        }
    }
}

fn alert(one: &Json) -> Vec<Markup> {
    vec![
        time(&word(one, "/@timestamp")),
        severity(&word(one, "/severity")),
        html! { (first(one, &["/rule/name", "/message"])) },
        super::page::code(&first(one, &["/process/executable", "/file/path"])),
    ]
}

/// What is wrong, the worst first; nothing else is as important.
fn verdict(status: &Json) -> Markup {
    let faults = faults(status);
    html! {
        @if faults.is_empty() {
            p .verdict.good { (chip("the agent is well", Tone::Good)) " Nothing is lost or refused." }
        } @else {
            ul .verdict.warn { @for (tone, word, what) in faults { li { (chip(word, tone)) " " (what) } } }
        }
    }
}

fn faults(status: &Json) -> Vec<(Tone, &'static str, String)> {
    let mut faults = Vec::new();
    let mut fault = |tone, word, what: String| faults.push((tone, word, what));
    if is(status, "/kernel_counters/policy/disabled") {
        fault(Tone::Bad, "off", "The emergency switch is used: nothing is enforced.".to_owned());
    }
    if word(status, "/kernel_counters/actions/breaker") == "tripped" {
        fault(
            Tone::Bad,
            "breaker",
            "Rules asked for too much at once: their actions are only reported.".into(),
        );
    }
    let lost = losses(status);
    if lost != "nothing" {
        fault(Tone::Bad, "lost", format!("Events were lost: {lost}."));
    }
    let error = word(status, "/rules/reload/error");
    if !error.is_empty() {
        fault(Tone::Bad, "rules", format!("The rules were not replaced: {error}"));
    }
    for (pointer, what) in [("/rules/refused", "rule is refused"), ("/worker/restarts", "restart")]
    {
        match count(status, pointer) {
            0 => {}
            some if pointer == "/rules/refused" => {
                let rules =
                    if some == 1 { what.to_owned() } else { "rules are refused".to_owned() };
                fault(Tone::Warn, "rules", format!("{some} {rules}."));
            }
            some => fault(Tone::Warn, "worker", format!("{} of the worker.", many(some, what))),
        }
    }
    for one in list(status, "/kernel_counters/outputs/all") {
        let state = word(one, "/state");
        if state != "ok" {
            let (name, why) = (word(one, "/name"), word(one, "/last_error"));
            fault(Tone::Warn, "output", format!("{name} is {state}: {why}"));
        }
    }
    if word(status, "/tier") == "observe" {
        fault(Tone::Warn, "tier", "This kernel lets the agent see, and deny nothing.".to_owned());
    }
    faults
}

fn figures(look: &Look, open: usize, rates: Option<Rates>) -> Markup {
    let status = &look.status;
    let mode = word(status, "/mode");
    let off = is(status, "/kernel_counters/policy/disabled");
    let generation = word(status, "/kernel_counters/policy/generation");
    let policy = if generation.is_empty() {
        "no policy is in force".to_owned()
    } else {
        format!("policy generation {generation}")
    };
    let a_second = |rate: &dyn Fn(Rates) -> u64| {
        rates.map_or_else(String::new, |rates| format!("{} a second", number(rate(rates))))
    };
    let tier = word(status, "/tier");
    let lost = look.lost();
    html! {
        (figure("Mode", &mode, &policy, if off { Tone::Bad } else { Tone::good_if(mode == "enforce", Tone::Plain) }))
        (figure("Tier", &tier, &word(status, "/kernel"), tier_tone(&tier)))
        (figure("Open incidents", &number(u64::try_from(open).unwrap_or(u64::MAX)), "", if open > 0 { Tone::Warn } else { Tone::Good }))
        (figure("Alerts", &number(count(status, "/events/alerts")), &a_second(&|rates| rates.alerts), Tone::Plain))
        (figure("Denied", &number(look.denials()), &a_second(&|rates| rates.denials), Tone::Plain))
        (figure("Actions", &number(look.actions()), &a_second(&|rates| rates.actions), Tone::Plain))
        (figure("Events", &number(count(status, "/events/events")), &a_second(&|rates| rates.events), Tone::Plain))
        (figure("Lost", &number(lost), &a_second(&|rates| rates.lost), Tone::good_if(lost == 0, Tone::Bad)))
        (figure("Rules", &number(count(status, "/rules/loaded")), &many(count(status, "/events/processes"), "known process").replace("processs", "processes"), Tone::Plain))
        (figure("Running for", &span(count(status, "/uptime_s")), &format!("version {}", word(status, "/version")), Tone::Plain))
    }
}

/// Only LSM programs deny all that a policy can say.
fn tier_tone(tier: &str) -> Tone {
    match tier {
        "lsm" => Tone::Good,
        "fallback" => Tone::Plain,
        _ => Tone::Warn,
    }
}

/// Alerts of the last hour, a bar a minute, the severe ones at the bottom.
fn picture(alerts: &[Json], now: jiff::Timestamp) -> Markup {
    let mut bars = vec![[0_u64; 2]; MINUTES];
    for alert in alerts {
        let Ok(time) = word(alert, "/@timestamp").parse::<jiff::Timestamp>() else { continue };
        let ago = now.duration_since(time).as_secs().max(0) / 60;
        let bar = usize::try_from(ago).ok().and_then(|ago| bars.get_mut(ago));
        let severe = ["high", "critical"].contains(&word(alert, "/severity").as_str());
        if let Some(count) = bar.and_then(|bar| bar.get_mut(usize::from(!severe))) {
            *count += 1;
        }
    }
    let most = bars.iter().map(|[severe, other]| severe + other).max().unwrap_or_default();
    let all: u64 = bars.iter().flatten().sum();
    let high = |count: u64| (count * HEIGHT).div_ceil(most.max(1));
    // The newest stands at the right.
    let bars = bars.iter().enumerate().filter(|(_, bar)| **bar != [0, 0]);
    let bars = bars.map(|(ago, [severe, other])| (MINUTES - 1 - ago, high(*severe), high(*other)));
    html! {
        div .card.picture {
            svg viewBox={ "0 0 600 " (HEIGHT + 2) } preserveAspectRatio="none" role="img"
                aria-label={ (many(all, "alert")) " in the last hour, at most " (most) " in a minute" } {
                @for (at, severe, other) in bars {
                    rect .severe x=(at * 10 + 1) y=(HEIGHT + 1 - severe) width="8" height=(severe) {}
                    rect .other x=(at * 10 + 1) y=((HEIGHT + 1).saturating_sub(severe + other)) width="8" height=(other) {}
                }
                rect .ground x="0" y=(HEIGHT + 1) width="600" height="1" {}
            }
            p .axis { span { "an hour ago" } span { (many(all, "alert")) " · high and critical ones below, in red" } span { "now" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_said_first() {
        let sound = json!({ "tier": "lsm", "rules": { "refused": 0, "reload": null },
            "worker": { "restarts": 0 }, "kernel_counters": { "lost": { "life": { "ring_full": 0 } },
            "actions": { "breaker": "ready" } } });
        assert_eq!(faults(&sound), []);
        let mut broken = sound;
        broken["rules"]["refused"] = 2.into();
        broken["worker"]["restarts"] = 1.into();
        broken["kernel_counters"]["lost"]["life"]["ring_full"] = 7.into();
        broken["kernel_counters"]["policy"] = json!({ "disabled": true });
        let words: Vec<_> =
            faults(&broken).into_iter().map(|(_, word, what)| (word, what)).collect();
        assert_eq!(words[0].0, "off");
        assert_eq!(words[1], ("lost", "Events were lost: life ring_full 7.".to_owned()));
        assert_eq!(words[2], ("rules", "2 rules are refused.".to_owned()));
        assert_eq!(words[3], ("worker", "1 restart of the worker.".to_owned()));
    }

    #[test]
    fn the_picture_has_a_bar_for_each_minute_with_alerts() {
        let now: jiff::Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let alert =
            |time: &str, severity: &str| json!({ "@timestamp": time, "severity": severity });
        let alerts = [
            alert("2026-01-01T11:59:30Z", "high"),
            alert("2026-01-01T11:59:40Z", "low"),
            alert("2026-01-01T11:30:00Z", "critical"),
            alert("2026-01-01T10:30:00Z", "critical"),
            alert("2026-01-01T12:00:01Z", "low"),
        ];
        let text = picture(&alerts, now).into_string();
        assert!(text.contains("4 alerts in the last hour, at most 3 in a minute"), "{text}");
        assert!(text.contains(r#"class="severe" x="591" y="41" width="8" height="20""#), "{text}");
        assert!(text.contains(r#"class="other" x="591" y="1" width="8" height="40""#), "{text}");
    }
}
