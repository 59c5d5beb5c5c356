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
    /// An object of a document that is no list of fields: it lies within a list, or a rule names it
    /// as a whole. It is present, and equal to nothing; [`Value::at`] reads its members.
    Map(&'a [(Box<str>, Node)]),
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
    /// Values of a document, of any depth.
    Nodes(&'a [Node]),
}

/// A nested value of a document that owns itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// null
    Null,
    /// true or false
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number that is no integer of 64 bits.
    Float(f64),
    /// Text.
    Str(Box<[u8]>),
    /// An array.
    List(Vec<Node>),
    /// An object, members in the order of the document.
    Map(Vec<(Box<str>, Node)>),
}

impl Node {
    /// The same, borrowed.
    pub fn value(&self) -> Value<'_> {
        match self {
            Node::Null => Value::Null,
            Node::Bool(flag) => Value::Bool(*flag),
            Node::Int(number) => Value::Int(*number),
            Node::Float(number) => Value::Float(*number),
            Node::Str(text) => Value::Str(text),
            Node::List(items) => Value::List(List::Nodes(items)),
            Node::Map(members) => Value::Map(members),
        }
    }
}

impl From<Value<'_>> for Node {
    /// A copy that lends nothing. A document has no addresses: they are texts there.
    fn from(value: Value<'_>) -> Node {
        match value {
            Value::Null => Node::Null,
            Value::Bool(flag) => Node::Bool(flag),
            Value::Int(number) => Node::Int(number),
            Value::Float(number) => Node::Float(number),
            Value::Str(text) => Node::Str(text.into()),
            Value::Ip(address) => Node::Str(address.to_string().into_bytes().into()),
            Value::Map(members) => Node::Map(members.to_vec()),
            Value::List(_) => Node::List(value.each().map(Node::from).collect()),
        }
    }
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

    /// The member of an object, or the value of a name within any other value: none.
    #[must_use]
    pub fn at(self, name: &str) -> Value<'a> {
        let Value::Map(members) = self else { return Value::Null };
        let member = members.iter().find(|(known, _)| **known == *name);
        member.map_or(Value::Null, |(_, node)| node.value())
    }

    /// The element of a list by position.
    #[must_use]
    pub fn nth(self, index: usize) -> Value<'a> {
        match self {
            Value::List(list) => Value::List(list).each().nth(index).unwrap_or(Value::Null),
            _ => Value::Null,
        }
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
            List::Nodes(nodes) => nodes.len(),
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
            Value::List(List::Nodes(nodes)) => {
                let (first, tail) = nodes.split_first()?;
                self.rest = Value::List(List::Nodes(tail));
                Some(first.value())
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

    /// Whether the event may have a field that is not in the table: only documents have such.
    fn extra(&self) -> bool {
        true
    }
}
