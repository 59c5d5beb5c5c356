//! `aegisbpf fields`: the fields that rules can use.

use std::io::Write;

use model::field::{Field, FieldId};
use model::{action, applies, listing};
use serde_json::Value as Json;

use crate::cli::{FieldsArgs, FieldsOutput};
use crate::exit::{Exit, Failure};
use crate::render::table;

const FIELDS_HEAD: [&str; 7] =
    ["FIELD", "TYPE", "SOURCE", "TIER LSM", "TIER FALLBACK", "OPERATIONS", "MEANING"];
const OPERATIONS_HEAD: [&str; 5] = ["OPERATION", "CATEGORY", "TYPE", "ACTION", "MEANING"];

/// Prints them, and what operations are called, unless only some fields are asked for.
pub(crate) fn run(args: &FieldsArgs) -> Result<Exit, Failure> {
    let prefix = args.prefix.as_deref().unwrap_or_default();
    let fields = listing::fields(prefix);
    let rows = fields.iter().map(|(id, field)| words(*id, field));
    let operations = prefix.is_empty();
    let mut out = anstream::stdout().lock();
    match args.output {
        FieldsOutput::Json => {
            let list: Json = fields.iter().map(|(id, field)| listing::object(*id, field)).collect();
            writeln!(out, "{list:#}")?;
        }
        FieldsOutput::Text => {
            write!(out, "{}", table::plain(&FIELDS_HEAD, rows.map(Vec::from)))?;
            if operations {
                write!(out, "\n{}", table::plain(&OPERATIONS_HEAD, actions().map(Vec::from)))?;
            }
        }
        FieldsOutput::Markdown => {
            write!(out, "{}", markdown(&FIELDS_HEAD, rows))?;
            if operations {
                write!(out, "\n{OPERATIONS_TEXT}\n{}", markdown(&OPERATIONS_HEAD, actions()))?;
            }
        }
    }
    if fields.is_empty() {
        return Err(Failure::new(Exit::Failed, format!("no field starts with `{prefix}`")));
    }
    Ok(Exit::Ok)
}

/// What precedes the table of operations in the documentation.
const OPERATIONS_TEXT: &str = "\
## Operations

What each operation is called in an event, and in `aegisbpf doctor`, which tells for the kernel at hand which source
reports it and what that source cannot tell. `open` and `write` are reported for files that rules name.
";

fn markdown<const N: usize>(head: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let head = head.map(str::to_lowercase).join(" | ");
    let mut text = format!("| {head} |\n|{}\n", "---|".repeat(N));
    for row in rows {
        let Some((name, cells)) = row.split_first() else { continue };
        text.extend(["| `", name, "` | ", &cells.join(" | "), " |\n"]);
    }
    text
}

fn words(id: FieldId, field: &Field) -> [String; 7] {
    let [lsm, fallback] = listing::sources(id);
    let [name, kind, source, doc] =
        [field.name, field.kind.name(), field.source.name(), field.doc].map(str::to_owned);
    [name, kind, source, lsm, fallback, applies::words(id), doc]
}

/// What operations are called.
fn actions() -> impl Iterator<Item = [String; 5]> {
    applies::events().iter().map(|kind| {
        let words = action::of(kind);
        let [categories, types] = [words.category, words.types].map(|list| list.join(", "));
        [kind.name(), &categories, &types, words.action, kind.doc()].map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_described() {
        let fields = listing::fields("").into_iter();
        let fields = fields.map(|(id, field)| Vec::from(words(id, field)));
        for row in fields.chain(actions().map(Vec::from)) {
            assert!(row.iter().all(|word| !word.is_empty() && !word.contains('|')), "{row:?}");
        }
    }
}
