//! Quarantine, release, reloads: what becomes of a script that breaks its terms.

use model::capability::{Capabilities, Capability};
use model::script::{Scripts, Standing};
use model::value::Value;
use script::{Backend, Runtime, limits};

use crate::common::{Bench, SECOND, luau, path, wasm};

/// Answers as it is told: 0 no, 1 yes, anything else is nonsense.
const ECHO: &str = "(import \"kestrel_v1\" \"value_i64\" (func $n (param i32) (result i64)))
    (func (export \"f\") (param i32) (result i32) (i32.wrap_i64 (call $n (local.get 0))))";

const YES: &[Value<'static>] = &[Value::Int(1)];
const BAD: &[Value<'static>] = &[Value::Int(7)];

#[test]
fn after_its_violations_a_script_is_asked_no_more_and_can_be_released() {
    let luau_echo = luau("if value == 7 then return 'x' end return value == 1");
    for script in [wasm(ECHO), luau_echo] {
        let mut bench = Bench::sound(vec![script.clone(), script]);
        for _ in 0..2 {
            assert!(!bench.ask(0, BAD));
        }
        assert!(bench.ask(0, YES), "two violations are one too few");
        assert!(!bench.ask(0, BAD));
        let told: Vec<_> = bench.runtime.incidents();
        assert_eq!(
            told.iter().map(|one| one.quarantined).collect::<Vec<_>>(),
            [false, false, true]
        );
        assert!(!bench.ask(0, YES), "it is in quarantine");
        let standing = bench.runtime.standing(0);
        assert_eq!((standing.calls, standing.violations), (4, 3), "the last question cost nothing");
        assert!(standing.quarantined.as_deref().unwrap().starts_with("nonsense: it answered"));
        assert_eq!(bench.causes(), [""; 0]);
        assert!(bench.ask(1, YES), "its neighbour goes on");
        assert!(bench.runtime.release(0) && !bench.runtime.release(0), "once");
        assert!(!bench.runtime.release(1), "it was not in quarantine");
        assert!(bench.ask(0, YES));
        assert_eq!(bench.runtime.standing(0).violations, 0);
    }
}

#[test]
fn incidents_say_when_and_are_bounded() {
    let mut script = wasm(ECHO);
    script.budget.violations = u32::MAX;
    let mut bench = Bench::sound(vec![script]);
    bench.number = 41;
    bench.time = 7 * SECOND;
    assert!(!bench.ask(0, BAD));
    let incident = bench.incident();
    assert_eq!((incident.script, incident.number, incident.time), (0, 42, 7 * SECOND));
    for _ in 0..limits::MAX_INCIDENTS + 10 {
        bench.ask(0, BAD);
    }
    assert_eq!(bench.runtime.incidents().len(), limits::MAX_INCIDENTS);
    let all = u32::try_from(limits::MAX_INCIDENTS).unwrap() + 11;
    assert_eq!(bench.runtime.standing(0).violations, all, "those that did not fit are counted");
}

#[test]
fn a_refused_action_is_told_and_only_a_storm_of_them_is_a_violation() {
    let mut bench = Bench::sound(vec![luau("request('kill') return true")]);
    for _ in 0..limits::MAX_REFUSED {
        assert!(bench.ask(0, &path()));
    }
    assert!(bench.causes().iter().all(|cause| *cause == "refused"));
    assert_eq!(bench.runtime.standing(0).violations, 0);
    assert!(!bench.ask(0, &path()));
    assert_eq!(bench.causes(), ["flood"]);
    bench.time += 60 * SECOND;
    assert!(bench.ask(0, &path()), "another minute");
    let mut granted = luau("return request('kill') and not request('deny')");
    granted.asks = granted.asks | Capabilities::of(&[Capability::Kill]);
    granted.may = granted.asks;
    let mut bench = Bench::sound(vec![granted]);
    assert!(bench.ask(0, &path()));
    assert_eq!(bench.incident().detail, "it may not `deny`");
}

#[test]
fn a_full_state_forgets_what_expires_first_and_says_so_once_a_minute() {
    let body =
        "for i = 1, 6 do state.put('k' .. i, 'v', i * 1000) end return state.get('k6') == 'v'
                and state.get('k1') == nil";
    let mut bench = Bench::sound(vec![luau(body)]);
    assert!(bench.ask(0, &path()));
    assert_eq!(bench.causes(), ["state"]);
    assert_eq!(bench.runtime.standing(0).violations, 0);
    assert!(bench.ask(0, &path()));
    assert_eq!(bench.causes(), [""; 0], "told once");
    assert_eq!(bench.runtime.standing(0).entries, 4, "its budget");
}

#[test]
fn a_script_that_was_stopped_begins_anew() {
    // A stack pointer that is moved and never moved back, as by a function that was stopped half way.
    let leaks = "(global $sp (mut i32) (i32.const 0))
        (import \"kestrel_v1\" \"value_i64\" (func $n (param i32) (result i64)))
        (func (export \"f\") (param i32) (result i32)
          (if (global.get $sp) (then (return (i32.const 0))))
          (global.set $sp (i32.const 1))
          (if (i64.eq (call $n (local.get 0)) (i64.const 7)) (then (unreachable)))
          (global.set $sp (i32.const 0))
          (i32.const 1))";
    let leaks = leaks.replace("(global $sp (mut i32) (i32.const 0))", "");
    let leaks = format!("{leaks} (global $sp (mut i32) (i32.const 0))");
    let mut bench = Bench::sound(vec![wasm(&leaks)]);
    assert!(!bench.ask(0, BAD));
    assert!(bench.ask(0, YES), "nothing is left of the call that was stopped");
    let kept = luau("count = (count or 0) + 1 if value == 7 then error('x') end return count == 1");
    let mut bench = Bench::sound(vec![kept]);
    assert!(!bench.ask(0, BAD));
    assert!(bench.ask(0, YES));
    assert!(!bench.ask(0, YES), "one that was not stopped keeps its globals");
}

#[test]
fn a_reload_keeps_state_and_standing_of_what_did_not_change() {
    let stateful = "local before = state.get('k') state.put('k', 'v', 60000)
                    if value == 7 then return 1 end return before == 'v'";
    let mut other = luau(stateful);
    other.name = "other".into();
    let mut changed = luau("return true");
    changed.name = "changed".into();
    let mut old = Bench::sound(vec![luau(stateful), other.clone(), changed.clone()]);
    for script in 0..3 {
        old.ask(script, YES);
    }
    for _ in 0..3 {
        old.ask(1, BAD);
    }
    changed.code = luau("return value == 1").code;
    // In another order, one of them changed.
    let mut new = Bench::sound(vec![changed, luau(stateful), other]);
    new.runtime.inherit(Box::new(old.runtime));
    assert!(new.ask(1, YES), "it remembers");
    assert!(new.runtime.standing(2).quarantined.is_some(), "a reload is no way out");
    assert!(!new.ask(2, YES));
    assert_eq!(new.runtime.standing(0), Standing::default(), "it is another script now");
}

#[test]
fn a_runtime_may_move_to_another_thread() {
    let mut bench = Bench::sound(vec![wasm(ECHO), luau("return value == 1")]);
    assert!(bench.ask(0, YES) && bench.ask(1, YES));
    let moved = std::thread::spawn(move || bench.ask(0, YES) && bench.ask(1, YES));
    assert!(moved.join().unwrap());
}

#[test]
fn work_is_counted_and_numbers_that_are_nobodys_are_answered_with_no() {
    let mut bench = Bench::sound(vec![wasm(ECHO)]);
    assert!(bench.ask(0, YES));
    let first = bench.runtime.standing(0).work;
    assert!(bench.ask(0, YES));
    assert_eq!(bench.runtime.standing(0).work, 2 * first, "the same call takes the same work");
    assert!(first > 8, "the host's work is in it: {first}");
    assert!(!bench.ask(9, YES));
    assert!(!bench.function(0, 9, YES));
    assert_eq!(bench.causes(), ["nonsense"]);
    assert!(!bench.ask(0, &[]), "fewer arguments than it takes");
    assert_eq!(bench.causes(), ["nonsense"]);
}

#[test]
fn the_back_end_is_chosen_by_trying() {
    let (backend, why) = Backend::pick();
    // Where tests run, code can be made: they do it themselves.
    assert_eq!(backend, Backend::Native, "{why}");
    for backend in Backend::ALL {
        assert_eq!(Backend::from_name(backend.as_str()), Some(*backend));
    }
    let program = model::program::Program::default();
    let (runtime, refused) = Runtime::load(&program, Backend::Pulley);
    assert_eq!((runtime.backend(), refused.len()), (Backend::Pulley, 0));
}
