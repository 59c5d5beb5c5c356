//! `aegisbpf suppressions`: what the operator does not want to be told again.

mod suggest;
mod test;

use std::io::Write;

use serde_json::Value as Json;

use crate::cli::suppressions::{SuggestArgs, SuppressionsArgs, SuppressionsCommand};
use crate::cli::{ClientArgs, Output};
use crate::client;
use crate::exit::{Exit, Failure};
use crate::render::escape::piece;
use crate::render::table;

/// Runs the command that was asked for.
pub(crate) fn run(args: &SuppressionsArgs) -> Result<Exit, Failure> {
    match &args.command {
        None => list(&args.list),
        Some(SuppressionsCommand::List(args)) => list(args),
        Some(SuppressionsCommand::Suggest(args)) => suggest(args),
        Some(SuppressionsCommand::Test(args)) => test::run(args),
    }
}

fn list(args: &ClientArgs) -> Result<Exit, Failure> {
    let answer = client::get(&args.runtime_dir, "/v1/suppressions", &[])?.json()?;
    let mut out = anstream::stdout().lock();
    if args.output == Output::Json {
        writeln!(out, "{answer:#}")?;
        return Ok(Exit::Ok);
    }
    let all = answer.get("suppressions").and_then(Json::as_array).into_iter().flatten();
    let rows = all.map(|one| {
        let word = |name: &str| piece(one.get(name).and_then(Json::as_str).unwrap_or("-"));
        let covered = one.get("covered").and_then(Json::as_u64).unwrap_or_default().to_string();
        vec![
            word("id"),
            word("rule"),
            word("state"),
            word("expires"),
            covered,
            word("last"),
            word("reason"),
        ]
    });
    let heading = ["id", "rule", "state", "expires", "covered", "last", "reason"];
    write!(out, "{}", table::plain(&heading, rows))?;
    Ok(Exit::Ok)
}

/// Prints what would cover the recent alerts of a rule.
fn suggest(args: &SuggestArgs) -> Result<Exit, Failure> {
    let mut answer = client::get(&args.runtime_dir, "/v1/alerts", &[])?;
    let mut alerts = Vec::new();
    while let Some(line) = answer.line()? {
        let Ok(alert) = serde_json::from_str::<Json>(&line) else { continue };
        // What a policy decided is changed by the policy.
        let is_ours = alert.pointer("/rule/id").and_then(Json::as_str) == Some(&args.rule)
            && alert.pointer("/rule/ruleset").is_none();
        if is_ours {
            alerts.push(alert);
        }
    }
    if alerts.is_empty() {
        let message = format!("no recent alert is of rule `{}`", piece(&args.rule));
        return Err(Failure::new(Exit::Failed, message)
            .help("`aegisbpf alerts` shows them; alerts of policies are a matter of `policy`"));
    }
    let expires = jiff::Timestamp::now()
        .checked_add(jiff::SignedDuration::from_hours(24 * args.days))
        .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    let day = expires.to_zoned(jiff::tz::TimeZone::system()).date().to_string();
    let mut out = anstream::stdout().lock();
    for one in suggest::groups(&alerts) {
        out.write_all(suggest::toml(&one, &args.rule, &args.reason, &day).as_bytes())?;
    }
    Ok(Exit::Ok)
}
