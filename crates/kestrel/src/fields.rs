//! `kestrel fields`

use std::io::{self, Write};

use model::field::{Field, FieldId};
use model::listing;
use serde_json::Value;

use crate::cli::Form;
use crate::output::{self, Status, style};

/// Lists the field table, or the fields whose names start so.
pub(crate) fn run(prefix: &str, format: Form) -> io::Result<Status> {
    let fields = listing::fields(prefix);
    if fields.is_empty() {
        output::complain(&format!("no field starts with `{prefix}`"));
        return Ok(Status::Findings);
    }
    match format {
        Form::Json => {
            let all: Value = fields.iter().map(|(id, field)| listing::object(*id, field)).collect();
            output::json(&all)?;
        }
        Form::Text => text(&fields)?,
    }
    Ok(Status::Fine)
}

fn text(fields: &[(FieldId, &Field)]) -> io::Result<()> {
    let rows: Vec<[String; 5]> = fields
        .iter()
        .map(|(id, field)| {
            let [lsm, fallback] = listing::sources(*id);
            [
                field.name.to_owned(),
                field.kind.name().to_owned(),
                lsm,
                fallback,
                field.doc.to_owned(),
            ]
        })
        .collect();
    let head = ["FIELD", "TYPE", "TIER LSM", "TIER FALLBACK", "MEANING"].map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        cells.map(String::len).max().unwrap_or(0)
    };
    let widths = [0, 1, 2, 3].map(width);
    let [first, second, third, fourth] = widths;
    let mut out = anstream::stdout().lock();
    let name = style::NAME;
    for [field, kind, lsm, fallback, doc] in std::iter::once(&head).chain(&rows) {
        write!(out, "{name}{field:first$}{name:#}  {kind:second$}  ")?;
        writeln!(out, "{lsm:third$}  {fallback:fourth$}  {doc}")?;
    }
    Ok(())
}
