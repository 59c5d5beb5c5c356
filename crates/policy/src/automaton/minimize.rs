//! Merges states that accept the same from there on.
//!
//! Nearly all of an automaton of paths is a tree, in which the states below a state say all about
//! it: one pass from the leaves gives each a fingerprint, and states with the same are alike. That
//! misses some around loops, so Hopcroft's partition refinement follows where it is cheap, over the
//! transitions that exist: blocks of states and blocks of transitions are split by each other until
//! neither changes. The default transition of a state is one more letter. An edge and a default
//! that come to lead to the same block are joined and looked at again.
#![expect(clippy::indexing_slicing, reason = "elements and sets are numbered by `Partition`")]

use super::live::last_first;
use super::{DEAD, Graph, START};
use crate::error::number;

/// States up to which all equal ones are found. Of more, fingerprints leave a percent or two, and
/// the refinement would take longer than all the rest.
const EXACT_STATES_MAX: usize = 1 << 16;

/// The letter of default transitions, after all bytes.
const DEFAULT: u16 = 256;

/// Disjoint sets of numbers that are split by marking elements.
struct Partition {
    elements: Vec<u32>,
    place: Vec<u32>,
    set: Vec<u32>,
    first: Vec<u32>,
    end: Vec<u32>,
    marked: Vec<u32>,
    touched: Vec<u32>,
}

impl Partition {
    /// Sets of the elements with equal keys.
    fn by_key(keys: impl Iterator<Item = u64>) -> Partition {
        let mut sorted: Vec<(u64, u32)> = keys.zip(0..).collect();
        sorted.sort_unstable();
        let count = sorted.len();
        let mut partition = Partition {
            elements: sorted.iter().map(|one| one.1).collect(),
            place: vec![0; count],
            set: vec![0; count],
            first: Vec::new(),
            end: Vec::new(),
            marked: Vec::new(),
            touched: Vec::new(),
        };
        let mut at = 0;
        for same in sorted.chunk_by(|one, other| one.0 == other.0) {
            let set = number(partition.first.len());
            partition.first.push(at);
            for (_, element) in same {
                partition.set[*element as usize] = set;
                partition.place[*element as usize] = at;
                at += 1;
            }
            partition.end.push(at);
            partition.marked.push(0);
        }
        partition
    }

    fn len(&self) -> usize {
        self.first.len()
    }

    fn mark(&mut self, element: u32) {
        let set = self.set[element as usize] as usize;
        let from = self.place[element as usize];
        let to = self.first[set] + self.marked[set];
        if from < to {
            return;
        }
        let other = self.elements[to as usize];
        self.elements.swap(from as usize, to as usize);
        self.place[other as usize] = from;
        self.place[element as usize] = to;
        if self.marked[set] == 0 {
            self.touched.push(number(set));
        }
        self.marked[set] += 1;
    }

    /// Splits each touched set in marked and others; the smaller half gets a new number.
    fn split(&mut self) {
        while let Some(set) = self.touched.pop() {
            let set = set as usize;
            let middle = self.first[set] + self.marked[set];
            if middle < self.end[set] {
                if self.marked[set] <= self.end[set] - middle {
                    self.first.push(self.first[set]);
                    self.end.push(middle);
                    self.first[set] = middle;
                } else {
                    self.first.push(middle);
                    self.end.push(self.end[set]);
                    self.end[set] = middle;
                }
                self.marked.push(0);
                let new = self.first.len() - 1;
                for at in self.first[new]..self.end[new] {
                    self.set[self.elements[at as usize] as usize] = number(new);
                }
            }
            self.marked[set] = 0;
        }
    }
}

/// Transitions as three columns.
struct Moves {
    from: Vec<u32>,
    letter: Vec<u16>,
    to: Vec<u32>,
}

fn moves(graph: &Graph) -> Moves {
    let room = graph.edges.len() + graph.len();
    let mut moves = Moves {
        from: Vec::with_capacity(room),
        letter: Vec::with_capacity(room),
        to: Vec::with_capacity(room),
    };
    for state in 0..graph.len() {
        let edges = graph.edges(state).iter().map(|(byte, to)| (u16::from(*byte), *to));
        let default = [(DEFAULT, graph.default[state])].into_iter().filter(|edge| edge.1 != DEAD);
        for (letter, to) in edges.chain(default) {
            moves.from.push(number(state));
            moves.letter.push(letter);
            moves.to.push(to);
        }
    }
    moves
}

/// A step of a fingerprint.
fn mix(hash: u64, item: u64) -> u64 {
    // Turned first, so that it matters which item came before which.
    let mixed = (hash.rotate_left(23) ^ item).wrapping_mul(0x9fb2_1c65_1e98_df25);
    mixed ^ (mixed >> 29)
}

/// For each state a number that is equal for equal states, as far as loops allow.
fn fingerprints(graph: &Graph) -> Vec<u64> {
    // What a state is as seen from itself, or from within a loop.
    const SELF: u64 = 1;
    const LOOP: u64 = 2;
    // Labels and bytes are small numbers alike: what is mixed with them must not be small.
    const SEED: u64 = 0x2545_f491_4f6c_dd1d;
    let mut prints = vec![LOOP; graph.len()];
    prints[DEAD as usize] = 0;
    for state in last_first(graph) {
        let default = graph.default[state];
        let print = |own: u32| {
            let seen = |to: u32| if to == own { SELF } else { prints[to as usize] };
            let start = mix(mix(SEED, u64::from(graph.output[state])), seen(default));
            let edges = graph.edges(state).iter();
            edges.fold(start, |hash, (byte, to)| mix(mix(hash, (*byte).into()), seen(*to)))
        };
        // The state before a `*` is often the one within it: they are one block.
        let within = if default == DEAD { 0 } else { print(default).max(LOOP + 1) };
        let same = default != DEAD && within == prints[default as usize];
        prints[state] = if same { within } else { print(number(state)).max(LOOP + 1) };
    }
    prints
}

/// Whether the states of each block accept the same and lead to the same blocks.
fn is_stable(graph: &Graph, blocks: &Partition) -> bool {
    let same = |one: usize, other: usize| {
        let set = |state: u32| blocks.set[state as usize];
        let (edges, others) = (graph.edges(one), graph.edges(other));
        graph.output[one] == graph.output[other]
            && set(graph.default[one]) == set(graph.default[other])
            && edges.len() == others.len()
            && edges
                .iter()
                .zip(others)
                .all(|(one, other)| one.0 == other.0 && set(one.1) == set(other.1))
    };
    blocks.first.iter().zip(&blocks.end).all(|(first, end)| {
        let states = &blocks.elements[*first as usize..*end as usize];
        states.windows(2).all(|pair| same(pair[0] as usize, pair[1] as usize))
    })
}

/// Blocks of states that are surely equal: all that are, but for some around loops.
fn alike(graph: &Graph) -> Partition {
    let blocks = Partition::by_key(fingerprints(graph).into_iter());
    if is_stable(graph, &blocks) { blocks } else { equal(graph) }
}

/// Blocks of states that are equal, all of them.
fn equal(graph: &Graph) -> Partition {
    let output = |state: usize| match u32::try_from(state) {
        Ok(DEAD) => u64::MAX,
        _ => u64::from(graph.output[state]),
    };
    refine(graph, Partition::by_key((0..graph.len()).map(output)))
}

/// Hopcroft's refinement.
fn refine(graph: &Graph, mut blocks: Partition) -> Partition {
    let moves = moves(graph);
    let count = graph.len();
    let mut cords = Partition::by_key(moves.letter.iter().map(|letter| u64::from(*letter)));
    let mut first = vec![0_u32; count + 1];
    for to in &moves.to {
        first[*to as usize + 1] += 1;
    }
    for state in 0..count {
        first[state + 1] += first[state];
    }
    let mut fill = first.clone();
    let mut incoming = vec![0_u32; moves.to.len()];
    for (edge, to) in moves.to.iter().enumerate() {
        incoming[fill[*to as usize] as usize] = number(edge);
        fill[*to as usize] += 1;
    }
    let (mut block, mut cord) = (0, 0);
    while cord < cords.len() {
        for at in cords.first[cord]..cords.end[cord] {
            blocks.mark(moves.from[cords.elements[at as usize] as usize]);
        }
        blocks.split();
        cord += 1;
        while block < blocks.len() {
            for at in blocks.first[block]..blocks.end[block] {
                let state = blocks.elements[at as usize] as usize;
                for edge in first[state]..first[state + 1] {
                    cords.mark(incoming[edge as usize]);
                }
            }
            cords.split();
            block += 1;
        }
    }
    blocks
}

/// The graph with equal states merged, states numbered in the order in which paths meet them.
pub(crate) fn minimize(graph: &Graph) -> Graph {
    let (mut graph, mut again) = merged(graph, &alike(graph));
    while again {
        (graph, again) = merged(&graph, &alike(&graph));
    }
    again = graph.len() <= EXACT_STATES_MAX;
    while again {
        (graph, again) = merged(&graph, &equal(&graph));
    }
    graph
}

/// The graph with the states of each block merged, and whether another round may find more.
fn merged(graph: &Graph, blocks: &Partition) -> (Graph, bool) {
    let mut numbers = vec![u32::MAX; blocks.len()];
    numbers[blocks.set[DEAD as usize] as usize] = DEAD;
    numbers[blocks.set[START as usize] as usize] = START;
    let mut merged = Graph::default();
    merged.grow(blocks.len());
    let (mut next, mut again) = (START + 1, false);
    // Deepest first: the states of one path stay next to each other.
    let (mut waiting, mut edges) = (vec![START], Vec::new());
    while let Some(state) = waiting.pop() {
        let from = numbers[blocks.set[state as usize] as usize];
        let state = state as usize;
        let begin = waiting.len();
        let mut visit = |to: u32| {
            let block = blocks.set[to as usize] as usize;
            if numbers[block] == u32::MAX {
                numbers[block] = next;
                next += 1;
                waiting.push(to);
            }
            numbers[block]
        };
        let default = visit(graph.default[state]);
        edges.clear();
        for (byte, to) in graph.edges(state) {
            let to = visit(*to);
            if *byte == b'/' || to != default {
                edges.push((*byte, to));
            } else {
                again = true;
            }
        }
        waiting[begin..].reverse();
        merged.set(from, default, graph.output[state], &edges);
    }
    (merged, again)
}

#[cfg(test)]
mod tests {
    use super::super::{Bounds, Trie, determine};
    use super::*;
    use crate::pattern::Pattern;

    #[test]
    fn a_tree_with_whole_directories_needs_no_refinement() {
        let mut trie = Trie::new();
        for number in 1..600 {
            let name = format!("/srv/{}/{}", number % 37, number * 7919);
            let pattern = if number % 2 == 0 { name } else { format!("{name}/**") };
            trie.add(&Pattern::parse(&pattern).unwrap(), number);
        }
        // Labels that are bytes, on the byte that is the other label.
        trie.add(&Pattern::parse("/x/b").unwrap(), u32::from(b'a'));
        trie.add(&Pattern::parse("/y/a").unwrap(), u32::from(b'b'));
        let mut determined = determine(&trie, Bounds::default()).unwrap();
        let mut graph = std::mem::take(&mut determined.graph);
        for output in &mut graph.output {
            *output = determined.outputs[*output as usize].first().copied().unwrap_or(0);
        }
        let blocks = Partition::by_key(fingerprints(&graph).into_iter());
        assert!(is_stable(&graph, &blocks), "fingerprints of different states are equal");
        assert_eq!(blocks.len(), equal(&graph).len());
    }
}
