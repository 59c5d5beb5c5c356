//! A thousand sound scripts beside hostile ones: their verdicts are what they are without.

use model::script::{Kind, Script, Scripts};
use model::value::Value;

use crate::common::{Bench, luau, module, script, wasm};

/// Sound scripts of each kind.
const EACH: usize = 500;
/// Rounds of questions.
const ROUNDS: usize = 5;

/// A Wasm predicate that differs from its neighbours: whether the last byte of the value is its own.
fn sound_wasm(number: usize) -> Script {
    let code = module(&format!(
        "(import \"kestrel_v1\" \"value_copy\" (func $copy (param i32 i32 i32 i32) (result i32)))
         (import \"kestrel_v1\" \"value_len\" (func $len (param i32) (result i32)))
         (func (export \"f\") (param $v i32) (result i32)
           (drop (call $copy (local.get $v) (i32.sub (call $len (local.get $v)) (i32.const 1))
                             (i32.const 0) (i32.const 1)))
           (i32.eq (i32.load8_u (i32.const 0)) (i32.const {})))",
        b'a' + u8::try_from(number % 26).unwrap()
    ));
    Script { name: format!("wasm_{number}"), ..script(Kind::Wasm, &code, &["f"]) }
}

/// A Luau one that remembers: whether it was asked an odd number of times about such a value.
fn sound_luau(number: usize) -> Script {
    let body = format!(
        "if #value % 7 ~= {} then return false end
         local odd = state.get(value) ~= 'odd' state.put(value, odd and 'odd' or 'even', 60000)
         return odd",
        number % 7
    );
    Script { name: format!("luau_{number}"), ..luau(&body) }
}

fn hostile() -> Vec<Script> {
    let function = |body: &str| format!("(func (export \"f\") (param i32) (result i32) {body})");
    let mut all = vec![
        wasm(&function("(loop $l (br $l)) (i32.const 1)")),
        wasm(&function("(unreachable)")),
        wasm(&function("(memory.grow (i32.const 60000))")),
        wasm(&function("(i32.store (i32.const -4) (i32.const 1)) (i32.const 1)")),
        wasm(&function("(i32.const 5)")),
        luau("while true do end"),
        luau("while true do pcall(function() while true do end end) end"),
        luau("pcall(function() local t = {} while true do t[#t + 1] = {} end end) return true"),
        luau("string.format = nil return true"),
        luau("state.put(value, 'odd', 60000) return true"),
        luau("while true do emit('flood') end"),
        luau("return event.field('process.command_line') ~= nil"),
        wasm(&"(func)".repeat(100_000)),
        luau("return {"),
    ];
    for (number, script) in all.iter_mut().enumerate() {
        script.name = format!("hostile_{number}");
        script.budget.violations = 4;
    }
    all
}

/// Verdicts of the sound scripts, hostile ones among them or not.
fn verdicts(hostile: Vec<Script>) -> (Vec<bool>, Bench) {
    let mut scripts = hostile;
    let bad = scripts.len();
    scripts.extend((0..EACH).map(sound_wasm));
    scripts.extend((0..EACH).map(sound_luau));
    let all = u32::try_from(scripts.len()).unwrap();
    let mut bench = Bench::new(scripts);
    let mut verdicts = Vec::new();
    for round in 0..ROUNDS {
        let text = format!(
            "/tmp/{}{}",
            "x".repeat(round),
            char::from(b'a' + u8::try_from(round * 5).unwrap())
        );
        bench.number += 1;
        for script in 0..all {
            let answer = bench.again(script, &[Value::str(&text)]);
            if script as usize >= bad {
                verdicts.push(answer);
            }
        }
    }
    (verdicts, bench)
}

#[test]
fn a_thousand_neighbours_are_not_disturbed() {
    let (alone, _) = verdicts(Vec::new());
    assert!(alone.iter().filter(|yes| **yes).count() > 100, "some say yes");
    assert!(alone.iter().filter(|yes| !**yes).count() > 100, "and some no");
    let (beside, mut bench) = verdicts(hostile());
    assert!(alone == beside, "the verdicts differ");
    assert_eq!(bench.refused.len(), 2, "too many functions, and a source that is none");
    let bad = u32::try_from(hostile().len()).unwrap();
    let incidents = bench.runtime.incidents();
    assert!(incidents.iter().all(|one| one.script < bad), "nobody else was told off");
    for script in 0..bad - 2 {
        let standing = bench.runtime.standing(script);
        if script != 9 {
            assert!(standing.quarantined.is_some(), "{script}: {standing:?}");
        }
    }
}
