//! What was told before in a block: the same when it is written and when it is read.

use model::wire::RecHeader;
use zerocopy::IntoBytes;

use super::{SORTS_MAX, WORDS_MAX};

/// Words of the header.
pub(super) const HEAD: usize = size_of::<RecHeader>() / size_of::<u32>();
/// Processes that are told apart; of two with one place the later counts.
const ACTORS: usize = 1 << 10;

/// Where words of the header stand.
pub(super) const TIME: usize = std::mem::offset_of!(RecHeader, time) / 4;
pub(super) const START: usize = std::mem::offset_of!(RecHeader, start) / 4;
/// The first word after those of 64 bits that are guessed as a whole.
pub(super) const FIRST: usize = START + 2;
pub(super) const PID: usize = std::mem::offset_of!(RecHeader, pid) / 4;
pub(super) const TID: usize = std::mem::offset_of!(RecHeader, tid) / 4;
pub(super) const LEN: usize = std::mem::offset_of!(RecHeader, len) / 4;
pub(super) const FLAGS: usize = std::mem::offset_of!(RecHeader, flags) / 4;
pub(super) const SORT: usize = std::mem::offset_of!(RecHeader, kind) / 4;

pub(super) type Header = [u32; HEAD];

/// The words of a record, of which the first `fixed` count.
pub(super) type Words = [u32; WORDS_MAX];

/// A pair of kind and source, and what its last record told.
#[derive(Debug, Clone)]
pub(super) struct Sort {
    /// The word of the header that tells both.
    pub(super) word: u32,
    /// Words of the fixed part.
    pub(super) fixed: usize,
    last: Words,
}

/// The strings of a record, and what its last record told beside them.
#[derive(Debug, Clone, Copy)]
struct Tail {
    at: usize,
    len: usize,
    sort: usize,
    /// Where its words are among all.
    body: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) sorts: Vec<Sort>,
    actors: Vec<Header>,
    last: Header,
    tails: Vec<Tail>,
    text: Vec<u8>,
    bodies: Vec<u32>,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory {
            sorts: Vec::with_capacity(SORTS_MAX.into()),
            actors: vec![[0; HEAD]; ACTORS],
            last: [0; HEAD],
            tails: Vec::new(),
            text: Vec::new(),
            bodies: Vec::new(),
        }
    }

    /// Nothing was told before.
    pub(super) fn clear(&mut self) {
        self.sorts.clear();
        self.actors.fill([0; HEAD]);
        self.last = [0; HEAD];
        self.tails.clear();
        self.text.clear();
        self.bodies.clear();
    }

    /// Notes a sort; its number, if there is room for one more.
    pub(super) fn sort(&mut self, word: u32, fixed: usize) -> Option<usize> {
        let fits = self.sorts.len() < usize::from(SORTS_MAX) && (HEAD..=WORDS_MAX).contains(&fixed);
        fits.then(|| {
            self.sorts.push(Sort { word, fixed, last: [0; WORDS_MAX] });
            self.sorts.len() - 1
        })
    }

    /// The process of the record before.
    pub(super) fn pid(&self) -> u32 {
        self.last[PID]
    }

    /// The time of the record before.
    pub(super) fn time(&self) -> u64 {
        wide(&self.last, TIME)
    }

    /// What the header of a record of that process and sort is likely to be, and whether the process
    /// is known. Its start, if it is not, is likely to be now.
    pub(super) fn header(&self, sort: usize, pid: u32, time: u64, len: u32) -> (Header, bool) {
        let known = self.actors.get(place(pid)).filter(|header| header[PID] == pid && pid != 0);
        let mut guess = known.copied().unwrap_or_else(|| {
            let mut guess = self.last;
            set_wide(&mut guess, START, time);
            guess[TID] = pid;
            guess
        });
        set_wide(&mut guess, TIME, time);
        (guess[PID], guess[LEN]) = (pid, len);
        if let Some(sort) = self.sorts.get(sort) {
            (guess[SORT], guess[FLAGS]) = (sort.word, sort.last[FLAGS]);
        }
        (guess, known.is_some())
    }

    /// What follows the header, if these strings were there before, or else in the last of the sort.
    pub(super) fn body(&self, sort: usize, tail: Option<usize>) -> &[u32] {
        let Some(of) = self.sorts.get(sort) else { return &[] };
        let seen = tail.and_then(|tail| self.tails.get(tail));
        let seen = seen.filter(|tail| tail.sort == sort && tail.len > 0);
        let len = of.fixed - HEAD;
        let seen = seen.and_then(|tail| self.bodies.get(tail.body..tail.body + len));
        seen.unwrap_or_else(|| of.last.get(HEAD..of.fixed).unwrap_or_default())
    }

    /// Notes new strings.
    pub(super) fn tail(&mut self, sort: usize, text: &[u8]) -> usize {
        let (at, len, body) = (self.text.len(), text.len(), self.bodies.len());
        self.text.extend_from_slice(text);
        let words = self.sorts.get(sort).map_or(0, |sort| sort.fixed - HEAD);
        self.bodies.resize(body + words, 0);
        self.tails.push(Tail { at, len, sort, body });
        self.tails.len() - 1
    }

    /// Strings that were there before.
    pub(super) fn text(&self, tail: usize) -> Option<&[u8]> {
        let tail = self.tails.get(tail)?;
        self.text.get(tail.at..tail.at + tail.len)
    }

    /// Notes a record.
    pub(super) fn note(&mut self, sort: usize, tail: usize, words: &Words) {
        let Some(of) = self.sorts.get_mut(sort) else { return };
        of.last = *words;
        let (Some(header), Some(body)) = (words.first_chunk(), words.get(HEAD..of.fixed)) else {
            return;
        };
        self.last = *header;
        if let Some(actor) = self.actors.get_mut(place(header[PID])) {
            *actor = *header;
        }
        let Some(seen) = self.tails.get_mut(tail) else { return };
        if seen.sort != sort {
            // The same strings in another kind of record: its words are elsewhere.
            (seen.sort, seen.body) = (sort, self.bodies.len());
            self.bodies.resize(seen.body + body.len(), 0);
        }
        if let Some(place) = self.bodies.get_mut(seen.body..seen.body + body.len()) {
            place.copy_from_slice(body);
        }
    }
}

/// The place of a process: pids are given out one after another.
fn place(pid: u32) -> usize {
    usize::try_from(pid).unwrap_or_default() % ACTORS
}

/// Two words as one number, as the processor has them.
pub(super) fn wide(words: &[u32], at: usize) -> u64 {
    let pair = words.get(at..at + 2).map(IntoBytes::as_bytes);
    pair.and_then(|pair| pair.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

pub(super) fn set_wide(words: &mut [u32], at: usize, number: u64) {
    if let Some(pair) = words.get_mut(at..at + 2) {
        pair.as_mut_bytes().copy_from_slice(&number.to_ne_bytes());
    }
}
