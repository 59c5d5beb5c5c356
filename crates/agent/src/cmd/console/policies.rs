//! Policies: what is in force by the kernel's word, what was denied, what changed, and what others would do.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::change::{self, Offer};
use super::page::{
    Sheet, Tone, chip, code, nothing, number, pairs, part, plain, severity, table, time,
};
use super::told::{count, is, list, object, word};
use super::{Console, Wanted, simulation};
use crate::cmd::status::span;
use crate::exit::Failure;
use crate::policy::running;
use crate::policy::store::{About, Rule, Store, Who};

/// Denials on the page; the audit log and the alerts have more.
const DENIALS: usize = 50;
/// Changes on the page; `aegisbpf policy history` has all.
const CHANGES: usize = 20;
/// Digits of a digest.
const DIGITS: usize = 12;

/// Looks at them.
pub(super) fn page(console: &Console, _: &Wanted) -> Result<Sheet, Failure> {
    let dirs = &console.args.dirs;
    let agent = running::ask(&dirs.runtime_dir)?.unwrap_or_default();
    let denials = object(&dirs.runtime_dir, "/v1/denials")?;
    let store = Store::at(&dirs.state_dir);
    let active = store.active()?;
    let about = active.map(|active| store.about(active)).transpose()?;
    let body = html! {
        (part("In force", &in_force(&agent, about.as_ref())))
        (emergency(console, is(&agent, "/disabled")))
        (part("Plan and simulate", &simulation::form(console, active.is_some())))
        @if let Some(about) = &about { (part("Rules", &rules(about))) }
        (part("Denied of late", &denied(&denials)))
        (part("What this host cannot deny", &missing(&agent)))
        (part("Changes", &changes(&store.changes()?)))
    };
    Ok(Sheet::new("Policies", body))
}

fn in_force(agent: &Json, about: Option<&About>) -> Markup {
    let Some(about) = about else {
        return nothing("No policy is in force: nothing is denied.");
    };
    let made = jiff::Timestamp::from_second(about.made).unwrap_or_default().to_string();
    let kernel = if is(agent, "/disabled") {
        chip("switched off", Tone::Bad)
    } else if is(agent, "/in_kernel/is_what_was_given") {
        html! { (chip("as it was given", Tone::Good)) " generation " (word(agent, "/in_kernel/generation")) }
    } else {
        chip("not what was given", Tone::Bad)
    };
    let trial = count(agent, "/trial_left_s");
    let failed = word(agent, "/trial_failed");
    let digest: String = about.sha256.chars().take(DIGITS).collect();
    html! { div .card { (pairs(&[
        ("Generation", html! { (about.generation) }),
        ("In the kernel", kernel),
        ("Mode", plain(&word(agent, "/mode"))),
        ("Tier", plain(&word(agent, "/tier"))),
        ("Denied", html! { (number(count(agent, "/denied"))) }),
        ("Would be denied", html! { (number(count(agent, "/would_deny"))) }),
        ("Made", html! { (time(&made)) " by " (about.who.name()) }),
        ("SHA-256", code(&digest)),
        ("Trial", if trial > 0 { html! { (chip("on trial", Tone::Warn)) " for " (span(trial)) " more" } }
                  else if failed.is_empty() { plain("none") }
                  else { html! { (chip("failed", Tone::Bad)) " " (failed) } }),
        ("Files", html! { @for one in &about.sources { (code(&one.name)) " " } }),
    ])) } }
}

fn rules(about: &About) -> Markup {
    let row = |one: &Rule| {
        let mode =
            if one.enforced { chip("enforce", Tone::Good) } else { chip("audit", Tone::Plain) };
        let place = format!("{}:{}", one.file, one.line);
        vec![
            mode,
            html! { (one.policy) "/" strong { (one.id) } },
            severity(&one.severity),
            plain(one.message.as_deref().unwrap_or_default()),
            code(&place),
        ]
    };
    let rows: Vec<Vec<Markup>> = about.rules.iter().map(row).collect();
    table("Rules", &["mode", "rule", "severity", "message", "place"], &rows)
}

fn denied(denials: &Json) -> Markup {
    let row = |one: &Json| {
        let outcome = word(one, "/outcome");
        let object = super::told::first(one, &["/object", "/peer", "/file"]);
        let who = super::told::first(one, &["/executable", "/pid"]);
        vec![
            time(&word(one, "/time")),
            chip(&outcome, if outcome == "denied" { Tone::Bad } else { Tone::Warn }),
            html! { (word(one, "/operation")) " " (code(&object)) },
            code(&who),
            html! { (word(one, "/rule")) @let message = word(one, "/message"); @if !message.is_empty() { br; span .muted { (message) } } },
        ]
    };
    let rows: Vec<Vec<Markup>> = list(denials, "/denials").iter().take(DENIALS).map(row).collect();
    if rows.is_empty() {
        return nothing("Nothing was denied of late.");
    }
    table("Denials", &["when", "outcome", "what", "who", "by rule"], &rows)
}

fn missing(agent: &Json) -> Markup {
    let cases = ["/missing/operations", "/missing/unknown"].into_iter();
    let cases = cases.filter_map(|pointer| agent.pointer(pointer)?.as_object()).flatten();
    let rows: Vec<Vec<Markup>> =
        cases.map(|(what, why)| vec![plain(what), plain(&word(why, ""))]).collect();
    if rows.is_empty() {
        return nothing("Every operation of a policy can be denied here.");
    }
    html! { details { summary { (rows.len()) " operations or conditions, and why" } (table("What cannot be denied", &["what", "why"], &rows)) } }
}

fn changes(all: &[Json]) -> Markup {
    let row = |one: &Json| {
        let who = serde_json::from_value::<Who>(one["who"].clone());
        vec![
            time(&word(one, "/@timestamp")),
            plain(&word(one, "/action")),
            plain(&word(one, "/before/generation")),
            plain(&word(one, "/after/generation")),
            plain(&who.map_or_else(|_| String::new(), |who| who.name())),
            plain(&word(one, "/reason")),
        ]
    };
    let rows: Vec<Vec<Markup>> = all.iter().rev().take(CHANGES).map(row).collect();
    if rows.is_empty() {
        return nothing("Nobody has changed policies yet.");
    }
    table("Changes", &["when", "what", "from", "to", "who", "why"], &rows)
}

/// The switch, if it may be used here.
fn emergency(console: &Console, is_off: bool) -> Markup {
    let (action, reason) = ("/change/emergency", true);
    let offer = if is_off {
        let about = "All enforcement is switched off.";
        Offer { action, button: "Enforce again", says: Some(("enforce", "true")), about, reason }
    } else {
        let about = "The emergency switch: policies and isolations end at once, the agent goes on watching.";
        let says = Some(("enforce", "false"));
        Offer { action, button: "Switch all enforcement off", says, about, reason }
    };
    change::form(console, offer)
}
