//! What is refused before anything of it runs, each with its own code, beside what is not.

use std::sync::Arc;

use model::capability::{Capabilities, Capability};
use model::program::{Expr, Filter, Logic, Program, Query, Rule, RuleMeta, Scalar};
use model::script::{Kind, Script};
use script::{Backend, Runtime, limits};

use crate::common::{Bench, luau, module, script, wasm};

const F: &str = "(func (export \"f\") (param i32) (result i32) (i32.const 1))";

/// The code with which a script is refused.
fn code(script: Script) -> &'static str {
    let refused = Bench::new(vec![script]).refused;
    let [one] = refused.as_slice() else { panic!("{refused:?}") };
    assert!(one.message.starts_with("script `one`: ") && !one.help.is_empty(), "{one:?}");
    one.code
}

fn raw(text: &str) -> Script {
    script(Kind::Wasm, &wat::parse_str(text).unwrap(), &["f"])
}

#[test]
fn a_sound_module_and_a_sound_script_load() {
    Bench::sound(vec![wasm(F), luau("return true")]);
}

#[test]
fn what_is_no_module_is_refused() {
    assert_eq!(code(script(Kind::Wasm, b"", &["f"])), "S001");
    assert_eq!(code(script(Kind::Wasm, &vec![0; limits::MAX_MODULE_BYTES + 1], &["f"])), "S002");
    assert_eq!(code(script(Kind::Wasm, b"\x7fELF", &["f"])), "S003");
    assert_eq!(code(script(Kind::Wasm, b"\0asm\x0d\0\x01\0", &["f"])), "S003", "a component");
    let mut cut = module(F);
    cut.truncate(cut.len() - 3);
    assert_eq!(code(script(Kind::Wasm, &cut, &["f"])), "S003");
}

#[test]
fn only_what_is_offered_can_be_imported() {
    for import in [
        "\"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32))",
        "\"env\" \"abort\" (func)",
        "\"kestrel_v1\" \"system\" (func (param i32) (result i32))",
        "\"kestrel_v2\" \"event_time\" (func (result i64))",
        "\"kestrel_v1\" \"event_time\" (global i64)",
        "\"env\" \"memory\" (memory 1)",
        "\"env\" \"table\" (table 1 funcref)",
    ] {
        assert_eq!(code(wasm(&format!("(import {import}) {F}"))), "S005", "{import}");
    }
    let wrong = "\"kestrel_v1\" \"event_time\" (func (result i32))";
    assert_eq!(code(wasm(&format!("(import {wrong}) {F}"))), "S006");
    let right = "\"kestrel_v1\" \"event_time\" (func (result i64))";
    Bench::sound(vec![wasm(&format!("(import {right}) {F}"))]);
}

#[test]
fn capabilities_are_asked_for_and_granted() {
    let state = "(import \"kestrel_v1\" \"state_get\" (func (param i32 i32 i32 i32) (result i32)))";
    let mut silent = wasm(&format!("{state} {F}"));
    silent.asks = silent.asks.without(Capabilities::of(&[Capability::State]));
    assert_eq!(code(silent), "S007", "it imports state and does not ask for it");
    let mut silent = wasm(F);
    silent.asks = Capabilities::ALERT;
    assert_eq!(code(silent), "S007", "it has expressions and does not ask for them");
    let mut greedy = wasm(F);
    greedy.asks = greedy.asks | Capabilities::of(&[Capability::Kill]);
    assert_eq!(code(greedy.clone()), "S022", "nobody granted it");
    greedy.may = greedy.asks;
    Bench::sound(vec![greedy, wasm(&format!("{state} {F}"))]);
}

#[test]
fn nothing_runs_before_a_rule_asks() {
    assert_eq!(code(wasm(&format!("(func $s (loop $l (br $l))) (start $s) {F}"))), "S008");
}

#[test]
fn modules_are_bounded_before_they_are_compiled() {
    let many = |count: usize, one: &str| one.repeat(count);
    let exports: Vec<String> =
        (0..2_000).map(|n| format!("(export \"e{n}\" (memory 0))")).collect();
    for (what, text) in [
        ("functions", many(100_000, "(func)")),
        ("types", many(2_000, "(type (func))")),
        ("globals", many(2_000, "(global i32 (i32.const 0))")),
        ("exports", exports.concat()),
        ("data segments", many(2_000, "(data \"x\")")),
        ("element segments", many(2_000, "(elem funcref)")),
        ("tables", many(2, "(table 1 funcref)")),
        ("locals", format!("(func {})", many(3_000, "(local i32)"))),
        ("code", format!("(func {})", many(40_000, "(drop (i32.const 1))"))),
        ("imports", many(65, "(import \"kestrel_v1\" \"event_time\" (func (result i64)))")),
        ("custom sections", many(65, "(@custom \"x\" \"y\")")),
    ] {
        let text = if what == "imports" { format!("{text} {F}") } else { format!("{F} {text}") };
        assert_eq!(code(wasm(&text)), "S009", "{what}");
    }
    // 50,000 locals in four bytes: no compiler writes them one by one.
    let big = wasm(&format!("{F} (@custom \"x\" \"{}\")", many(500_000, "y")));
    Bench::sound(vec![big]);
}

#[test]
fn memory_and_tables_have_their_size() {
    let with =
        |memory: &str| raw(&format!("(module {memory} (func (export \"kestrel_abi_v1\")) {F})"));
    assert_eq!(code(with("")), "S010", "none");
    assert_eq!(code(with("(memory 1)")), "S010", "not exported");
    assert_eq!(code(with("(memory (export \"memory\") 17)")), "S010", "larger than its budget");
    Bench::sound(vec![with("(memory (export \"memory\") 16)")]);
    assert_eq!(code(wasm(&format!("(table 1000000 funcref) {F}"))), "S011");
    Bench::sound(vec![wasm(&format!("(table 100 funcref) {F}"))]);
}

#[test]
fn functions_are_there_and_have_their_type() {
    let other = raw(&format!("(module (memory (export \"memory\") 1) {F})"));
    assert_eq!(code(other), "S004", "no version");
    assert_eq!(code(wasm("")), "S012");
    for wrong in [
        "(param i64) (result i32) (i32.const 1)",
        "(param i32)",
        "(param i32) (result i64) (i64.const 1)",
        "(param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 1)",
    ] {
        assert_eq!(code(wasm(&format!("(func (export \"f\") {wrong})"))), "S013", "{wrong}");
    }
}

#[test]
fn proposals_that_cost_determinism_are_off() {
    for text in [
        "(func (drop (v128.const i32x4 0 0 0 0)))",
        "(func (drop (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0))))",
        "(func (drop (i32.atomic.load (i32.const 0))))",
        "(func $t (return_call $t))",
        "(tag $e) (func (throw $e))",
        "(func (param externref))",
    ] {
        assert_eq!(code(wasm(&format!("{text} {F}"))), "S017", "{text}");
    }
    let shared =
        "(module (memory (export \"memory\") 1 1 shared) (func (export \"kestrel_abi_v1\"))";
    assert_eq!(code(raw(&format!("{shared} {F})"))), "S017");
    let two = raw(&format!(
        "(module (memory (export \"memory\") 1) (memory 1) (func (export \"kestrel_abi_v1\")) {F})"
    ));
    assert_eq!(code(two), "S010", "several memories");
}

#[test]
fn data_beyond_memory_cannot_be_put_in_place() {
    assert_eq!(code(wasm(&format!("(data (i32.const 65535) \"xx\") {F}"))), "S018");
    assert_eq!(code(wasm(&format!("(table 1 funcref) (elem (i32.const 5) 0) {F}"))), "S018");
}

#[test]
fn patterns_and_names_are_bounded() {
    let with = |change: &dyn Fn(&mut Script)| {
        let mut script = wasm(F);
        change(&mut script);
        code(script)
    };
    for bomb in
        ["((a{100}){100}){100}", "(", "a)|(b", r"(?P<x>", "x{4000}{4000}", &"(".repeat(3_000)]
    {
        assert_eq!(
            with(&|script| script.regexes = vec![("r".into(), bomb.into())]),
            "S014",
            "{bomb}"
        );
    }
    let long = "x".repeat(5_000);
    assert_eq!(with(&|script| script.regexes = vec![("r".into(), long.clone())]), "S014");
    assert_eq!(with(&|script| script.globs = vec![("g".into(), long.clone())]), "S015");
    assert_eq!(with(&|script| script.fields = vec![model::field::FILE_PATH; 100]), "S016");
    assert_eq!(with(&|script| script.budget.work = 0), "S024");
}

#[test]
fn luau_is_source_text_that_returns_functions() {
    let of = |source: &[u8]| code(script(Kind::Lua, source, &["f"]));
    assert_eq!(of(b""), "S001");
    assert_eq!(of(&vec![b' '; limits::MAX_SOURCE_BYTES + 1]), "S002");
    assert_eq!(of(b"return {"), "S019");
    assert_eq!(of(b"\x06\x03\x00bytecode"), "S021");
    assert_eq!(of(b"return '\xff'"), "S021", "no UTF-8");
    assert_eq!(of(b"return {}"), "S012");
    assert_eq!(of(b"return { f = 1 }"), "S013");
    assert_eq!(of(b"return 1"), "S020");
    assert_eq!(of(b"error('no')"), "S020");
    assert_eq!(of(b"while true do end"), "S020", "the limits of a call hold");
    assert_eq!(of(b"local t = {} while true do t[#t + 1] = ('x'):rep(1000) end"), "S020");
    assert_eq!(of(b"event.field('process.executable') return {}"), "S020", "there is no event");
}

#[test]
fn what_rules_give_must_fit_what_functions_take() {
    let load = |script: Script, count: usize| {
        let args = vec![Scalar::Null; count];
        let condition = Expr::Script { script: 0, function: 0, args };
        let filter = Filter { category: None, condition };
        let (meta, logic) = (RuleMeta::default(), Logic::default());
        let rule = Rule { meta, logic, query: Query::Event(filter), pipes: Vec::new() };
        let program = Program { rules: vec![rule], scripts: vec![script], ..Program::default() };
        let (_, refused) = Runtime::load(&program, Backend::Native);
        refused.first().map(|refused| refused.code)
    };
    assert_eq!(load(wasm(F), 1), None);
    assert_eq!(load(wasm(F), 2), Some("S013"));
    assert_eq!(load(wasm(F), 9), Some("S023"));
    assert_eq!(load(luau("return true"), 2), None, "Luau takes any number");
    assert_eq!(load(luau("return true"), 9), Some("S023"));
}

#[test]
fn a_refused_script_answers_no_and_disturbs_nobody() {
    let mut bad = wasm("");
    bad.code = Arc::from(*b"junk");
    let mut bench = Bench::new(vec![bad, wasm(F)]);
    assert_eq!(bench.refused.len(), 1);
    assert_eq!(bench.refused[0].script, 0);
    assert!(!bench.ask(0, &crate::common::path()));
    assert!(bench.ask(1, &crate::common::path()), "the other one");
    assert_eq!(bench.causes(), [""; 0]);
}
