//! `aegisbpf emergency`: enforcement off and on again, by one command, written down.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::cli::Output;
use crate::cli::emergency::{DisableArgs, EmergencyCommand, EnableArgs, StatusArgs};
use crate::client;
use crate::exit::{Exit, Failure};
use crate::guard::isolate::lift_all;
use crate::policy::load::now;
use crate::policy::pins;
use crate::policy::store::{Change, Emergency, Locked, Store, Who};
use crate::proto::{Policy, Request};
use crate::render::escape::piece;

/// Runs the command that was asked for.
pub(crate) fn run(command: &EmergencyCommand) -> Result<Exit, Failure> {
    match command {
        EmergencyCommand::Disable(args) => disable(args, &mut anstream::stdout().lock()),
        EmergencyCommand::Enable(args) => enable(args, &mut anstream::stdout().lock()),
        EmergencyCommand::Status(args) => status(args),
    }
}

/// Tells a running agent; false if none runs.
fn tell(runtime: &Path, enforce: bool) -> Result<bool, Failure> {
    let switch = if enforce { Policy::Enable } else { Policy::Disable };
    match client::change(runtime, &Request::Policy(0, switch)) {
        Ok(_) => Ok(true),
        Err(failure) if failure.exit == Exit::NotRunning => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn note(locked: &Locked<'_>, action: &'static str, reason: &str) -> Result<(), Failure> {
    let who = Who::me();
    let (before, after) = (None, None);
    locked.log(&Change {
        action,
        who: &who,
        reason: Some(reason),
        before,
        after,
        bundles: serde_json::Value::Null,
        enforced_by: None,
    })
}

/// Switches all enforcement off, and says what that came to.
pub(super) fn disable(args: &DisableArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    let state = &args.dirs.state_dir;
    let store = Store::at(state);
    let locked = store.lock()?;
    note(&locked, "emergency-disable", &args.reason)?;
    let (reason, persist) = (args.reason.clone(), args.persist);
    Emergency { reason, who: Who::me(), since: now(), persist }.write(state)?;
    // Who is cut off has no other way out, and this needs no agent.
    let lifted = lift_all(&args.dirs.runtime_dir);
    if lifted.map_err(|error| Failure::new(Exit::Failed, error.to_string()))? > 0 {
        writeln!(out, "nobody is cut off the network any more")?;
    }
    // What an agent left pinned goes on denying when it is gone, or does not answer.
    let told = tell(&args.dirs.runtime_dir, false);
    if matches!(told, Ok(true)) {
        writeln!(out, "enforcement is off; the agent goes on watching")?;
        return Ok(Exit::Ok);
    }
    let unpinned = pins::release(&args.dirs.runtime_dir);
    let unpinned = unpinned.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    match told {
        Ok(_) if unpinned => writeln!(out, "enforcement is off; no agent runs")?,
        Ok(_) => writeln!(out, "nothing was enforced; an agent that starts will not enforce")?,
        Err(failure) if unpinned => {
            writeln!(
                out,
                "enforcement by pinned programs is off; the agent did not answer: {failure}"
            )?;
        }
        Err(failure) => return Err(failure),
    }
    Ok(Exit::Ok)
}

/// Switches it on again.
pub(super) fn enable(args: &EnableArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    let state = &args.dirs.state_dir;
    let store = Store::at(state);
    let locked = store.lock()?;
    note(&locked, "emergency-enable", &args.reason)?;
    let told = tell(&args.dirs.runtime_dir, true)?;
    Emergency::end(state)?;
    let words = if told {
        "enforcement is as it was before"
    } else {
        "enforcement will be as before when an agent runs"
    };
    writeln!(out, "{words}")?;
    Ok(Exit::Ok)
}

fn status(args: &StatusArgs) -> Result<Exit, Failure> {
    let emergency = Emergency::read(&args.dirs.state_dir)?;
    let mut out = anstream::stdout().lock();
    if args.output == Output::Json {
        writeln!(out, "{:#}", json!({ "disabled": emergency.is_some(), "emergency": emergency }))?;
        return Ok(Exit::Ok);
    }
    match emergency {
        None => writeln!(out, "the emergency switch is not used")?,
        Some(one) => {
            let since = jiff::Timestamp::from_second(one.since).unwrap_or_default();
            let until = if one.persist { "it is enabled" } else { "the agent starts again" };
            let (who, reason) = (piece(&one.who.name()), piece(&one.reason));
            writeln!(out, "enforcement is off since {since}, by {who}: {reason}")?;
            writeln!(out, "until {until}")?;
        }
    }
    Ok(Exit::Ok)
}
