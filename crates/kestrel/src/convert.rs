//! `kestrel convert`: Sigma rules as EQL text.

use std::io::{self, Write};
use std::path::PathBuf;

use lang::{CaseMode, Dialect, Level, Schema, Unknown};
use model::program::{Logic, Program, Rule};
use serde_json::{Value, json};

use crate::cli::ConvertForm;
use crate::output::{self, Status};
use crate::rules::Rules;

/// Prints each rule with its id, name and author, as the licence of the rules asks.
pub(crate) fn run(paths: &[PathBuf], form: ConvertForm) -> io::Result<Status> {
    let rules = Rules::load(paths, None);
    rules.show_errors()?;
    let program = &rules.loaded.program;
    match form {
        ConvertForm::Eql => program.rules.iter().try_for_each(|rule| text(rule, program))?,
        ConvertForm::Json => {
            let all: Value = program.rules.iter().map(|rule| object(rule, program)).collect();
            output::json(&all)?;
        }
    }
    let complete = program.rules.iter().all(|rule| query(rule, program).is_some());
    let sound = rules.count(Level::Error) == 0;
    Ok(if complete && sound { Status::Fine } else { Status::Findings })
}

/// The query of a rule, and the first dialect that reads it.
fn query(rule: &Rule, program: &Program) -> Option<(String, Dialect)> {
    let text = lang::fmt::rule(rule, program)?.trim_end().to_owned();
    let dialects: &[Dialect] = match rule.logic {
        Logic::Complement => &[Dialect::Elastic, Dialect::Endpoint],
        Logic::ThreeValued => &[Dialect::Classic],
    };
    let reads = |dialect: &Dialect| {
        let mut schema = Schema::new(Unknown::Document);
        lang::query(&text, *dialect, CaseMode::Sensitive, &mut schema).0.is_some()
    };
    let dialect = *dialects.iter().find(|dialect| reads(dialect))?;
    Some((text, dialect))
}

fn text(rule: &Rule, program: &Program) -> io::Result<()> {
    let (meta, mut out) = (&rule.meta, anstream::stdout().lock());
    writeln!(out, "// {} ({})", crate::alert::escaped(&meta.name), meta.id)?;
    if !meta.author.is_empty() {
        let author = meta.author.join(", ");
        writeln!(out, "// by {}", crate::alert::escaped(&author))?;
    }
    match query(rule, program) {
        Some((text, Dialect::Elastic)) => writeln!(out, "{text}\n"),
        Some((text, dialect)) => writeln!(out, "// dialect: {}\n{text}\n", dialect.as_str()),
        None => writeln!(out, "// has no equivalent in EQL\n"),
    }
}

fn object(rule: &Rule, program: &Program) -> Value {
    let (meta, query) = (&rule.meta, query(rule, program));
    json!({
        "id": meta.id,
        "name": meta.name,
        "author": meta.author,
        "license": meta.license,
        "file": meta.file,
        "severity": meta.severity.as_str(),
        "attack": meta.attack,
        "tags": meta.tags,
        "references": meta.references,
        "dialect": query.as_ref().map(|(_, dialect)| dialect.as_str()),
        "query": query.map(|(text, _)| text),
    })
}
