//! Objects and arrays that were read before, byte for byte.
//!
//! Events of one host are much alike: the host, the session, the parent, the capabilities are the
//! same objects again and again. The bytes of such an object are remembered with what they meant.
//! Where the same bytes stand in the same place they mean the same, since reading depends on nothing
//! else, so they are compared and not read again.

use std::sync::Arc;

use super::slot::{Kept, Slot, Slots};

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
    /// For each place the hash of the object that is remembered there: most look-ups end here, and
    /// this much is always at hand.
    known: Vec<u64>,
    /// For each place the hash of the object that was last read and not remembered.
    seen: Vec<u64>,
    objects: Vec<Object>,
}

/// An object that was read.
#[derive(Debug, Default, Clone)]
struct Object {
    place: Place,
    text: Vec<u8>,
    ascii: bool,
    stores: Vec<Store>,
    own: Vec<u8>,
    kept: Vec<Arc<Kept>>,
}

/// Where an object stands: below which name (none if nobody asks), how deep.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) branch: Option<u32>,
    pub(super) depth: usize,
}

/// A field that got a value.
pub(super) type Store = (u16, Slot);

/// Where something begins: in the document, in the own text, in the kept values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) hash: u64,
    pub(super) text: usize,
    pub(super) own: usize,
    pub(super) kept: usize,
}

impl Memory {
    pub(super) fn new() -> Memory {
        let (known, seen) = (vec![0; OBJECTS], vec![0; OBJECTS]);
        Memory { known, seen, objects: vec![Object::default(); OBJECTS] }
    }

    /// Hash of the beginning of an object; `None` if it is too short to be remembered.
    #[inline]
    pub(super) fn hash(place: Place, rest: &[u8]) -> Option<u64> {
        let head: &[u8; HEAD] = rest.get(LENGTH_MIN..).and(rest.first_chunk())?;
        let branch = place.branch.map_or(0, |branch| u64::from(branch) + 1);
        let (words, _) = head.as_chunks::<8>();
        Some(words.iter().fold(branch ^ (place.depth as u64) << 32, |hash, word| {
            (hash.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }))
    }

    /// Looks for an object that stands at the beginning of `rest`; if it is known, its values are
    /// stored as if it had been read, and its length is told and whether it is ASCII.
    #[inline]
    pub(super) fn recall(
        &self,
        place: Place,
        mark: Mark,
        rest: &[u8],
        slots: &mut Slots,
        stores: &mut Vec<Store>,
    ) -> Option<(usize, bool)> {
        let at = index(mark.hash);
        if *self.known.get(at)? != mark.hash {
            return None;
        }
        let object = self.objects.get(at)?;
        if object.text.is_empty() || object.place != place || !rest.starts_with(&object.text) {
            return None;
        }
        let (text, own, kept) = (narrow(mark.text), narrow(mark.own), narrow(mark.kept));
        slots.own.extend_from_slice(&object.own);
        slots.kept.extend_from_slice(&object.kept);
        for (place, slot) in &object.stores {
            let slot = slot.moved(text, own, kept);
            slots.set(*place, slot);
            stores.push((*place, slot));
        }
        Some((object.text.len(), object.ascii))
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
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&text.len()) {
            return;
        }
        let at = index(mark.hash);
        let (Some(object), Some(known), Some(seen)) =
            (self.objects.get_mut(at), self.known.get_mut(at), self.seen.get_mut(at))
        else {
            return;
        };
        if std::mem::replace(seen, mark.hash) != mark.hash {
            return;
        }
        *known = mark.hash;
        object.place = place;
        object.text.clear();
        object.text.extend_from_slice(text);
        object.ascii = text.is_ascii();
        object.own.clear();
        object.own.extend_from_slice(slots.own.get(mark.own..).unwrap_or_default());
        object.kept.clear();
        object.kept.extend_from_slice(slots.kept.get(mark.kept..).unwrap_or_default());
        let [text, own, kept] =
            [mark.text, mark.own, mark.kept].map(|at| narrow(at).wrapping_neg());
        let relative = stores.iter().map(|(place, slot)| (*place, slot.moved(text, own, kept)));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::field::{FIELDS, FieldId};
    use model::value::Fields;

    use crate::input::{Bad, Decoder, Event, Names};

    /// Reads documents one after another with a memory, and each without one; the values of each
    /// as text.
    fn both(documents: &[String]) -> Vec<[String; 2]> {
        let more = ["list".to_owned(), "process.parent".to_owned(), "x.name".to_owned()];
        let names = Arc::new(Names::new(&more, |_| true));
        let mut decoder = Decoder::new(Arc::clone(&names));
        let shown = |event: &Event| {
            let ids = (0..names.count()).filter_map(|id| u16::try_from(id).ok()).map(FieldId);
            let held = ids.map(|id| (id, event.get(id))).filter(|(_, value)| !value.is_null());
            held.map(|(id, value)| format!("{id:?} {value:?}")).collect::<Vec<_>>().join("\n")
        };
        let read = |document: &String| {
            let mut with = Event::new(Arc::clone(&names));
            let read = with.read_with(&mut decoder, document.as_bytes());
            let mut alone = Event::new(Arc::clone(&names));
            assert_eq!(read, alone.read(document.as_bytes()), "{document}");
            [shown(&with), shown(&alone)]
        };
        documents.iter().map(read).collect()
    }

    /// An object of more than the least length whose beginning is always the same.
    fn object(user: &str, more: &str) -> String {
        let pad = "p".repeat(super::LENGTH_MIN);
        format!(r#"{{"entity_id":"{pad}","user":{{"id":"{user}"}},"args":["a\n","{user}"]{more}}}"#)
    }

    #[test]
    fn an_object_that_is_known_means_the_same_wherever_the_document_has_it() {
        let (known, other) = (object("7", ""), object("8", ""));
        let all = both(&[
            format!(r#"{{"process":{known}}}"#),
            format!(r#"{{"process":{known}}}"#),
            // Behind other text, and behind text that is unescaped.
            format!(r#"{{"file":{{"name":"\u0061b"}},"process":{known}}}"#),
            // The same beginning, another end; then the first again.
            format!(r#"{{"process":{other}}}"#),
            format!(r#"{{"process":{known},"process":{other}}}"#),
            // The same bytes under another name, deeper, and in a list.
            format!(r#"{{"x":{known},"host":{{"x":{known}}},"process":[{known},{other}]}}"#),
            format!(r#"{{"process":{{"parent":{known}}}}}"#),
            format!(r#"{{"process":{{"parent":{known}}},"process.parent.user.id":"9"}}"#),
        ]);
        for [with, alone] in &all {
            assert_eq!(with, alone);
        }
        let id = FIELDS.iter().position(|field| field.name == "process.user.id").unwrap();
        assert!(all[2][0].contains(&format!("FieldId({id}) Int(7)")), "{}", all[2][0]);
        assert!(all[4][0].contains(&format!("FieldId({id}) Int(8)")), "{}", all[4][0]);
    }

    #[test]
    fn names_mean_where_they_stand_whatever_came_there_before() {
        let documents = [
            r#"{"process":{"parent":{"pid":1},"name":"a"},"user":{"name":"b"},"list":1}"#,
            r#"{"process":{"parent":{"pid":2},"name":"c"},"user":{"name":"d"},"list":2}"#,
            // The same names one level higher, behind a key with dots, and in another order.
            r#"{"process.parent":{"pid":3},"name":"e","user":{"name":"f"},"x":{"name":"g"}}"#,
            r#"{"process.parent":{"name":"h","pid":4},"user.name":"i","name":"j"}"#,
            r#"{"user":{"name":"k"},"process":{"name":"l","parent":{"pid":5}},"list":[1]}"#,
            r#"{"process" : {"parent":{ "pid":6},"\u006eame":"m"},"user":{}}"#,
        ];
        for _ in 0..2 {
            let all = both(&documents.map(str::to_owned));
            for [with, alone] in &all {
                assert_eq!(with, alone);
            }
            let id = FIELDS.iter().position(|field| field.name == "process.name").unwrap();
            let names = all.iter().map(|[with, _]| with.contains(&format!("FieldId({id}) Str")));
            assert_eq!(names.collect::<Vec<_>>(), [true, true, false, false, true, true]);
        }
    }

    #[test]
    fn what_is_no_json_is_refused_behind_known_objects_too() {
        let known = object("7", "");
        let good = format!(r#"{{"process":{known}}}"#);
        let cut = good.get(..good.len() - 3).unwrap().to_owned();
        let documents = [good.clone(), good.clone(), format!("{good}}}"), cut, good];
        for [with, alone] in both(&documents) {
            assert_eq!(with, alone);
        }
    }

    #[test]
    fn what_is_no_utf8_is_refused_when_it_comes_again() {
        let mut document = format!(r#"{{"process":{}}}"#, object("#", "")).into_bytes();
        let at = document.iter().position(|byte| *byte == b'#').unwrap();
        document[at] = 0xff;
        let names = Arc::new(Names::new(&[], |_| true));
        let mut decoder = Decoder::new(Arc::clone(&names));
        let mut event = Event::new(names);
        for _ in 0..4 {
            assert_eq!(event.read_with(&mut decoder, &document), Err(Bad::Utf8 { at }));
        }
    }

    #[test]
    fn any_change_of_any_byte_is_seen() {
        let document = format!(r#"{{"process":{}}}"#, object("7", r#","parent":{"pid":1}"#));
        let mut documents = vec![document.clone(), document.clone()];
        for at in 0..document.len() {
            let mut bytes = document.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            documents.extend([document.clone(), String::from_utf8(bytes).unwrap()]);
        }
        for [with, alone] in both(&documents) {
            assert_eq!(with, alone);
        }
    }
}
