//! What a program means, written as plainly as possible and as slowly as it may be: for tests and
//! for fuzzing. It shares no code with the engine, not even the matching of patterns or the order
//! of values, and looks at all events of a stream at once instead of one after the other.
//!
//! | module | holds |
//! |---|---|
//! | `condition` | truth of a condition, with two or three values; lineage |
//! | `test` | one test of one value |
//! | `value`, `function` | computed values |
//! | `script` | scripts whose answers are plain arithmetic |
//! | `sequence`, `group`, `correlation` | queries about several events |
//! | `pipes` | what happens to results |
#![expect(clippy::indexing_slicing, reason = "a mistake of the oracle must show itself")]

mod condition;
mod correlation;
mod function;
mod group;
mod pipes;
mod script;
mod sequence;
mod test;
mod value;

use model::field::FieldId;
use model::program::{Filter, Key, Logic, Program, Query, Rule};
use model::value::{Fields, Value};

use crate::detect::{Event, Found};
pub use script::Plain;
pub use value::Own;

/// A result of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Number of the rule.
    pub rule: u32,
    /// Numbers of the members.
    pub members: Vec<u64>,
    /// What `count` and `unique_count` say, and of which values.
    pub counted: Option<(u64, Vec<Own>)>,
}

/// A result before pipes: which event fills which part of the rule.
#[derive(Debug, Clone, Default)]
struct Match {
    members: Vec<(u16, usize)>,
}

/// A program and all events of a stream.
#[derive(Clone, Copy)]
struct World<'w> {
    program: &'w Program,
    events: &'w [&'w dyn Event],
}

/// What a condition is asked about.
#[derive(Clone, Copy)]
struct At<'w> {
    world: World<'w>,
    /// The event.
    event: usize,
    /// Where it stands in the stream, for what its relatives did until then.
    place: Option<usize>,
    /// Earlier members of the same match.
    members: &'w [(u16, usize)],
    logic: Logic,
}

/// All results over a stream, by rule and in the order in which the rule gives them.
pub fn run(program: &Program, events: &[&dyn Event]) -> Vec<Answer> {
    let world = World { program, events };
    let mut answers = Vec::new();
    for (number, rule) in (0u32..).zip(&program.rules) {
        let mut found = match &rule.query {
            Query::Event(filter) => world.events_of(filter, rule.logic),
            Query::Sequence(sequence) => sequence::find(world, rule, sequence),
            Query::Sample(steps) => group::sample(world, rule, steps),
            Query::Join { steps, until } => group::join(world, rule, steps, until.as_ref()),
            Query::Correlation(_) => correlation::find(world, number),
        };
        let ordered = matches!(rule.query, Query::Sequence(_)) && rule.logic == Logic::Complement;
        if ordered && !rule.pipes.is_empty() {
            found.sort_by_key(|found| world.numbers(found));
        }
        if !rule.meta.silent {
            answers.extend(pipes::run(world, rule, number, found));
        }
    }
    answers
}

/// Numbers of the rules of single events that an event satisfies.
pub fn matching(program: &Program, event: &dyn Fields) -> Vec<u32> {
    let event = Alone(event);
    let world = World { program, events: &[&event] };
    let rules = (0u32..).zip(&program.rules).filter(|(_, rule)| match &rule.query {
        Query::Event(filter) => condition::fits(world.at(0, rule.logic), filter),
        _ => false,
    });
    rules.map(|(rule, _)| rule).collect()
}

/// An event of no stream.
struct Alone<'f>(&'f dyn Fields);

impl Fields for Alone<'_> {
    fn get(&self, field: FieldId) -> Value<'_> {
        self.0.get(field)
    }
}

impl Event for Alone<'_> {
    fn number(&self) -> u64 {
        0
    }

    fn time(&self) -> i64 {
        0
    }

    fn identity(&self) -> u64 {
        0
    }
}

/// Rules of which the engine says something else than the oracle, with both answers.
pub fn disagreements(program: &Program, events: &[&dyn Event], found: &[Found]) -> Vec<String> {
    let mut expected = run(program, events);
    let mut given: Vec<Answer> = found.iter().map(answer).collect();
    for all in [&mut expected, &mut given] {
        // What waits for a time comes when that has come; the oracle does not say when.
        all.sort_by(|a, b| {
            let rule = usize::try_from(a.rule).ok().and_then(|rule| program.rules.get(rule));
            let waits = rule.is_some_and(|rule| {
                rule.pipes.is_empty()
                    && matches!(rule.query, Query::Sequence(_) | Query::Correlation(_))
            });
            let by_rule = a.rule.cmp(&b.rule);
            if waits { by_rule.then_with(|| a.members.cmp(&b.members)) } else { by_rule }
        });
    }
    let of = |all: &[Answer], rule: u32| -> Vec<Answer> {
        all.iter().filter(|answer| answer.rule == rule).cloned().collect()
    };
    let rules = (0u32..).zip(&program.rules).map(|(rule, _)| rule);
    let both = rules.map(|rule| (rule, of(&expected, rule), of(&given, rule)));
    both.filter(|(_, expected, given)| expected != given)
        .map(|(rule, expected, given)| format!("rule {rule}: {given:?} instead of {expected:?}"))
        .collect()
}

fn answer(found: &Found) -> Answer {
    let counted = found.counted.as_ref().map(|counted| {
        (counted.count, counted.key.iter().map(|node| Own::of(node.value())).collect())
    });
    Answer { rule: found.rule, members: found.members.to_vec(), counted }
}

impl<'w> World<'w> {
    fn at(self, event: usize, logic: Logic) -> At<'w> {
        At { world: self, event, place: Some(event), members: &[], logic }
    }

    fn time(self, event: usize) -> i64 {
        self.events[event].time()
    }

    fn numbers(self, found: &Match) -> Vec<u64> {
        found.members.iter().map(|(_, event)| self.events[*event].number()).collect()
    }

    fn events_of(self, filter: &Filter, logic: Logic) -> Vec<Match> {
        let fits = |event: &usize| condition::fits(self.at(*event, logic), filter);
        let all = (0..self.events.len()).filter(fits);
        all.map(|event| Match { members: vec![(0, event)] }).collect()
    }

    /// The tuples of an event, each once; none if a value is absent that must not be.
    fn tuples(self, event: usize, by: &[Key], rule: &Rule) -> Vec<Vec<Option<Vec<u8>>>> {
        let mut tuples = vec![Vec::new()];
        for key in by {
            let values = value::values(self.at(event, rule.logic), &key.value, &[]);
            let mut texts: Vec<_> = values.iter().map(|value| Some(value.key())).collect();
            if texts.is_empty() && key.optional {
                texts.push(None);
            }
            let longer = |tuple: &Vec<Option<Vec<u8>>>| {
                let each = texts
                    .iter()
                    .map(|text| [tuple.as_slice(), std::slice::from_ref(text)].concat());
                each.collect::<Vec<_>>()
            };
            tuples = tuples.iter().flat_map(longer).collect();
        }
        let mut once: Vec<Vec<Option<Vec<u8>>>> = Vec::new();
        for tuple in tuples {
            if !once.contains(&tuple) {
                once.push(tuple);
            }
        }
        once
    }

    /// The first value of a field.
    fn first(self, event: usize, field: FieldId) -> Option<Own> {
        value::each(&Own::of(self.events[event].get(field))).into_iter().next()
    }
}
