//! Which of many texts are in a text, found by three letters of each.
//!
//! Of each text the three letters are chosen that the fewest others have. They are looked for at each
//! place in a table of bits, one place independent of the other, and only where they may be a text is
//! compared. An automaton that knows all texts goes from each byte to the next through memory.

use hashbrown::HashMap;

/// Letters by which a text is found; shorter texts need another search.
pub(super) const LETTERS: usize = 3;
/// Bits of the table for each text: of so many places one is looked at in vain.
const BITS_EACH: usize = 32;
/// Powers of two of bits: the least is a few lines of the cache, the most are some megabytes.
const BITS_LOG: std::ops::RangeInclusive<u32> = 10..=24;
/// The bit that tells the case of a letter, in each byte.
const CASE: u64 = 0x2020_2020_2020_2020;

/// Texts in lower case, found wherever they are, ASCII case aside.
#[derive(Debug, Default)]
pub(super) struct Grams {
    /// Bits by the hash of three letters, and how many are set in the words before.
    bits: Vec<(u64, u32)>,
    /// What a hash is shifted by to number a bit.
    shift: u32,
    /// For each bit that is set its first entry; the end is that of the next.
    firsts: Vec<u32>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The first eight letters with their case bit set, and which of them there are: nearly all that
    /// is compared in vain differs here.
    head: u64,
    mask: u64,
    /// Where its three letters are.
    at: usize,
    text: Box<[u8]>,
    marks: Vec<u32>,
}

impl Grams {
    /// Texts of at least [`LETTERS`] bytes and the numbers that each stands for.
    pub(super) fn new(texts: Vec<(Vec<u8>, Vec<u32>)>) -> Grams {
        if texts.is_empty() {
            return Grams::default();
        }
        let mut common: HashMap<u32, u32> = HashMap::new();
        for (text, _) in &texts {
            for letters in letters(text) {
                *common.entry(letters).or_default() += 1;
            }
        }
        let log = (texts.len() * BITS_EACH).next_power_of_two().ilog2();
        let log = log.clamp(*BITS_LOG.start(), *BITS_LOG.end());
        let mut grams = Grams { shift: u32::BITS - log, ..Grams::default() };
        let mut all: Vec<(u32, Entry)> = Vec::with_capacity(texts.len());
        for (text, marks) in texts {
            let rare = (0..).zip(letters(&text)).min_by_key(|(_, letters)| common.get(letters));
            if let Some((at, letters)) = rare {
                all.push((grams.bit(letters), Entry::new(text, at, marks)));
            }
        }
        all.sort_by_key(|(bit, _)| *bit);
        grams.fill(1 << log, all);
        grams
    }

    fn fill(&mut self, bits: usize, all: Vec<(u32, Entry)>) {
        self.bits.resize(bits / 64, (0, 0));
        let mut last = None;
        for (number, (bit, entry)) in (0u32..).zip(all) {
            if last.replace(bit) != Some(bit) {
                self.firsts.push(number);
                if let Some((word, _)) = self.bits.get_mut(wide(bit / 64)) {
                    *word |= 1 << (bit % 64);
                }
            }
            self.entries.push(entry);
        }
        self.firsts.push(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        let mut before = 0;
        for (word, rank) in &mut self.bits {
            *rank = before;
            before += word.count_ones();
        }
    }

    /// Adds the numbers of all that a text contains, once for each place.
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<u32>) {
        if self.entries.is_empty() {
            return;
        }
        for (at, letters) in letters(text).enumerate() {
            let bit = self.bit(letters);
            if let Some((word, before)) = self.bits.get(wide(bit / 64))
                && word >> (bit % 64) & 1 == 1
            {
                let rank = before + (word & ((1 << (bit % 64)) - 1)).count_ones();
                self.compare(text, at, wide(rank), found);
            }
        }
    }

    /// Adds the numbers of those that stand around this place, of all with the same bit.
    fn compare(&self, text: &[u8], at: usize, rank: usize, found: &mut Vec<u32>) {
        let Some([first, end]) = self.firsts.get(rank..).and_then(<[u32]>::first_chunk) else {
            return;
        };
        for entry in self.entries.get(wide(*first)..wide(*end)).into_iter().flatten() {
            let here = at.checked_sub(entry.at).and_then(|start| text.get(start..));
            if here.is_some_and(|here| entry.begins(here)) {
                found.extend(&entry.marks);
            }
        }
    }

    /// The bit for these letters.
    #[inline]
    fn bit(&self, letters: u32) -> u32 {
        letters.wrapping_mul(0x9e37_79b1).unbounded_shr(self.shift)
    }
}

impl Entry {
    fn new(text: Vec<u8>, at: usize, marks: Vec<u32>) -> Entry {
        let mut head = [0; 8];
        head.iter_mut().zip(&text).for_each(|(to, from)| *to = *from);
        let unused = u32::try_from(8usize.saturating_sub(text.len())).unwrap_or(0);
        let mask = u64::MAX >> (8 * unused.min(7));
        let head = (u64::from_le_bytes(head) | CASE) & mask;
        Entry { head, mask, at, text: text.into(), marks }
    }

    /// Whether a text begins with this one.
    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        if let Some(head) = text.first_chunk()
            && (u64::from_le_bytes(*head) | CASE) & self.mask != self.head
        {
            return false;
        }
        text.get(..self.text.len()).is_some_and(|text| text.eq_ignore_ascii_case(&self.text))
    }
}

#[inline]
fn wide(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// All three letters in a row, with the bit that tells their case set.
#[inline]
fn letters(text: &[u8]) -> impl Iterator<Item = u32> {
    text.array_windows().map(|[a, b, c]| u32::from_le_bytes([*a, *b, *c, 0]) | 0x0020_2020)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_that_is_in_a_text_is_found(
            texts in prop::collection::btree_set("[ab/@]{3,7}", 0..12),
            text in "[abAB/@`]{0,24}",
        ) {
            let entries = (0u32..).zip(&texts).map(|(n, it)| (it.clone().into_bytes(), vec![n]));
            let grams = Grams::new(entries.collect());
            let mut found = Vec::new();
            grams.find(text.as_bytes(), &mut found);
            found.sort_unstable();
            found.dedup();
            let lower = text.to_ascii_lowercase();
            let expected = (0u32..).zip(&texts).filter(|(_, it)| lower.contains(it.as_str()));
            prop_assert_eq!(found, expected.map(|(n, _)| n).collect::<Vec<_>>());
        }
    }
}
