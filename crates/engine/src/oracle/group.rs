//! Samples and joins.

use model::program::{Rule, Step};

use super::{Match, World, condition};

type Tuple = Vec<Option<Vec<u8>>>;

/// Whether an event fits a step with that key.
fn fits(world: World<'_>, rule: &Rule, step: &Step, event: usize, key: &Tuple) -> bool {
    condition::fits(world.at(event, rule.logic), &step.filter)
        && world.tuples(event, &step.by, rule).contains(key)
}

/// Keys of an event in any of the steps, in the order of the steps.
fn keys(world: World<'_>, rule: &Rule, steps: &[Step], event: usize) -> Vec<Tuple> {
    let mut keys: Vec<Tuple> = Vec::new();
    for step in steps {
        for key in world.tuples(event, &step.by, rule) {
            if fits(world, rule, step, event, &key) && !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys
}

/// For each key once: as soon as there is a different event for each filter, the earliest ones.
pub(super) fn sample(world: World<'_>, rule: &Rule, steps: &[Step]) -> Vec<Match> {
    let mut done: Vec<Tuple> = Vec::new();
    let mut found = Vec::new();
    for last in 0..world.events.len() {
        for key in keys(world, rule, steps, last) {
            if done.contains(&key) {
                continue;
            }
            if let Some(members) = choose(world, rule, steps, last, &key, Vec::new()) {
                found.push(Match { members: (0u16..).zip(members).collect() });
                done.push(key);
            }
        }
    }
    found
}

fn choose(
    world: World<'_>,
    rule: &Rule,
    steps: &[Step],
    last: usize,
    key: &Tuple,
    chosen: Vec<usize>,
) -> Option<Vec<usize>> {
    let Some(step) = steps.get(chosen.len()) else { return Some(chosen) };
    let free = |event: &usize| !chosen.contains(event) && fits(world, rule, step, *event, key);
    (0..=last).filter(free).find_map(|event| {
        choose(world, rule, steps, last, key, [chosen.as_slice(), &[event]].concat())
    })
}

/// For each key the first event of each filter, then anew.
pub(super) fn join(
    world: World<'_>,
    rule: &Rule,
    steps: &[Step],
    until: Option<&Step>,
) -> Vec<Match> {
    let mut found = Vec::new();
    // Where keys begin anew, the last time at the end.
    let mut begins: Vec<(Tuple, usize)> = Vec::new();
    for last in 0..world.events.len() {
        for key in keys(world, rule, steps, last) {
            let from = begins.iter().rfind(|(one, _)| *one == key).map_or(0, |(_, from)| *from);
            let first =
                |step: &Step| (from..=last).find(|event| fits(world, rule, step, *event, &key));
            let members: Option<Vec<usize>> = steps.iter().map(first).collect();
            if let Some(members) = members {
                found.push(Match { members: (0u16..).zip(members).collect() });
                begins.push((key, last + 1));
            }
        }
        if let Some(until) = until {
            let ended = world.tuples(last, &until.by, rule).into_iter();
            let ended = ended.filter(|key| fits(world, rule, until, last, key));
            begins.extend(ended.map(|key| (key, last + 1)));
        }
    }
    found
}
