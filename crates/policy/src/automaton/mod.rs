//! Finite automata over the bytes of paths: built, made small, and packed into tables.
//!
//! Patterns become a [`trie`] with wildcards, that a deterministic [`Graph`] (`subset`, `minimize`),
//! that an [`Automaton`]: the arrays that the kernel reads. `needles` makes the graph for texts
//! that may stand anywhere.

mod comb;
mod dense;
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

use crate::error::Error;
use crate::limits::DENSE_STATES_MAX;

/// The state from which nothing can be reached any more.
pub const DEAD: u32 = 0;

/// The state before the first byte.
pub const START: u32 = 1;

/// A deterministic automaton, as it is built: transitions on some bytes, and one for all others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    /// Where a byte leads that has no edge; never taken by `/`.
    pub(crate) default: Vec<u32>,
    /// Where the edges of each state begin; one more than states.
    pub(crate) first: Vec<u32>,
    /// Edges of a state, in order of their bytes.
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
        let first = self.first.get(state).map_or(0, |first| *first as usize);
        let end = self.first.get(state + 1).map_or(0, |end| *end as usize);
        self.edges.get(first..end).unwrap_or_default()
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

/// How the transitions are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// By the number of states.
    Fitting,
    /// One entry for each state and class of bytes.
    Dense,
    /// Rows laid over each other.
    Comb,
}

/// The transitions of an automaton, as the kernel reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Automaton {
    /// `rows[state * width + classes[byte]]` is the next state.
    Dense {
        /// The class of each byte, 256 of them.
        classes: Vec<u8>,
        /// Classes.
        width: u32,
        /// Next states.
        rows: Vec<u32>,
    },
    /// `entries[base + byte]` holds the next state in its upper 24 bits if its lower 8 bits are the
    /// byte and the upper ones not [`EMPTY`]; else the default of the state is next, and for `/`
    /// the dead state.
    Comb {
        /// Base and default of each state.
        states: Vec<[u32; 2]>,
        /// Next states with the byte they are for.
        entries: Vec<u32>,
    },
}

/// The upper 24 bits of a free entry of the packed form.
pub const EMPTY: u32 = 0x00ff_ffff;

impl Automaton {
    /// Lays out the transitions of a graph.
    pub(crate) fn of(graph: &Graph, layout: Layout) -> Result<Automaton, Error> {
        match layout {
            Layout::Dense => dense::rows(graph),
            Layout::Comb => comb::pack(graph),
            Layout::Fitting if graph.len() <= DENSE_STATES_MAX => dense::rows(graph),
            Layout::Fitting => comb::pack(graph),
        }
    }

    /// Where a byte leads.
    pub fn step(&self, state: u32, byte: u8) -> u32 {
        match self {
            Automaton::Dense { classes, width, rows } => {
                let class = classes.get(usize::from(byte)).copied().unwrap_or(0);
                let row = state as usize * *width as usize;
                rows.get(row + usize::from(class)).copied().unwrap_or(DEAD)
            }
            Automaton::Comb { states, entries } => {
                let [base, default] = states.get(state as usize).copied().unwrap_or([0, DEAD]);
                let entry = entries.get(base as usize + usize::from(byte)).copied();
                let entry = entry.unwrap_or(u32::MAX);
                if entry & 0xff == u32::from(byte) && entry >> 8 != EMPTY {
                    entry >> 8
                } else if byte == b'/' {
                    DEAD
                } else {
                    default
                }
            }
        }
    }

    /// How many states there are, the dead one included.
    pub fn states(&self) -> usize {
        match self {
            Automaton::Dense { width, rows, .. } => rows.len() / (*width as usize).max(1),
            Automaton::Comb { states, .. } => states.len(),
        }
    }

    /// Bytes of the tables.
    pub fn bytes(&self) -> usize {
        match self {
            Automaton::Dense { rows, .. } => 256 + rows.len() * 4,
            Automaton::Comb { states, entries } => states.len() * 8 + entries.len() * 4,
        }
    }
}

#[cfg(test)]
mod tests;
