//! Documents of events that a later match may name.
//!
//! They are kept as text, which takes a fraction of what a tree of JSON does, and within a fixed
//! number of bytes. Who floods the host pays for it first, as with partial matches: an alert whose
//! member was given up still names its number.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::detect::{Candidate, Found, victims};

/// Bytes of all documents. Some 4,000 events of usual length; sequences that are not attacked have
/// some hundred open.
pub(super) const BYTES_MAX: usize = 8 << 20;
/// What keeping one takes beside its text.
const ENTRY_BYTES: usize = 64;

/// Members of partial matches, by number.
#[derive(Debug, Default)]
pub(super) struct Kept {
    documents: BTreeMap<u64, Document>,
    bytes: usize,
    /// Given up for lack of room.
    pub(super) evicted: u64,
}

#[derive(Debug)]
struct Document {
    text: Box<[u8]>,
    origin: u32,
}

impl Document {
    fn weight(&self) -> usize {
        self.text.len() + ENTRY_BYTES
    }
}

impl Kept {
    /// Keeps the document of an event that somebody's program caused.
    pub(super) fn put(&mut self, number: u64, origin: u32, document: &Map<String, Json>) {
        let Ok(text) = serde_json::to_vec(document) else { return };
        let document = Document { text: text.into(), origin };
        self.bytes += document.weight();
        if let Some(other) = self.documents.insert(number, document) {
            self.bytes -= other.weight();
        }
        if self.bytes > BYTES_MAX {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let all = self.documents.iter().map(|(number, document)| Candidate {
            what: *number,
            origin: document.origin,
            serial: *number,
            advanced: false,
            weight: document.weight(),
        });
        for number in victims(all.collect(), BYTES_MAX) {
            if let Some(document) = self.documents.remove(&number) {
                self.bytes -= document.weight();
                self.evicted += 1;
            }
        }
    }

    /// Nothing can be named any more.
    pub(super) fn clear(&mut self) {
        *self = Kept { evicted: self.evicted, ..Kept::default() };
    }

    /// Bytes that are taken.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Those of a match that are still known.
    pub(super) fn members(&self, found: &Found) -> Vec<(u64, Arc<Map<String, Json>>)> {
        let known = |number: &u64| {
            let document = self.documents.get(number)?;
            Some((*number, Arc::new(serde_json::from_slice(&document.text).ok()?)))
        };
        found.members.iter().filter_map(known).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Map<String, Json> {
        let mut document = Map::new();
        document.insert("process".to_owned(), serde_json::json!({ "args": [text], "pid": 7 }));
        document
    }

    fn found(members: &[u64]) -> Found {
        let members = members.iter().copied().collect();
        Found { rule: 0, members, id: 0, time: 0, counted: None, said: Vec::new() }
    }

    #[test]
    fn a_flood_stays_within_the_bound_and_costs_who_makes_it() {
        let mut kept = Kept::default();
        kept.put(1, 7, &document("victim"));
        let long = "x".repeat(2_000);
        for number in 2..20_000 {
            kept.put(number, 8, &document(&long));
            assert!(kept.bytes() <= BYTES_MAX, "{} bytes after {number}", kept.bytes());
        }
        let left = kept.documents.len() as u64;
        assert_eq!(kept.evicted + left, 19_999, "each is counted");
        let weights = kept.documents.values().map(Document::weight);
        assert_eq!(weights.sum::<usize>(), kept.bytes());
        let members = kept.members(&found(&[1, 10_000, 19_999]));
        let numbers: Vec<u64> = members.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 19_999], "of the flood only the middle is gone");
        assert_eq!(*members[0].1, document("victim"), "as it was");
        kept.clear();
        assert_eq!((kept.bytes(), kept.documents.len()), (0, 0));
        assert!(kept.evicted > 0, "what was counted stays");
    }
}
