//! One module in place: its memory, its handles, and how a rule's question reaches its function.

use model::field::FieldId;
use model::value::{List, Value};
use wasmtime::{InstancePre, Memory, ResourceLimiter, Store, Trap, TypedFunc};

use super::Compiled;
use crate::call::Call;
use crate::cause::{Cause, Stop};
use crate::limits::{self, DEADLINE_TICKS};
use crate::refuse::{Denied, Refusal};

/// Bits of a handle that say which value of the call it is.
const INDEX_BITS: u32 = 13;
/// Numbers of calls come round after so many: 18 bits, so that no handle is negative.
const SERIALS: u32 = 1 << 18;

const _: () = assert!(limits::MAX_HANDLES + limits::MAX_ARGUMENTS < 1 << INDEX_BITS);

/// A value that the module holds beyond the arguments.
#[derive(Debug, Clone, Copy)]
enum Held {
    Field(FieldId),
    /// An element of the value with this index, and where it begins in a block of texts.
    Element {
        parent: usize,
        nth: usize,
        offset: usize,
    },
}

/// What belongs to one module while it runs.
pub(super) struct Guest {
    memory: Option<Memory>,
    most_memory: usize,
    /// Number of the call, which is part of each handle.
    serial: u32,
    arguments: usize,
    held: Vec<Held>,
    /// Where the element after the last one that was asked for begins: parent, number, offset.
    cursor: (usize, usize, usize),
}

impl Guest {
    /// The module's memory; it has one, or would not be in place.
    pub(super) fn memory(&self) -> Result<Memory, Stop> {
        self.memory.ok_or_else(|| Stop::new(Cause::Pointer, "there is no memory yet"))
    }

    fn handle(&self, index: usize) -> i32 {
        let index = u32::try_from(index).unwrap_or_default();
        i32::try_from(self.serial << INDEX_BITS | index).unwrap_or_default()
    }

    /// Which value of this call a handle means.
    fn index(&self, handle: i32) -> Result<usize, Stop> {
        let forged = || Stop::new(Cause::Handle, format!("{handle} is no handle of this call"));
        let number = u32::try_from(handle).map_err(|_| forged())?;
        let index = (number & ((1 << INDEX_BITS) - 1)) as usize;
        if number >> INDEX_BITS != self.serial || index >= self.arguments + self.held.len() {
            return Err(forged());
        }
        Ok(index)
    }

    fn hold(&mut self, one: Held) -> Result<i32, Stop> {
        if self.held.len() >= limits::MAX_HANDLES {
            let most = limits::MAX_HANDLES;
            return Err(Stop::new(Cause::Handle, format!("more than {most} values in one call")));
        }
        self.held.push(one);
        Ok(self.handle(self.arguments + self.held.len() - 1))
    }

    /// A handle of a declared field.
    pub(super) fn field(&mut self, call: &Call<'_>, index: i32) -> Result<i32, Stop> {
        let field = usize::try_from(index).ok().and_then(|index| call.kit.fields.get(index));
        let Some(field) = field else {
            return Err(Stop::new(Cause::Handle, format!("no field {index} is declared")));
        };
        self.hold(Held::Field(*field))
    }

    /// The value of a handle.
    pub(super) fn value<'a>(&self, call: &Call<'a>, handle: i32) -> Result<Value<'a>, Stop> {
        Ok(self.at(call, self.index(handle)?))
    }

    fn at<'a>(&self, call: &Call<'a>, index: usize) -> Value<'a> {
        if index < self.arguments {
            return call.ask.args.get(index).copied().unwrap_or(Value::Null);
        }
        match self.held.get(index - self.arguments) {
            Some(Held::Field(field)) => call.ask.event.get(*field),
            // Elements come after what they are elements of, so this ends.
            Some(Held::Element { parent, nth, offset }) => match self.at(call, *parent) {
                Value::List(List::Nul(bytes)) => {
                    Value::List(List::Nul(bytes.get(*offset..).unwrap_or_default()))
                        .each()
                        .next()
                        .unwrap_or(Value::Null)
                }
                Value::List(List::Words(words)) => {
                    words.get(*nth).map_or(Value::Null, |word| Value::str(word))
                }
                Value::List(List::Values(values)) => {
                    values.get(*nth).copied().unwrap_or(Value::Null)
                }
                Value::List(List::Nodes(nodes)) => {
                    nodes.get(*nth).map_or(Value::Null, model::value::Node::value)
                }
                _ => Value::Null,
            },
            None => Value::Null,
        }
    }

    /// A handle of an element, -1 if there is none; and how many bytes were looked at.
    pub(super) fn element(
        &mut self,
        call: &Call<'_>,
        handle: i32,
        nth: i32,
    ) -> Result<(i32, usize), Stop> {
        let parent = self.index(handle)?;
        let Ok(nth) = usize::try_from(nth) else { return Ok((-1, 0)) };
        let (there, offset, looked) = match self.at(call, parent) {
            Value::Null => return Ok((-1, 0)),
            Value::List(List::Nul(bytes)) => self.seek(bytes, parent, nth),
            Value::List(list) => (nth < list.len(), 0, 0),
            _ => return Ok((if nth == 0 { handle } else { -1 }, 0)),
        };
        if !there {
            return Ok((-1, looked));
        }
        Ok((self.hold(Held::Element { parent, nth, offset })?, looked))
    }

    /// Where an element of a block of texts begins. Going through one in order looks at each byte once.
    fn seek(&mut self, bytes: &[u8], parent: usize, nth: usize) -> (bool, usize, usize) {
        let (mut at, mut offset) = match self.cursor {
            (known, next, offset) if known == parent && next <= nth => (next, offset),
            _ => (0, 0),
        };
        let from = offset;
        while at < nth && offset < bytes.len() {
            let rest = bytes.get(offset..).unwrap_or_default();
            offset += rest.iter().position(|byte| *byte == 0).map_or(rest.len(), |end| end + 1);
            at += 1;
        }
        self.cursor = (parent, at, offset);
        (at == nth && offset < bytes.len(), offset, offset - from)
    }
}

impl ResourceLimiter for Guest {
    /// A refusal ends the call: a module that goes on with less has still asked for too much.
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.most_memory {
            let detail = format!("{desired} bytes of at most {}", self.most_memory);
            return Err(Stop::new(Cause::Memory, detail).into());
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let most = limits::MAX_TABLE_ENTRIES;
        if desired as u64 > most {
            let detail = format!("a table of {desired} entries of at most {most}");
            return Err(Stop::new(Cause::Memory, detail).into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        limits::MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        1
    }
}

type Handle = i32;

/// A function by how many arguments it takes.
#[rustfmt::skip]
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
        let guest = self.store.data_mut();
        guest.serial = if guest.serial + 1 == SERIALS { 1 } else { guest.serial + 1 };
        guest.arguments = arguments;
        guest.held.clear();
        guest.cursor = (usize::MAX, 0, 0);
        let first = guest.handle(0);
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
    let guest = Guest {
        memory: None,
        most_memory: memory,
        serial: 0,
        arguments: 0,
        held: Vec::new(),
        cursor: (usize::MAX, 0, 0),
    };
    let mut store = Store::new(pre.module().engine(), guest);
    store.limiter(|guest| guest);
    store.set_fuel(work)?;
    store.set_epoch_deadline(DEADLINE_TICKS);
    let instance = pre.instantiate(&mut store)?;
    store.data_mut().memory = instance.get_memory(&mut store, "memory");
    let mut functions = Vec::new();
    for (name, arity) in names {
        functions.push(Function::find(&instance, &mut store, name, *arity)?);
    }
    Ok((store, functions))
}
