//! What is remembered of strings that repeat: the same few thousand executables, names and paths
//! pass by again and again, so a test of one of them is done once and its result kept as a bit.

use hashbrown::HashMap;
use model::value::Value;

use super::predicate::Check;

/// Strings remembered for each field; then all are forgotten and learned anew. Hosts run fewer
/// distinct programs than this, and a stream of new strings cannot use more memory.
const STRINGS_MAX: usize = 4096;
/// Longer strings seldom repeat.
const LENGTH_MAX: usize = 256;

/// Results by field and string.
#[derive(Debug, Default)]
pub(super) struct Labels {
    groups: Vec<Group>,
}

/// Strings of one field.
#[derive(Debug, Default)]
struct Group {
    strings: HashMap<Box<[u8]>, usize>,
    /// For each string: pairs of words, what is known and what is true.
    rows: Vec<Vec<(u64, u64)>>,
    /// The event that was looked up last, and its row.
    current: (u64, Option<usize>),
}

impl Labels {
    /// Whether any of the values satisfies the test that has this label.
    pub(super) fn test(
        &mut self,
        event: u64,
        (group, number): (usize, usize),
        value: Value<'_>,
        check: &Check,
    ) -> bool {
        let Value::Str(text) = value else { return check.any(value) };
        if self.groups.len() <= group {
            self.groups.resize_with(group + 1, Group::default);
        }
        let Some(group) = self.groups.get_mut(group) else { return check.any(value) };
        let Some(row) = group.row(event, text) else { return check.any(value) };
        let (word, bit) = (number / 64, 1u64 << (number % 64));
        if row.len() <= word {
            row.resize(word + 1, (0, 0));
        }
        let Some((known, truth)) = row.get_mut(word) else { return check.any(value) };
        if *known & bit == 0 {
            *known |= bit;
            if check.any(value) {
                *truth |= bit;
            }
        }
        *truth & bit != 0
    }
}

impl Group {
    /// The row of a string; the field has one value an event, so it is looked up once.
    fn row(&mut self, event: u64, text: &[u8]) -> Option<&mut Vec<(u64, u64)>> {
        if self.current.0 != event {
            self.current = (event, self.find(text));
        }
        self.rows.get_mut(self.current.1?)
    }

    fn find(&mut self, text: &[u8]) -> Option<usize> {
        if text.len() > LENGTH_MAX {
            return None;
        }
        if let Some(row) = self.strings.get(text) {
            return Some(*row);
        }
        if self.rows.len() >= STRINGS_MAX {
            self.strings.clear();
            self.rows.clear();
        }
        let row = self.rows.len();
        self.rows.push(Vec::new());
        self.strings.insert(text.into(), row);
        Some(row)
    }
}
