//! Join keys: equal values have equal numbers.
//!
//! A tuple is known by 128 bits of a keyed hash. The seed is secret where events come from a live
//! host, so nobody can make two tuples meet; the memory of a key does not depend on its length.

use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;

use model::field::FieldId;
use model::program::Relation;
use model::value::{Fields, Node, Value};
use smallvec::SmallVec;

use super::plan::KeyPlan;
use crate::eval::call::text;
use crate::eval::{Compiled, Context, Env, Scratch};

/// Tuples of one event: a product of long lists stops here.
pub(super) const TUPLES_MAX: usize = 64;

/// Bytes of a remembered value that weigh as much as an event.
const WEIGHT_BYTES: usize = 128;

/// Numbers of the tuples of an event.
pub(super) type Tuples = SmallVec<[u128; 1]>;

/// Hashes with a seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed(pub(super) u64);

impl Seed {
    fn start(self) -> (DefaultHasher, DefaultHasher) {
        let (mut low, mut high) = (DefaultHasher::new(), DefaultHasher::new());
        low.write_u64(self.0);
        high.write_u64(!self.0);
        (low, high)
    }

    /// The number of one value; absent is a value too.
    pub(super) fn value(self, value: Value<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        write(&mut hasher, value);
        hasher.finish()
    }

    /// The number of a tuple.
    pub(super) fn tuple<'v>(self, values: impl Iterator<Item = Value<'v>>) -> u128 {
        let (mut low, mut high) = self.start();
        for value in values {
            write(&mut low, value);
            write(&mut high, value);
        }
        u128::from(high.finish()) << 64 | u128::from(low.finish())
    }
}

/// A hash without a secret, the same in each run.
pub(super) fn plain(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Numbers and their decimal texts are equal, as in tests.
fn write(hasher: &mut DefaultHasher, value: Value<'_>) {
    #[expect(clippy::cast_possible_truncation, reason = "has no fraction and fits")]
    let value = match value {
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Value::Int(number as i64)
        }
        value => value,
    };
    match text(value) {
        Some(text) => {
            hasher.write_usize(text.len() + 1);
            hasher.write(&text);
        }
        None => hasher.write_usize(0),
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

/// What is remembered of members, by number of the step.
pub(super) type Kept = Vec<Remembered>;

/// A value of a member, by number of the step.
pub(super) type Remembered = (u16, FieldId, Held);

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
            value => Held::Node(node(value)),
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
            kept.push((step, *field, held));
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

/// A value that owns itself.
pub(super) fn node(value: Value<'_>) -> Node {
    match value {
        Value::Null => Node::Null,
        Value::Bool(flag) => Node::Bool(flag),
        Value::Int(number) => Node::Int(number),
        Value::Float(number) => Node::Float(number),
        Value::Str(text) => Node::Str(text.into()),
        Value::Ip(address) => Node::Str(address.to_string().into_bytes().into()),
        Value::Map(members) => Node::Map(members.to_vec()),
        Value::List(_) => Node::List(value.each().map(node).collect()),
    }
}

/// Members that are remembered, and the lineage of the event at hand.
pub(super) struct Members<'m> {
    pub(super) kept: &'m [Remembered],
    pub(super) lineage: &'m dyn Context,
}

impl Context for Members<'_> {
    fn member(&self, step: u16, field: FieldId) -> Value<'_> {
        let found = self.kept.iter().find(|(of, known, _)| (*of, *known) == (step, field));
        found.map_or(Value::Null, |(_, _, held)| held.value())
    }

    fn lineage(&self, relation: Relation, query: u32) -> Option<bool> {
        self.lineage.lineage(relation, query)
    }
}
