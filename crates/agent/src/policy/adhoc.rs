//! Rules that are made at the command line, for a while: a policy called `ad-hoc`, kept beside the
//! generations and part of each.

use std::path::{Path, PathBuf};

use files::Text;
use model::policy::{Operation, Operations};
use policy::needs::Needs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::offer::{Offer, Refusal};
use super::store::{Locked, Store, failed};
use crate::exit::{Exit, Failure};

/// The name of its text among the sources of a generation.
pub(crate) const NAME: &str = "ad-hoc.yaml";
/// Rules that are kept at the same time: more are a policy, and belong in a file.
const ENTRIES_MAX: usize = 1_000;
/// Bytes of the file.
const FILE_MAX: u64 = 4 << 20;

/// Whether a rule denies or allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// It denies.
    Block,
    /// It is an exception to what others deny.
    Allow,
}

impl Kind {
    /// The word of its command.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Block => "block",
            Kind::Allow => "allow",
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// `block-1`, `allow-2`, never given twice while one that came later is there; `action-17` where a rule
    /// wanted it.
    pub(crate) id: String,
    /// What it does.
    pub(crate) kind: Kind,
    /// A path pattern, an address, a DNS name or a SHA-256.
    pub(crate) what: String,
    /// Operations, if the usual ones are not meant.
    pub(crate) operations: Vec<String>,
    /// Path pattern of the executable, if only that is meant.
    pub(crate) executable: Option<String>,
    /// Seconds since 1970 at which it ends.
    pub(crate) until: Option<i64>,
    /// Why.
    pub(crate) reason: String,
    /// Who answers for it.
    pub(crate) author: String,
}

impl Entry {
    /// What it is about: the usual operations, if it names none.
    fn operations(&self) -> Vec<String> {
        if !self.operations.is_empty() {
            return self.operations.clone();
        }
        sort(&self.what).1.iter().map(|one| (*one).to_owned()).collect()
    }

    /// Leaves out the operations that cannot be denied, which are returned; none if nothing would be left:
    /// whoever puts the rule in force then says what is wrong with it.
    pub(crate) fn keep_to(&mut self, offer: &Offer, accepted: Operations) -> Vec<Refusal> {
        let all = self.operations();
        let of = |one: &Operation| all.iter().any(|word| word == one.name());
        let operations = Operation::ALL.iter().copied().filter(of);
        let operations = operations.fold(Operations::default(), Operations::with);
        let refused = offer.refuses(&Needs { operations, ..Needs::default() }, accepted);
        let is_refused = |word: &String| {
            let what =
                |one: &Refusal| matches!(one, Refusal::Operation(one, _) if one.name() == word);
            refused.iter().any(what)
        };
        let left: Vec<String> = all.iter().filter(|word| !is_refused(word)).cloned().collect();
        if left.is_empty() {
            return Vec::new();
        }
        self.operations = left;
        refused
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Adhoc {
    /// In the order in which they came.
    pub(crate) entries: Vec<Entry>,
}

fn path(store: &Store) -> PathBuf {
    store.beside("adhoc.json")
}

/// Which key of a rule an object belongs to, and what is denied of it unless said otherwise.
fn sort(what: &str) -> (&'static str, &'static [&'static str]) {
    let digits = what.strip_prefix("sha256:").unwrap_or(what);
    let is_hash = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let host = what.trim_start_matches('[');
    let is_address = host.starts_with(|one: char| one.is_ascii_digit() || "*:".contains(one));
    if what.starts_with('/') || what.starts_with("**/") {
        ("files", &["read", "write", "execute"])
    } else if is_hash {
        ("hashes", &["execute"])
    } else if is_address && !what.starts_with("*.") || what.matches(':').count() > 1 {
        ("peers", &["connect", "send"])
    } else {
        ("domains", &["connect", "send"])
    }
}

impl Adhoc {
    /// What is kept.
    pub(crate) fn read(store: &Store) -> Result<Adhoc, Failure> {
        let path = path(store);
        match super::store::read(&path, FILE_MAX) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| failed("read", &path, &error))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Adhoc::default()),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// Keeps it.
    pub(crate) fn write(&self, locked: &Locked<'_>) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        locked.replace(Path::new("adhoc.json"), &bytes)
    }

    /// Takes in one more, and gives it an id if it has none. Those that ended go.
    pub(crate) fn add(&mut self, mut entry: Entry, now: i64) -> Result<String, Failure> {
        self.entries.retain(|one| one.until.is_none_or(|until| until > now));
        if self.entries.len() >= ENTRIES_MAX {
            let message = format!("there are {ENTRIES_MAX} rules made at the command line");
            return Err(Failure::new(Exit::Failed, message).help("write a policy file instead"));
        }
        if entry.id.is_empty() {
            let number = |one: &Entry| one.id.rsplit('-').next()?.parse::<u64>().ok();
            let last = self.entries.iter().filter_map(number).max().unwrap_or_default();
            entry.id = format!("{}-{}", entry.kind.word(), last.saturating_add(1));
        } else if self.has(&entry.id) {
            let message = format!("there is a rule `{}` already", entry.id);
            return Err(Failure::new(Exit::Failed, message));
        }
        let id = entry.id.clone();
        self.entries.push(entry);
        Ok(id)
    }

    /// Whether there is one of this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.entries.iter().any(|one| one.id == id)
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, kind: Kind, id: &str) -> Result<(), Failure> {
        let before = self.entries.len();
        self.entries.retain(|one| one.kind != kind || one.id != id);
        if self.entries.len() < before {
            return Ok(());
        }
        let word = kind.word();
        Err(Failure::new(Exit::Failed, format!("there is no `{id}` among the rules of {word}"))
            .help(format!("`aegisbpf {word} list` shows them")))
    }

    /// The policy that they are, and when the first of them ends; none if there is none.
    pub(crate) fn text(&self, now: i64) -> Option<(Text, i64)> {
        let held = self.entries.iter().filter(|one| one.until.is_none_or(|until| until > now));
        let rules: Vec<Json> = held.clone().map(rule).collect();
        if rules.is_empty() {
            return None;
        }
        let until = held.filter_map(|one| one.until).min().unwrap_or(i64::MAX);
        let document = json!({
            "apiVersion": lang::policy::API_VERSION,
            "kind": lang::policy::KIND,
            "metadata": { "name": "ad-hoc" },
            "spec": { "rules": rules },
        });
        let text = lang::policy::write::yaml(&[document]);
        Some((Text { name: NAME.to_owned(), text }, until))
    }
}

fn rule(entry: &Entry) -> Json {
    let (key, operations) = (sort(&entry.what).0, entry.operations());
    let mut rule = Map::new();
    let mut set = |key: &str, value: Json| drop(rule.insert(key.to_owned(), value));
    set("id", json!(entry.id));
    if let Some(executable) = &entry.executable {
        set("subject", json!({ "executable": executable }));
    }
    set(if entry.kind == Kind::Block { "deny" } else { "allow" }, json!(operations));
    set(key, json!([entry.what]));
    match entry.kind {
        Kind::Block => set("message", json!(entry.reason)),
        Kind::Allow => {
            let until = jiff::Timestamp::from_second(entry.until.unwrap_or_default());
            set("until", json!(until.unwrap_or_default().to_string()));
            set("reason", json!(entry.reason));
            set("author", json!(entry.author));
        }
    }
    Json::Object(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, what: &str, until: Option<i64>) -> Entry {
        Entry {
            id: String::new(),
            kind,
            what: what.to_owned(),
            operations: Vec::new(),
            executable: Some("/usr/bin/curl".to_owned()),
            until,
            reason: "an \"incident\"".to_owned(),
            author: "ops".to_owned(),
        }
    }

    #[test]
    fn what_is_blocked_is_a_policy_without_a_mistake() {
        let mut all = Adhoc::default();
        let hash = "a1".repeat(32);
        for (what, key) in [
            ("/srv/x", "files"),
            ("**/*.pem", "files"),
            ("192.0.2.1:443", "peers"),
            ("10.0.0.0/8", "peers"),
            ("[2001:db8::1]:53/udp", "peers"),
            ("2001:db8::/32", "peers"),
            (":53/udp", "peers"),
            ("*.example.org", "domains"),
            ("example.org:443", "domains"),
            (hash.as_str(), "hashes"),
        ] {
            assert_eq!(sort(what).0, key, "{what}");
            all.add(entry(Kind::Block, what, None), 0).unwrap();
        }
        all.add(entry(Kind::Allow, "/srv/x", Some(2_000_000_000)), 0).unwrap();
        let (text, until) = all.text(1).unwrap();
        let loaded = lang::policy::load([(text.name, text.text.clone())]);
        assert!(loaded.diagnostics.is_empty(), "{:#?}\n{}", loaded.diagnostics, text.text);
        assert_eq!(loaded.policies[0].rules.len(), 11);
        assert_eq!(loaded.policies[0].rules[10].id, "allow-11");
        assert_eq!(until, 2_000_000_000);
    }

    #[test]
    fn what_cannot_be_denied_is_left_out_unless_nothing_else_was_asked_for() {
        let offer = Offer::at_best(crate::cli::policy::TierName::Fallback);
        let kept = |operations: &[&str], accepted| {
            let operations = operations.iter().map(|one| (*one).to_owned()).collect();
            let mut one = Entry { operations, ..entry(Kind::Block, "/srv/x", None) };
            let refused = one.keep_to(&offer, accepted);
            let refused: Vec<String> = refused.iter().map(Refusal::what).collect();
            (one.operations.join(" "), refused.join(" "))
        };
        let told = |left: &str, refused: &str| (left.to_owned(), refused.to_owned());
        let none = Operations::default();
        assert_eq!(kept(&["read"], none), told("read", ""));
        assert_eq!(kept(&["read", "write"], none), told("read", "`write`"));
        assert_eq!(kept(&[], none), told("read execute", "`write`"), "the usual ones");
        let accepted = none.with(Operation::Write);
        assert_eq!(kept(&["read", "write"], accepted), told("read write", ""));
        assert_eq!(kept(&["write", "delete"], none), told("write delete", ""), "as it was");
    }

    #[test]
    fn what_ended_is_gone_and_the_next_end_is_told() {
        let mut all = Adhoc::default();
        for until in [Some(10), Some(20), None] {
            all.add(entry(Kind::Block, "/srv/x", until), 0).unwrap();
        }
        assert_eq!(all.text(5).unwrap().1, 10);
        let (text, until) = all.text(10).unwrap();
        assert!(until == 20 && !text.text.contains("block-1\n"), "{}", text.text);
        assert_eq!(all.text(20).unwrap().1, i64::MAX);
        let named = Entry { id: "action-3".into(), ..entry(Kind::Block, "/y", Some(25)) };
        assert!(all.add(named.clone(), 5).unwrap() == "action-3" && all.has("action-3"));
        assert!(all.add(named, 5).is_err(), "an id is given once");
        all.remove(Kind::Block, "action-3").unwrap();
        assert_eq!(all.add(entry(Kind::Block, "/y", None), 15).unwrap(), "block-4");
        assert_eq!(all.entries.len(), 3, "the first has gone");
        assert!(all.remove(Kind::Allow, "block-4").is_err());
        all.remove(Kind::Block, "block-4").unwrap();
        all.remove(Kind::Block, "block-3").unwrap();
        assert!(all.text(30).is_none());
    }
}
