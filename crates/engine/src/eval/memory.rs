//! What is remembered of values that repeat: the same few thousand executables, names and paths
//! pass by again and again, so a value is looked up in its column once, each test of it is done
//! once, and both is kept.
//!
//! A value is found by its length and some of its bytes, and then compared whole. Values that are
//! found at the same place drive each other out: whoever makes such values makes them new ones, and
//! no more.

use std::net::IpAddr;

use model::value::{self, Value};

/// Values remembered. A busy host has some hundred processes at work, with a dozen values each, and
/// some thousand files. There are fewer places as long as few are asked for.
const ROWS_MAX: usize = 1 << 14;
/// Places at the beginning, and by how much they become more.
const ROWS_MIN: usize = 1 << 6;
const GROWTH: usize = 16;
/// Bytes of all that is remembered; beyond that all of it is forgotten and learned anew.
const BYTES_MAX: usize = 16 << 20;
/// Longer values seldom repeat; command lines of compilers do, and have some thousand bytes.
const LENGTH_MAX: usize = 4096;
/// Values that may satisfy more predicates are not remembered.
const LIST_MAX: usize = 4096;
/// Kinds of events for which it is remembered that nothing comes of a value.
const DULL_KINDS: usize = 64;
/// Words of a value by which it is found.
const SAMPLES: usize = 8;

/// Values and the predicates that each may satisfy.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Two rows make a set: a value is in either.
    rows: Vec<Row>,
    /// Values learned since there were as many places.
    learned: usize,
    bytes: usize,
    /// Values that were ever learned.
    serial: u64,
}

#[derive(Debug, Default)]
struct Row {
    /// Of the name; 0 where there is none.
    hash: u64,
    column: u32,
    shape: u8,
    serial: u64,
    text: Vec<u8>,
    /// By number; no other predicate holds.
    list: Vec<Tested>,
    /// Kinds of events, as bits, in which nothing waits for a predicate that holds.
    dull: u64,
}

/// The predicates that a value may satisfy.
#[derive(Debug)]
pub(super) struct List<'m>(&'m mut Row);

impl List<'_> {
    /// In the order of their numbers.
    #[inline]
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Tested> {
        self.0.list.iter_mut()
    }

    /// A predicate, if the value may satisfy it.
    #[inline]
    pub(super) fn find(&mut self, predicate: u32) -> Option<&mut Tested> {
        let at = self.0.list.binary_search_by_key(&predicate, |tested| tested.predicate());
        self.0.list.get_mut(at.ok()?)
    }

    /// Whether nothing waits for a predicate that holds, in events of this kind. That is known of
    /// the first kinds, which are those of most events.
    #[inline]
    pub(super) fn is_dull(&self, kind: usize) -> bool {
        kind < DULL_KINDS && self.0.dull >> kind & 1 == 1
    }

    /// Takes note that it is so.
    pub(super) fn set_dull(&mut self, kind: usize) {
        if kind < DULL_KINDS {
            self.0.dull |= 1 << kind;
        }
    }
}

/// Where a value is, as long as it is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    row: usize,
    serial: u64,
}

/// A predicate, and what it says of a value, if that is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tested(u32);

impl Tested {
    /// What cannot be numbered so is not made into a program.
    pub(super) const PREDICATES_MAX: u32 = u32::MAX >> 2;
    const KNOWN: u32 = 2;

    fn new(predicate: u32) -> Tested {
        Tested(predicate << 2)
    }

    #[inline]
    pub(super) fn predicate(self) -> u32 {
        self.0 >> 2
    }

    /// The result of the test, which is done at most once.
    #[inline]
    pub(super) fn result(&mut self, test: impl FnOnce() -> bool) -> bool {
        if self.0 & Tested::KNOWN == 0 {
            self.0 |= Tested::KNOWN | u32::from(test());
        }
        self.0 & 1 == 1
    }
}

/// How a value is called: two values of a column that are called the same are the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'v> {
    hash: u64,
    column: u32,
    shape: u8,
    text: Text<'v>,
}

#[derive(Debug, Clone, Copy)]
enum Text<'v> {
    Lent(&'v [u8]),
    Made([u8; 16], usize),
}

impl<'v> Name<'v> {
    /// `None` for values that are not remembered.
    #[inline]
    pub(super) fn new(column: u32, value: Value<'v>) -> Option<Name<'v>> {
        let (shape, text) = match value {
            Value::Str(text) if text.len() <= LENGTH_MAX => (1, Text::Lent(text)),
            Value::List(value::List::Nul(text)) if text.len() <= LENGTH_MAX => {
                (2, Text::Lent(text))
            }
            Value::Int(number) => (3, made(&number.to_le_bytes())),
            Value::Bool(flag) => (4, made(&[u8::from(flag)])),
            Value::Ip(IpAddr::V4(address)) => (5, made(&address.octets())),
            Value::Ip(IpAddr::V6(address)) => (6, made(&address.octets())),
            _ => return None,
        };
        let mut name = Name { hash: 0, column, shape, text };
        name.hash = hash(name.text(), u64::from(column) << 8 | u64::from(shape));
        Some(name)
    }

    fn text(&self) -> &[u8] {
        match &self.text {
            Text::Lent(text) => text,
            Text::Made(bytes, length) => bytes.get(..*length).unwrap_or_default(),
        }
    }
}

fn made(bytes: &[u8]) -> Text<'static> {
    let mut text = [0; 16];
    text.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Text::Made(text, bytes.len().min(16))
}

/// From the length and some of the bytes; never 0, which is no hash of anything.
#[inline]
pub(super) fn hash(text: &[u8], seed: u64) -> u64 {
    let mix =
        |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut hash = mix(seed, text.len() as u64);
    if let (Some(_), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        // Short ones whole, of long ones as many words from everywhere.
        let step = (text.len() / SAMPLES).max(8);
        let mut at = 0;
        while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            hash = mix(hash, u64::from_le_bytes(*word));
            at += step;
        }
        hash = mix(hash, u64::from_le_bytes(*last));
    } else {
        let word = text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        hash = mix(hash, word);
    }
    (hash ^ hash >> 32) | 1
}

impl Memory {
    /// Where a value is, if it is known.
    #[inline]
    pub(super) fn recall(&self, name: &Name<'_>) -> Option<Place> {
        let first = self.first(name.hash);
        [first, first ^ 1].into_iter().find_map(|at| {
            let row = self.rows.get(at)?;
            let same = row.hash == name.hash
                && row.column == name.column
                && row.shape == name.shape
                && row.text == name.text();
            same.then_some(Place { row: at, serial: row.serial })
        })
    }

    /// The predicates that a value may satisfy; `None` if it is not there any more.
    #[inline]
    pub(super) fn list(&mut self, place: Place) -> Option<List<'_>> {
        let row = self.rows.get_mut(place.row)?;
        (row.serial == place.serial).then_some(List(row))
    }

    /// Remembers the predicates that a value may satisfy; where it is then.
    pub(super) fn learn(&mut self, name: &Name<'_>, list: &[u32]) -> Option<Place> {
        if list.len() > LIST_MAX {
            return None;
        }
        self.learned += 1;
        self.serial += 1;
        let more = self.learned > self.rows.len() && self.rows.len() < ROWS_MAX;
        if more || self.bytes > BYTES_MAX {
            let rows = if more { (self.rows.len() * GROWTH).max(ROWS_MIN) } else { ROWS_MAX };
            *self = Memory { serial: self.serial, ..Memory::default() };
            self.rows.resize_with(rows.min(ROWS_MAX), Row::default);
        }
        let first = self.first(name.hash);
        // The older of the two is given up.
        if first ^ 1 < self.rows.len() {
            self.rows.swap(first, first ^ 1);
        }
        let row = self.rows.get_mut(first)?;
        self.bytes -= row.size();
        (row.hash, row.column, row.shape) = (name.hash, name.column, name.shape);
        (row.serial, row.dull) = (self.serial, 0);
        row.text.clear();
        row.text.extend_from_slice(name.text());
        row.list.clear();
        row.list.extend(list.iter().map(|predicate| Tested::new(*predicate)));
        self.bytes += row.size();
        Some(Place { row: first, serial: self.serial })
    }

    /// One row of a set; the number of rows is a power of two.
    #[inline]
    fn first(&self, hash: u64) -> usize {
        usize::try_from(hash >> 32).unwrap_or(0) & self.rows.len().wrapping_sub(1)
    }
}

impl Row {
    fn size(&self) -> usize {
        self.text.capacity() + self.list.capacity() * size_of::<Tested>()
    }
}
