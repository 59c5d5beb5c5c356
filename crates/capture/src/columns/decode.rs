//! Columns back into the block that they were made of.

use super::memory::{FIRST, HEAD, Memory, START, TIME, Words, set_wide, wide};
use super::number::Rest;
use super::{
    BadColumns, COLUMNS, Column, KNOWN, NEW_KNOWN, NEW_RECORD, RECORD, SORTS_MAX, WORDS_MAX,
};
use crate::block::{Block, ITEM_MAX, Tag};

/// Makes the block of these columns, of so many items and bytes.
pub(crate) fn decode(bytes: &[u8], items: u32, size: usize) -> Result<Block, BadColumns> {
    let mut decoder = Decoder {
        columns: split(bytes)?,
        memory: Memory::new(),
        block: Block::default(),
        record: Vec::new(),
    };
    for _ in 0..items {
        decoder.item()?;
        if decoder.block.bytes() > size {
            return Err(BadColumns::More);
        }
    }
    let is_whole = decoder.block.bytes() == size && decoder.columns.iter().all(|c| c.0.is_empty());
    if is_whole { Ok(decoder.block) } else { Err(BadColumns::More) }
}

fn split(bytes: &[u8]) -> Result<[Rest<'_>; COLUMNS], BadColumns> {
    let mut rest = Rest(bytes);
    let mut lens = [0; COLUMNS];
    for len in &mut lens {
        *len = rest.len(bytes.len())?;
    }
    let mut columns = [Rest::default(); COLUMNS];
    for (column, len) in columns.iter_mut().zip(lens) {
        *column = Rest(rest.take(len)?);
    }
    if rest.0.is_empty() { Ok(columns) } else { Err(BadColumns::More) }
}

struct Decoder<'c> {
    columns: [Rest<'c>; COLUMNS],
    memory: Memory,
    block: Block,
    /// Room for the record at hand.
    record: Vec<u8>,
}

impl<'c> Decoder<'c> {
    #[expect(clippy::indexing_slicing, reason = "there are as many columns as names")]
    fn column(&mut self, column: Column) -> &mut Rest<'c> {
        &mut self.columns[column as usize]
    }

    fn item(&mut self) -> Result<(), BadColumns> {
        let byte = self.column(Column::Tags).byte()?;
        let (tag, sort) = match byte {
            NEW_RECORD | NEW_KNOWN => {
                let word = self.column(Column::Sorts).number()?;
                let word = u32::try_from(word).map_err(|_| BadColumns::Name)?;
                let fixed = self.column(Column::Sorts).len(WORDS_MAX)?;
                let sort = self.memory.sort(word, fixed).ok_or(BadColumns::Name)?;
                (if byte == NEW_RECORD { Tag::Record } else { Tag::Known }, sort)
            }
            _ if (RECORD..KNOWN).contains(&byte) => (Tag::Record, usize::from(byte - RECORD)),
            _ if (KNOWN..=KNOWN + (SORTS_MAX - 1)).contains(&byte) => {
                (Tag::Known, usize::from(byte - KNOWN))
            }
            _ => {
                let tag = Tag::of(byte).ok_or(BadColumns::Name)?;
                let len = self.column(Column::Lens).len(ITEM_MAX)?;
                let bytes = self.column(Column::Others).take(len)?;
                self.block.put(tag, &[bytes]);
                return Ok(());
            }
        };
        self.record(tag, sort)
    }

    fn record(&mut self, tag: Tag, sort: usize) -> Result<(), BadColumns> {
        let fixed = self.memory.sorts.get(sort).ok_or(BadColumns::Name)?.fixed;
        let pid = i64::from(self.memory.pid()).wrapping_add(self.column(Column::Pids).signed()?);
        let pid = u32::try_from(pid).map_err(|_| BadColumns::Name)?;
        let step = self.column(Column::Times).signed()?;
        let time = self.memory.time().wrapping_add(step.cast_unsigned());
        let number = self.column(Column::Tails).len(u32::MAX as usize)?;
        let (tail, is_new) = if let Some(tail) = number.checked_sub(1) {
            (tail, false)
        } else {
            let len = self.column(Column::TailLens).len(ITEM_MAX)?;
            let text = self.column(Column::Text).take(len)?;
            (self.memory.tail(sort, text), true)
        };
        let text = self.memory.text(tail).ok_or(BadColumns::Name)?.len();
        let len = u32::try_from(fixed * size_of::<u32>() + text).map_err(|_| BadColumns::Name)?;
        let mut words = [0; WORDS_MAX];
        self.header(sort, (pid, time, len), &mut words)?;
        self.body(sort, (!is_new).then_some(tail), fixed, &mut words)?;
        self.memory.note(sort, tail, &words);
        self.record.clear();
        let fixed = words.iter().take(fixed).flat_map(|word| word.to_ne_bytes());
        self.record.extend(fixed);
        let text = self.memory.text(tail).ok_or(BadColumns::Name)?;
        self.block.put(tag, &[&self.record, text]);
        Ok(())
    }

    fn header(
        &mut self,
        sort: usize,
        (pid, time, len): (u32, u64, u32),
        words: &mut Words,
    ) -> Result<(), BadColumns> {
        let (guess, _) = self.memory.header(sort, pid, time, len);
        let mask = self.column(Column::HeadMasks).number()?;
        for (place, guess) in words.iter_mut().zip(guess) {
            *place = guess;
        }
        if mask & 1 << START != 0 {
            let step = self.column(Column::Starts).signed()?;
            set_wide(words, START, time.wrapping_add(step.cast_unsigned()));
        }
        for at in (FIRST..HEAD).filter(|at| mask & 1 << at != 0) {
            self.word(at, words)?;
        }
        // Only what the mask may tell is told.
        let known = mask & !(1 << START) & !(u64::MAX << HEAD) & !((1 << FIRST) - 1);
        let is_sound = mask & !known & !(1 << START) == 0 && wide(words, TIME) == time;
        if is_sound { Ok(()) } else { Err(BadColumns::Name) }
    }

    fn body(
        &mut self,
        sort: usize,
        tail: Option<usize>,
        fixed: usize,
        words: &mut Words,
    ) -> Result<(), BadColumns> {
        for (place, word) in words.iter_mut().skip(HEAD).zip(self.memory.body(sort, tail)) {
            *place = *word;
        }
        let mask = self.column(Column::BodyMasks).number()?;
        if mask.checked_shr(u32::try_from(fixed - HEAD).unwrap_or(0)).unwrap_or(0) != 0 {
            return Err(BadColumns::Name);
        }
        for at in (HEAD..fixed).filter(|at| mask & 1 << (at - HEAD) != 0) {
            self.word(at, words)?;
        }
        Ok(())
    }

    fn word(&mut self, at: usize, words: &mut Words) -> Result<(), BadColumns> {
        let column = self.columns.get_mut(Column::Words as usize + at).ok_or(BadColumns::Name)?;
        let step = i32::try_from(column.signed()?).map_err(|_| BadColumns::Name)?;
        let word = words.get_mut(at).ok_or(BadColumns::Name)?;
        *word = word.wrapping_add(step.cast_unsigned());
        Ok(())
    }
}
