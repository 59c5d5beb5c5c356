//! What was done because rules matched, or would have been: out of the audit log.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::change::{self, Offer};
use super::page::{Sheet, Tone, chip, code, nothing, part, plain, table, time};
use super::told::{object, word};
use super::{Console, Wanted};
use crate::cmd::actions;
use crate::exit::Failure;

/// Actions on the page; `aegisbpf actions list -n N` has more.
const SHOWN: usize = 200;

/// Looks at them.
pub(super) fn page(console: &Console, _: &Wanted) -> Result<Sheet, Failure> {
    let dirs = &console.args.dirs;
    let status = object(&dirs.runtime_dir, "/v1/status")?;
    let all = actions::documents(&dirs.state_dir)?;
    let would = actions::would_be(&dirs.state_dir)?;
    let in_effect: Vec<&Json> =
        all.iter().filter(|one| !one["in_effect_until"].is_null()).collect();
    let body = html! {
        (breaker(&status))
        (part("In effect", &effects(console, &in_effect)))
        (part("Done", &done(&all)))
        (part("What enforcing would have done", &reported(&would)))
    };
    Ok(Sheet::new("Responses", body))
}

fn breaker(status: &Json) -> Markup {
    let state = word(status, "/kernel_counters/actions/breaker");
    let mode = word(status, "/kernel_counters/actions/mode");
    html! {
        p .lead {
            "Mode " (chip(if mode.is_empty() { "detect" } else { &mode }, Tone::Plain)) " · breaker "
            (chip(if state.is_empty() { "unknown" } else { &state }, Tone::good_if(state == "ready", Tone::Bad)))
        }
    }
}

fn effects(console: &Console, all: &[&Json]) -> Markup {
    if all.is_empty() {
        return nothing("Nothing that rules did and that can be undone is in effect.");
    }
    html! {
        @for one in all {
            div .card {
                p { strong { (word(one, "/decision/response")) } " of " code { (word(one, "/decision/executable")) }
                    " (" (word(one, "/decision/pid")) ") by " (word(one, "/decision/rule"))
                    ", until " (time(&word(one, "/in_effect_until"))) }
                (undo(console, &word(one, "/id")))
            }
        }
    }
}

fn undo(console: &Console, id: &str) -> Markup {
    let (action, says) = ("/change/rollback", Some(("id", id)));
    change::form(console, Offer { action, button: "Undo", says, about: "", reason: true })
}

fn done(all: &[Json]) -> Markup {
    let row = |one: &Json| {
        let outcome = word(one, "/outcome");
        vec![
            time(&word(one, "/decision/@timestamp")),
            html! { strong { (word(one, "/decision/response")) } " " span .muted { (word(one, "/id")) } },
            html! { code { (word(one, "/decision/executable")) } " " span .muted { (word(one, "/decision/pid")) } },
            plain(&word(one, "/decision/rule")),
            chip(&outcome, Tone::good_if(outcome == "done", Tone::Warn)),
        ]
    };
    let rows: Vec<Vec<Markup>> = all.iter().rev().take(SHOWN).map(row).collect();
    if rows.is_empty() {
        return nothing("No rule has done anything yet.");
    }
    table("Done", &["when", "what", "to whom", "by rule", "outcome"], &rows)
}

fn reported(all: &[Json]) -> Markup {
    let row = |one: &Json| {
        vec![
            plain(&word(one, "/response")),
            code(&word(one, "/executable")),
            plain(&word(one, "/user")),
            plain(&word(one, "/rule")),
            plain(&word(one, "/count")),
            time(&word(one, "/last")),
        ]
    };
    let rows: Vec<Vec<Markup>> = all.iter().take(SHOWN).map(row).collect();
    if rows.is_empty() {
        return nothing(
            "Nothing was left undone: rules that respond were allowed to, or none matched.",
        );
    }
    table("Would have been done", &["what", "executable", "user", "rule", "count", "last"], &rows)
}
