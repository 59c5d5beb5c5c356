//! What changed from one version of a pack to the next.

use std::collections::{BTreeMap, BTreeSet};

use crate::compiled::Compiled;
use crate::rule::RuleView;
use crate::script::ScriptView;

/// What a reviewer reads before a newer version is installed. Lists are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// Rules.
    pub rules: Change,
    /// Rules that are in both, and what of them is another.
    pub changed: Vec<(String, Vec<&'static str>)>,
    /// Declared fields.
    pub fields: Change,
    /// Capabilities that are asked for.
    pub capabilities: Change,
    /// ATT&CK ids.
    pub attack: Change,
    /// Keys that vouch.
    pub signers: Change,
    /// Files.
    pub files: Change,
    /// Files that are in both with another content.
    pub changed_files: Vec<String>,
    /// Scripts.
    pub scripts: Change,
    /// Scripts that are in both, and what of them is another.
    pub changed_scripts: Vec<(String, Vec<&'static str>)>,
}

/// What came and what went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Only in the newer one.
    pub added: Vec<String>,
    /// Only in the older one.
    pub removed: Vec<String>,
}

impl Change {
    fn of<'a>(
        old: impl IntoIterator<Item = &'a str>,
        new: impl IntoIterator<Item = &'a str>,
    ) -> Change {
        let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
            (old.into_iter().collect(), new.into_iter().collect());
        let texts = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| {
            a.difference(b).map(|one| (*one).to_owned()).collect()
        };
        Change { added: texts(&new, &old), removed: texts(&old, &new) }
    }

    /// Whether nothing came or went.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

impl Diff {
    /// What changed from `old` to `new`.
    pub fn new(old: &Compiled, new: &Compiled) -> Diff {
        let (was, is) = (old.verified().manifest(), new.verified().manifest());
        let by_id = |pack: &'_ Compiled| -> BTreeMap<String, RuleView> {
            let views = pack.rules().iter().map(|rule| &rule.view);
            views.map(|view| (view.id.clone(), view.clone())).collect()
        };
        let (before, after) = (by_id(old), by_id(new));
        let changed = after.iter().filter_map(|(id, view)| {
            let what = differences(before.get(id)?, view);
            (!what.is_empty()).then(|| (id.clone(), what))
        });
        let files: BTreeMap<&str, _> =
            was.files.iter().map(|file| (file.path.as_str(), file.sha256)).collect();
        let changed_files = is.files.iter().filter(|file| {
            files.get(file.path.as_str()).is_some_and(|digest| *digest != file.sha256)
        });
        let ids = |views: &'_ BTreeMap<String, RuleView>| -> Vec<String> {
            views.keys().cloned().collect()
        };
        let (old_ids, new_ids) = (ids(&before), ids(&after));
        let signers = |pack: &Compiled| -> Vec<String> {
            pack.verified().signers().iter().map(|one| one.key.to_string()).collect()
        };
        let (old_signers, new_signers) = (signers(old), signers(new));
        Diff {
            rules: change(&old_ids, &new_ids),
            changed: changed.collect(),
            fields: change(&was.fields, &is.fields),
            capabilities: change(&was.capabilities, &is.capabilities),
            attack: Change::of(old.attack(), new.attack()),
            signers: change(&old_signers, &new_signers),
            files: Change::of(
                was.files.iter().map(|file| file.path.as_str()),
                is.files.iter().map(|file| file.path.as_str()),
            ),
            changed_files: changed_files.map(|file| file.path.clone()).collect(),
            scripts: Change::of(
                old.scripts().iter().map(|one| one.name.as_str()),
                new.scripts().iter().map(|one| one.name.as_str()),
            ),
            changed_scripts: changed_scripts(old.scripts(), new.scripts()),
        }
    }

    /// Whether nothing that a rule does has changed.
    pub fn is_empty(&self) -> bool {
        *self == Diff::default()
    }
}

fn change(old: &[String], new: &[String]) -> Change {
    Change::of(old.iter().map(String::as_str), new.iter().map(String::as_str))
}

/// Scripts that are in both, and what of them is another, in words.
fn changed_scripts(old: &[ScriptView], new: &[ScriptView]) -> Vec<(String, Vec<&'static str>)> {
    let mut changed: Vec<(String, Vec<&'static str>)> = Vec::new();
    for is in new {
        let Some(was) = old.iter().find(|was| was.name == is.name) else { continue };
        let parts = [
            ("code", was.sha256 != is.sha256),
            ("kind", was.kind != is.kind),
            ("file", was.file != is.file),
            ("fields", was.fields != is.fields),
            ("functions", was.functions != is.functions),
            ("patterns", (&was.regexes, &was.globs) != (&is.regexes, &is.globs)),
            ("capabilities", was.asks != is.asks),
            ("budget", was.budget != is.budget),
        ];
        let what: Vec<_> = parts.into_iter().filter(|part| part.1).map(|part| part.0).collect();
        if !what.is_empty() {
            changed.push((is.name.clone(), what));
        }
    }
    changed.sort();
    changed
}

/// What of a rule is another, in words.
fn differences(old: &RuleView, new: &RuleView) -> Vec<&'static str> {
    let parts = [
        ("query", old.query != new.query),
        ("severity", old.severity != new.severity),
        ("responses", (&old.responses, old.response_ttl) != (&new.responses, new.response_ttl)),
        ("capabilities", old.needs != new.needs),
        ("fields", old.fields != new.fields),
        ("placement", old.place != new.place),
        ("ATT&CK", old.attack != new.attack),
        ("name", old.name != new.name),
        ("file", old.file != new.file),
        ("cost", old.cost != new.cost),
        ("scripts", old.scripts != new.scripts),
    ];
    parts.into_iter().filter_map(|(what, is_other)| is_other.then_some(what)).collect()
}
