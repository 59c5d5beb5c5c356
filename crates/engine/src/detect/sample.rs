//! For tests: an event.

use std::net::IpAddr;

use model::field::{self, FIELDS, FieldId};
use model::value::{Fields, List, Node, Value};

use super::Event;

/// A second of event time.
pub(super) const S: i64 = 1_000_000_000;

/// Names of fields that only documents have, in the order of their numbers.
pub(super) const DOCUMENT: [&str; 4] = ["float", "list", "count", "percent"];
pub(super) const FLOAT: FieldId = document(0);
pub(super) const LIST: FieldId = document(1);

#[expect(clippy::cast_possible_truncation, reason = "the table has some hundred fields")]
pub(super) const fn document(at: usize) -> FieldId {
    FieldId((FIELDS.len() + at) as u16)
}

/// An event of a process, with some fields of each type.
#[derive(Debug, Clone, Default)]
pub(super) struct Ev {
    pub(super) number: u64,
    pub(super) time: i64,
    pub(super) categories: &'static [&'static str],
    pub(super) action: String,
    /// Ids of the process: several are a list.
    pub(super) keys: Vec<Value<'static>>,
    pub(super) parent: Option<i64>,
    pub(super) name: Option<&'static [u8]>,
    pub(super) args: Vec<u8>,
    pub(super) address: Option<IpAddr>,
    pub(super) float: Option<f64>,
    pub(super) list: Vec<Node>,
}

impl Fields for Ev {
    fn get(&self, field: FieldId) -> Value<'_> {
        match field {
            field::EVENT_CATEGORY => Value::List(List::Words(self.categories)),
            field::EVENT_ACTION => Value::str(&self.action),
            field::PROCESS_PID => match self.keys.as_slice() {
                [] => Value::Null,
                [one] => *one,
                all => Value::List(List::Values(all)),
            },
            field::PROCESS_PARENT_PID => self.parent.map_or(Value::Null, Value::Int),
            field::PROCESS_NAME => self.name.map_or(Value::Null, Value::Str),
            field::PROCESS_ARGS => Value::List(List::Nul(&self.args)),
            field::SOURCE_IP => self.address.map_or(Value::Null, Value::Ip),
            FLOAT => self.float.map_or(Value::Null, Value::Float),
            LIST if self.list.is_empty() => Value::Null,
            LIST => Value::List(List::Nodes(&self.list)),
            _ => Value::Null,
        }
    }
}

impl Event for Ev {
    fn number(&self) -> u64 {
        self.number
    }

    fn time(&self) -> i64 {
        self.time
    }

    fn identity(&self) -> u64 {
        self.number + 1000
    }
}
