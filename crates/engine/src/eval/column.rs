//! Which predicates of a field a value may satisfy.
//!
//! Literals of all predicates on a field are searched together: whole words by hashing, beginnings
//! and ends by halving, and what may be anywhere by some of its letters.

use std::collections::HashMap;

use model::field::FieldId;
use model::value::{List, Value};

use super::affix::Affixes;
use super::grams::{self, Grams};
use super::pairs::Pairs;
use super::predicate::as_text;
use super::require::{Atom, LITERAL_MAX, Look};

/// Bytes of all literals that are searched for; a byte costs some in memory. Predicates beyond that
/// may hold for each value.
const SEARCHED_MAX: usize = 4 << 20;

/// The predicates on one field.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) field: FieldId,
    /// Elsewhere, as only values that are new need it.
    index: Box<Index>,
}

/// Predicates by what values must have to satisfy them.
#[derive(Debug, Default)]
struct Index {
    all: Vec<u32>,
    /// Those that no literal finds.
    rest: Vec<u32>,
    whole: hashbrown::HashMap<Vec<u8>, Vec<u32>>,
    /// Bytes of the longest of these.
    longest: usize,
    starts: Affixes,
    /// Of texts in reverse.
    ends: Affixes,
    /// What may be anywhere in a text.
    inside: Grams,
    /// The same where it has few letters.
    short: Option<Pairs>,
}

/// Room for the work on a value.
#[derive(Debug, Default)]
pub(super) struct Room {
    lower: Vec<u8>,
    found: Vec<u32>,
}

impl Column {
    /// A column without a predicate.
    pub(super) fn new(field: FieldId) -> Column {
        Column { field, index: Box::default() }
    }

    /// Adds a predicate; it may hold for each value until there is an index.
    pub(super) fn push(&mut self, predicate: u32) {
        self.index.all.push(predicate);
        self.index.rest.push(predicate);
    }

    /// Puts the predicates under their atoms; `None` where a predicate has no list of them.
    pub(super) fn index(&mut self, atoms: impl Fn(u32) -> Option<Vec<Atom>>) {
        self.index.fill(atoms);
    }

    /// The predicates that a value may satisfy, in order; it satisfies no others.
    pub(super) fn find<'r>(&self, value: Value<'_>, room: &'r mut Room) -> &'r [u32] {
        self.index.find(value, room)
    }
}

impl Index {
    fn fill(&mut self, atoms: impl Fn(u32) -> Option<Vec<Atom>>) {
        let mut by_atom: HashMap<Atom, Vec<u32>> = HashMap::new();
        let mut searched = 0;
        self.rest.clear();
        for predicate in &self.all {
            let atoms = atoms(*predicate).filter(|atoms| {
                let inside = atoms.iter().filter(|atom| atom.look == Look::Inside);
                let new = inside.filter(|atom| !by_atom.contains_key(atom));
                searched += new.map(|atom| atom.text.len()).sum::<usize>();
                searched <= SEARCHED_MAX
            });
            let Some(atoms) = atoms else {
                self.rest.push(*predicate);
                continue;
            };
            for atom in atoms {
                by_atom.entry(atom).or_default().push(*predicate);
            }
        }
        let (mut starts, mut ends, mut inside) = (Vec::new(), Vec::new(), Vec::new());
        for (Atom { look, mut text }, predicates) in by_atom {
            match look {
                Look::Whole => {
                    self.longest = self.longest.max(text.len());
                    self.whole.insert(text, predicates);
                }
                Look::Start => starts.push((text, predicates)),
                Look::End => {
                    text.reverse();
                    ends.push((text, predicates));
                }
                Look::Inside => inside.push((text, predicates)),
            }
        }
        (self.starts, self.ends) = (Affixes::new(starts), Affixes::new(ends));
        // A map has no order of its own, and the same program shall always be the same.
        inside.sort_unstable();
        let (short, long) = inside.into_iter().partition(|(text, _)| text.len() < grams::LETTERS);
        self.inside = Grams::new(long);
        if !short.is_empty() {
            let (pairs, rest) = Pairs::new(short);
            self.short = Some(pairs);
            self.rest.extend(rest);
        }
    }

    fn find<'r>(&self, value: Value<'_>, room: &'r mut Room) -> &'r [u32] {
        let Room { lower, found } = room;
        found.clear();
        let mut any = false;
        if let Value::List(List::Nul(texts)) = value {
            // What is in one of the texts is in all of them together.
            self.anywhere(texts, found);
        }
        for one in value.each() {
            match one {
                Value::Null => continue,
                Value::Str(text) => {
                    self.text(text, lower, found);
                    if !matches!(value, Value::List(List::Nul(_))) {
                        self.anywhere(text, found);
                    }
                }
                Value::Int(_) => {
                    as_text(one, |text| {
                        self.text(text, lower, found);
                        self.anywhere(text, found);
                        true
                    });
                }
                // Values of other types are compared in ways of their own.
                _ => found.extend(&self.all),
            }
            any = true;
        }
        if any {
            found.extend(&self.rest);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Adds the predicates that a text may satisfy because of what it is, begins or ends with.
    fn text(&self, text: &[u8], lower: &mut Vec<u8>, found: &mut Vec<u32>) {
        // No word, beginning or end is longer than this.
        let head = text.get(..LITERAL_MAX).unwrap_or(text);
        lower.clear();
        lower.extend_from_slice(head);
        lower.make_ascii_lowercase();
        if text.len() <= self.longest {
            found.extend(self.whole.get(lower).into_iter().flatten());
        }
        self.starts.find(lower, found);
        if text.len() > LITERAL_MAX {
            lower.clear();
            lower.extend_from_slice(text.get(text.len() - LITERAL_MAX..).unwrap_or_default());
            lower.make_ascii_lowercase();
        }
        lower.reverse();
        self.ends.find(lower, found);
    }

    /// Adds the predicates that a text may satisfy because of what is somewhere in it.
    fn anywhere(&self, text: &[u8], found: &mut Vec<u32>) {
        self.inside.find(text, found);
        if let Some(pairs) = &self.short {
            pairs.find(text, found);
        }
    }
}
