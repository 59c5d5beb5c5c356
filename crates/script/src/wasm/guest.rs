//! What belongs to one module while it runs: its memory, and the handles that it was given.

use model::field::FieldId;
use model::value::{List, Value};
use wasmtime::{Memory, ResourceLimiter};

use crate::call::Call;
use crate::cause::{Cause, Stop};
use crate::limits;

/// Bits of a handle that say which value of the call it is.
const INDEX_BITS: u32 = 13;
/// Numbers of calls come round after so many: 18 bits, so that no handle is negative.
const SERIALS: u32 = 1 << 18;

/// No element was asked for yet.
const NOWHERE: (usize, usize, usize) = (usize::MAX, 0, 0);

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
    /// Of a module that is not in place yet.
    pub(super) fn new(most_memory: usize) -> Guest {
        Guest {
            memory: None,
            most_memory,
            serial: 0,
            arguments: 0,
            held: Vec::new(),
            cursor: NOWHERE,
        }
    }

    /// The module is in place.
    pub(super) fn set_memory(&mut self, memory: Option<Memory>) {
        self.memory = memory;
    }

    /// A call begins: handles of those before are good no more. The handle of its first argument; the
    /// others follow it.
    #[inline]
    pub(super) fn begin(&mut self, arguments: usize) -> i32 {
        self.serial = if self.serial + 1 == SERIALS { 1 } else { self.serial + 1 };
        self.arguments = arguments;
        self.held.clear();
        self.cursor = NOWHERE;
        self.handle(0)
    }

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
