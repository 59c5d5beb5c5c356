//! From the tree of patterns to a deterministic automaton: a state is a set of positions.

use hashbrown::HashTable;

use super::trie::{NONE, Stays, Trie};
use super::{DEAD, Graph, START};
use crate::bits::Bits;
use crate::error::{Error, number};
use crate::limits::{EDGES_MAX, STATES_MAX, WORK_MAX};

/// A deterministic automaton and what its outputs stand for.
#[derive(Debug, Default)]
pub(crate) struct Determined {
    pub(crate) graph: Graph,
    /// For each output the numbers of the patterns that fit, in order; the first is empty.
    pub(crate) outputs: Vec<Box<[u32]>>,
}

/// Lists of numbers, each stored once, one after another.
#[derive(Default)]
struct Lists {
    items: Vec<u32>,
    ends: Vec<u32>,
    known: HashTable<u32>,
}

fn hash(list: &[u32]) -> u64 {
    // Sets are short, and who writes policies gains nothing by collisions: a mixer is enough.
    list.iter().fold(0x9e37_79b9_7f4a_7c15, |hash: u64, item| {
        (hash.rotate_left(5) ^ u64::from(*item)).wrapping_mul(0xf135_7aea_2e62_a9c5)
    })
}

impl Lists {
    fn get(items: &[u32], ends: &[u32], at: usize) -> (usize, usize) {
        let begin = at.checked_sub(1).and_then(|at| ends.get(at)).map_or(0, |end| *end as usize);
        (begin, ends.get(at).map_or(items.len(), |end| *end as usize))
    }

    fn list(&self, at: usize) -> &[u32] {
        let (begin, end) = Lists::get(&self.items, &self.ends, at);
        self.items.get(begin..end).unwrap_or_default()
    }

    /// The number of a list, and whether it is new.
    fn intern(&mut self, list: &[u32]) -> (u32, bool) {
        let hash = hash(list);
        let known = self.known.find(hash, |at| self.list(*at as usize) == list);
        if let Some(at) = known {
            return (*at, false);
        }
        let at = number(self.ends.len());
        self.items.extend_from_slice(list);
        self.ends.push(number(self.items.len()));
        let Lists { items, ends, known } = self;
        known.insert_unique(hash, at, |at| {
            let (begin, end) = Lists::get(items, ends, *at as usize);
            self::hash(items.get(begin..end).unwrap_or_default())
        });
        (at, true)
    }
}

/// How large an automaton may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) states: usize,
    pub(crate) positions: usize,
    pub(crate) edges: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { states: STATES_MAX, positions: WORK_MAX, edges: EDGES_MAX }
    }
}

/// Makes the automaton of all patterns of the tree.
pub(crate) fn determine(trie: &Trie, bounds: Bounds) -> Result<Determined, Error> {
    let mut work = Work { trie, bounds, states: Lists::default(), outputs: Lists::default() };
    let mut graph = Graph::default();
    // Without wildcards there are as many states as positions; growing on the way costs more.
    work.states.known.reserve(trie.len(), |_| 0);
    work.outputs.intern(&[]);
    work.states.intern(&[]);
    let mut set = vec![0];
    work.close(&mut set);
    work.states.intern(&set);
    let mut moves = Moves::default();
    // Deepest first: the states of one path get numbers, and later places, next to each other.
    let (mut waiting, mut seen) = (vec![START], START);
    while let Some(state) = waiting.pop() {
        set.clear();
        set.extend_from_slice(work.states.list(state as usize));
        let output = work.output(&set);
        work.moves(&set, &mut moves)?;
        let len = work.states.ends.len();
        graph.grow(len);
        graph.set(state, moves.default, output, &moves.edges);
        if graph.edges.len() > bounds.edges {
            return Err(Error::TooComplex { what: "transitions", max: bounds.edges });
        }
        waiting.extend((seen + 1..number(len)).rev());
        seen = number(len) - 1;
    }
    let lists = 0..work.outputs.ends.len();
    let outputs = lists.map(|at| work.outputs.list(at).into()).collect();
    Ok(Determined { graph, outputs })
}

/// Where a state leads.
#[derive(Default)]
struct Moves {
    default: u32,
    edges: Vec<(u8, u32)>,
    /// Positions that are kept on every byte but `/`.
    kept: Vec<u32>,
    /// Positions that large sets lead to, on every byte without an edge.
    large: Vec<u32>,
    /// Byte and position it leads to.
    pairs: Vec<(u8, u32)>,
    target: Vec<u32>,
}

struct Work<'a> {
    trie: &'a Trie,
    bounds: Bounds,
    states: Lists,
    outputs: Lists,
}

#[expect(clippy::indexing_slicing, reason = "all node numbers come from the tree itself")]
impl Work<'_> {
    /// Adds what is entered without a byte, and puts the set in order.
    fn close(&self, set: &mut Vec<u32>) {
        let mut at = 0;
        while let Some(node) = set.get(at) {
            let node = &self.trie.nodes[*node as usize];
            set.extend([node.star, node.after].into_iter().filter(|next| *next != NONE));
            at += 1;
        }
        set.sort_unstable();
        set.dedup();
    }

    fn output(&mut self, set: &[u32]) -> u32 {
        let mut accepts: Vec<u32> = Vec::new();
        for node in set {
            accepts.extend_from_slice(&self.trie.nodes[*node as usize].accepts);
        }
        accepts.sort_unstable();
        accepts.dedup();
        self.outputs.intern(&accepts).0
    }

    fn state(&mut self, set: &mut Vec<u32>) -> Result<u32, Error> {
        if set.is_empty() {
            return Ok(DEAD);
        }
        self.close(set);
        let (state, _) = self.states.intern(set);
        if self.states.ends.len() > self.bounds.states {
            return Err(Error::TooComplex { what: "states", max: self.bounds.states });
        }
        if self.states.items.len() > self.bounds.positions {
            let max = self.bounds.positions;
            return Err(Error::TooComplex { what: "remembered positions", max });
        }
        Ok(state)
    }

    fn moves(&mut self, set: &[u32], moves: &mut Moves) -> Result<(), Error> {
        moves.edges.clear();
        moves.kept.clear();
        moves.large.clear();
        moves.pairs.clear();
        for at in set {
            let node = &self.trie.nodes[*at as usize];
            moves.pairs.extend_from_slice(&node.edges);
            if node.deep != NONE {
                moves.pairs.push((b'/', node.deep));
            }
            match node.stays {
                Stays::No => {}
                Stays::InName => moves.kept.push(*at),
                Stays::Always => {
                    moves.kept.push(*at);
                    moves.pairs.push((b'/', *at));
                }
            }
        }
        self.sets(set, moves);
        moves.pairs.sort_unstable();
        moves.pairs.dedup();
        moves.target.clone_from(&moves.kept);
        moves.target.extend_from_slice(&moves.large);
        moves.default = self.state(&mut moves.target)?;
        let mut pairs = moves.pairs.as_slice();
        while let Some((byte, _)) = pairs.first() {
            let count = pairs.iter().take_while(|pair| pair.0 == *byte).count();
            let (same, rest) = pairs.split_at(count);
            moves.target.clear();
            if *byte != b'/' {
                moves.target.extend_from_slice(&moves.kept);
            }
            moves.target.extend(same.iter().filter(|pair| pair.1 != NONE).map(|pair| pair.1));
            let target = self.state(&mut moves.target)?;
            if *byte == b'/' || target != moves.default {
                moves.edges.push((*byte, target));
            }
            pairs = rest;
        }
        Ok(())
    }

    /// Sets of bytes. A large one is kept for all bytes, and the bytes that it lacks become edges of
    /// their own; `NONE` marks a byte that only has to be told apart.
    fn sets(&self, set: &[u32], moves: &mut Moves) {
        let nodes = set.iter().flat_map(|at| self.trie.nodes[*at as usize].sets.iter());
        let sets: Vec<&(Bits, u32)> = nodes.collect();
        if sets.is_empty() {
            return;
        }
        let large = |bits: &Bits| bits.0.iter().map(|word| word.count_ones()).sum::<u32>() > 128;
        let mut apart: Bits = moves.pairs.iter().map(|pair| pair.0).collect();
        for (bits, _) in &sets {
            apart |= if large(bits) { !*bits } else { *bits };
        }
        for byte in apart.iter().filter(|byte| *byte != b'/') {
            moves.pairs.push((byte, NONE));
            moves.pairs.extend(sets.iter().filter(|one| one.0.has(byte)).map(|one| (byte, one.1)));
        }
        moves.large.extend(sets.iter().filter(|one| large(&one.0)).map(|one| one.1));
    }
}
