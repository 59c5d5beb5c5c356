//! Finite automata over the bytes of paths: built, made small, and packed into tables.
//!
//! Patterns become a `trie` with wildcards, that a deterministic `Graph` (`subset`, `minimize`),
//! that an [`Automaton`]: the arrays that the kernel reads. `needles` makes the graph for texts
//! that may stand anywhere.

mod comb;
mod live;
mod minimize;
mod needles;
mod subset;
mod trie;

pub(crate) use live::below;
pub(crate) use minimize::minimize;
pub(crate) use needles::{Found, Needles};
pub(crate) use subset::{Bounds, determine};
pub(crate) use trie::Trie;

use crate::error::{Error, number};

/// The state from which nothing can be reached any more.
pub const DEAD: u32 = 0;

/// The state before the first byte.
pub const START: u32 = 1;

/// A deterministic automaton, as it is built: transitions on some bytes, and one for all others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    /// Where a byte leads that has no edge; never taken by `/`.
    pub(crate) default: Vec<u32>,
    /// Where the edges of each state begin and end.
    pub(crate) rows: Vec<(u32, u32)>,
    /// Edges of all states; those of one are together, in order of their bytes.
    pub(crate) edges: Vec<(u8, u32)>,
    /// What is accepted in a state: a number given by who built it, 0 for nothing.
    pub(crate) output: Vec<u32>,
}

impl Graph {
    /// How many states there are, the dead one included.
    pub(crate) fn len(&self) -> usize {
        self.output.len()
    }

    /// The edges of a state.
    pub(crate) fn edges(&self, state: usize) -> &[(u8, u32)] {
        let (first, end) = self.rows.get(state).copied().unwrap_or_default();
        self.edges.get(first as usize..end as usize).unwrap_or_default()
    }

    /// Makes room for states up to this number.
    fn grow(&mut self, len: usize) {
        self.default.resize(len, DEAD);
        self.rows.resize(len, (0, 0));
        self.output.resize(len, 0);
    }

    /// Says all of one state that has room.
    fn set(&mut self, state: u32, default: u32, output: u32, edges: &[(u8, u32)]) {
        let first = number(self.edges.len());
        self.edges.extend_from_slice(edges);
        let row = (first, number(self.edges.len()));
        let at = state as usize;
        let slots = (self.default.get_mut(at), self.rows.get_mut(at), self.output.get_mut(at));
        if let (Some(to), Some(edges), Some(accepts)) = slots {
            (*to, *edges, *accepts) = (default, row, output);
        }
    }

    /// Where a byte leads.
    pub(crate) fn step(&self, state: u32, byte: u8) -> u32 {
        let edges = self.edges(state as usize);
        match edges.binary_search_by_key(&byte, |edge| edge.0) {
            Ok(at) => edges.get(at).map_or(DEAD, |edge| edge.1),
            Err(_) if byte == b'/' => DEAD,
            Err(_) => self.default.get(state as usize).copied().unwrap_or(DEAD),
        }
    }
}

/// The transitions of an automaton, as the kernel reads them: rows laid over each other, four bytes
/// an edge and eight a state.
///
/// `entries[base + byte]` holds the next state in its upper 24 bits if its lower 8 bits are the byte
/// and the upper ones are not [`EMPTY`]; else the default of the state is next, and for `/` the dead
/// state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Automaton {
    /// Base and default of each state.
    pub states: Vec<[u32; 2]>,
    /// Next states with the byte they are for.
    pub entries: Vec<u32>,
}

/// The upper 24 bits of a free entry.
pub const EMPTY: u32 = 0x00ff_ffff;

impl Automaton {
    /// Packs the transitions of a graph.
    pub(crate) fn of(graph: &Graph) -> Result<Automaton, Error> {
        comb::pack(graph)
    }

    /// Where a byte leads.
    pub fn step(&self, state: u32, byte: u8) -> u32 {
        let [base, default] = self.states.get(state as usize).copied().unwrap_or([0, DEAD]);
        let entry = self.entries.get(base as usize + usize::from(byte)).copied();
        let entry = entry.unwrap_or(u32::MAX);
        if entry & 0xff == u32::from(byte) && entry >> 8 != EMPTY {
            entry >> 8
        } else if byte == b'/' {
            DEAD
        } else {
            default
        }
    }

    /// Bytes of the tables.
    pub fn bytes(&self) -> usize {
        self.states.len() * 8 + self.entries.len() * 4
    }
}

#[cfg(test)]
mod tests;
