//! What is remembered of values that repeat: the same few thousand executables, names and paths
//! pass by again and again, so a value is looked up in its column once, each test of it is done
//! once, and both is kept.
//!
//! A value is found by its length and some of its bytes, and then compared whole. Values that are
//! found at the same place drive each other out: whoever makes such values makes them new ones, and
//! no more.

use std::net::IpAddr;

use model::value::{self, Value};
use smallvec::SmallVec;

/// Values remembered: some hundred programs at work, with a dozen values each, and what they need
/// fits into the cache of a core. There are fewer places as long as few are asked for.
const ROWS_MAX: usize = 1 << 12;
/// Places at the beginning, and by how much they become more.
const ROWS_MIN: usize = 1 << 6;
const GROWTH: usize = 8;
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
    sets: Vec<Set>,
    rows: Vec<Row>,
    /// Values learned since there were as many places.
    learned: usize,
    bytes: usize,
    /// Values that were ever learned.
    serial: u64,
}

/// What is known of two rows without looking at them: all sets fit into the fastest cache.
#[derive(Debug, Default, Clone, Copy)]
struct Set {
    /// Of the name in each row, half of the hash; 0 where there is none.
    tags: [u32; 2],
    /// The one of the two that was asked for last.
    last: u32,
}

/// Two lines of the cache: what tells most values apart is in the first.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Row {
    column: u32,
    shape: u8,
    serial: u64,
    /// Kinds of events, as bits, in which nothing waits for a predicate that holds.
    dull: u64,
    text: SmallVec<[u8; 24]>,
    /// By number; no other predicate holds.
    list: SmallVec<[Tested; 12]>,
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

/// From the length and some of the bytes.
#[inline]
pub(crate) fn hash(text: &[u8], seed: u64) -> u64 {
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
    hash ^ hash >> 32
}

impl Memory {
    /// Where a value is, if it is known.
    #[inline]
    pub(super) fn recall(&mut self, name: &Name<'_>) -> Option<Place> {
        let number = self.set(name.hash);
        let set = self.sets.get_mut(number)?;
        for (way, known) in (0..).zip(set.tags) {
            if known != tag(name.hash) {
                continue;
            }
            let at = number * 2 + usize::from(way != 0);
            let row = self.rows.get(at)?;
            if row.column == name.column && row.shape == name.shape && *row.text == *name.text() {
                set.last = way;
                return Some(Place { row: at, serial: row.serial });
            }
        }
        None
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
            self.sets.resize(self.rows.len() / 2, Set::default());
        }
        let number = self.set(name.hash);
        let set = self.sets.get_mut(number)?;
        // What was asked for last is the last to give way.
        set.last ^= 1;
        let way = usize::from(set.last != 0);
        *set.tags.get_mut(way)? = tag(name.hash);
        let at = number * 2 + way;
        let row = self.rows.get_mut(at)?;
        self.bytes -= row.size();
        (row.column, row.shape) = (name.column, name.shape);
        (row.serial, row.dull) = (self.serial, 0);
        row.text.clear();
        row.text.extend_from_slice(name.text());
        row.list.clear();
        row.list.extend(list.iter().map(|predicate| Tested::new(*predicate)));
        self.bytes += row.size();
        Some(Place { row: at, serial: self.serial })
    }

    /// The set of a name; the number of sets is a power of two.
    #[inline]
    fn set(&self, hash: u64) -> usize {
        usize::try_from(hash >> 32).unwrap_or(0) & self.sets.len().wrapping_sub(1)
    }
}

/// What a set knows of a name; never 0.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the half that does not say which set it is")]
fn tag(hash: u64) -> u32 {
    hash as u32 | 1
}

impl Row {
    /// Bytes that it has elsewhere.
    fn size(&self) -> usize {
        let text = if self.text.spilled() { self.text.capacity() } else { 0 };
        let list = if self.list.spilled() { self.list.capacity() } else { 0 };
        text + list * size_of::<Tested>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text that differs from others only where it is not looked at to find it.
    fn text(letter: u8) -> Vec<u8> {
        let mut text = vec![b'a'; LENGTH_MAX];
        text[100] = letter;
        text
    }

    fn name(text: &[u8]) -> Name<'_> {
        Name::new(3, Value::Str(text)).unwrap()
    }

    fn predicates(memory: &mut Memory, text: &[u8]) -> Option<Vec<u32>> {
        let place = memory.recall(&name(text))?;
        let mut list = memory.list(place)?;
        Some(list.iter_mut().map(|tested| tested.predicate()).collect())
    }

    #[test]
    fn values_found_at_the_same_place_are_told_apart_and_the_oldest_gives_way() {
        let (one, two, three) = (text(b'1'), text(b'2'), text(b'3'));
        assert_eq!(name(&one).hash, name(&two).hash, "or this shows nothing");
        let mut memory = Memory::default();
        let gone = memory.learn(&name(&two), &[2]).unwrap();
        memory.learn(&name(&one), &[1]);
        assert_eq!(predicates(&mut memory, &two), Some(vec![2]));
        assert_eq!(predicates(&mut memory, &one), Some(vec![1]), "asked for last");
        memory.learn(&name(&three), &[3]);
        assert_eq!(predicates(&mut memory, &one), Some(vec![1]));
        assert_eq!(predicates(&mut memory, &three), Some(vec![3]));
        assert_eq!(predicates(&mut memory, &two), None);
        assert!(memory.list(gone).is_none(), "another value is there now");
    }

    #[test]
    fn the_same_bytes_of_another_type_or_column_are_another_value() {
        let mut memory = Memory::default();
        memory.learn(&name(b"a\0"), &[1]);
        let list = Value::List(value::List::Nul(b"a\0"));
        assert!(memory.recall(&Name::new(3, list).unwrap()).is_none());
        assert!(memory.recall(&Name::new(4, Value::Str(b"a\0")).unwrap()).is_none());
        assert!(memory.recall(&name(b"a\0")).is_some());
    }

    #[test]
    fn a_test_of_a_value_is_done_once() {
        let mut memory = Memory::default();
        let place = memory.learn(&name(b"a"), &[7, 9]).unwrap();
        for times in 0..2 {
            let mut list = memory.list(place).unwrap();
            let test = || times == 0 || panic!("it is known");
            assert!(list.find(7).unwrap().result(test));
            assert!(list.find(8).is_none(), "it cannot hold");
        }
    }

    #[test]
    fn new_values_without_end_stay_under_the_bounds() {
        let mut memory = Memory::default();
        for number in 0..60_000usize {
            let text = [number.to_string().into_bytes(), vec![b'x'; number % LENGTH_MAX]].concat();
            if let Some(name) = Name::new(0, Value::Str(&text)) {
                memory.learn(&name, &[1, 2, 3]);
                let known = memory.recall(&name).and_then(|place| memory.list(place));
                assert!(known.is_some(), "what was learned last is known");
            }
        }
        assert_eq!(memory.rows.len(), ROWS_MAX);
        let bytes: usize = memory.rows.iter().map(Row::size).sum();
        assert!(bytes == memory.bytes && bytes <= BYTES_MAX + 2 * LENGTH_MAX, "{bytes}");
    }
}
