//! What the operator does not want to be told again, and what that covered.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::page::{Sheet, Tone, chip, code, nothing, number, plain, table, time};
use super::told::{count, list, object, word};
use super::{Console, Wanted};
use crate::exit::Failure;

/// Looks at them.
pub(super) fn page(console: &Console, _: &Wanted) -> Result<Sheet, Failure> {
    let known = object(&console.args.dirs.runtime_dir, "/v1/suppressions")?;
    let rows: Vec<Vec<Markup>> = list(&known, "/suppressions").iter().map(row).collect();
    let heads = ["state", "suppression", "where", "why", "until", "covered", "last"];
    let body = html! {
        p .lead { "What is harmless on this host, under a condition, for a reason, until a day." }
        @if rows.is_empty() {
            (nothing("Nothing is suppressed."))
            p .muted { code { "aegisbpf suppressions suggest RULE" } " writes one for the recent alerts of a rule." }
        } @else { (table("Suppressions", &heads, &rows)) }
    };
    Ok(Sheet::new("Suppressions", body))
}

fn row(one: &Json) -> Vec<Markup> {
    let state = word(one, "/state");
    let rule = word(one, "/rule");
    vec![
        chip(&state, Tone::good_if(state == "in force", Tone::Warn)),
        html! { (word(one, "/id")) br; a .muted href={ "/alerts?rule=" (rule) } { (rule) } },
        code(&word(one, "/where")),
        plain(&word(one, "/reason")),
        time(&word(one, "/expires")),
        html! { (number(count(one, "/covered"))) },
        time(&word(one, "/last")),
    ]
}
