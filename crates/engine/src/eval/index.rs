//! Which rules an event can concern: by category, and within it by action or type.

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

/// Rules of one category. A rule is under each action that it allows, or under each type, or in
/// the rest.
#[derive(Debug, Default)]
struct Bucket {
    actions: HashMap<Vec<u8>, Vec<u32>>,
    types: HashMap<Vec<u8>, Vec<u32>>,
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
        let actions = required(&rule.condition, field::EVENT_ACTION);
        let (map, words) = if let Some(words) = actions {
            (&mut self.actions, words)
        } else if let Some(words) = required(&rule.condition, field::EVENT_TYPE) {
            (&mut self.types, words)
        } else {
            self.rest.push(number);
            return;
        };
        for word in words {
            let rules = map.entry_ref(word).or_default();
            if rules.last() != Some(&number) {
                rules.push(number);
            }
        }
    }

    fn candidates(&self, event: &dyn Fields, visit: &mut impl FnMut(u32)) {
        for (map, field) in [(&self.actions, field::EVENT_ACTION), (&self.types, field::EVENT_TYPE)]
        {
            if map.is_empty() {
                continue;
            }
            for word in event.get(field).each() {
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
