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

/// The value of one field: two words, which pass through registers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    kind: Kind,
    word: u64,
}

/// What the word of a slot is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// The field has no value.
    #[default]
    Absent,
    Bool,
    Int,
    /// Bits of it.
    Float,
    /// Text as it stands in the document.
    Text,
    /// Text of [`Slots::own`].
    Own,
    /// Texts that each end in NUL, in [`Slots::own`].
    Texts,
    /// Number of a value of [`Slots::kept`].
    Kept,
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

    fn word(self) -> u64 {
        u64::from(self.end) << 32 | u64::from(self.start)
    }

    #[expect(clippy::cast_possible_truncation, reason = "each half of the word")]
    fn from_word(word: u64) -> Span {
        Span { start: word as u32, end: (word >> 32) as u32 }
    }
}

impl Slot {
    pub(super) const ABSENT: Slot = Slot { kind: Kind::Absent, word: 0 };

    pub(super) fn bool(flag: bool) -> Slot {
        Slot { kind: Kind::Bool, word: flag.into() }
    }

    fn int(number: i64) -> Slot {
        Slot { kind: Kind::Int, word: number.cast_unsigned() }
    }

    fn float(number: f64) -> Slot {
        Slot { kind: Kind::Float, word: number.to_bits() }
    }

    /// Text as it stands in the document.
    pub(super) fn text(span: Span) -> Slot {
        Slot { kind: Kind::Text, word: span.word() }
    }

    /// Text of [`Slots::own`].
    pub(super) fn own(span: Span) -> Slot {
        Slot { kind: Kind::Own, word: span.word() }
    }

    /// Texts that each end in NUL, in [`Slots::own`].
    pub(super) fn texts(span: Span) -> Slot {
        Slot { kind: Kind::Texts, word: span.word() }
    }

    pub(super) fn is_absent(self) -> bool {
        self.kind == Kind::Absent
    }

    /// The same where the document, the own text and the kept values stand so much further on; a
    /// step back is one around the end of the numbers.
    #[inline]
    pub(super) fn moved(self, document: u32, own: u32, kept: u32) -> Slot {
        let span = |by| Span::from_word(self.word).moved(by).word();
        let word = match self.kind {
            Kind::Text => span(document),
            Kind::Own | Kind::Texts => span(own),
            Kind::Kept => Span::from_word(self.word).start.wrapping_add(kept).into(),
            Kind::Absent | Kind::Bool | Kind::Int | Kind::Float => self.word,
        };
        Slot { word, ..self }
    }
}

impl Slots {
    /// Forgets everything; there will be so many fields.
    pub(super) fn clear(&mut self, width: usize) {
        self.all.resize(width, Slot::ABSENT);
        self.held.clear();
        self.held.resize(width.div_ceil(64), 0);
        self.own.clear();
        self.kept.clear();
    }

    /// Keeps a value that has no room in a slot.
    pub(super) fn keep(&mut self, value: Kept) -> Slot {
        self.kept.push(Arc::new(value));
        Slot { kind: Kind::Kept, word: self.kept.len() as u64 - 1 }
    }

    /// Keeps any value that lends nothing.
    pub(super) fn plain(&mut self, value: Value<'static>) -> Slot {
        match value {
            Value::Null => Slot::ABSENT,
            Value::Bool(flag) => Slot::bool(flag),
            Value::Int(number) => Slot::int(number),
            Value::Float(number) => Slot::float(number),
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
            _ => Slot::ABSENT,
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
        let span = || Span::from_word(slot.word);
        match slot.kind {
            Kind::Absent => Value::Null,
            Kind::Bool => Value::Bool(slot.word != 0),
            Kind::Int => Value::Int(slot.word.cast_signed()),
            Kind::Float => Value::Float(f64::from_bits(slot.word)),
            Kind::Text => Value::Str(span().of(document)),
            Kind::Own => Value::Str(span().of(&self.own)),
            Kind::Texts => Value::List(List::Nul(span().of(&self.own))),
            Kind::Kept => {
                let kept = usize::try_from(slot.word).ok().and_then(|number| self.kept.get(number));
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
