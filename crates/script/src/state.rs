//! What a script remembers from one event to another: bounded, and driven by event time alone.

use std::collections::{BTreeMap, BTreeSet};

/// Keys and values that expire.
#[derive(Debug, Default)]
pub(crate) struct State {
    entries: BTreeMap<Box<[u8]>, Entry>,
    /// The same by when they expire: what goes first when there is no room.
    order: BTreeSet<(i64, Box<[u8]>)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Box<[u8]>,
    expires: i64,
}

/// What became of a value that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is there.
    Stored,
    /// It is there, and others that had not expired made room for it.
    Evicted,
    /// It is larger than all of the state.
    TooLarge,
}

impl State {
    /// Entries, expired ones included until their room is needed.
    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The value of a key at a time.
    pub(crate) fn get(&self, key: &[u8], now: i64) -> Option<&[u8]> {
        let entry = self.entries.get(key)?;
        (entry.expires > now).then_some(&*entry.value)
    }

    /// Puts a value until a time. Expired entries go first, then those that would expire next, ties
    /// in the order of their keys: the same events always leave the same state.
    pub(crate) fn put(
        &mut self,
        key: &[u8],
        value: &[u8],
        now: i64,
        expires: i64,
        (most_entries, most_bytes): (usize, usize),
    ) -> Put {
        let size = key.len() + value.len();
        if size > most_bytes || most_entries == 0 {
            return Put::TooLarge;
        }
        self.remove(key);
        let mut evicted = false;
        while self.entries.len() >= most_entries || self.bytes + size > most_bytes {
            let Some((until, oldest)) = self.order.first() else { break };
            evicted |= *until > now;
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
        self.order.insert((expires, key.into()));
        self.entries.insert(key.into(), Entry { value: value.into(), expires });
        self.bytes += size;
        if evicted { Put::Evicted } else { Put::Stored }
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some((key, entry)) = self.entries.remove_entry(key) {
            self.bytes -= key.len() + entry.value.len();
            self.order.remove(&(entry.expires, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: (usize, usize) = (2, 100);

    #[test]
    fn entries_expire_by_event_time() {
        let mut state = State::default();
        assert_eq!(state.put(b"k", b"v", 0, 10, ROOM), Put::Stored);
        assert_eq!(state.get(b"k", 9), Some(&b"v"[..]));
        assert_eq!(state.get(b"k", 10), None, "it has expired");
        assert_eq!(state.get(b"x", 0), None, "another key");
    }

    #[test]
    fn what_expires_first_makes_room_and_that_is_told_only_if_it_had_not_expired() {
        let mut state = State::default();
        state.put(b"late", b"1", 0, 100, ROOM);
        state.put(b"soon", b"2", 0, 50, ROOM);
        assert_eq!(state.put(b"new", b"3", 60, 90, ROOM), Put::Stored, "the expired one went");
        assert_eq!(state.put(b"more", b"4", 60, 95, ROOM), Put::Evicted);
        assert_eq!(state.get(b"new", 60), None);
        assert_eq!(state.get(b"late", 60), Some(&b"1"[..]), "it expires last");
        assert_eq!(state.entries(), 2);
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let mut state = State::default();
        assert_eq!(state.put(b"k", &[0; 100], 0, 9, ROOM), Put::TooLarge);
        state.put(b"k", &[0; 99], 0, 9, ROOM);
        assert_eq!(state.bytes(), 100);
        state.put(b"k", b"1", 0, 9, ROOM);
        assert_eq!((state.bytes(), state.entries()), (2, 1), "the old value is gone");
    }
}
