//! The door: order of update and evaluation, identities, questions.

use std::sync::Arc;

use model::field;
use model::program::{
    Expr, Filter, Literal, Logic, Program, Query, Rule, RuleMeta, Sequence, Step, Test,
};
use model::value::{Fields, Value};
use model::wire::{FLAG_NO_CREDS, KIND_UNLINK, RecFile};
use zerocopy::FromZeros;

use super::*;
use crate::testing::{Bytes, MS, Task, header, host, key};

const INIT: crate::process::Key = crate::process::Key { pid: 1, start: 10 * MS };

fn rule(id: &str, query: Query) -> Rule {
    let meta = RuleMeta { id: id.to_owned(), ..RuleMeta::default() };
    Rule { meta, logic: Logic::Complement, query, pipes: Vec::new() }
}

fn program<const N: usize>(rules: [Rule; N]) -> Arc<Program> {
    Arc::new(Program { rules: rules.into(), ..Program::default() })
}

/// Events of processes whose field is that text.
fn processes(field: field::FieldId, text: &str) -> Filter {
    let any = vec![Literal::Str(text.as_bytes().to_vec())];
    let condition = Expr::Test(field, Test::Equals { any, fold: false });
    Filter { category: Some("process".to_owned()), condition }
}

fn child_of(text: &str) -> Rule {
    rule("child-of", Query::Event(processes(field::PROCESS_PARENT_NAME, text)))
}

/// The program `a` starts, and then, within a second, `b` does, or `b` does not.
fn a_then_b(missing: bool) -> Rule {
    let step = |name: &str, missing: bool| Step {
        filter: processes(field::PROCESS_NAME, name),
        by: Vec::new(),
        missing,
        fork: false,
    };
    let steps = vec![step("a", false), step("b", missing)];
    let id = if missing { "a-without-b" } else { "a-then-b" };
    rule(
        id,
        Query::Sequence(Sequence {
            steps,
            disjoint: false,
            until: None,
            maxspan: Some(1_000 * MS),
        }),
    )
}

fn engine(text: &str) -> Engine {
    Engine::new(program([child_of(text)]), host()).unwrap()
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
fn an_end_that_is_told_twice_is_one_event() {
    let mut engine = engine("nginx");
    let (one, two) = (key(50, 200 * MS), key(51, 200 * MS));
    assert_eq!(push(&mut engine, &Task::exit(300 * MS, one, INIT).done()).len(), 1);
    assert_eq!(push(&mut engine, &Task::exit(300 * MS, one, INIT).done()), []);
    assert_eq!(push(&mut engine, &Task::exit(301 * MS, two, INIT).done()).len(), 1, "another");
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

#[test]
fn where_version_1_is_in_use_a_family_is_asked_once_and_again_in_other_namespaces() {
    let program = Arc::new(Program::default());
    let mut engine = Engine::new(program, crate::host::Host { cgroup_v1: true, ..host() }).unwrap();
    let (shell, child, inner) = (key(50, 200 * MS), key(51, 300 * MS), key(52, 400 * MS));
    let id = "0123456789abcdef".repeat(4);
    engine.learn(Fact::Cgroup { id: 42, path: b"/system.slice/docker.service".to_vec() });
    let in_root = |task: Task, ns_mnt: u32| {
        task.with(|task| (task.h.cgroup, task.ns_pid, task.ns_mnt) = (42, 1, ns_mnt)).done()
    };
    let place = |engine: &Engine, bytes: &Bytes| {
        let asked = engine.questions(&bytes.record());
        asked.into_iter().find(|it| matches!(it, Question::Membership { .. }))
    };
    let answer = |engine: &mut Engine, key: crate::process::Key, text: String| {
        let (pid, start, hierarchies) = (key.pid, key.start, text.into_bytes());
        engine.learn(Fact::Membership { pid, start, hierarchies });
    };
    let shown = |engine: &mut Engine, bytes: &Bytes| {
        let mut container = String::new();
        engine.push(&bytes.record(), &mut |view, _| {
            if let Value::Str(id) = view.get(field::CONTAINER_ID) {
                container = String::from_utf8(id.to_vec()).unwrap();
            }
        });
        container
    };
    let exec = in_root(Task::exec(200 * MS, shell, INIT, "/bin/runc"), 7);
    let question = Question::Membership { pid: 50, start: 200 * MS };
    assert_eq!(place(&engine, &exec), Some(question));
    answer(&mut engine, shell, "8:pids:/\n".to_owned());
    assert!(place(&engine, &exec).is_some(), "its namespaces are not known yet");
    assert_eq!(shown(&mut engine, &exec), "");
    assert_eq!(place(&engine, &exec), None, "known now");

    let fork = in_root(Task::fork(300 * MS, child, shell), 7);
    assert_eq!(place(&engine, &fork), None, "it is where its parent is");
    shown(&mut engine, &fork);
    assert_eq!(place(&engine, &in_root(Task::exec(301 * MS, child, shell, "/bin/a"), 7)), None);
    let entry = in_root(Task::exec(302 * MS, child, shell, "/bin/entry"), 8);
    assert!(place(&engine, &entry).is_some(), "another mount namespace");
    answer(&mut engine, child, format!("8:pids:/docker/{id}\n0::/\n"));
    assert_eq!(shown(&mut engine, &entry), id);

    let fork = in_root(Task::fork(400 * MS, inner, child), 8);
    assert_eq!(shown(&mut engine, &fork), id, "inherited");
    assert_eq!(place(&engine, &in_root(Task::exec(401 * MS, inner, child, "/bin/b"), 8)), None);
}

#[test]
fn a_file_written_in_one_go_is_one_alert() {
    let filter = Filter { category: Some("file".to_owned()), condition: Expr::Const(true) };
    let program = program([rule("cron", Query::Event(filter))]);
    let mut engine = Engine::new(program, host()).unwrap();
    let file = |kind, time| {
        let mut tail = model::wire::Builder::<RecFile>::new();
        let mut fixed = RecFile::new_zeroed();
        fixed.h = header(kind, time, key(50, 200 * MS));
        fixed.path = tail.push(b"/etc/cron.d/x");
        Bytes::of(tail, &fixed)
    };
    let (create, write) = (model::wire::KIND_CREATE, model::wire::KIND_WRITE);
    let mut alerts = Vec::new();
    for (kind, time) in [(create, 300), (write, 301), (write, 302), (write, 1300)] {
        let calls = push(&mut engine, &file(kind, time * MS));
        assert_eq!(calls.len(), 1, "each is an event");
        alerts.push(calls[0].1.len());
    }
    assert_eq!(alerts, [1, 0, 0, 1]);
    assert_eq!((engine.stats().matches, engine.stats().repeats), (2, 2));
}

#[test]
fn what_began_under_the_old_rules_ends_under_the_new_ones() {
    let run = |swapped: Option<Rule>| {
        let mut engine = Engine::new(program([a_then_b(false)]), host()).unwrap();
        let start = Task::exec(200 * MS, key(50, 200 * MS), INIT, "/bin/a").done();
        assert_eq!(push(&mut engine, &start), [(1, vec![])]);
        if let Some(rule) = swapped {
            engine.swap(Prepared::new(program([child_of("x"), rule])).unwrap());
        }
        let end = Task::exec(300 * MS, key(51, 300 * MS), INIT, "/bin/b").done();
        let mut told = Vec::new();
        engine.push(&end.record(), &mut |_, matches| {
            for one in matches {
                let name = one.earlier[0].1["process"]["name"].clone();
                told.push((one.rule.id.clone(), one.id, one.members.to_vec(), name));
            }
        });
        told
    };
    let (stays, kept) = (run(None), run(Some(a_then_b(false))));
    assert_eq!((stays[0].2.as_slice(), &stays[0].3), ([1, 2].as_slice(), &Json::from("a")));
    assert_eq!(stays, kept, "the rule has another number now, and is the same");
    assert_eq!(run(Some(a_then_b(true))), [], "this one began with the swap");
}

#[test]
fn what_did_not_come_is_told_without_another_record() {
    let mut engine = Engine::new(program([a_then_b(true)]), host()).unwrap();
    let start = Task::exec(200 * MS, key(50, 200 * MS), INIT, "/bin/a").done();
    assert_eq!(push(&mut engine, &start), [(1, vec![])]);
    let tick = |engine: &mut Engine, now: u64| {
        let mut told = Vec::new();
        engine.tick(now, &mut |one| told.push((one.members.to_vec(), one.earlier.len())));
        told
    };
    assert_eq!(tick(&mut engine, 1_200 * MS), [], "it may still come");
    assert_eq!(tick(&mut engine, 1_201 * MS), [(vec![1], 1)]);
    assert_eq!(tick(&mut engine, 9_000 * MS), [], "told once");
    assert_eq!((engine.stats().matches, engine.kept.bytes()), (1, 0), "and forgotten");
}

thread_local! {
    /// A clock that goes on by ten at each look.
    static CLOCK: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn clock() -> u64 {
    CLOCK.set(CLOCK.get() + 10);
    CLOCK.get()
}

#[test]
fn an_event_is_measured_when_asked_for_and_matches_the_same() {
    let rules = || {
        program([
            child_of("nginx"),
            rule("other", Query::Event(processes(field::PROCESS_PARENT_NAME, "x"))),
        ])
    };
    let nginx = Task::exec(200 * MS, key(50, 200 * MS), INIT, "/sbin/nginx").done();
    let shell = Task::exec(300 * MS, key(51, 300 * MS), key(50, 200 * MS), "/bin/sh").done();
    let run = |measured: bool| {
        let mut engine = Engine::new(rules(), host()).unwrap();
        push(&mut engine, &nginx);
        if measured {
            engine.measure_next(clock);
        }
        let found = push(&mut engine, &shell);
        let costs = engine.costs().to_vec();
        push(&mut engine, &nginx);
        assert_eq!(engine.costs(), costs, "one event was asked for");
        (found, costs)
    };
    let ((plain, none), (found, costs)) = (run(false), run(true));
    assert_eq!((plain, none), (found, Vec::new()));
    // What its filter waits for and the rest of it, without what the clock itself takes, and then
    // what is done with the match; the other rule cannot concern the event.
    assert_eq!(costs, [(0, 0), (0, 0), (0, 10)]);
}
