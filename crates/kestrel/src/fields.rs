//! `kestrel fields`

use std::io::{self, Write};

use model::field::{FIELDS, Field, FieldType, Source};
use serde_json::json;

use crate::cli::Form;
use crate::output::{self, Status, style};

/// Lists the field table.
pub(crate) fn run(format: Form) -> io::Result<Status> {
    match format {
        Form::Json => {
            let all: Vec<_> = FIELDS.iter().map(object).collect();
            output::json(&json!(all))?;
        }
        Form::Text => {
            let width = FIELDS.iter().map(|field| field.name.len()).max().unwrap_or(0);
            let (name, reset) = (style::NAME, style::NAME.render_reset());
            let mut out = anstream::stdout().lock();
            for field in FIELDS {
                let kind = word(field.kind);
                writeln!(out, "{name}{:width$}{reset}  {kind:8}  {}", field.name, field.doc)?;
            }
        }
    }
    Ok(Status::Fine)
}

fn object(field: &Field) -> serde_json::Value {
    json!({
        "name": field.name,
        "type": word(field.kind),
        "source": source(field.source),
        "doc": field.doc,
    })
}

fn word(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Keyword => "text",
        FieldType::Path => "path",
        FieldType::Keywords => "texts",
        FieldType::Id => "id",
        FieldType::Int => "integer",
        FieldType::Bool => "boolean",
        FieldType::Ip => "address",
        FieldType::Ips => "addresses",
        FieldType::Time => "time",
    }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::All => "all",
        Source::Kernel => "kernel",
        Source::State => "state",
        Source::Host => "host",
        Source::Constant => "constant",
    }
}
