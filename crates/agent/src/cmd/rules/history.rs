//! `aegisbpf rules history`

use std::io::{self, ErrorKind, Write};

use serde_json::{Value as Json, json};

use crate::cli::Output;
use crate::cli::rules::HistoryArgs;
use crate::exit::{Exit, Failure};
use crate::render::escape::piece;
use crate::render::{seconds, table};
use crate::rules::{About, Peer, Standing, Store};
use crate::state;

/// Digits of a digest in a line; `-o json` has all of them.
const DIGITS: usize = 12;
/// Ids in a line; `-o json` has all of them.
const NAMED_MAX: usize = 3;

/// Shows all generations, the oldest first.
pub(crate) fn run(args: &HistoryArgs) -> Result<Exit, Failure> {
    let store = Store::at(&state::of_worker(&args.state_dir));
    let failed = |error: io::Error| {
        if error.kind() == ErrorKind::PermissionDenied {
            let message = format!("{} may be read by root only", args.state_dir.display());
            return Failure::new(Exit::Permission, message).help("run it with sudo");
        }
        let message = format!("what was kept of rules cannot be read: {error}");
        Failure::new(Exit::Failed, message).help("look at it with --state-dir DIR")
    };
    let standing = store.standing().map_err(failed)?;
    let mut all = Vec::new();
    for generation in store.list().map_err(failed)? {
        match store.about(generation) {
            Ok(about) => all.push(about),
            // The agent may have removed it a moment ago.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{:#}", document(&all, &standing))?,
        Output::Text => write!(out, "{}", text(&all, &standing))?,
    }
    Ok(Exit::Ok)
}

fn document(all: &[About], standing: &Standing) -> Json {
    let one = |about: &About| {
        let mut one = json!(about);
        if let Some(one) = one.as_object_mut() {
            one.insert("state".to_owned(), state(about, standing).into());
            one.insert("broken".to_owned(), json!(standing.reverted.get(&about.generation)));
        }
        one
    };
    json!({
        "generations": all.iter().map(one).collect::<Vec<_>>(),
        "active": standing.active,
        "since": standing.since,
        "held": standing.held,
    })
}

/// Whether it runs, or what became of it.
fn state(about: &About, standing: &Standing) -> &'static str {
    let is_active = standing.active == Some(about.generation);
    match (is_active, &standing.held) {
        (true, Some(held)) if held.print.is_none() => "in force, held",
        (true, Some(_)) => "in force again",
        (true, None) if standing.trial.is_some() => "on trial",
        (true, None) => "in force",
        (false, _) if standing.reverted.contains_key(&about.generation) => "reverted",
        (false, _) => "",
    }
}

fn text(all: &[About], standing: &Standing) -> String {
    let row = |about: &About| {
        let changes = &about.changes;
        let changed = [("+", &changes.added), ("-", &changes.removed), ("~", &changes.changed)];
        let changed = changed.map(|(sign, ids)| named(sign, ids)).concat();
        let who = |who: Peer| format!(" by user {}", who.uid);
        let why = about.cause.why.as_str().to_owned() + &about.cause.who.map_or(String::new(), who);
        vec![
            about.generation.to_string(),
            seconds(&about.made),
            why,
            about.rules.len().to_string(),
            about.sha256.chars().take(DIGITS).collect(),
            state(about, standing).to_owned(),
            changed.trim_start().to_owned(),
        ]
    };
    let heading = ["generation", "when", "why", "rules", "sha256", "state", "changed"];
    let mut lines = vec![table::plain(&heading, all.iter().map(row))];
    for (generation, broken) in &standing.reverted {
        let when = seconds(&broken.time);
        let reason = piece(&broken.reason);
        lines.push(format!("{generation} was taken back at {when}: {reason}\n"));
    }
    if let Some(held) = &standing.held {
        let (generation, why) = (held.generation, held.cause.why.as_str());
        let reason = held.cause.reason.as_deref().map(piece).unwrap_or_default();
        let until =
            if held.print.is_some() { "when they change" } else { "by `aegisbpf rules follow`" };
        lines.push(format!(
            "{generation} is held ({why}: {reason}); the directories are read again {until}\n"
        ));
    }
    lines.concat()
}

/// The first few ids, and how many more there are.
fn named(sign: &str, ids: &[String]) -> String {
    let mut words: Vec<String> = ids.iter().take(NAMED_MAX).map(|id| piece(id)).collect();
    if let Some(more) = ids.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        words.push(format!("{more} more"));
    }
    words.iter().flat_map(|word| [" ", sign, word]).collect()
}
