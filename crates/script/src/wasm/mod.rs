//! Wasm modules: judged, compiled and put in place at load; called with all limits on.
//!
//! Fuel is the contract: it is set before every call, and counts the same on both back ends. The
//! epoch is the backstop. Traps do not use signals, so that the process has no handler of ours, and
//! both back ends check every access in code.

mod guest;
mod host;
mod instance;
mod scan;

use model::script::Script;
use wasmparser::WasmFeatures;
use wasmtime::{Config, Engine, InstancePre, Linker, Module, OptLevel};

use guest::Guest;
pub(crate) use instance::Instance;

use crate::Backend;
use crate::limits::WASM_STACK_BYTES;
use crate::refuse::{Denied, Refusal};

/// What plain compilers emit, and nothing else.
const PROPOSALS: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::FLOATS);

/// How modules are compiled and run.
fn config(backend: Backend) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config.wasm_features(PROPOSALS.complement(), false);
    config.consume_fuel(true).epoch_interruption(true);
    config.cranelift_nan_canonicalization(true).cranelift_opt_level(OptLevel::Speed);
    config.max_wasm_stack(WASM_STACK_BYTES);
    // No signal handlers in a process that is not ours, and no address space set aside for each script.
    config.signals_based_traps(false);
    config.memory_reservation(0).memory_guard_size(0).memory_reservation_for_growth(0);
    config.memory_init_cow(false);
    // Nobody reads them, and a trap would have to make them.
    config.wasm_backtrace_max_frames(None).generate_address_map(false);
    if backend == Backend::Pulley {
        config.target("pulley64")?;
    }
    Ok(config)
}

/// What all modules share.
#[derive(Clone)]
pub(crate) struct Sandbox {
    engine: Engine,
    linker: Linker<Guest>,
}

/// A module that is ready to be put in place.
pub(crate) struct Compiled {
    pre: InstancePre<Guest>,
    functions: Vec<(String, usize)>,
}

impl Sandbox {
    /// For one back end.
    pub(crate) fn new(backend: Backend) -> Result<Sandbox, Denied> {
        let make = || -> wasmtime::Result<Sandbox> {
            let engine = Engine::new(&config(backend)?)?;
            let linker = host::linker(&engine)?;
            Ok(Sandbox { engine, linker })
        };
        make().map_err(|error| Refusal::Backend.of(chain(&error)))
    }

    /// What ticks.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Judges and compiles a module; `given` says how many arguments rules give to a function by its
    /// number. It may take long, and may run on any thread.
    pub(crate) fn compile<G: Iterator<Item = usize>>(
        &self,
        script: &Script,
        given: impl Fn(usize) -> G,
    ) -> Result<Compiled, Denied> {
        let shape = scan::scan(script)?;
        for (number, name) in script.functions.iter().enumerate() {
            let takes = shape.arity(name);
            if let Some(other) = given(number).find(|other| *other != takes) {
                let detail = format!("`{name}` takes {takes} arguments, a rule gives it {other}");
                return Err(Refusal::FunctionType.of(detail));
            }
        }
        let module = Module::from_binary(&self.engine, &script.code)
            .map_err(|error| Refusal::Invalid.of(chain(&error)))?;
        let pre = self
            .linker
            .instantiate_pre(&module)
            .map_err(|error| Refusal::UnknownImport.of(chain(&error)))?;
        let functions = script.functions.iter().map(|name| (name.clone(), shape.arity(name)));
        Ok(Compiled { pre, functions: functions.collect() })
    }
}

/// An error and its causes in one line.
fn chain(error: &wasmtime::Error) -> String {
    let all: Vec<String> = error.chain().map(ToString::to_string).collect();
    all.join(": ")
}

/// Whether native code can be made and run here, by doing so.
pub(crate) fn native_works() -> Result<(), String> {
    /// A module with one function that returns nothing.
    const SMALLEST: &[u8] = &[
        0, b'a', b's', b'm', 1, 0, 0, 0, // header
        1, 4, 1, 0x60, 0, 0, // type: no parameters, no result
        3, 2, 1, 0, // one function of it
        7, 5, 1, 1, b'f', 0, 0, // exported as `f`
        10, 4, 1, 2, 0, 0x0b, // its body is empty
    ];
    let run = || -> wasmtime::Result<()> {
        let engine = Engine::new(&config(Backend::Native)?)?;
        let module = Module::from_binary(&engine, SMALLEST)?;
        let mut store = wasmtime::Store::new(&engine, ());
        store.set_fuel(1_000)?;
        store.set_epoch_deadline(1);
        let instance = wasmtime::Instance::new(&mut store, &module, &[])?;
        instance.get_typed_func::<(), ()>(&mut store, "f")?.call(&mut store, ())
    };
    run().map_err(|error| chain(&error))
}
