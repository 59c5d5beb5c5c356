//! What scripts cost: a call, a load, and nothing for events that nobody wants. Run in release.
#![expect(clippy::print_stdout, reason = "a table for who runs it")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use model::capability::Capabilities;
use model::field::{self, FieldId};
use model::program::Program;
use model::script::{Ask, Budget, Kind, Script, Scripts};
use model::value::{Fields, Value};
use script::{Backend, Runtime, author};

/// Calls of a measurement.
const CALLS: u32 = 1_000_000;
/// Measurements; the fastest is what the work takes, the others what the machine adds.
const RUNS: usize = 9;
/// Scripts of a large load.
const MANY: usize = 1_000;

/// Says yes at once; asks the host whether a pattern matches; compares the first bytes itself.
const MODULE: &str = r#"(module
  (import "kestrel_v1" "glob" (func $glob (param i32 i32) (result i32)))
  (import "kestrel_v1" "value_copy" (func $copy (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "kestrel_abi_v1"))
  (func (export "empty") (param i32) (result i32) (i32.const 1))
  (func (export "glob") (param i32) (result i32) (call $glob (i32.const 0) (local.get 0)))
  (func (export "compare") (param i32) (result i32)
    (drop (call $copy (local.get 0) (i32.const 0) (i32.const 0) (i32.const 64)))
    (i32.eq (i32.load (i32.const 0)) (i32.const 0x706d742f))))"#;

const LUAU: &str = "
local function empty() return true end
local function pattern(value) return glob.tmp(value) end
local function compare(value) return string.sub(value, 1, 4) == '/tmp' end
return { empty = empty, glob = pattern, compare = compare }";

const FUNCTIONS: &[&str] = &["empty", "glob", "compare"];

/// A rule of the same meaning as `compare`, without a script.
const RULE: &str = r#"
[[rule]]
id = "native"
name = "native"
description = "the same without a script"
severity = "low"
query = 'process where startsWith(process.executable, "/tmp")'
"#;

/// The rule that asks a script.
const ASKING: &str = r#"
[[script]]
name = "cost"
file = "cost.FORMAT"
fields = ["process.executable"]
globs = { tmp = "/tmp/*" }
[[rule]]
id = "asking"
name = "asking"
description = "the same with a script"
severity = "low"
query = 'process where cost.compare(process.executable)'
"#;

/// An event of a category, with an executable.
struct Event {
    category: &'static str,
    number: u64,
}

/// The one that scripts are asked about.
const ASKED: Event = Event { category: "process", number: 0 };

impl Fields for Event {
    fn get(&self, id: FieldId) -> Value<'_> {
        match id {
            field::PROCESS_EXECUTABLE => Value::str("/tmp/x"),
            field::EVENT_CATEGORY => Value::str(self.category),
            _ => Value::Null,
        }
    }
}

impl engine::Event for Event {
    fn number(&self) -> u64 {
        self.number
    }

    fn time(&self) -> i64 {
        0
    }

    fn identity(&self) -> u64 {
        self.number
    }
}

fn script(kind: Kind, code: &Arc<[u8]>, number: usize) -> Script {
    Script {
        name: format!("script_{number}"),
        kind,
        file: "script".into(),
        code: Arc::clone(code),
        fields: vec![field::PROCESS_EXECUTABLE],
        regexes: Vec::new(),
        globs: vec![("tmp".into(), "/tmp/*".into())],
        asks: Capabilities::ALERT,
        may: Capabilities::ALERT,
        budget: Budget {
            work: 100_000,
            memory: 1 << 20,
            entries: 64,
            bytes: 64 << 10,
            alerts: 60,
            violations: 3,
        },
        functions: FUNCTIONS.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// Resident memory of this process, KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn load(scripts: Vec<Script>, backend: Backend) -> Runtime {
    let program = Program { scripts, ..Program::default() };
    let (runtime, refused) = Runtime::load(&program, backend);
    assert!(refused.is_empty(), "{refused:?}");
    runtime
}

/// ns a call: the fastest run.
fn call(runtime: &mut Runtime, function: u32) -> f64 {
    let args = [Value::str("/tmp/x")];
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        for number in 0..u64::from(CALLS) {
            let ask = Ask { script: 0, function, args: &args, event: &ASKED, number, time: 0 };
            assert!(black_box(&mut *runtime).holds(black_box(&ask)), "it says yes");
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    best
}

/// An engine with one rule; its script, if it has one, is this code.
fn engine(rule: &str, code: &Arc<[u8]>, backend: Backend) -> engine::Detector {
    let mut program = lang::load([("cost.toml".to_owned(), rule.to_owned())]).program;
    for script in &mut program.scripts {
        script.code = Arc::clone(code);
        script.may = script.asks;
    }
    let (runtime, refused) = Runtime::load(&program, backend);
    assert!(refused.is_empty(), "{refused:?}");
    let compiled = engine::eval::Compiled::new(Arc::new(program));
    let compiled = Arc::new(compiled.unwrap_or_else(|error| panic!("{error}")));
    engine::Detector::with_scripts(compiled, engine::Limits::default(), Box::new(runtime))
}

/// ns an event of a category, through an engine.
fn event(detector: &mut engine::Detector, category: &'static str, number: &mut u64) -> f64 {
    let mut found = Vec::new();
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        for _ in 0..CALLS {
            *number += 1;
            detector.push(black_box(&Event { category, number: *number }), &mut found);
            assert!(found.is_empty() == (category != "process"), "processes match, others do not");
            found.clear();
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    best
}

fn main() {
    let wasm: Arc<[u8]> = author::assemble(MODULE).unwrap_or_default().into();
    let luau: Arc<[u8]> = LUAU.as_bytes().into();
    let kinds = [
        ("wasm, native", Kind::Wasm, &wasm, Backend::Native),
        ("wasm, interpreted", Kind::Wasm, &wasm, Backend::Pulley),
        ("luau", Kind::Lua, &luau, Backend::Native),
    ];
    println!("| ns a call | {} |\n|---|---|---|---|", FUNCTIONS.join(" | "));
    for (what, kind, code, backend) in kinds {
        let mut runtime = load(vec![script(kind, code, 0)], backend);
        let all: Vec<String> =
            (0..3).map(|function| format!("{:.1}", call(&mut runtime, function))).collect();
        println!("| {what} | {} |", all.join(" | "));
    }
    println!("\n| ns an event, through the engine | matches | not wanted |\n|---|---|---|");
    let rules = [
        ("EQL alone", RULE.to_owned(), &wasm),
        ("asks wasm, native", ASKING.replace("FORMAT", "wasm"), &wasm),
        ("asks luau", ASKING.replace("FORMAT", "luau"), &luau),
    ];
    for (what, rule, code) in rules {
        let (mut detector, mut number) = (engine(&rule, code, Backend::Native), 0);
        let matches = event(&mut detector, "process", &mut number);
        let unwanted = event(&mut detector, "file", &mut number);
        println!("| {what} | {matches:.1} | {unwanted:.1} |");
    }
    println!("\n| {MANY} scripts | load, s | resident, MiB |\n|---|---|---|");
    for (what, kind, code, backend) in kinds {
        let scripts = (0..MANY).map(|number| script(kind, code, number)).collect();
        let (before, start) = (resident(), Instant::now());
        let runtime = load(scripts, backend);
        let took = start.elapsed().as_secs_f64();
        println!("| {what} | {took:.2} | {} |", resident().saturating_sub(before) / 1024);
        drop(runtime);
    }
}
