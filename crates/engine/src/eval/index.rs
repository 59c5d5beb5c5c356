//! Which filters an event can concern: by category, and within it by one field that must have one
//! of some words.

use hashbrown::HashMap;
use model::field::{self, FieldId};
use model::program::{Expr, Filter, Literal, Place, Test};
use model::value::{Fields, Value};

/// All filters that rules ask for, each under what it requires.
#[derive(Debug, Default)]
pub(super) struct Index {
    categories: HashMap<Vec<u8>, Bucket>,
    any: Bucket,
}

/// What of a field's value is the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// What is behind the last slash.
    Name,
}

/// Fields by which filters are found, the most selective first: a filter is under the first for
/// which it names all words that can satisfy it.
const KEYS: [(FieldId, Part); 10] = [
    (field::PROCESS_NAME, Part::Whole),
    (field::PROCESS_EXECUTABLE, Part::Name),
    (field::FILE_PATH, Part::Name),
    (field::FILE_NAME, Part::Whole),
    (field::PROCESS_PARENT_NAME, Part::Whole),
    (field::PROCESS_PARENT_EXECUTABLE, Part::Name),
    (field::PROCESS_ARGS, Part::Whole),
    (field::FILE_EXTENSION, Part::Whole),
    (field::EVENT_ACTION, Part::Whole),
    (field::EVENT_TYPE, Part::Whole),
];

/// Words longer than this are not looked for: such filters are asked at each event.
const WORD_MAX: usize = 256;

/// Filters of one category.
#[derive(Debug, Default)]
struct Bucket {
    /// For each of [`KEYS`]: filters by word in lower case.
    keyed: [HashMap<Vec<u8>, Vec<u32>>; KEYS.len()],
    /// Filters without a key.
    rest: Vec<u32>,
}

impl Index {
    /// Those of `filters` that are `wanted`.
    pub(super) fn new(filters: &[Filter], wanted: impl Iterator<Item = u32>) -> Index {
        let mut index = Index::default();
        let mut wanted: Vec<u32> = wanted.collect();
        wanted.sort_unstable();
        wanted.dedup();
        for number in wanted {
            let at = usize::try_from(number).ok();
            let Some(filter) = at.and_then(|at| filters.get(at)) else { continue };
            let bucket = match &filter.category {
                Some(name) => index.categories.entry(name.clone().into_bytes()).or_default(),
                None => &mut index.any,
            };
            bucket.add(number, &filter.condition);
        }
        index
    }

    /// Visits each filter that the event can concern, some of them more than once.
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
    fn add(&mut self, number: u32, condition: &Expr) {
        for ((key, part), map) in KEYS.iter().zip(&mut self.keyed) {
            let Some(words) = required(condition, *key, *part) else { continue };
            for word in words {
                let filters = map.entry(word).or_default();
                if filters.last() != Some(&number) {
                    filters.push(number);
                }
            }
            return;
        }
        self.rest.push(number);
    }

    fn candidates(&self, event: &dyn Fields, visit: &mut impl FnMut(u32)) {
        let mut buffer = [0; WORD_MAX];
        for ((key, part), map) in KEYS.iter().zip(&self.keyed).filter(|(_, map)| !map.is_empty()) {
            for word in event.get(*key).each() {
                let Some(text) = super::call::text(word) else { continue };
                let word = cut(&text, *part);
                let Some(lower) = buffer.get_mut(..word.len()) else { continue };
                lower.copy_from_slice(word);
                lower.make_ascii_lowercase();
                if let Some(filters) = map.get(&*lower) {
                    filters.iter().copied().for_each(&mut *visit);
                }
            }
        }
        self.rest.iter().copied().for_each(visit);
    }
}

fn cut(text: &[u8], part: Part) -> &[u8] {
    match part {
        Part::Whole => text,
        Part::Name => {
            let start = memchr::memrchr(b'/', text).map_or(0, |at| at + 1);
            text.get(start..).unwrap_or_default()
        }
    }
}

/// Words, in lower case, of which the field must have one for the condition to hold; `None` if
/// there is no such list.
fn required(condition: &Expr, field: FieldId, part: Part) -> Option<Vec<Vec<u8>>> {
    match condition {
        Expr::Test(tested, test) if *tested == field => words(test, part),
        Expr::Const(false) => Some(Vec::new()),
        Expr::And(all) => {
            all.iter().filter_map(|inner| required(inner, field, part)).min_by_key(Vec::len)
        }
        Expr::Or(any) => {
            let parts: Option<Vec<_>> =
                any.iter().map(|inner| required(inner, field, part)).collect();
            parts.map(|parts| parts.into_iter().flatten().collect())
        }
        _ => None,
    }
}

fn words(test: &Test, part: Part) -> Option<Vec<Vec<u8>>> {
    let lower = |text: &[u8]| {
        let word = cut(text, part);
        (word.len() <= WORD_MAX).then(|| word.to_ascii_lowercase())
    };
    match test {
        Test::Equals { any, .. } => any
            .iter()
            .map(|literal| match literal {
                Literal::Str(word) => lower(word),
                _ => None,
            })
            .collect(),
        Test::Wildcard { any, .. } => any
            .iter()
            .map(|pattern| {
                let fixed = |text: &[u8]| !text.iter().any(|byte| matches!(byte, b'*' | b'?'));
                // What is behind a slash in the pattern is behind the last slash of the text.
                let whole = fixed(pattern);
                let named =
                    part == Part::Name && pattern.contains(&b'/') && fixed(cut(pattern, part));
                if whole || named { lower(pattern) } else { None }
            })
            .collect(),
        Test::Part { place: Place::End, any, .. } if part == Part::Name => {
            any.iter().map(|end| if end.contains(&b'/') { lower(end) } else { None }).collect()
        }
        _ => None,
    }
}
