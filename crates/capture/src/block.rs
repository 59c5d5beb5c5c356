//! Items on their way: what the event thread fills, and what a reader gets back.
//!
//! In memory each item is a word with its tag and length, and its bytes, padded to eight: so records
//! lie where they can be read in place, and adding one is a copy and no more.

use engine::Fact;
use model::wire::RECORD_MAX;
use zerocopy::IntoBytes;

/// Bytes of items after which a block is given on. Larger ones compress better; a reader holds
/// several.
pub const BLOCK_BYTES: usize = 1 << 20;
/// Bytes that a block can have: it is full when the next item does not fit any more.
pub const BLOCK_MAX: usize = BLOCK_BYTES + ITEM_MAX + WORD;
/// Bytes of one item: a record, or the list of rules of a host with ten thousand of them.
pub const ITEM_MAX: usize = 4 << 20;
/// Events that one match can name. Sequences and counts are bounded far below it.
pub const MEMBERS_MAX: usize = 1 << 16;

const WORD: usize = size_of::<u64>();
/// Bytes that a record takes at most.
const RECORD_BYTES: usize = RECORD_MAX as usize;

/// What an item is; the numbers are stored, so none is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    Record = 1,
    Known = 2,
    User = 3,
    Group = 4,
    Cgroup = 5,
    Membership = 6,
    Tick = 7,
    Match = 8,
    Loss = 9,
    Counters = 10,
    Rules = 11,
    Release = 12,
}

impl Tag {
    const ALL: [Tag; 12] = [
        Tag::Record,
        Tag::Known,
        Tag::User,
        Tag::Group,
        Tag::Cgroup,
        Tag::Membership,
        Tag::Tick,
        Tag::Match,
        Tag::Loss,
        Tag::Counters,
        Tag::Rules,
        Tag::Release,
    ];

    pub(crate) fn of(byte: u8) -> Option<Tag> {
        Tag::ALL.into_iter().find(|tag| *tag as u8 == byte)
    }
}

/// One thing that the engine was told, or that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record of `wire.h`, as it came.
    Record(&'a [u8]),
    /// A process that was known when the recording began, as a record.
    Known(&'a [u8]),
    /// A name or path that the host told.
    Fact(Fact),
    /// The time since boot had come to this, in ns, without a record.
    Tick(u64),
    /// The rules found something in what came before.
    Match(Matched<'a>),
    /// So much was not recorded here, because the disk or the reader was too slow.
    Loss(Loss),
    /// What sources and rings lost so far, as JSON.
    Counters(&'a [u8]),
    /// Other rules run from here on, as JSON ([`crate::RuleSet`]).
    Rules(&'a [u8]),
    /// A script of that name was let out of quarantine.
    Release(&'a [u8]),
}

/// What a rule found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched<'a> {
    /// Identity of the alert.
    pub id: u128,
    /// Id of the rule.
    pub rule: &'a [u8],
    /// Numbers of its events, each eight bytes, little-endian.
    members: &'a [u8],
}

impl Matched<'_> {
    /// Numbers of its events.
    pub fn members(&self) -> impl Iterator<Item = u64> + '_ {
        let numbers = self.members.chunks_exact(WORD);
        numbers.map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes))
    }
}

/// What is missing in a recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// Items.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The item cannot be what its tag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an item of kind {0} has the wrong form")]
pub struct BadItem(pub u8);

/// Items in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    words: Vec<u64>,
    items: u32,
    records: u32,
}

impl Block {
    /// An empty block with room for what it usually holds.
    pub fn new() -> Block {
        Block { words: Vec::with_capacity(BLOCK_BYTES / WORD), items: 0, records: 0 }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.words.len() * WORD
    }

    /// Items in it.
    pub fn items(&self) -> u32 {
        self.items
    }

    /// Records among them.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Whether it is time to give it on.
    pub fn is_full(&self) -> bool {
        self.bytes() >= BLOCK_BYTES
    }

    /// Forgets all items; the room stays.
    pub fn clear(&mut self) {
        self.words.clear();
        (self.items, self.records) = (0, 0);
    }

    /// Adds a record as it came. Longer ones than the kernel can make are cut, and so no records.
    pub fn record(&mut self, bytes: &[u8]) {
        self.put(Tag::Record, &[bytes.get(..RECORD_BYTES).unwrap_or(bytes)]);
    }

    /// Adds a process that was known before.
    pub fn known(&mut self, bytes: &[u8]) {
        self.put(Tag::Known, &[bytes.get(..RECORD_BYTES).unwrap_or(bytes)]);
    }

    /// Adds what the host told.
    pub fn fact(&mut self, fact: &Fact) {
        match fact {
            Fact::User { id, name } => self.put(Tag::User, &[&id.to_le_bytes(), name]),
            Fact::Group { id, name } => self.put(Tag::Group, &[&id.to_le_bytes(), name]),
            Fact::Cgroup { id, path } => self.put(Tag::Cgroup, &[&id.to_le_bytes(), path]),
            Fact::Membership { pid, start, hierarchies } => {
                let parts = [&pid.to_le_bytes()[..], &start.to_le_bytes()[..], hierarchies];
                self.put(Tag::Membership, &parts);
            }
        }
    }

    /// Adds that time went on.
    pub fn tick(&mut self, now: u64) {
        self.put(Tag::Tick, &[&now.to_le_bytes()]);
    }

    /// Adds what a rule found.
    pub fn matched(&mut self, id: u128, rule: &str, members: &[u64]) {
        let members = members.get(..MEMBERS_MAX).unwrap_or(members);
        let numbers: Vec<u8> = members.iter().flat_map(|one| one.to_le_bytes()).collect();
        let count = u32::try_from(members.len()).unwrap_or_default();
        self.put(Tag::Match, &[&id.to_le_bytes(), &count.to_le_bytes(), &numbers, rule.as_bytes()]);
    }

    /// Adds that something is missing here.
    pub fn loss(&mut self, loss: Loss) {
        self.put(Tag::Loss, &[&loss.items.to_le_bytes(), &loss.bytes.to_le_bytes()]);
    }

    /// Adds what sources and rings lost.
    pub fn counters(&mut self, json: &str) {
        self.put(Tag::Counters, &[json.as_bytes()]);
    }

    /// Adds that other rules run.
    pub fn rules(&mut self, json: &str) {
        self.put(Tag::Rules, &[json.as_bytes()]);
    }

    /// Adds that a script is asked again.
    pub fn release(&mut self, script: &str) {
        self.put(Tag::Release, &[script.as_bytes()]);
    }

    /// Adds an item; what is too long for one is cut, which its reader then refuses.
    pub(crate) fn put(&mut self, tag: Tag, parts: &[&[u8]]) {
        let len = parts.iter().map(|part| part.len()).sum::<usize>().min(ITEM_MAX);
        self.words.push(u64::from(tag as u8) | (len as u64) << 32);
        let at = self.words.len();
        self.words.resize(at + len.div_ceil(WORD), 0);
        let mut room = self.words.get_mut(at..).unwrap_or_default().as_mut_bytes();
        for part in parts {
            let fits = part.len().min(room.len());
            let (here, rest) = room.split_at_mut(fits);
            here.copy_from_slice(part.get(..fits).unwrap_or_default());
            room = rest;
        }
        self.items += 1;
        self.records += u32::from(tag == Tag::Record);
    }

    /// All items as they were added.
    pub fn iter(&self) -> impl Iterator<Item = Result<Item<'_>, BadItem>> {
        self.raw().map(|(tag, bytes)| item(tag, bytes).ok_or(BadItem(tag as u8)))
    }

    /// Tags and bytes of all items.
    pub(crate) fn raw(&self) -> Raw<'_> {
        Raw { words: &self.words }
    }
}

/// Goes through a block.
pub(crate) struct Raw<'b> {
    words: &'b [u64],
}

impl<'b> Iterator for Raw<'b> {
    type Item = (Tag, &'b [u8]);

    fn next(&mut self) -> Option<(Tag, &'b [u8])> {
        let (head, rest) = self.words.split_first()?;
        let tag = Tag::of(head.to_le_bytes()[0])?;
        let len = usize::try_from(head >> 32).ok()?;
        let (body, rest) = rest.split_at_checked(len.div_ceil(WORD))?;
        self.words = rest;
        Some((tag, body.as_bytes().get(..len)?))
    }
}

fn item(tag: Tag, bytes: &[u8]) -> Option<Item<'_>> {
    Some(match tag {
        Tag::Record => Item::Record(bytes),
        Tag::Known => Item::Known(bytes),
        Tag::User => {
            let (id, name) = bytes.split_first_chunk()?;
            Item::Fact(Fact::User { id: u32::from_le_bytes(*id), name: name.to_vec() })
        }
        Tag::Group => {
            let (id, name) = bytes.split_first_chunk()?;
            Item::Fact(Fact::Group { id: u32::from_le_bytes(*id), name: name.to_vec() })
        }
        Tag::Cgroup => {
            let (id, path) = bytes.split_first_chunk()?;
            Item::Fact(Fact::Cgroup { id: u64::from_le_bytes(*id), path: path.to_vec() })
        }
        Tag::Membership => {
            let (pid, rest) = bytes.split_first_chunk()?;
            let (start, hierarchies) = rest.split_first_chunk()?;
            let (pid, start) = (u32::from_le_bytes(*pid), u64::from_le_bytes(*start));
            Item::Fact(Fact::Membership { pid, start, hierarchies: hierarchies.to_vec() })
        }
        Tag::Tick => Item::Tick(u64::from_le_bytes(bytes.try_into().ok()?)),
        Tag::Match => Item::Match(matched(bytes)?),
        Tag::Loss => {
            let (items, rest) = bytes.split_first_chunk()?;
            let bytes = u64::from_le_bytes(rest.try_into().ok()?);
            Item::Loss(Loss { items: u64::from_le_bytes(*items), bytes })
        }
        Tag::Counters => Item::Counters(bytes),
        Tag::Rules => Item::Rules(bytes),
        Tag::Release => Item::Release(bytes),
    })
}

fn matched(bytes: &[u8]) -> Option<Matched<'_>> {
    let (id, rest) = bytes.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let len = Some(count).filter(|count| *count <= MEMBERS_MAX)?.checked_mul(WORD)?;
    let (members, rule) = rest.split_at_checked(len)?;
    Some(Matched { id: u128::from_le_bytes(*id), rule, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_comes_back_as_it_was() {
        let mut block = Block::new();
        let facts = [
            Fact::User { id: 7, name: b"seven".to_vec() },
            Fact::Group { id: 8, name: Vec::new() },
            Fact::Cgroup { id: u64::MAX, path: b"/a".to_vec() },
            Fact::Membership { pid: 1, start: 2, hierarchies: b"3:x:/".to_vec() },
        ];
        block.record(b"not even a header");
        for fact in &facts {
            block.fact(fact);
        }
        block.tick(9);
        block.matched(u128::MAX - 1, "rule", &[1, 2]);
        block.loss(Loss { items: 3, bytes: 4 });
        block.release("s");
        let items: Vec<Item<'_>> = block.iter().map(|item| item.unwrap()).collect();
        assert_eq!(items[0], Item::Record(b"not even a header"));
        for (item, fact) in items[1..].iter().zip(facts) {
            assert_eq!(*item, Item::Fact(fact));
        }
        assert_eq!(items[5], Item::Tick(9));
        let Item::Match(matched) = &items[6] else { panic!("{:?}", items[6]) };
        let members: Vec<u64> = matched.members().collect();
        assert_eq!((matched.id, matched.rule, members), (u128::MAX - 1, &b"rule"[..], vec![1, 2]));
        assert_eq!(items[7], Item::Loss(Loss { items: 3, bytes: 4 }));
        assert_eq!(items[8], Item::Release(b"s"));
        assert_eq!((block.items(), block.records()), (9, 1));
    }

    #[test]
    fn what_is_no_item_of_its_kind_is_told_and_hides_no_other() {
        let mut block = Block::new();
        block.put(Tag::Tick, &[b"short"]);
        block.put(Tag::Match, &[&[0; 16], &u32::MAX.to_le_bytes()]);
        block.tick(1);
        let items: Vec<_> = block.iter().collect();
        assert_eq!(
            items,
            [Err(BadItem(Tag::Tick as u8)), Err(BadItem(Tag::Match as u8)), Ok(Item::Tick(1))]
        );
    }
}
