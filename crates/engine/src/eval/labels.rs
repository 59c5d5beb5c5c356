//! What is remembered of strings that repeat: the same few thousand executables, names and paths
//! pass by again and again, so a string is looked up once in the index, a test of it is done once,
//! and both results are kept.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use model::value::{List, Value};

use super::index::Key;
use super::predicate::Check;

/// Strings remembered for each field; then all are forgotten and learned anew. Hosts run fewer
/// distinct programs than this, and a stream of new strings cannot use more memory.
const STRINGS_MAX: usize = 4096;
/// Bytes of these strings.
const BYTES_MAX: usize = 2 << 20;
/// Filters remembered for these strings, 4 bytes each.
const FILTERS_MAX: usize = 1 << 18;
/// Longer strings seldom repeat; command lines of compilers do, and have some thousand bytes.
const LENGTH_MAX: usize = 4096;
/// Results of tests, 8 bytes each; a new one takes the place of another.
const RESULTS: usize = 1 << 16;

/// What is known of strings, by field.
#[derive(Debug, Default)]
pub(super) struct Labels {
    fields: Vec<Strings>,
    results: Vec<u64>,
    /// Rows that there ever were.
    serial: u32,
    hasher: DefaultHashBuilder,
    lower: Vec<u8>,
    found: Vec<u32>,
}

/// Strings of one field.
#[derive(Debug, Default)]
struct Strings {
    rows: Vec<Row>,
    /// Numbers of rows.
    table: HashTable<u32>,
    bytes: Vec<u8>,
    filters: Vec<u32>,
    /// The event that was looked up last, and the row of its string.
    current: (u64, Option<usize>),
}

#[derive(Debug)]
struct Row {
    /// Never given twice.
    serial: u32,
    /// Strings that each end in NUL are another value than one string.
    many: bool,
    text: (usize, usize),
    filters: Option<(usize, usize)>,
}

impl Labels {
    /// Whether any of the values satisfies the test of this number.
    pub(super) fn test<'v>(
        &mut self,
        event: u64,
        (slot, number): (usize, u32),
        value: impl FnOnce() -> Value<'v>,
        check: &Check,
    ) -> bool {
        let current = self.fields.get(slot).map(|strings| strings.current);
        let (row, value) = match current {
            Some((known, row)) if known == event => {
                if let Some(result) = self.result(slot, row, number) {
                    return result;
                }
                (row, value())
            }
            _ => {
                let value = value();
                let row = self.row(event, slot, value);
                if let Some(result) = self.result(slot, row, number) {
                    return result;
                }
                (row, value)
            }
        };
        let result = check.any(value);
        if let Some(serial) = self.serial(slot, row) {
            let entry = u64::from(serial) << 32 | u64::from(number) << 1 | u64::from(result);
            self.results.resize(RESULTS, 0);
            if let Some(place) = self.results.get_mut(place(serial, number)) {
                *place = entry;
            }
        }
        result
    }

    /// The filters of which the value has an atom; none of them is looked for twice in a string
    /// that is known.
    pub(super) fn filters(&mut self, event: u64, key: &Key, value: Value<'_>) -> &[u32] {
        let row = self.row(event, key.slot, value);
        let strings = self.fields.get(key.slot);
        let known = strings.zip(row).and_then(|(strings, row)| strings.rows.get(row)?.filters);
        let known = match (known, row) {
            (Some(known), _) => known,
            (None, row) => {
                key.find(value, &mut self.lower, &mut self.found);
                let Some((row, strings)) = row.zip(self.fields.get_mut(key.slot)) else {
                    return &self.found;
                };
                let from = strings.filters.len();
                strings.filters.extend(&self.found);
                let known = (from, strings.filters.len());
                if let Some(row) = strings.rows.get_mut(row) {
                    row.filters = Some(known);
                }
                known
            }
        };
        let strings = self.fields.get(key.slot);
        strings.and_then(|it| it.filters.get(known.0..known.1)).unwrap_or_default()
    }

    fn serial(&self, slot: usize, row: Option<usize>) -> Option<u32> {
        Some(self.fields.get(slot)?.rows.get(row?)?.serial)
    }

    fn result(&self, slot: usize, row: Option<usize>, number: u32) -> Option<bool> {
        let serial = self.serial(slot, row)?;
        let entry = *self.results.get(place(serial, number))?;
        let same = entry >> 1 == (u64::from(serial) << 32 | u64::from(number) << 1) >> 1;
        same.then_some(entry & 1 == 1)
    }

    /// The row of a string; the field has one value an event, so it is looked up once.
    fn row(&mut self, event: u64, slot: usize, value: Value<'_>) -> Option<usize> {
        if self.fields.len() <= slot {
            self.fields.resize_with(slot + 1, Strings::default);
        }
        let strings = self.fields.get_mut(slot)?;
        if strings.current.0 == event {
            return strings.current.1;
        }
        let (text, many) = match value {
            Value::Str(text) if text.len() <= LENGTH_MAX => (text, false),
            Value::List(List::Nul(text)) if text.len() <= LENGTH_MAX => (text, true),
            _ => {
                strings.current = (event, None);
                return None;
            }
        };
        let row = strings.find(text, many, &self.hasher, &mut self.serial);
        if self.serial == 0 {
            // All numbers have been given: what is remembered under them is forgotten.
            self.results.clear();
            self.fields.iter_mut().for_each(Strings::clear);
            return None;
        }
        let strings = self.fields.get_mut(slot)?;
        strings.current = (event, Some(row));
        Some(row)
    }
}

/// Where the result of a test of a string is.
fn place(serial: u32, number: u32) -> usize {
    let mixed = u64::from(serial).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ u64::from(number).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    usize::try_from(mixed >> 40).unwrap_or(0) % RESULTS
}

impl Strings {
    fn clear(&mut self) {
        self.rows.clear();
        self.table.clear();
        self.bytes.clear();
        self.filters.clear();
        self.current = (0, None);
    }

    fn find(
        &mut self,
        text: &[u8],
        many: bool,
        hasher: &DefaultHashBuilder,
        serial: &mut u32,
    ) -> usize {
        let Strings { rows, table, bytes, .. } = self;
        let read = |row: &Row| bytes.get(row.text.0..row.text.1).unwrap_or_default();
        let hash = hasher.hash_one(text);
        let at = |number: &u32| usize::try_from(*number).ok().and_then(|at| rows.get(at));
        let same = |number: &u32| at(number).is_some_and(|it| it.many == many && read(it) == text);
        if let Some(row) = table.find(hash, same) {
            return usize::try_from(*row).unwrap_or(usize::MAX);
        }
        let full = rows.len() >= STRINGS_MAX
            || bytes.len() + text.len() > BYTES_MAX
            || self.filters.len() >= FILTERS_MAX;
        if full {
            self.clear();
        }
        *serial = serial.wrapping_add(1);
        let Strings { rows, table, bytes, .. } = self;
        let row = rows.len();
        let from = bytes.len();
        bytes.extend_from_slice(text);
        rows.push(Row { serial: *serial, many, text: (from, bytes.len()), filters: None });
        let hash_of = |number: &u32| {
            let row = usize::try_from(*number).ok().and_then(|at| rows.get(at));
            let text = row.and_then(|row| bytes.get(row.text.0..row.text.1));
            hasher.hash_one(text.unwrap_or_default())
        };
        table.insert_unique(hash, u32::try_from(row).unwrap_or(u32::MAX), hash_of);
        row
    }
}
