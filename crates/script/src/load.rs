//! Loading: judges, compiles and starts all scripts of a program, several at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::field::{self, FieldId};
use model::program::{Expr, Program};
use model::script::{Kind, Script};

use crate::Backend;
use crate::kit::Kit;
use crate::limits;
use crate::luau::{Source, Vm};
use crate::refuse::{Denied, Refusal, Refused};
use crate::runtime::{Code, Slot};
use crate::ticker::{Clock, Ticker};
use crate::wasm::{Instance, Sandbox};

/// Work below which not even an empty function returns.
const LEAST_WORK: u64 = 10;

/// What loading gives.
pub(crate) struct Loaded {
    pub(crate) slots: Vec<Slot>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) ticker: Option<Ticker>,
}

/// What all scripts of a program are loaded with.
struct Loader<'a> {
    program: &'a Program,
    sandbox: Option<Result<Sandbox, Denied>>,
    clock: Option<Arc<Clock>>,
    /// How many arguments rules give each function of each script.
    given: Given,
}

/// Numbers of arguments by script and function.
type Given = BTreeMap<(u32, u32), BTreeSet<usize>>;

/// Loads them all.
pub(crate) fn all(program: &Program, backend: Backend) -> Loaded {
    let scripts = &program.scripts;
    let wasm = scripts.iter().any(|script| script.kind == Kind::Wasm);
    let sandbox = wasm.then(|| Sandbox::new(backend));
    let engine =
        sandbox.as_ref().and_then(|made| made.as_ref().ok()).map(|made| made.engine().clone());
    let ticker = (!scripts.is_empty()).then(|| {
        Ticker::start(move || {
            if let Some(engine) = &engine {
                engine.increment_epoch();
            }
        })
    });
    let clock = ticker.as_ref().map(Ticker::clock);
    let loader = Loader { program, sandbox, clock, given: given(program) };
    let mut loaded = Loaded { slots: Vec::new(), refused: Vec::new(), ticker };
    for (number, (script, result)) in (0..).zip(scripts.iter().zip(loader.parallel())) {
        let slot = match result {
            Ok((kit, code)) => Slot::new(script, kit, code),
            Err(denied) => {
                loaded.refused.push(denied.told(number, &script.name));
                Slot::new(script, Kit::empty(script), Code::None)
            }
        };
        loaded.slots.push(slot);
    }
    loaded
}

/// How many arguments rules give to functions.
fn given(program: &Program) -> Given {
    let mut given = Given::new();
    for question in program.rules.iter().flat_map(|rule| rule.questions(program)) {
        if let Expr::Script { script, function, args } = question {
            given.entry((*script, *function)).or_default().insert(args.len());
        }
    }
    given
}

type Result<T, E = Denied> = std::result::Result<T, E>;

impl Loader<'_> {
    /// Loads on a few threads; the results are in the order of the scripts.
    fn parallel(&self) -> Vec<Result<(Kit, Code)>> {
        let scripts = &self.program.scripts;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(limits::MAX_COMPILE_THREADS).min(scripts.len().max(1));
        let size = scripts.len().div_ceil(threads).max(1);
        let each = |(part, scripts): (usize, &[Script])| -> Vec<Result<(Kit, Code)>> {
            let first = part * size;
            let numbered = scripts.iter().enumerate();
            numbered.map(|(at, script)| self.one(first + at, script)).collect()
        };
        if threads == 1 {
            return scripts.chunks(size).enumerate().flat_map(each).collect();
        }
        std::thread::scope(|scope| {
            let begin = |part| {
                let name = std::thread::Builder::new().name("script-load".into());
                // Where no thread can be had, this one does it.
                name.spawn_scoped(scope, move || each(part)).map_err(|_| part)
            };
            let parts: Vec<_> =
                scripts.chunks(size).enumerate().map(|part| (part.1.len(), begin(part))).collect();
            let died =
                |count| (0..count).map(|_| Err(Refusal::Backend.of("loading failed"))).collect();
            let end = |(count, part): (usize, Result<std::thread::ScopedJoinHandle<'_, _>, _>)| {
                part.map_or_else(&each, |part| part.join().unwrap_or_else(|_| died(count)))
            };
            parts.into_iter().flat_map(end).collect()
        })
    }

    fn one(&self, number: usize, script: &Script) -> Result<(Kit, Code)> {
        let missing = script.asks.without(script.may);
        if !missing.is_empty() {
            return Err(Refusal::NotGranted.of(missing.to_string()));
        }
        if script.budget.work < LEAST_WORK || script.budget.memory == 0 {
            let budget = &script.budget;
            return Err(
                Refusal::Budget.of(format!("work {}, memory {}", budget.work, budget.memory))
            );
        }
        self.arguments(number, script)?;
        let kit = Kit::new(script)?;
        let code = match script.kind {
            Kind::Wasm => self.wasm(number, script)?,
            Kind::Lua => {
                let names = script.fields.iter().map(|id| self.name(*id)).collect();
                let source = Source::new(script, names)?;
                Code::Luau(Vm::new(source, &kit, self.clock.clone())?)
            }
        };
        Ok((kit, code))
    }

    fn wasm(&self, number: usize, script: &Script) -> Result<Code> {
        let sandbox = match &self.sandbox {
            Some(Ok(sandbox)) => sandbox,
            Some(Err(denied)) => return Err(denied.clone()),
            None => return Err(Refusal::Backend.of("no back end")),
        };
        let compiled = sandbox.compile(script, |function| self.given(number, function))?;
        let instance = Instance::new(compiled, script.budget.work, script.budget.memory)?;
        Ok(Code::Wasm(instance))
    }

    /// Numbers of arguments that rules give a function.
    fn given(&self, script: usize, function: usize) -> impl Iterator<Item = usize> {
        let number = |one| u32::try_from(one).unwrap_or(u32::MAX);
        let all = self.given.get(&(number(script), number(function)));
        all.into_iter().flatten().copied()
    }

    /// Whether functions can be given so many arguments.
    fn arguments(&self, number: usize, script: &Script) -> Result<()> {
        for (function, name) in script.functions.iter().enumerate() {
            let most = limits::MAX_ARGUMENTS;
            if let Some(given) = self.given(number, function).find(|given| *given > most) {
                return Err(Refusal::Arguments.of(format!("`{name}`: {given} of at most {most}")));
            }
        }
        Ok(())
    }

    /// The name of a field, as rules write it.
    fn name(&self, id: FieldId) -> String {
        if let Some(known) = field::field(id) {
            return known.name.to_owned();
        }
        let index = usize::from(id.0).checked_sub(field::FIELDS.len());
        let name = index.and_then(|index| self.program.fields.get(index));
        name.cloned().unwrap_or_default()
    }
}
