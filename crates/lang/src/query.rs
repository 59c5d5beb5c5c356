//! A query outside a rule file, such as a filter given on a command line.

use model::program::{Filter, Logic, Query, Rule, RuleMeta};

use crate::diagnostic::Diagnostic;
use crate::file::compile;

/// Compiles one query into a rule without metadata. Places in the findings are bytes of `text`.
pub fn query(text: &str) -> (Option<Rule>, Vec<Diagnostic>) {
    let (compiled, found) = compile(text);
    let sound = compiled.filter(|_| !found.iter().any(Diagnostic::is_error));
    let rule = sound.map(|(category, condition)| Rule {
        meta: RuleMeta::default(),
        logic: Logic::Complement,
        query: Query::Event(Filter { category, condition }),
        pipes: Vec::new(),
    });
    (rule, found)
}
