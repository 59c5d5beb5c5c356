//! Modules that mean harm: each is stopped by what is meant to stop it, and told as that.

use model::script::{Script, Scripts};

use crate::common::{Bench, path, script, stopped, wasm};

/// A function `f` with this body, after some declarations.
fn body(declarations: &str, body: &str) -> Script {
    wasm(&format!("{declarations} (func (export \"f\") (param i32) (result i32) {body})"))
}

#[test]
fn loops_of_every_shape_end_with_their_budget() {
    let loops = [
        ("jump", "", "(loop $l (br $l)) (i32.const 1)"),
        ("conditional", "", "(loop $l (br_if $l (i32.const 1))) (i32.const 1)"),
        ("table", "", "(loop $l (br_table $l $l (i32.const 0))) (i32.const 1)"),
        ("empty loops in a loop", "", "(loop $l (loop $m) (loop $n) (br $l)) (i32.const 1)"),
        ("counting", "(global $g (mut i64) (i64.const 0))",
         "(loop $l (global.set $g (i64.add (global.get $g) (i64.const 1))) (br $l)) (i32.const 1)"),
        ("calling", "(func $g)", "(loop $l (call $g) (br $l)) (i32.const 1)"),
        ("host", "(import \"kestrel_v1\" \"event_time\" (func $t (result i64)))",
         "(loop $l (drop (call $t)) (br $l)) (i32.const 1)"),
        ("filling", "",
         "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l)) (i32.const 1)"),
        ("copying", "",
         "(loop $l (memory.copy (i32.const 0) (i32.const 1) (i32.const 65535)) (br $l)) (i32.const 1)"),
        ("indirect",
         "(type $t (func)) (table 1 funcref) (elem (i32.const 0) $g)
          (func $g (loop $l (br $l)))",
         "(call_indirect (type $t) (i32.const 0)) (i32.const 1)"),
        ("exponential",
         "(func $a (call $b) (call $b)) (func $b (call $c) (call $c)) (func $c (call $d) (call $d))
          (func $d (call $e) (call $e)) (func $e (call $g) (call $g)) (func $g (call $h) (call $h))
          (func $h (call $i) (call $i)) (func $i (call $j) (call $j)) (func $j (call $k) (call $k))
          (func $k (call $l) (call $l)) (func $l (call $m) (call $m)) (func $m (call $n) (call $n))
          (func $n (call $o) (call $o)) (func $o (call $p) (call $p)) (func $p (call $q) (call $q))
          (func $q (call $r) (call $r)) (func $r (call $s) (call $s)) (func $s)",
         "(call $a) (i32.const 1)"),
    ];
    for (what, declarations, code) in loops {
        stopped(what, body(declarations, code), "budget");
    }
}

#[test]
fn work_of_the_host_counts_as_the_modules() {
    let imports =
        "(import \"kestrel_v1\" \"glob_text\" (func $g (param i32 i32 i32) (result i32)))";
    let code = "(loop $l (drop (call $g (i32.const 0) (i32.const 0) (i32.const 60000))) (br $l))
                (i32.const 1)";
    let mut bench = Bench::sound(vec![body(imports, code)]);
    assert!(!bench.ask(0, &path()));
    assert_eq!(bench.causes(), ["budget"]);
    let work = bench.runtime.standing(0).work;
    assert_eq!(work, crate::common::BUDGET.work, "all of it was taken");
}

#[test]
fn memory_table_and_stack_bombs_are_refused_their_room() {
    stopped("grow at once", body("", "(memory.grow (i32.const 65535))"), "memory");
    let slowly = "(loop $l (drop (memory.grow (i32.const 1))) (br $l)) (i32.const 1)";
    stopped("grow slowly", body("", slowly), "memory");
    let table = "(table.grow 0 (ref.null func) (i32.const 100000))";
    stopped("table", body("(table 1 funcref)", table), "memory");
    let recursion =
        "(func $r (param i32) (result i32) (i32.add (call $r (local.get 0)) (i32.const 1)))";
    let mut deep = body(recursion, "(call $r (local.get 0))");
    deep.budget.work = 100_000_000;
    stopped("stack", deep, "stack");
    let within = body("", "(i32.ge_s (memory.grow (i32.const 3)) (i32.const 0))");
    let mut bench = Bench::sound(vec![within]);
    assert!(bench.ask(0, &path()), "what fits is given");
    assert_eq!(bench.causes(), [""; 0]);
}

#[test]
fn forged_handles_are_told_apart_from_given_ones() {
    let imports = "(import \"kestrel_v1\" \"value_len\" (func $len (param i32) (result i32)))
                   (import \"kestrel_v1\" \"field\" (func $field (param i32) (result i32)))
                   (import \"kestrel_v1\" \"regex\" (func $regex (param i32 i32) (result i32)))
                   (import \"kestrel_v1\" \"value_at\" (func $at (param i32 i32) (result i32)))
                   (global $old (mut i32) (i32.const 0))";
    for (what, code) in [
        ("zero", "(call $len (i32.const 0))"),
        ("minus one", "(call $len (i32.const -1))"),
        ("the next", "(call $len (i32.add (local.get 0) (i32.const 1)))"),
        ("far", "(call $len (i32.add (local.get 0) (i32.const 8192)))"),
        ("largest", "(call $len (i32.const 0x7fffffff))"),
        ("undeclared field", "(call $len (call $field (i32.const 2)))"),
        ("negative field", "(call $len (call $field (i32.const -1)))"),
        ("pattern", "(call $regex (i32.const 1) (local.get 0))"),
        ("element of a forged list", "(call $at (i32.const 5) (i32.const 0))"),
        ("too many", "(loop $l (drop (call $field (i32.const 0))) (br $l)) (i32.const 1)"),
    ] {
        stopped(what, body(imports, code), "handle");
    }
    // One of an earlier call: kept in a global, used in the next.
    let keep = "(if (i32.eqz (global.get $old)) (then (global.set $old (local.get 0))))
                (i32.eq (call $len (global.get $old)) (i32.const 6))";
    let mut bench = Bench::sound(vec![body(imports, keep)]);
    assert!(bench.ask(0, &path()), "in its own call it is good");
    assert!(!bench.ask(0, &path()));
    assert_eq!(bench.causes(), ["handle"]);
}

#[test]
fn no_number_reaches_an_undeclared_field() {
    let imports = "(import \"kestrel_v1\" \"field\" (func $field (param i32) (result i32)))
                   (import \"kestrel_v1\" \"value_i64\" (func $n (param i32) (result i64)))
                   (import \"kestrel_v1\" \"value_type\" (func $t (param i32) (result i32)))";
    let code =
        "(i32.ne (call $t (call $field (i32.wrap_i64 (call $n (local.get 0))))) (i32.const 0))";
    let mut script = body(imports, code);
    script.budget.violations = u32::MAX;
    let mut bench = Bench::sound(vec![script]);
    let mut answers = Vec::new();
    for number in (-300..300).chain([1 << 16, 1 << 30, -(1 << 30), i64::from(i32::MIN)]) {
        if bench.ask(0, &[model::value::Value::Int(number)]) {
            answers.push(number);
        }
    }
    assert_eq!(answers, [0, 1], "the two that are declared");
    assert!(bench.causes().iter().all(|cause| *cause == "handle"));
}

#[test]
fn pointers_are_checked_against_memory() {
    let imports = "(import \"kestrel_v1\" \"value_copy\"
                     (func $copy (param i32 i32 i32 i32) (result i32)))
                   (import \"kestrel_v1\" \"emit\" (func $emit (param i32 i32 i32) (result i32)))
                   (import \"kestrel_v1\" \"request\" (func $request (param i32 i32) (result i32)))
                   (import \"kestrel_v1\" \"state_get\"
                     (func $get (param i32 i32 i32 i32) (result i32)))";
    for (what, code) in [
        (
            "copy past the end",
            "(call $copy (local.get 0) (i32.const 0) (i32.const 65530) (i32.const 7))",
        ),
        ("copy far out", "(call $copy (local.get 0) (i32.const 0) (i32.const -1) (i32.const 1))"),
        ("copy wraps", "(call $copy (local.get 0) (i32.const 0) (i32.const 16) (i32.const -8))"),
        ("emit", "(call $emit (i32.const 0) (i32.const 65536) (i32.const 1))"),
        ("request", "(call $request (i32.const 0) (i32.const 65537))"),
        ("state", "(call $get (i32.const 70000) (i32.const 1) (i32.const 0) (i32.const 0))"),
    ] {
        stopped(what, body(imports, code), "pointer");
    }
    let exact = "(i32.eq (call $copy (local.get 0) (i32.const 0) (i32.const 65530) (i32.const 6))
                         (i32.const 6))";
    let mut bench = Bench::sound(vec![body(imports, exact)]);
    assert!(bench.ask(0, &path()), "up to the last byte it is memory");
}

#[test]
fn traps_and_nonsense_are_told_apart() {
    stopped("unreachable", body("", "(unreachable)"), "trap");
    stopped("division", body("", "(i32.div_s (i32.const 1) (i32.const 0))"), "trap");
    stopped("load", body("", "(i32.load (i32.const 65536))"), "trap");
    stopped(
        "null call",
        body(
            "(type $t (func)) (table 1 funcref)",
            "(call_indirect (type $t) (i32.const 0)) (i32.const 1)",
        ),
        "trap",
    );
    stopped("two", body("", "(i32.const 2)"), "nonsense");
    stopped("minus one", body("", "(i32.const -1)"), "nonsense");
}

#[test]
fn floods_of_texts_fields_and_requests_are_stopped() {
    let imports = "(import \"kestrel_v1\" \"emit\" (func $emit (param i32 i32 i32) (result i32)))
                   (import \"kestrel_v1\" \"emit_i64\"
                     (func $add (param i32 i32 i64) (result i32)))
                   (import \"kestrel_v1\" \"request\" (func $request (param i32 i32) (result i32)))
                   (data (i32.const 0) \"alert\")";
    let emit = "(call $emit (i32.const -1) (i32.const 0) (i32.const 5))";
    stopped(
        "texts",
        body(imports, &format!("(loop $l (drop {emit}) (br $l)) (i32.const 1)")),
        "flood",
    );
    let add = "(call $add (i32.const 0) (i32.const 5) (i64.const 1))";
    let fields = format!("(drop {emit}) (loop $l (drop {add}) (br $l)) (i32.const 1)");
    stopped("fields", body(imports, &fields), "flood");
    let request = "(call $request (i32.const 0) (i32.const 5))";
    let requests = format!("(loop $l (drop {request}) (br $l)) (i32.const 1)");
    stopped("requests", body(imports, &requests), "flood");
    // One text each event, but too many of them in a minute.
    let mut one = body(imports, emit);
    one.budget.violations = 100;
    let mut bench = Bench::sound(vec![one]);
    for _ in 0..10 {
        assert!(bench.ask(0, &path()));
    }
    assert!(!bench.ask(0, &path()), "the eleventh in a minute");
    assert_eq!(bench.causes(), ["flood"]);
    bench.time += 60 * crate::common::SECOND;
    assert!(bench.ask(0, &path()), "the next minute");
}

#[test]
fn text_of_a_module_steers_no_log() {
    let imports = "(import \"kestrel_v1\" \"request\" (func $request (param i32 i32) (result i32)))
                   (data (i32.const 0) \"a\\1b[2J\\nfake line\")";
    let code = "(call $request (i32.const 0) (i32.const 15))";
    let mut bench = Bench::sound(vec![body(imports, code)]);
    assert!(!bench.ask(0, &path()));
    let incident = bench.incident();
    assert_eq!(incident.cause, "refused");
    assert_eq!(incident.detail, r"it may not `a\u{1b}[2J\nfake line`");
    assert_eq!(script(model::script::Kind::Wasm, b"", &[]).name, "one");
}
