//! `aegisbpf policy`: the commands about policies, one file each.

mod apply;
mod diff;
pub(crate) mod explain;
mod export;
mod history;
mod lint;
pub(crate) mod plan;
mod show;
pub(crate) mod simulate;

pub(crate) use apply::told;

use std::io::{self, Write};

use lang::Level;
use lang::policy::Policies;
use serde_json::Value as Json;

use crate::cli::policy::PolicyCommand;
use crate::exit::{Exit, Failure};
use crate::policy::load::Refused;

/// Findings that are shown at once; all of them are in `-o json`.
const SHOWN_MAX: usize = 50;

/// Runs the command that was asked for.
pub(crate) fn run(command: &PolicyCommand) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Lint(args) => lint::run(args),
        PolicyCommand::Plan(args) => plan::run(args),
        PolicyCommand::Diff(args) => diff::run(args),
        PolicyCommand::Explain(args) => explain::run(args),
        PolicyCommand::Simulate(args) => simulate::run(args),
        PolicyCommand::Export(args) => export::run(args),
        PolicyCommand::Apply(args) => apply::run(args),
        PolicyCommand::Show(args) => show::run(args),
        PolicyCommand::History(args) => history::run(args),
        PolicyCommand::Rollback(args) => apply::rollback(args),
    }
}

/// How many findings of a level there are.
fn count(found: &Policies, level: Level) -> usize {
    found.diagnostics.iter().filter(|one| one.code.level() == level).count()
}

/// Findings for people, on standard error if they are not what was asked for.
fn show(found: &Policies, out: &mut dyn Write, color: bool) -> io::Result<()> {
    for one in found.diagnostics.iter().take(SHOWN_MAX) {
        writeln!(out, "{}\n", lang::render::text(one, &found.sources, color))?;
    }
    match found.diagnostics.len().saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more; -o json has all of them\n"),
    }
}

/// Findings for programs.
fn json(found: &Policies) -> Vec<Json> {
    found.diagnostics.iter().map(|one| lang::render::json(one, &found.sources)).collect()
}

/// Shows why policies are not used, on standard error; a command that needs them ends so.
pub(crate) fn refused(refused: &Refused) -> Failure {
    let mut err = anstream::stderr().lock();
    if let Err(error) = show(&refused.0, &mut err, true) {
        return error.into();
    }
    let errors = refused.errors();
    let errors = if errors == 1 { "an error".to_owned() } else { format!("{errors} errors") };
    Failure::new(Exit::Failed, format!("the policies have {errors}; nothing is changed"))
}
