//! Rules as text: compiled conditions as queries, and the one layout of rule files.

mod expr;
mod file;
mod query;
mod tokens;

use crate::diagnostic::Diagnostic;

pub use self::expr::{expression, field_name, quoted, rule};

/// Lays out a rule file of our own format, or a bare query.
///
/// Comments, the order of everything and the author's line breaks stay; what changes is space.
/// Laying out twice is the same as once. A text that cannot be read is an error and stays as it is.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    if file::is_file(text) { file::format(text) } else { query(text).map_err(|one| vec![*one]) }
}

/// Lays out a query. It means the same afterwards: only space between its tokens changes.
pub fn query(text: &str) -> Result<String, Box<Diagnostic>> {
    query::format(text)
}
