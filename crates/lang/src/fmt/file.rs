//! Layout of our rule files. The queries are laid out; of TOML only the space around keys and the
//! empty lines are touched, so that comments and strings stay as they are.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::query;
use crate::diagnostic::{Code, Diagnostic, Span};

/// Whether a text is a rule file and no query.
pub(super) fn is_file(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| {
        line.starts_with("[[") && line.contains("]]")
            || line.starts_with('[') && line.ends_with(']') && !line.contains(" where ")
            || line.split_once('=').is_some_and(|(key, rest)| {
                let key = key.trim();
                !rest.starts_with('=')
                    && !key.is_empty()
                    && key
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
            })
    })
}

/// Lays out a rule file.
pub(super) fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let values = values(text)?;
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    // Values are in the order of the text and do not overlap.
    for (place, is_query) in &values {
        outside(text.get(at..place.start).unwrap_or_default(), &mut out);
        let value = text.get(place.clone()).unwrap_or_default();
        match is_query.then(|| laid_out(value)).flatten() {
            Some(laid_out) => out.push_str(&laid_out),
            None => out.push_str(value),
        }
        at = place.end;
    }
    outside(text.get(at..).unwrap_or_default(), &mut out);
    let end = out.trim_end().len();
    out.truncate(end);
    let start = out.len() - out.trim_start().len();
    out.replace_range(..start, "");
    out.push('\n');
    // What was read must still be there; else the file stays as it is.
    let same = DeTable::parse(&out).is_ok();
    if same { Ok(out) } else { Ok(text.to_owned()) }
}

/// Places of all values that are no tables, and whether each is a query.
fn values(text: &str) -> Result<Vec<(Span, bool)>, Vec<Diagnostic>> {
    let document = DeTable::parse(text).map_err(|error| {
        vec![Diagnostic::new(Code::Toml, error.span().unwrap_or(0..0), error.message())]
    })?;
    let mut all = Vec::new();
    collect(document.get_ref(), text, &mut all);
    all.sort_by_key(|(place, _)| place.start);
    Ok(all)
}

fn collect(table: &DeTable<'_>, text: &str, all: &mut Vec<(Span, bool)>) {
    for (key, value) in table {
        collect_value(key.get_ref() == "query", value, text, all);
    }
}

fn collect_value(
    is_query: bool,
    value: &Spanned<DeValue<'_>>,
    text: &str,
    all: &mut Vec<(Span, bool)>,
) {
    let written = text.get(value.span()).unwrap_or_default();
    match value.get_ref() {
        // `[table]` headers are no values: their keys are looked at one by one.
        DeValue::Table(table) if !written.starts_with('{') => collect(table, text, all),
        DeValue::Array(array) if is_tables(array.iter(), text) => {
            for one in array {
                if let DeValue::Table(table) = one.get_ref() {
                    collect(table, text, all);
                }
            }
        }
        value_kind => {
            all.push((value.span(), is_query && matches!(value_kind, DeValue::String(_))));
        }
    }
}

/// Whether an array was written as `[[table]]` headers.
fn is_tables<'v, 'i: 'v>(
    mut all: impl Iterator<Item = &'v Spanned<DeValue<'i>>>,
    text: &str,
) -> bool {
    all.next().is_some_and(|one| {
        let written = text.get(one.span()).unwrap_or_default();
        one.get_ref().is_table() && !written.starts_with('{')
    })
}

/// A query in its quotes, laid out; `None` where quotes or escapes leave no choice.
fn laid_out(value: &str) -> Option<String> {
    let (open, inner) = ["'''", "\"\"\""].iter().find_map(|quotes| {
        let inner = value.strip_prefix(quotes)?.strip_suffix(quotes)?;
        Some((*quotes, inner))
    })?;
    if open == "\"\"\"" && inner.contains('\\') {
        return None;
    }
    let laid_out = query::format(inner).ok()?;
    // A basic string must not come to end in a quote, nor hold three.
    if laid_out.contains(open) {
        return None;
    }
    Some(format!("{open}\n{laid_out}{open}"))
}

/// Text between values: keys, headers and comments.
fn outside(text: &str, out: &mut String) {
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            let end = out.trim_end_matches([' ', '\t', '\r']).len();
            out.truncate(end);
            if !out.ends_with("\n\n") {
                out.push('\n');
            }
        }
        // The first piece follows a value on its line: a comment, or a comma of nobody's.
        if number == 0 {
            let rest = line.trim();
            if !rest.is_empty() && !out.is_empty() && !out.ends_with('\n') {
                out.push(' ');
                out.push_str(rest);
                continue;
            }
        }
        let line = line.trim();
        match line.strip_suffix('=').map(str::trim_end) {
            Some(key) if !line.starts_with('#') => {
                out.push_str(key);
                out.push_str(" = ");
            }
            _ => out.push_str(line),
        }
    }
}
