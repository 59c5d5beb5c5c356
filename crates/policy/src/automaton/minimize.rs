//! Merges states that accept the same from there on.
//!
//! Hopcroft's partition refinement, over the transitions that exist: blocks of states and blocks of
//! transitions are split by each other until neither changes, in time near linear in their number.
//! The default transition of a state is one more letter. So states are merged only if they are
//! equal; an edge and a default that come to lead to the same block are then joined and looked at
//! again.
#![expect(clippy::indexing_slicing, reason = "elements and sets are numbered by `Partition`")]

use super::{DEAD, Graph, START};
use crate::error::number;

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
    fn by_key<K: Ord>(count: usize, key: impl Fn(u32) -> K) -> Partition {
        let mut elements: Vec<u32> = (0..number(count)).collect();
        elements.sort_by_key(|element| key(*element));
        let mut partition = Partition {
            place: vec![0; count],
            set: vec![0; count],
            first: Vec::new(),
            end: Vec::new(),
            marked: Vec::new(),
            touched: Vec::new(),
            elements,
        };
        for at in 0..count {
            let element = partition.elements[at];
            let before = at.checked_sub(1).map(|at| partition.elements[at]);
            if before.is_none_or(|before| key(before) != key(element)) {
                partition.first.push(number(at));
                partition.end.push(number(at));
                partition.marked.push(0);
            }
            let set = partition.first.len() - 1;
            partition.end[set] += 1;
            partition.set[element as usize] = number(set);
            partition.place[element as usize] = number(at);
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

/// The block of each state, when no block can be split any more.
fn blocks(graph: &Graph) -> Partition {
    let moves = moves(graph);
    let count = graph.len();
    let key = |state| if state == DEAD { None } else { Some(graph.output[state as usize]) };
    let mut blocks = Partition::by_key(count, key);
    let mut cords = Partition::by_key(moves.from.len(), |edge| moves.letter[edge as usize]);
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
    let (mut block, mut cord) = (1, 0);
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
    let (mut graph, mut again) = merged(graph);
    while again {
        (graph, again) = merged(&graph);
    }
    graph
}

/// One round, and whether another may find more.
fn merged(graph: &Graph) -> (Graph, bool) {
    let blocks = blocks(graph);
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
