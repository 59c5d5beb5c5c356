//! `aegisbpf policy history`

use std::io::Write;

use serde_json::{Value as Json, json};

use super::apply::text;
use crate::cli::Output;
use crate::cli::policy::StateArgs;
use crate::exit::{Exit, Failure};
use crate::policy::store::{Store, Who};
use crate::render::escape::piece;
use crate::render::{seconds, table};

/// Digits of a digest in a line; `-o json` has all of them.
const DIGITS: usize = 12;

/// Shows all changes, the oldest first.
pub(crate) fn run(args: &StateArgs) -> Result<Exit, Failure> {
    let store = Store::at(&args.dirs.state_dir);
    let (changes, kept, active) = (store.changes()?, store.list()?, store.active()?);
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => {
            let document = json!({ "changes": changes, "kept": kept, "active": active });
            writeln!(out, "{document:#}")?;
        }
        Output::Text => {
            let heading = ["when", "what", "from", "to", "sha256", "who", "why"];
            write!(out, "{}", table::plain(&heading, changes.iter().map(row)))?;
        }
    }
    Ok(Exit::Ok)
}

fn row(change: &Json) -> Vec<String> {
    let digest: String = text(change, "/after/sha256").chars().take(DIGITS).collect();
    let who = serde_json::from_value::<Who>(change["who"].clone());
    vec![
        seconds(&text(change, "/@timestamp")),
        text(change, "/action"),
        text(change, "/before/generation"),
        text(change, "/after/generation"),
        digest,
        who.map_or_else(|_| "?".to_owned(), |who| piece(&who.name())),
        piece(&text(change, "/reason")),
    ]
}
