//! `aegisbpf policy apply` and `rollback`

use std::io::Write;

use model::policy::Mode;
use packs::Refusal;
use serde_json::Value as Json;

use crate::cli::policy::{ApplyArgs, RollbackArgs, StartMode};
use crate::exit::{Exit, Failure};
use crate::policy::bundles::Vouch;
use crate::policy::deploy::{self, Enforce, Nobody, Stop, Wanted};
use crate::policy::load::{Expected, Ready, Verified};
use crate::policy::running;
use crate::policy::store::Store;

/// Longest file of digests: a line for each of as many files as are read.
const DIGESTS_MAX: u64 = 4 << 20;

/// What is told of a stop, after its findings have been shown.
pub(crate) fn told(stop: Stop) -> Failure {
    match stop {
        Stop::Refused(refused) => super::refused(&refused),
        Stop::Unverified(refused) => unverified(&refused),
        Stop::Failed(failure) => failure,
    }
}

/// Shows why bundles are not used, each refusal with its code.
fn unverified(refused: &[Refusal]) -> Failure {
    let mut err = anstream::stderr().lock();
    for refusal in refused {
        if let Err(error) = writeln!(err, "error: {refusal}") {
            return error.into();
        }
    }
    Failure::new(Exit::Config, "the policies are not those of somebody trusted; nothing is changed")
}

/// Who carries policies out: the running agent, the one that starts, or nobody.
fn enforcer(args: &ApplyArgs) -> Result<Box<dyn Enforce>, Failure> {
    match args.at_start {
        None => running::enforcer(&args.dirs.runtime_dir, args.canary),
        Some(StartMode::Audit) => Ok(Box::new(Nobody { mode: Mode::Audit })),
        Some(StartMode::Enforce) => Ok(Box::new(Nobody { mode: Mode::Enforce })),
    }
}

/// Puts policies in force.
pub(crate) fn run(args: &ApplyArgs) -> Result<Exit, Failure> {
    let list = args.sha256_file.as_deref().map(|path| {
        // What it says is obeyed.
        let read = files::read_bytes(path, DIGESTS_MAX, files::Trust::Owner);
        let text = read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        text.map_err(|error| {
            let message = format!("cannot read the digests: {error}");
            Failure::new(Exit::Failed, message)
        })
    });
    let wanted = Wanted {
        paths: args.files.paths.clone(),
        again: args.again,
        vouch: Vouch { older: args.older, ..args.files.vouch() },
        expected: Expected { sha256: args.sha256.clone(), list: list.transpose()? },
        force: args.force,
        accepted: super::lint::operations(&args.accept_degraded)?,
        reason: args.reason.clone(),
    };
    let store = Store::at(&args.dirs.state_dir);
    let mut by = enforcer(args)?;
    let mut out = anstream::stdout().lock();
    if args.dry_run {
        let ready = deploy::prepare(&store, &wanted, 0, &*by).map_err(told)?;
        super::show(&ready.loaded, &mut anstream::stderr().lock(), true)?;
        write!(out, "{}", super::diff::text(&in_force(&store)?, &ready))?;
        writeln!(out, "nothing was changed")?;
        return Ok(Exit::Ok);
    }
    let (ready, active) = deploy::apply(&store, &wanted, &mut *by).map_err(told)?;
    super::show(&ready.loaded, &mut anstream::stderr().lock(), true)?;
    writeln!(out, "{}", deploy::told(&ready, &active, &*by))?;
    let Some(trial) = args.canary else { return Ok(Exit::Ok) };
    out.flush()?;
    match running::wait(&args.dirs.runtime_dir, trial)? {
        None => writeln!(out, "nothing was wrong for {} s: it stays", trial.as_secs())?,
        Some(reason) => {
            let message = format!("the trial failed: {reason}; the policies before are in force");
            return Err(Failure::new(Exit::Failed, message));
        }
    }
    Ok(Exit::Ok)
}

/// The policies that are in force; an empty load if none are.
fn in_force(store: &Store) -> Result<Ready, Failure> {
    let texts = deploy::in_force(store)?;
    let compiled = Verified::again(texts).compile(&crate::policy::load::looking());
    compiled.map_err(|refused| super::refused(&refused))
}

/// Goes back.
pub(crate) fn rollback(args: &RollbackArgs) -> Result<Exit, Failure> {
    let store = Store::at(&args.dirs.state_dir);
    let mut by = running::enforcer(&args.dirs.runtime_dir, None)?;
    let reason = args.reason.as_deref();
    let (target, active) =
        deploy::rollback(&store, args.generation, reason, &mut *by).map_err(told)?;
    let active = active.generation;
    writeln!(anstream::stdout(), "back to what generation {target} said, as generation {active}")?;
    Ok(Exit::Ok)
}

/// A member of an object, as text.
pub(super) fn text(of: &Json, pointer: &str) -> String {
    match of.pointer(pointer) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}
