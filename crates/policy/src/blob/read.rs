//! Bytes into tables: nothing is believed.

use super::write::{steps_v4, steps_v6, watched};
use super::{
    CONCERNED, EXPIRES, HEAD, LIMITED, MAGIC, SECTIONS, SET, STICKY, Section, VERSION, bad,
};
use crate::automaton::{Automaton, EMPTY, START};
use crate::bits::Bits;
use crate::error::Error;
use crate::limits::{BYTES_MAX, NEEDLES_MAX};
use crate::network::{Net, Network, Range};
use crate::paths::{Anchored, Loose, Paths};
use crate::subjects::{DIMENSIONS, Subjects};
use crate::tables::{Created, Tables, Things};
use crate::verdicts::{Answer, Effect, Entry, Layer, OPERATIONS, Row, Verdicts};

fn head(why: &'static str) -> Error {
    Error::Table { table: "head", why }
}

fn double(low_high: &[u32]) -> u64 {
    let [low, high] = first(low_high);
    u64::from(high) << 32 | u64::from(low)
}

/// The first words; callers have as many.
fn first<const N: usize>(words: &[u32]) -> [u32; N] {
    words.first_chunk().copied().unwrap_or([0; N])
}

fn set(words: &[u32]) -> Bits {
    let mut bits = Bits::NONE;
    for (word, pair) in bits.0.iter_mut().zip(words.chunks(2)) {
        *word = double(pair);
    }
    bits
}

/// What stands for all without a hash, and the others.
fn headed<T>(mut items: Vec<T>) -> (Option<T>, Vec<T>) {
    let rest = items.split_off(items.len().min(1));
    (items.pop(), rest)
}

fn hash(words: &[u32]) -> [u8; 32] {
    let mut hash = [0; 32];
    let (chunks, _) = hash.as_chunks_mut::<4>();
    for (bytes, word) in chunks.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    hash
}

struct Reader {
    words: Vec<u32>,
}

impl Reader {
    fn word(&self, at: usize) -> u32 {
        self.words.get(at).copied().unwrap_or(0)
    }

    fn from(&self, at: usize, len: usize) -> &[u32] {
        self.words.get(at..at + len).unwrap_or_default()
    }

    /// The words of a section.
    fn section(&self, section: Section) -> Result<&[u32], Error> {
        let [at, len] = first(self.from(SECTIONS + 2 * section as usize, 2));
        let (at, len) = (at as usize, len as usize);
        if at < HEAD || !at.is_multiple_of(2) {
            return Err(bad(section, "a section begins inside of the head or at an odd place"));
        }
        if !len.is_multiple_of(section.width()) {
            return Err(bad(section, "a section ends inside of an item"));
        }
        self.words.get(at..at + len).ok_or(bad(section, "a section ends outside"))
    }

    /// The items of a section.
    fn items<T>(&self, section: Section, item: impl Fn(&[u32]) -> T) -> Result<Vec<T>, Error> {
        Ok(self.section(section)?.chunks(section.width()).map(item).collect())
    }

    /// A list of numbers, each below a bound.
    fn numbers(&self, section: Section, below: usize) -> Result<Vec<u32>, Error> {
        let words = self.section(section)?;
        if words.iter().any(|word| *word as usize >= below) {
            return Err(bad(section, "a number is too large"));
        }
        Ok(words.to_vec())
    }

    /// The kernel half finds sections by the head, we by the list: both must say the same.
    fn places(&self) -> Result<(), Error> {
        use Section::{
            HitLabels, Labels, PathEntries, PathLabels, PathLive, PathStates, Rows, TextEntries,
            TextHits, TextLabels, TextStates,
        };
        let told = [
            (5, Labels),
            (6, Rows),
            (8, PathStates),
            (9, PathEntries),
            (10, PathLabels),
            (11, PathLive),
            (12, TextStates),
            (13, TextEntries),
            (14, TextLabels),
            (15, TextHits),
            (16, HitLabels),
        ];
        for (word, section) in told {
            if self.word(word) != self.word(SECTIONS + 2 * section as usize) {
                return Err(head("a place is not that of its section"));
            }
        }
        Ok(())
    }

    fn automaton(&self, states: Section, entries: Section) -> Result<Automaton, Error> {
        let table = Automaton {
            states: self.items(states, first::<2>)?,
            entries: self.section(entries)?.to_vec(),
        };
        let count = table.states.len();
        if count <= START as usize {
            return Err(bad(states, "the start state is missing"));
        }
        let outside = |[base, default]: &[u32; 2]| {
            *base as usize + 256 > table.entries.len() || *default as usize >= count
        };
        if table.states.iter().any(outside) {
            return Err(bad(states, "a state leads outside"));
        }
        let next = table.entries.iter().map(|entry| entry >> 8);
        if next.into_iter().any(|next| next != EMPTY && next as usize >= count) {
            return Err(bad(entries, "an entry leads outside"));
        }
        Ok(table)
    }

    fn paths(&self, labels: usize) -> Result<Paths, Error> {
        let anchored = self.automaton(Section::PathStates, Section::PathEntries)?;
        let ends = self.numbers(Section::PathLabels, labels)?;
        let live = self.numbers(Section::PathLive, labels)?;
        if [ends.len(), live.len()] != [anchored.states.len(); 2] {
            return Err(bad(Section::PathLabels, "not as many labels as states"));
        }
        let states = ends.into_iter().zip(live);
        let anchored_states = states.map(|(label, live)| Anchored { label, live }).collect();
        let loose = self.automaton(Section::TextStates, Section::TextEntries)?;
        let ends = self.numbers(Section::TextLabels, labels)?;
        let live = self.numbers(Section::TextLive, labels)?;
        let hits = self.items(Section::TextHits, double)?;
        let count = loose.states.len();
        if [ends.len(), live.len(), hits.len()] != [count; 3] {
            return Err(bad(Section::TextLabels, "not as many labels as states"));
        }
        if self.word(7) as usize != count - 2 {
            return Err(bad(Section::TextStates, "not as many states as the head says"));
        }
        let hit_labels = self.numbers(Section::HitLabels, labels)?;
        let sticky = double(self.from(STICKY, 2));
        let known = match hit_labels.len() {
            NEEDLES_MAX => u64::MAX,
            fewer if fewer < NEEDLES_MAX => (1 << fewer) - 1,
            _ => return Err(bad(Section::HitLabels, "more hits than the mask has bits")),
        };
        if hits.iter().chain([&sticky]).any(|hits| hits & !known != 0) {
            return Err(bad(Section::TextHits, "a hit without a label"));
        }
        let states = ends.into_iter().zip(live).zip(hits);
        let state = |((label, live), hits)| Loose { label, live, hits };
        let loose_states = states.map(state).collect();
        Ok(Paths { anchored, anchored_states, loose, loose_states, sticky, hit_labels })
    }

    fn rows(&self) -> Result<(Vec<Row>, Vec<Entry>), Error> {
        let entries: Option<Vec<Entry>> =
            self.items(Section::Entries, entry)?.into_iter().collect();
        let entries = entries.ok_or(bad(Section::Entries, "an entry of no known kind"))?;
        let mut rows = self.items(Section::Rows, |words| {
            let mut sets = words.chunks(SET).map(set);
            let mut next = || sets.next().unwrap_or_default();
            Row {
                deny: next(),
                allow: next(),
                except: next(),
                audit: next(),
                trigger: next(),
                first: 0,
                count: 0,
            }
        })?;
        let ends = self.items(Section::RowEntries, first::<2>)?;
        if ends.len() != rows.len() {
            return Err(bad(Section::RowEntries, "not as many as rows"));
        }
        for (row, [first, count]) in rows.iter_mut().zip(ends) {
            if first as usize + count as usize > entries.len() {
                return Err(bad(Section::RowEntries, "a row ends outside of the entries"));
            }
            (row.first, row.count) = (first, count);
        }
        Ok((rows, entries))
    }

    fn layer(
        &self,
        rows: usize,
        [labels, defaults]: [Section; 2],
        guarded: &[u32],
    ) -> Result<Layer, Error> {
        let default = self.numbers(defaults, rows)?;
        self.numbers(labels, rows)?;
        let [defaults] = default.as_chunks::<OPERATIONS>().0 else {
            return Err(bad(defaults, "not one row for each operation"));
        };
        let mut layer = Layer {
            rows: self.items(labels, first::<OPERATIONS>)?,
            defaults: *defaults,
            guarded: [Bits::NONE; OPERATIONS],
        };
        for (slot, words) in layer.guarded.iter_mut().zip(guarded.chunks(SET)) {
            *slot = set(words);
        }
        Ok(layer)
    }

    fn verdicts(&self) -> Result<Verdicts, Error> {
        let (rows, entries) = self.rows()?;
        let sections = [Section::Labels, Section::Defaults];
        let guarded = self.from(CONCERNED, OPERATIONS * SET);
        let mut layers = vec![self.layer(rows.len(), sections, guarded)?];
        let count = layers.first().map_or(0, |layer| layer.rows.len());
        if count == 0 {
            return Err(bad(Section::Labels, "label 0 is missing"));
        }
        for (at, row) in layers.iter().flat_map(|layer| layer.defaults).enumerate() {
            let told = set(self.from(LIMITED + at * SET, SET));
            if rows.get(row as usize).is_none_or(|row| row.deny != told) {
                return Err(head("who is limited is not who the allow lists are about"));
            }
        }
        if !self.section(Section::ShadowLabels)?.is_empty() {
            let sections = [Section::ShadowLabels, Section::ShadowDefaults];
            let guarded = self.section(Section::ShadowConcerned)?;
            let shadow = self.layer(rows.len(), sections, guarded)?;
            if shadow.rows.len() != count || guarded.len() != OPERATIONS * SET {
                return Err(bad(Section::ShadowLabels, "not as many labels"));
            }
            layers.push(shadow);
        }
        let flags = self.section(Section::Flags)?.to_vec();
        if flags.len() != count {
            return Err(bad(Section::Flags, "not as many as labels"));
        }
        let verdicts = Verdicts { layers, rows, entries, flags };
        let told: Vec<Bits> = self.section(Section::Watched)?.chunks(SET).map(set).collect();
        if told != watched(&verdicts) {
            return Err(bad(Section::Watched, "not those whom rows report or arm"));
        }
        Ok(verdicts)
    }

    fn subjects(&self, labels: usize) -> Result<Subjects, Error> {
        let masks = self.section(Section::SubjectMasks)?;
        let masks: Vec<Bits> = masks.chunks(SET).map(set).collect();
        let parts = masks.split_first().and_then(|(known, rest)| {
            let (free, rest) = rest.split_first_chunk::<DIMENSIONS>()?;
            let [without, with, inherit, after] = rest else { return None };
            Some((*known, *free, [*without, *with], *inherit, *after))
        });
        let wrong = bad(Section::SubjectMasks, "not one set for each mask");
        let (known, free, login, inherit, after) = parts.ok_or(wrong)?;
        let sets = self.items(Section::Sets, set)?;
        let all = self.numbers(Section::LabelSubjects, sets.len())?;
        let of_labels: Vec<[u32; 3]> = all.as_chunks().0.to_vec();
        if of_labels.len() != labels {
            return Err(bad(Section::LabelSubjects, "not as many as labels"));
        }
        let (unhashed, hashes) = headed(self.items(Section::ExecutableHashes, |words| {
            (hash(words), set(words.get(SET..).unwrap_or_default()))
        })?);
        Ok(Subjects {
            known,
            free,
            login,
            inherit,
            after,
            hashes,
            unhashed: unhashed.map_or(Bits::NONE, |one| one.1),
            labels: of_labels,
            sets,
        })
    }

    fn things(&self, labels: usize) -> Result<Things, Error> {
        let processes = self.items(Section::Processes, first::<2>)?.into_iter();
        let processes = processes.map(|[bit, label]| Some((u8::try_from(bit).ok()?, label)));
        let processes: Option<Vec<(u8, u32)>> = processes.collect();
        let created: Option<Vec<Created>> =
            self.items(Section::Created, created)?.into_iter().collect();
        let few = |section| bad(section, "more subjects than there are bits");
        let (unhashed, hashes) =
            headed(self.items(Section::Hashes, |words| {
                (hash(words), words.last().copied().unwrap_or(0))
            })?);
        let things = Things {
            hashes,
            unhashed: unhashed.map_or(0, |one| one.1),
            capabilities: self.numbers(Section::Capabilities, labels)?,
            processes: processes.ok_or(few(Section::Processes))?,
            created: created.ok_or(few(Section::Created))?,
        };
        let hashes = things.hashes.iter().map(|one| one.1).chain([things.unhashed]);
        let created = things.created.iter().map(|one| one.label);
        let bits = things.processes.iter().map(|one| one.1).chain(created);
        if hashes.chain(bits).any(|label| label as usize >= labels) {
            return Err(bad(Section::Hashes, "a label is too large"));
        }
        Ok(things)
    }

    fn network(&self, labels: usize) -> Result<Network, Error> {
        let classes = self.section(Section::Classes)?.to_vec();
        let ranges = self.items(Section::Ranges, |words| {
            let [first, last, label] = first(words);
            Range { first, last, label }
        })?;
        if classes.first() != Some(&0)
            || !classes.is_sorted()
            || classes.last().map(|end| *end as usize) != Some(ranges.len())
            || classes.len() < 3
        {
            return Err(bad(Section::Classes, "classes do not cover the ranges"));
        }
        if ranges.iter().any(|range| range.label as usize >= labels) {
            return Err(bad(Section::Ranges, "a label is too large"));
        }
        let nets = |section: Section, bits: u32| {
            let nets = self.items(section, |words| {
                let (net, class) = words.split_at(words.len() - 1);
                let address = net.iter().skip(1).rev();
                let address = address.fold(0, |all: u128, word| all << 32 | u128::from(*word));
                let prefix = net.first().filter(|prefix| **prefix <= bits);
                let class = class.first().filter(|class| (**class as usize) < classes.len() - 1);
                Some(Net { prefix: u8::try_from(*prefix?).ok()?, address, class: *class? })
            })?;
            let nets: Option<Vec<Net>> = nets.into_iter().collect();
            nets.ok_or(bad(section, "a prefix or a class is too large"))
        };
        let protocols = self.items(Section::Protocols, |words| {
            u16::try_from(words.first().copied().unwrap_or(0)).ok()
        })?;
        let protocols: Option<Vec<u16>> = protocols.into_iter().collect();
        let network = Network {
            v4: nets(Section::NetsV4, 32)?,
            v6: nets(Section::NetsV6, 128)?,
            protocols: protocols.ok_or(bad(Section::Protocols, "a protocol is too large"))?,
            classes,
            ranges,
        };
        let told = [Section::StepsV4, Section::StepsV6];
        for (section, steps) in told.into_iter().zip([steps_v4(&network), steps_v6(&network)]) {
            if self.section(section)? != steps {
                return Err(bad(section, "steps are not those of the networks"));
            }
        }
        Ok(network)
    }
}

fn created(words: &[u32]) -> Option<Created> {
    let [what, label, low, high] = first(words);
    let [bit, in_force @ (0 | 1), 0, 0] = what.to_le_bytes() else { return None };
    let id = u64::from(low) | u64::from(high) << 32;
    (id != 0).then_some(Created { bit, in_force: in_force == 1, label, id })
}

fn entry(words: &[u32]) -> Option<Entry> {
    use Answer::{Access, Kill, NoEntry, Perm, Refused};
    use Effect::{Allow, Audit, Deny, Except, Trigger};
    let [what, rule] = first(words);
    let [effect, answer, bit, zero] = what.to_le_bytes();
    let effects = [Deny, Except, Allow, Audit, Trigger];
    let answers = [Kill, Perm, Access, NoEntry, Refused];
    let effect = effects.into_iter().find(|one| *one as u8 == effect)?;
    let answer = answers.into_iter().find(|one| *one as u8 == answer)?;
    (zero == 0).then_some(Entry { effect, answer, rule, bit })
}

impl Tables {
    /// Reads what [`Tables::encode`] wrote. Anything else is an error.
    pub fn parse(bytes: &[u8]) -> Result<Tables, Error> {
        let (chunks, rest) = bytes.as_chunks::<4>();
        if bytes.len() > BYTES_MAX || !rest.is_empty() || chunks.len() < HEAD {
            return Err(head("not a size that tables can have"));
        }
        let words = chunks.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let reader = Reader { words };
        if reader.word(0) != MAGIC {
            return Err(head("these are no tables of policies"));
        }
        if reader.word(1) != VERSION {
            return Err(head("made by another version: compile the policies anew"));
        }
        if reader.word(4) as usize != bytes.len() {
            return Err(head("not as many bytes as it says: cut off, or something behind it"));
        }
        reader.places()?;
        let verdicts = reader.verdicts()?;
        let labels = verdicts.flags.len();
        Ok(Tables {
            generation: double(reader.from(2, 2)),
            expires: double(reader.from(EXPIRES, 2)).cast_signed(),
            paths: reader.paths(labels)?,
            things: reader.things(labels)?,
            network: reader.network(labels)?,
            subjects: reader.subjects(labels)?,
            verdicts,
        })
    }
}
