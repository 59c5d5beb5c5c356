//! Strangers meddle with an agent that runs: reported, and refused when that is switched on.

use std::fs;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use super::scene::{Deed, Scene, at, no_read, policy};
use crate::own::{self, CASES, Case, FILES, Things};

/// In the guest.
const AGENT: &str = "/bin/aegisbpf";

/// It is told of since the log had so many bytes.
fn told(scene: &mut Scene, since: usize, outcome: &str, case: &Case) -> Result<()> {
    let operation = format!("operation=\"{}\"", case.operation.name());
    let parts = [outcome, "rule=\"self-protection\"", &operation];
    scene.until(&format!("the log tells {parts:?}"), |scene| {
        let log = scene.log();
        let mut lines = log.get(since..).unwrap_or_default().lines();
        Ok(lines.any(|line| parts.iter().all(|part| line.contains(part))))
    })
}

fn reported(scene: &mut Scene, things: &Things, case: &Case) -> Result<()> {
    let since = scene.log().len();
    let (_, said) = own::tampers(case, things)?;
    ensure!(said == "ok", "a stranger came to {said} where it is only reported");
    told(scene, since, " would be denied ", case)
}

fn refused(scene: &mut Scene, things: &Things, case: &Case) -> Result<()> {
    let since = scene.log().len();
    let (_, said) = own::tampers(case, things)?;
    ensure!(own::is_refused(&said), "a stranger came to {said}");
    told(scene, since, " denied ", case)?;
    own::control(case, things)
}

/// What an operator does meanwhile.
fn operated(scene: &mut Scene) -> Result<()> {
    scene.told(&["status"])?;
    scene.told(&["policy", "apply", "--again"])?;
    scene.denied(&Deed::Read("two"), "two")?;
    let three = at("three").display().to_string();
    scene.told(&["block", "add", &three, "--reason", "a test", "--as", crate::lab::COVERED])?;
    ensure!(scene.is_denied(&Deed::Read("three"))?, "what the operator blocks is not denied");
    // What is blocked at the command line is part of every generation: going back does not end it.
    scene.told(&["policy", "rollback", "--reason", "a test"])?;
    ensure!(scene.is_denied(&Deed::Read("three"))?, "a rollback ended a block");
    scene.told(&["block", "del", "block-1"])?;
    scene.allowed(&Deed::Read("three"))
}

/// First by an agent that only reports, then by one that protects itself, until the operator ends it.
pub(super) fn protected(scene: &mut Scene) -> Result<String> {
    scene.end(Signal::SIGTERM)?;
    own::furnish()?;
    fs::write(format!("{FILES}/policy.yaml"), policy(&[no_read("two", "two")]))?;
    scene.start(&["--enforce", "--policy", FILES])?;
    let mut things = own::things(AGENT, scene.guard()?)?;
    for case in CASES.iter().filter(|case| case.agent) {
        reported(scene, &things, case).map_err(|error| error.context(case.name))?;
    }
    scene.end(Signal::SIGTERM)?;
    scene.start(&["--enforce", "--self-protect", "--policy", FILES])?;
    things.follow(scene.guard()?)?;
    for case in CASES {
        refused(scene, &things, case).map_err(|error| error.context(case.name))?;
    }
    operated(scene)?;
    ensure!(scene.end(Signal::SIGTERM).is_err(), "a stranger ended the agent");
    scene.told(&["emergency", "disable", "--reason", "a test"])?;
    ensure!(scene.end(Signal::SIGTERM)?.success(), "it did not end well");
    Ok(format!("{} deeds refused and told, the operator's are not", CASES.len()))
}
