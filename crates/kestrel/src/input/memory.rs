//! Objects and arrays that were read before, byte for byte.
//!
//! Events of one host are much alike: the host, the session, the parent, the capabilities are the
//! same objects again and again. The bytes of such an object are remembered with what they meant.
//! Where the same bytes stand in the same place they mean the same, since reading depends on nothing
//! else, so they are compared and not read again.

use super::slot::{Slot, Slots};

/// Objects that are remembered; a new one takes the place of one whose beginning has the same hash.
const OBJECTS: usize = 1_024;
/// Shorter ones are read faster than they are found.
const LENGTH_MIN: usize = 64;
/// Longer ones are rarely the same, and would make the memory of a thread large.
const LENGTH_MAX: usize = 16 << 10;
/// Bytes at the beginning by which an object is found.
const HEAD: usize = 32;

/// What is remembered.
#[derive(Debug, Default, Clone)]
pub(super) struct Memory {
    objects: Vec<Object>,
}

/// An object that was read.
#[derive(Debug, Default, Clone)]
struct Object {
    /// From its beginning and its place.
    hash: u64,
    place: Place,
    text: Vec<u8>,
    stores: Vec<Store>,
    own: Vec<u8>,
}

/// Where an object stands: below which name (none if nobody asks), how deep.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) branch: Option<u32>,
    pub(super) depth: usize,
}

/// A field that got a value.
pub(super) type Store = (u16, Slot);

/// Where something begins: in the document, in the own text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) hash: u64,
    pub(super) text: usize,
    pub(super) own: usize,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory { objects: vec![Object::default(); OBJECTS] }
    }

    /// Hash of the beginning of an object; `None` if it is too short to be remembered.
    #[inline]
    pub(super) fn hash(&self, place: Place, rest: &[u8]) -> Option<u64> {
        let head: &[u8; HEAD] = rest.get(LENGTH_MIN..).and(rest.first_chunk())?;
        let branch = place.branch.map_or(0, |branch| u64::from(branch) + 1);
        let (words, _) = head.as_chunks::<8>();
        Some(words.iter().fold(branch ^ (place.depth as u64) << 32, |hash, word| {
            (hash.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }))
    }

    /// Looks for an object that stands at the beginning of `rest`; if it is known, its values are
    /// stored as if it had been read, and its length is told.
    #[inline]
    pub(super) fn recall(
        &self,
        place: Place,
        mark: Mark,
        rest: &[u8],
        slots: &mut Slots,
        stores: &mut Vec<Store>,
    ) -> Option<usize> {
        let object = self.objects.get(index(mark.hash))?;
        if object.hash != mark.hash || object.text.is_empty() || object.place != place {
            return None;
        }
        if !rest.starts_with(&object.text) {
            return None;
        }
        let (text, own) = (narrow(mark.text), narrow(mark.own));
        slots.own.extend_from_slice(&object.own);
        for (place, slot) in &object.stores {
            let slot = slot.moved(text, own);
            if let Some(known) = slots.slots.get_mut(usize::from(*place)) {
                *known = slot;
            }
            stores.push((*place, slot));
        }
        Some(object.text.len())
    }

    /// Takes note of an object that was read; the second time it is remembered.
    pub(super) fn learn(
        &mut self,
        place: Place,
        mark: Mark,
        text: &[u8],
        slots: &Slots,
        stores: &[Store],
    ) {
        let Some(object) = self.objects.get_mut(index(mark.hash)) else { return };
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&text.len()) {
            return;
        }
        object.text.clear();
        if object.hash != mark.hash {
            object.hash = mark.hash;
            return;
        }
        object.place = place;
        object.text.extend_from_slice(text);
        object.own.clear();
        object.own.extend_from_slice(slots.own.get(mark.own..).unwrap_or_default());
        let (text, own) = (narrow(mark.text), narrow(mark.own));
        let (text, own) = (text.wrapping_neg(), own.wrapping_neg());
        let relative = stores.iter().map(|(place, slot)| (*place, slot.moved(text, own)));
        object.stores.clear();
        object.stores.extend(relative);
    }
}

fn index(hash: u64) -> usize {
    usize::try_from(hash >> 40).unwrap_or_default() % OBJECTS
}

fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
