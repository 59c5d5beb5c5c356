//! All anchored patterns as one tree: common beginnings are stored once, wildcards included.

use crate::bits::Bits;
use crate::pattern::{Atom, Part, Pattern};

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// What a node does with a byte that leads nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stays {
    /// It is left.
    #[default]
    No,
    /// It is kept, but for `/`: within a `*`.
    InName,
    /// It is kept: within a `**`.
    Always,
}

/// A position in all patterns that begin alike.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) edges: Vec<(u8, u32)>,
    pub(super) sets: Vec<(Bits, u32)>,
    /// Entered without a byte: the `*` that may come here.
    pub(super) star: u32,
    /// Entered by `/`: the names that a `**` stands for.
    pub(super) deep: u32,
    /// Entered without a byte, from here and from `deep`: what follows the `**`.
    pub(super) after: u32,
    pub(super) stays: Stays,
    /// What is accepted here.
    pub(super) accepts: Vec<u32>,
}

impl Node {
    fn new(stays: Stays) -> Node {
        Node {
            edges: Vec::new(),
            sets: Vec::new(),
            star: NONE,
            deep: NONE,
            after: NONE,
            stays,
            accepts: Vec::new(),
        }
    }
}

/// The tree; node 0 is before the first byte.
#[derive(Debug)]
pub(crate) struct Trie {
    pub(super) nodes: Vec<Node>,
}

#[expect(clippy::indexing_slicing, reason = "all node numbers come from `grow`")]
impl Trie {
    /// Without any pattern.
    pub(crate) fn new() -> Trie {
        Trie { nodes: vec![Node::new(Stays::No)] }
    }

    /// How many positions there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a pattern; a path that fits it is accepted with this number.
    pub(crate) fn add(&mut self, pattern: &Pattern, accept: u32) {
        let mut at = 0;
        for part in &pattern.parts {
            match part {
                Part::Deep => at = self.deep(at),
                Part::Name(atoms) => {
                    at = self.byte(at, b'/');
                    for atom in atoms {
                        at = match atom {
                            Atom::Byte(byte) => self.byte(at, *byte),
                            Atom::Set(set) => self.set(at, **set),
                            Atom::Star => self.star(at),
                        };
                    }
                }
            }
        }
        let accepts = &mut self.nodes[at as usize].accepts;
        if let Err(place) = accepts.binary_search(&accept) {
            accepts.insert(place, accept);
        }
    }

    fn grow(&mut self, stays: Stays) -> u32 {
        let number = crate::error::number(self.nodes.len());
        self.nodes.push(Node::new(stays));
        number
    }

    fn byte(&mut self, at: u32, byte: u8) -> u32 {
        let known = self.nodes[at as usize].edges.iter().find(|edge| edge.0 == byte);
        if let Some((_, known)) = known {
            return *known;
        }
        let node = self.grow(Stays::No);
        self.nodes[at as usize].edges.push((byte, node));
        node
    }

    fn set(&mut self, at: u32, set: Bits) -> u32 {
        let known = self.nodes[at as usize].sets.iter().find(|edge| edge.0 == set);
        if let Some((_, known)) = known {
            return *known;
        }
        let node = self.grow(Stays::No);
        self.nodes[at as usize].sets.push((set, node));
        node
    }

    fn star(&mut self, at: u32) -> u32 {
        if self.nodes[at as usize].star == NONE {
            self.nodes[at as usize].star = self.grow(Stays::InName);
        }
        self.nodes[at as usize].star
    }

    fn deep(&mut self, at: u32) -> u32 {
        if self.nodes[at as usize].deep == NONE {
            let deep = self.grow(Stays::Always);
            let after = self.grow(Stays::No);
            self.nodes[deep as usize].after = after;
            self.nodes[at as usize].deep = deep;
            self.nodes[at as usize].after = after;
        }
        self.nodes[at as usize].after
    }
}
