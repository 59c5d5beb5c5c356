//! Why a request is answered as it is, and which rules only just do not fit it.

use std::collections::BTreeSet;

use model::policy::Operation;

use crate::compile::Compiled;
use crate::decide::Decision;
use crate::domain;
use crate::labels::{Claim, Meaning};
use crate::subjects::Process;
use crate::tables::Labels;
use crate::verdicts::{Effect, RuleInfo, implied_by, is_move};

/// Near misses that are named; the others are counted.
pub const NEAR_MAX: usize = 16;

/// What a rule asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Who asks.
    Subject,
    /// That the subject did something before.
    After,
    /// What is asked for.
    Operation,
    /// What it is asked of.
    Object,
}

/// The answer to a request with everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer, and the rule that decided.
    pub decision: Decision,
    /// All rules and lists that fit, the one that decided included, in their order. Those of
    /// policies that are only reported are among them.
    pub fits: Vec<u32>,
    /// Rules that one part keeps from fitting; first those that are about the object.
    pub near: Vec<(u32, Part)>,
    /// Near misses that are not named.
    pub more: usize,
}

impl Compiled {
    /// Decides a request and says why.
    pub fn explain(&self, subject: &Process, operation: Operation, labels: &Labels) -> Explanation {
        let decision = self.tables.decide(subject, operation, labels);
        let named = std::iter::once(&0).chain(labels.as_slice());
        let meanings = named.filter_map(|label| self.meanings.get(*label as usize));
        let (mut objects, mut below) = (BTreeSet::new(), BTreeSet::new());
        for meaning in meanings {
            let (claims, rules) = match meaning {
                Meaning::Holds(claims) => (claims, &mut objects),
                Meaning::Below(claims) => (claims, &mut below),
            };
            rules.extend(claims.iter().filter_map(|claim| match claim {
                Claim::Rule(rule) => Some(*rule),
                _ => None,
            }));
        }
        let (mut fits, mut near) = (Vec::new(), Vec::new());
        for (rule, info) in (0..).zip(&self.rules) {
            if info.effect == Effect::Expired {
                continue;
            }
            let object = info.list || objects.contains(&rule);
            // A directory is not moved away from under what a rule keeps, whatever it is kept from.
            let kept = is_move(operation) && below.contains(&rule);
            let about = kept || is_about(info, operation);
            match self.missing(info, subject, about, object || kept).as_slice() {
                [] => fits.push(rule),
                [part] => near.push((rule, *part)),
                _ => {}
            }
        }
        near.sort_by_key(|(rule, part)| (*part == Part::Object, *rule));
        let more = near.len().saturating_sub(NEAR_MAX);
        near.truncate(NEAR_MAX);
        Explanation { decision, fits, near, more }
    }

    /// The parts of a rule that do not fit.
    fn missing(
        &self,
        info: &RuleInfo,
        subject: &Process,
        operation: bool,
        object: bool,
    ) -> Vec<Part> {
        let mut missing = Vec::new();
        if !self.tables.subjects.bits(subject).has(info.bit) {
            missing.push(if subject.fits.has(info.bit) { Part::After } else { Part::Subject });
        }
        if !operation {
            missing.push(Part::Operation);
        }
        if !object {
            missing.push(Part::Object);
        }
        missing
    }

    /// The classes of a name of the network, to be given with the addresses that it resolved to.
    pub fn classes_of(&self, name: &str) -> Vec<u32> {
        let fits = |one: &&(String, u32)| domain::means(&one.0, name);
        self.names.iter().filter(fits).map(|one| one.1).collect()
    }
}

/// Whether a rule is about an operation, by name or because it denies one that implies it.
fn is_about(info: &RuleInfo, operation: Operation) -> bool {
    let denies = info.effect == Effect::Deny && !info.list;
    let implied = if denies { implied_by(operation) } else { &[] };
    implied.iter().chain([&operation]).any(|one| info.operations.has(*one))
}
