//! `aegisbpf rules`: the rules that run, what they found, and what they cost; and those of before.

mod history;

use std::io::Write;

use serde_json::Value as Json;

use crate::cli::rules::{RulesArgs, RulesCommand};
use crate::cli::{ClientArgs, Output};
use crate::client;
use crate::exit::{Exit, Failure};
use crate::render::escape::piece;
use crate::render::table;

/// Shows them, or does something about them.
pub(crate) fn run(args: &RulesArgs) -> Result<Exit, Failure> {
    match &args.command {
        None => list(&args.client),
        Some(RulesCommand::Release { script, reason, runtime_dir }) => {
            let query = [("script", script.clone()), ("reason", reason.clone())];
            client::post_query(runtime_dir, "/v1/rules/release", &query)?.json()?;
            writeln!(anstream::stdout(), "{} is asked again", piece(script))?;
            Ok(Exit::Ok)
        }
        // Without `--older` the command line is not read at all.
        Some(RulesCommand::Accept { pack, older: _, reason, runtime_dir }) => {
            let query = [("pack", pack.clone()), ("reason", reason.clone())];
            client::post_query(runtime_dir, "/v1/rules/accept", &query)?.json()?;
            writeln!(anstream::stdout(), "{} runs as it lies there", piece(pack))?;
            Ok(Exit::Ok)
        }
        Some(RulesCommand::History(args)) => history::run(args),
        Some(RulesCommand::Rollback { generation, reason, runtime_dir }) => {
            let mut query = vec![("reason", reason.clone())];
            query.extend(generation.map(|generation| ("generation", generation.to_string())));
            let set = client::post_query(runtime_dir, "/v1/rules/rollback", &query)?.json()?;
            writeln!(
                anstream::stdout(),
                "{}; `aegisbpf rules follow` goes on with the directories",
                running(&set)
            )?;
            Ok(Exit::Ok)
        }
        Some(RulesCommand::Follow { runtime_dir }) => {
            let set = client::post(runtime_dir, "/v1/rules/follow")?.json()?;
            writeln!(anstream::stdout(), "{}", running(&set))?;
            Ok(Exit::Ok)
        }
    }
}

/// `generation 7 runs, 80 rules`
fn running(set: &Json) -> String {
    let number = |pointer: &str| set.pointer(pointer).and_then(Json::as_u64);
    let loaded = number("/loaded").unwrap_or_default();
    let generation = number("/generation/number");
    let generation = generation.map_or_else(|| "?".to_owned(), |number| number.to_string());
    format!("generation {generation} runs, {loaded} rules")
}

/// Shows them, those first that have something wrong, then those that found most.
fn list(args: &ClientArgs) -> Result<Exit, Failure> {
    let rules = client::get(&args.runtime_dir, "/v1/rules", &[])?.json()?;
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{rules:#}")?,
        Output::Text => write!(out, "{}", text(&rules))?,
    }
    Ok(Exit::Ok)
}

/// A list of words, or a dash.
fn words(of: &Json, name: &str) -> String {
    let all = of.get(name).and_then(Json::as_array).into_iter().flatten();
    let all: Vec<String> = all.filter_map(Json::as_str).map(piece).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(",") }
}

/// The scripts that rules ask, and how they fare.
fn scripts(all: &[Json]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let row = |one: &Json| {
        let text = |name: &str| one.get(name).and_then(Json::as_str).map(piece).unwrap_or_default();
        let count =
            |name: &str| one.get(name).and_then(Json::as_u64).unwrap_or_default().to_string();
        let state = [text("state"), text("quarantined")].join(" ").trim_end().to_owned();
        vec![
            state,
            count("calls"),
            count("violations"),
            text("kind"),
            text("level"),
            words(one, "may"),
            text("name"),
        ]
    };
    let heading = ["script", "calls", "violations", "kind", "level", "may", "name"];
    format!("\n{}", table::plain(&heading, all.iter().map(row)))
}

fn text(list: &Json) -> String {
    let array = |name: &str| list.get(name).and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let number = |rule: &Json, name: &str| rule.get(name).and_then(Json::as_u64);
    let word = |rule: &Json, name: &str| rule.get(name).and_then(Json::as_str).map(piece);
    let mut rules: Vec<&Json> = array("rules").iter().collect();
    rules.sort_by_key(|rule| {
        let is_well = word(rule, "state").is_none_or(|state| state == "ok");
        (is_well, std::cmp::Reverse(number(rule, "matches")))
    });
    let row = |rule: &&Json| {
        let count = |name: &str| number(rule, name).unwrap_or_default().to_string();
        let text = |name: &str| word(rule, name).unwrap_or_default();
        vec![
            text("state"),
            text("severity"),
            count("matches"),
            count("suppressed"),
            number(rule, "cost_ns").map_or_else(|| "?".to_owned(), |cost| format!("{cost} ns")),
            text("format"),
            text("placement"),
            text("level"),
            rule.get("pack").and_then(Json::as_str).map_or_else(|| "-".to_owned(), piece),
            words(rule, "signers"),
            words(rule, "may"),
            text("id"),
            text("name"),
        ]
    };
    let heading = [
        "state",
        "severity",
        "matches",
        "not told",
        "an event",
        "format",
        "placement",
        "level",
        "pack",
        "signed by",
        "may",
        "id",
        "name",
    ];
    let left_out = array("left_out").iter().map(|one| {
        let text = |name: &str| word(one, name).unwrap_or_default();
        format!("left out  {} {}: {}\n", text("file"), text("id"), text("reason"))
    });
    table::plain(&heading, rules.iter().map(row))
        + &scripts(array("scripts"))
        + &left_out.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ails_stands_first_and_what_does_not_run_last() {
        let rule = |id: &str, state: &str, matches: u64| {
            serde_json::json!({ "id": id, "name": "N", "state": state, "matches": matches,
                "severity": "low", "suppressed": 1, "cost_ns": null, "format": "own",
                "placement": "kernel" })
        };
        let list = serde_json::json!({
            "rules": [rule("a", "ok", 3), rule("b", "ok", 7), rule("c", "noisy", 0)],
            "left_out": [{ "id": "d", "file": "x.toml", "reason": "E001: bad" }],
        });
        let text = text(&list);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("noisy  low       0        1         ?"), "{text}");
        assert!(lines[2].ends_with("b   N") && lines[3].ends_with("a   N"), "{text}");
        assert_eq!(lines[4], "left out  x.toml d: E001: bad");
    }
}
