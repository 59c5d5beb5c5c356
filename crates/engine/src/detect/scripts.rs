//! Scripts in queries of every form: when they are asked, how often, and what they say.

use model::script::Scripts;

use super::sample::Ev;
use super::text::{events, scripted};
use super::*;
use crate::oracle::Plain;

/// What is found, and how often scripts were asked.
fn run(queries: &[(lang::Dialect, &str)], text: &str) -> (Vec<Found>, u64) {
    let scripts = Plain::talking();
    let compiled = scripted(queries);
    let limits = Limits::default();
    let mut detector = Detector::with_scripts(compiled, limits, Box::new(scripts.clone()));
    let mut found = Vec::new();
    for event in events(text) {
        detector.push(&event, &mut found);
    }
    detector.finish(&mut found);
    (found, scripts.calls())
}

const EQL: lang::Dialect = lang::Dialect::Elastic;
const CLASSIC: lang::Dialect = lang::Dialect::Classic;

/// Of `one` the function `even` says yes to texts of even length.
#[test]
fn a_script_is_asked_only_where_all_else_holds() {
    let query = "any where event.action == \"a\" and one.even(process.name) and process.pid == 1";
    let (found, calls) = run(&[(EQL, query)], "b a2 a1 c a3 b1");
    assert_eq!((found.len(), calls), (0, 1), "`program` has 7 letters: no, asked once");
    let query = query.replace("process.name", "process.pid, \"x\"");
    let (found, calls) = run(&[(EQL, &query)], "b a2 a1 c a3 b1");
    assert_eq!((found.len(), calls), (1, 1), "`1x` has two: the control");
    let first = query.replace("event.action == \"a\" and ", "");
    let either = "any where process.pid == 1 or one.even(process.name)";
    assert_eq!(run(&[(EQL, &first)], "b2 c3 d1").1, 1, "wherever it stands");
    assert_eq!(run(&[(EQL, either)], "b1 c1 d2 e1").1, 1, "what holds anyway asks nobody");
    let not = "any where event.action == \"a\" and not one.even(process.name)";
    let (found, calls) = run(&[(EQL, not)], "a b a");
    assert_eq!((found.len(), calls), (2, 2), "its complement, and never from memory");
}

#[test]
fn an_answer_is_about_the_last_event_alone() {
    let compiled =
        scripted(&[(EQL, "any where event.action == \"a\" and one.even(process.pid, \"x\")")]);
    let question = compiled.program().rules[0].questions(compiled.program())[0].clone();
    let scripts = Box::new(Plain::default());
    let mut detector = Detector::with_scripts(compiled, Limits::default(), scripts);
    let mut answers = Vec::new();
    for event in events("a b a12") {
        detector.push(&event, &mut Vec::new());
        answers.push(detector.answer(&question));
    }
    assert_eq!(answers, [Some(true), None, Some(false)], "nobody asked about the second");
}

#[test]
fn rules_that_share_a_question_ask_it_once_an_event() {
    let one = "any where event.action == \"a\" and one.even(process.pid, \"x\")";
    let two = "any where event.action in (\"a\", \"b\") and one.even(process.pid, \"x\")";
    let other = "any where event.action == \"a\" and one.even(process.pid, \"xyz\")";
    let (found, calls) = run(&[(EQL, one), (EQL, two), (CLASSIC, two)], "a b c");
    assert_eq!((found.len(), calls), (5, 2));
    let (found, calls) = run(&[(EQL, one), (EQL, other)], "a b c");
    assert_eq!((found.len(), calls), (2, 2), "other arguments, another question");
    for found in found {
        assert_eq!(found.said.len(), 1, "each alert has what its own question led to");
        let letters = if found.rule == 0 { "[120]" } else { "[120, 121, 122]" };
        assert!(found.said[0].alerts[0].message.contains(letters), "{found:?}");
    }
}

#[test]
fn sequences_samples_joins_and_lineage_ask_scripts() {
    let yes = "one.even(process.pid, \"x\")";
    let no = "one.odd(process.pid, \"x\")";
    for (dialect, query, text) in [
        (EQL, "sequence by process.pid [any where event.action == \"a\" and Q] [b]", "a b"),
        (EQL, "sequence by process.pid [a] [any where event.action == \"b\" and Q]", "a b"),
        (EQL, "sample by process.pid [any where event.action == \"a\" and Q] [b]", "b a"),
        (CLASSIC, "join by process.pid [any where event.action == \"a\" and Q] [b]", "b a"),
        (
            CLASSIC,
            "any where event.action == \"b\" and child of [any where event.action == \"a\" and Q]",
            "a2<1 b3<2",
        ),
        (EQL, "any where event.action == \"a\" and (event.action == \"x\" or Q)", "a"),
        (CLASSIC, "any where arrayCount(process.pid, it, one.even(it, \"x\")) == 1 and Q", "a1"),
    ] {
        assert_eq!(run(&[(dialect, &query.replace('Q', yes))], text).0.len(), 1, "{query}");
        assert_eq!(run(&[(dialect, &query.replace('Q', no))], text).0.len(), 0, "{query}");
    }
    let until = "sequence by process.pid [a] [b] until [any where event.action == \"u\" and Q]";
    assert_eq!(run(&[(EQL, &until.replace('Q', yes))], "a u b").0.len(), 0, "it ended");
    assert_eq!(run(&[(EQL, &until.replace('Q', no))], "a u b").0.len(), 1);
    let missing =
        "sequence by process.pid with maxspan=9s [a] ![any where event.action == \"x\" and Q] [b]";
    assert_eq!(run(&[(EQL, &missing.replace('Q', yes))], "a x b").0.len(), 0);
    assert_eq!(run(&[(EQL, &missing.replace('Q', no))], "a x b").0.len(), 1);
    let late = "sequence [a] as first [any where event.action == \"b\" and one.even(first.process.pid, process.pid)]";
    assert_eq!(run(&[(CLASSIC, late)], "a1 b2").0.len(), 1, "members are arguments");
    assert_eq!(run(&[(CLASSIC, late)], "a1 b22").0.len(), 0);
}

/// Remembers how often it was asked, and what it took over.
#[test]
fn a_reload_hands_on_what_scripts_remember() {
    #[derive(Debug)]
    struct Heir(u64);
    impl Scripts for Heir {
        fn holds(&mut self, _: &model::script::Ask<'_>) -> bool {
            self.0 += 1;
            true
        }
        fn said(&mut self, _: u32) -> Option<model::script::Said> {
            None
        }
        fn incidents(&mut self) -> Vec<model::script::Incident> {
            Vec::new()
        }
        fn standing(&self, _: u32) -> model::script::Standing {
            model::script::Standing { calls: self.0, ..Default::default() }
        }
        fn release(&mut self, _: u32) -> bool {
            false
        }
        fn inherit(&mut self, old: Box<dyn Scripts>) {
            self.0 += old.into_any().downcast::<Heir>().map_or(0, |old| old.0);
        }
        fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
            self
        }
    }
    let compiled = scripted(&[(EQL, "any where one.even(process.pid)")]);
    let limits = Limits::default();
    let mut detector = Detector::with_scripts(Arc::clone(&compiled), limits, Box::new(Heir(0)));
    let all: Vec<Ev> = events("a b c");
    let mut found = Vec::new();
    all.iter().take(2).for_each(|event| detector.push(event, &mut found));
    detector.replace_with(Arc::clone(&compiled), Box::new(Heir(0)));
    all.iter().skip(2).for_each(|event| detector.push(event, &mut found));
    assert_eq!((found.len(), detector.scripts().standing(0).calls), (3, 3));
    detector.replace(compiled);
    detector.push(&all[2], &mut found);
    assert_eq!(found.len(), 3, "without a runtime each question is answered no");
}

#[test]
fn a_rule_goes_on_after_a_reload_unless_its_script_changed() {
    let rule = (
        EQL,
        "sequence by process.pid [any where event.action == \"a\" and one.even(process.pid, \"x\")] [b]",
    );
    for (code, expected) in [("same", 1), ("other", 0)] {
        let mut program = (**scripted(&[rule]).program()).clone();
        let make = |program: &model::program::Program| {
            Arc::new(Compiled::new(Arc::new(program.clone())).unwrap())
        };
        program.scripts[0].code = b"same".as_slice().into();
        let limits = Limits::default();
        let scripts = || Box::new(Plain::default());
        let mut detector = Detector::with_scripts(make(&program), limits, scripts());
        let (all, mut found) = (events("a b"), Vec::new());
        detector.push(&all[0], &mut found);
        program.scripts[0].code = code.as_bytes().into();
        detector.replace_with(make(&program), scripts());
        detector.push(&all[1], &mut found);
        assert_eq!(found.len(), expected, "{code}");
    }
}
