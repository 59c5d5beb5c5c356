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
    told(world, rule, sequence).into_iter().map(|(found, _)| found).collect()
}

/// The same, with the time at which each is certain if that is after its last member.
pub(super) fn told(
    world: World<'_>,
    rule: &Rule,
    sequence: &Sequence,
) -> Vec<(Match, Option<i64>)> {
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
    let told = |one: Partial| {
        let certain = certain(world, rule, sequence, &one);
        (Match { members: one.members }, certain)
    };
    done.into_iter().map(told).collect()
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
    condition::fits(
        At { world, event, place: Some(event), members, logic: rule.logic },
        &step.filter,
    )
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

/// What happened that must not, by where it did.
#[derive(Default)]
struct Forbidden {
    between: bool,
    /// The last before the first member.
    leading: Option<i128>,
    /// The first after the last member.
    trailing: Option<i128>,
}

fn forbidden(world: World<'_>, rule: &Rule, sequence: &Sequence, one: &Partial) -> Forbidden {
    let time = |event: usize| i128::from(world.time(event));
    let mut all = Forbidden::default();
    for (part, step) in (0u16..).zip(&sequence.steps).filter(|(_, step)| step.missing) {
        let known = one.members.iter().filter(|(member, _)| *member < part).copied();
        let known: Vec<_> = known.collect();
        let events = self::all(world, rule, step).into_iter().filter(|(_, key)| *key == one.key);
        let mut events =
            events.map(|(event, _)| event).filter(|event| late(world, rule, step, *event, &known));
        let after = one.members.iter().find(|(member, _)| *member > part);
        match (known.last(), after) {
            (Some((_, before)), Some((_, after))) => {
                let is_between = |it| time(*before) < time(it) && time(it) < time(*after);
                all.between |= events.any(is_between);
            }
            (None, _) => {
                let last = events.filter(|event| *event < one.first()).map(time).max();
                all.leading = all.leading.max(last);
            }
            (_, None) => {
                let first = events.filter(|event| *event > one.last()).map(time).min();
                all.trailing = all.trailing.into_iter().chain(first).min();
            }
        }
    }
    all
}

/// Whether something happened that must not.
fn refuted(world: World<'_>, rule: &Rule, sequence: &Sequence, one: &Partial) -> bool {
    let span = i128::from(sequence.maxspan.unwrap_or(u64::MAX));
    let time = |event: usize| i128::from(world.time(event));
    let (first, last) = (time(one.first()), time(one.last()));
    let Forbidden { between, leading, trailing } = forbidden(world, rule, sequence, one);
    between
        || match (has_leading(sequence), has_trailing(sequence)) {
            (true, true) => leading.zip(trailing).is_some_and(|(a, b)| b - a <= span),
            _ => {
                leading.is_some_and(|at| last - at <= span)
                    || trailing.is_some_and(|at| at - first <= span)
            }
        }
}

fn has_leading(sequence: &Sequence) -> bool {
    sequence.steps.first().is_some_and(|step| step.missing)
}

fn has_trailing(sequence: &Sequence) -> bool {
    sequence.steps.last().is_some_and(|step| step.missing)
}

/// When it is certain, if that is after its last member.
fn certain(world: World<'_>, rule: &Rule, sequence: &Sequence, one: &Partial) -> Option<i64> {
    if !has_trailing(sequence) {
        return None;
    }
    let span = i128::from(sequence.maxspan.unwrap_or(u64::MAX));
    let begin = if has_leading(sequence) {
        forbidden(world, rule, sequence, one).leading?
    } else {
        i128::from(world.time(one.first()))
    };
    let end = i64::try_from(begin + span).unwrap_or(i64::MAX);
    Some(end).filter(|end| *end >= world.time(one.last()))
}

/// Whether a condition asks for an earlier member.
fn names_member(condition: &Expr) -> bool {
    // The debug text says it all, and needs no walk.
    let text = format!("{condition:?}");
    let member = Scalar::Member(0, model::field::EVENT_ACTION);
    let word = format!("{member:?}");
    word.split('(').next().is_some_and(|word| text.contains(&format!("{word}(")))
}
