//! Sequences: step after step over the whole stream.

use model::program::{Expr, Filter, Rule, Scalar, Sequence, Step};

use super::{At, Match, World, condition};

type Tuple = Vec<Option<Vec<u8>>>;

/// Members that fit the first steps.
#[derive(Debug, Clone)]
struct Partial {
    key: Tuple,
    members: Vec<(u16, usize)>,
}

impl Partial {
    fn first(&self) -> usize {
        self.members.first().map_or(0, |(_, event)| *event)
    }

    fn last(&self) -> usize {
        self.members.last().map_or(0, |(_, event)| *event)
    }
}

/// Complete sequences, in the order of their last members.
pub(super) fn find(world: World<'_>, rule: &Rule, sequence: &Sequence) -> Vec<Match> {
    let mut done: Vec<Partial> = Vec::new();
    let positive = || (0u16..).zip(&sequence.steps).filter(|(_, step)| !step.missing);
    for (stage, (part, step)) in positive().enumerate() {
        let mut next = Vec::new();
        for (event, key) in all(world, rule, step) {
            let before = if stage == 0 {
                Partial { key: key.clone(), members: Vec::new() }
            } else {
                let fits = |one: &Partial| one.key == key && one.last() < event;
                let Some(at) = done.iter().rposition(fits) else { continue };
                if !late(world, rule, step, event, &done[at].members) {
                    continue;
                }
                let taken = done[at].clone();
                // The latest one is taken; all earlier ones are lost.
                let keep = usize::from(step.fork);
                let gone = (0..=at).filter(|one| done[*one].key == key).rev().skip(keep);
                gone.collect::<Vec<_>>().into_iter().for_each(|one| _ = done.remove(one));
                if rejected(world, rule, sequence, &taken, event) {
                    continue;
                }
                taken
            };
            let members = [before.members.as_slice(), &[(part, event)]].concat();
            next.push(Partial { key, members });
        }
        done = next;
    }
    if sequence.disjoint {
        done = disjoint(done);
    }
    done.retain(|one| !refuted(world, rule, sequence, one));
    done.into_iter().map(|one| Match { members: one.members }).collect()
}

/// All events that fit a step as far as they alone can tell, with each of their tuples.
fn all(world: World<'_>, rule: &Rule, step: &Step) -> Vec<(usize, Tuple)> {
    let early = |condition: &Expr| match condition {
        condition if !names_member(condition) => condition.clone(),
        Expr::And(parts) => {
            Expr::And(parts.iter().filter(|part| !names_member(part)).cloned().collect())
        }
        _ => Expr::Const(true),
    };
    let filter =
        Filter { category: step.filter.category.clone(), condition: early(&step.filter.condition) };
    let fits = |event: &usize| condition::fits(world.at(*event, rule.logic), &filter);
    let tuples =
        |event| world.tuples(event, &step.by, rule).into_iter().map(move |key| (event, key));
    (0..world.events.len()).filter(fits).flat_map(tuples).collect()
}

/// Whether the step holds with these members before it.
fn late(
    world: World<'_>,
    rule: &Rule,
    step: &Step,
    event: usize,
    members: &[(u16, usize)],
) -> bool {
    condition::fits(At { world, event, members, logic: rule.logic }, &step.filter)
}

/// By the time since its first member, or by an `until` since its last one.
fn rejected(
    world: World<'_>,
    rule: &Rule,
    sequence: &Sequence,
    partial: &Partial,
    event: usize,
) -> bool {
    let since = world.time(event) - world.time(partial.first());
    let is_long = |span: u64| i128::from(since) > i128::from(span);
    let ended = |until: &Step| {
        all(world, rule, until)
            .iter()
            .filter(|(at, key)| *key == partial.key && partial.last() <= *at && *at < event)
            .any(|(at, _)| late(world, rule, until, *at, &partial.members))
    };
    sequence.maxspan.is_some_and(is_long) || sequence.until.as_ref().is_some_and(ended)
}

/// The first of those that share an event, for each key.
fn disjoint(all: Vec<Partial>) -> Vec<Partial> {
    let mut taken: Vec<Partial> = Vec::new();
    for one in all {
        if !taken.iter().any(|other| other.key == one.key && other.last() >= one.first()) {
            taken.push(one);
        }
    }
    taken
}

/// Whether something happened that must not.
fn refuted(world: World<'_>, rule: &Rule, sequence: &Sequence, one: &Partial) -> bool {
    let span = i128::from(sequence.maxspan.unwrap_or(u64::MAX));
    let time = |event: usize| i128::from(world.time(event));
    let (first, last) = (one.first(), one.last());
    let (mut leading, mut trailing) = (Vec::new(), Vec::new());
    let (mut leads, mut trails) = (false, false);
    for (part, step) in (0u16..).zip(&sequence.steps).filter(|(_, step)| step.missing) {
        let events = all(world, rule, step).into_iter().filter(|(_, key)| *key == one.key);
        let known = one.members.iter().filter(|(member, _)| *member < part).copied();
        let known: Vec<_> = known.collect();
        let mut events =
            events.map(|(event, _)| event).filter(|event| late(world, rule, step, *event, &known));
        let before = one.members.iter().rfind(|(member, _)| *member < part);
        let after = one.members.iter().find(|(member, _)| *member > part);
        match (before, after) {
            (Some((_, before)), Some((_, after))) => {
                if events.any(|it| time(*before) < time(it) && time(it) < time(*after)) {
                    return true;
                }
            }
            (None, _) => {
                leads = true;
                leading.extend(events.filter(|event| *event < first).map(time));
            }
            (_, None) => {
                trails = true;
                trailing.extend(events.filter(|event| *event > last).map(time));
            }
        }
    }
    let (leading, trailing) = (leading.into_iter().max(), trailing.into_iter().min());
    match (leads, trails) {
        (true, true) => leading.zip(trailing).is_some_and(|(a, b)| b - a <= span),
        (true, false) => leading.is_some_and(|at| time(last) - at <= span),
        (false, true) => trailing.is_some_and(|at| at - time(first) <= span),
        (false, false) => false,
    }
}

/// Whether a condition asks for an earlier member.
fn names_member(condition: &Expr) -> bool {
    // The debug text says it all, and needs no walk.
    let text = format!("{condition:?}");
    let member = Scalar::Member(0, model::field::EVENT_ACTION);
    let word = format!("{member:?}");
    word.split('(').next().is_some_and(|word| text.contains(&format!("{word}(")))
}
