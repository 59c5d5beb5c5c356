//! Luau scripts: each in a VM of its own, sandboxed, with its own limit of memory and of work.
//!
//! The interrupt that the VM raises at every call, return, turn of a loop and step of a pattern is the
//! unit of work. What one interrupt can hide is bounded by the prelude.

mod host;
mod meter;
mod value;

use std::sync::{Arc, OnceLock};

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Error, Function, Lua, LuaOptions, StdLib, Table, Value as Seen, VmState};
use model::script::Script;
use model::value::Value;

use crate::call::Call;
use crate::cause::{Cause, Stop};
use crate::kit::Kit;
use crate::limits;
use crate::refuse::{Denied, Refusal};
use crate::ticker::Clock;
use meter::Meter;

const PRELUDE: &str = include_str!("prelude.luau");

/// What the collector lets memory grow to before it begins again, in percent of what is in use: less
/// than usual, since garbage counts towards the limit.
const GARBAGE_PERCENT: i32 = 130;

/// What of the standard library is there at all.
fn libraries() -> StdLib {
    StdLib::COROUTINE
        | StdLib::TABLE
        | StdLib::STRING
        | StdLib::UTF8
        | StdLib::BIT
        | StdLib::MATH
        | StdLib::BUFFER
}

fn compiler() -> Compiler {
    Compiler::new().set_optimization_level(1).set_debug_level(1)
}

/// A script that is ready to be started: judged, and compiled by us.
pub(crate) struct Source {
    name: String,
    bytecode: Vec<u8>,
    functions: Vec<String>,
    fields: Vec<String>,
}

impl Source {
    /// Judges and compiles a source.
    pub(crate) fn new(script: &Script, fields: Vec<String>) -> Result<Source, Denied> {
        let code = &script.code;
        if code.is_empty() {
            return Err(Refusal::Empty.of(&script.file));
        }
        if code.len() > limits::MAX_SOURCE_BYTES {
            let (has, most) = (code.len(), limits::MAX_SOURCE_BYTES);
            return Err(Refusal::TooLarge.of(format!("{has} bytes of at most {most}")));
        }
        let text =
            std::str::from_utf8(code).map_err(|error| Refusal::Bytecode.of(error.to_string()))?;
        if text.bytes().any(|byte| byte < b' ' && !b"\t\n\r".contains(&byte)) {
            return Err(Refusal::Bytecode.of("it has control characters"));
        }
        let compiled = compiler().compile(text);
        let bytecode =
            compiled.map_err(|error| Refusal::Syntax.of(first_line(&error.to_string())))?;
        Ok(Source {
            name: format!("={}", script.file),
            bytecode,
            functions: script.functions.clone(),
            fields,
        })
    }
}

/// A script in a VM of its own.
pub(crate) struct Vm {
    source: Source,
    clock: Option<Arc<Clock>>,
    running: Running,
}

struct Running {
    functions: Vec<Function>,
    meter: Arc<Meter>,
    lua: Lua,
}

impl Vm {
    /// Starts a script: the top of its file runs, within the limits of a call.
    pub(crate) fn new(source: Source, kit: &Kit, clock: Option<Arc<Clock>>) -> Result<Vm, Denied> {
        let running = start(&source, kit, clock.clone())?;
        Ok(Vm { source, clock, running })
    }

    /// Begins anew, as if it had just been loaded. False if that fails.
    pub(crate) fn renew(&mut self, kit: &Kit) -> bool {
        match start(&self.source, kit, self.clock.clone()) {
            Ok(running) => {
                self.running = running;
                true
            }
            Err(_) => false,
        }
    }

    /// Asks a function. The work that it took comes back in any case.
    pub(crate) fn ask(&mut self, function: u32, call: &Call<'_>) -> (Result<bool, Stop>, u64) {
        let Running { functions, meter, lua } = &self.running;
        let Some(function) = functions.get(function as usize) else {
            return (Err(Stop::new(Cause::Nonsense, "there is no such function")), 0);
        };
        meter.begin();
        let answer = with_arguments(lua, function, call.ask.args);
        let work = meter.spent();
        if let Some(stop) = meter.end() {
            return (Err(stop), work);
        }
        match answer {
            Ok(Seen::Boolean(answer)) => (Ok(answer), work),
            Ok(other) => {
                let detail = format!("it answered a value of type {}", other.type_name());
                (Err(Stop::new(Cause::Nonsense, detail)), work)
            }
            Err(error) => (Err(stop(&error)), work),
        }
    }
}

/// Copies of values in the VM. Meanwhile the limit of memory is off: with it each string would be made
/// in a protected call of its own, which costs as much as the call of the script. What is copied has
/// bounds of its own, and counts as soon as the script makes anything.
fn copies<const N: usize>(lua: &Lua, args: [Value<'_>; N]) -> mlua::Result<[Seen; N]> {
    let limit = lua.set_memory_limit(0)?;
    let mut copies = [const { Seen::Nil }; N];
    let all = copies.iter_mut().zip(args).try_for_each(|(copy, arg)| {
        *copy = value::shown(lua, arg)?;
        Ok(())
    });
    lua.set_memory_limit(limit)?;
    all.map(|()| copies)
}

fn with_arguments(lua: &Lua, function: &Function, args: &[Value<'_>]) -> mlua::Result<Seen> {
    match args {
        [] => function.call(()),
        [one] => {
            let [one] = copies(lua, [*one])?;
            function.call(one)
        }
        [one, two] => {
            let [one, two] = copies(lua, [*one, *two])?;
            function.call((one, two))
        }
        [one, two, three] => {
            let [one, two, three] = copies(lua, [*one, *two, *three])?;
            function.call((one, two, three))
        }
        more => {
            let all: mlua::Result<mlua::MultiValue> =
                more.iter().map(|one| value::shown(lua, *one)).collect();
            function.call(all?)
        }
    }
}

/// What ended a call that the host did not end.
#[cold]
fn stop(error: &Error) -> Stop {
    let text = error.to_string();
    let cause = match error {
        Error::MemoryError(_) => Cause::Memory,
        _ if text.contains("not enough memory") => Cause::Memory,
        _ if text.contains("stack overflow") => Cause::Stack,
        _ => Cause::Trap,
    };
    Stop::new(cause, first_line(&text))
}

/// What failed, without the way there, and without addresses, which differ from run to run.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split("0x").next().unwrap_or_default().trim_end().to_owned()
}

/// The prelude, compiled once for all VMs.
fn prelude() -> Result<&'static [u8], Denied> {
    static COMPILED: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| compiler().compile(PRELUDE).ok());
    compiled.as_deref().ok_or_else(|| Refusal::Backend.of("the prelude does not compile"))
}

fn start(source: &Source, kit: &Kit, clock: Option<Arc<Clock>>) -> Result<Running, Denied> {
    let prelude = prelude()?;
    let meter = Arc::new(Meter::new(kit.budget.work, clock));
    let prepared = prepare(source, kit, &meter, prelude);
    let lua = prepared.map_err(|error| Refusal::Backend.of(first_line(&error.to_string())))?;
    let chunk = lua.load(source.bytecode.as_slice()).set_name(&source.name);
    meter.begin();
    let result = chunk.set_mode(ChunkMode::Binary).eval::<Seen>();
    let failed = |stop: Stop| Refusal::Failed.of(stop.to_string());
    if let Some(stop) = meter.end() {
        return Err(failed(stop));
    }
    let Seen::Table(table) = result.map_err(|error| failed(stop(&error)))? else {
        return Err(Refusal::Failed.of("it returns no table of functions"));
    };
    let functions = functions(&table, &source.functions)?;
    Ok(Running { functions, meter, lua })
}

/// A VM with everything but the script.
fn prepare(source: &Source, kit: &Kit, meter: &Arc<Meter>, prelude: &[u8]) -> mlua::Result<Lua> {
    let lua = Lua::new_with(libraries(), LuaOptions::new().catch_rust_panics(false))?;
    let host = host::table(&lua, kit, &source.fields, meter)?;
    lua.load(prelude).set_name("=prelude").set_mode(ChunkMode::Binary).call::<()>(host)?;
    lua.sandbox(true)?;
    let own = Arc::clone(meter);
    lua.set_interrupt(move |_| {
        if own.spend(1) {
            Ok(VmState::Continue)
        } else {
            Err(Error::RuntimeError("stopped".into()))
        }
    });
    lua.gc_collect()?;
    lua.gc_set_mode(mlua::state::GcMode::Incremental(
        mlua::state::GcIncParams::default().goal(GARBAGE_PERCENT),
    ));
    // What the VM itself takes is not the script's.
    lua.set_memory_limit(lua.used_memory().saturating_add(kit.budget.memory))?;
    Ok(lua)
}

fn functions(table: &Table, wanted: &[String]) -> Result<Vec<Function>, Denied> {
    let find = |name: &String| match table.raw_get::<Seen>(name.as_str()) {
        Ok(Seen::Function(function)) => Ok(function),
        Ok(Seen::Nil) | Err(_) => Err(Refusal::NoFunction.of(format!("`{name}`"))),
        Ok(other) => Err(Refusal::FunctionType.of(format!("`{name}` is a {}", other.type_name()))),
    };
    wanted.iter().map(find).collect()
}
