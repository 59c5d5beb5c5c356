//! `kestrel test`: runs the tests that rules bring along through the engine.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use engine::eval::{Compiled, Scratch};
use lang::{Level, RuleTest};
use model::field::{self, FieldId};
use model::json::{self, Document};
use model::program::Rule;
use model::value::{Fields, Value};
use serde_json::json as object;

use crate::cli::Format;
use crate::output::{self, Status, style};
use crate::rules::Rules;

/// A test that did not go as it says.
struct Failure<'r> {
    rule: &'r Rule,
    test: &'r RuleTest,
    reason: String,
}

/// Runs all tests. Fails if a test fails or a rule has an error.
pub(crate) fn run(paths: &[PathBuf], format: Format) -> io::Result<Status> {
    let rules = Rules::load(paths);
    let compiled = match Compiled::new(Arc::new(rules.loaded.program.clone())) {
        Ok(compiled) => compiled,
        Err(error) => {
            output::complain(&error.to_string());
            return Ok(Status::Findings);
        }
    };
    let mut scratch = Scratch::default();
    let failures: Vec<Failure<'_>> = rules
        .loaded
        .tests
        .iter()
        .filter_map(|test| {
            let rule = rules.loaded.program.rules.get(test.rule)?;
            let reason = failure(&compiled, &mut scratch, test)?;
            Some(Failure { rule, test, reason })
        })
        .collect();
    match format {
        Format::Text => text(&rules, &failures)?,
        Format::Json => output::json(&report(&rules, &failures))?,
    }
    let sound = failures.is_empty() && rules.count(Level::Error) == 0;
    Ok(if sound { Status::Fine } else { Status::Findings })
}

/// What went wrong, if anything did.
fn failure(compiled: &Compiled, scratch: &mut Scratch, test: &RuleTest) -> Option<String> {
    let event = match Document::new(&test.event) {
        Ok(event) => event,
        Err(error) => return Some(format!("the event cannot be read: {error}")),
    };
    let mut matches = Vec::new();
    compiled.eval(&event, scratch, &mut matches);
    let alert = matches.iter().any(|rule| usize::try_from(*rule) == Ok(test.rule));
    let expectation = match (test.alert, alert) {
        (true, false) => "expected an alert, got none",
        (false, true) => "expected no alert, got one",
        _ => return None,
    };
    let decided: Vec<String> = compiled
        .explain(test.rule, &event)
        .iter()
        .filter_map(|blame| held(blame.field, &event))
        .collect();
    Some(format!("{expectation}; decided by: {}", decided.join(", ")))
}

/// What the event holds in a field.
fn held(id: FieldId, event: &Document) -> Option<String> {
    let row = field::field(id)?;
    Some(match event.get(id) {
        Value::Null => format!("`{}` is absent", row.name),
        value => format!("`{}` = {}", row.name, json::render(row, value)),
    })
}

fn text(rules: &Rules, failures: &[Failure<'_>]) -> io::Result<()> {
    rules.show()?;
    let mut out = anstream::stdout().lock();
    let (bad, good) = (style::BAD, style::GOOD);
    for Failure { rule, test, reason } in failures {
        writeln!(out, "{bad}FAIL{bad:#} {}: {}: {}", rule.meta.file, rule.meta.id, test.name)?;
        writeln!(out, "     {reason}")?;
    }
    let (total, failed) = (rules.loaded.tests.len(), failures.len());
    let verdict =
        if failed == 0 { format!("{good}ok{good:#}") } else { format!("{bad}FAILED{bad:#}") };
    writeln!(
        out,
        "{verdict}: {} rules, {total} tests: {} passed, {failed} failed; {} errors, {} warnings",
        rules.loaded.program.rules.len(),
        total - failed,
        rules.count(Level::Error),
        rules.count(Level::Warning),
    )
}

fn report(rules: &Rules, failures: &[Failure<'_>]) -> serde_json::Value {
    let failed: Vec<_> = failures
        .iter()
        .map(|Failure { rule, test, reason }| {
            object!({
                "file": rule.meta.file,
                "rule": rule.meta.id,
                "test": test.name,
                "expected_alert": test.alert,
                "reason": reason,
            })
        })
        .collect();
    object!({
        "rules": rules.loaded.program.rules.len(),
        "tests": rules.loaded.tests.len(),
        "failed": failed,
        "unread": rules.unread_json(),
        "diagnostics": rules.json(),
    })
}
