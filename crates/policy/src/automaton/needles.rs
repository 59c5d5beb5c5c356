//! Texts that may stand anywhere in a path: all are looked for at once.
#![expect(clippy::indexing_slicing, reason = "all node numbers come from `grow`")]

use std::collections::VecDeque;

use super::{Graph, START};
use crate::error::{Error, number};
use crate::limits::{EDGES_MAX, STATES_MAX};

/// What is known in a state about the texts that were just read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Numbers of the texts that have just ended.
    pub(crate) ended: Vec<u32>,
    /// Numbers of the texts of which a part was read that is followed by a slash: they can be
    /// completed below what was read so far.
    pub(crate) open: Vec<u32>,
}

#[derive(Debug, Default)]
struct Node {
    edges: Vec<(u8, u32)>,
    fail: u32,
    found: Found,
}

/// The tree of texts. Node 0 is the root; in the graph it is the start state.
#[derive(Debug)]
pub(crate) struct Needles {
    nodes: Vec<Node>,
}

impl Needles {
    /// No text.
    pub(crate) fn new() -> Needles {
        Needles { nodes: vec![Node::default()] }
    }

    /// Adds a text with its number.
    pub(crate) fn add(&mut self, text: &[u8], needle: u32) {
        let mut at = 0;
        for (position, byte) in text.iter().enumerate() {
            if *byte == b'/' && position > 0 {
                self.nodes[at as usize].found.open.push(needle);
            }
            at = self.child(at, *byte);
        }
        self.nodes[at as usize].found.ended.push(needle);
    }

    fn child(&mut self, at: u32, byte: u8) -> u32 {
        let known = self.nodes[at as usize].edges.iter().find(|edge| edge.0 == byte);
        if let Some((_, known)) = known {
            return *known;
        }
        let node = number(self.nodes.len());
        self.nodes.push(Node::default());
        self.nodes[at as usize].edges.push((byte, node));
        node
    }

    /// The automaton, and what is found in each of its states, the dead one first.
    pub(crate) fn graph(mut self) -> Result<(Graph, Vec<Found>), Error> {
        if self.nodes.len() >= STATES_MAX {
            return Err(Error::TooComplex { what: "states", max: STATES_MAX });
        }
        let mut moves: Vec<Vec<(u8, u32)>> = vec![Vec::new(); self.nodes.len()];
        let mut queue = VecDeque::from([0_u32]);
        let mut edges = 0;
        while let Some(at) = queue.pop_front() {
            let own = std::mem::take(&mut self.nodes[at as usize].edges);
            let fail = self.nodes[at as usize].fail;
            let mut row = if at == 0 { Vec::new() } else { moves[fail as usize].clone() };
            for (byte, child) in own {
                let place = row.binary_search_by_key(&byte, |edge| edge.0);
                let shorter = place.ok().map_or(0, |place| row[place].1);
                self.enter(child, shorter);
                queue.push_back(child);
                match place {
                    Ok(place) => row[place].1 = child,
                    Err(place) => row.insert(place, (byte, child)),
                }
            }
            edges += row.len();
            if edges > EDGES_MAX {
                return Err(Error::TooComplex { what: "transitions", max: EDGES_MAX });
            }
            moves[at as usize] = row;
        }
        Ok((graph(&moves), self.found()))
    }

    /// A node is about to be visited: it also finds what the longest text that ends in it finds.
    fn enter(&mut self, node: u32, fail: u32) {
        let shorter = self.nodes[fail as usize].found.clone();
        let node = &mut self.nodes[node as usize];
        node.fail = fail;
        for (mine, more) in
            [(&mut node.found.ended, shorter.ended), (&mut node.found.open, shorter.open)]
        {
            mine.extend(more);
            mine.sort_unstable();
            mine.dedup();
        }
    }

    fn found(self) -> Vec<Found> {
        let dead = Found::default();
        std::iter::once(dead).chain(self.nodes.into_iter().map(|node| node.found)).collect()
    }
}

/// Nodes become states, one number higher. Any byte without an edge leads back to the start.
fn graph(moves: &[Vec<(u8, u32)>]) -> Graph {
    let mut graph = Graph::default();
    graph.grow(moves.len() + 1);
    for (node, row) in (START..).zip(moves) {
        let mut edges: Vec<(u8, u32)> = row.iter().map(|(byte, node)| (*byte, node + 1)).collect();
        if let Err(place) = edges.binary_search_by_key(&b'/', |edge| edge.0) {
            edges.insert(place, (b'/', START));
        }
        graph.set(node, START, 0, &edges);
    }
    graph
}
