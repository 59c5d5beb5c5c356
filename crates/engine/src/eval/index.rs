//! Which filters an event can concern: those of which it has an atom that they require.
//!
//! Literals of all rules on a field are searched together: whole words by hashing, beginnings and
//! ends by halving, and what may be anywhere with one automaton.

use std::collections::HashMap;

use aho_corasick::automaton::{Automaton, OverlappingState};
use aho_corasick::{Input, nfa::contiguous::NFA};
use model::field::FieldId;
use model::program::Filter;
use model::value::Value;

use super::affix::Affixes;
use super::predicate::as_text;
use super::require::{Atom, Look, Named, count, required};

/// Bytes of all literals that one automaton searches for; a byte costs some tens in memory. Filters
/// beyond that are asked at each event that has the field.
const SEARCHED_MAX: usize = 4 << 20;

/// All filters that rules ask for, each under what it requires.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) keys: Vec<Key>,
    /// For each filter the keys that it is under; `None` if it is under none.
    pub(super) homes: Vec<Option<Vec<usize>>>,
}

/// Filters by what one field must have.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) field: FieldId,
    /// Where what is found for its strings is remembered.
    pub(super) slot: usize,
    all: Vec<u32>,
    present: Vec<u32>,
    whole: hashbrown::HashMap<Vec<u8>, Vec<u32>>,
    starts: Affixes,
    /// Of texts in reverse.
    ends: Affixes,
    inside: Option<(NFA, Vec<Vec<u32>>)>,
}

/// Filters by atom, of one field.
type Atoms = HashMap<(Look, Vec<u8>), Vec<u32>>;

impl Index {
    /// Filters by number; `slot` tells where strings of a field are remembered.
    pub(super) fn new(filters: &[Filter], mut slot: impl FnMut(FieldId) -> usize) -> Index {
        let mut named = Named::new();
        for filter in filters {
            count(&filter.condition, &mut named);
        }
        let mut fields: Vec<(FieldId, Atoms, usize)> = Vec::new();
        let mut homes = Vec::with_capacity(filters.len());
        for (number, filter) in (0u32..).zip(filters) {
            let Some(atoms) = required(&filter.condition, true, &named) else {
                homes.push(None);
                continue;
            };
            let mut home = Vec::new();
            for Atom { field, mut look, mut text } in atoms {
                let known = fields.iter().position(|(known, ..)| *known == field);
                let place = known.unwrap_or_else(|| {
                    fields.push((field, Atoms::new(), 0));
                    fields.len() - 1
                });
                let Some((_, by_atom, searched)) = fields.get_mut(place) else { continue };
                if look == Look::Inside && !by_atom.contains_key(&(look, text.clone())) {
                    *searched += text.len();
                    if *searched > SEARCHED_MAX {
                        (look, text) = (Look::Present, Vec::new());
                    }
                }
                let list = by_atom.entry((look, text)).or_default();
                if list.last() != Some(&number) {
                    list.push(number);
                }
                if !home.contains(&place) {
                    home.push(place);
                }
            }
            homes.push(Some(home));
        }
        let keys = fields.into_iter().map(|(field, atoms, _)| Key::new(field, slot(field), atoms));
        Index { keys: keys.collect(), homes }
    }
}

impl Key {
    fn new(field: FieldId, slot: usize, atoms: Atoms) -> Key {
        let mut all: Vec<u32> = atoms.values().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        let mut present = Vec::new();
        let mut whole = hashbrown::HashMap::new();
        let (mut starts, mut ends, mut inside) = (Vec::new(), Vec::new(), Vec::new());
        for ((look, mut text), filters) in atoms {
            match look {
                Look::Present => present = filters,
                Look::Whole => _ = whole.insert(text, filters),
                Look::Start => starts.push((text, filters)),
                Look::End => {
                    text.reverse();
                    ends.push((text, filters));
                }
                Look::Inside => inside.push((text, filters)),
            }
        }
        // A map has no order of its own, and the same program shall always be the same.
        inside.sort_unstable();
        let (texts, lists): (Vec<_>, Vec<_>) = inside.into_iter().unzip();
        let search = (!texts.is_empty()).then(|| NFA::new(&texts).ok()).flatten();
        if search.is_none() {
            present.extend(lists.iter().flatten());
        }
        Key {
            field,
            slot,
            all,
            present,
            whole,
            starts: Affixes::new(starts),
            ends: Affixes::new(ends),
            inside: search.map(|search| (search, lists)),
        }
    }

    /// Replaces `found` by the filters of which the value has an atom, each once.
    pub(super) fn find(&self, value: Value<'_>, lower: &mut Vec<u8>, found: &mut Vec<u32>) {
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
            found.extend(&self.present);
        }
        found.sort_unstable();
        found.dedup();
    }

    fn text(&self, text: &[u8], lower: &mut Vec<u8>, found: &mut Vec<u32>) {
        lower.clear();
        lower.extend_from_slice(text);
        lower.make_ascii_lowercase();
        found.extend(self.whole.get(lower).into_iter().flatten());
        self.starts.find(lower, found);
        if let Some((search, lists)) = &self.inside {
            let (input, mut state) = (Input::new(lower), OverlappingState::start());
            // An automaton for searches from anywhere refuses none.
            while search.try_find_overlapping(&input, &mut state).is_ok() {
                let Some(hit) = state.get_match() else { break };
                found.extend(lists.get(hit.pattern().as_usize()).into_iter().flatten());
            }
        }
        lower.reverse();
        self.ends.find(lower, found);
    }
}
