//! Values of events as Luau sees them: copies, bounded and read-only.

use mlua::{Lua, Result, Value as Seen};
use model::value::{Node, Value};

use crate::limits::{MAX_DEPTH, MAX_SHOWN_BYTES, MAX_SHOWN_VALUES};

/// Integers that a double holds exactly; larger ones are shown as text.
const EXACT: i64 = 1 << 53;

/// A copy of a value in the VM.
pub(super) fn shown(lua: &Lua, value: Value<'_>) -> Result<Seen> {
    let mut room = Room { bytes: MAX_SHOWN_BYTES, values: MAX_SHOWN_VALUES };
    room.copy(lua, value, 0)
}

struct Room {
    bytes: usize,
    values: usize,
}

impl Room {
    fn text(&mut self, lua: &Lua, text: &[u8]) -> Result<Seen> {
        let text = text.get(..self.bytes).unwrap_or(text);
        self.bytes -= text.len();
        lua.create_string(text).map(Seen::String)
    }

    fn copy(&mut self, lua: &Lua, value: Value<'_>, depth: usize) -> Result<Seen> {
        match value {
            Value::Null => Ok(Seen::Nil),
            Value::Bool(flag) => Ok(Seen::Boolean(flag)),
            #[expect(clippy::cast_precision_loss, reason = "exact in this range")]
            Value::Int(number) if (-EXACT..=EXACT).contains(&number) => {
                Ok(Seen::Number(number as f64))
            }
            Value::Int(number) => self.text(lua, number.to_string().as_bytes()),
            Value::Float(number) => Ok(Seen::Number(number)),
            Value::Str(text) => self.text(lua, text),
            Value::Ip(address) => self.text(lua, address.to_string().as_bytes()),
            Value::List(_) | Value::Map(_) if depth >= MAX_DEPTH => Ok(Seen::Nil),
            Value::List(_) => {
                let table = lua.create_table()?;
                for one in value.each() {
                    if self.values == 0 {
                        break;
                    }
                    self.values -= 1;
                    table.raw_push(self.copy(lua, one, depth + 1)?)?;
                }
                table.set_readonly(true);
                Ok(Seen::Table(table))
            }
            Value::Map(members) => {
                let table = lua.create_table()?;
                for (name, node) in members {
                    if self.values == 0 {
                        break;
                    }
                    self.values -= 1;
                    let name = self.text(lua, name.as_bytes())?;
                    table.raw_set(name, self.copy(lua, node.value(), depth + 1)?)?;
                }
                table.set_readonly(true);
                Ok(Seen::Table(table))
            }
        }
    }
}

/// A value that a script gives for a field of its alert.
pub(super) fn told(value: &Seen) -> Option<Node> {
    match value {
        Seen::Boolean(flag) => Some(Node::Bool(*flag)),
        Seen::Integer(number) => Some(Node::Int(*number)),
        #[expect(clippy::cast_possible_truncation, reason = "a whole number in this range")]
        #[expect(clippy::cast_precision_loss, reason = "exact in this range")]
        Seen::Number(number) if number.fract() == 0.0 && number.abs() <= EXACT as f64 => {
            Some(Node::Int(*number as i64))
        }
        Seen::Number(number) => Some(Node::Float(*number)),
        Seen::String(text) => Some(Node::Str(text.as_bytes().to_vec().into())),
        _ => None,
    }
}
