//! What a sound module sees and can do.

use model::program::Severity;
use model::script::Scripts;
use model::value::{List, Node, Value};

use crate::common::{Bench, SECOND, path, wasm};

const IMPORTS: &str = r#"
  (import "kestrel_v1" "field" (func $field (param i32) (result i32)))
  (import "kestrel_v1" "value_type" (func $type (param i32) (result i32)))
  (import "kestrel_v1" "value_i64" (func $i64 (param i32) (result i64)))
  (import "kestrel_v1" "value_f64" (func $f64 (param i32) (result f64)))
  (import "kestrel_v1" "value_len" (func $len (param i32) (result i32)))
  (import "kestrel_v1" "value_copy" (func $copy (param i32 i32 i32 i32) (result i32)))
  (import "kestrel_v1" "value_count" (func $count (param i32) (result i32)))
  (import "kestrel_v1" "value_at" (func $at (param i32 i32) (result i32)))
  (import "kestrel_v1" "event_time" (func $time (result i64)))
  (import "kestrel_v1" "regex" (func $regex (param i32 i32) (result i32)))
  (import "kestrel_v1" "regex_text" (func $regex_text (param i32 i32 i32) (result i32)))
  (import "kestrel_v1" "glob" (func $glob (param i32 i32) (result i32)))
  (import "kestrel_v1" "glob_text" (func $glob_text (param i32 i32 i32) (result i32)))
  (import "kestrel_v1" "state_get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "kestrel_v1" "state_put" (func $put (param i32 i32 i32 i32 i64) (result i32)))
  (import "kestrel_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
  (import "kestrel_v1" "emit_text" (func $emit_text (param i32 i32 i32 i32) (result i32)))
  (import "kestrel_v1" "emit_i64" (func $emit_i64 (param i32 i32 i64) (result i32)))
  (import "kestrel_v1" "emit_f64" (func $emit_f64 (param i32 i32 f64) (result i32)))
  (import "kestrel_v1" "emit_bool" (func $emit_bool (param i32 i32 i32) (result i32)))
  (import "kestrel_v1" "request" (func $request (param i32 i32) (result i32)))
  (data (i32.const 0) "/bin/dash" "kill" "alert")
"#;

/// Asks a function with this body, which must be sound.
fn holds(body: &str, value: Value<'_>) -> bool {
    let text = format!("{IMPORTS} (func (export \"f\") (param $v i32) (result i32) {body})");
    let mut bench = Bench::sound(vec![wasm(&text)]);
    let answer = bench.ask(0, &[value]);
    assert_eq!(bench.runtime.incidents(), [], "{body}");
    answer
}

/// Whether an expression over the argument `$v` has a value.
fn is(expression: &str, wanted: i32, value: Value<'_>) -> bool {
    holds(&format!("(i32.eq {expression} (i32.const {wanted}))"), value)
}

#[test]
fn values_have_types_lengths_and_elements() {
    let map = Node::Map(Vec::new());
    let address = Value::Ip("10.0.0.1".parse().unwrap());
    let list = Value::List(List::Nul(b"sh\0\0-c\0"));
    let cases = [
        (Value::Null, 0, 0, 0),
        (Value::Bool(true), 1, 0, 1),
        (Value::Int(-17), 2, 3, 1),
        (Value::Float(0.5), 3, 0, 1),
        (Value::str("abc"), 4, 3, 1),
        (address, 5, 8, 1),
        (list, 6, 0, 3),
        (map.value(), 7, 0, 1),
    ];
    for (value, kind, len, count) in cases {
        assert!(is("(call $type (local.get $v))", kind, value), "{value:?}");
        assert!(is("(call $len (local.get $v))", len, value), "{value:?}");
        assert!(is("(call $count (local.get $v))", count, value), "{value:?}");
    }
    for (nth, len) in [(0, 2), (1, 0), (2, 2)] {
        assert!(is(&format!("(call $len (call $at (local.get $v) (i32.const {nth})))"), len, list));
    }
    // Not only in order.
    let back = "(drop (call $at (local.get $v) (i32.const 2)))
                (i32.eq (call $len (call $at (local.get $v) (i32.const 0))) (i32.const 2))";
    assert!(holds(back, list));
    assert!(is("(call $at (local.get $v) (i32.const 3))", -1, list));
    assert!(is("(call $at (local.get $v) (i32.const -1))", -1, list));
    assert!(holds("(i64.eq (call $i64 (local.get $v)) (i64.const -17))", Value::Int(-17)));
    assert!(holds("(f64.eq (call $f64 (local.get $v)) (f64.const 0.5))", Value::Float(0.5)));
    let words = Value::List(List::Words(&["a", "bcd"]));
    assert!(is("(call $len (call $at (local.get $v) (i32.const 1)))", 3, words));
    let nested = Node::List(vec![Node::List(vec![Node::Str(b"xy".as_slice().into())])]);
    let inner = "(call $len (call $at (call $at (local.get $v) (i32.const 0)) (i32.const 0)))";
    assert!(is(inner, 2, nested.value()));
}

#[test]
fn texts_are_copied_piece_by_piece() {
    let at = |offset: i32, cap: i32| {
        format!(
            "(call $copy (local.get $v) (i32.const {offset}) (i32.const 100) (i32.const {cap}))"
        )
    };
    let value = Value::str("abcdef");
    assert!(is(&at(0, 100), 6, value) && is(&at(4, 100), 2, value) && is(&at(0, 3), 3, value));
    assert!(is(&at(6, 9), 0, value) && is(&at(-1, 9), 0, value), "beyond it there is nothing");
    let byte =
        format!("(drop {}) (i32.eq (i32.load8_u (i32.const 100)) (i32.const 101))", at(4, 1));
    assert!(holds(&byte, value), "e");
}

#[test]
fn fields_patterns_and_time_are_there() {
    let text = Value::str("/tmp/x");
    assert!(is("(call $len (call $field (i32.const 0)))", 6, text));
    assert!(is("(call $count (call $field (i32.const 1)))", 3, text));
    assert!(is("(call $glob (i32.const 0) (local.get $v))", 1, text));
    assert!(is("(call $regex (i32.const 0) (local.get $v))", 0, text));
    assert!(is("(call $regex_text (i32.const 0) (i32.const 0) (i32.const 9))", 1, text));
    assert!(is("(call $glob_text (i32.const 0) (i32.const 0) (i32.const 9))", 0, text));
    assert!(is(
        "(call $glob (i32.const 0) (local.get $v))",
        1,
        Value::List(List::Nul(b"a\0/tmp/b\0"))
    ));
    assert!(holds("(i64.eq (call $time) (i64.const 1000000000))", text));
}

#[test]
fn state_expires_with_event_time_and_says_how_long_it_is() {
    let body = "(local $before i32)
        (local.set $before (call $get (i32.const 0) (i32.const 4) (i32.const 200) (i32.const 2)))
        (drop (call $put (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 9) (i64.const 2000)))
        (i32.eq (local.get $before) (i32.const 9))";
    let text = format!("{IMPORTS} (func (export \"f\") (param $v i32) (result i32) {body})");
    let mut bench = Bench::sound(vec![wasm(&text)]);
    assert!(!bench.ask(0, &path()));
    assert!(bench.ask(0, &path()), "nine bytes, of which two were copied");
    bench.time += 2 * SECOND;
    assert!(!bench.ask(0, &path()), "it has expired");
}

#[test]
fn what_it_says_is_typed_and_belongs_to_its_event() {
    let body = "(drop (call $emit (i32.const 3) (i32.const 0) (i32.const 9)))
        (drop (call $emit_text (i32.const 9) (i32.const 4) (i32.const 0) (i32.const 4)))
        (drop (call $emit_i64 (i32.const 13) (i32.const 5) (i64.const 7)))
        (drop (call $emit_f64 (i32.const 13) (i32.const 5) (f64.const 0.5)))
        (drop (call $emit_bool (i32.const 13) (i32.const 5) (i32.const 1)))
        (i32.and (i32.eqz (call $request (i32.const 9) (i32.const 4)))
                 (call $request (i32.const 13) (i32.const 5)))";
    let text = format!("{IMPORTS} (func (export \"f\") (param $v i32) (result i32) {body})");
    let mut bench = Bench::sound(vec![wasm(&text)]);
    assert!(bench.ask(0, &path()));
    assert_eq!(bench.causes(), ["refused"], "kill was not granted");
    assert!(bench.ask(0, &path()), "another event: what nobody took is gone");
    let said = bench.runtime.said(0).unwrap();
    assert_eq!(said.alerts.len(), 1);
    let alert = &said.alerts[0];
    assert_eq!((alert.message.as_str(), alert.severity), ("/bin/dash", Some(Severity::High)));
    let text = Node::Str(b"/bin".as_slice().into());
    let nodes: Vec<_> = alert.fields.iter().map(|(_, node)| node.clone()).collect();
    assert_eq!(nodes, [text, Node::Int(7), Node::Float(0.5), Node::Bool(true)]);
    assert_eq!(alert.fields[0].0, "kill");
    assert!(!said.requests[0].granted && said.requests[1].granted);
    assert_eq!(bench.runtime.standing(0).violations, 0, "a refusal is told, and is no violation");
}

#[test]
fn a_field_without_an_alert_is_not_added() {
    let body = "(call $emit_i64 (i32.const 13) (i32.const 5) (i64.const 7))";
    assert!(!holds(body, Value::Null));
}
