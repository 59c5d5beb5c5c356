//! What a document holds, field by field, in few bytes.

use std::net::IpAddr;
use std::sync::Arc;

use model::value::{List, Node, Value};

/// Bytes of a text from one place to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// The value of one field.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Slot {
    /// It has none.
    #[default]
    Absent,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Text as it stands in the document.
    Text(Span),
    /// Text of [`Slots::own`].
    Own(Span),
    /// Texts that each end in NUL, in [`Slots::own`].
    Texts(Span),
    /// A value of [`Slots::kept`].
    Kept(u32),
}

/// A value that is not small, and rare.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    Ip(IpAddr),
    Many(Vec<Value<'static>>),
    Node(Node),
}

/// The values of all fields that are read.
#[derive(Debug, Default)]
pub(super) struct Slots {
    all: Vec<Slot>,
    /// A bit for each field that has a value; what stands in `all` for others is of no meaning, so
    /// that nobody has to clear it.
    held: Vec<u64>,
    /// What was unescaped or joined from the document.
    pub(super) own: Vec<u8>,
    /// Shared with the memory of objects that come again.
    pub(super) kept: Vec<Arc<Kept>>,
}

impl Span {
    /// Documents are far below the 4 GiB that this can name.
    pub(super) fn new(range: std::ops::Range<usize>) -> Span {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { start: narrow(range.start), end: narrow(range.end) }
    }

    #[inline]
    pub(super) fn of(self, text: &[u8]) -> &[u8] {
        let wide = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        text.get(wide(self.start)..wide(self.end)).unwrap_or_default()
    }

    fn moved(self, by: u32) -> Span {
        Span { start: self.start.wrapping_add(by), end: self.end.wrapping_add(by) }
    }
}

impl Slot {
    /// The same where the document, the own text and the kept values stand so much further on; a
    /// step back is one around the end of the numbers.
    #[inline]
    pub(super) fn moved(self, document: u32, own: u32, kept: u32) -> Slot {
        match self {
            Slot::Text(span) => Slot::Text(span.moved(document)),
            Slot::Own(span) => Slot::Own(span.moved(own)),
            Slot::Texts(span) => Slot::Texts(span.moved(own)),
            Slot::Kept(number) => Slot::Kept(number.wrapping_add(kept)),
            other => other,
        }
    }
}

impl Slots {
    /// Forgets everything; there will be so many fields.
    pub(super) fn clear(&mut self, width: usize) {
        self.all.resize(width, Slot::Absent);
        self.held.clear();
        self.held.resize(width.div_ceil(64), 0);
        self.own.clear();
        self.kept.clear();
    }

    /// Keeps a value that has no room in a slot.
    pub(super) fn keep(&mut self, value: Kept) -> Slot {
        self.kept.push(Arc::new(value));
        Slot::Kept(u32::try_from(self.kept.len() - 1).unwrap_or(u32::MAX))
    }

    /// Keeps any value that lends nothing.
    pub(super) fn plain(&mut self, value: Value<'static>) -> Slot {
        match value {
            Value::Null => Slot::Absent,
            Value::Bool(flag) => Slot::Bool(flag),
            Value::Int(number) => Slot::Int(number),
            Value::Float(number) => Slot::Float(number),
            Value::Ip(address) => self.keep(Kept::Ip(address)),
            other => self.keep(Kept::Many(vec![other])),
        }
    }

    /// Whether there is a value at any place from this one on.
    #[inline]
    pub(super) fn any_from(&self, place: usize) -> bool {
        let words = self.held.get(place / 64..).unwrap_or_default();
        let first = words.first().is_some_and(|word| word >> (place % 64) != 0);
        first || words.iter().skip(1).any(|word| *word != 0)
    }

    /// The value at a place.
    #[inline]
    pub(super) fn get<'s>(&'s self, place: u16, document: &'s [u8]) -> Value<'s> {
        self.shown(self.slot(place), document)
    }

    /// What a field holds.
    #[inline]
    pub(super) fn slot(&self, place: u16) -> Slot {
        let place = usize::from(place);
        match self.held.get(place / 64) {
            Some(word) if word >> (place % 64) & 1 == 1 => {
                self.all.get(place).copied().unwrap_or_default()
            }
            _ => Slot::Absent,
        }
    }

    /// A field gets a value.
    #[inline]
    pub(super) fn set(&mut self, place: u16, slot: Slot) {
        let place = usize::from(place);
        if let (Some(known), Some(word)) = (self.all.get_mut(place), self.held.get_mut(place / 64))
        {
            *known = slot;
            *word |= 1 << (place % 64);
        }
    }

    #[inline]
    pub(super) fn shown<'s>(&'s self, slot: Slot, document: &'s [u8]) -> Value<'s> {
        match slot {
            Slot::Absent => Value::Null,
            Slot::Bool(flag) => Value::Bool(flag),
            Slot::Int(number) => Value::Int(number),
            Slot::Float(number) => Value::Float(number),
            Slot::Text(span) => Value::Str(span.of(document)),
            Slot::Own(span) => Value::Str(span.of(&self.own)),
            Slot::Texts(span) => Value::List(List::Nul(span.of(&self.own))),
            Slot::Kept(number) => {
                let kept = usize::try_from(number).ok().and_then(|number| self.kept.get(number));
                match kept.map(Arc::as_ref) {
                    None => Value::Null,
                    Some(Kept::Ip(address)) => Value::Ip(*address),
                    Some(Kept::Many(values)) => Value::List(List::Values(values)),
                    Some(Kept::Node(node)) => node.value(),
                }
            }
        }
    }
}
