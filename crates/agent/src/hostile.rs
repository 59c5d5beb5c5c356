//! Bytes of somebody who means harm, for tests of what reads them: good ones that were changed.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Bytes at which parsers go wrong: bounds of numbers, and what ends a line, a name or a text.
const TURNS: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'\r', b'\n', b' ', b'%', b'/', b':', b'"'];
/// Changes to one message: more leave nothing of it.
const EDITS_MAX: usize = 5;

/// A change.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// Another byte there.
    Set(Index, u8),
    /// More bytes there.
    Put(Index, Vec<u8>),
    /// None between these.
    Cut(Index, Index),
    /// Those between these come twice.
    Twice(Index, Index),
}

/// Some changes, also none.
pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let byte = || prop_oneof![any::<u8>(), select(&TURNS[..])];
    let edit = prop_oneof![
        4 => (any::<Index>(), byte()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (any::<Index>(), vec(byte(), 1..9)).prop_map(|(at, more)| Edit::Put(at, more)),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Edit::Cut(from, to)),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Edit::Twice(from, to)),
    ];
    vec(edit, 0..=EDITS_MAX)
}

/// These bytes, changed.
pub(crate) fn changed(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let at = |index: &Index| index.index(bytes.len() + 1);
        match edit {
            Edit::Set(place, byte) => {
                let place = at(place);
                if let Some(there) = bytes.get_mut(place) {
                    *there = *byte;
                }
            }
            Edit::Put(place, more) => {
                let place = at(place);
                bytes.splice(place..place, more.iter().copied());
            }
            Edit::Cut(from, to) => {
                let (from, to) = (at(from), at(to));
                bytes.drain(from.min(to)..from.max(to));
            }
            Edit::Twice(from, to) => {
                let (from, to) = (at(from), at(to));
                let again = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from..from, again);
            }
        }
    }
    bytes
}

/// Any bytes, or one of these messages, changed.
pub(crate) fn message(good: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let strange = (select(good), edits()).prop_map(|(bytes, edits)| changed(bytes, &edits));
    prop_oneof![1 => vec(any::<u8>(), 0..300), 4 => strange]
}
