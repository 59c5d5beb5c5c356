//! Kinds of events. What a filter asks of the kind alone (category, type, action …) is the same for
//! all events of that kind, so it is asked once a kind, and what cannot match is never looked at.
//! What else can, waits for predicates that are chosen for the kind.

use hashbrown::{HashMap, HashTable};
use model::field::{self, FieldId};
use model::value::{Fields, List, Value};

use smallvec::SmallVec;

use super::cover::{Choice, cover};
use super::node::Node;
use super::{Compiled, Condition, Predicate, Scratch, memory};

/// Fields that have few values, which say what kind of event it is and which most rules ask for.
const FIELDS: [FieldId; KINDS] =
    [field::EVENT_ACTION, field::EVENT_TYPE, field::EVENT_CATEGORY, field::HOST_OS_TYPE];

/// How many fields that is.
const KINDS: usize = 4;
/// Kinds remembered. Sensors have some tens; events of more kinds are asked about everything.
const CLASSES_MAX: usize = 256;
/// Bytes of what tells a kind.
const NAME_MAX: usize = 512;

/// What it costs to look at a field, where looking at a filter costs ten thousand.
const FIELD_PRICE: u64 = 8_000;
/// The same where events of the kind seem not to have the field.
const ABSENT_PRICE: u64 = 1_500;
/// How much rarer a predicate is expected to hold there.
const RARER: u64 = 16;
/// How often filters choose what they wait for, each time knowing what all chose before.
const ROUNDS: usize = 2;

/// Whether a field is one of those.
pub(super) fn tells(field: FieldId) -> bool {
    FIELDS.contains(&field)
}

/// Of these, the fields that a program asks for.
pub(super) fn fields(asked: impl Fn(FieldId) -> bool) -> Vec<FieldId> {
    FIELDS.iter().copied().filter(|id| asked(*id) || *id == field::EVENT_CATEGORY).collect()
}

/// The kinds that have been seen.
#[derive(Debug, Default)]
pub(super) struct Classes {
    /// Numbers of kinds, by the hash of their name.
    known: HashTable<(u64, usize)>,
    all: Vec<Class>,
    /// Room for what tells the event at hand.
    name: Vec<u8>,
}

/// Which filters can hold for events of a kind.
#[derive(Debug, Default)]
pub(super) struct Class {
    /// What tells it, so that different ones differ.
    name: Vec<u8>,
    /// They do.
    pub(super) sure: Vec<u32>,
    /// They may, and wait for nothing.
    pub(super) free: Vec<u32>,
    /// Columns of the predicates that others wait for.
    pub(super) columns: Vec<u32>,
    /// The filters that wait for a predicate.
    waiting: HashMap<u32, Vec<u32>>,
    /// The predicates that some filter waits for, as bits.
    awaited: Vec<u64>,
    /// The predicates that hold because of the kind, as bits.
    holding: Vec<u64>,
}

impl Class {
    /// Whether a filter waits for a predicate.
    #[inline]
    pub(super) fn is_awaited(&self, predicate: u32) -> bool {
        usize::try_from(predicate).is_ok_and(|at| bit(&self.awaited, at))
    }

    /// The filters that may hold because a predicate does.
    #[inline]
    pub(super) fn waiting(&self, predicate: u32) -> &[u32] {
        self.waiting.get(&predicate).map_or(&[], Vec::as_slice)
    }

    /// Whether a predicate that the kind decides holds.
    #[inline]
    pub(super) fn holds(&self, predicate: usize) -> bool {
        bit(&self.holding, predicate)
    }

    /// Lets a filter wait for predicates.
    fn wait(&mut self, filter: u32, list: &[u32], predicates: &[Predicate]) {
        for number in list {
            self.waiting.entry(*number).or_default().push(filter);
            let at = usize::try_from(*number).unwrap_or(usize::MAX);
            set(&mut self.awaited, at);
            if let Some(predicate) = predicates.get(at)
                && !self.columns.contains(&predicate.column)
            {
                self.columns.push(predicate.column);
            }
        }
    }
}

impl Classes {
    pub(super) fn get(&self, number: usize) -> Option<&Class> {
        self.all.get(number)
    }
}

impl Compiled {
    /// The number of the kind of an event; `None` if there are too many.
    pub(super) fn class(&self, event: &dyn Fields, scratch: &mut Scratch) -> Option<usize> {
        let Classes { known, all, name } = &mut scratch.classes;
        name.clear();
        name.push(u8::from(event.extra()));
        if !self.kinds.iter().all(|field| push(event.get(*field), name)) {
            return None;
        }
        let hash = memory::hash(name, 0);
        let is_same = |(_, number): &(u64, usize)| {
            all.get(*number).is_some_and(|class: &Class| class.name == *name)
        };
        if let Some((_, number)) = known.find(hash, is_same) {
            return Some(*number);
        }
        if all.len() >= CLASSES_MAX {
            return None;
        }
        let (number, name) = (all.len(), name.clone());
        all.push(Class { name, ..self.classify(event) });
        known.insert_unique(hash, (hash, number), |(hash, _)| *hash);
        Some(number)
    }

    fn classify(&self, event: &dyn Fields) -> Class {
        let mut class = Class::default();
        class.holding.resize(self.predicates.len().div_ceil(64), 0);
        class.awaited.resize(self.predicates.len().div_ceil(64), 0);
        for (number, predicate) in self.predicates.iter().enumerate() {
            if predicate.tells && predicate.check.any(event.get(predicate.field)) {
                set(&mut class.holding, number);
            }
        }
        let holding = std::mem::take(&mut class.holding);
        let absent = self.columns.iter().map(|column| event.get(column.field).is_null()).collect();
        let mut kind = Kind {
            compiled: self,
            event,
            holding: &holding,
            three: false,
            extra: event.extra(),
            prices: Vec::new(),
            absent,
        };
        let mut open = Vec::new();
        for (number, filter) in (0u32..).zip(&self.filters) {
            match kind.of(filter).outlook(filter) {
                Some(true) => class.sure.push(number),
                Some(false) => {}
                None => open.push((number, filter)),
            }
        }
        for _ in 0..ROUNDS {
            kind.reckon(&open);
        }
        for (number, filter) in open {
            match cover(&filter.node, true, kind.of(filter)) {
                Some(list) => class.wait(number, &list, &self.predicates),
                None => class.free.push(number),
            }
        }
        class.holding = holding;
        class
    }
}

/// What the kind of an event decides, and what filters wait for in such events.
struct Kind<'k> {
    compiled: &'k Compiled,
    event: &'k dyn Fields,
    holding: &'k [u64],
    /// The logic of the filter at hand.
    three: bool,
    /// Whether such events may have fields that are not in the table.
    extra: bool,
    /// For each column whether the event lacks it.
    absent: Vec<bool>,
    /// What it costs each that waits to look at a column.
    prices: Vec<u64>,
}

impl Kind<'_> {
    fn of(&mut self, filter: &Condition) -> &Self {
        self.three = filter.three;
        self
    }

    /// Whether a filter holds for all events of this kind or for none.
    fn outlook(&self, filter: &Condition) -> Option<bool> {
        let possible = filter.wanted
            && filter.in_category(self.event)
            && self.known(&filter.gate) == Some(true);
        if possible { self.known(&filter.node) } else { Some(false) }
    }

    /// Shares what it costs to look at a column among all filters that would wait there.
    fn reckon(&mut self, open: &[(u32, &Condition)]) {
        let mut users = vec![0u64; self.compiled.columns.len()];
        for (_, filter) in open {
            let list = cover(&filter.node, true, self.of(filter)).unwrap_or_default();
            for column in self.columns(&list) {
                if let Some(users) = users.get_mut(column) {
                    *users += 1;
                }
            }
        }
        let price = |absent: bool| if absent { ABSENT_PRICE } else { FIELD_PRICE };
        let each = self.absent.iter().zip(users);
        self.prices = each.map(|(absent, users)| price(*absent) / users.max(1)).collect();
    }

    /// The columns of predicates, each once.
    fn columns(&self, list: &[u32]) -> impl Iterator<Item = usize> {
        let columns = list.iter().filter_map(|number| self.predicate(*number));
        let mut columns: SmallVec<[usize; 8]> =
            columns.filter_map(|predicate| usize::try_from(predicate.column).ok()).collect();
        columns.sort_unstable();
        columns.dedup();
        columns.into_iter()
    }

    fn predicate(&self, number: u32) -> Option<&Predicate> {
        self.compiled.predicates.get(usize::try_from(number).ok()?)
    }
}

impl Choice for Kind<'_> {
    fn known(&self, node: &Node) -> Option<bool> {
        let each = |nodes: &[Node], decisive: bool| {
            let mut result = Some(!decisive);
            for node in nodes {
                match self.known(node) {
                    Some(value) if value == decisive => return Some(decisive),
                    Some(_) => {}
                    None => result = None,
                }
            }
            result
        };
        match node {
            Node::Const(value) => Some(*value),
            Node::Not(inner) => self.known(inner).map(|value| !value),
            Node::And(all) => each(all, false),
            Node::Or(any) => each(any, true),
            Node::Predicate(number) => {
                let predicate = self.predicate(*number)?;
                if !self.extra && field::field(predicate.field).is_none() {
                    return predicate.truth(false, self.event, self.three);
                }
                if !predicate.tells {
                    return None;
                }
                let at = usize::try_from(*number).ok()?;
                let result = bit(self.holding, at);
                predicate.truth(result, self.event, self.three)
            }
            _ => None,
        }
    }

    fn price(&self, list: &[u32]) -> u64 {
        let chance = |number: &u32| {
            let Some(predicate) = self.predicate(*number) else { return 0 };
            let column = usize::try_from(predicate.column).unwrap_or(usize::MAX);
            let absent = self.absent.get(column) == Some(&true);
            u64::from(predicate.chance) / if absent { RARER } else { 1 }
        };
        let fields = self.columns(list).filter_map(|column| self.prices.get(column)).sum::<u64>();
        fields + list.iter().map(chance).sum::<u64>()
    }
}

/// Sets a bit, if there is room for it.
pub(super) fn set(bits: &mut [u64], at: usize) {
    if let Some(word) = bits.get_mut(at / 64) {
        *word |= 1 << (at % 64);
    }
}

/// Whether a bit is set.
#[inline]
pub(super) fn bit(bits: &[u64], at: usize) -> bool {
    bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
}

/// Appends a value so that different ones differ; false if it is no plain one, or too long.
#[inline]
fn push(value: Value<'_>, name: &mut Vec<u8>) -> bool {
    match value {
        Value::Null => name.push(0),
        Value::Str(text) => push_text(1, text, name),
        Value::Bool(flag) => name.extend([2, u8::from(flag)]),
        Value::Int(number) => push_text(3, &number.to_le_bytes(), name),
        // As documents have it.
        Value::List(List::Nul(texts)) => push_text(4, texts, name),
        Value::List(_) => {
            name.push(5);
            if !value.each().all(|one| matches!(one, Value::Str(_)) && push(one, name)) {
                return false;
            }
            name.push(6);
        }
        Value::Float(_) | Value::Ip(_) | Value::Map(_) => return false,
    }
    name.len() <= NAME_MAX
}

/// Appends a text after a byte that says of what kind it is.
#[inline]
fn push_text(kind: u8, text: &[u8], name: &mut Vec<u8>) {
    let [low, high, ..] = text.len().to_le_bytes();
    name.extend([kind, low, high]);
    name.extend_from_slice(text);
}
