//! Puts policies in force, or goes back to others.
//!
//! The order is always the same: read with limits, verify, compile, lint, stage, write down, put
//! into the kernel, and only then call it active. What fails on the way ends there, and the
//! generation before stays in force.

use std::path::PathBuf;

use files::Trust;
use lang::Code;
use model::policy::{Mode, Operations};
use packs::Refusal;
use policy::Options;
use serde_json::{Value as Json, json};

use super::adhoc::{self, Adhoc};
use super::bundles::{self, Vouch};
use super::load::{self, Expected, Ready, Refused, Verified};
use super::offer::Offer;
use super::store::{Active, Change, Locked, Staged, Store, Who};
use super::{advice, words};
use crate::exit::{Exit, Failure};

/// How an apply ends that does not go through.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The policies are at fault.
    Refused(Box<Refused>),
    /// A signed bundle, or the lack of one, is.
    Unverified(Vec<Refusal>),
    /// Something else is.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

impl From<Box<Refused>> for Stop {
    fn from(refused: Box<Refused>) -> Stop {
        Stop::Refused(refused)
    }
}

/// Whoever carries policies out: a running agent, or nobody.
pub(crate) trait Enforce {
    /// Who it is, for the journal; none if nobody carries anything out.
    fn name(&self) -> Option<String>;
    /// Whether policies that do not say it are carried out.
    fn mode(&self) -> Mode;
    /// What it can do.
    fn offer(&self) -> Offer;
    /// Puts a staged generation into the kernel.
    fn put(&mut self, staged: &Staged) -> Result<(), Failure>;
}

/// What is to be put in force.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Files and directories.
    pub(crate) paths: Vec<PathBuf>,
    /// Not these, but what is in force.
    pub(crate) again: bool,
    /// Whose word is enough for signed bundles.
    pub(crate) vouch: Vouch,
    /// Digests that they must have.
    pub(crate) expected: Expected,
    /// Whether it may lock somebody out.
    pub(crate) force: bool,
    /// Operations whose absence is accepted.
    pub(crate) accepted: Operations,
    /// Why.
    pub(crate) reason: Option<String>,
}

/// Reads, verifies, compiles and lints; nothing is written.
pub(crate) fn prepare(
    store: &Store,
    wanted: &Wanted,
    generation: u64,
    by: &dyn Enforce,
) -> Result<Ready, Stop> {
    let verified = if wanted.again {
        Verified::again(in_force(store)?)
    } else {
        // Denials name the file, and whoever reads them is in another directory.
        let paths: Vec<PathBuf> =
            load::paths(&wanted.paths).iter().map(|path| load::whole(path)).collect();
        let read = bundles::read(store, &paths, &wanted.vouch);
        let read = read.map_err(Stop::Unverified)?;
        let how = (Trust::Owner, &wanted.expected);
        Verified::bundled(read, how)?
    };
    let options = Options { generation, mode: by.mode(), now: load::now() };
    let mut ready = with_adhoc(store, verified, &options)?;
    advice::lint(&mut ready);
    ready.accepted = wanted.accepted;
    if wanted.again {
        ready.accepted.0 |= accepted_before(store)?.0;
    }
    advice::degraded(&mut ready, &by.offer());
    if wanted.force {
        let forced = |code| matches!(code, Code::LocksOut | Code::DeniesAll);
        ready.loaded.diagnostics.retain(|one| !forced(one.code));
    }
    if ready.loaded.has_errors() {
        return Err(Box::new(Refused(ready.loaded)).into());
    }
    Ok(ready)
}

/// The texts of what is in force and the bundles they came in; none if nothing is.
pub(crate) fn in_force(store: &Store) -> Result<(Vec<files::Text>, Vec<bundles::Source>), Failure> {
    let Some(active) = store.active()? else { return Ok((Vec::new(), Vec::new())) };
    let about = store.about(active)?;
    Ok((store.sources(&about)?, about.bundles))
}

/// What was accepted when that was put in force.
pub(crate) fn accepted_before(store: &Store) -> Result<Operations, Failure> {
    let active = store.active()?.map(|active| store.about(active)).transpose()?;
    Ok(active.map(|about| about.accepted()).unwrap_or_default())
}

/// Compiles texts together with the rules made at the command line, as those are now.
fn with_adhoc(store: &Store, verified: Verified, options: &Options) -> Result<Ready, Stop> {
    let (text, until) = Adhoc::read(store)?.text(options.now).unzip();
    let mut ready = verified.with(adhoc::NAME, text).compile(options)?;
    ready.until = until.unwrap_or(i64::MAX);
    Ok(ready)
}

/// Puts policies in force.
pub(crate) fn apply(
    store: &Store,
    wanted: &Wanted,
    by: &mut dyn Enforce,
) -> Result<(Ready, Active), Stop> {
    apply_locked(store, &store.lock()?, wanted, by)
}

/// The same for who has the store already.
pub(crate) fn apply_locked(
    store: &Store,
    locked: &Locked<'_>,
    wanted: &Wanted,
    by: &mut dyn Enforce,
) -> Result<(Ready, Active), Stop> {
    let who = Who::me();
    let reason = wanted.reason.as_deref();
    let ready = match prepare(store, wanted, locked.next()?, by) {
        Err(Stop::Unverified(refused)) => {
            note_refusal(store, locked, &refused, (&who, reason));
            return Err(Stop::Unverified(refused));
        }
        prepared => prepared?,
    };
    let staged = locked.stage(&ready, &who)?;
    let active = go(store, locked, &staged, by, ("apply", &who, reason))?;
    // The generation tells of its bundles, too: nothing is lost if this fails.
    bundles::note(store, &ready.bundles).map_err(|refusal| Stop::Unverified(vec![refusal]))?;
    Ok((ready, active))
}

/// Writes down that a bundle was refused; what is in force stays.
fn note_refusal(
    store: &Store,
    locked: &Locked<'_>,
    refused: &[Refusal],
    (who, reason): (&Who, Option<&str>),
) {
    let active = store.active().ok().flatten();
    let before = active.and_then(|one| Some((one, store.about(one).ok()?.sha256)));
    let refusal = |one: &Refusal| json!({ "code": one.code.as_str(), "place": one.place, "message": one.message });
    let change = Change {
        action: "apply-refused",
        who,
        reason,
        after: before.clone(),
        before,
        bundles: json!({ "refused": refused.iter().map(refusal).collect::<Vec<_>>() }),
        enforced_by: None,
    };
    if let Err(failure) = locked.log(&change) {
        tracing::warn!(%failure, "the refusal is not in the history");
    }
}

/// Goes back to a generation, or to the one before. Its texts are compiled anew, since exceptions
/// may have ended meanwhile, and become the newest generation.
pub(crate) fn rollback(
    store: &Store,
    generation: Option<u64>,
    reason: Option<&str>,
    by: &mut dyn Enforce,
) -> Result<(u64, Active), Stop> {
    let locked = store.lock()?;
    let active = store.active()?;
    let target = match (generation, active) {
        (Some(generation), _) => generation,
        (None, Some(active)) => before(store, active)?,
        (None, None) => {
            let failure = Failure::new(Exit::Failed, "no policy is in force");
            return Err(failure.help("`aegisbpf policy apply` puts one in force").into());
        }
    };
    if Some(target) == active {
        let message = format!("generation {target} is in force already");
        return Err(Failure::new(Exit::Failed, message).into());
    }
    let about = store.about(target)?;
    let texts = store.sources(&about)?;
    let options = Options { generation: locked.next()?, mode: by.mode(), now: load::now() };
    let verified = Verified::again((texts, about.bundles.clone()));
    let mut ready = with_adhoc(store, verified, &options)?;
    ready.accepted = about.accepted();
    let who = Who::me();
    let staged = locked.stage(&ready, &who)?;
    let active = go(store, &locked, &staged, by, ("rollback", &who, reason))?;
    Ok((target, active))
}

/// The newest generation with other texts than the one in force.
fn before(store: &Store, active: u64) -> Result<u64, Failure> {
    let now = store.about(active)?.sha256;
    let older = store.list()?.into_iter().rev().filter(|one| *one < active);
    for one in older {
        if store.about(one)?.sha256 != now {
            return Ok(one);
        }
    }
    Err(Failure::new(Exit::Failed, "there is no generation before this one"))
}

fn in_history(bundles: &[bundles::Source]) -> Json {
    if bundles.is_empty() {
        return Json::Null;
    }
    bundles.iter().map(bundles::Source::json).collect()
}

/// The last steps: written down, into the kernel, active.
fn go(
    store: &Store,
    locked: &Locked<'_>,
    staged: &Staged,
    by: &mut dyn Enforce,
    (action, who, reason): (&'static str, &Who, Option<&str>),
) -> Result<Active, Failure> {
    let active = store.active()?;
    let digest = |generation: u64| store.about(generation).map(|about| about.sha256).ok();
    let mut change = Change {
        action,
        who,
        reason,
        before: active.map(|one| (one, digest(one).unwrap_or_default())),
        after: Some((staged.generation, staged.about.sha256.clone())),
        bundles: in_history(&staged.about.bundles),
        enforced_by: by.name(),
    };
    let done = locked.log(&change).and_then(|()| by.put(staged));
    if let Err(failure) = done {
        change.action = if action == "apply" { "apply-failed" } else { "rollback-failed" };
        // The first failure is the one to tell.
        if let Err(second) = locked.log(&change) {
            tracing::warn!(%second, "the failure is not in the history");
        }
        locked.discard(staged);
        return Err(failure);
    }
    locked.activate(staged)
}

/// Nobody carries policies out.
#[derive(Debug)]
pub(crate) struct Nobody {
    /// Whether policies that do not say it will be carried out.
    pub(crate) mode: Mode,
}

impl Enforce for Nobody {
    fn name(&self) -> Option<String> {
        None
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn offer(&self) -> Offer {
        // Whoever carries them out one day refuses then what it cannot.
        Offer::default()
    }

    fn put(&mut self, _: &Staged) -> Result<(), Failure> {
        Ok(())
    }
}

/// A line about what was put in force.
pub(crate) fn told(ready: &Ready, active: &Active, by: &dyn Enforce) -> String {
    let rules = ready.compiled.rules.len();
    let mode = words::mode(ready.options.mode);
    let by = match by.name() {
        Some(name) => format!("in force by {name}"),
        None => "kept; no agent runs, so nothing is carried out".to_owned(),
    };
    format!(
        "generation {} with {rules} rules is {by} ({mode} unless a policy says otherwise)",
        active.generation
    )
}

#[cfg(test)]
mod bundle_tests;
#[cfg(test)]
mod tests;
