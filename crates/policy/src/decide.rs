//! The reference decision: what the kernel half computes, in the words of this language.

use model::policy::{Operation, Verdict};

use crate::bits::Bits;
use crate::network::Endpoint;
use crate::paths::Cursor;
use crate::subjects::Process;
use crate::tables::{Content, Labels, Tables};
use crate::verdicts::{Effect, Entry, Layer, Row, implied_by};

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What is carried out: allow, deny or kill.
    pub verdict: Verdict,
    /// Why.
    pub why: Why,
    /// What would have been carried out if the policies that are only reported were in force, where
    /// that is something else.
    pub would: Option<(Verdict, Why)>,
    /// A rule asks for a report of what was allowed.
    pub audited: bool,
    /// Selectors that the process has from now on, and all that it starts.
    pub arms: Bits,
}

/// Why a request was answered so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nothing is said about it.
    Default,
    /// This rule.
    Rule(u32),
    /// This rule denies another operation, which would be got around by this one.
    Implied(u32),
    /// This allow list, since no rule allows it.
    List(u32),
    /// What the object is could not be found out, and something of the kind is denied to the subject.
    Unresolved,
}

impl Tables {
    /// The labels of a path as the host sees it: absolute, without `.`, `..` and repeated slashes.
    pub fn label_path(&self, path: &[u8]) -> Labels {
        self.label_at(self.paths.read(Cursor::START, trim(path)))
    }

    /// The labels of a path that was read up to here.
    pub fn label_at(&self, at: Cursor) -> Labels {
        self.gather(self.paths.labels(at))
    }

    /// The labels of a directory that is to be moved, or hidden by a mount: its own, and those for
    /// what may be below it.
    pub fn label_moved(&self, at: Cursor) -> Labels {
        self.gather(self.paths.labels(at).chain(self.paths.live(at)))
    }

    /// Where reading begins for files of a mount at this path; a file's path then goes on from the
    /// root of the mount.
    pub fn start(&self, mount_point: &[u8]) -> Cursor {
        self.paths.read(Cursor::START, trim(mount_point))
    }

    /// The labels of an endpoint. `names` are the classes of the names that resolved to it.
    pub fn label_peer(&self, peer: &Endpoint, operation: Operation, names: &[u32]) -> Labels {
        self.gather(self.network.labels(peer, operation, names))
    }

    /// The label of what a file holds.
    pub fn label_hash(&self, hash: &[u8; 32]) -> Labels {
        let hashes = &self.things.hashes;
        let at = hashes.binary_search_by_key(hash, |one| one.0).ok();
        self.gather(at.and_then(|at| hashes.get(at)).map(|one| one.1))
    }

    /// The label of what is known of what a file holds.
    pub fn label_content(&self, content: &Content) -> Labels {
        match content {
            Content::Is(hash) => self.label_hash(hash),
            Content::Other => Labels::default(),
            Content::Unknown => self.gather([self.things.unhashed]),
        }
    }

    /// The label of a capability.
    pub fn label_capability(&self, number: u8) -> Labels {
        self.gather(self.things.capabilities.get(usize::from(number)).copied())
    }

    /// The labels of a process that a signal or a tracer is meant for.
    pub fn label_process(&self, target: &Process) -> Labels {
        self.of_bits(self.things.processes.iter().copied(), target)
    }

    /// The labels of a file that a process makes.
    pub fn label_created(&self, creator: &Process) -> Labels {
        self.of_bits(self.things.created.iter().map(|one| (one.bit, one.label)), creator)
    }

    fn of_bits(&self, labels: impl Iterator<Item = (u8, u32)>, process: &Process) -> Labels {
        let bits = self.subjects.bits(process);
        self.gather(labels.filter(|one| bits.has(one.0)).map(|one| one.1))
    }

    fn gather(&self, labels: impl IntoIterator<Item = u32>) -> Labels {
        let mut all = Labels::default();
        labels.into_iter().for_each(|label| all.add(label, &self.verdicts));
        all
    }

    /// Decides a request.
    pub fn decide(&self, subject: &Process, operation: Operation, labels: &Labels) -> Decision {
        let bits = self.subjects.bits(subject);
        let ask = |layer| Ask { tables: self, layer, bits, labels };
        let mut layers = self.verdicts.layers.iter();
        let Some(layer) = layers.next() else {
            // Tables always have a layer: `Tables::parse` refuses others.
            return Decision {
                verdict: Verdict::Allow,
                why: Why::Default,
                would: None,
                audited: false,
                arms: Bits::NONE,
            };
        };
        let ask_first = ask(layer);
        let (verdict, why) = ask_first.settle(operation);
        let would = layers.next().map(|layer| ask(layer).settle(operation));
        let mut arms = Bits::NONE;
        if verdict == Verdict::Allow {
            arms = ask_first.mask(operation, |row| row.trigger) & subject.fits;
        }
        Decision {
            verdict,
            why,
            would: would.filter(|would| would.0 != verdict),
            audited: ask_first.mask(operation, |row| row.audit).meets(&bits),
            arms,
        }
    }

    /// All rules that ask for a report of a request.
    pub fn audits(&self, subject: &Process, operation: Operation, labels: &Labels) -> Vec<u32> {
        let Some(layer) = self.verdicts.layers.first() else { return Vec::new() };
        let bits = self.subjects.bits(subject);
        let ask = Ask { tables: self, layer, bits, labels };
        let rows = ask.rows(operation).flat_map(|row| ask.entries(row));
        let fits = rows.filter(|entry| entry.effect == Effect::Audit && bits.has(entry.bit));
        let mut rules: Vec<u32> = fits.map(|entry| entry.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

/// Without the slash at the end: the root is the empty path.
fn trim(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

/// One request, in one layer.
struct Ask<'a> {
    tables: &'a Tables,
    layer: &'a Layer,
    bits: Bits,
    labels: &'a Labels,
}

impl<'a> Ask<'a> {
    /// The rows of an operation: that of every object, and those of the labels.
    fn rows(&self, operation: Operation) -> impl Iterator<Item = &'a Row> {
        let (layer, rows) = (self.layer, &self.tables.verdicts.rows);
        let labels = std::iter::once(&0).chain(self.labels.as_slice());
        labels.filter_map(move |label| {
            let row = layer.rows.get(*label as usize)?.get(operation as usize)?;
            rows.get(*row as usize)
        })
    }

    fn entries(&self, row: &Row) -> &'a [Entry] {
        let first = row.first as usize;
        let entries = &self.tables.verdicts.entries;
        entries.get(first..first + row.count as usize).unwrap_or_default()
    }

    fn mask(&self, operation: Operation, of: impl Fn(&Row) -> Bits) -> Bits {
        self.rows(operation).fold(Bits::NONE, |all, row| all | of(row))
    }

    /// The strongest entry with this effect.
    fn first(&self, operation: Operation, effect: Effect) -> Option<&'a Entry> {
        let entries = self.rows(operation).flat_map(|row| self.entries(row));
        entries.filter(|entry| entry.effect == effect && self.bits.has(entry.bit)).min()
    }

    /// The precedence of rules.
    fn settle(&self, operation: Operation) -> (Verdict, Why) {
        if let Some(entry) = self.first(operation, Effect::Except) {
            return (Verdict::Allow, Why::Rule(entry.rule));
        }
        if let Some(entry) = self.first(operation, Effect::Deny) {
            return (entry.answer.verdict(), Why::Rule(entry.rule));
        }
        let guarded = self.layer.guarded.get(operation as usize);
        if self.labels.unresolved && guarded.is_some_and(|guarded| guarded.meets(&self.bits)) {
            return (crate::verdicts::Answer::Perm.verdict(), Why::Unresolved);
        }
        if let Some(entry) = self.first(operation, Effect::Allow) {
            return (Verdict::Allow, Why::Rule(entry.rule));
        }
        for source in implied_by(operation) {
            if self.first(*source, Effect::Except).is_none()
                && let Some(entry) = self.first(*source, Effect::Deny)
            {
                return (entry.answer.verdict(), Why::Implied(entry.rule));
            }
        }
        let default = self.layer.defaults.get(operation as usize);
        let row = default.and_then(|row| self.tables.verdicts.rows.get(*row as usize));
        let mut lists = row.into_iter().flat_map(|row| self.entries(row));
        match lists.find(|entry| self.bits.has(entry.bit)) {
            Some(entry) => (entry.answer.verdict(), Why::List(entry.rule)),
            None => (Verdict::Allow, Why::Default),
        }
    }
}
