//! Which predicates of a field a value may satisfy.
//!
//! Literals of all predicates on a field are searched together: whole words by hashing, beginnings
//! and ends by halving, and what may be anywhere with one automaton.

use std::collections::HashMap;

use aho_corasick::Anchored;
use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::nfa::contiguous::NFA;
use model::field::FieldId;
use model::value::Value;

use super::affix::Affixes;
use super::predicate::as_text;
use super::require::{Atom, LITERAL_MAX, Look};

/// Bytes of all literals that one automaton searches for; a byte costs some tens in memory.
/// Predicates beyond that may hold for each value.
const SEARCHED_MAX: usize = 4 << 20;
/// Bytes of literals up to which the automaton is a table of all transitions, some hundred bytes
/// for each.
const TABLE_BYTES: usize = 16 << 10;

/// The predicates on one field.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) field: FieldId,
    all: Vec<u32>,
    /// Those that no literal finds.
    rest: Vec<u32>,
    whole: hashbrown::HashMap<Vec<u8>, Vec<u32>>,
    /// Bytes of the longest of these.
    longest: usize,
    starts: Affixes,
    /// Of texts in reverse.
    ends: Affixes,
    inside: Inside,
}

/// Predicates by what may be anywhere in a text.
#[derive(Debug, Default)]
enum Inside {
    #[default]
    Nothing,
    Table(DFA, Vec<Vec<u32>>),
    /// Smaller and slower.
    List(NFA, Vec<Vec<u32>>),
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
        Column {
            field,
            all: Vec::new(),
            rest: Vec::new(),
            whole: hashbrown::HashMap::new(),
            longest: 0,
            starts: Affixes::default(),
            ends: Affixes::default(),
            inside: Inside::Nothing,
        }
    }

    /// Adds a predicate; it may hold for each value until there is an index.
    pub(super) fn push(&mut self, predicate: u32) {
        self.all.push(predicate);
        self.rest.push(predicate);
    }

    /// Puts the predicates under their atoms; `None` where a predicate has no list of them.
    pub(super) fn index(&mut self, atoms: impl Fn(u32) -> Option<Vec<Atom>>) {
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
        let (texts, lists): (Vec<_>, Vec<_>) = inside.into_iter().unzip();
        if texts.is_empty() {
            return;
        }
        let table = || DFA::builder().ascii_case_insensitive(true).build(&texts).ok();
        let list = || NFA::builder().ascii_case_insensitive(true).build(&texts).ok();
        self.inside = if let Some(table) = (searched <= TABLE_BYTES).then(table).flatten() {
            Inside::Table(table, lists)
        } else if let Some(list) = list() {
            Inside::List(list, lists)
        } else {
            self.rest.extend(lists.iter().flatten());
            Inside::Nothing
        };
    }

    /// The predicates that a value may satisfy, in order; it satisfies no others.
    pub(super) fn find<'r>(&self, value: Value<'_>, room: &'r mut Room) -> &'r [u32] {
        let Room { lower, found } = room;
        found.clear();
        let mut any = false;
        for one in value.each() {
            match one {
                Value::Null => continue,
                Value::Str(text) => self.text(text, lower, found),
                Value::Int(_) => {
                    as_text(one, |text| {
                        self.text(text, lower, found);
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
        match &self.inside {
            Inside::Nothing => {}
            Inside::Table(table, lists) => search(table, text, lists, found),
            Inside::List(list, lists) => search(list, text, lists, found),
        }
        lower.clear();
        lower.extend(text.iter().rev().take(LITERAL_MAX));
        lower.make_ascii_lowercase();
        self.ends.find(lower, found);
    }
}

/// Adds what stands for each of the texts that an automaton finds.
fn search(automaton: &impl Automaton, text: &[u8], lists: &[Vec<u32>], found: &mut Vec<u32>) {
    // An automaton for searches from anywhere refuses none.
    let Ok(mut state) = automaton.start_state(Anchored::No) else { return };
    for byte in text {
        state = automaton.next_state(Anchored::No, state, *byte);
        if automaton.is_special(state) && automaton.is_match(state) {
            for hit in 0..automaton.match_len(state) {
                let pattern = automaton.match_pattern(state, hit).as_usize();
                found.extend(lists.get(pattern).into_iter().flatten());
            }
        }
    }
}
