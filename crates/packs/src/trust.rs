//! The operator's trust file: how many signatures, which keys until when, and what is granted.
//!
//! ```toml
//! threshold = 2
//! revoked = ["4C2A0F1D6B7E8890"]
//!
//! [[key]]
//! id = "RELEASE-KEY"
//! not_after = "2027-06-30T00:00:00Z"
//! trust = "untrusted"
//!
//! [[grant]]
//! key = "RELEASE-KEY"
//! rules = ["shell-from-web-server"]
//! capabilities = ["deny", "inline"]
//! ```

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::capability::{Capabilities, Capability};
use serde::Deserialize;

use crate::code::{Code, Refusal, unread};
use crate::level::Level;
use crate::limits::{MAX_CONFIG, MAX_SIGNATURES};
use crate::signature::KeyId;

/// Whom the operator trusts, and with what.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Signatures of different owners of keys that a pack needs; at least one.
    pub threshold: usize,
    /// Policies are taken from signed bundles only, not from plain files.
    pub signed_policies: bool,
    /// Keys whose signatures count no longer.
    pub revoked: Vec<KeyId>,
    /// What is said of single keys.
    pub keys: Vec<KeyTerms>,
    /// What rules may do beyond what is given without asking.
    pub grants: Vec<Grant>,
}

/// What the operator says of a key.
#[derive(Debug, Clone)]
pub struct KeyTerms {
    /// Which.
    pub id: KeyId,
    /// From then on its signatures count no longer.
    pub not_after: Option<Timestamp>,
    /// The level of packs that it signs.
    pub level: Level,
}

/// What some rules may do. It holds for rules that satisfy all of its conditions.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Packs that this key, or one that it introduced, has signed.
    pub key: Option<KeyId>,
    /// Packs and rules below this directory.
    pub directory: Option<PathBuf>,
    /// These rules only; all if empty.
    pub rules: Vec<String>,
    /// Not these.
    pub except: Vec<String>,
    /// What they may do.
    pub capabilities: Capabilities,
}

/// Which rule is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Keys that vouch for it, those that introduced them included.
    pub keys: &'a [KeyId],
    /// Where the pack, or the rule's own file, was found.
    pub path: &'a Path,
    /// Id of the rule.
    pub rule: &'a str,
}

impl Default for Trust {
    fn default() -> Trust {
        Trust {
            threshold: 1,
            signed_policies: false,
            revoked: Vec::new(),
            keys: Vec::new(),
            grants: Vec::new(),
        }
    }
}

impl Trust {
    /// Reads the file; nobody but root and we may be able to write it.
    pub fn open(path: &Path) -> Result<Trust, Refusal> {
        let bytes = files::read_bytes(path, MAX_CONFIG, files::Trust::Owner)
            .map_err(|error| unread(&error))?;
        Trust::read(&path.display().to_string(), &String::from_utf8_lossy(&bytes))
    }

    /// Reads its text.
    pub fn read(place: &str, text: &str) -> Result<Trust, Refusal> {
        let wrong = |what: String| Refusal::new(Code::Configuration, place, what);
        let written: Written = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let threshold = written.threshold.unwrap_or(1);
        if !(1..=MAX_SIGNATURES).contains(&threshold) {
            return Err(wrong(format!("`threshold` is 1 to {MAX_SIGNATURES}")));
        }
        let id = |text: String| {
            let id = KeyId::new(&text);
            if id.is_sound() { Ok(id) } else { Err(wrong(format!("`{text}` is no id of a key"))) }
        };
        let revoked = written.revoked.into_iter().map(id).collect::<Result<_, _>>()?;
        let keys = written.key.into_iter().map(|key| {
            let level = match key.trust.as_deref() {
                None | Some("signed") => Level::Signed,
                Some("shipped") => Level::Shipped,
                Some("untrusted") => Level::Untrusted,
                Some(other) => return Err(wrong(format!("`{other}` is no trust of a key"))),
            };
            Ok(KeyTerms { id: id(key.id)?, not_after: key.not_after, level })
        });
        let keys = keys.collect::<Result<_, _>>()?;
        let grants = written.grant.into_iter().map(|grant| {
            // Whoever writes a rule chooses its id: an id alone is no reason to trust it.
            if grant.key.is_none() && grant.directory.is_none() {
                return Err(wrong("a grant needs `key` or `directory`".to_owned()));
            }
            if grant.directory.as_ref().is_some_and(|path| !path.is_absolute()) {
                return Err(wrong("`directory` of a grant begins with `/`".to_owned()));
            }
            let named = |word: &String| {
                Capability::from_name(word).ok_or_else(|| wrong(format!("no capability `{word}`")))
            };
            Ok(Grant {
                key: grant.key.map(id).transpose()?,
                directory: grant.directory,
                rules: grant.rules,
                except: grant.except,
                capabilities: grant.capabilities.iter().map(named).collect::<Result<_, _>>()?,
            })
        });
        let signed_policies = written.signed_policies;
        let grants = grants.collect::<Result<_, _>>()?;
        Ok(Trust { threshold, signed_policies, revoked, keys, grants })
    }

    /// What a rule may do: the intersection of what was asked for, what is granted, and what its
    /// level allows. Nothing is granted in silence but what the level gives.
    pub fn effective(&self, of: &Subject<'_>, asked: Capabilities, level: Level) -> Capabilities {
        let terms = level.terms();
        let holds = |grant: &&Grant| {
            grant.key.as_ref().is_none_or(|key| of.keys.contains(key))
                && grant.directory.as_ref().is_none_or(|path| of.path.starts_with(path))
                && (grant.rules.is_empty() || grant.rules.iter().any(|rule| rule == of.rule))
                && !grant.except.iter().any(|rule| rule == of.rule)
        };
        let granted = self.grants.iter().filter(holds);
        let granted = granted.fold(terms.given, |all, grant| all | grant.capabilities);
        asked & granted & terms.most
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    threshold: Option<usize>,
    #[serde(default)]
    signed_policies: bool,
    #[serde(default)]
    revoked: Vec<String>,
    #[serde(default)]
    key: Vec<WrittenKey>,
    #[serde(default)]
    grant: Vec<WrittenGrant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    id: String,
    not_after: Option<Timestamp>,
    trust: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGrant {
    key: Option<String>,
    directory: Option<PathBuf>,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    capabilities: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566FF";
    const TEXT: &str = r#"
        [[grant]]
        key = "00112233445566FF"
        except = ["loud"]
        capabilities = ["state", "deny"]
        [[grant]]
        directory = "/etc/rules"
        rules = ["one"]
        capabilities = ["kill"]
        [[grant]]
        key = "00112233445566FF"
        directory = "/etc/rules"
        capabilities = ["network"]
    "#;

    fn may(rule: &str, keys: &[KeyId], path: &str, level: Level) -> String {
        let trust = Trust::read("t", TEXT).unwrap();
        let subject = Subject { keys, path: Path::new(path), rule };
        trust.effective(&subject, Capabilities::all(), level).to_string()
    }

    #[test]
    fn a_grant_holds_where_all_of_its_conditions_hold() {
        let (ours, none) = ([KeyId::new(KEY)], []);
        assert_eq!(may("one", &none, "/tmp/x", Level::Signed), "alert", "nothing holds");
        assert_eq!(may("one", &ours, "/tmp/x", Level::Signed), "alert, state, deny");
        assert_eq!(may("loud", &ours, "/tmp/x", Level::Signed), "alert", "excepted");
        assert_eq!(may("one", &none, "/etc/rules/a", Level::Signed), "alert, kill");
        assert_eq!(may("two", &none, "/etc/rules/a", Level::Signed), "alert", "another rule");
        assert_eq!(may("one", &none, "/etc/rules-of-others", Level::Signed), "alert");
        assert_eq!(may("two", &ours, "/etc/rules/a", Level::Signed), "alert, state, deny, network");
    }

    #[test]
    fn what_is_asked_and_the_level_bound_what_is_granted() {
        let trust = Trust::read("t", TEXT).unwrap();
        let keys = [KeyId::new(KEY)];
        let subject = Subject { keys: &keys, path: Path::new("/"), rule: "one" };
        let asked = Capabilities::ALERT;
        assert_eq!(trust.effective(&subject, asked, Level::Signed), asked, "granted, not asked");
        assert_eq!(may("one", &keys, "/", Level::Untrusted), "alert, state", "no action");
    }

    #[test]
    fn mistakes_are_refused_with_what_is_wrong() {
        let cases = [
            ("threshold = 0", "threshold"),
            ("threshold = 99", "threshold"),
            ("treshold = 1", "treshold"),
            ("revoked = [\"abx\"]", "no id of a key"),
            ("[[key]]\nid = \"00112233445566FF\"\ntrust = \"much\"", "no trust of a key"),
            ("[[grant]]\nrules = [\"a\"]\ncapabilities = [\"kill\"]", "needs `key` or `directory`"),
            ("[[grant]]\ndirectory = \"etc\"\ncapabilities = [\"kill\"]", "begins with `/`"),
            ("[[grant]]\ndirectory = \"/etc\"\ncapabilities = [\"fly\"]", "no capability `fly`"),
        ];
        for (text, expected) in cases {
            let refusal = Trust::read("t", text).unwrap_err();
            assert_eq!(refusal.code, Code::Configuration, "{text}");
            assert!(refusal.message.contains(expected), "{text}: {refusal}");
        }
    }
}
