//! `aegisbpf suppressions test`: which of the alerts that really were raised would have been covered.
//!
//! A recording says behind each event what was found in it. It is played twice: once to know behind which
//! events something was found that a suppression is about, once to ask these events.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use capture::play::Heard;
use jiff::Timestamp;
use model::field;
use model::value::{Fields, Value};
use serde_json::{Value as Json, json};

use crate::cli::Output;
use crate::cli::suppressions::TestArgs;
use crate::cmd::recorded;
use crate::exit::{Exit, Failure};
use crate::render::escape::piece;
use crate::render::table;
use crate::suppressions::{Suppression, Suppressions, read};

/// Alerts that are looked at; more are counted. A rule that raises more should be mended.
const ALERTS_MAX: usize = 100_000;
/// Programs that are shown of those that are left.
const LEFT_MAX: usize = 20;

/// Alerts by rule and number of the event behind which they stand.
type Found = HashMap<u64, Vec<(String, Vec<u64>)>>;

/// What became of the alerts of the rules that suppressions are about.
#[derive(Debug, Default)]
struct Outcome {
    /// Of each suppression.
    covered: BTreeMap<String, u64>,
    /// By rule and program.
    left: BTreeMap<(String, String), u64>,
    /// Alerts whose event is not there.
    unknown: u64,
    /// Alerts that had no room.
    beyond: u64,
    /// Places at which recordings lack something.
    gaps: u64,
}

/// Says what suppressions would do.
pub(super) fn run(args: &TestArgs) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    let list = read(&args.paths, files::Trust::Anyone, now.as_second())
        .map_err(|wrong| Failure::new(Exit::Config, wrong.join("\n")))?;
    if list.is_empty() {
        return Err(Failure::new(Exit::Config, "there is no suppression in these files")
            .help("they end in `.toml` and have `[[suppression]]`"));
    }
    let asked =
        Suppressions::new(list.clone()).map_err(|error| Failure::new(Exit::Config, error))?;
    let outcome = outcome(args, &list, asked, now.as_second())?;
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{:#}", document(&list, &outcome))?,
        Output::Text => out.write_all(text(&list, &outcome).as_bytes())?,
    }
    Ok(Exit::Ok)
}

fn outcome(
    args: &TestArgs,
    list: &[Suppression],
    mut asked: Suppressions,
    now: i64,
) -> Result<Outcome, Failure> {
    let files = recorded::files(&args.recorded.recording, &args.recorded.state_dir)?;
    let (mut found, mut outcome) = (Found::new(), Outcome::default());
    let (mut number, mut alerts, mut is_old) = (0, 0, false);
    let begin = recorded::begin(args.recorded.since);
    outcome.gaps = recorded::play(&files, &mut |heard| match heard {
        Heard::Event(view, _) => {
            number += 1;
            is_old = recorded::is_before(view, begin);
        }
        Heard::Live(matched) => {
            let rule = String::from_utf8_lossy(matched.rule);
            if is_old || !list.iter().any(|one| one.rule == rule) {
            } else if alerts == ALERTS_MAX {
                outcome.beyond += 1;
            } else {
                alerts += 1;
                let one = (rule.into_owned(), matched.members().collect());
                found.entry(number).or_default().push(one);
            }
        }
        Heard::Late(_) => {}
    })?;
    number = 0;
    recorded::play(&files, &mut |heard| {
        let Heard::Event(view, _) = heard else { return };
        number += 1;
        for (rule, members) in found.remove(&number).unwrap_or_default() {
            // What only time decided stands behind any event.
            let Value::Int(own) = view.get(field::EVENT_SEQUENCE) else { continue };
            if !members.iter().any(|member| i64::try_from(*member) == Ok(own)) {
                outcome.unknown += 1;
            } else if let Some(id) = asked.covering(&rule, view, now) {
                *outcome.covered.entry(id.to_owned()).or_default() += 1;
            } else {
                let program = model::json::document(view);
                let program = program.get("process").and_then(|it| it.get("executable")?.as_str());
                let key = (rule, program.unwrap_or_default().to_owned());
                *outcome.left.entry(key).or_default() += 1;
            }
        }
    })?;
    Ok(outcome)
}

fn document(list: &[Suppression], outcome: &Outcome) -> Json {
    let covered = |one: &Suppression| outcome.covered.get(&one.id).copied().unwrap_or_default();
    let each =
        list.iter().map(|one| json!({ "id": one.id, "rule": one.rule, "covered": covered(one) }));
    let left = outcome.left.iter().map(
        |((rule, program), count)| json!({ "rule": rule, "executable": program, "alerts": count }),
    );
    json!({
        "suppressions": each.collect::<Vec<_>>(),
        "left": left.collect::<Vec<_>>(),
        "not_known": outcome.unknown,
        "beyond": outcome.beyond,
        "gaps": outcome.gaps,
    })
}

fn text(list: &[Suppression], outcome: &Outcome) -> String {
    let rows = list.iter().map(|one| {
        let covered = outcome.covered.get(&one.id).copied().unwrap_or_default();
        let of_rule =
            |((rule, _), count): (&(String, String), &u64)| (*rule == one.rule).then_some(*count);
        let left: u64 = outcome.left.iter().filter_map(of_rule).sum();
        vec![one.id.clone(), piece(&one.rule), covered.to_string(), left.to_string()]
    });
    let mut text = table::plain(&["id", "rule", "covered", "left of the rule"], rows);
    if !outcome.left.is_empty() {
        text += "\nleft\n";
        let mut left: Vec<_> = outcome.left.iter().collect();
        left.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let rows = left
            .iter()
            .take(LEFT_MAX)
            .map(|((rule, program), count)| vec![count.to_string(), piece(rule), piece(program)]);
        text += &table::plain(&["alerts", "rule", "executable"], rows);
    }
    for (count, what) in [
        (outcome.unknown, "alerts that only time decided: their event is not behind them"),
        (outcome.beyond, "more alerts were not looked at"),
        (outcome.gaps, "places at which the recordings lack something"),
    ] {
        if count > 0 {
            text.extend([&*count.to_string(), " ", what, "\n"]);
        }
    }
    text
}
