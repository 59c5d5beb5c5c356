//! Which names of a document are fields: a tree of their parts.

use model::field::{self, FIELDS, FieldId, FieldType};

/// Names that stand for a field where the document has no better: the classic event format.
const ALIASES: &[(&str, &str)] = &[
    ("event_type", "event.category"),
    ("timestamp", "@timestamp"),
    ("unique_pid", "process.entity_id"),
    ("unique_ppid", "process.parent.entity_id"),
    ("pid", "process.pid"),
    ("ppid", "process.parent.pid"),
    ("subtype", "event.action"),
];

/// All names that are read.
#[derive(Debug)]
pub(crate) struct Names {
    nodes: Vec<Branch>,
    /// For each field, known or of documents, its place among those that are read, from 1.
    places: Vec<u16>,
    /// How many are read.
    width: usize,
    /// How many of those are in the table; they have the first places.
    known: usize,
}

/// A field that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its place among the fields that are read.
    pub(crate) place: u16,
    /// Its type; `None` for a field that only documents have.
    pub(crate) kind: Option<FieldType>,
}

/// A name, and the number of its branch.
type Entry = (Box<[u8]>, u32);

/// A name, and what it leads to.
#[derive(Debug, Default)]
pub(crate) struct Branch {
    /// Tells it from others.
    pub(crate) number: u32,
    /// The branch that it is below.
    pub(crate) parent: u32,
    /// The name as documents have it before the value, with quotes and colon; empty if it has
    /// letters that can be written in several ways.
    pub(crate) key: Box<[u8]>,
    /// The field of that name.
    pub(crate) field: Option<Wanted>,
    /// The field that it stands for unless that is given.
    pub(crate) alias: Option<Wanted>,
    /// Hash table of names below; a power of two of places, at most half of them taken.
    table: Vec<Option<Entry>>,
    children: usize,
}

impl Names {
    /// Names of the field table and of a program's own fields, of those only the wanted ones.
    pub(crate) fn new(more: &[String], wanted: impl Fn(FieldId) -> bool) -> Names {
        let nodes = vec![Branch::default()];
        let places = vec![0; FIELDS.len() + more.len()];
        let mut names = Names { nodes, places, width: 0, known: 0 };
        let table = FIELDS.iter().map(|field| field.name);
        for (index, name) in table.chain(more.iter().map(String::as_str)).enumerate() {
            let (Ok(index), Ok(place)) = (u16::try_from(index), u16::try_from(names.width)) else {
                break;
            };
            let Some(entry) = names.places.get_mut(usize::from(index)) else { break };
            if wanted(FieldId(index)) {
                *entry = place + 1;
                names.width += 1;
                names.known += usize::from(usize::from(index) < FIELDS.len());
                let kind = field::field(FieldId(index)).map(|field| field.kind);
                names.branch(name).field = Some(Wanted { place, kind });
            }
        }
        for (name, field) in ALIASES {
            if let Some(id) = field::by_name(field)
                && let Some(place) = names.place(id)
            {
                let kind = field::field(id).map(|field| field.kind);
                names.branch(name).alias = Some(Wanted { place, kind });
            }
        }
        names
    }

    /// How many fields there are, known and of documents.
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    /// How many of them are read.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// How many of those are fields of the table; they have the first places.
    pub(crate) fn known(&self) -> usize {
        self.known
    }

    /// The place of a field among those that are read.
    #[inline]
    pub(crate) fn place(&self, id: FieldId) -> Option<u16> {
        self.places.get(usize::from(id.0))?.checked_sub(1)
    }

    /// Where a document begins.
    pub(crate) fn root(&self) -> Option<&Branch> {
        self.nodes.first()
    }

    /// How many branches there are.
    pub(crate) fn branches(&self) -> usize {
        self.nodes.len()
    }

    /// A branch by its number.
    #[inline]
    pub(crate) fn numbered(&self, number: u32) -> Option<&Branch> {
        self.nodes.get(usize::try_from(number).ok()?)
    }

    /// What a key leads to from a branch; a key may have dots.
    #[inline]
    pub(crate) fn below<'n>(&'n self, branch: &'n Branch, key: &[u8]) -> Option<&'n Branch> {
        // No part of a name has a dot, so a key that is found as it is has none.
        self.child(branch, key).or_else(|| self.dotted(branch, key))
    }

    fn dotted<'n>(&'n self, mut branch: &'n Branch, key: &[u8]) -> Option<&'n Branch> {
        let mut rest = key;
        while let Some(dot) = memchr::memchr(b'.', rest) {
            branch = self.child(branch, rest.get(..dot)?)?;
            rest = rest.get(dot + 1..)?;
        }
        if rest.len() == key.len() { None } else { self.child(branch, rest) }
    }

    #[inline]
    fn child(&self, branch: &Branch, part: &[u8]) -> Option<&Branch> {
        let number = branch.find(part)?;
        self.nodes.get(usize::try_from(number).ok()?)
    }

    /// The branch of a dotted name, which is made if it is new.
    fn branch(&mut self, name: &str) -> &mut Branch {
        let mut at = 0;
        for part in name.split('.') {
            let known = self.nodes.get(at).and_then(|branch| branch.find(part.as_bytes()));
            at = if let Some(next) = known.and_then(|number| usize::try_from(number).ok()) {
                next
            } else {
                let next = self.nodes.len();
                let number = u32::try_from(next).unwrap_or(0);
                let (parent, key) = (u32::try_from(at).unwrap_or(0), key(part));
                self.nodes.push(Branch { number, parent, key, ..Branch::default() });
                if let Some(branch) = self.nodes.get_mut(at) {
                    branch.insert(part.as_bytes().into(), number);
                }
                next
            };
        }
        #[expect(clippy::indexing_slicing, reason = "made above")]
        &mut self.nodes[at]
    }
}

impl Branch {
    /// Whether any name lies below.
    pub(crate) fn has_more(&self) -> bool {
        self.children > 0
    }

    fn find(&self, part: &[u8]) -> Option<u32> {
        let mask = self.table.len().checked_sub(1)?;
        let mut at = hash(part) & mask;
        while let Some((name, number)) = self.table.get(at)? {
            if **name == *part {
                return Some(*number);
            }
            at = (at + 1) & mask;
        }
        None
    }

    fn insert(&mut self, part: Box<[u8]>, number: u32) {
        self.children += 1;
        if self.children * 2 > self.table.len() {
            let places = (self.children * 4).next_power_of_two();
            let mut bigger = vec![None; places];
            for (name, number) in self.table.drain(..).flatten() {
                place(&mut bigger, name, number);
            }
            self.table = bigger;
        }
        place(&mut self.table, part, number);
    }
}

/// Puts a name at its place or the next free one; there is one, as half of them are free.
fn place(table: &mut [Option<Entry>], name: Box<[u8]>, number: u32) {
    let mask = table.len() - 1;
    let mut at = hash(&name) & mask;
    while table.get(at).is_some_and(Option::is_some) {
        at = (at + 1) & mask;
    }
    if let Some(free) = table.get_mut(at) {
        *free = Some((name, number));
    }
}

fn key(part: &str) -> Box<[u8]> {
    let plain = part.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let plain = plain && !part.contains(['"', '\\']);
    if plain { format!("\"{part}\":").into_bytes().into() } else { Box::default() }
}

/// From four bytes and the length: names are short, and those of one object differ in these.
#[inline]
fn hash(part: &[u8]) -> usize {
    let at = |index: usize| u64::from(part.get(index).copied().unwrap_or_default());
    let (length, half) = (part.len(), part.len() / 2);
    let bytes = at(0) | at(half) << 8 | at(length.wrapping_sub(1)) << 16 | at(1) << 24;
    let mixed = (bytes ^ (length as u64) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 40).unwrap_or(0)
}
