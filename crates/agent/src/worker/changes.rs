//! The event thread's part in changes of rules: it swaps what is ready between two records, watches
//! over what is on trial, and holds back what is not to run.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::script::Incident;

use super::board::{Generation, Reload};
use super::events::{Worker, warn_of_watches};
use super::generations::{Ask, Generations, OnTrial};
use super::reload::{Fresh, Reloader};
use super::scripts;
use super::status::seconds_since_boot;
use super::trial::{Counts, Rates, Trial, Verdict};
use crate::cli::RunArgs;
use crate::exit::Failure;
use crate::rules::Why;

/// Which rules run, and which are to.
#[derive(Debug)]
pub(crate) struct Changing {
    /// Reads others.
    pub(crate) reloader: Reloader,
    /// Set when files have changed.
    changed: Arc<AtomicBool>,
    trial: Option<Trial>,
    rates: Rates,
    trial_s: u64,
    /// Actions that rules asked for under earlier sets, and what the set of now began with.
    actions: u64,
    actions_begun: u64,
    /// Readings of rules that have ended, whatever came of them.
    pub(super) readings: u32,
}

impl Changing {
    /// Nothing has changed yet.
    pub(crate) fn new(args: &RunArgs, generations: Generations) -> Changing {
        Changing {
            reloader: Reloader::new(args, Arc::new(generations)),
            changed: Arc::default(),
            trial: None,
            rates: Rates::default(),
            trial_s: args.rules_trial.as_secs(),
            actions: 0,
            actions_begun: 0,
            readings: 0,
        }
    }

    /// Set by whoever sees that files have changed.
    pub(crate) fn changed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.changed)
    }

    /// A script broke its terms.
    pub(crate) fn incident(&mut self, incident: &Incident, scripts: &scripts::Watch) {
        let terms = !matches!(incident.cause, "refused" | "state");
        if let (Some(trial), true) = (&mut self.trial, terms)
            && let Some((name, rules)) = scripts.asking(incident.script)
        {
            trial.script(name, rules, incident.quarantined.then_some(incident.cause));
        }
    }
}

impl Worker {
    /// Has rules read again whose files have changed, or because of a signal.
    pub(super) fn hear(&mut self, signal: bool) {
        if signal {
            self.suppressing.ask();
            self.changing.reloader.ask(Ask::Directories(Why::Sighup.into()), None, None);
        }
        if !self.changing.changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let held = self.board.rules().generation.and_then(|generation| generation.held);
        match held.filter(|held| held.print.is_none()) {
            None => {
                self.changing.reloader.ask(Ask::Directories(Why::FileChange.into()), None, None);
            }
            Some(held) => {
                tracing::warn!(
                    generation = held.generation,
                    "rule files have changed and are held back; `aegisbpf rules follow` reads them"
                );
                self.board.generation(|generation| generation.changed = true);
            }
        }
    }

    /// Runs the rules that have been read, if they are ready. The old ones ran until here, and the next
    /// record meets the new ones: none is left out.
    pub(super) fn take_rules(&mut self) -> Result<(), Failure> {
        let Some((ask, result, clients)) = self.changing.reloader.result() else { return Ok(()) };
        self.changing.readings = self.changing.readings.wrapping_add(1);
        let answer = match result {
            Ok(fresh) => {
                self.swap(fresh)?;
                if let Ask::Revert(generation, reason) = &ask {
                    self.publisher.reverted(*generation, reason, None);
                }
                Ok(self.subscriptions)
            }
            Err(failure) => {
                tracing::error!(error = %failure, "the rules stay as they were");
                let (exit, reason) = (failure.exit, failure.to_string());
                match &ask {
                    Ask::Revert(generation, broke) => {
                        self.publisher.reverted(*generation, broke, Some(&reason));
                    }
                    // Whoever asked is told, and nothing is wrong with the rules.
                    Ask::Rollback(..) => {}
                    Ask::Directories(_) => {
                        self.board.put_reload(Reload::now(Some(reason.clone())));
                        self.publisher.not_reloaded(&reason);
                    }
                }
                Err((exit, reason))
            }
        };
        self.pulse();
        for client in clients {
            if client.send(answer.clone()).is_err() {
                tracing::debug!("a client left while rules were read");
            }
        }
        Ok(())
    }

    fn swap(&mut self, fresh: Fresh) -> Result<(), Failure> {
        let Fresh { prepared, interest, mut set, infos, scripts, arms, acts, recorded, trial } =
            fresh;
        self.take_incidents();
        self.scripts.keep_calls(self.engine.scripts());
        self.changing.actions += self.arms.asked();
        self.arms = arms;
        self.acts.replace(acts, &self.guard);
        warn_of_watches(&interest);
        self.engine.swap(prepared);
        self.recorder.rules(recorded);
        self.scripts.replace(scripts);
        self.publisher.health.replace(infos);
        self.rules_want = interest;
        self.subscribe()?;
        if trial == OnTrial::AsBefore
            && let (Some(new), Some(old)) = (&mut set.generation, self.board.rules().generation)
        {
            (new.began, new.trial_until) = (old.began, old.trial_until);
        }
        let generation = set.generation.as_ref().and_then(|generation| generation.number);
        tracing::info!(rules = set.loaded, generation, "the rules were read again");
        self.board.put_rules(set);
        self.try_out(trial);
        Ok(())
    }

    /// Begins the trial that a set of rules brings, or ends one.
    pub(super) fn try_out(&mut self, on_trial: OnTrial) {
        let counts = self.counts();
        let changing = &mut self.changing;
        match on_trial {
            OnTrial::AsBefore => {}
            OnTrial::Over => {
                changing.trial = None;
                self.publisher.health.put_on_trial(&HashSet::new());
            }
            OnTrial::Begins(generation, fresh) => {
                let end = seconds_since_boot() + changing.trial_s;
                let trial = Trial::new(generation, fresh, &changing.rates, end);
                self.publisher.health.put_on_trial(trial.fresh());
                tracing::info!(generation, seconds = changing.trial_s, "the rules are on trial");
                changing.trial = Some(trial);
                changing.actions_begun = counts.actions;
            }
        }
    }

    /// What all rules did. The arms of sequences are counted anew with each set.
    fn counts(&self) -> Counts {
        let [alerts, _] = self.publisher.health.raised();
        let asked = self.arms.asked() + self.acts.asked();
        Counts { alerts, actions: self.changing.actions + asked }
    }

    /// A second later.
    pub(super) fn look_at_trial(&mut self) {
        let counts = self.counts();
        let [_, alerts] = self.publisher.health.raised();
        let changing = &mut self.changing;
        changing.rates.add(counts);
        let Some(trial) = &mut changing.trial else { return };
        let actions = counts.actions.saturating_sub(changing.actions_begun);
        let generation = trial.generation;
        match trial.look(seconds_since_boot(), Counts { alerts, actions }) {
            Verdict::Going => return,
            Verdict::Passed => {
                tracing::info!(generation, "the rules have passed their trial");
                changing.reloader.passed(generation);
            }
            Verdict::Broken(reason) => {
                tracing::error!(
                    generation,
                    reason,
                    "the rules broke, those before are to run again"
                );
                changing.reloader.ask(Ask::Revert(generation, reason), None, None);
            }
        }
        changing.trial = None;
        self.board.generation(|generation: &mut Generation| generation.trial_until = None);
    }
}
