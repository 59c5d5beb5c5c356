//! `aegisbpf fields`: the fields that rules can use.

use std::io::Write;

use model::field::{FIELDS, Field, FieldType, Source};
use serde_json::{Value as Json, json};

use crate::cli::{FieldsArgs, FieldsOutput};
use crate::exit::{Exit, Failure};
use crate::render::table;

/// Prints them.
pub(crate) fn run(args: &FieldsArgs) -> Result<Exit, Failure> {
    let prefix = args.prefix.as_deref().unwrap_or_default();
    let fields: Vec<&Field> =
        FIELDS.iter().filter(|field| field.name.starts_with(prefix)).collect();
    let mut out = anstream::stdout().lock();
    match args.output {
        FieldsOutput::Json => {
            let list: Json = fields.iter().copied().map(object).collect();
            writeln!(out, "{list:#}")?;
        }
        FieldsOutput::Text => {
            let rows = fields.iter().map(|field| {
                let [name, kind, source, tiers] = words(field).map(str::to_owned);
                vec![name, kind, source, tiers, field.doc.to_owned()]
            });
            write!(
                out,
                "{}",
                table::plain(&["FIELD", "TYPE", "SOURCE", "TIERS", "MEANING"], rows)
            )?;
        }
        FieldsOutput::Markdown => {
            writeln!(out, "| field | type | source | tiers | meaning |\n|---|---|---|---|---|")?;
            for field in &fields {
                let [name, kind, source, tiers] = words(field);
                writeln!(out, "| `{name}` | {kind} | {source} | {tiers} | {} |", field.doc)?;
            }
        }
    }
    if fields.is_empty() {
        return Err(Failure::new(Exit::Failed, format!("no field starts with `{prefix}`")));
    }
    Ok(Exit::Ok)
}

fn object(field: &Field) -> Json {
    let [name, kind, source, tiers] = words(field);
    json!({ "name": name, "type": kind, "source": source, "tiers": tiers, "meaning": field.doc })
}

fn words(field: &Field) -> [&'static str; 4] {
    [field.name, kind(field.kind), source(field.source), tiers(field)]
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

/// On which tiers a field is filled. What depends on which provider an operation has is told by
/// `doctor`, operation by operation: then this says `by operation`.
fn tiers(field: &Field) -> &'static str {
    let by_operation =
        ["file.", "source.", "destination.", "network.", "dns.", "user.changes.", "event.outcome"];
    match field.source {
        Source::Kernel if by_operation.iter().any(|prefix| field.name.starts_with(prefix)) => {
            "by operation"
        }
        _ => "all",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_described() {
        for field in FIELDS {
            assert!(words(field).iter().all(|word| !word.is_empty()), "{}", field.name);
            assert!(!field.doc.contains('|'), "{} would break the table", field.name);
        }
    }
}
