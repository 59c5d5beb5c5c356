//! What policies need, and what they would have denied of what really happened: the same code as
//! `aegisbpf policy plan` and `simulate`, over the history of the agent. Nothing is changed.

use std::path::PathBuf;

use maud::{Markup, html};
use serde_json::Value as Json;

use super::page::{Sheet, Tone, chip, code, many, nothing, number, part, plain, table};
use super::told::{count, list, word};
use super::{Console, Wanted};
use crate::cli::policy::{Recorded, duration};
use crate::cmd::policy::{plan, simulate};
use crate::exit::{Exit, Failure};
use crate::policy::bundles::Vouch;
use crate::policy::deploy::{Stop, in_force};
use crate::policy::load::{self, Ready, Refused, Verified};
use crate::policy::store::Store;

/// The policies in force, as an address calls them; anything else is the files.
const IN_FORCE: &str = "in-force";
const FILES: &str = "files";
/// How long ago can be chosen, and in words.
const SINCE: &[(&str, &str)] =
    &[("10m", "10 minutes"), ("1h", "hour"), ("6h", "6 hours"), ("1d", "day"), ("7d", "week")];
/// Groups and findings on the page; `-o json` of the commands has all.
const SHOWN: usize = 100;

/// Where one chooses.
pub(super) fn form(console: &Console, has_active: bool) -> Markup {
    let files: Vec<String> = paths(console).iter().map(|path| path.display().to_string()).collect();
    html! {
        form .filter method="get" action="/simulation" {
            label { "Policies"
                select name="of" {
                    @if has_active { option value=(IN_FORCE) { "in force" } }
                    option value=(FILES) { (files.join(", ")) }
                }
            }
            label { "What happened in the last"
                select name="since" { @for (value, words) in SINCE { option value=(value) selected[*value == "1h"] { (words) } } }
            }
            button { "Plan and simulate" }
        }
    }
}

fn paths(console: &Console) -> Vec<PathBuf> {
    load::paths(&console.args.policy)
}

/// Plans and simulates.
pub(super) fn page(console: &Console, wanted: &Wanted) -> Result<Sheet, Failure> {
    let since = wanted.since.as_deref().unwrap_or("1h");
    let since = duration(since).map_err(|message| Failure::new(Exit::Usage, message))?;
    let state = &console.args.dirs.state_dir;
    let active = wanted.of.as_deref() == Some(IN_FORCE);
    let ready = if active { stored(&Store::at(state)) } else { files(console) };
    let title = if active {
        "Plan and simulation of what is in force"
    } else {
        "Plan and simulation of files"
    };
    let again = html! { p { a href="/policies" { "Back to policies" } } };
    let ready = match ready {
        Ok(ready) => ready,
        Err(stop) => return Ok(Sheet::new(title, html! { (stopped(stop)?) (again) })),
    };
    let planned = plan::planned(&ready)?;
    let recorded = Recorded { recording: Vec::new(), since: Some(since), state_dir: state.clone() };
    let simulated = simulate::simulated(ready, &recorded);
    let body = html! {
        p .lead { "Nothing is changed: this is what would be." }
        (part("Simulation", &simulation(simulated)))
        (part("Plan", &plan_of(&planned)))
        (again)
    };
    Ok(Sheet::new(title, body))
}

/// The policies in force, from the store.
fn stored(store: &Store) -> Result<Ready, Stop> {
    Ok(Verified::again(in_force(store)?).compile(&load::looking())?)
}

/// Those in files, which only are looked at.
fn files(console: &Console) -> Result<Ready, Stop> {
    Ready::look(&paths(console), &Vouch { keys: None, trust: None, older: false })
}

/// Why there is nothing to simulate.
fn stopped(stop: Stop) -> Result<Markup, Failure> {
    let lines: Vec<String> = match stop {
        Stop::Failed(failure) => return Err(failure),
        Stop::Unverified(all) => all.iter().map(ToString::to_string).collect(),
        Stop::Refused(refused) => findings(&refused),
    };
    Ok(html! {
        section .card.bad role="alert" {
            p .loud { "These policies cannot be used." }
            @for line in lines.iter().take(SHOWN) { pre { (line) } }
        }
    })
}

fn findings(refused: &Refused) -> Vec<String> {
    let found = &refused.0;
    found.diagnostics.iter().map(|one| lang::render::text(one, &found.sources, false)).collect()
}

fn simulation(simulated: Result<Json, Failure>) -> Markup {
    let told = match simulated {
        Ok(told) => told,
        // The plan is there all the same.
        Err(failure) => return html! { p .card.warn role="alert" { (failure) } },
    };
    let denied = count(&told, "/denied");
    let row = |one: &Json| {
        let requests = list(one, "/requests");
        let exception = one["exception"].as_str().unwrap_or_default();
        vec![
            chip(&word(one, "/verdict"), Tone::Bad),
            html! { (number(count(one, "/count"))) },
            html! { code { (word(one, "/program")) } " as " (word(one, "/user")) },
            html! {
                @for request in requests.iter().take(3) { code { (word(request, "/request")) } br; }
                @if requests.len() > 3 { span .muted { "and " (requests.len() - 3) " others" } }
            },
            plain(&word(one, "/rule")),
            html! { @if !exception.is_empty() { details { summary { "how to allow the first" } pre { (exception) } } } },
        ]
    };
    let groups = list(&told, "/groups");
    let rows: Vec<Vec<Markup>> = groups.iter().take(SHOWN).map(row).collect();
    let heads = ["verdict", "times", "who", "what", "by rule", "exception"];
    html! {
        p { "Of " (many(count(&told, "/requests"), "request")) ", " (number(count(&told, "/different")))
            " of them different, " strong { (number(denied)) " would be denied" } "." }
        @if rows.is_empty() { (nothing("Nothing that happened would have been denied.")) }
        @else { (table("What would be denied", &heads, &rows)) }
        @if groups.len() > SHOWN { p .muted { "and " (groups.len() - SHOWN) " more groups" } }
        @for (name, words) in [("left_out", "requests were too many and are not decided"), ("gaps", "places at which something is missing in the history")] {
            @let some = count(&told, &format!("/{name}"));
            @if some > 0 { p .muted { (number(some)) " " (words) } }
        }
        p .muted { "Hashes, who made a file, names of containers and what a process did before are not in the history, and are taken as absent." }
    }
}

fn plan_of(planned: &Json) -> Markup {
    let sizes = planned.as_object().into_iter().flatten();
    let sizes = sizes.filter_map(|(name, size)| Some((name, size.as_u64()?)));
    let operations = planned["operations"].as_object().into_iter().flatten();
    let about: Vec<String> = operations.map(|(name, rules)| format!("{name} {rules}")).collect();
    html! {
        div .figures {
            @for (name, size) in sizes { (super::page::figure(&name.replace('_', " "), &number(size), "", Tone::Plain)) }
        }
        @if !about.is_empty() { p { "Rules by operation: " (code(&about.join(", "))) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_would_be_denied_is_told_with_a_way_to_allow_it() {
        let request = |text: &str| json!({ "request": text, "count": 2 });
        let told = json!({ "requests": 9, "different": 4, "denied": 8, "gaps": 1, "left_out": 0, "groups": [{
            "rule": "vault/keys", "verdict": "deny", "program": "/usr/bin/cat", "user": "root", "count": 8,
            "requests": [request("read /a"), request("read /b"), request("read /c"), request("read /d")],
            "exception": "subject: {except: <cat>}" }] });
        let text = simulation(Ok(told)).into_string();
        assert!(
            text.contains("Of 9 requests, 4 of them different, <strong>8 would be denied"),
            "{text}"
        );
        assert!(text.contains("and 1 others") && !text.contains("read /d"), "{text}");
        assert!(text.contains("&lt;cat&gt;") && text.contains("1 places"), "{text}");
        let failed =
            simulation(Err(Failure::new(Exit::Failed, "nothing was recorded"))).into_string();
        assert!(failed.contains("nothing was recorded"));
    }
}
