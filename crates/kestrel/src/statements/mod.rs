//! What conditions mean on documents, statement by statement of the language: `sN_…` is about
//! statement N. What only the compiler decides is tested in `lang`, and what sequences remember in
//! `engine`.

mod functions;
mod null;
mod numbers;
mod order;
mod text;
mod values;

use std::sync::Arc;

use engine::eval::{Compiled, Scratch};
use lang::{CaseMode, Dialect, Schema, Unknown};
use model::program::{Program, RuleMeta};
use serde_json::Value;

use crate::input::Event;
use crate::rules;

/// Dialects in which absent fields behave as in Elasticsearch.
const ELASTIC: &[Dialect] = &[Dialect::Elastic, Dialect::Endpoint];
const CLASSIC: &[Dialect] = &[Dialect::Classic];
const ALL: &[Dialect] = Dialect::ALL;

/// A query made ready to run.
fn compile(query: &str, dialect: Dialect, case: CaseMode) -> Arc<Compiled> {
    let mut schema = Schema::new(Unknown::Document);
    let (compiled, found) = lang::query(query, dialect, case, &mut schema);
    let compiled = compiled.unwrap_or_else(|| panic!("{query}: {found:#?}"));
    let program = Program {
        rules: vec![compiled.rule(RuleMeta { id: "a".to_owned(), ..RuleMeta::default() })],
        fields: schema.fields().to_vec(),
        lineages: schema.lineages,
        ..Program::default()
    };
    Arc::new(Compiled::new(Arc::new(program)).unwrap())
}

fn matches(compiled: &Compiled, document: &Value) -> bool {
    let mut event = Event::new(rules::names(compiled));
    event.read(document.to_string().as_bytes()).unwrap();
    let (mut scratch, mut rules) = (Scratch::default(), Vec::new());
    compiled.eval(&event, &mut scratch, &mut rules);
    !rules.is_empty()
}

/// A query matches some documents and not others.
fn check_query(dialects: &[Dialect], query: &str, yes: &[Value], no: &[Value]) {
    for dialect in dialects {
        let compiled = compile(query, *dialect, CaseMode::Sensitive);
        for document in yes {
            assert!(matches(&compiled, document), "{dialect:?}: {query} misses {document}");
        }
        for document in no {
            assert!(!matches(&compiled, document), "{dialect:?}: {query} matches {document}");
        }
    }
}

/// A condition holds for some documents and not for others.
fn check(dialects: &[Dialect], condition: &str, yes: &[Value], no: &[Value]) {
    check_query(dialects, &format!("any where {condition}"), yes, no);
}
