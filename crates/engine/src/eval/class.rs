//! Kinds of events. What a filter asks of the kind alone (category, type, action …) is the same for
//! all events of that kind, so it is asked once a kind, and what cannot match is never looked at.

use hashbrown::HashMap;
use model::field::{self, FieldId};
use model::value::{Fields, Value};

use super::node::Node;
use super::{Alone, Compiled, Condition, Env, Scratch};

/// Fields that have few values, which say what kind of event it is.
const FIELDS: &[FieldId] = &[
    field::EVENT_CATEGORY,
    field::EVENT_TYPE,
    field::EVENT_ACTION,
    field::EVENT_KIND,
    field::EVENT_OUTCOME,
    field::EVENT_MODULE,
    field::EVENT_DATASET,
    field::EVENT_PROVIDER,
    field::DATA_STREAM_DATASET,
    field::HOST_OS_TYPE,
];

/// Kinds remembered. Sensors have some tens; events of more kinds are asked about everything.
const CLASSES_MAX: usize = 256;
/// Bytes of what tells a kind.
const NAME_MAX: usize = 512;

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
    known: HashMap<Vec<u8>, usize>,
    all: Vec<Class>,
    name: Vec<u8>,
}

/// Which filters can hold for events of a kind.
#[derive(Debug, Default)]
pub(super) struct Class {
    /// They do.
    pub(super) sure: Vec<u32>,
    /// They may, and are under no key.
    pub(super) free: Vec<u32>,
    /// Keys of filters that may, and these filters as bits.
    pub(super) keys: Vec<usize>,
    alive: Vec<u64>,
}

impl Class {
    pub(super) fn is_alive(&self, filter: u32) -> bool {
        let word = usize::try_from(filter / 64).ok().and_then(|word| self.alive.get(word));
        word.is_some_and(|word| word >> (filter % 64) & 1 == 1)
    }

    /// Adds a filter that may hold, under its keys.
    fn place(&mut self, filter: u32, home: Option<&[usize]>) {
        let Some(home) = home else {
            self.free.push(filter);
            return;
        };
        for key in home {
            if !self.keys.contains(key) {
                self.keys.push(*key);
            }
        }
        let word = usize::try_from(filter / 64).ok().and_then(|word| self.alive.get_mut(word));
        if let Some(word) = word {
            *word |= 1 << (filter % 64);
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
        let mut name = std::mem::take(&mut scratch.classes.name);
        name.clear();
        let complete = self.kinds.iter().all(|field| push(event.get(*field), &mut name));
        let known = scratch.classes.known.get(&name).copied();
        let number = known.or_else(|| {
            if !complete || scratch.classes.all.len() >= CLASSES_MAX {
                return None;
            }
            let class = self.classify(event, scratch);
            let number = scratch.classes.all.len();
            scratch.classes.all.push(class);
            scratch.classes.known.insert(name.clone(), number);
            Some(number)
        });
        scratch.classes.name = name;
        number
    }

    fn classify(&self, event: &dyn Fields, scratch: &mut Scratch) -> Class {
        let mut class = Class::default();
        class.alive.resize(self.filters.len().div_ceil(64), 0);
        for ((number, filter), home) in (0u32..).zip(&self.filters).zip(&self.index.homes) {
            match self.outlook(filter, event, scratch) {
                Some(true) => class.sure.push(number),
                Some(false) => {}
                None => class.place(number, home.as_deref()),
            }
        }
        class
    }

    /// Whether a filter holds for all events of this kind or for none.
    fn outlook(
        &self,
        filter: &Condition,
        event: &dyn Fields,
        scratch: &mut Scratch,
    ) -> Option<bool> {
        if !filter.wanted || !filter.in_category(event) {
            return Some(false);
        }
        let env = Env { event, context: &Alone, three: filter.three };
        if self.truth(&filter.gate, env, None, scratch) != Some(true) {
            return Some(false);
        }
        self.foresee(&filter.node, env, scratch)
    }

    /// The truth of a condition as far as the kind of the event decides it.
    fn foresee(&self, node: &Node, env: Env<'_>, scratch: &mut Scratch) -> Option<bool> {
        let mut each = |nodes: &[Node], decisive: bool| {
            let mut result = Some(!decisive);
            for node in nodes {
                match self.foresee(node, env, scratch) {
                    Some(value) if value == decisive => return Some(decisive),
                    Some(_) => {}
                    None => result = None,
                }
            }
            result
        };
        match node {
            Node::Const(value) => Some(*value),
            Node::Not(inner) => self.foresee(inner, env, scratch).map(|value| !value),
            Node::And(all) => each(all, false),
            Node::Or(any) => each(any, true),
            Node::Predicate(number) => {
                let at = usize::try_from(*number).ok();
                let predicate = at.and_then(|at| self.predicates.get(at));
                let decided = predicate.is_some_and(|predicate| tells(predicate.field));
                decided.then(|| self.truth(node, env, None, scratch)).flatten()
            }
            _ => None,
        }
    }
}

/// Appends a value so that different ones differ; false if it is no plain value or too long.
fn push(value: Value<'_>, name: &mut Vec<u8>) -> bool {
    let simple = match value {
        Value::Null => {
            name.push(0);
            true
        }
        Value::Str(text) => {
            name.push(1);
            name.extend_from_slice(&text.len().to_le_bytes());
            name.extend_from_slice(text);
            true
        }
        Value::Bool(flag) => {
            name.extend([2, u8::from(flag)]);
            true
        }
        Value::Int(number) => {
            name.push(3);
            name.extend_from_slice(&number.to_le_bytes());
            true
        }
        Value::List(_) => {
            name.push(4);
            let simple = value.each().all(|one| !matches!(one, Value::List(_)) && push(one, name));
            name.push(5);
            simple
        }
        Value::Float(_) | Value::Ip(_) | Value::Map(_) => false,
    };
    simple && name.len() <= NAME_MAX
}
