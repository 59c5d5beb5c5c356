//! Which rules run: each set that comes into force is kept as a generation, and a generation can come
//! back: because somebody says so, or because the one after it broke.
//!
//! All of this reads and waits for the disk: at start before events are read, later on a thread of its
//! own.
//!
//! | module | does |
//! |---|---|
//! | `keep` | a set that was read becomes a generation, and what is different about it is written down |

mod keep;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::board::{Generation, Reload};
use super::reload::{Fresh, Made, ready};
use super::rules::{self, Rules, When};
use super::status::seconds_since_boot;
use super::watch::{Seen, print as look};
use crate::audit::Audit;
use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::rules::about::{Entry, digest};
use crate::rules::{About, Cause, Content, Held, Standing, Store, Why};

/// What is asked of the thread that reads rules.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// Those of the directories.
    Directories(Cause),
    /// Those of a generation; of the one before if none is named.
    Rollback(Option<u64>, Cause),
    /// Those of before the trial, since a generation broke in it.
    Revert(u64, String),
}

/// What a set of rules means for the trial that may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OnTrial {
    /// It goes on, or there is none.
    AsBefore,
    /// There is none any more.
    Over,
    /// One begins: the generation, and its rules that are new.
    Begins(u64, HashSet<String>),
}

/// Reads sets of rules, and keeps them.
#[derive(Debug)]
pub(crate) struct Generations {
    args: RunArgs,
    seen: Seen,
    audit: Arc<Audit>,
    store: Store,
    /// Generations that broke while this worker ran, and those that could not be kept.
    reverted: AtomicU64,
    unkept: AtomicU64,
}

impl Generations {
    /// Of these options.
    pub(crate) fn new(args: &RunArgs, seen: Seen, audit: Arc<Audit>) -> Generations {
        let (reverted, unkept) = (AtomicU64::new(0), AtomicU64::new(0));
        let store = Store::at(&args.state_dir);
        Generations { args: args.clone(), seen, audit, store, reverted, unkept }
    }

    /// The rules that a worker begins with, which has so many before it.
    pub(crate) fn begin(&self, restarts: u32) -> Result<Fresh, Failure> {
        let standing = self.store.standing().unwrap_or_else(|error| {
            tracing::error!(%error, "what is known of generations of rules cannot be read");
            Standing::default()
        });
        let standing = if restarts == 0 {
            self.mode(&standing);
            self.of_these_places(standing)
        } else {
            standing
        };
        if let Some(fresh) = self.instead(&standing, restarts > 0) {
            return Ok(fresh);
        }
        let first = restarts == 0;
        let cause = Cause::from(if first { Why::Start } else { Why::Restart });
        self.seen.note(&self.args);
        let failure = match self.directories(&self.args, When::Start, &cause) {
            Err(failure) if !first => failure,
            other => return other,
        };
        // Rules that were broken while the agent ran must not end it: those before go on.
        if let Some(active) = standing.active
            && let Ok(made) = self.stored(active, false)
        {
            tracing::error!(error = %failure, "the rules stay as they were");
            let mut fresh = self.fresh(made, &standing, OnTrial::Over);
            fresh.set.reload = Some(Reload::now(Some(failure.to_string())));
            return Ok(fresh);
        }
        let lenient = RunArgs { keep_going: true, ..self.args.clone() };
        self.directories(&lenient, When::Start, &cause)
    }

    /// What runs instead of what the directories hold, if it does.
    fn instead(&self, standing: &Standing, restarted: bool) -> Option<Fresh> {
        let (now, active) = (look(&self.args), standing.active);
        if let (true, Some(active), Some(_)) = (restarted, active, standing.trial) {
            self.seen.set(standing.print);
            let reason = "the worker ended while they were on trial".to_owned();
            return self.attempt("rules cannot be taken back", self.revert(active, reason));
        }
        if let (true, Some(active), Some(print)) = (restarted, active, standing.reading) {
            self.seen.set(print);
            let reason = "the worker ended while it read other rules".to_owned();
            let held = hold(active, Cause { reason: Some(reason), ..Why::Revert.into() });
            let held = Held { print: Some(print), ..held };
            return self.attempt("rules cannot be kept", self.take_back(&held, false));
        }
        let held = standing.held.clone()?;
        if held.print.is_some_and(|print| print != now) {
            return None;
        }
        self.seen.set(now);
        let mut fresh = self.attempt("rules cannot be kept", self.take_back(&held, false))?;
        if let Some(generation) = &mut fresh.set.generation {
            generation.changed = now != standing.print;
        }
        Some(fresh)
    }

    fn attempt(&self, what: &str, done: Result<Fresh, Failure>) -> Option<Fresh> {
        let refuse = |failure: &Failure| {
            tracing::error!(%failure, "{what}: those in the directories are read");
            let about = json!({ "why": "held", "reason": failure.to_string() });
            self.audit.note("rules-refused", about);
        };
        done.inspect_err(refuse).ok()
    }

    /// Does what was asked for.
    pub(crate) fn answer(&self, ask: Ask, args: &RunArgs) -> Result<Fresh, Failure> {
        match ask {
            Ask::Directories(cause) => {
                let print = self.seen.note(args);
                self.reading(Some(print));
                let done = self.directories(args, When::Reload, &cause);
                if done.is_err() {
                    self.reading(None);
                }
                done
            }
            Ask::Rollback(generation, cause) => {
                let (why, who, reason) = (cause.why.as_str(), cause.who, cause.reason.clone());
                self.rollback(generation, cause).inspect_err(|failure| {
                    let about = json!({
                        "why": why,
                        "who": who,
                        "reason": reason,
                        "generation": generation,
                        "error": failure.to_string(),
                    });
                    self.audit.note("rules-refused", about);
                })
            }
            Ask::Revert(generation, reason) => self.revert(generation, reason),
        }
    }

    /// The trial of a generation is over, and nothing was wrong.
    pub(crate) fn passed(&self, generation: u64) {
        let done = self.store.lock().and_then(|mut locked| {
            if locked.standing.active == Some(generation) {
                locked.standing.trial = None;
            }
            locked.save()
        });
        if let Err(error) = done {
            tracing::error!(%error, "that a trial is over is not written down");
        }
    }

    /// Writes down that files that look so are being read, for the worker that comes after one that
    /// they ended.
    fn reading(&self, print: Option<u64>) {
        let done = self.store.lock().and_then(|mut locked| {
            locked.standing.reading = print;
            locked.save()
        });
        if let Err(error) = done {
            tracing::warn!(%error, "a reading of rules is not written down");
        }
    }

    fn directories(&self, args: &RunArgs, when: When, cause: &Cause) -> Result<Fresh, Failure> {
        let print = self.seen.get();
        let made = rules::read(args, when, Some(self.audit.as_ref())).and_then(ready);
        let made = made.inspect_err(|failure| {
            let about = json!({
                "why": cause.why.as_str(),
                "who": cause.who,
                "reason": failure.to_string(),
            });
            self.audit.note("rules-refused", about);
        })?;
        Ok(self.keep(made, cause, print))
    }

    /// The rules of a generation. `strictly`: all of them, or none.
    fn stored(&self, generation: u64, strictly: bool) -> Result<Made, Failure> {
        let unusable = |error: std::io::Error| {
            if error.kind() == ErrorKind::NotFound {
                let message = format!("there is no generation {generation} of rules");
                return Failure::new(Exit::Failed, message)
                    .help("`aegisbpf rules history` lists them");
            }
            let message = format!("generation {generation} of rules cannot be read: {error}");
            Failure::new(Exit::Failed, message)
                .help("go back to another one, or to the directories: `aegisbpf rules follow`")
        };
        let about = self.store.about(generation).map_err(unusable)?;
        let contents = self.store.contents(&about).map_err(unusable)?;
        let stored = (&about, contents, self.store.place(generation));
        let mut made =
            ready(rules::again(&self.args, stored, strictly, Some(self.audit.as_ref()))?)?;
        made.sha256 = Some(about.sha256);
        Ok(made)
    }

    fn rollback(&self, generation: Option<u64>, cause: Cause) -> Result<Fresh, Failure> {
        let unknown = |error: std::io::Error| Failure::new(Exit::Failed, error.to_string());
        let standing = self.store.standing().map_err(unknown)?;
        let generation = match generation {
            Some(generation) => generation,
            None => self.before(&standing).map_err(unknown)?.ok_or_else(|| {
                Failure::new(Exit::Failed, "no generation of rules is before the one in force")
                    .help("`aegisbpf rules history` lists them")
            })?,
        };
        self.take_back(&hold(generation, cause), true)
    }

    /// The newest generation before the one in force that did not break.
    fn before(&self, standing: &Standing) -> std::io::Result<Option<u64>> {
        let active = standing.active.unwrap_or(u64::MAX);
        let sound = |one: &u64| *one < active && !standing.reverted.contains_key(one);
        Ok(self.store.list()?.into_iter().rev().find(sound))
    }

    fn revert(&self, broken: u64, reason: String) -> Result<Fresh, Failure> {
        let unknown = |error: std::io::Error| Failure::new(Exit::Failed, error.to_string());
        let standing = self.store.standing().map_err(unknown)?;
        // Others may have come into force since it was asked for.
        let on_trial = standing.trial.filter(|_| standing.active == Some(broken));
        let before = on_trial.ok_or_else(|| {
            Failure::new(Exit::Failed, format!("generation {broken} is not on trial any more"))
        })?;
        let cause = Cause { reason: Some(reason), ..Why::Revert.into() };
        let held = Held { print: Some(standing.print), ..hold(before, cause) };
        self.take_back(&held, false)
    }

    /// An operator who names other places than before wants the rules of those: there is nothing that they
    /// could be tried against or held back for.
    fn of_these_places(&self, standing: Standing) -> Standing {
        let paths = self.args.rules.iter().chain(&self.args.packs);
        let strict = self.args.strict.then(|| "strict".to_owned());
        let sources: Vec<String> =
            paths.map(|path| path.display().to_string()).chain(strict).collect();
        if standing.active.is_some() && standing.sources == sources {
            return standing;
        }
        let done = self.store.lock().and_then(|mut locked| {
            let standing = &mut locked.standing;
            (standing.active, standing.trial) = (None, None);
            (standing.held, standing.reading) = (None, None);
            standing.sources.clone_from(&sources);
            let standing = standing.clone();
            locked.save()?;
            Ok(standing)
        });
        done.unwrap_or_else(|error| {
            tracing::warn!(%error, "where rules come from is not written down");
            Standing { active: None, trial: None, held: None, reading: None, sources, ..standing }
        })
    }

    /// Whether policies are carried out is written down when it is another way than before.
    fn mode(&self, standing: &Standing) {
        let mode = if self.args.enforce { "enforce" } else { "audit" };
        if standing.mode.as_deref() == Some(mode) {
            return;
        }
        if let Some(before) = &standing.mode {
            self.audit.note("mode-changed", json!({ "before": before, "after": mode }));
        }
        let done = self.store.lock().and_then(|mut locked| {
            locked.standing.mode = Some(mode.to_owned());
            locked.save()
        });
        if let Err(error) = done {
            tracing::warn!(%error, "the mode is not written down");
        }
    }

    /// Rules that run from now on.
    fn fresh(&self, made: Made, standing: &Standing, trial: OnTrial) -> Fresh {
        let now = seconds_since_boot();
        let until = match &trial {
            OnTrial::Begins(..) => Some(now + self.args.rules_trial.as_secs()),
            OnTrial::AsBefore | OnTrial::Over => None,
        };
        let mut fresh = made.fresh;
        fresh.set.generation = Some(Generation {
            number: standing.active,
            sha256: made.sha256.unwrap_or_default(),
            since: standing.since.clone(),
            began: now,
            trial_until: until,
            held: standing.held.clone(),
            changed: false,
            reverted: self.reverted.load(Ordering::Relaxed),
            unkept: self.unkept.load(Ordering::Relaxed),
        });
        fresh.trial = trial;
        fresh
    }
}

/// The rules in force, only looked at, by a process that does not take the worker's word: those of the
/// generation that is held, if its set is a known one, or else of the directories; with the digest of the
/// set if it was read from there. What is malformed or refused is left out.
pub(crate) fn in_force(
    args: &RunArgs,
    known: &BTreeSet<String>,
) -> Result<(Rules, Option<String>), Failure> {
    let args = RunArgs { keep_going: true, ..args.clone() };
    if let Some((about, contents, place)) = held(&args, known) {
        return Ok((rules::again(&args, (&about, contents, place), false, None)?, None));
    }
    let rules = rules::read(&args, When::Reload, None)?;
    let set = rules.contents.as_ref().ok().map(|contents| set(contents, args.strict));
    Ok((rules, set))
}

/// The generation that is held, if its files are together a set that is known.
fn held(args: &RunArgs, known: &BTreeSet<String>) -> Option<(About, Vec<Content>, PathBuf)> {
    let store = Store::at(&args.state_dir);
    let generation = store.standing().ok()?.held?.generation;
    let about = store.about(generation).ok()?;
    let contents = store.contents(&about).ok()?;
    let is_known = known.contains(&set(&contents, args.strict));
    is_known.then(|| (about, contents, store.place(generation)))
}

/// The digest of a set of rules.
fn set(contents: &[Content], strict: bool) -> String {
    let files: Vec<Entry> = contents.iter().map(Entry::from).collect();
    digest(&files, strict)
}

/// A generation runs instead of what the directories hold, until somebody says otherwise.
fn hold(generation: u64, cause: Cause) -> Held {
    Held { generation, cause, since: now(), print: None }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}
