//! `aegisbpf fields`: the fields that rules can use.

use std::io::Write;

use model::field::{FIELDS, Field, FieldId, FieldType, Source};
use model::op::Kind;
use model::{action, applies};
use serde_json::{Value as Json, json};

use crate::cli::{FieldsArgs, FieldsOutput};
use crate::exit::{Exit, Failure};
use crate::render::table;

const FIELDS_HEAD: [&str; 5] = ["FIELD", "TYPE", "SOURCE", "OPERATIONS", "MEANING"];
const OPERATIONS_HEAD: [&str; 5] = ["OPERATION", "CATEGORY", "TYPE", "ACTION", "MEANING"];

/// Prints them, and what operations are called, unless only some fields are asked for.
pub(crate) fn run(args: &FieldsArgs) -> Result<Exit, Failure> {
    let prefix = args.prefix.as_deref().unwrap_or_default();
    let fields: Vec<(FieldId, &Field)> = (0..)
        .map(FieldId)
        .zip(FIELDS)
        .filter(|(_, field)| field.name.starts_with(prefix))
        .collect();
    let rows = fields.iter().map(|(id, field)| words(*id, field));
    let operations = prefix.is_empty();
    let mut out = anstream::stdout().lock();
    match args.output {
        FieldsOutput::Json => {
            let list: Json = fields.iter().map(|(id, field)| object(*id, field)).collect();
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

fn markdown(head: &[&str; 5], rows: impl Iterator<Item = [String; 5]>) -> String {
    let head = head.map(str::to_lowercase).join(" | ");
    let mut text = format!("| {head} |\n|---|---|---|---|---|\n");
    for [name, cells @ ..] in rows {
        text.extend(["| `", &name, "` | ", &cells.join(" | "), " |\n"]);
    }
    text
}

fn object(id: FieldId, field: &Field) -> Json {
    let operations: Vec<&str> = applies::kinds(id).iter().map(Kind::name).collect();
    json!({
        "name": field.name,
        "type": kind(field.kind),
        "source": source(field.source),
        "operations": operations,
        "meaning": field.doc,
    })
}

fn words(id: FieldId, field: &Field) -> [String; 5] {
    let [kind, source] = [kind(field.kind), source(field.source)].map(str::to_owned);
    [field.name.to_owned(), kind, source, applies::words(id), field.doc.to_owned()]
}

/// What operations are called.
fn actions() -> impl Iterator<Item = [String; 5]> {
    applies::events().iter().map(|kind| {
        let words = action::of(kind);
        let [categories, types] = [words.category, words.types].map(|list| list.join(", "));
        [kind.name(), &categories, &types, words.action, kind.doc()].map(str::to_owned)
    })
}

fn kind(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Keyword => "keyword",
        FieldType::Path => "path",
        FieldType::Keywords => "keywords",
        FieldType::Id => "id",
        FieldType::Int => "integer",
        FieldType::Bool => "boolean",
        FieldType::Ip => "ip",
        FieldType::Ips => "ips",
        FieldType::Time => "time",
    }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::All => "every event",
        Source::Kernel => "kernel record",
        Source::State => "process table",
        Source::Host => "host",
        Source::Constant => "constant",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_described() {
        let fields = (0..).map(FieldId).zip(FIELDS).map(|(id, field)| words(id, field));
        for row in fields.chain(actions()) {
            assert!(row.iter().all(|word| !word.is_empty() && !word.contains('|')), "{row:?}");
        }
    }
}
