//! One JSON document as an event: only the fields that somebody asks for are read.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use model::field::{self, FieldId, FieldType};
use model::value::{Fields, List, Node, Value};

use super::Bad;
use super::names::{Branch, Names};
use super::scan::{Number, Quoted, Scan, unescape};
use super::time;

/// An event that owns its text; it can be filled again and again.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    names: Arc<Names>,
    /// The document, then what was unescaped or joined from it.
    text: Vec<u8>,
    /// Length of the document in `text`.
    length: usize,
    /// What each field holds.
    slots: Vec<(FieldId, Slot)>,
    /// For each field the number of its slot, from 1.
    places: Vec<u16>,
    /// Values under names that stand for a field.
    weak: Vec<(FieldId, Slot)>,
}

#[derive(Debug, Clone)]
enum Slot {
    Plain(Value<'static>),
    Text(Range<usize>),
    /// Texts that each end in NUL.
    Texts(Range<usize>),
    Many(Vec<Value<'static>>),
    Node(Node),
}

impl Event {
    /// An event without a field.
    pub(crate) fn new(names: Arc<Names>) -> Event {
        let places = vec![0; names.count()];
        let (text, slots, weak) = (Vec::new(), Vec::new(), Vec::new());
        Event { names, text, length: 0, slots, places, weak }
    }

    /// Takes over a document; what the event held before is gone, also after an error.
    pub(crate) fn read(&mut self, document: &[u8]) -> Result<(), Bad> {
        for (id, _) in self.slots.drain(..) {
            if let Some(place) = self.places.get_mut(usize::from(id.0)) {
                *place = 0;
            }
        }
        self.text.clear();
        self.length = 0;
        str::from_utf8(document).map_err(|error| Bad::Utf8 { at: error.valid_up_to() })?;
        self.text.extend_from_slice(document);
        self.length = document.len();
        let names = Arc::clone(&self.names);
        let mut scan = Scan::new(document);
        if scan.peek() != Some(b'{') {
            return Err(scan.bad("an object"));
        }
        let root = names.root().ok_or(Bad::Deep)?;
        self.object(&names, root, &mut scan, 0, false)?;
        scan.end()?;
        for (id, slot) in std::mem::take(&mut self.weak) {
            if self.slot(id).is_none() {
                self.store(id, slot, false);
            }
        }
        Ok(())
    }

    /// The document as it was given.
    pub(crate) fn document(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }

    /// Time, ns since the Unix epoch.
    pub(crate) fn time(&self) -> Option<i64> {
        self.integer(field::TIMESTAMP)
    }

    /// Order among events of the same time.
    pub(crate) fn sequence(&self) -> Option<i64> {
        self.integer(field::EVENT_SEQUENCE)
    }

    fn integer(&self, id: FieldId) -> Option<i64> {
        match self.get(id).each().next() {
            Some(Value::Int(number)) => Some(number),
            _ => None,
        }
    }

    fn slot(&self, id: FieldId) -> Option<&Slot> {
        let place = self.places.get(usize::from(id.0))?;
        self.slots.get(usize::from(place.checked_sub(1)?)).map(|(_, slot)| slot)
    }

    /// Reads the members of an object below a branch. In an array of objects each adds its values.
    fn object(
        &mut self,
        names: &Names,
        branch: &Branch,
        scan: &mut Scan<'_>,
        depth: usize,
        add: bool,
    ) -> Result<(), Bad> {
        scan.members(depth, |scan, key| {
            let bytes = scan.text().get(key.bytes).unwrap_or_default();
            let found = if key.escaped {
                let mut plain = Vec::new();
                unescape(bytes, &mut plain)?;
                names.below(branch, &plain)
            } else {
                names.below(branch, bytes)
            };
            match found {
                Some(branch) => self.value(names, branch, scan, depth + 1, add),
                None => scan.skip(depth + 1),
            }
        })
    }

    fn value(
        &mut self,
        names: &Names,
        branch: &Branch,
        scan: &mut Scan<'_>,
        depth: usize,
        add: bool,
    ) -> Result<(), Bad> {
        if let Some(id) = branch.field {
            let slot = self.convert(id, &mut scan.clone(), depth)?;
            if let Some(slot) = slot {
                self.store(id, slot, add);
            }
        }
        if let Some(id) = branch.alias {
            let slot = self.convert(id, &mut scan.clone(), depth)?;
            self.weak.extend(slot.map(|slot| (id, slot)));
        }
        match scan.peek() {
            Some(b'{') if branch.has_more() => self.object(names, branch, scan, depth, add),
            Some(b'[') if branch.has_more() => scan.items(depth, |scan| match scan.peek() {
                Some(b'{') => self.object(names, branch, scan, depth + 1, true),
                _ => scan.skip(depth + 1),
            }),
            _ => scan.skip(depth),
        }
    }

    /// Of a field that is given twice the last value wins, as in JSON itself.
    fn store(&mut self, id: FieldId, slot: Slot, add: bool) {
        let Some(place) = self.places.get_mut(usize::from(id.0)) else { return };
        let known = usize::from(*place).checked_sub(1).and_then(|at| self.slots.get_mut(at));
        if let Some((_, held)) = known {
            *held = if add { joined(held, &slot, &self.text) } else { slot };
        } else if let Ok(number) = u16::try_from(self.slots.len() + 1) {
            self.slots.push((id, slot));
            *place = number;
        }
    }

    /// What a field holds; `None` for null, which means absent.
    fn convert(
        &mut self,
        id: FieldId,
        scan: &mut Scan<'_>,
        depth: usize,
    ) -> Result<Option<Slot>, Bad> {
        let kind = field::field(id).map(|field| field.kind);
        Ok(match scan.peek() {
            Some(b'"') => {
                let range = self.text(scan)?;
                let text = self.text.get(range.clone()).unwrap_or_default();
                Some(parsed(kind, text).map_or(Slot::Text(range), Slot::Plain))
            }
            Some(b'[') => self.list(kind, scan, depth)?,
            Some(b'{') => {
                // An object is a value only of a field that some rule names as a whole.
                (kind.is_none()).then_some(Slot::Node(node(scan, depth)?))
            }
            Some(b't' | b'f' | b'n') => scan.word()?.map(|flag| match kind {
                Some(FieldType::Keyword | FieldType::Path | FieldType::Keywords) => {
                    self.own(if flag { b"true" } else { b"false" })
                }
                _ => Slot::Plain(Value::Bool(flag)),
            }),
            _ => {
                let start = scan.at();
                let number = scan.number()?;
                Some(match kind {
                    Some(FieldType::Keyword | FieldType::Path | FieldType::Keywords) => {
                        Slot::Text(start..scan.at())
                    }
                    kind => Slot::Plain(plain(kind, number)),
                })
            }
        })
    }

    /// The bytes of a string within `text`; escapes are resolved behind the document.
    fn text(&mut self, scan: &mut Scan<'_>) -> Result<Range<usize>, Bad> {
        let Quoted { bytes, escaped } = scan.string()?;
        if !escaped {
            return Ok(bytes);
        }
        let start = self.text.len();
        unescape(scan.text().get(bytes).unwrap_or_default(), &mut self.text)?;
        Ok(start..self.text.len())
    }

    fn own(&mut self, text: &[u8]) -> Slot {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        Slot::Text(start..self.text.len())
    }

    /// An array: texts are joined, which is how most fields are; all else is kept as it is.
    fn list(
        &mut self,
        kind: Option<FieldType>,
        scan: &mut Scan<'_>,
        depth: usize,
    ) -> Result<Option<Slot>, Bad> {
        let whole = scan.clone();
        let (start, mut simple) = (self.text.len(), true);
        scan.items(depth, |scan| {
            if scan.peek() != Some(b'"') {
                simple = false;
                return scan.skip(depth + 1);
            }
            let Quoted { bytes, escaped } = scan.string()?;
            let raw = scan.text().get(bytes).unwrap_or_default();
            let from = self.text.len();
            if escaped {
                unescape(raw, &mut self.text)?;
            } else {
                self.text.extend_from_slice(raw);
            }
            simple &= memchr::memchr(0, self.text.get(from..).unwrap_or_default()).is_none();
            self.text.push(0);
            Ok(())
        })?;
        let texts = start..self.text.len();
        let typed =
            |kind| !matches!(kind, FieldType::Keyword | FieldType::Path | FieldType::Keywords);
        if simple && !kind.is_some_and(typed) {
            return Ok((!texts.is_empty()).then_some(Slot::Texts(texts)));
        }
        self.text.truncate(start);
        let items = match node(&mut whole.clone(), depth)? {
            Node::List(items) => items,
            other => vec![other],
        };
        Ok(match kind {
            None => (!items.is_empty()).then_some(Slot::Node(Node::List(items))),
            Some(kind) => {
                let mut flat = Vec::new();
                flatten(items, kind, &mut flat);
                let plain = flat.iter().map(unowned).collect::<Option<Vec<_>>>();
                let many = plain.map_or(Slot::Node(Node::List(flat)), Slot::Many);
                (!matches!(&many, Slot::Many(values) if values.is_empty())).then_some(many)
            }
        })
    }
}

impl Fields for Event {
    fn get(&self, field: FieldId) -> Value<'_> {
        match self.slot(field) {
            None => Value::Null,
            Some(slot) => shown(slot, &self.text),
        }
    }
}

fn shown<'s>(slot: &'s Slot, text: &'s [u8]) -> Value<'s> {
    match slot {
        Slot::Plain(value) => *value,
        Slot::Text(range) => Value::Str(text.get(range.clone()).unwrap_or_default()),
        Slot::Texts(range) => Value::List(List::Nul(text.get(range.clone()).unwrap_or_default())),
        Slot::Many(values) => Value::List(List::Values(values)),
        Slot::Node(node) => node.value(),
    }
}

/// Values of two objects of one array.
fn joined(held: &Slot, more: &Slot, text: &[u8]) -> Slot {
    let all = shown(held, text).each().chain(shown(more, text).each());
    Slot::Node(Node::List(all.map(owned).collect()))
}

fn owned(value: Value<'_>) -> Node {
    match value {
        Value::Null => Node::Null,
        Value::Bool(flag) => Node::Bool(flag),
        Value::Int(number) => Node::Int(number),
        Value::Float(number) => Node::Float(number),
        Value::Str(text) => Node::Str(text.into()),
        Value::Ip(address) => Node::Str(address.to_string().into_bytes().into()),
        Value::List(list) => Node::List(Value::List(list).each().map(owned).collect()),
        Value::Map(members) => Node::Map(members.to_vec()),
    }
}

/// A value that lends nothing.
fn unowned(node: &Node) -> Option<Value<'static>> {
    match node {
        Node::Bool(flag) => Some(Value::Bool(*flag)),
        Node::Int(number) => Some(Value::Int(*number)),
        Node::Float(number) => Some(Value::Float(*number)),
        Node::Str(text) => str::from_utf8(text).ok()?.parse::<IpAddr>().ok().map(Value::Ip),
        Node::Null | Node::List(_) | Node::Map(_) => None,
    }
}

/// The values of nested arrays for a field of the table, each as its type wants it.
fn flatten(items: Vec<Node>, kind: FieldType, flat: &mut Vec<Node>) {
    let textual = matches!(kind, FieldType::Keyword | FieldType::Path | FieldType::Keywords);
    for item in items {
        match item {
            Node::Null | Node::Map(_) => {}
            Node::List(inner) => flatten(inner, kind, flat),
            Node::Str(text) => flat.push(match parsed(Some(kind), &text) {
                None | Some(Value::Ip(_)) => Node::Str(text),
                Some(value) => owned(value),
            }),
            Node::Int(number) if textual => {
                flat.push(Node::Str(number.to_string().into_bytes().into()));
            }
            Node::Bool(flag) if textual => {
                flat.push(Node::Str(flag.to_string().into_bytes().into()));
            }
            Node::Int(number) => flat.push(owned(plain(Some(kind), Number::Int(number)))),
            other => flat.push(other),
        }
    }
}

/// What a text says in a field that is no text; `None` leaves it a text.
fn parsed(kind: Option<FieldType>, text: &[u8]) -> Option<Value<'static>> {
    let text = str::from_utf8(text).ok()?;
    match kind? {
        FieldType::Keyword | FieldType::Path | FieldType::Keywords => None,
        FieldType::Id | FieldType::Int => text.parse().ok().map(Value::Int),
        FieldType::Bool => text.parse().ok().map(Value::Bool),
        FieldType::Ip | FieldType::Ips => text.parse().ok().map(Value::Ip),
        FieldType::Time => time::text(text).map(Value::Int),
    }
}

fn plain(kind: Option<FieldType>, number: Number) -> Value<'static> {
    match (kind, number) {
        (Some(FieldType::Time), Number::Int(number)) => Value::Int(time::number(number)),
        (_, Number::Int(number)) => Value::Int(number),
        (_, Number::Float(number)) => Value::Float(number),
    }
}

/// Any value, kept as it is.
fn node(scan: &mut Scan<'_>, depth: usize) -> Result<Node, Bad> {
    Ok(match scan.peek() {
        Some(b'"') => Node::Str(string(scan)?.into()),
        Some(b'[') => {
            let mut items = Vec::new();
            scan.items(depth, |scan| {
                items.push(node(scan, depth + 1)?);
                Ok(())
            })?;
            Node::List(items)
        }
        Some(b'{') => {
            let mut members = Vec::new();
            scan.members(depth, |scan, key| {
                let mut name = Vec::new();
                unescape(scan.text().get(key.bytes).unwrap_or_default(), &mut name)?;
                let name = String::from_utf8_lossy(&name).into_owned().into_boxed_str();
                members.push((name, node(scan, depth + 1)?));
                Ok(())
            })?;
            Node::Map(members)
        }
        Some(b't' | b'f' | b'n') => scan.word()?.map_or(Node::Null, Node::Bool),
        _ => match scan.number()? {
            Number::Int(number) => Node::Int(number),
            Number::Float(number) => Node::Float(number),
        },
    })
}

fn string(scan: &mut Scan<'_>) -> Result<Vec<u8>, Bad> {
    let Quoted { bytes, .. } = scan.string()?;
    let mut plain = Vec::new();
    unescape(scan.text().get(bytes).unwrap_or_default(), &mut plain)?;
    Ok(plain)
}
