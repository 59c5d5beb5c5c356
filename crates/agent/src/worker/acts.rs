//! Tells the guard what rules want done when they match. It decides; here nothing is done.

use std::collections::{HashMap, HashSet};

use model::alert::Match;

use super::events::now_ns;
use super::link::Asker;
use super::rules::Rules;
use crate::proto::{Act, Request, Verb};

/// No action is asked for on a record that is older, ns: a worker that catches up with what happened
/// while there was none would act on a host that has changed.
const OLD_NS: u64 = 30_000_000_000;

/// What matches ask for.
#[derive(Debug, Default)]
pub(crate) struct Acts {
    rules: HashMap<String, Vec<Verb>>,
    /// Rules whose scripts may ask for more.
    scripted: HashSet<String>,
    asked: u64,
    left_out: u64,
}

impl Acts {
    /// The rules that ask for something that is done after the fact, and may.
    pub(crate) fn of(rules: &Rules) -> Acts {
        let mut acts = Acts::default();
        for (rule, terms) in rules.loaded.program.rules.iter().zip(&rules.terms) {
            let meta = &rule.meta;
            let asked = meta.responses.iter().filter(|one| terms.may.permits(&one.action));
            // Only the process at hand is known with its start; others could be mistaken.
            let (own, others): (Vec<_>, Vec<_>) =
                asked.partition(|one| one.field.as_deref().is_none_or(is_own));
            for one in others.iter().filter(|one| Verb::from_name(&one.action).is_some()) {
                let (rule, field) = (&meta.id, one.field.as_deref().unwrap_or_default());
                tracing::warn!(rule, field, "not done: only the acting process is acted on");
            }
            let verbs: Vec<Verb> =
                own.iter().filter_map(|one| Verb::from_name(&one.action)).collect();
            if !verbs.is_empty() {
                acts.rules.insert(meta.id.clone(), verbs);
            }
        }
        for info in rules.scripts.infos.iter().filter(|info| info.loaded) {
            acts.scripted.extend(info.rules.iter().cloned());
        }
        acts
    }

    /// Whether no rule asks for anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.scripted.is_empty()
    }

    /// Other rules run from now on.
    pub(crate) fn replace(&mut self, acts: Acts, guard: &Asker) {
        let is_empty = self.is_empty() && acts.is_empty();
        self.rules = acts.rules;
        self.scripted = acts.scripted;
        if !is_empty && let Err(error) = guard.ask(&Request::Rules) {
            tracing::error!(%error, "the guard does not know what rules may do now");
        }
    }

    /// Asks for what these matches want done to the process, at a record of this time.
    pub(crate) fn tell(
        &mut self,
        matches: &[Match<'_>],
        process: Option<(u32, u64)>,
        time: u64,
        guard: &Asker,
    ) {
        for matched in matches {
            let verbs = self.verbs(matched);
            if verbs.is_empty() {
                continue;
            }
            let is_old = now_ns().saturating_sub(time) > OLD_NS;
            let Some((pid, start)) = process.filter(|_| !is_old) else {
                self.left_out += 1;
                continue;
            };
            for verb in verbs {
                let rule = matched.rule.id.clone();
                let act = Act { rule, verb, alert: matched.id, pid, start };
                self.asked += 1;
                if let Err(error) = guard.ask(&Request::Act(act)) {
                    tracing::error!(rule = matched.rule.id, pid, %error, "nothing is done");
                }
            }
        }
    }

    fn verbs(&self, matched: &Match<'_>) -> Vec<Verb> {
        let id = &matched.rule.id;
        let mut verbs = self.rules.get(id).cloned().unwrap_or_default();
        if self.scripted.contains(id) {
            let requests = matched.said.iter().flat_map(|said| &said.requests);
            let granted = requests.filter(|one| one.granted);
            for verb in granted.filter_map(|one| Verb::from_name(&one.action)) {
                if !verbs.contains(&verb) {
                    verbs.push(verb);
                }
            }
        }
        verbs
    }

    /// Actions that were asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.asked
    }

    /// Matches for which none was asked although their rule wants one.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// Whether a field names the process at hand.
fn is_own(field: &str) -> bool {
    matches!(field, "process.entity_id" | "process.pid")
}
