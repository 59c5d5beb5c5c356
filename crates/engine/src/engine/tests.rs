//! The door: order of update and evaluation, identities, questions.

use std::sync::Arc;

use model::field;
use model::program::{Expr, Filter, Literal, Logic, Program, Query, Rule, RuleMeta, Test};
use model::value::{Fields, Value};
use model::wire::{FLAG_NO_CREDS, KIND_UNLINK, RecFile};
use zerocopy::FromZeros;

use super::*;
use crate::testing::{Bytes, MS, Task, header, host, key};

const INIT: crate::process::Key = crate::process::Key { pid: 1, start: 10 * MS };

fn engine(text: &str) -> Engine {
    let equals = |text: &str| Test::Equals {
        any: vec![Literal::Str(text.as_bytes().to_vec())],
        fold: false,
    };
    let rule = Rule {
        meta: RuleMeta { id: "child-of".to_owned(), ..RuleMeta::default() },
        logic: Logic::Complement,
        query: Query::Event(Filter {
            category: Some("process".to_owned()),
            condition: Expr::Test(field::PROCESS_PARENT_NAME, equals(text)),
        }),
        pipes: Vec::new(),
    };
    let program = Program { rules: vec![rule], ..Program::default() };
    Engine::new(Arc::new(program), host()).unwrap()
}

fn push(engine: &mut Engine, bytes: &Bytes) -> Vec<(i64, Vec<u128>)> {
    let mut calls = Vec::new();
    engine.push(&bytes.record(), &mut |view, matches| {
        let Value::Int(sequence) = view.get(field::EVENT_SEQUENCE) else { panic!() };
        calls.push((sequence, matches.iter().map(|it| it.id).collect()));
    });
    calls
}

#[test]
fn a_rule_sees_the_table_after_the_event_and_replay_gives_the_same_ids() {
    let run = || {
        let mut engine = engine("nginx");
        let (nginx, shell) = (key(50, 200 * MS), key(51, 300 * MS));
        let found = Task::found(150 * MS, INIT, crate::process::Key::default(), "/sbin/init");
        assert_eq!(push(&mut engine, &found.done()), [], "no event");
        let quiet = push(&mut engine, &Task::exec(200 * MS, nginx, INIT, "/usr/sbin/nginx").done());
        assert_eq!(quiet, [(1, vec![])]);
        let fork = push(&mut engine, &Task::fork(300 * MS, shell, nginx).done());
        let exec = push(&mut engine, &Task::exec(301 * MS, shell, nginx, "/bin/sh").done());
        assert_eq!((fork[0].0, exec[0].0), (2, 3));
        assert_eq!((fork[0].1.len(), exec[0].1.len()), (1, 1));
        assert_ne!(fork[0].1, exec[0].1, "two events, two alerts");
        let stats = engine.stats();
        assert_eq!((stats.records, stats.events, stats.matches), (4, 3, 2));
        (fork, exec)
    };
    assert_eq!(run(), run());
}

#[test]
fn questions_are_asked_until_they_are_answered() {
    let mut engine = engine("x");
    let exec = Task::exec(200 * MS, key(50, 200 * MS), INIT, "/bin/sh").with(|task| {
        (task.h.uid, task.h.gid, task.ruid, task.h.cgroup) = (0, 0, 1000, 42);
    });
    let exec = exec.done();
    let asked = engine.questions(&exec.record());
    let expected =
        [Question::Cgroup(42), Question::User(0), Question::User(1000), Question::Group(0)];
    assert_eq!(asked.as_slice(), expected);
    engine.learn(Fact::User { id: 0, name: b"root".to_vec() });
    engine.learn(Fact::User { id: 1000, name: Vec::new() });
    engine.learn(Fact::Group { id: 0, name: b"root".to_vec() });
    engine.learn(Fact::Cgroup { id: 42, path: b"/system.slice/x.service".to_vec() });
    assert!(engine.questions(&exec.record()).is_empty());
    engine.push(&exec.record(), &mut |view, _| {
        assert_eq!(view.get(field::USER_NAME), Value::str("root"));
        assert_eq!(view.get(field::PROCESS_REAL_USER_NAME), Value::Null, "the host has no name");
        assert_eq!(view.get(field::SYSTEMD_UNIT), Value::str("x.service"));
    });
}

#[test]
fn what_a_source_does_not_know_comes_from_the_table() {
    let mut engine = engine("x");
    let exec = Task::exec(200 * MS, key(50, 200 * MS), INIT, "/bin/sh")
        .with(|task| (task.h.uid, task.h.gid) = (33, 34));
    push(&mut engine, &exec.done());
    let mut file = RecFile::new_zeroed();
    file.h = header(KIND_UNLINK, 300 * MS, key(50, 0));
    file.h.flags = FLAG_NO_CREDS | model::wire::FLAG_NO_START;
    let bytes = Bytes::of(model::wire::Builder::new(), &file);
    engine.push(&bytes.record(), &mut |view, _| {
        assert_eq!(view.get(field::USER_ID), Value::Int(33), "not the 0 of the header");
        assert_eq!(view.get(field::PROCESS_GROUP_ID), Value::Int(34));
        assert_eq!(view.get(field::PROCESS_NAME), Value::str("sh"));
        assert_eq!(view.get(field::PROCESS_START), Value::Int(1_000_200_000_000));
    });
}
