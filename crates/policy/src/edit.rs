//! The smallest edit of policies that would allow what they deny: tried, not guessed.

use model::policy::{
    Exception, Object, Operation, Operations, Place, Policy, Rule, Subject, Verdict,
};
use model::program::Severity;

use crate::compile::{Compiled, Options, compile};
use crate::decide::{Decision, Why};
use crate::explain::Part;
use crate::question::Question;
use crate::verdicts::Effect;

/// A change of policies.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// One more object of a rule that allows.
    Object {
        /// The rule.
        rule: u32,
        /// What is added.
        object: Object,
    },
    /// One more operation of a rule that allows.
    Operation {
        /// The rule.
        rule: u32,
        /// What is added.
        operation: Operation,
    },
    /// A new rule in the policy of the rule that denies; an exception if need be.
    Rule {
        /// The policy.
        policy: String,
        /// The rule.
        rule: Box<Rule>,
    },
}

/// How long an exception lasts that is proposed: a day.
const EXCEPTION: i64 = 24 * 60 * 60;

/// The first of the small edits after which the request is allowed; none if nothing denies it, or
/// if no edit helps.
pub fn smallest(
    policies: &[Policy],
    compiled: &Compiled,
    options: &Options,
    question: &Question,
) -> Option<Edit> {
    let process = compiled.process(&question.actor);
    let labels = question.labels(compiled);
    let explained = compiled.explain(&process, question.operation, &labels);
    if explained.decision.verdict == Verdict::Allow {
        return None;
    }
    let mut edits = Vec::new();
    for (rule, part) in &explained.near {
        let allows = |info: &crate::verdicts::RuleInfo| info.effect == Effect::Allow;
        if !compiled.rules.get(*rule as usize).is_some_and(allows) {
            continue;
        }
        match part {
            Part::Object => edits.push(Edit::Object { rule: *rule, object: question.object() }),
            Part::Operation => {
                edits.push(Edit::Operation { rule: *rule, operation: question.operation });
            }
            Part::Subject | Part::After => {}
        }
    }
    edits.extend(new_rules(compiled, options, question, &explained.decision));
    edits.into_iter().find(|edit| {
        let changed = apply(policies, edit);
        compile(&changed, options).is_ok_and(|compiled| {
            let process = compiled.process(&question.actor);
            let labels = question.labels(&compiled);
            let decision = compiled.tables.decide(&process, question.operation, &labels);
            decision.verdict == Verdict::Allow
        })
    })
}

/// A rule that allows just this, and the same as an exception.
fn new_rules(
    compiled: &Compiled,
    options: &Options,
    question: &Question,
    decision: &Decision,
) -> Vec<Edit> {
    let (Why::Rule(number) | Why::Implied(number) | Why::List(number)) = decision.why else {
        return Vec::new();
    };
    let Some(info) = compiled.rules.get(number as usize) else { return Vec::new() };
    let selector = compiled.selectors.get(usize::from(info.bit));
    let subject = match selector.map(|one| &one.subject) {
        Some(subject) if *subject != Subject::default() => subject.clone(),
        _ => Subject {
            executables: vec![crate::question::escape(&question.actor.executable)],
            ..Subject::default()
        },
    };
    let allow = Rule {
        id: format!("allow-{}-{}", question.operation.name(), info.id),
        subject,
        operations: Operations::default().with(question.operation),
        objects: vec![question.object()],
        verdict: Verdict::Allow,
        severity: Severity::Medium,
        message: None,
        exception: None,
        after: None,
        place: Place::default(),
    };
    let mut excepted = allow.clone();
    excepted.exception = Some(Exception {
        until: options.now.saturating_add(EXCEPTION),
        reason: "why it is needed".to_owned(),
        author: "who answers for it".to_owned(),
    });
    let edit = |rule| Edit::Rule { policy: info.policy.clone(), rule: Box::new(rule) };
    vec![edit(allow), edit(excepted)]
}

/// The policies after an edit.
pub fn apply(policies: &[Policy], edit: &Edit) -> Vec<Policy> {
    let mut changed = policies.to_vec();
    match edit {
        Edit::Object { rule, object } => {
            if let Some(rule) = rule_mut(&mut changed, *rule) {
                rule.objects.push(object.clone());
            }
        }
        Edit::Operation { rule, operation } => {
            if let Some(rule) = rule_mut(&mut changed, *rule) {
                rule.operations = rule.operations.with(*operation);
            }
        }
        Edit::Rule { policy, rule } => {
            if let Some(policy) = changed.iter_mut().find(|one| one.name == *policy) {
                policy.rules.push((**rule).clone());
            }
        }
    }
    changed
}

/// The rule with that number in the tables.
fn rule_mut(policies: &mut [Policy], number: u32) -> Option<&mut Rule> {
    let mut left = number as usize;
    for policy in policies {
        if left < policy.rules.len() {
            return policy.rules.get_mut(left);
        }
        left = left.checked_sub(policy.rules.len())?;
        left = left.checked_sub(policy.allow_lists.len())?;
    }
    None
}
