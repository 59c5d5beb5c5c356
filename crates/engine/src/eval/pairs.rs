//! Which of some texts of one or two letters are in a text, found for all of them in one pass.
//!
//! Such texts are in most command lines, many times each. So nothing is done where one is found, but
//! to take a note of it.

/// Letters of all texts that are told apart; 0 stands for all others.
const CLASSES: usize = 64;
/// Texts of two letters; 0 is none.
const PAIRS: usize = 256;

/// Texts of one or two letters in lower case, found wherever they are, ASCII case aside.
#[derive(Debug)]
pub(super) struct Pairs {
    /// The class of each byte.
    classes: [u8; 256],
    /// For the classes of two bytes in a row the number of their text.
    numbers: Vec<u8>,
    /// For each class what its letter alone stands for.
    single: Vec<Vec<u32>>,
    /// For each number what its text stands for.
    double: Vec<Vec<u32>>,
}

impl Pairs {
    /// Texts and the numbers that each stands for; also the numbers of those that found no room.
    pub(super) fn new(texts: Vec<(Vec<u8>, Vec<u32>)>) -> (Pairs, Vec<u32>) {
        let numbers = vec![0; CLASSES * CLASSES];
        let (single, double) = (vec![Vec::new()], vec![Vec::new()]);
        let mut pairs = Pairs { classes: [0; 256], numbers, single, double };
        let mut rest = Vec::new();
        for (text, marks) in texts {
            let place = match *text.as_slice() {
                [one] => pairs.class(one).map(|class| (class, 0)),
                [one, two] => pairs.class(one).zip(pairs.class(two)),
                _ => None,
            };
            let room = match place {
                Some((class, 0)) => pairs.single.get_mut(class),
                Some(pair) => pairs.number(pair),
                None => None,
            };
            match room {
                Some(room) => room.extend(marks),
                None => rest.extend(marks),
            }
        }
        (pairs, rest)
    }

    /// The class of a letter; `None` if there are too many.
    fn class(&mut self, letter: u8) -> Option<usize> {
        let known = usize::from(*self.classes.get(usize::from(letter))?);
        if known > 0 {
            return Some(known);
        }
        let class = u8::try_from(self.single.len()).ok().filter(|it| usize::from(*it) < CLASSES)?;
        for case in [letter.to_ascii_lowercase(), letter.to_ascii_uppercase()] {
            *self.classes.get_mut(usize::from(case))? = class;
        }
        self.single.push(Vec::new());
        Some(class.into())
    }

    /// What a pair of classes stands for; `None` if there are too many.
    fn number(&mut self, (one, two): (usize, usize)) -> Option<&mut Vec<u32>> {
        let number = self.numbers.get_mut(one * CLASSES + two)?;
        if *number == 0 {
            *number = u8::try_from(self.double.len()).ok()?;
            self.double.push(Vec::new());
        }
        self.double.get_mut(usize::from(*number))
    }

    /// Adds the numbers of all that a text contains, once each.
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<u32>) {
        let (mut singles, mut doubles) = (0u64, [0u64; PAIRS / 64]);
        let mut last = 0;
        for byte in text {
            let class = self.classes.get(usize::from(*byte)).map_or(0, |class| usize::from(*class));
            singles |= 1 << (class % CLASSES);
            let number = self.numbers.get(last * CLASSES + class).copied().unwrap_or(0);
            if let Some(word) = doubles.get_mut(usize::from(number / 64)) {
                *word |= 1 << (number % 64);
            }
            last = class;
        }
        add(0, singles, &self.single, found);
        for (number, word) in doubles.into_iter().enumerate() {
            add(number * 64, word, &self.double, found);
        }
    }
}

/// Adds what the bits of a word stand for, the first of which has this number.
fn add(first: usize, mut word: u64, lists: &[Vec<u32>], found: &mut Vec<u32>) {
    while word != 0 {
        let bit = usize::try_from(word.trailing_zeros()).unwrap_or(0);
        found.extend(lists.get(first + bit).into_iter().flatten());
        word &= word - 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_that_is_in_a_text_is_found(
            texts in prop::collection::btree_set("[a-c/@`\0]{1,2}", 0..20),
            text in "[a-cA-C/@`\0x]{0,12}",
        ) {
            let entries = (0u32..).zip(&texts).map(|(n, it)| (it.clone().into_bytes(), vec![n]));
            let (pairs, rest) = Pairs::new(entries.collect());
            prop_assert_eq!(rest, Vec::<u32>::new());
            let mut found = Vec::new();
            pairs.find(text.as_bytes(), &mut found);
            found.sort_unstable();
            let lower = text.to_ascii_lowercase();
            let expected = (0u32..).zip(&texts).filter(|(_, it)| lower.contains(it.as_str()));
            prop_assert_eq!(found, expected.map(|(n, _)| n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_has_no_room_is_told() {
        let letters = (0..=255u8).filter(|byte| !byte.is_ascii_uppercase());
        let texts: Vec<_> = letters.map(|byte| (vec![byte], vec![u32::from(byte)])).collect();
        let all = texts.len();
        let (pairs, rest) = Pairs::new(texts);
        assert_eq!(rest.len(), all + 1 - CLASSES);
        for byte in 0..=255u8 {
            let mut found = rest.clone();
            pairs.find(&[byte], &mut found);
            assert!(found.contains(&u32::from(byte.to_ascii_lowercase())), "{byte}");
        }
    }
}
