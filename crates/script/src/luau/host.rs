//! The functions of the host as Luau scripts see them.

use std::sync::Arc;

use mlua::{Error, Function, Lua, LuaString, Result, Table, Value as Seen};
use model::capability::Capability;
use model::program::Severity;
use model::value::{Node, Value};

use super::meter::Meter;
use super::value;
use crate::call::{self, Call};
use crate::cause::{Cause, Stop};
use crate::desk::{Desk, MILLISECOND};
use crate::kit::{Expression, Glob, Kit, Pattern, any_text};
use crate::limits;

/// Bytes that are looked at for one unit of work: an interrupt of Luau stands for some hundred
/// instructions of the processor.
const BYTES: usize = 256;

/// Ends the call for good and tells the script.
fn stopped(meter: &Meter, stop: Stop) -> Error {
    let message = stop.to_string();
    meter.stop(stop);
    Error::RuntimeError(message)
}

/// Serves a function of the host.
fn serve<R>(
    meter: &Meter,
    run: impl FnOnce(&Call<'_>) -> std::result::Result<R, Stop>,
) -> Result<R> {
    call::now(run).map_err(|stop| stopped(meter, stop))
}

fn desk<R>(
    meter: &Meter,
    run: impl FnOnce(&Call<'_>, &mut Desk) -> std::result::Result<R, Stop>,
) -> Result<R> {
    call::desk(run).map_err(|stop| stopped(meter, stop))
}

/// Spends for bytes that the host looks at.
fn spend(meter: &Meter, bytes: usize, cost: u64) -> Result<()> {
    let units = (bytes / BYTES) as u64 * cost;
    if meter.spend(units) { Ok(()) } else { Err(Error::RuntimeError("stopped".into())) }
}

/// The table that the prelude takes the functions from.
pub(super) fn table(lua: &Lua, kit: &Kit, fields: &[String], meter: &Arc<Meter>) -> Result<Table> {
    let host = lua.create_table()?;
    host.set("most", limits::MAX_PATTERN_BYTES)?;
    let own = Arc::clone(meter);
    host.set(
        "misused",
        lua.create_function(move |_, what: String| -> Result<()> {
            Err(stopped(&own, Stop::new(Cause::Argument, what)))
        })?,
    )?;
    let own = Arc::clone(meter);
    host.set(
        "out_of_memory",
        lua.create_function(move |_, ()| -> Result<()> {
            Err(stopped(&own, Stop::new(Cause::Memory, "it caught a refusal of memory")))
        })?,
    )?;
    event(lua, &host, fields, meter)?;
    host.set("glob", patterns::<Glob>(lua, &kit.glob_names, meter)?)?;
    if kit.asks.has(Capability::Regex) {
        host.set("regex", patterns::<Expression>(lua, &kit.regex_names, meter)?)?;
    }
    if kit.asks.has(Capability::State) {
        state(lua, &host, meter)?;
    }
    said(lua, &host, meter)?;
    Ok(host)
}

fn event(lua: &Lua, host: &Table, fields: &[String], meter: &Arc<Meter>) -> Result<()> {
    let (own, names) = (Arc::clone(meter), fields.to_vec());
    host.set(
        "field",
        lua.create_function(move |lua, name: LuaString| {
            let wanted = name.as_bytes();
            serve(&own, |call| {
                let at = names.iter().position(|known| known.as_bytes() == &*wanted);
                let field = at.and_then(|at| call.kit.fields.get(at));
                let Some(field) = field else {
                    let name = String::from_utf8_lossy(&wanted).into_owned();
                    let detail = format!("the field `{name}` is not declared");
                    return Err(Stop::new(Cause::Handle, detail));
                };
                Ok(value::shown(lua, call.ask.event.get(*field)))
            })?
        })?,
    )?;
    let own = Arc::clone(meter);
    host.set(
        "time",
        lua.create_function(move |_, ()| {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds fit for 280,000 years")]
            serve(&own, |call| Ok((call.ask.time / MILLISECOND) as f64))
        })?,
    )
}

/// Whether any text of what a script gives satisfies a test, and how many bytes were looked at.
fn matches(given: &Seen, test: impl Fn(&[u8]) -> bool) -> (bool, usize) {
    match given {
        Seen::String(text) => {
            let text = text.as_bytes();
            (test(&text), text.len())
        }
        Seen::Table(list) => {
            let mut looked = 0;
            for one in list.sequence_values::<LuaString>().take(limits::MAX_SHOWN_VALUES) {
                let Ok(text) = one else { break };
                let text = text.as_bytes();
                looked += text.len() + 1;
                if test(&text) {
                    return (true, looked);
                }
            }
            (false, looked)
        }
        #[expect(clippy::cast_possible_truncation, reason = "a whole number")]
        Seen::Number(number) if number.fract() == 0.0 => any_text(Value::Int(*number as i64), test),
        Seen::Integer(number) => any_text(Value::Int(*number), test),
        _ => (false, 0),
    }
}

/// A function for each pattern: one call less than one function for all.
fn pattern<P: Pattern>(lua: &Lua, number: i64, meter: &Arc<Meter>) -> Result<Function> {
    let own = Arc::clone(meter);
    lua.create_function(move |_, given: Seen| {
        let (found, looked, cost) = serve(&own, |call| {
            let pattern = P::numbered(call.kit, number)?;
            let (found, looked) = matches(&given, |text| pattern.matches(text));
            Ok((found, looked, pattern.cost()))
        })?;
        spend(&own, looked, cost)?;
        Ok(found)
    })
}

/// The functions of all patterns of a kind by their names.
fn patterns<P: Pattern>(lua: &Lua, names: &[String], meter: &Arc<Meter>) -> Result<Table> {
    let all = lua.create_table()?;
    for (number, name) in (0..).zip(names) {
        all.raw_set(name.as_str(), pattern::<P>(lua, number, meter)?)?;
    }
    Ok(all)
}

fn state(lua: &Lua, host: &Table, meter: &Arc<Meter>) -> Result<()> {
    let own = Arc::clone(meter);
    host.set(
        "get",
        lua.create_function(move |lua, key: LuaString| {
            serve(&own, |call| {
                let desk = call.desk.borrow();
                let found = desk.state.get(&key.as_bytes(), call.ask.time);
                Ok(found.map(|value| lua.create_string(value)).transpose())
            })?
        })?,
    )?;
    let own = Arc::clone(meter);
    host.set(
        "put",
        lua.create_function(move |_, (key, value, ttl): (LuaString, LuaString, f64)| {
            #[expect(clippy::cast_possible_truncation, reason = "what is too large is refused")]
            let ttl = ttl as i64;
            desk(&own, |call, desk| {
                let put = desk.put(call, &key.as_bytes(), &value.as_bytes(), ttl)?;
                Ok(put != crate::state::Put::TooLarge)
            })
        })?,
    )
}

fn said(lua: &Lua, host: &Table, meter: &Arc<Meter>) -> Result<()> {
    let own = Arc::clone(meter);
    host.set(
        "emit",
        lua.create_function(
            move |_, (message, severity, fields): (LuaString, Option<LuaString>, Option<Table>)| {
                let severity = named(severity.as_ref()).map_err(|stop| stopped(&own, stop))?;
                desk(&own, |call, desk| desk.emit(call, severity, &message.as_bytes()))?;
                let added = sorted(fields.as_ref()).map_err(|stop| stopped(&own, stop))?;
                for (name, node) in added {
                    desk(&own, |call, desk| desk.add(call, &name, node).map(|_| ()))?;
                }
                Ok(())
            },
        )?,
    )?;
    let own = Arc::clone(meter);
    host.set(
        "request",
        lua.create_function(move |_, action: LuaString| {
            desk(&own, |call, desk| desk.request(call, &action.as_bytes()))
        })?,
    )
}

fn named(word: Option<&LuaString>) -> std::result::Result<Option<Severity>, Stop> {
    let Some(word) = word else { return Ok(None) };
    let word = String::from_utf8_lossy(&word.as_bytes()).into_owned();
    let unknown = || Stop::new(Cause::Argument, format!("no severity `{word}`"));
    Severity::from_name(&word).map(Some).ok_or_else(unknown)
}

/// Fields of an alert text, by name: the order of a table is nobody's promise.
fn sorted(fields: Option<&Table>) -> std::result::Result<Vec<(Vec<u8>, Node)>, Stop> {
    let mut added = Vec::new();
    for pair in fields.into_iter().flat_map(Table::pairs::<LuaString, Seen>) {
        let wrong = || Stop::new(Cause::Argument, "fields are names with booleans, numbers, texts");
        let (name, value) = pair.map_err(|_| wrong())?;
        added.push((name.as_bytes().to_vec(), value::told(&value).ok_or_else(wrong)?));
        if added.len() > limits::MAX_EMIT_FIELDS {
            let most = limits::MAX_EMIT_FIELDS;
            return Err(Stop::new(Cause::Flood, format!("more than {most} fields of one alert")));
        }
    }
    added.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(added)
}
