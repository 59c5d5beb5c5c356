//! Values of fields, borrowed from wherever the event lives.
//!
//! Strings are bytes: Linux paths and arguments need not be UTF-8, and nothing is lost on the way
//! to a rule. An event of any origin (a live record, a recorded one, a JSON document) is read
//! through [`Fields`], so the engine knows only one kind of event.

use std::net::IpAddr;

use crate::field::FieldId;

/// What a field holds in one event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Absent: the host does not know, or the field does not apply.
    Null,
    /// true or false
    Bool(bool),
    /// Integers, times (ns since the Unix epoch) and numeric ids.
    Int(i64),
    /// Only from documents; no sensor fills a float.
    Float(f64),
    /// Text or path as bytes, not necessarily UTF-8.
    Str(&'a [u8]),
    /// An address.
    Ip(IpAddr),
    /// Several values; any of them can satisfy a predicate.
    List(List<'a>),
}

/// Several values of one field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum List<'a> {
    /// Strings that each end in NUL, as the kernel keeps argv and the environment.
    Nul(&'a [u8]),
    /// Static words, such as `event.type`.
    Words(&'a [&'static str]),
    /// Values of a document; never nested lists.
    Values(&'a [Value<'a>]),
}

impl<'a> Value<'a> {
    /// Whether the field is absent.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// `Str` of a Rust string.
    pub fn str(text: &'a str) -> Self {
        Value::Str(text.as_bytes())
    }

    /// The values to test one by one: the elements of a list, or the value itself; `Null` has none.
    pub fn each(self) -> Each<'a> {
        Each { rest: self }
    }
}

impl List<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            List::Nul(bytes) => memchr::memchr_iter(0, bytes).count(),
            List::Words(words) => words.len(),
            List::Values(values) => values.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Iterator of [`Value::each`].
#[derive(Debug, Clone)]
pub struct Each<'a> {
    rest: Value<'a>,
}

impl<'a> Iterator for Each<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        match self.rest {
            Value::Null => None,
            Value::List(List::Nul(bytes)) => {
                if bytes.is_empty() {
                    return None;
                }
                // A cut argument block may lack its last NUL.
                let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
                let (item, tail) = bytes.split_at(end);
                self.rest = Value::List(List::Nul(tail.get(1..).unwrap_or_default()));
                Some(Value::Str(item))
            }
            Value::List(List::Words(words)) => {
                let (first, tail) = words.split_first()?;
                self.rest = Value::List(List::Words(tail));
                Some(Value::str(first))
            }
            Value::List(List::Values(values)) => {
                let (first, tail) = values.split_first()?;
                self.rest = Value::List(List::Values(tail));
                Some(*first)
            }
            one => {
                self.rest = Value::Null;
                Some(one)
            }
        }
    }
}

/// An event, read field by field. Reading is cheap and has no effect.
pub trait Fields {
    /// The value of a field of the table in [`crate::field`].
    fn get(&self, field: FieldId) -> Value<'_>;
}
