//! Random programs over random events: the engine and the oracle say the same.

mod conditions;
mod events;
mod rules;

use std::sync::Arc;

use model::program::Program;
use proptest::prelude::*;

use super::sample::Ev;
use super::{Detector, Event, Found, Limits};
use crate::eval::{Compiled, Scratch};
use crate::oracle::{self, Plain};

/// What the engine finds.
fn engine(program: &Arc<Program>, events: &[Ev]) -> Vec<Found> {
    let compiled = Compiled::new(Arc::clone(program)).unwrap();
    let scripts = Box::new(Plain::default());
    let mut detector = Detector::with_scripts(Arc::new(compiled), Limits::default(), scripts);
    let mut found = Vec::new();
    for event in events {
        detector.push(event, &mut found);
    }
    detector.finish(&mut found);
    found
}

/// Where that is something else than the oracle finds.
fn disagreements(program: &Arc<Program>, events: &[Ev]) -> Vec<String> {
    let all: Vec<&dyn Event> = events.iter().map(|event| event as &dyn Event).collect();
    oracle::disagreements(program, &all, &engine(program, events))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn conditions_mean_what_the_oracle_says(
        program in rules::single(),
        events in events::stream(4),
    ) {
        prop_assert_eq!(disagreements(&program, &events), Vec::<String>::new());
    }

    #[test]
    fn programs_mean_what_the_oracle_says(
        program in rules::program(),
        events in events::stream(24),
    ) {
        prop_assert_eq!(disagreements(&program, &events), Vec::<String>::new());
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_but_rules_and_events_decides_what_is_found(
        program in rules::program(),
        events in events::stream(24),
        seed in any::<u64>(),
        reload in 0usize..24,
    ) {
        let limits = Limits { seed, ..Limits::default() };
        let mut compiled = Arc::new(Compiled::new(Arc::clone(&program)).unwrap());
        let scripts = Box::new(Plain::default());
        let mut detector = Detector::with_scripts(Arc::clone(&compiled), limits, scripts);
        let (mut found, mut hits) = (Vec::new(), Vec::new());
        let mut scratch = Scratch::default();
        for (at, event) in events.iter().enumerate() {
            if at == reload {
                let mut other = Program::clone(&program);
                other.rules.push(rules::never());
                compiled = Arc::new(Compiled::new(Arc::new(other)).unwrap());
                detector.replace_with(Arc::clone(&compiled), Box::new(Plain::default()));
                scratch = Scratch::default();
            }
            // As another thread would.
            compiled.hits(event, &mut scratch, &mut hits);
            detector.advance(event, &mut hits, &mut found);
        }
        detector.finish(&mut found);
        prop_assert_eq!(found, engine(&program, &events));
    }
}

#[test]
fn the_random_programs_find_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut matched = std::collections::BTreeMap::<&str, usize>::new();
    for _ in 0..500 {
        let program = rules::program().new_tree(&mut runner).unwrap().current();
        let events = events::stream(24).new_tree(&mut runner).unwrap().current();
        let found = engine(&program, &events);
        for (number, rule) in (0u32..).zip(&program.rules) {
            let is_found = found.iter().any(|found| found.rule == number);
            *matched.entry(rules::kind(rule, &program)).or_default() += usize::from(is_found);
        }
    }
    for (kind, least) in rules::KINDS {
        let often = matched.get(kind).copied().unwrap_or_default();
        assert!(often >= *least, "{kind} matched {often} times of 500: {matched:?}");
    }
}
