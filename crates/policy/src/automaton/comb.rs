//! The packed form: rows laid over each other, so that an edge takes four bytes and a state eight.
//!
//! Each state with edges has a base of its own. An entry holds the byte that it is for: an entry of
//! another state at the same place has another byte, since base and byte add up to the place.
#![expect(clippy::indexing_slicing, reason = "`Packer::grow` makes every place before it is used")]

use super::{Automaton, EMPTY, Graph};
use crate::error::{Error, number};
use crate::limits::BYTES_MAX;

/// An entry that fits no byte.
const FREE: u32 = EMPTY << 8;

/// Places tried for a row before it goes to the end: packing stays linear, a few places are lost.
const TRIES_MAX: usize = 96;

/// Rows with so many edges and more share the place where the search begins.
const SIZES: usize = 9;

struct Packer {
    entries: Vec<u32>,
    /// The next free place at or after each place, found with path halving.
    next_free: Vec<u32>,
    taken_base: Vec<bool>,
    from: [u32; SIZES],
}

impl Packer {
    fn grow(&mut self, len: usize) {
        while self.entries.len() < len {
            self.next_free.push(number(self.entries.len()));
            self.entries.push(FREE);
            self.taken_base.push(false);
        }
    }

    fn free(&mut self, place: u32) -> u32 {
        self.grow(place as usize + 512);
        let mut at = place;
        while self.next_free[at as usize] != at {
            let next = self.next_free[at as usize];
            self.grow(next as usize + 512);
            self.next_free[at as usize] = self.next_free[next as usize];
            at = self.next_free[at as usize];
        }
        at
    }

    fn fits(&self, base: u32, edges: &[(u8, u32)]) -> bool {
        !self.taken_base[base as usize]
            && edges
                .iter()
                .all(|(byte, _)| self.entries[base as usize + usize::from(*byte)] == FREE)
    }

    fn place(&mut self, edges: &[(u8, u32)]) -> u32 {
        let Some((lowest, _)) = edges.first() else { return 0 };
        let size = edges.len().min(SIZES - 1);
        let mut place = self.free(self.from[size]);
        for _ in 0..TRIES_MAX {
            let base = place - u32::from(*lowest);
            self.grow(base as usize + 512);
            if self.fits(base, edges) {
                self.put(base, edges);
                return base;
            }
            place = self.free(place + 1);
        }
        // So many in vain: the rows that follow need not look here again.
        self.from[size] = place;
        let base = number(self.entries.len());
        self.grow(base as usize + 512);
        self.put(base, edges);
        base
    }

    fn put(&mut self, base: u32, edges: &[(u8, u32)]) {
        self.taken_base[base as usize] = true;
        for (byte, next) in edges {
            let place = base as usize + usize::from(*byte);
            self.entries[place] = next << 8 | u32::from(*byte);
            self.next_free[place] = number(place + 1);
        }
    }
}

/// Packs a graph.
pub(super) fn pack(graph: &Graph) -> Result<Automaton, Error> {
    // The first 256 places stay free: states without edges have base 0. So a base is never below 1.
    let mut packer = Packer {
        entries: Vec::new(),
        next_free: Vec::new(),
        taken_base: Vec::new(),
        from: [512; SIZES],
    };
    packer.grow(512);
    let mut order: Vec<usize> = (0..graph.len()).collect();
    order.sort_by_key(|state| std::cmp::Reverse(graph.edges(*state).len()));
    let mut states: Vec<[u32; 2]> = graph.default.iter().map(|default| [0, *default]).collect();
    for state in order {
        states[state][0] = packer.place(graph.edges(state));
        if packer.entries.len() * 4 + states.len() * 8 > BYTES_MAX {
            return Err(Error::TooComplex { what: "bytes", max: BYTES_MAX });
        }
    }
    let used = packer.entries.iter().rposition(|entry| *entry != FREE).unwrap_or(0);
    // A base is at most the place of its lowest edge, and every byte must stay inside.
    packer.entries.resize(used.max(256) + 256, FREE);
    Ok(Automaton { states, entries: packer.entries })
}
