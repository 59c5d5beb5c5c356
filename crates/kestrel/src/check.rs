//! `kestrel check`

use std::io::{self, Write};

use lang::{Level, placement, render};
use serde_json::{Value, json};

use crate::cli::{self, CheckForm};
use crate::output::{self, Status, style};
use crate::rules::Rules;

/// Letters of an expression in a line; `-o json` has all of it.
const BECAUSE_MAX: usize = 100;

/// Shows what is wrong and where each rule would run; warnings count as findings, since someone
/// asked.
pub(crate) fn run(given: &cli::Rules, form: CheckForm) -> io::Result<Status> {
    let rules = Rules::load(&given.paths, given.dialect.of_rules);
    let (errors, warnings) = (rules.count(Level::Error), rules.count(Level::Warning));
    let sound = rules.loaded.program.rules.len();
    match form {
        CheckForm::Json => output::json(&json!({
            "rules": sound,
            "errors": errors,
            "warnings": warnings,
            "unread": rules.unread,
            "diagnostics": rules.json(),
            "placements": placements(&rules),
        }))?,
        CheckForm::Sarif => {
            rules.show_unread();
            let (name, version) = ("kestrel", env!("CARGO_PKG_VERSION"));
            let tool = render::Tool { name, version, unread: &rules.unread };
            let (found, sources) = (&rules.loaded.diagnostics, &rules.loaded.sources);
            output::json(&render::sarif(found, sources, tool))?;
        }
        CheckForm::Text => {
            rules.show()?;
            text(&rules)?;
            let files = rules.loaded.sources.len();
            writeln!(
                anstream::stdout(),
                "{sound} rules in {files} files: {errors} errors, {warnings} warnings"
            )?;
        }
    }
    Ok(if errors + warnings == 0 { Status::Fine } else { Status::Findings })
}

fn placements(rules: &Rules) -> Vec<Value> {
    let program = &rules.loaded.program;
    let placed = program.rules.iter().map(|rule| {
        let place = placement::of(rule, program);
        json!({
            "rule": rule.meta.id,
            "file": rule.meta.file,
            "place": place.place.as_str(),
            "because": place.because,
            "reason": place.reason,
        })
    });
    placed.collect()
}

/// One line a rule: where it runs and what decides that.
fn text(rules: &Rules) -> io::Result<()> {
    let program = &rules.loaded.program;
    let mut out = anstream::stdout().lock();
    let name = style::NAME;
    for rule in &program.rules {
        let place = placement::of(rule, program);
        write!(
            out,
            "{:<7} {name}{}{name:#}: {}",
            place.place.as_str(),
            rule.meta.id,
            place.reason
        )?;
        match place.because.as_str() {
            "" => writeln!(out)?,
            because => writeln!(out, ": {}", shortened(because))?,
        }
    }
    Ok(())
}

/// The beginning of an expression: a line is to be read.
fn shortened(because: &str) -> String {
    match because.char_indices().nth(BECAUSE_MAX) {
        Some((at, _)) => format!("{} …", because.get(..at).unwrap_or_default().trim_end()),
        None => because.to_owned(),
    }
}
