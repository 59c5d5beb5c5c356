//! One module in place, and how a rule's question reaches its function.

use wasmtime::{InstancePre, Store, Trap, TypedFunc};

use super::Compiled;
use super::guest::Guest;
use crate::cause::{Cause, Stop};
use crate::limits::DEADLINE_TICKS;
use crate::refuse::{Denied, Refusal};

type Handle = i32;

/// A function by how many arguments it takes.
#[rustfmt::skip]
#[expect(clippy::type_complexity, reason = "the handles of up to eight arguments")]
enum Function {
    A0(TypedFunc<(), i32>),
    A1(TypedFunc<Handle, i32>),
    A2(TypedFunc<(Handle, Handle), i32>),
    A3(TypedFunc<(Handle, Handle, Handle), i32>),
    A4(TypedFunc<(Handle, Handle, Handle, Handle), i32>),
    A5(TypedFunc<(Handle, Handle, Handle, Handle, Handle), i32>),
    A6(TypedFunc<(Handle, Handle, Handle, Handle, Handle, Handle), i32>),
    A7(TypedFunc<(Handle, Handle, Handle, Handle, Handle, Handle, Handle), i32>),
    A8(TypedFunc<(Handle, Handle, Handle, Handle, Handle, Handle, Handle, Handle), i32>),
}

impl Function {
    fn find(
        instance: &wasmtime::Instance,
        store: &mut Store<Guest>,
        name: &str,
        arity: usize,
    ) -> wasmtime::Result<Function> {
        Ok(match arity {
            0 => Function::A0(instance.get_typed_func(store, name)?),
            1 => Function::A1(instance.get_typed_func(store, name)?),
            2 => Function::A2(instance.get_typed_func(store, name)?),
            3 => Function::A3(instance.get_typed_func(store, name)?),
            4 => Function::A4(instance.get_typed_func(store, name)?),
            5 => Function::A5(instance.get_typed_func(store, name)?),
            6 => Function::A6(instance.get_typed_func(store, name)?),
            7 => Function::A7(instance.get_typed_func(store, name)?),
            _ => Function::A8(instance.get_typed_func(store, name)?),
        })
    }

    fn arity(&self) -> usize {
        match self {
            Function::A0(_) => 0,
            Function::A1(_) => 1,
            Function::A2(_) => 2,
            Function::A3(_) => 3,
            Function::A4(_) => 4,
            Function::A5(_) => 5,
            Function::A6(_) => 6,
            Function::A7(_) => 7,
            Function::A8(_) => 8,
        }
    }

    /// Calls it with the handles of the first values, which follow one another.
    #[inline]
    fn call(&self, store: &mut Store<Guest>, h: i32) -> wasmtime::Result<i32> {
        match self {
            Function::A0(f) => f.call(store, ()),
            Function::A1(f) => f.call(store, h),
            Function::A2(f) => f.call(store, (h, h + 1)),
            Function::A3(f) => f.call(store, (h, h + 1, h + 2)),
            Function::A4(f) => f.call(store, (h, h + 1, h + 2, h + 3)),
            Function::A5(f) => f.call(store, (h, h + 1, h + 2, h + 3, h + 4)),
            Function::A6(f) => f.call(store, (h, h + 1, h + 2, h + 3, h + 4, h + 5)),
            Function::A7(f) => f.call(store, (h, h + 1, h + 2, h + 3, h + 4, h + 5, h + 6)),
            Function::A8(f) => f.call(store, (h, h + 1, h + 2, h + 3, h + 4, h + 5, h + 6, h + 7)),
        }
    }
}

/// A module in place.
pub(crate) struct Instance {
    pre: InstancePre<Guest>,
    names: Vec<(String, usize)>,
    store: Store<Guest>,
    functions: Vec<Function>,
    work: u64,
    memory: usize,
}

impl Instance {
    /// Puts a module in place. No code of it runs.
    pub(crate) fn new(compiled: Compiled, work: u64, memory: usize) -> Result<Instance, Denied> {
        let Compiled { pre, functions: names } = compiled;
        let (store, functions) = place(&pre, &names, work, memory)
            .map_err(|error| Refusal::NotStarted.of(super::chain(&error)))?;
        Ok(Instance { pre, names, store, functions, work, memory })
    }

    /// Begins anew: what a call left behind when it was stopped (a stack pointer, a half of a change)
    /// must not meet the next. False if there is no room.
    pub(crate) fn renew(&mut self) -> bool {
        match place(&self.pre, &self.names, self.work, self.memory) {
            Ok((store, functions)) => {
                self.store = store;
                self.functions = functions;
                true
            }
            Err(_) => false,
        }
    }

    /// Asks a function. The work that it took comes back in any case.
    #[inline]
    pub(crate) fn ask(&mut self, function: u32, arguments: usize) -> (Result<bool, Stop>, u64) {
        let Some(function) = self.functions.get(function as usize) else {
            return (Err(Stop::new(Cause::Nonsense, "there is no such function")), 0);
        };
        if function.arity() != arguments {
            return (Err(wrong_arity(function.arity(), arguments)), 0);
        }
        let first = self.store.data_mut().begin(arguments);
        if self.store.set_fuel(self.work).is_err() {
            return (Err(Stop::new(Cause::Trap, "fuel is off")), 0);
        }
        self.store.set_epoch_deadline(DEADLINE_TICKS);
        let answer = function.call(&mut self.store, first);
        let work = self.work.saturating_sub(self.store.get_fuel().unwrap_or(0));
        match answer {
            Ok(0) => (Ok(false), work),
            Ok(1) => (Ok(true), work),
            Ok(other) => (Err(Stop::new(Cause::Nonsense, format!("it answered {other}"))), work),
            Err(error) => (Err(stop(&error)), work),
        }
    }
}

#[cold]
fn wrong_arity(takes: usize, given: usize) -> Stop {
    Stop::new(Cause::Nonsense, format!("it takes {takes} arguments and was given {given}"))
}

/// What ended a call.
#[cold]
fn stop(error: &wasmtime::Error) -> Stop {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stop.clone();
    }
    let cause = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Cause::Budget,
        Some(Trap::Interrupt) => Cause::Deadline,
        Some(Trap::StackOverflow) => Cause::Stack,
        _ => Cause::Trap,
    };
    Stop::new(cause, super::chain(error))
}

fn place(
    pre: &InstancePre<Guest>,
    names: &[(String, usize)],
    work: u64,
    memory: usize,
) -> wasmtime::Result<(Store<Guest>, Vec<Function>)> {
    let mut store = Store::new(pre.module().engine(), Guest::new(memory));
    store.limiter(|guest| guest);
    store.set_fuel(work)?;
    store.set_epoch_deadline(DEADLINE_TICKS);
    let instance = pre.instantiate(&mut store)?;
    let memory = instance.get_memory(&mut store, "memory");
    store.data_mut().set_memory(memory);
    let mut functions = Vec::new();
    for (name, arity) in names {
        functions.push(Function::find(&instance, &mut store, name, *arity)?);
    }
    Ok((store, functions))
}
