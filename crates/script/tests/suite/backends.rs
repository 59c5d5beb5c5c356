//! Native code and the interpreter: the same answers, work, texts and incidents, byte for byte.

use std::fmt::Write as _;

use model::script::Scripts;
use model::value::{List, Value};
use script::Backend;

use crate::common::{Bench, module, script};

/// Functions that compute, read, remember, say, and break their terms.
const MODULE: &str = r#"
  (import "kestrel_v1" "value_copy" (func $copy (param i32 i32 i32 i32) (result i32)))
  (import "kestrel_v1" "value_count" (func $count (param i32) (result i32)))
  (import "kestrel_v1" "value_at" (func $at (param i32 i32) (result i32)))
  (import "kestrel_v1" "value_len" (func $len (param i32) (result i32)))
  (import "kestrel_v1" "value_f64" (func $f64 (param i32) (result f64)))
  (import "kestrel_v1" "state_get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "kestrel_v1" "state_put" (func $put (param i32 i32 i32 i32 i64) (result i32)))
  (import "kestrel_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
  (import "kestrel_v1" "emit_i64" (func $emit_i64 (param i32 i32 i64) (result i32)))
  (import "kestrel_v1" "emit_f64" (func $emit_f64 (param i32 i32 f64) (result i32)))
  (import "kestrel_v1" "glob" (func $glob (param i32 i32) (result i32)))
  (data (i32.const 0) "sum")
  ;; A sum over the bytes of the value, emitted.
  (func (export "sum") (param $v i32) (result i32) (local $n i32) (local $i i32) (local $s i64)
    (local.set $n (call $copy (local.get $v) (i32.const 0) (i32.const 1024) (i32.const 4096)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
      (local.set $s (i64.add (i64.mul (local.get $s) (i64.const 31))
        (i64.load8_u (i32.add (local.get $i) (i32.const 1024)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (drop (call $emit (i32.const 2) (i32.const 1024) (local.get $n)))
    (drop (call $emit_i64 (i32.const 0) (i32.const 3) (local.get $s)))
    (i32.wrap_i64 (i64.and (local.get $s) (i64.const 1))))
  ;; What is no number, made in several ways: its bits are the same everywhere.
  (func (export "nan") (param $v i32) (result i32) (local $x f64)
    (local.set $x (f64.sqrt (call $f64 (local.get $v))))
    (local.set $x (f64.sub (f64.mul (local.get $x) (f64.const inf)) (f64.const inf)))
    (drop (call $emit (i32.const -1) (i32.const 0) (i32.const 3)))
    (drop (call $emit_i64 (i32.const 0) (i32.const 3) (i64.reinterpret_f64 (local.get $x))))
    (drop (call $emit_f64 (i32.const 0) (i32.const 3) (f64.div (f64.const 1) (call $f64 (local.get $v)))))
    (f64.ne (local.get $x) (local.get $x)))
  ;; Whether the value was seen within ten seconds.
  (func (export "again") (param $v i32) (result i32) (local $n i32) (local $seen i32)
    (local.set $n (call $copy (local.get $v) (i32.const 0) (i32.const 1024) (i32.const 200)))
    (local.set $seen (call $get (i32.const 1024) (local.get $n) (i32.const 0) (i32.const 0)))
    (drop (call $put (i32.const 1024) (local.get $n) (i32.const 0) (i32.const 3) (i64.const 10000)))
    (i32.ge_s (local.get $seen) (i32.const 0)))
  ;; Any element below /tmp, and longer than three.
  (func (export "any") (param $v i32) (result i32) (local $i i32) (local $e i32)
    (block $done (loop $next
      (br_if $done (i32.ge_s (local.get $i) (call $count (local.get $v))))
      (local.set $e (call $at (local.get $v) (local.get $i)))
      (if (i32.and (call $glob (i32.const 0) (local.get $e))
                   (i32.gt_s (call $len (local.get $e)) (i32.const 3)))
        (then (return (i32.const 1))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (i32.const 0))
  ;; Runs for as long as the value has bytes, squared: some of these end with the budget.
  (func (export "slow") (param $v i32) (result i32) (local $i i32)
    (local.set $i (i32.mul (call $len (local.get $v)) (i32.mul (i32.const 500) (call $len (local.get $v)))))
    (loop $next
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (br_if $next (i32.gt_s (local.get $i) (i32.const 0))))
    (i32.const 1))
  ;; Traps, nonsense and forged handles.
  (func (export "bad") (param $v i32) (result i32)
    (i32.div_s (call $len (i32.add (local.get $v) (i32.and (call $len (local.get $v)) (i32.const 1))))
               (i32.sub (call $len (local.get $v)) (i32.const 4))))
"#;

const FUNCTIONS: &[&str] = &["sum", "nan", "again", "any", "slow", "bad"];

/// All that can be seen of a run from outside.
fn transcript(backend: Backend) -> String {
    let mut one = script(model::script::Kind::Wasm, &module(MODULE), FUNCTIONS);
    one.budget.violations = u32::MAX;
    one.budget.alerts = u32::MAX;
    let mut bench = Bench::on(vec![one], backend);
    assert_eq!(bench.refused, []);
    let texts: Vec<String> = (0..24).map(|n| format!("/tmp/{}", "x".repeat(n))).collect();
    let mut values: Vec<Value<'_>> = texts.iter().map(|text| Value::str(text)).collect();
    values.extend([
        Value::str("four"),
        Value::Int(-1),
        Value::Float(-0.0),
        Value::Float(f64::NAN),
        Value::Null,
    ]);
    values.push(Value::List(List::Nul(b"a\0/tmp\0/tmp/long\0")));
    let mut told = String::new();
    for round in 0..3 {
        for (at, value) in values.iter().enumerate() {
            bench.number += 1;
            bench.time += 400_000_000;
            for function in 0..u32::try_from(FUNCTIONS.len()).unwrap() {
                let answer = bench.function(0, function, &[*value]);
                let standing = bench.runtime.standing(0);
                let said = bench.runtime.said(0);
                let incidents = bench.runtime.incidents();
                writeln!(
                    told,
                    "{round} {at} {function} {answer} {standing:?} {said:?} {incidents:?}"
                )
                .unwrap();
            }
        }
    }
    told
}

#[test]
fn both_give_the_same_bytes() {
    let native = transcript(Backend::Native);
    let interpreted = transcript(Backend::Pulley);
    assert!(native == interpreted, "{}", first_difference(&native, &interpreted));
    for cause in ["budget", "trap", "handle", "nonsense"] {
        assert!(native.contains(&format!("cause: \"{cause}\"")), "{cause} is among them");
    }
    assert!(native.contains("9221120237041090560"), "the one bit pattern of what is no number");
    assert_eq!(native, transcript(Backend::Native), "and again");
}

fn first_difference(one: &str, other: &str) -> String {
    let pair = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    format!("{pair:#?}")
}
