//! Which of many texts a text begins with, found by halving.

/// Texts in order. All that a text begins with are prefixes of the last one that is not after it.
#[derive(Debug, Default)]
pub(super) struct Affixes {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The beginning of the text, so that most comparisons are of numbers.
    head: u64,
    text: Box<[u8]>,
    marks: Vec<u32>,
    /// The longest other entry that this one begins with.
    shorter: Option<usize>,
}

impl Affixes {
    /// Texts and the numbers that each stands for.
    pub(super) fn new(texts: impl IntoIterator<Item = (Vec<u8>, Vec<u32>)>) -> Affixes {
        let mut all: Vec<_> = texts.into_iter().collect();
        all.sort_unstable();
        let mut entries: Vec<Entry> = Vec::with_capacity(all.len());
        for (text, marks) in all {
            // What this begins with, the entry before begins with too, or is.
            let mut shorter = entries.len().checked_sub(1);
            while let Some(entry) = shorter.and_then(|at| entries.get(at)) {
                if text.starts_with(&entry.text) {
                    break;
                }
                shorter = entry.shorter;
            }
            entries.push(Entry { head: head(&text), text: text.into(), marks, shorter });
        }
        Affixes { entries }
    }

    /// Adds the numbers of all entries that a text begins with.
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<u32>) {
        let wanted = head(text);
        let is_before =
            |entry: &Entry| entry.head < wanted || entry.head == wanted && *entry.text <= *text;
        let after = self.entries.partition_point(is_before);
        let mut at = after.checked_sub(1);
        while let Some(entry) = at.and_then(|at| self.entries.get(at)) {
            if text.starts_with(&entry.text) {
                found.extend(&entry.marks);
            }
            at = entry.shorter;
        }
    }
}

/// Eight bytes as a number of the same order.
fn head(text: &[u8]) -> u64 {
    if let Some(head) = text.first_chunk() {
        return u64::from_be_bytes(*head);
    }
    let mut head = [0; 8];
    head.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_beginnings_are_found(
            texts in prop::collection::btree_set("[ab]{0,4}", 0..12),
            text in "[ab]{0,6}",
        ) {
            let entries = (0u32..).zip(&texts);
            let affixes = Affixes::new(entries.map(|(n, it)| (it.clone().into_bytes(), vec![n])));
            let mut found = Vec::new();
            affixes.find(text.as_bytes(), &mut found);
            found.sort_unstable();
            let expected = (0u32..).zip(&texts).filter(|(_, it)| text.starts_with(it.as_str()));
            prop_assert_eq!(found, expected.map(|(n, _)| n).collect::<Vec<_>>());
        }
    }
}
