//! Which rules an event can concern: by category, and within it by one field that must have one
//! of some words.

use hashbrown::HashMap;
use model::field::{self, FieldId};
use model::program::{Expr, Literal, Program, Rule, Test};
use model::value::{Fields, Value};

/// All rules, each under what it requires.
#[derive(Debug, Default)]
pub(super) struct Index {
    categories: HashMap<Vec<u8>, Bucket>,
    any: Bucket,
}

/// Fields by which rules are found, the most selective first: a rule is under the first for which
/// it names all words that can satisfy it.
const KEYS: [FieldId; 6] = [
    field::PROCESS_NAME,
    field::FILE_PATH,
    field::FILE_NAME,
    field::PROCESS_PARENT_NAME,
    field::EVENT_ACTION,
    field::EVENT_TYPE,
];

/// Rules of one category.
#[derive(Debug, Default)]
struct Bucket {
    /// For each of [`KEYS`]: rules by word.
    keyed: [HashMap<Vec<u8>, Vec<u32>>; KEYS.len()],
    /// Rules without a key.
    rest: Vec<u32>,
}

impl Index {
    /// `None` if there are more rules than numbers.
    pub(super) fn new(program: &Program) -> Option<Index> {
        let mut index = Index::default();
        for (number, rule) in program.rules.iter().enumerate() {
            let number = u32::try_from(number).ok()?;
            let bucket = match &rule.category {
                Some(name) => index.categories.entry(name.clone().into_bytes()).or_default(),
                None => &mut index.any,
            };
            bucket.add(number, rule);
        }
        Some(index)
    }

    /// Visits each rule that the event can concern, some of them more than once.
    pub(super) fn candidates(&self, event: &dyn Fields, mut visit: impl FnMut(u32)) {
        self.any.candidates(event, &mut visit);
        for category in event.get(field::EVENT_CATEGORY).each() {
            if let Value::Str(name) = category
                && let Some(bucket) = self.categories.get(name)
            {
                bucket.candidates(event, &mut visit);
            }
        }
    }
}

impl Bucket {
    fn add(&mut self, number: u32, rule: &Rule) {
        for (key, map) in KEYS.iter().zip(&mut self.keyed) {
            let Some(words) = required(&rule.condition, *key) else { continue };
            for word in words {
                let rules = map.entry_ref(word).or_default();
                if rules.last() != Some(&number) {
                    rules.push(number);
                }
            }
            return;
        }
        self.rest.push(number);
    }

    fn candidates(&self, event: &dyn Fields, visit: &mut impl FnMut(u32)) {
        for (key, map) in KEYS.iter().zip(&self.keyed).filter(|(_, map)| !map.is_empty()) {
            for word in event.get(*key).each() {
                if let Value::Str(word) = word
                    && let Some(rules) = map.get(word)
                {
                    rules.iter().copied().for_each(&mut *visit);
                }
            }
        }
        self.rest.iter().copied().for_each(visit);
    }
}

/// Words of which the field must have one for the condition to hold; `None` if there is no such
/// list.
fn required(condition: &Expr, field: FieldId) -> Option<Vec<&[u8]>> {
    match condition {
        Expr::Test(tested, Test::Equals { any, fold: false }) if *tested == field => any
            .iter()
            .map(|literal| match literal {
                Literal::Str(word) => Some(word.as_slice()),
                _ => None,
            })
            .collect(),
        Expr::And(all) => all.iter().filter_map(|part| required(part, field)).min_by_key(Vec::len),
        Expr::Or(any) => {
            let parts: Option<Vec<_>> = any.iter().map(|part| required(part, field)).collect();
            parts.map(|parts| parts.into_iter().flatten().collect())
        }
        _ => None,
    }
}
