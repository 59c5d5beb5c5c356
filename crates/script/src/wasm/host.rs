//! The functions of the host as modules see them: checked handles and pointers, work counted.

use model::value::{List, Node, Value};
use wasmtime::{Caller, Engine, Linker, Result};

use super::guest::Guest;
use crate::abi::MODULE;
use crate::call::{self, Call};
use crate::cause::{Cause, Stop};
use crate::desk;
use crate::kit::{Expression, Glob, Pattern, any_text, with_text};
use crate::state::Put;

/// Work of any function of the host: it takes about as long as so many instructions.
const CALL: u64 = 8;
/// Bytes that are copied or looked at for one unit of work.
const BYTES: usize = 16;

type Host<'a> = Caller<'a, Guest>;

/// All functions of [`crate::abi::IMPORTS`].
pub(super) fn linker(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    values(&mut linker)?;
    pattern::<Expression>(&mut linker, "regex", "regex_text")?;
    pattern::<Glob>(&mut linker, "glob", "glob_text")?;
    state(&mut linker)?;
    said(&mut linker)?;
    Ok(linker)
}

/// Takes fuel for what the host does. What is not there ends the call.
fn charge(host: &mut Host<'_>, units: u64) -> Result<()> {
    if units == 0 {
        return Ok(());
    }
    let left = host.get_fuel()?;
    if let Some(left) = left.checked_sub(units) {
        return host.set_fuel(left);
    }
    host.set_fuel(0)?;
    Err(Stop::new(Cause::Budget, "the work of the call is used up").into())
}

/// Work for so many bytes.
fn bytes(count: usize) -> u64 {
    (count / BYTES) as u64
}

/// Length of something as modules see it.
fn length(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Bytes of a module's memory.
fn slice(memory: &[u8], ptr: i32, len: i32) -> Result<&[u8], Stop> {
    let found = range(ptr, len).and_then(|range| memory.get(range));
    found.ok_or_else(|| beyond(ptr, len))
}

fn slice_mut(memory: &mut [u8], ptr: i32, len: i32) -> Result<&mut [u8], Stop> {
    let found = range(ptr, len).and_then(|range| memory.get_mut(range));
    found.ok_or_else(|| beyond(ptr, len))
}

/// Copies as much as there is room for, and tells how much.
fn fill(room: &mut [u8], from: &[u8]) -> usize {
    let copied = from.len().min(room.len());
    if let (Some(to), Some(from)) = (room.get_mut(..copied), from.get(..copied)) {
        to.copy_from_slice(from);
    }
    copied
}

#[expect(
    clippy::cast_sign_loss,
    reason = "pointers and lengths are unsigned, Wasm has one type for both"
)]
fn range(ptr: i32, len: i32) -> Option<std::ops::Range<usize>> {
    let start = ptr as u32 as usize;
    Some(start..start.checked_add(len as u32 as usize)?)
}

fn beyond(ptr: i32, len: i32) -> Stop {
    Stop::new(Cause::Pointer, format!("{} bytes at {}", len.cast_unsigned(), ptr.cast_unsigned()))
}

/// Serves a function that only looks at the values of the call.
fn look<R>(
    host: &mut Host<'_>,
    serve: impl FnOnce(&Call<'_>, &mut Guest) -> Result<R, Stop>,
) -> Result<R> {
    charge(host, CALL)?;
    Ok(call::now(|call| serve(call, host.data_mut()))?)
}

/// Serves one that needs the module's memory.
fn with_memory<R>(
    host: &mut Host<'_>,
    serve: impl FnOnce(&Call<'_>, &mut [u8], &mut Guest) -> Result<R, Stop>,
) -> Result<R> {
    charge(host, CALL)?;
    let memory = host.data().memory()?;
    let (memory, guest) = memory.data_and_store_mut(&mut *host);
    Ok(call::now(|call| serve(call, memory, guest))?)
}

fn values(linker: &mut Linker<Guest>) -> Result<()> {
    linker.func_wrap(MODULE, "field", |mut host: Host<'_>, index: i32| -> Result<i32> {
        look(&mut host, |call, guest| guest.field(call, index))
    })?;
    linker.func_wrap(MODULE, "value_type", |mut host: Host<'_>, value: i32| -> Result<i32> {
        look(&mut host, |call, guest| guest.value(call, value).map(kind))
    })?;
    linker.func_wrap(MODULE, "value_i64", |mut host: Host<'_>, value: i32| -> Result<i64> {
        look(&mut host, |call, guest| {
            Ok(match guest.value(call, value)? {
                Value::Int(number) => number,
                Value::Bool(flag) => i64::from(flag),
                _ => 0,
            })
        })
    })?;
    linker.func_wrap(MODULE, "value_f64", |mut host: Host<'_>, value: i32| -> Result<f64> {
        look(&mut host, |call, guest| {
            #[expect(clippy::cast_precision_loss, reason = "what a double of an integer is")]
            Ok(match guest.value(call, value)? {
                Value::Int(number) => number as f64,
                // One bit pattern for what is no number, whichever document it came from.
                Value::Float(number) if number.is_nan() => f64::NAN,
                Value::Float(number) => number,
                _ => 0.0,
            })
        })
    })?;
    linker.func_wrap(MODULE, "value_len", |mut host: Host<'_>, value: i32| -> Result<i32> {
        look(&mut host, |call, guest| {
            Ok(with_text(guest.value(call, value)?, |text| length(text.len())))
        })
    })?;
    linker.func_wrap(MODULE, "value_copy", copy)?;
    linker.func_wrap(MODULE, "value_count", |mut host: Host<'_>, value: i32| -> Result<i32> {
        let (count, looked) = look(&mut host, |call, guest| {
            Ok(match guest.value(call, value)? {
                Value::Null => (0, 0),
                Value::List(list @ List::Nul(all)) => (length(list.len()), all.len()),
                Value::List(list) => (length(list.len()), 0),
                _ => (1, 0),
            })
        })?;
        charge(&mut host, bytes(looked))?;
        Ok(count)
    })?;
    linker.func_wrap(
        MODULE,
        "value_at",
        |mut host: Host<'_>, value: i32, nth: i32| -> Result<i32> {
            let (handle, looked) = look(&mut host, |call, guest| guest.element(call, value, nth))?;
            charge(&mut host, bytes(looked))?;
            Ok(handle)
        },
    )?;
    linker.func_wrap(MODULE, "event_time", |mut host: Host<'_>| -> Result<i64> {
        look(&mut host, |call, _| Ok(call.ask.time))
    })?;
    Ok(())
}

fn copy(mut host: Host<'_>, value: i32, offset: i32, ptr: i32, cap: i32) -> Result<i32> {
    let copied = with_memory(&mut host, |call, memory, guest| {
        let value = guest.value(call, value)?;
        let room = slice_mut(memory, ptr, cap)?;
        Ok(with_text(value, |text| {
            let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..));
            fill(room, rest.unwrap_or_default())
        }))
    })?;
    charge(&mut host, bytes(copied))?;
    Ok(length(copied))
}

fn kind(value: Value<'_>) -> i32 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) => 2,
        Value::Float(_) => 3,
        Value::Str(_) => 4,
        Value::Ip(_) => 5,
        Value::List(_) => 6,
        Value::Map(_) => 7,
    }
}

/// The two functions of a kind of patterns: one for values, one for bytes of the module.
fn pattern<P: Pattern>(linker: &mut Linker<Guest>, on_value: &str, on_text: &str) -> Result<()> {
    linker.func_wrap(
        MODULE,
        on_value,
        |mut host: Host<'_>, pattern: i32, value: i32| -> Result<i32> {
            let (found, units) = look(&mut host, |call, guest| {
                let pattern = P::numbered(call.kit, pattern.into())?;
                let test = |text: &[u8]| pattern.matches(text);
                let (found, looked) = any_text(guest.value(call, value)?, test);
                Ok((found, looked as u64 * pattern.cost()))
            })?;
            charge(&mut host, units)?;
            Ok(i32::from(found))
        },
    )?;
    linker.func_wrap(
        MODULE,
        on_text,
        |mut host: Host<'_>, pattern: i32, ptr: i32, len: i32| -> Result<i32> {
            let (found, units) = with_memory(&mut host, |call, memory, _| {
                let pattern = P::numbered(call.kit, pattern.into())?;
                let text = slice(memory, ptr, len)?;
                Ok((pattern.matches(text), text.len() as u64 * pattern.cost()))
            })?;
            charge(&mut host, units)?;
            Ok(i32::from(found))
        },
    )?;
    Ok(())
}

fn state(linker: &mut Linker<Guest>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "state_get",
        |mut host: Host<'_>, key: i32, key_len: i32, ptr: i32, cap: i32| -> Result<i32> {
            let found = with_memory(&mut host, |call, memory, _| {
                let desk = call.desk.borrow();
                let now = call.ask.time;
                let Some(value) = desk.state.get(slice(memory, key, key_len)?, now) else {
                    return Ok(None);
                };
                let room = slice_mut(memory, ptr, cap)?;
                fill(room, value);
                Ok(Some(value.len()))
            })?;
            charge(&mut host, bytes(found.unwrap_or(0)) + CALL)?;
            Ok(found.map_or(-1, length))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "state_put",
        |mut host: Host<'_>,
         key: i32,
         key_len: i32,
         ptr: i32,
         len: i32,
         ttl_ms: i64|
         -> Result<i32> {
            let put = with_memory(&mut host, |_, memory, _| {
                let (key, value) = (slice(memory, key, key_len)?, slice(memory, ptr, len)?);
                call::desk(|call, desk| desk.put(call, key, value, ttl_ms))
            })?;
            // An entry is found a place in two trees, and others may have to go.
            charge(&mut host, 16 * CALL)?;
            Ok(i32::from(put != Put::TooLarge))
        },
    )?;
    Ok(())
}

/// Adds a field to the alert text begun last.
fn add(host: &mut Host<'_>, name: i32, name_len: i32, value: Node) -> Result<i32> {
    let added = with_memory(host, |_, memory, _| {
        let name = slice(memory, name, name_len)?;
        call::desk(|call, desk| desk.add(call, name, value))
    })?;
    charge(host, 4 * CALL)?;
    Ok(i32::from(added))
}

fn said(linker: &mut Linker<Guest>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "emit",
        |mut host: Host<'_>, severity: i32, ptr: i32, len: i32| -> Result<i32> {
            with_memory(&mut host, |_, memory, _| {
                let severity = desk::severity(severity)?;
                let text = slice(memory, ptr, len)?;
                call::desk(|call, desk| desk.emit(call, severity, text))
            })?;
            charge(&mut host, 16 * CALL)?;
            Ok(1)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "emit_text",
        |mut host: Host<'_>, name: i32, name_len: i32, ptr: i32, len: i32| -> Result<i32> {
            let text = with_memory(&mut host, |_, memory, _| {
                let text = slice(memory, ptr, len)?;
                let cut = text.get(..crate::limits::MAX_MESSAGE_BYTES).unwrap_or(text);
                Ok(Node::Str(cut.into()))
            })?;
            add(&mut host, name, name_len, text)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "emit_i64",
        |mut host: Host<'_>, name: i32, name_len: i32, number: i64| -> Result<i32> {
            add(&mut host, name, name_len, Node::Int(number))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "emit_f64",
        |mut host: Host<'_>, name: i32, name_len: i32, number: f64| -> Result<i32> {
            add(&mut host, name, name_len, Node::Float(number))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "emit_bool",
        |mut host: Host<'_>, name: i32, name_len: i32, flag: i32| -> Result<i32> {
            add(&mut host, name, name_len, Node::Bool(flag != 0))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "request",
        |mut host: Host<'_>, ptr: i32, len: i32| -> Result<i32> {
            let granted = with_memory(&mut host, |_, memory, _| {
                let action = slice(memory, ptr, len)?;
                call::desk(|call, desk| desk.request(call, action))
            })?;
            charge(&mut host, 16 * CALL)?;
            Ok(i32::from(granted))
        },
    )?;
    Ok(())
}
