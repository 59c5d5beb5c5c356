//! Which labels a path has: both automata and what is known in their states.

use std::collections::{BTreeMap, HashMap};

use crate::automaton::{
    Automaton, Bounds, DEAD, Found, Graph, Needles, START, Trie, below, determine, minimize,
};
use crate::error::{Error, number};
use crate::labels::{Claim, Labels, Threats};
use crate::limits::NEEDLES_MAX;
use crate::pattern::{Class, Needle, NeedlePlace, Pattern};

/// The labels of a state of the anchored automaton.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Anchored {
    /// Of a path that ends here.
    pub label: u32,
    /// Of a directory whose path ends here, for what may come below it.
    pub live: u32,
}

/// What a state of the automaton of texts knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loose {
    /// Of a path that ends here.
    pub label: u32,
    /// Of a directory whose path ends here, for what may come below it.
    pub live: u32,
    /// Texts that were found here.
    pub hits: u64,
}

/// Labels of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Patterns that are read from the root.
    pub anchored: Automaton,
    /// For each of its states.
    pub anchored_states: Vec<Anchored>,
    /// Texts that may stand anywhere.
    pub loose: Automaton,
    /// For each of its states.
    pub loose_states: Vec<Loose>,
    /// Hits that a slash does not clear.
    pub sticky: u64,
    /// The label of each hit.
    pub hit_labels: Vec<u32>,
}

/// How far a path was read. It is also where reading begins for the files of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// State of the anchored automaton.
    pub anchored: u32,
    /// State of the automaton of texts.
    pub loose: u32,
    /// Texts found so far.
    pub hits: u64,
}

impl Cursor {
    /// Before the first byte of a path as the host sees it.
    pub const START: Cursor = Cursor { anchored: START, loose: START, hits: 0 };
}

impl Paths {
    /// Reads on. A path is `/name/name` without an end slash; the root is the empty path.
    pub fn read(&self, mut at: Cursor, path: &[u8]) -> Cursor {
        for byte in path {
            at.anchored = self.anchored.step(at.anchored, *byte);
            at.loose = self.loose.step(at.loose, *byte);
            if *byte == b'/' {
                at.hits &= self.sticky;
            }
            at.hits |= self.loose_states.get(at.loose as usize).map_or(0, |state| state.hits);
        }
        at
    }

    /// The labels of a path that ends here, 0 left out.
    pub fn labels(&self, at: Cursor) -> impl Iterator<Item = u32> {
        let anchored = self.anchored_states.get(at.anchored as usize).map(|state| state.label);
        let loose = self.loose_states.get(at.loose as usize).map(|state| state.label);
        let hits = self.hit_labels.iter().enumerate();
        let hits = hits.filter(move |(bit, _)| at.hits >> bit & 1 != 0).map(|hit| *hit.1);
        anchored.into_iter().chain(loose).chain(hits).filter(|label| *label != 0)
    }

    /// The labels for what may come below a directory whose path ends here, 0 left out.
    pub fn live(&self, at: Cursor) -> impl Iterator<Item = u32> {
        let anchored = self.anchored_states.get(at.anchored as usize).map(|state| state.live);
        let loose = self.loose_states.get(at.loose as usize).map(|state| state.live);
        anchored.into_iter().chain(loose).filter(|label| *label != 0)
    }
}

/// Sizes on the way to the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Different patterns.
    pub patterns: usize,
    /// Positions of all anchored patterns, common beginnings counted once.
    pub positions: usize,
    /// States of the anchored automaton before equal ones were merged.
    pub states_before: usize,
    /// States of the anchored automaton.
    pub states: usize,
    /// States of the automaton of texts.
    pub loose_states: usize,
    /// Texts with a bit of their own, by the rules that they belong to.
    pub hits: usize,
}

/// Gathers patterns with what they claim.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    claims: BTreeMap<Pattern, Vec<Claim>>,
}

impl Builder {
    /// A path that fits the pattern makes the claim hold.
    pub(crate) fn add(&mut self, pattern: Pattern, claim: Claim) {
        self.claims.entry(pattern).or_default().push(claim);
    }

    /// Builds both automata.
    pub(crate) fn build(
        self,
        labels: &mut Labels,
        threats: &mut Threats<'_>,
    ) -> Result<(Paths, Sizes), Error> {
        let mut sizes = Sizes { patterns: self.claims.len(), ..Sizes::default() };
        // Patterns of the same rules are not told apart: that is what makes automata small.
        let mut groups = Groups::default();
        let mut trie = Trie::new();
        let mut needles: Vec<(Needle, u32)> = Vec::new();
        for (pattern, mut claims) in self.claims {
            claims.sort_unstable();
            claims.dedup();
            let group = groups.number(claims);
            match pattern.class() {
                Class::Anchored => trie.add(&pattern, group),
                Class::Loose(texts) => {
                    needles.extend(texts.into_iter().map(|text| (text, group)));
                }
            }
        }
        sizes.positions = trie.len();
        let (graph, states) = anchored(&trie, &groups, labels, threats, &mut sizes)?;
        let mut paths = Paths {
            anchored: Automaton::of(&graph)?,
            anchored_states: states,
            loose: Automaton::default(),
            loose_states: Vec::new(),
            sticky: 0,
            hit_labels: Vec::new(),
        };
        loose(&needles, &groups, labels, threats, &mut paths)?;
        sizes.loose_states = paths.loose_states.len();
        sizes.hits = paths.hit_labels.len();
        Ok((paths, sizes))
    }
}

/// Sets of claims, each stored once.
#[derive(Default)]
struct Groups {
    numbers: HashMap<Vec<Claim>, u32>,
    claims: Vec<Vec<Claim>>,
}

impl Groups {
    fn number(&mut self, claims: Vec<Claim>) -> u32 {
        let next = number(self.claims.len());
        *self.numbers.entry(claims).or_insert_with_key(|claims| {
            self.claims.push(claims.clone());
            next
        })
    }

    fn get(&self, group: u32) -> &[Claim] {
        self.claims.get(group as usize).map_or(&[], |claims| claims)
    }

    /// The claims of several groups.
    fn all<'g>(&self, groups: impl IntoIterator<Item = &'g u32>) -> Vec<Claim> {
        groups.into_iter().flat_map(|group| self.get(*group)).copied().collect()
    }
}

/// The automaton of patterns from the root; the outputs of the graph are labels.
fn anchored(
    trie: &Trie,
    groups: &Groups,
    labels: &mut Labels,
    threats: &mut Threats<'_>,
    sizes: &mut Sizes,
) -> Result<(Graph, Vec<Anchored>), Error> {
    let mut determined = determine(trie, Bounds::default())?;
    sizes.states_before = determined.graph.len();
    let mut of_output = Vec::with_capacity(determined.outputs.len());
    let mut threat: HashMap<u32, u32> = HashMap::new();
    for output in &determined.outputs {
        let claims = groups.all(output);
        let value = threats.of(&claims);
        let label = labels.holds(claims)?;
        threat.insert(label, value);
        of_output.push(label);
    }
    for output in &mut determined.graph.output {
        *output = of_output.get(*output as usize).copied().unwrap_or(0);
    }
    let graph = minimize(&determined.graph);
    sizes.states = graph.len();
    let value = |label: u32| threat.get(&label).copied().unwrap_or(0);
    let below = below(&graph, value, |one, other| threats.join(one, other));
    let mut states = Vec::with_capacity(graph.len());
    for (state, label) in graph.output.iter().enumerate() {
        let inside = graph.step(number(state), b'/');
        let value = below.get(inside as usize).copied().unwrap_or(0);
        states.push(Anchored { label: *label, live: labels.below(threats.get(value))? });
    }
    if let Some(dead) = states.get_mut(DEAD as usize) {
        *dead = Anchored::default();
    }
    Ok((graph, states))
}

/// The automaton of texts anywhere.
fn loose(
    needles: &[(Needle, u32)],
    groups: &Groups,
    labels: &mut Labels,
    threats: &mut Threats<'_>,
    paths: &mut Paths,
) -> Result<(), Error> {
    let mut texts = Needles::new();
    for (at, (needle, _)) in needles.iter().enumerate() {
        texts.add(&needle.text, number(at));
    }
    let (graph, found) = texts.graph()?;
    paths.loose = Automaton::of(&graph)?;
    // A bit for each group of rules and way to count.
    let mut bits: HashMap<(u32, NeedlePlace), u32> = HashMap::new();
    for (needle, group) in needles.iter().filter(|one| one.0.place != NeedlePlace::End) {
        let next = number(bits.len());
        bits.entry((*group, needle.place)).or_insert(next);
    }
    if bits.len() > NEEDLES_MAX {
        return Err(Error::TooMany {
            what: "rules with patterns such as `*name*` or `**/dir/**`",
            max: NEEDLES_MAX,
            found: bits.len(),
            advice: "put such patterns into one rule, or begin them with a directory",
        });
    }
    paths.hit_labels = vec![0; bits.len()];
    for ((group, place), bit) in &bits {
        if let Some(label) = paths.hit_labels.get_mut(*bit as usize) {
            *label = labels.holds(groups.get(*group).to_vec())?;
        }
        if *place == NeedlePlace::Anywhere {
            paths.sticky |= 1 << bit;
        }
    }
    for Found { ended, open } in &found {
        let get = |at: &u32| needles.get(*at as usize);
        let mut state = Loose::default();
        let mut at_end = Vec::new();
        for (needle, group) in ended.iter().filter_map(get) {
            match bits.get(&(*group, needle.place)) {
                Some(bit) => state.hits |= 1 << bit,
                None => at_end.extend_from_slice(groups.get(*group)),
            }
        }
        state.label = labels.holds(at_end)?;
        let open = open.iter().filter_map(get).map(|one| &one.1);
        let value = threats.of(&groups.all(open));
        state.live = labels.below(threats.get(value))?;
        paths.loose_states.push(state);
    }
    Ok(())
}
