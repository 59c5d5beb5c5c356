//! A set of words to compare a value with.

use hashbrown::HashSet;

/// Up to so many words are compared one by one, which is faster than hashing.
const FEW: usize = 4;
/// Words longer than this are folded on the heap.
const FOLD_STACK: usize = 256;

/// Words, exactly or with ASCII case folded.
#[derive(Debug)]
pub(crate) struct Words {
    fold: bool,
    few: Vec<Vec<u8>>,
    many: HashSet<Vec<u8>>,
    longest: usize,
}

impl Words {
    pub(super) fn new(words: impl IntoIterator<Item = Vec<u8>>, fold: bool) -> Words {
        let cased = words.into_iter().map(|mut word| {
            if fold {
                word.make_ascii_lowercase();
            }
            word
        });
        let mut many: HashSet<Vec<u8>> = cased.collect();
        let longest = many.iter().map(Vec::len).max().unwrap_or(0);
        let few = if many.len() <= FEW { many.drain().collect() } else { Vec::new() };
        Words { fold, few, many, longest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty()
    }

    pub(super) fn contains(&self, text: &[u8]) -> bool {
        if text.len() > self.longest {
            return false;
        }
        if self.many.is_empty() {
            return self.few.iter().any(|word| {
                if self.fold { word.eq_ignore_ascii_case(text) } else { word == text }
            });
        }
        if !self.fold {
            return self.many.contains(text);
        }
        let mut buffer = [0; FOLD_STACK];
        match buffer.get_mut(..text.len()) {
            Some(folded) => {
                folded.copy_from_slice(text);
                folded.make_ascii_lowercase();
                self.many.contains(&*folded)
            }
            None => self.many.contains(&text.to_ascii_lowercase()),
        }
    }
}
