//! Where a rule can run: inside the kernel, with its last step armed there, or in the engine.
//!
//! The kernel decides by labels: which patterns of all rules an executable or a file matched when
//! it was first seen, who acts, and to which address. So a condition is a kernel condition when
//! each of its predicates asks about nothing else, and each operation that it is about has a hook
//! in front of the act. What is said so is what policies say: a rule that may deny becomes rules of
//! a policy ([`cases`]), and nothing is called a kernel rule that does not.

mod inline;
mod paths;

use model::field;
use model::program::{Key, Program, Query, Rule, Scalar, Sequence};

use crate::fmt::expression;
pub use inline::Case;
use inline::Obstacle;

/// Where a rule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Decided in the kernel before the act.
    Kernel,
    /// A sequence: the engine follows its first steps, the kernel decides the last.
    Armed,
    /// In user space, after the act.
    Engine,
}

impl Place {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Place::Kernel => "kernel",
            Place::Armed => "armed",
            Place::Engine => "engine",
        }
    }
}

/// Where a rule runs, and what decides it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Where.
    pub place: Place,
    /// The sub-expression that decided it, as query text; empty if the whole rule did.
    pub because: String,
    /// Why.
    pub reason: String,
}

/// Where the rule can run.
pub fn of(rule: &Rule, program: &Program) -> Placement {
    let engine = |because: &str, reason: &str| Placement {
        place: Place::Engine,
        because: because.to_owned(),
        reason: reason.to_owned(),
    };
    if !rule.pipes.is_empty() {
        return engine("", "pipes work on results");
    }
    let stopped = |found: Obstacle| engine(&found.because, &found.reason);
    match &rule.query {
        Query::Event(filter) => match inline::cases(filter, program) {
            Ok(_) => Placement {
                place: Place::Kernel,
                because: String::new(),
                reason: "each predicate is decided by labels".to_owned(),
            },
            Err(found) => stopped(found),
        },
        Query::Sequence(sequence) => match last_step(sequence, program) {
            Ok(_) => Placement {
                place: Place::Armed,
                because: sequence
                    .steps
                    .last()
                    .map_or_else(String::new, |last| expression(&last.filter.condition, program)),
                reason: "the last step is decided by labels".to_owned(),
            },
            Err(found) => stopped(found),
        },
        Query::Sample(_) => engine("", "a sample has no last step"),
        Query::Join { .. } => engine("", "a join has no last step"),
        Query::Correlation(_) => engine("", "matches of other rules are counted"),
    }
}

/// What the kernel decides of a rule: all of it, or the last step of a sequence. None if that is
/// nothing.
pub fn cases(rule: &Rule, program: &Program) -> Option<Vec<Case>> {
    let found = match &rule.query {
        _ if !rule.pipes.is_empty() => return None,
        Query::Event(filter) => inline::cases(filter, program),
        Query::Sequence(sequence) => last_step(sequence, program),
        _ => return None,
    };
    found.ok()
}

/// The last step of a sequence that the engine can arm: it tells which process took the others.
fn last_step(sequence: &Sequence, program: &Program) -> Result<Vec<Case>, Obstacle> {
    let stop = |reason: &str| Err(Obstacle { because: String::new(), reason: reason.to_owned() });
    let (Some(last), true) = (sequence.steps.last(), sequence.steps.len() > 1) else {
        return stop("there is no step before the last");
    };
    if last.missing {
        return stop("the last step is an event that does not happen");
    }
    let found = inline::cases(&last.filter, program)?;
    if sequence.steps.iter().any(|step| step.missing) {
        return stop("the kernel does not follow an event that must not happen");
    }
    if sequence.until.is_some() {
        return stop("the kernel does not follow `until`");
    }
    let is_process = |keys: &[Key]| match keys {
        [Key { value: Scalar::Field(id), optional: false }] => *id == field::PROCESS_ENTITY_ID,
        _ => false,
    };
    if !sequence.steps.iter().all(|step| is_process(&step.by)) {
        return stop("only a process is armed: join all steps by `process.entity_id`");
    }
    Ok(found)
}
