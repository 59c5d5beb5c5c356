//! Tables into bytes.

use super::{CONCERNED, EXPIRES, HEAD, LIMITED, MAGIC, SECTIONS, SET, STICKY, Section, VERSION};
use crate::automaton::Automaton;
use crate::bits::Bits;
use crate::error::{Error, number};
use crate::limits::BYTES_MAX;
use crate::network::{Network, steps};
use crate::tables::Tables;
use crate::verdicts::{Entry, Layer, OPERATIONS, Row, Verdicts};

struct Writer {
    words: Vec<u32>,
}

fn low_high(value: u64) -> [u32; 2] {
    let half = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    [half(value), half(value >> 32)]
}

fn set(bits: &Bits) -> impl Iterator<Item = u32> + '_ {
    bits.0.iter().flat_map(|word| low_high(*word))
}

fn hash(hash: &[u8; 32]) -> impl Iterator<Item = u32> + '_ {
    let (words, _) = hash.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word))
}

/// Items behind a first one; nothing if there are none.
fn headed<'a, T>(first: &'a T, items: &'a [T]) -> impl Iterator<Item = &'a T> {
    std::iter::once(first).take(items.len()).chain(items)
}

/// For each operation, whom any rule reports or arms by it.
pub(super) fn watched(verdicts: &Verdicts) -> [Bits; OPERATIONS] {
    let mut watched = [Bits::NONE; OPERATIONS];
    for rows in verdicts.layers.iter().flat_map(|layer| &layer.rows) {
        for (all, row) in watched.iter_mut().zip(rows) {
            if let Some(row) = verdicts.rows.get(*row as usize) {
                *all = *all | row.audit | row.trigger;
            }
        }
    }
    watched
}

impl Writer {
    fn put(&mut self, at: usize, words: impl IntoIterator<Item = u32>) {
        for (slot, word) in self.words.iter_mut().skip(at).zip(words) {
            *slot = word;
        }
    }

    /// Adds a section and notes where it is.
    fn section(&mut self, section: Section, words: impl IntoIterator<Item = u32>) -> u32 {
        if self.words.len() % 2 == 1 {
            self.words.push(0);
        }
        let at = self.words.len();
        self.words.extend(words);
        let len = self.words.len() - at;
        self.put(SECTIONS + 2 * section as usize, [number(at), number(len)]);
        number(at)
    }

    fn automaton(&mut self, table: &Automaton, states: Section, entries: Section) -> [u32; 2] {
        [
            self.section(states, table.states.iter().flatten().copied()),
            self.section(entries, table.entries.iter().copied()),
        ]
    }

    fn paths(&mut self, tables: &Tables) {
        use Section::{
            HitLabels, PathEntries, PathLabels, PathLive, PathStates, TextEntries, TextHits,
            TextLabels, TextLive, TextStates,
        };
        let paths = &tables.paths;
        let [states, entries] = self.automaton(&paths.anchored, PathStates, PathEntries);
        let all = &paths.anchored_states;
        let labels = self.section(PathLabels, all.iter().map(|state| state.label));
        let live = self.section(PathLive, all.iter().map(|state| state.live));
        self.put(8, [states, entries, labels, live]);
        let [states, entries] = self.automaton(&paths.loose, TextStates, TextEntries);
        let all = &paths.loose_states;
        let labels = self.section(TextLabels, all.iter().map(|state| state.label));
        let hits = self.section(TextHits, all.iter().flat_map(|state| low_high(state.hits)));
        self.section(TextLive, all.iter().map(|state| state.live));
        let hit_labels = self.section(HitLabels, paths.hit_labels.iter().copied());
        self.put(12, [states, entries, labels, hits, hit_labels]);
        // The dead and the start state are always there.
        self.put(7, [number(all.len().saturating_sub(2))]);
        self.put(STICKY, low_high(paths.sticky));
    }

    fn verdicts(&mut self, tables: &Tables) {
        let verdicts = &tables.verdicts;
        let row_set = |row: &Row| {
            let sets = [row.deny, row.allow, row.except, row.audit, row.trigger];
            sets.into_iter().flat_map(|bits| set(&bits).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let rows = self.section(Section::Rows, verdicts.rows.iter().flat_map(row_set));
        let ends = verdicts.rows.iter().flat_map(|row| [row.first, row.count]);
        self.section(Section::RowEntries, ends);
        let entry = |entry: &Entry| {
            let [effect, answer, bit] =
                [entry.effect as u32, entry.answer as u32, entry.bit.into()];
            [effect | answer << 8 | bit << 16, entry.rule]
        };
        self.section(Section::Entries, verdicts.entries.iter().flat_map(entry));
        self.section(Section::Flags, verdicts.flags.iter().copied());
        let words = |layer: &Layer| layer.rows.iter().flatten().copied().collect::<Vec<_>>();
        let guarded = |layer: &Layer| layer.guarded.iter().flat_map(set).collect::<Vec<_>>();
        let mut labels = 0;
        if let Some(layer) = verdicts.layers.first() {
            labels = self.section(Section::Labels, words(layer));
            self.section(Section::Defaults, layer.defaults);
            for (at, row) in layer.defaults.iter().enumerate() {
                let row = verdicts.rows.get(*row as usize).copied().unwrap_or_default();
                self.put(LIMITED + at * SET, set(&row.deny));
            }
            self.put(CONCERNED, guarded(layer));
        }
        self.put(5, [labels, rows]);
        let watched = watched(verdicts);
        let bits = (0u32..).zip(&watched).filter(|(_, who)| !who.is_empty());
        self.put(17, [bits.fold(0, |all, (operation, _)| all | 1 << operation)]);
        let shadow = verdicts.layers.get(1);
        self.section(Section::ShadowLabels, shadow.map(words).unwrap_or_default());
        let defaults = shadow.map(|layer| layer.defaults);
        self.section(Section::ShadowDefaults, defaults.into_iter().flatten());
        self.section(Section::ShadowConcerned, shadow.map(guarded).unwrap_or_default());
        self.section(Section::Watched, watched.iter().flat_map(set));
    }

    fn subjects(&mut self, tables: &Tables) {
        let subjects = &tables.subjects;
        let mut masks = vec![subjects.known];
        masks.extend(subjects.free);
        masks.extend(subjects.login);
        masks.extend([subjects.inherit, subjects.after]);
        self.section(Section::SubjectMasks, masks.iter().flat_map(set));
        let without = ([0; 32], subjects.unhashed);
        let hashes = headed(&without, &subjects.hashes);
        let hashes = hashes.flat_map(|one| hash(&one.0).chain(set(&one.1)));
        self.section(Section::ExecutableHashes, hashes);
        self.section(Section::LabelSubjects, subjects.labels.iter().flatten().copied());
        self.section(Section::Sets, subjects.sets.iter().flat_map(set));
        let things = &tables.things;
        let without = ([0; 32], things.unhashed);
        let hashes = headed(&without, &things.hashes);
        self.section(Section::Hashes, hashes.flat_map(|one| hash(&one.0).chain([one.1])));
        self.section(Section::Capabilities, things.capabilities.iter().copied());
        let processes = things.processes.iter().flat_map(|one| [u32::from(one.0), one.1]);
        self.section(Section::Processes, processes);
        let created = things.created.iter().flat_map(|one| {
            let [low, high] = low_high(one.id);
            [u32::from(one.bit) | u32::from(one.in_force) << 8, one.label, low, high]
        });
        self.section(Section::Created, created);
    }

    fn network(&mut self, tables: &Tables) {
        let network = &tables.network;
        let words = |address: u128| {
            let bytes = address.to_le_bytes();
            let (words, _) = bytes.as_chunks::<4>();
            words.iter().map(|word| u32::from_le_bytes(*word)).collect::<Vec<_>>()
        };
        for (section, nets, count) in
            [(Section::NetsV4, &network.v4, 1), (Section::NetsV6, &network.v6, 4)]
        {
            let nets = nets.iter().flat_map(|net| {
                let address = words(net.address).into_iter().take(count);
                std::iter::once(u32::from(net.prefix)).chain(address).chain([net.class])
            });
            self.section(section, nets);
        }
        self.section(Section::Protocols, network.protocols.iter().map(|one| u32::from(*one)));
        self.section(Section::Classes, network.classes.iter().copied());
        let ranges = network.ranges.iter().flat_map(|one| [one.first, one.last, one.label]);
        self.section(Section::Ranges, ranges);
        self.section(Section::StepsV4, steps_v4(network));
        self.section(Section::StepsV6, steps_v6(network));
    }
}

/// What the kernel half searches instead of the networks of version 4.
pub(super) fn steps_v4(network: &Network) -> Vec<u32> {
    let steps = steps(&network.v4, 32).into_iter();
    steps.flat_map(|(first, class)| [u32::try_from(first).unwrap_or(u32::MAX), class]).collect()
}

/// What the kernel half searches instead of the networks of version 6.
pub(super) fn steps_v6(network: &Network) -> Vec<u32> {
    let mut words = Vec::new();
    for (first, class) in steps(&network.v6, 128) {
        let [low, high] = [0, 64].map(|at| u64::try_from(first >> at & u128::from(u64::MAX)));
        words.extend(low_high(high.unwrap_or(u64::MAX)));
        words.extend(low_high(low.unwrap_or(u64::MAX)));
        words.extend([class, 0]);
    }
    words
}

impl Tables {
    /// All tables as bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut writer = Writer { words: vec![0; HEAD] };
        writer.paths(self);
        writer.verdicts(self);
        writer.subjects(self);
        writer.network(self);
        let bytes = writer.words.len() * 4;
        if bytes > BYTES_MAX {
            let advice = "use fewer rules, or fewer patterns that overlap";
            return Err(Error::TooMany {
                what: "bytes of tables",
                max: BYTES_MAX,
                found: bytes,
                advice,
            });
        }
        let [low, high] = low_high(self.generation);
        writer.put(0, [MAGIC, VERSION, low, high, number(bytes)]);
        writer.put(EXPIRES, low_high(self.expires.cast_unsigned()));
        Ok(writer.words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }
}
