//! A block into columns.

use model::wire::{Body, RecAct, RecFile, RecIds, RecNet, RecTask, Record};
use twox_hash::XxHash3_64;

use super::memory::{FIRST, HEAD, Memory, PID, START, TIME, Words, wide};
use super::{COLUMNS, Column, KNOWN, NEW_KNOWN, NEW_RECORD, RECORD, WORDS_MAX, number};
use crate::block::{Block, Tag};

/// Places of the table that finds strings again. A block has some eight thousand records.
const PLACES: usize = 1 << 14;
/// No strings have that number.
const NONE: u32 = u32::MAX;

/// Makes columns of blocks, and keeps the room for the next one.
#[derive(Debug)]
pub(crate) struct Encoder {
    columns: Vec<Vec<u8>>,
    memory: Memory,
    /// Numbers of strings by their hash; of two with one place the later counts.
    places: Vec<u32>,
}

impl Encoder {
    pub(crate) fn new() -> Encoder {
        Encoder {
            columns: vec![Vec::new(); COLUMNS],
            memory: Memory::new(),
            places: vec![NONE; PLACES],
        }
    }

    /// Adds the columns of a block: their lengths, then their bytes.
    pub(crate) fn encode(&mut self, block: &Block, out: &mut Vec<u8>) {
        self.memory.clear();
        self.places.fill(NONE);
        self.columns.iter_mut().for_each(Vec::clear);
        for (tag, bytes) in block.raw() {
            let is_packed = match tag {
                Tag::Record => self.record(bytes, (NEW_RECORD, RECORD)),
                Tag::Known => self.record(bytes, (NEW_KNOWN, KNOWN)),
                _ => false,
            };
            if !is_packed {
                self.column(Column::Tags).push(tag as u8);
                number::put(self.column(Column::Lens), bytes.len() as u64);
                self.column(Column::Others).extend_from_slice(bytes);
            }
        }
        self.columns.iter().for_each(|column| number::put(out, column.len() as u64));
        self.columns.iter().for_each(|column| out.extend_from_slice(column));
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many columns as names")]
    fn column(&mut self, column: Column) -> &mut Vec<u8> {
        &mut self.columns[column as usize]
    }

    /// Writes a record by what was told before; false if it is none, or of too many sorts.
    fn record(&mut self, bytes: &[u8], (new, seen): (u8, u8)) -> bool {
        let Some((words, fixed, tail)) = parts(bytes) else { return false };
        let word = words[super::memory::SORT];
        let sorts = &self.memory.sorts;
        let known = sorts.iter().position(|one| one.word == word && one.fixed == fixed);
        let sort = if let Some(sort) = known {
            let number = u8::try_from(sort).unwrap_or_default();
            self.column(Column::Tags).push(seen + number);
            sort
        } else {
            let Some(sort) = self.memory.sort(word, fixed) else { return false };
            self.column(Column::Tags).push(new);
            let column = self.column(Column::Sorts);
            number::put(column, word.into());
            number::put(column, fixed as u64);
            sort
        };
        let (pid, time) = (words[PID], wide(&words, TIME));
        let (pid_before, time_before) = (self.memory.pid(), self.memory.time());
        let pid_step = i64::from(pid) - i64::from(pid_before);
        number::put_signed(self.column(Column::Pids), pid_step);
        let time_step = time.wrapping_sub(time_before).cast_signed();
        number::put_signed(self.column(Column::Times), time_step);
        let (number, is_new) = self.tail(sort, tail);
        self.header(sort, &words, bytes.len());
        self.body(sort, (!is_new).then_some(number), &words, fixed);
        self.memory.note(sort, number, &words);
        true
    }

    /// Writes the strings, or that they were there before; their number, and whether they are new.
    fn tail(&mut self, sort: usize, text: &[u8]) -> (usize, bool) {
        let hash = XxHash3_64::oneshot(text);
        let place = usize::try_from(hash).unwrap_or_default() % PLACES;
        let seen = self.places.get(place).copied().unwrap_or(NONE) as usize;
        if self.memory.text(seen) == Some(text) {
            number::put(self.column(Column::Tails), seen as u64 + 1);
            return (seen, false);
        }
        let new = self.memory.tail(sort, text);
        if let Some(place) = self.places.get_mut(place) {
            *place = u32::try_from(new).unwrap_or(NONE);
        }
        self.column(Column::Tails).push(0);
        number::put(self.column(Column::TailLens), text.len() as u64);
        self.column(Column::Text).extend_from_slice(text);
        (new, true)
    }

    fn header(&mut self, sort: usize, words: &Words, len: usize) {
        let len = u32::try_from(len).unwrap_or_default();
        let time = wide(words, TIME);
        let (guess, _) = self.memory.header(sort, words[PID], time, len);
        let mut mask = 0;
        let start = wide(words, START);
        if start != wide(&guess, START) {
            mask |= 1 << START;
            let step = start.wrapping_sub(time).cast_signed();
            number::put_signed(self.column(Column::Starts), step);
        }
        let pairs = words.iter().zip(guess).enumerate();
        for (at, (word, guess)) in pairs.take(HEAD).filter(|(at, _)| *at >= FIRST) {
            mask |= self.word(at, *word, guess);
        }
        number::put(self.column(Column::HeadMasks), mask);
    }

    fn body(&mut self, sort: usize, tail: Option<usize>, words: &Words, fixed: usize) {
        let mut guess = [0; WORDS_MAX];
        for (place, word) in guess.iter_mut().skip(HEAD).zip(self.memory.body(sort, tail)) {
            *place = *word;
        }
        let mut mask = 0;
        for (at, (word, guess)) in words.iter().zip(guess).enumerate().take(fixed).skip(HEAD) {
            mask |= self.word(at, *word, guess) >> HEAD;
        }
        number::put(self.column(Column::BodyMasks), mask);
    }

    /// Writes how a word differs; its bit of the mask, if it does.
    fn word(&mut self, at: usize, word: u32, guess: u32) -> u64 {
        let step = word.wrapping_sub(guess);
        if step == 0 {
            return 0;
        }
        if let Some(column) = self.columns.get_mut(Column::Words as usize + at) {
            number::put_signed(column, step.cast_signed().into());
        }
        1 << at
    }
}

/// The words of the fixed part, their number, and what follows; `None` if these are not the bytes of
/// one record and nothing else.
fn parts(bytes: &[u8]) -> Option<(Words, usize, &[u8])> {
    let record = Record::parse(bytes).ok()?;
    if record.as_bytes().len() != bytes.len() {
        return None;
    }
    let size = match record.body() {
        Body::Task(_) => size_of::<RecTask>(),
        Body::Ids(_) => size_of::<RecIds>(),
        Body::File(_) => size_of::<RecFile>(),
        Body::Net(_) => size_of::<RecNet>(),
        Body::Act(_) => size_of::<RecAct>(),
    };
    let (fixed, tail) = bytes.split_at_checked(size)?;
    let mut words = [0; WORDS_MAX];
    for (word, bytes) in words.iter_mut().zip(fixed.chunks_exact(size_of::<u32>())) {
        *word = bytes.try_into().map_or(0, u32::from_ne_bytes);
    }
    Some((words, size / size_of::<u32>(), tail))
}
