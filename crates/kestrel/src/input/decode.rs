//! Documents into the values of the fields that somebody asks for.

use std::sync::Arc;

use model::field::FieldType;
use model::value::{Node, Value};

use super::Bad;
use super::convert::{any, flatten, parsed, plain, unowned};
use super::memory::{Mark, Memory, Place, Store};
use super::names::{Branch, Names, Wanted};
use super::scan::{Quoted, Scan, unescape};
use super::slot::{Kept, Slot, Slots, Span};

/// Reads documents, one after another.
#[derive(Debug)]
pub(crate) struct Decoder {
    names: Arc<Names>,
    memory: Memory,
    work: Work,
}

/// What is at hand while a document is read.
#[derive(Debug, Default)]
struct Work {
    slots: Slots,
    /// Values under names that stand for a field.
    weak: Vec<Store>,
    /// Fields in the order in which they got values.
    stores: Vec<Store>,
    /// For each branch the names that came there last, so that they need not be looked up.
    order: Vec<Order>,
    /// Whether all that happened since this was set depends on the bytes that were read alone, and
    /// can be remembered.
    pure: bool,
}

/// In which order the names below a branch, and beside it, came last; 0 is none.
#[derive(Debug, Default, Clone, Copy)]
struct Order {
    first: u32,
    next: u32,
}

impl Decoder {
    /// A decoder that remembers objects that come again.
    pub(crate) fn new(names: Arc<Names>) -> Decoder {
        Decoder { names, memory: Memory::new(), work: Work::default() }
    }

    /// A decoder for a document or two.
    pub(crate) fn forgetful(names: Arc<Names>) -> Decoder {
        Decoder { names, memory: Memory::default(), work: Work::default() }
    }

    /// Reads a document into `slots`; what they held before is gone, also after an error.
    pub(super) fn read(&mut self, document: &[u8], slots: &mut Slots) -> Result<(), Bad> {
        std::mem::swap(&mut self.work.slots, slots);
        let mut scan = Scan::new(document);
        let read = self.document(&mut scan);
        std::mem::swap(&mut self.work.slots, slots);
        if read.is_err() || !scan.is_ascii() {
            str::from_utf8(document).map_err(|error| Bad::Utf8 { at: error.valid_up_to() })?;
        }
        read
    }

    fn document(&mut self, scan: &mut Scan<'_>) -> Result<(), Bad> {
        let Decoder { names, memory, work } = self;
        work.slots.clear(names.width());
        work.weak.clear();
        work.stores.clear();
        work.order.resize(names.branches(), Order::default());
        if scan.peek() != Some(b'{') {
            return Err(scan.bad("an object"));
        }
        let root = names.root().ok_or(Bad::Deep)?;
        let mut reader = Reader { names, memory, work };
        reader.object(Some(root), scan, 0, false)?;
        scan.end()?;
        for (place, slot) in work.weak.drain(..) {
            if work.slots.slot(place).is_absent() {
                work.slots.set(place, slot);
            }
        }
        Ok(())
    }
}

/// A [`Decoder`] at work.
struct Reader<'d> {
    names: &'d Names,
    memory: &'d mut Memory,
    work: &'d mut Work,
}

impl<'d> Reader<'d> {
    /// Reads the members of an object below a branch, or of one that nobody asks for. In an array
    /// of objects each adds its values.
    fn object(
        &mut self,
        branch: Option<&'d Branch>,
        scan: &mut Scan<'_>,
        depth: usize,
        add: bool,
    ) -> Result<(), Bad> {
        let Some(branch) = branch else {
            return scan.members(depth, |scan, _| self.value(None, scan, depth + 1, add));
        };
        let names = self.names;
        // The name that came last, or none: then the first is expected.
        let mut last = None;
        scan.keys(depth, |scan| {
            let expected = names.numbered(self.expected(branch, last));
            // What a key with dots leads to stands elsewhere, and has another key of its own.
            let expected = expected.filter(|it| it.parent == branch.number && !it.key.is_empty());
            let found = match expected.filter(|it| scan.pass_if(&it.key)) {
                Some(found) => Some(found),
                None => self.lookup(branch, last, scan)?,
            };
            last = found.map(|found| found.number).or(last);
            self.value(found, scan, depth + 1, add)
        })
    }

    /// The name that came last time after another below a branch.
    #[inline]
    fn expected(&self, branch: &Branch, last: Option<u32>) -> u32 {
        let order = usize::try_from(last.unwrap_or(branch.number));
        let order = order.ok().and_then(|at| self.work.order.get(at)).copied().unwrap_or_default();
        if last.is_some() { order.next } else { order.first }
    }

    /// Reads a key that was not expected, and looks it up.
    fn lookup(
        &mut self,
        branch: &'d Branch,
        last: Option<u32>,
        scan: &mut Scan<'_>,
    ) -> Result<Option<&'d Branch>, Bad> {
        let key = scan.key()?;
        let bytes = scan.text().get(key.bytes).unwrap_or_default();
        let found = if key.escaped {
            let mut plain = Vec::new();
            unescape(bytes, &mut plain)?;
            self.names.below(branch, &plain)
        } else {
            self.names.below(branch, bytes)
        };
        if let Some(direct) = found {
            let order = usize::try_from(last.unwrap_or(branch.number));
            if let Some(order) = order.ok().and_then(|at| self.work.order.get_mut(at)) {
                let place = if last.is_some() { &mut order.next } else { &mut order.first };
                *place = direct.number;
            }
        }
        Ok(found)
    }

    /// Reads a value, or finds that it was read before.
    fn value(
        &mut self,
        branch: Option<&'d Branch>,
        scan: &mut Scan<'_>,
        depth: usize,
        add: bool,
    ) -> Result<(), Bad> {
        if add || !matches!(scan.peek(), Some(b'{' | b'[')) {
            return self.fresh(branch, scan, depth, add);
        }
        let place = Place { branch: branch.map(|branch| branch.number), depth };
        let (text, start) = (scan.text(), scan.at());
        let rest = text.get(start..).unwrap_or_default();
        let Some(hash) = Memory::hash(place, rest) else {
            return self.fresh(branch, scan, depth, add);
        };
        let work = &mut *self.work;
        let (own, kept) = (work.slots.own.len(), work.slots.kept.len());
        let (mark, stores) = (Mark { hash, text: start, own, kept }, work.stores.len());
        let known = self.memory.recall(place, mark, rest, &mut work.slots, &mut work.stores);
        if let Some((length, ascii)) = known {
            scan.pass(length, ascii);
            return Ok(());
        }
        let outside = std::mem::replace(&mut work.pure, true);
        self.fresh(branch, scan, depth, add)?;
        if self.work.pure {
            let text = text.get(start..scan.at()).unwrap_or_default();
            let stores = self.work.stores.get(stores..).unwrap_or_default();
            self.memory.learn(place, mark, text, &self.work.slots, stores);
        }
        self.work.pure &= outside;
        Ok(())
    }

    fn fresh(
        &mut self,
        branch: Option<&'d Branch>,
        scan: &mut Scan<'_>,
        depth: usize,
        add: bool,
    ) -> Result<(), Bad> {
        let Some(known) = branch else { return self.unread(scan, depth) };
        if known.field.is_none() && known.alias.is_none() {
            return self.below(known, scan, depth, add);
        }
        let start = scan.clone();
        if let Some(wanted) = known.alias {
            self.work.pure = false;
            let slot = self.convert(wanted, scan, depth)?;
            self.work.weak.extend(slot.map(|slot| (wanted.place, slot)));
        }
        if let Some(wanted) = known.field {
            *scan = start.clone();
            let slot = self.convert(wanted, scan, depth)?;
            if let Some(slot) = slot {
                self.store(wanted.place, slot, scan.text(), add);
            }
        }
        if known.has_more() {
            *scan = start;
            return self.below(known, scan, depth, add);
        }
        Ok(())
    }

    /// Reads the fields below a name.
    fn below(
        &mut self,
        branch: &'d Branch,
        scan: &mut Scan<'_>,
        depth: usize,
        add: bool,
    ) -> Result<(), Bad> {
        match scan.peek() {
            Some(b'{') => self.object(Some(branch), scan, depth, add),
            Some(b'[') => scan.items(depth, |scan| match scan.peek() {
                Some(b'{') => self.object(Some(branch), scan, depth + 1, true),
                _ => scan.skip(depth + 1),
            }),
            _ => scan.skip(depth),
        }
    }

    /// Steps over a value; objects in it may be known.
    fn unread(&mut self, scan: &mut Scan<'_>, depth: usize) -> Result<(), Bad> {
        match scan.peek() {
            Some(b'{') => self.object(None, scan, depth, false),
            _ => scan.skip(depth),
        }
    }

    /// Of a field that is given twice the last value wins, as in JSON itself.
    fn store(&mut self, place: u16, slot: Slot, text: &[u8], add: bool) {
        let Work { slots, stores, pure, .. } = &mut *self.work;
        let held = slots.slot(place);
        let slot = if add && !held.is_absent() { joined(slots, held, slot, text) } else { slot };
        *pure &= !add;
        slots.set(place, slot);
        stores.push((place, slot));
    }

    /// What a field holds; `None` for null, which means absent.
    fn convert(
        &mut self,
        wanted: Wanted,
        scan: &mut Scan<'_>,
        depth: usize,
    ) -> Result<Option<Slot>, Bad> {
        let kind = wanted.kind;
        let textual = kind.is_some_and(is_text);
        let slots = &mut self.work.slots;
        Ok(match scan.peek() {
            Some(b'"') => {
                let text = string(slots, scan)?;
                let value = if textual { None } else { parsed(kind, shown(slots, text, scan)) };
                Some(value.map_or(text, |value| slots.plain(value)))
            }
            Some(b'[') => self.list(kind, scan, depth)?,
            Some(b'{') if kind.is_none() => {
                // An object is a value only of a field that some rule names as a whole.
                let node = any(scan, depth)?;
                Some(slots.keep(Kept::Node(node)))
            }
            Some(b'{') => {
                scan.skip(depth)?;
                None
            }
            Some(b't' | b'f' | b'n') => scan.word()?.map(|flag| match (textual, flag) {
                (false, _) => Slot::bool(flag),
                (true, true) => own(slots, b"true"),
                (true, false) => own(slots, b"false"),
            }),
            _ => {
                let start = scan.at();
                let number = scan.number()?;
                Some(if textual {
                    Slot::text(Span::new(start..scan.at()))
                } else {
                    slots.plain(plain(kind, number))
                })
            }
        })
    }

    /// An array: texts are joined, which is how most fields are; all else is kept as it is.
    fn list(
        &mut self,
        kind: Option<FieldType>,
        scan: &mut Scan<'_>,
        depth: usize,
    ) -> Result<Option<Slot>, Bad> {
        let whole = scan.clone();
        let slots = &mut self.work.slots;
        let (start, mut simple) = (slots.own.len(), kind.is_none_or(is_text));
        scan.items(depth, |scan| {
            if !simple || scan.peek() != Some(b'"') {
                simple = false;
                return scan.skip(depth + 1);
            }
            let Quoted { bytes, escaped } = scan.string()?;
            let raw = scan.text().get(bytes).unwrap_or_default();
            let from = slots.own.len();
            if escaped {
                unescape(raw, &mut slots.own)?;
                simple = memchr::memchr(0, slots.own.get(from..).unwrap_or_default()).is_none();
            } else {
                slots.own.extend_from_slice(raw);
            }
            slots.own.push(0);
            Ok(())
        })?;
        if simple {
            let texts = start..slots.own.len();
            return Ok((!texts.is_empty()).then_some(Slot::texts(Span::new(texts))));
        }
        slots.own.truncate(start);
        let items = match any(&mut whole.clone(), depth)? {
            Node::List(items) => items,
            other => vec![other],
        };
        Ok(match kind {
            None => (!items.is_empty()).then(|| slots.keep(Kept::Node(Node::List(items)))),
            Some(kind) => {
                let mut flat = Vec::new();
                flatten(items, kind, &mut flat);
                let plain = flat.iter().map(unowned).collect::<Option<Vec<_>>>();
                let empty = plain.as_ref().is_some_and(Vec::is_empty);
                let kept = plain.map_or(Kept::Node(Node::List(flat)), Kept::Many);
                (!empty).then(|| slots.keep(kept))
            }
        })
    }
}

fn is_text(kind: FieldType) -> bool {
    matches!(kind, FieldType::Keyword | FieldType::Path | FieldType::Keywords)
}

/// A string; escapes are resolved in the own text.
fn string(slots: &mut Slots, scan: &mut Scan<'_>) -> Result<Slot, Bad> {
    let Quoted { bytes, escaped } = scan.string()?;
    if !escaped {
        return Ok(Slot::text(Span::new(bytes)));
    }
    let start = slots.own.len();
    unescape(scan.text().get(bytes).unwrap_or_default(), &mut slots.own)?;
    Ok(Slot::own(Span::new(start..slots.own.len())))
}

fn own(slots: &mut Slots, text: &[u8]) -> Slot {
    let start = slots.own.len();
    slots.own.extend_from_slice(text);
    Slot::own(Span::new(start..slots.own.len()))
}

fn shown<'s>(slots: &'s Slots, text: Slot, scan: &Scan<'s>) -> &'s [u8] {
    match slots.shown(text, scan.text()) {
        Value::Str(text) => text,
        _ => &[],
    }
}

/// Values of two objects of one array.
fn joined(slots: &mut Slots, held: Slot, more: Slot, text: &[u8]) -> Slot {
    let all = slots.shown(held, text).each().chain(slots.shown(more, text).each());
    let all = Node::List(all.map(Node::from).collect());
    slots.keep(Kept::Node(all))
}
