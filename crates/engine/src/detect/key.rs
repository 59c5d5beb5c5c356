//! Join keys: equal values have equal numbers.
//!
//! A tuple is known by 128 bits of a keyed hash. The seed is secret where events come from a live
//! host, so nobody can make two tuples meet; the memory of a key does not depend on its length.

use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;

use hashbrown::HashMap;
use model::field::FieldId;
use model::program::Relation;
use model::value::{Fields, Node, Value};
use smallvec::SmallVec;

use super::plan::{KeyPlan, Plan};
use crate::eval::call::text;
use crate::eval::{Compiled, Context, Env, Scratch, Term};

/// Tuples of one event: a product of long lists stops here.
pub(super) const TUPLES_MAX: usize = 64;

/// Bytes of a remembered value that weigh as much as an event.
const WEIGHT_BYTES: usize = 128;

/// Numbers of the tuples of an event.
pub(super) type Tuples = SmallVec<[u128; 1]>;

/// Hashes with a seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed(pub(super) u64);

/// What is hashed, all at once: most tuples are two identities.
type Bytes = SmallVec<[u8; 128]>;

impl Seed {
    /// The number of one value; absent is a value too.
    pub(super) fn value(self, value: Value<'_>) -> u64 {
        let mut bytes = Bytes::new();
        write(&mut bytes, value);
        hashed(self.0, &bytes)
    }

    /// The number of a tuple.
    pub(super) fn tuple<'v>(self, values: impl Iterator<Item = Value<'v>>) -> u128 {
        let mut bytes = Bytes::new();
        for value in values {
            write(&mut bytes, value);
        }
        self.number(&bytes)
    }

    fn number(self, bytes: &Bytes) -> u128 {
        u128::from(hashed(!self.0, bytes)) << 64 | u128::from(hashed(self.0, bytes))
    }
}

fn hashed(seed: u64, bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write(bytes);
    hasher.finish()
}

/// A hash without a secret, the same in each run.
pub(super) fn plain(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Numbers and their decimal texts are equal, as in tests.
fn write(bytes: &mut Bytes, value: Value<'_>) {
    #[expect(clippy::cast_possible_truncation, reason = "has no fraction and fits")]
    let value = match value {
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Value::Int(number as i64)
        }
        value => value,
    };
    match text(value) {
        Some(text) => {
            bytes.extend_from_slice(&(text.len() + 1).to_le_bytes());
            bytes.extend_from_slice(&text);
        }
        None => bytes.extend_from_slice(&0usize.to_le_bytes()),
    }
}

/// All tuples of an event for a step, each once; none if a key is absent that must not be.
pub(super) fn tuples(
    compiled: &Compiled,
    keys: &[KeyPlan],
    env: Env<'_>,
    seed: Seed,
    scratch: &mut Scratch,
) -> Tuples {
    if let Some(one) = one_tuple(keys, env, seed) {
        return one;
    }
    let mut choices = Vec::with_capacity(keys.len());
    for key in keys {
        let values = compiled.values(&key.term, env, None, scratch);
        if values.is_empty() && !key.optional {
            return Tuples::new();
        }
        choices.push(values);
    }
    let mut all: SmallVec<[SmallVec<[Value<'_>; 4]>; 1]> = SmallVec::new();
    all.push(SmallVec::new());
    for values in &choices {
        let mut more: SmallVec<[SmallVec<[Value<'_>; 4]>; 1]> = SmallVec::new();
        for tuple in &all {
            if values.is_empty() {
                let mut tuple = tuple.clone();
                tuple.push(Value::Null);
                more.push(tuple);
            }
            for value in values.iter().take(TUPLES_MAX.saturating_sub(more.len())) {
                let mut tuple = tuple.clone();
                tuple.push(value.value());
                more.push(tuple);
            }
        }
        all = more;
    }
    let mut numbers = Tuples::new();
    for tuple in all {
        let number = seed.tuple(tuple.into_iter());
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    numbers
}

/// The same where each key is a field with one value or none, as nearly all are.
fn one_tuple(keys: &[KeyPlan], env: Env<'_>, seed: Seed) -> Option<Tuples> {
    let mut bytes = Bytes::new();
    for key in keys {
        let Term::Field(field) = key.term else { return None };
        match env.event.get(field) {
            Value::List(_) => return None,
            Value::Null if !key.optional => return Some(Tuples::new()),
            value => write(&mut bytes, value),
        }
    }
    Some(Tuples::from_iter([seed.number(&bytes)]))
}

/// The keys of each rule and part by number: equal lists of them are one.
#[derive(Debug, Default)]
pub(super) struct Lists(Vec<SmallVec<[u32; 4]>>);

impl Lists {
    pub(super) fn new(compiled: &Compiled) -> Lists {
        let mut known = HashMap::new();
        let mut rule = |plan: &Plan| {
            let number = |keys: &Vec<KeyPlan>| {
                let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
                *known.entry(format!("{keys:?} {}", plan.three)).or_insert(next)
            };
            plan.keys.iter().map(number).collect()
        };
        Lists(compiled.plans().iter().map(&mut rule).collect())
    }

    /// Those of a rule, by part.
    pub(super) fn of(&self, rule: usize) -> &[u32] {
        self.0.get(rule).map_or(&[], SmallVec::as_slice)
    }
}

/// What is remembered of members, by number of the step.
pub(super) type Kept = Vec<Remembered>;

/// A value of a member, by number of the step.
pub(super) type Remembered = (u16, Name, Held);

/// Of what a value is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Field(FieldId),
    /// A question about the lineage of the member, by number among those of the rule's pipes.
    Lineage(usize),
}

/// What is remembered of a member; nothing is absent.
pub(super) fn find(kept: &[Remembered], step: u16, name: Name) -> Value<'_> {
    let found = kept.iter().find(|(of, known, _)| (*of, *known) == (step, name));
    found.map_or(Value::Null, |(_, _, held)| held.value())
}

/// A value that is remembered. An address stays one, so that it is compared as one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Held {
    Node(Node),
    Address(IpAddr),
}

impl Held {
    pub(super) fn of(value: Value<'_>) -> Held {
        match value {
            Value::Ip(address) => Held::Address(address),
            value => Held::Node(value.into()),
        }
    }

    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Held::Node(node) => node.value(),
            Held::Address(address) => Value::Ip(*address),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Held::Node(node) => bytes(node),
            Held::Address(_) => 0,
        }
    }
}

/// Adds what later steps and pipes ask of this one.
pub(super) fn keep(kept: &mut Kept, wanted: &[(u16, FieldId)], step: u16, event: &dyn Fields) {
    for (_, field) in wanted.iter().filter(|(of, _)| *of == step) {
        let held = Held::of(event.get(*field));
        if held != Held::Node(Node::Null) {
            kept.push((step, Name::Field(*field), held));
        }
    }
}

/// How much of a quota remembered values take: one of short texts as much as an event.
pub(super) fn weight(kept: &Kept) -> usize {
    kept.iter().map(|(_, _, held)| 1 + held.bytes() / WEIGHT_BYTES).sum()
}

fn bytes(node: &Node) -> usize {
    match node {
        Node::Str(text) => text.len(),
        Node::List(items) => items.iter().map(|item| size_of::<Node>() + bytes(item)).sum(),
        Node::Map(members) => {
            let member =
                |(name, node): &(Box<str>, Node)| size_of::<Node>() + name.len() + bytes(node);
            members.iter().map(member).sum()
        }
        Node::Null | Node::Bool(_) | Node::Int(_) | Node::Float(_) => 0,
    }
}

/// Members that are remembered, and the lineage of the event at hand.
pub(super) struct Members<'m> {
    pub(super) kept: &'m [Remembered],
    pub(super) lineage: &'m dyn Context,
}

impl Context for Members<'_> {
    fn member(&self, step: u16, field: FieldId) -> Value<'_> {
        find(self.kept, step, Name::Field(field))
    }

    fn lineage(&self, relation: Relation, query: u32) -> Option<bool> {
        self.lineage.lineage(relation, query)
    }
}
