//! `aegisbpf policy lint`

use std::io::Write;

use lang::Level;
use lang::policy::Policies;
use lang::render::Tool;
use model::policy::{Operation, Operations};
use serde_json::json;

use crate::cli::policy::{Findings, LintArgs};
use crate::exit::{Exit, Failure};
use crate::policy::advice;
use crate::policy::deploy::Stop;
use crate::policy::load::Ready;
use crate::policy::offer::Offer;

/// Shows what is wrong; a warning is a finding, too, since somebody asked.
pub(crate) fn run(args: &LintArgs) -> Result<Exit, Failure> {
    let accepted = operations(&args.accept_degraded)?;
    let found = match Ready::look(&args.files.paths, &args.files.vouch()) {
        Ok(mut ready) => {
            advice::lint(&mut ready);
            if let Some(tier) = args.tier {
                ready.accepted = accepted;
                advice::degraded(&mut ready, &Offer::at_best(tier));
            }
            ready.loaded
        }
        Err(Stop::Refused(refused)) => refused.0,
        Err(stop) => return Err(super::told(stop)),
    };
    write(&found, args.output)?;
    Ok(if found.diagnostics.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// Operations by name.
pub(super) fn operations(names: &[String]) -> Result<Operations, Failure> {
    let find = |name: &String| {
        let found = Operation::ALL.iter().find(|one| one.name() == name.as_str());
        found.copied().ok_or_else(|| {
            let all: Vec<&str> = Operation::ALL.iter().map(|one| one.name()).collect();
            Failure::new(Exit::Usage, format!("there is no operation `{name}`"))
                .help(format!("there are {}", all.join(", ")))
        })
    };
    names.iter().map(find).try_fold(Operations::default(), |all, one| Ok(all.with(one?)))
}

fn write(found: &Policies, form: Findings) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let (errors, warnings) =
        (super::count(found, Level::Error), super::count(found, Level::Warning));
    let rules: usize =
        found.policies.iter().map(|one| one.rules.len() + one.allow_lists.len()).sum();
    match form {
        Findings::Json => {
            let document = json!({
                "policies": found.policies.len(),
                "rules": rules,
                "errors": errors,
                "warnings": warnings,
                "diagnostics": super::json(found),
            });
            writeln!(out, "{document:#}")?;
        }
        Findings::Sarif => {
            let tool = Tool { name: "aegisbpf", version: env!("CARGO_PKG_VERSION"), unread: &[] };
            let log = lang::render::sarif(&found.diagnostics, &found.sources, tool);
            writeln!(out, "{log:#}")?;
        }
        Findings::Text => {
            super::show(found, &mut out, true)?;
            let policies = found.policies.len();
            let policies =
                if policies == 1 { "1 policy".to_owned() } else { format!("{policies} policies") };
            writeln!(out, "{policies} with {rules} rules: {errors} errors, {warnings} warnings")?;
        }
    }
    Ok(())
}
