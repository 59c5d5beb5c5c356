//! What is known of a generation besides its files.

use std::collections::BTreeMap;

use packs::{Level, Sha256};
use serde::{Deserialize, Serialize};

/// A process that asked for something, by the kernel's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// Its user.
    pub(crate) uid: u32,
    /// Its number.
    pub(crate) pid: Option<i32>,
}

/// What made the agent read rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Why {
    /// The agent started.
    Start,
    /// A worker took the place of another.
    Restart,
    /// Files changed.
    FileChange,
    /// SIGHUP.
    Sighup,
    /// `aegisbpf reload`.
    Reload,
    /// `aegisbpf rules accept`.
    Accept,
    /// `aegisbpf rules follow`.
    Follow,
    /// `aegisbpf rules rollback`.
    Rollback,
    /// The rules after them broke.
    Revert,
}

impl Why {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Why::Start => "start",
            Why::Restart => "restart",
            Why::FileChange => "file-change",
            Why::Sighup => "sighup",
            Why::Reload => "reload",
            Why::Accept => "accept",
            Why::Follow => "follow",
            Why::Rollback => "rollback",
            Why::Revert => "revert",
        }
    }
}

/// What made the agent read rules, who asked for it, and his reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cause {
    /// What.
    pub(crate) why: Why,
    /// Who, if somebody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) who: Option<Peer>,
    /// In his words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl From<Why> for Cause {
    fn from(why: Why) -> Cause {
        Cause { why, who: None, reason: None }
    }
}

impl Cause {
    /// Somebody asked.
    pub(crate) fn by(why: Why, who: Peer, reason: Option<String>) -> Cause {
        Cause { why, who: Some(who), reason }
    }
}

/// What a file of a generation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub(crate) enum Kind {
    /// A rule file of the operator.
    Rules,
    /// A script beside such a file.
    Script {
        /// What the rule file calls it.
        file: String,
    },
    /// A pack.
    Pack {
        /// It came with this program, so it counts as that without a signature.
        shipped: bool,
    },
    /// Whom the operator trusts. It is kept to look at: what counts is the file of now.
    Trust,
    /// A key, or what introduces one; kept to look at as well.
    Key,
}

impl Kind {
    /// What a pack of this kind is without a signature.
    pub(crate) fn place(&self) -> Option<Level> {
        match self {
            Kind::Pack { shipped: true } => Some(Level::Shipped),
            Kind::Pack { shipped: false } => Some(Level::Local),
            _ => None,
        }
    }
}

/// A file of a generation and what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it was read; of a script the rule file beside it.
    pub(crate) name: String,
    /// What it held.
    pub(crate) bytes: Vec<u8>,
}

/// A file of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What it is.
    #[serde(flatten)]
    pub(crate) kind: Kind,
    /// Where it was read; of a script the rule file beside it.
    pub(crate) name: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// What it held.
    pub(crate) sha256: Sha256,
}

impl From<&Content> for Entry {
    fn from(content: &Content) -> Entry {
        Entry {
            kind: content.kind.clone(),
            name: content.name.clone(),
            bytes: content.bytes.len() as u64,
            sha256: Sha256::of(&content.bytes),
        }
    }
}

/// What is known of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Its number.
    pub(crate) generation: u64,
    /// When it was read, in RFC 3339.
    pub(crate) made: String,
    /// Why it was read.
    #[serde(flatten)]
    pub(crate) cause: Cause,
    /// The one that was in force before.
    pub(crate) before: Option<u64>,
    /// SHA-256 over the list of its files: kinds, names and digests, in the order in which they count.
    pub(crate) sha256: String,
    /// The digest of these rules that recordings have.
    pub(crate) rules_sha256: String,
    /// Findings that kept a rule out.
    pub(crate) refused: usize,
    /// All rules by id, and a number for what each is.
    pub(crate) rules: BTreeMap<String, String>,
    /// What changed from the one before.
    #[serde(flatten)]
    pub(crate) changes: Changes,
    /// Ids of the keys that are known.
    pub(crate) keys: Vec<String>,
    /// Ids of those whose signatures count no longer.
    pub(crate) revoked: Vec<String>,
    /// Its files.
    pub(crate) files: Vec<Entry>,
}

/// What changes from one set of rules to another: ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// Not there before.
    pub(crate) added: Vec<String>,
    /// Not there any more.
    pub(crate) removed: Vec<String>,
    /// There, and others than before.
    pub(crate) changed: Vec<String>,
}

impl Changes {
    /// From some rules to others, each by id with a number for what it is.
    pub(crate) fn between(
        old: &BTreeMap<String, String>,
        new: &BTreeMap<String, String>,
    ) -> Changes {
        let lacks = |known: &BTreeMap<String, String>, of: &BTreeMap<String, String>| {
            of.keys().filter(|id| !known.contains_key(*id)).cloned().collect()
        };
        let changed = new.iter().filter(|(id, is)| old.get(*id).is_some_and(|was| was != *is));
        Changes {
            added: lacks(old, new),
            removed: lacks(new, old),
            changed: changed.map(|(id, _)| id.clone()).collect(),
        }
    }
}

/// SHA-256 over the list of files. Strict mode gives the same files other rights.
pub(crate) fn digest(files: &[Entry], strict: bool) -> String {
    let mut list = Vec::from(if strict { &b"strict\n"[..] } else { b"" });
    for entry in files {
        // One line each: JSON escapes whatever would end it.
        list.extend(serde_json::to_vec(entry).unwrap_or_default());
        list.push(b'\n');
    }
    Sha256::of(&list).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_by_id() {
        let rules = |all: &[(&str, &str)]| {
            all.iter().map(|(id, is)| ((*id).to_owned(), (*is).to_owned())).collect()
        };
        let (old, new) = (rules(&[("a", "1"), ("b", "1")]), rules(&[("b", "2"), ("c", "1")]));
        let found = Changes::between(&old, &new);
        assert_eq!((&found.added[..], &found.removed[..]), (&["c".into()][..], &["a".into()][..]));
        assert_eq!(found.changed, ["b"]);
        assert_eq!(Changes::between(&old, &old), Changes::default());
    }

    #[test]
    fn a_digest_is_of_names_contents_and_order() {
        let entry = |name: &str, bytes: &[u8]| {
            Entry::from(&Content {
                kind: Kind::Rules,
                name: name.to_owned(),
                bytes: bytes.to_vec(),
            })
        };
        let (a, b) = (entry("a", b"x"), entry("b", b"x"));
        let both = digest(&[a.clone(), b.clone()], false);
        assert_eq!(both, digest(&[entry("a", b"x"), entry("b", b"x")], false));
        let others = [
            digest(&[b.clone(), a.clone()], false),
            digest(&[a.clone(), entry("b", b"y")], false),
            digest(&[entry("a\",\"", b"x"), b.clone()], false),
            digest(std::slice::from_ref(&a), false),
            digest(&[a, b], true),
        ];
        assert!(!others.contains(&both), "{others:?}");
    }
}
