//! `cargo xtask run`: from a fresh clone to live events.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::setup::{self, Need};
use crate::sh;

/// Installs what is missing, builds, and becomes the agent.
pub(crate) fn command(args: &[String]) -> Result<()> {
    setup::install(&setup::missing(Need::Build))?;
    println!("building in release (the first time takes a few minutes)");
    sh::run(sh::cargo().args(["build", "--release", "--package", "agent"]))
        .context("the agent could not be built")?;
    let rules = sh::rules_of_root(&sh::at("rules"))?;
    println!("the rules are those of this checkout, copied to {} for root", rules.display());
    let mut agent = sh::as_root(sh::release("aegisbpf"))?;
    agent.args(["run", "--events", "--rules"]).arg(rules);
    if !args.iter().any(|arg| arg.starts_with("-o") || arg.starts_with("--output")) {
        // For people; programs ask for JSON.
        agent.args(["--output", "compact"]);
    }
    agent.args(args);
    agent.stdin(Stdio::inherit());
    println!("starting {}; ^C ends it", sh::show(&agent));
    // The agent takes our place, so that signals and the exit code are its own.
    Err(agent.exec()).with_context(|| format!("cannot start {}", sh::show(&agent)))
}
