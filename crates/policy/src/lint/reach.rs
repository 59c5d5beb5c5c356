//! Rules that decide nothing: for each label that a rule is an object of, and each operation, is
//! there always another rule that comes first?

use std::collections::HashMap;

use model::policy::{Object, Operation, Policy, Rule, Subject};

use super::{Finding, What, numbered};
use crate::compile::Compiled;
use crate::labels::{Claim, Meaning};
use crate::pattern::Pattern;
use crate::subjects::Selector;
use crate::verdicts::{Effect, RuleInfo, implied_by};

/// Finds them.
pub(super) fn find(policies: &[Policy], compiled: &Compiled) -> Vec<Finding> {
    let reach = Reach::new(policies, compiled);
    let mut found = Vec::new();
    for (number, info) in (0..).zip(&compiled.rules) {
        let what = match info.effect {
            _ if info.list => None,
            Effect::Expired => Some(What::Expired),
            Effect::Audit => None,
            _ => reach.never_armed(number, info).or_else(|| reach.overruled(number, info)),
        };
        found.extend(what.map(|what| Finding { rule: number, what }));
    }
    found
}

/// What is known of all rules together.
struct Reach<'a> {
    compiled: &'a Compiled,
    /// The labels that each rule is an object of.
    labels: HashMap<u32, Vec<u32>>,
    /// The labels whose deed arms each rule.
    deeds: HashMap<u32, Vec<u32>>,
    /// Rules that deny things which may have any other label besides.
    floating: Vec<u32>,
    /// Operations that allow lists limit.
    listed: Vec<Operation>,
}

impl<'a> Reach<'a> {
    fn new(policies: &[Policy], compiled: &'a Compiled) -> Reach<'a> {
        let (mut labels, mut deeds) = (HashMap::<u32, Vec<u32>>::new(), HashMap::new());
        for (label, meaning) in (0..).zip(&compiled.meanings) {
            let Meaning::Holds(claims) = meaning else { continue };
            for claim in claims {
                let (rule, map) = match claim {
                    Claim::Rule(rule) => (*rule, &mut labels),
                    Claim::Trigger(rule) => (*rule, &mut deeds),
                    _ => continue,
                };
                map.entry(rule).or_default().push(label);
            }
        }
        let floats = |rule: &Rule| rule.objects.iter().any(floats);
        let rules = numbered(policies).into_iter();
        let floating = rules
            .filter(|(number, rule)| {
                let denies = |info: &RuleInfo| info.effect == Effect::Deny;
                compiled.rules.get(*number as usize).is_some_and(denies) && rule.is_some_and(floats)
            })
            .map(|(number, _)| number)
            .collect();
        let lists = compiled.rules.iter().filter(|rule| rule.list);
        let listed = lists.flat_map(|rule| rule.operations.iter()).collect();
        Reach { compiled, labels, deeds, floating, listed }
    }

    /// The rules that come with a label: its own, and those about every object.
    fn at(&self, label: u32) -> impl Iterator<Item = (u32, &'a RuleInfo)> {
        let of = |label: u32| match self.compiled.meanings.get(label as usize) {
            Some(Meaning::Holds(claims)) => &**claims,
            _ => &[],
        };
        let every = if label == 0 { &[][..] } else { of(0) };
        let rules = of(label).iter().chain(every).filter_map(|claim| match claim {
            Claim::Rule(rule) => Some(*rule),
            _ => None,
        });
        let infos = &self.compiled.rules;
        rules.filter_map(move |rule| Some((rule, infos.get(rule as usize)?)))
    }

    /// The rule that denies to a selector an operation on a label.
    fn denied(&self, label: u32, operation: Operation, bit: u8) -> Option<u32> {
        let denies = |info: &RuleInfo| {
            info.effect == Effect::Deny
                && info.operations.has(operation)
                && self.covers(info.bit, bit)
        };
        self.at(label).find(|(_, info)| denies(info)).map(|(rule, _)| rule)
    }

    /// The deed that arms the rule is always denied.
    fn never_armed(&self, number: u32, info: &RuleInfo) -> Option<What> {
        if info.after.is_empty() {
            return None;
        }
        let mut by = None;
        for label in self.deeds.get(&number)? {
            for operation in info.after.iter() {
                by = Some(self.denied(*label, operation, info.bit)?);
            }
        }
        by.map(What::NeverArmed)
    }

    /// For all that the rule is about, others come first, or nothing needs it.
    fn overruled(&self, number: u32, info: &RuleInfo) -> Option<What> {
        let labels = self.labels.get(&number)?;
        let (mut by, mut idle) = (None, info.effect != Effect::Deny);
        let mut shadowed = true;
        for label in labels {
            for operation in info.operations.iter() {
                idle &= !self.is_needed(*label, operation);
                match self.stronger(*label, operation, number, info) {
                    Some(rule) => by = by.or(Some(rule)),
                    None => shadowed = false,
                }
            }
        }
        match by.filter(|_| shadowed) {
            Some(rule) => {
                let denies = |info: &RuleInfo| info.effect == Effect::Deny;
                let denied = self.compiled.rules.get(rule as usize).is_some_and(denies);
                let allows = info.effect == Effect::Allow;
                Some(if allows && denied { What::Contradicted(rule) } else { What::Shadowed(rule) })
            }
            None => idle.then_some(What::Idle),
        }
    }

    /// The first rule that always comes before this one.
    fn stronger(
        &self,
        label: u32,
        operation: Operation,
        number: u32,
        info: &RuleInfo,
    ) -> Option<u32> {
        let order = |number: u32, info: &RuleInfo| (rank(info.effect), info.answer, number);
        let own = order(number, info);
        self.at(label)
            .find(|(rule, other)| {
                decides(other.effect)
                    && order(*rule, other) < own
                    && (other.enforced || !info.enforced)
                    && other.operations.has(operation)
                    && self.covers(other.bit, info.bit)
            })
            .map(|(rule, _)| rule)
    }

    /// Whether anything may be denied that allowing this mends.
    fn is_needed(&self, label: u32, operation: Operation) -> bool {
        let about = |info: &RuleInfo| {
            let sources = implied_by(operation).iter().chain([&operation]);
            let implied =
                Operation::ALL.iter().filter(|one| implied_by(**one).contains(&operation));
            info.effect == Effect::Deny
                && sources.chain(implied).any(|one| info.operations.has(*one))
        };
        let floating =
            self.floating.iter().filter_map(|rule| self.compiled.rules.get(*rule as usize));
        self.listed.contains(&operation)
            || self.at(label).any(|(_, info)| about(info))
            || floating.into_iter().any(about)
    }

    /// Whether every process of a selector also has the other.
    fn covers(&self, wide: u8, narrow: u8) -> bool {
        let selector = |bit: u8| self.compiled.selectors.get(usize::from(bit));
        match (selector(wide), selector(narrow)) {
            (Some(wide), Some(narrow)) => wide == narrow || includes(wide, narrow),
            _ => false,
        }
    }
}

fn decides(effect: Effect) -> bool {
    matches!(effect, Effect::Except | Effect::Deny | Effect::Allow)
}

/// Exceptions come first, then what denies, then what allows.
fn rank(effect: Effect) -> u8 {
    match effect {
        Effect::Except => 0,
        Effect::Deny => 1,
        Effect::Allow => 2,
        Effect::Audit | Effect::Trigger | Effect::Expired => 3,
    }
}

/// An object that may have any other label as well, so that no label tells what it meets.
fn floats(object: &Object) -> bool {
    match object {
        Object::Path(text) => Pattern::parse(text).is_ok_and(|pattern| pattern.floats()),
        Object::Peer(peer) => peer.network.is_none(),
        Object::Any | Object::Capability(_) => false,
        Object::Hash(_) | Object::CreatedBy(_) | Object::Domain { .. } | Object::Process(_) => true,
    }
}

/// Whether every process of one is also of the other, as far as their texts tell.
fn includes(wide: &Selector, narrow: &Selector) -> bool {
    if wide.after.is_some() && wide.after != narrow.after {
        return false;
    }
    let (all, some) = (&wide.subject, &narrow.subject);
    let free = Subject { descendants: all.descendants, ..Subject::default() };
    if *all == free {
        return true;
    }
    (all.descendants || !some.descendants)
        && part(&all.executables, &some.executables)
        && part(&all.hashes, &some.hashes)
        && part(&all.scripts, &some.scripts)
        && part(&all.users, &some.users)
        && part(&all.groups, &some.groups)
        && part(&all.cgroups, &some.cgroups)
        && part(&all.units, &some.units)
        && part(&all.containers, &some.containers)
        && part(&all.ancestors, &some.ancestors)
        && (all.login_session.is_none() || all.login_session == some.login_session)
}

/// Whether a list that asks for one of its entries asks for no more than another does.
fn part<T: PartialEq>(all: &[T], some: &[T]) -> bool {
    all.is_empty() || !some.is_empty() && some.iter().all(|one| all.contains(one))
}
