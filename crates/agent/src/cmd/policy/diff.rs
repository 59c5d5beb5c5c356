//! `aegisbpf policy diff`

use std::io::Write;
use std::path::PathBuf;

use policy::diff::{Change, Difference, Side, Turned, diff};
use policy::lint::decider;
use policy::verdicts::RuleInfo;
use serde_json::{Value as Json, json};

use crate::cli::Output;
use crate::cli::policy::DiffArgs;
use crate::cmd::policy::simulate;
use crate::exit::{Exit, Failure};
use crate::policy::load::Ready;
use crate::policy::words;
use crate::render::escape::piece;

/// Requests that are shown; `-o json` has all of them.
const SHOWN_MAX: usize = 40;

/// Says what changes.
pub(crate) fn run(args: &DiffArgs) -> Result<Exit, Failure> {
    let look = |path: &PathBuf| {
        Ready::look(std::slice::from_ref(path), &args.vouch.read()).map_err(super::told)
    };
    let (before, after) = (look(&args.before)?, look(&args.after)?);
    let recorded = &args.recorded;
    let asked = !recorded.recording.is_empty() || recorded.since.is_some();
    let asked = asked.then(|| simulate::asked(recorded)).transpose()?;
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => {
            let mut document = document(&before, &after);
            if let (Some(asked), Some(object)) = (&asked, document.as_object_mut()) {
                let changes = simulate::changes_document(&before, &after, asked);
                object.insert("recorded".to_owned(), changes);
            }
            writeln!(out, "{document:#}")?;
        }
        Output::Text => {
            write!(out, "{}", text(&before, &after))?;
            if let Some(asked) = &asked {
                write!(out, "\n{}", simulate::changes(&before, &after, asked))?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn compare(before: &Ready, after: &Ready) -> Difference {
    fn side(one: &Ready) -> Side<'_> {
        Side { policies: &one.loaded.policies, compiled: &one.compiled }
    }
    diff(side(before), side(after))
}

fn deciding(ready: &Ready, why: policy::Why) -> Option<&RuleInfo> {
    ready.compiled.rules.get(decider(why)? as usize)
}

/// What changes, for people.
pub(super) fn text(before: &Ready, after: &Ready) -> String {
    let found = compare(before, after);
    let mut lines = Vec::new();
    for one in &found.rules {
        let name = if one.id.is_empty() {
            format!("policy {}", one.policy)
        } else {
            format!("{}/{}", one.policy, one.id)
        };
        lines.push(match &one.change {
            Change::Added => format!("+ {name}"),
            Change::Removed => format!("- {name}"),
            Change::Changed(parts) => format!("~ {name}: other {}", parts.join(", ")),
        });
    }
    if found.rules.is_empty() {
        lines.push("no rule changes".to_owned());
    }
    lines.push(String::new());
    for one in found.turned.iter().take(SHOWN_MAX) {
        lines.push(turned(one, before, after));
    }
    if let Some(more) = found.turned.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        lines.push(format!("and {more} more; -o json has all of them"));
    }
    let tried = found.tried;
    let cut = if found.cut { ", the others were left out" } else { "" };
    lines.push(match found.turned.len() {
        0 => format!("no answer changes, of {tried} sample requests{cut}"),
        count => format!("{count} of {tried} sample requests are answered otherwise{cut}"),
    });
    lines.join("\n") + "\n"
}

fn turned(one: &Turned, before: &Ready, after: &Ready) -> String {
    let by = |ready: &Ready, why| {
        deciding(ready, why)
            .map(|rule| format!(" by {}", words::rule_name(rule)))
            .unwrap_or_default()
    };
    let verdicts = (words::verdict(one.before.verdict), words::verdict(one.after.verdict));
    let question = piece(&words::question(&one.question));
    if one.before.verdict == one.after.verdict {
        return format!("{question}: {}, only what is reported changes", verdicts.0);
    }
    format!(
        "{question}: was {}{}, will be {}{}",
        verdicts.0,
        by(before, one.before.why),
        verdicts.1,
        by(after, one.after.why)
    )
}

/// What changes, for programs.
pub(super) fn document(before: &Ready, after: &Ready) -> Json {
    let found = compare(before, after);
    let rules: Vec<Json> = (found.rules.iter())
        .map(|one| {
            let (change, parts) = match &one.change {
                Change::Added => ("added", None),
                Change::Removed => ("removed", None),
                Change::Changed(parts) => ("changed", Some(parts)),
            };
            json!({ "policy": one.policy, "rule": one.id, "change": change, "parts": parts })
        })
        .collect();
    let answer = |ready: &Ready, decision: &policy::Decision| {
        json!({
            "verdict": words::verdict(decision.verdict),
            "rule": deciding(ready, decision.why).map(words::rule_name),
        })
    };
    let turned: Vec<Json> = (found.turned.iter())
        .map(|one| {
            json!({
                "request": words::question(&one.question),
                "before": answer(before, &one.before),
                "after": answer(after, &one.after),
            })
        })
        .collect();
    json!({ "rules": rules, "requests": turned, "tried": found.tried, "cut": found.cut })
}
