//! What a label means for each operation: rows of masks over the selectors of subjects.

use std::collections::HashMap;

use model::policy::{Errno, Operation, Operations, Place, Verdict};

use crate::bits::Bits;
use crate::error::number;
use crate::labels::{Claim, Meaning, Rank};
use crate::needs::Known;

/// Operations that a label has a row for.
pub const OPERATIONS: usize = Operation::ALL.len();

/// Operations on files, of which any that is denied below a directory keeps it in its place.
const ON_FILES: &[Operation] = &[
    Operation::Read,
    Operation::Write,
    Operation::Create,
    Operation::Delete,
    Operation::Rename,
    Operation::Link,
    Operation::Attributes,
    Operation::Execute,
    Operation::MapCode,
];

/// Operations that take everything below a directory elsewhere, or hide it.
const MOVES: &[Operation] = &[Operation::Rename, Operation::Mount];

/// Which denied operations take this one with them, unless a rule allows it by name: who may not
/// read a file makes no other name for it, who may not write it does not remove or replace it, who
/// may not execute it does not have the loader of dynamic programs map it.
pub fn implied_by(operation: Operation) -> &'static [Operation] {
    match operation {
        Operation::Link | Operation::Rename => &[Operation::Read, Operation::Write],
        Operation::Create | Operation::Delete | Operation::Attributes => &[Operation::Write],
        Operation::MapCode => &[Operation::Execute],
        _ => &[],
    }
}

/// Whether an operation takes everything below a directory elsewhere, or hides it.
pub fn is_move(operation: Operation) -> bool {
    MOVES.contains(&operation)
}

/// What a rule does when it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Effect {
    /// Refuses.
    Deny,
    /// Allows what others refuse.
    Except,
    /// Allows.
    Allow,
    /// Reports.
    Audit,
    /// Arms a selector.
    Trigger,
    /// Nothing any more: an exception whose time is over.
    Expired,
}

/// How a refusal looks to who asked; the smallest number is the strongest and wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Answer {
    /// `EPERM`, and the end of the process.
    Kill,
    /// `EPERM`.
    Perm,
    /// `EACCES`.
    Access,
    /// `ENOENT`.
    NoEntry,
    /// `ECONNREFUSED`.
    Refused,
}

impl Answer {
    pub(crate) fn of(errno: Errno) -> Answer {
        match errno {
            Errno::Perm => Answer::Perm,
            Errno::Access => Answer::Access,
            Errno::NoEntry => Answer::NoEntry,
            Errno::Refused => Answer::Refused,
        }
    }

    /// As policies say it.
    pub fn verdict(self) -> Verdict {
        match self {
            Answer::Kill => Verdict::Kill,
            Answer::Perm => Verdict::Deny(Errno::Perm),
            Answer::Access => Verdict::Deny(Errno::Access),
            Answer::NoEntry => Verdict::Deny(Errno::NoEntry),
            Answer::Refused => Verdict::Deny(Errno::Refused),
        }
    }
}

/// One rule in a row. Entries of a row are in the order of their fields, so of those that fit a
/// subject the first decides, whatever the order of the files was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// What it does.
    pub effect: Effect,
    /// How, if it denies.
    pub answer: Answer,
    /// Its number.
    pub rule: u32,
    /// Whom it is about.
    pub bit: u8,
}

/// For one operation on one label: who may, who may not, and why. Row 0 is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// Selectors with a rule that denies.
    pub deny: Bits,
    /// Selectors with a rule that allows.
    pub allow: Bits,
    /// Selectors with an exception.
    pub except: Bits,
    /// Selectors with a rule that reports.
    pub audit: Bits,
    /// Selectors that are armed by it.
    pub trigger: Bits,
    /// The first of its entries.
    pub first: u32,
    /// How many there are; those that deny come first.
    pub count: u32,
}

/// One set of verdicts. The first is what is carried out; the second, there only if some policy is
/// only reported, is what would be if all were carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// For each label the row of each operation.
    pub rows: Vec<[u32; OPERATIONS]>,
    /// For each operation the row of the subjects that may do only what rules allow.
    pub defaults: [u32; OPERATIONS],
    /// For each operation the selectors that anything is denied to: a thing that cannot be named is
    /// refused to them.
    pub guarded: [Bits; OPERATIONS],
}

/// All verdicts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// One or two.
    pub layers: Vec<Layer>,
    /// Rows, each stored once.
    pub rows: Vec<Row>,
    /// The entries of all rows.
    pub entries: Vec<Entry>,
    /// For each label what its rows have at all: [`HAS_DENY`] and so on.
    pub flags: Vec<u32>,
}

/// The label has rows that deny.
pub const HAS_DENY: u32 = 1;
/// The label has rows that report.
pub const HAS_AUDIT: u32 = 2;
/// The label has rows that arm.
pub const HAS_TRIGGER: u32 = 4;

/// A rule or an allow list as verdicts see it.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleInfo {
    /// Name of its policy.
    pub policy: String,
    /// Its id.
    pub id: String,
    /// Where it is written.
    pub place: Place,
    /// Whom it is about.
    pub bit: u8,
    /// Which operations.
    pub operations: Operations,
    /// The operations that arm it; empty if it needs none.
    pub after: Operations,
    /// The rule whose first steps arm it, if it is the last step of a sequence.
    pub sequence: Option<String>,
    /// What it does.
    pub effect: Effect,
    /// How it denies.
    pub answer: Answer,
    /// Whether it is carried out, not only reported.
    pub enforced: bool,
    /// Whether it is an allow list: it denies what no rule allows.
    pub list: bool,
    /// What must be known so that its objects can be told apart.
    pub objects: Vec<Known>,
}

impl RuleInfo {
    fn entry(&self, rule: usize) -> Entry {
        Entry { effect: self.effect, answer: self.answer, rule: number(rule), bit: self.bit }
    }
}

/// For whom and how strongly a rule keeps a directory in its place.
pub(crate) fn rank(rules: &[RuleInfo], rule: u32) -> Option<Rank> {
    let info = rules.get(rule as usize)?;
    let counts = info.effect == Effect::Deny
        && !info.list
        && ON_FILES.iter().any(|operation| info.operations.has(*operation));
    counts.then_some(Rank { group: (info.bit, info.enforced), strength: (info.answer as u8, rule) })
}

/// Builds all rows. `any` are the claims that hold for every object.
pub(crate) fn build(rules: &[RuleInfo], meanings: &[Meaning], any: &[Claim]) -> Verdicts {
    let mut builder = Builder { rules, known: HashMap::new(), verdicts: Verdicts::default() };
    builder.row(Vec::new());
    let reported = rules.iter().any(|rule| !rule.enforced);
    for all in [false, true].into_iter().take(1 + usize::from(reported)) {
        let layer = builder.layer(meanings, any, all);
        builder.verdicts.layers.push(layer);
    }
    builder.flags(meanings.len());
    builder.verdicts
}

struct Builder<'a> {
    rules: &'a [RuleInfo],
    known: HashMap<Vec<Entry>, u32>,
    verdicts: Verdicts,
}

impl Builder<'_> {
    fn layer(&mut self, meanings: &[Meaning], any: &[Claim], all: bool) -> Layer {
        let mut layer = Layer {
            rows: Vec::with_capacity(meanings.len()),
            defaults: [0; OPERATIONS],
            guarded: [Bits::NONE; OPERATIONS],
        };
        for (label, meaning) in meanings.iter().enumerate() {
            layer.rows.push(match meaning {
                Meaning::Holds(_) if label == 0 => self.held(any, all),
                Meaning::Holds(claims) => self.held(claims, all),
                Meaning::Below(claims) => self.below(claims, all),
            });
        }
        let slots = layer.defaults.iter_mut().zip(&mut layer.guarded);
        for (operation, (default, guarded)) in Operation::ALL.iter().zip(slots) {
            let rules = self.rules.iter().enumerate();
            let carried =
                rules.filter(|(_, rule)| rule.effect == Effect::Deny && (all || rule.enforced));
            let mut entries = Vec::new();
            for (at, rule) in carried {
                let sources = implied_by(*operation).iter().chain([operation]);
                if rule.operations.has(*operation) && rule.list {
                    entries.push(rule.entry(at));
                }
                let guards = |source: &Operation| rule.operations.has(*source);
                if sources.filter(|source| !rule.list || *source == operation).any(guards) {
                    guarded.set(rule.bit);
                }
            }
            *default = self.row(entries);
        }
        layer
    }

    /// The rows of a label whose claims hold.
    fn held(&mut self, claims: &[Claim], all: bool) -> [u32; OPERATIONS] {
        let mut entries: [Vec<Entry>; OPERATIONS] = Default::default();
        for claim in claims {
            let (rule, trigger) = match claim {
                Claim::Rule(rule) => (*rule as usize, false),
                Claim::Trigger(rule) => (*rule as usize, true),
                _ => continue,
            };
            let Some(info) = self.rules.get(rule) else { continue };
            let mut entry = info.entry(rule);
            let operations = if trigger { info.after } else { info.operations };
            if trigger {
                entry.effect = Effect::Trigger;
            }
            // What reports and what arms decides nothing, so it is the same in both layers.
            let decides = matches!(entry.effect, Effect::Deny | Effect::Except | Effect::Allow);
            if decides && !all && !info.enforced || entry.effect == Effect::Expired {
                continue;
            }
            for (operation, entries) in Operation::ALL.iter().zip(&mut entries) {
                if operations.has(*operation) {
                    entries.push(entry);
                }
            }
        }
        entries.map(|entries| self.row(entries))
    }

    /// The rows of what may come below a directory.
    fn below(&mut self, claims: &[Claim], all: bool) -> [u32; OPERATIONS] {
        let mut entries = Vec::new();
        for claim in claims {
            if let Claim::Rule(rule) = claim
                && let Some(info) = self.rules.get(*rule as usize)
                && (all || info.enforced)
            {
                entries.push(info.entry(*rule as usize));
            }
        }
        let row = self.row(entries);
        let mut rows = [0; OPERATIONS];
        for (operation, slot) in Operation::ALL.iter().zip(&mut rows) {
            if is_move(*operation) {
                *slot = row;
            }
        }
        rows
    }

    /// The number of the row of these entries.
    fn row(&mut self, mut entries: Vec<Entry>) -> u32 {
        entries.sort_unstable();
        // A subject is decided by the first entry that fits; only reports name all rules.
        let mut seen = [Bits::NONE; 6];
        entries.retain(|entry| {
            let Some(seen) = seen.get_mut(entry.effect as usize) else { return false };
            let first = !seen.has(entry.bit);
            seen.set(entry.bit);
            first || entry.effect == Effect::Audit
        });
        if let Some(known) = self.known.get(&entries) {
            return *known;
        }
        let verdicts = &mut self.verdicts;
        let mut row = Row {
            first: number(verdicts.entries.len()),
            count: number(entries.len()),
            ..Row::default()
        };
        for entry in &entries {
            match entry.effect {
                Effect::Deny => row.deny.set(entry.bit),
                Effect::Except => row.except.set(entry.bit),
                Effect::Allow => row.allow.set(entry.bit),
                Effect::Audit => row.audit.set(entry.bit),
                Effect::Trigger => row.trigger.set(entry.bit),
                Effect::Expired => {}
            }
        }
        let new = number(verdicts.rows.len());
        verdicts.rows.push(row);
        verdicts.entries.extend_from_slice(&entries);
        self.known.insert(entries, new);
        new
    }

    fn flags(&mut self, labels: usize) {
        let verdicts = &mut self.verdicts;
        verdicts.flags = vec![0; labels];
        for layer in &verdicts.layers {
            for (flags, rows) in verdicts.flags.iter_mut().zip(&layer.rows) {
                for row in rows.iter().filter_map(|row| verdicts.rows.get(*row as usize)) {
                    let has = |bits: &Bits, flag| if bits.is_empty() { 0 } else { flag };
                    *flags |= has(&row.deny, HAS_DENY)
                        | has(&row.audit, HAS_AUDIT)
                        | has(&row.trigger, HAS_TRIGGER);
                }
            }
        }
    }
}
