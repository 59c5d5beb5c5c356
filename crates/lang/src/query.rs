//! Queries, within rule files and outside of them.

use model::program::{Logic, Pipe, Query, Rule, RuleMeta};

use crate::diagnostic::Diagnostic;
use crate::dialect::{CaseMode, Dialect};
use crate::lower::Lower;
use crate::parser;
use crate::schema::Schema;

/// What a query compiles to; its fields and lineage queries are numbered by the [`Schema`].
#[derive(Debug, Clone)]
pub struct CompiledQuery {
    /// How absent fields behave.
    pub logic: Logic,
    /// What it looks for.
    pub query: Query,
    /// What happens to the results.
    pub pipes: Vec<Pipe>,
}

impl CompiledQuery {
    /// A rule of it.
    pub fn rule(self, meta: RuleMeta) -> Rule {
        Rule { meta, logic: self.logic, query: self.query, pipes: self.pipes }
    }
}

/// Compiles one query. There is a result unless an error was found; places in the findings are
/// bytes of `text`.
pub fn query(
    text: &str,
    dialect: Dialect,
    case: CaseMode,
    schema: &mut Schema,
) -> (Option<CompiledQuery>, Vec<Diagnostic>) {
    let (parsed, mut found) = parser::parse(text, dialect);
    let lineages = schema.lineages.len();
    let compiled = parsed
        .and_then(|parsed| Lower::new(dialect, case, schema, &mut found).query(&parsed))
        .filter(|_| !found.iter().any(Diagnostic::is_error));
    if compiled.is_none() {
        schema.lineages.truncate(lineages);
    }
    (compiled, found)
}
