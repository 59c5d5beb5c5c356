//! The manifest: what a pack is, needs and holds. It is what is signed, byte by byte.
//!
//! It has one form only (keys and lists sorted, numbers whole, two spaces, a line feed at the end):
//! whatever is read is written again and compared, so nothing in it can be said in two ways, twice,
//! or beside what is read here.

use jiff::Timestamp;
use model::capability::{Capabilities, Capability};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::bundle::Purpose;
use crate::code::{Code, Refusal};
use crate::digest::Sha256;
use crate::limits::{
    MAX_FILE, MAX_FILES, MAX_ID, MAX_MANIFEST, MAX_PACK, MAX_RULE_ID, MAX_RULES, MAX_SERIAL,
};
use crate::name::{self, MANIFEST};

/// The version of what is written here.
const FORMAT: u32 = 1;

/// What a pack is, needs and holds. Keys are in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Words of the capabilities that it asks for; see [`Manifest::asked`].
    pub capabilities: Vec<String>,
    /// Names of all fields that its rules read.
    pub fields: Vec<String>,
    /// All files but this one and the signatures.
    pub files: Vec<FileEntry>,
    /// Version of this form.
    pub format: u32,
    /// Lower-case words joined by hyphens.
    pub id: String,
    /// What it is the manifest of; not written for rules.
    #[serde(default, skip_serializing_if = "Purpose::is_rules")]
    pub kind: Purpose,
    /// The oldest engine that runs it as it is meant.
    pub min_engine: Version,
    /// From then on it is refused.
    pub not_after: Timestamp,
    /// All rules.
    pub rules: Vec<RuleEntry>,
    /// Grows with every version; no older one takes the place of a newer one.
    pub serial: u64,
    /// For people.
    pub version: Version,
}

/// A file of a pack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its name.
    pub path: String,
    /// Digest of what it holds.
    pub sha256: Sha256,
    /// Bytes that it holds.
    pub size: u64,
}

/// A rule of a pack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleEntry {
    /// Name of the file.
    pub file: String,
    /// Its id.
    pub id: String,
    /// How it is written.
    pub kind: Kind,
}

/// How a rule is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// EQL in TOML: our own files and Elastic's.
    Eql,
    /// Sigma YAML.
    Sigma,
    /// EQL that asks a Wasm module.
    Wasm,
    /// EQL that asks a Luau script.
    Lua,
}

impl Kind {
    /// Those that are run.
    pub const RUN: &'static [Kind] = &[Kind::Eql, Kind::Sigma, Kind::Wasm, Kind::Lua];

    /// The word used in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Eql => "eql",
            Kind::Sigma => "sigma",
            Kind::Wasm => "wasm",
            Kind::Lua => "lua",
        }
    }
}

impl Manifest {
    /// Reads one whose bytes were found to be the signer's, or the operator's own.
    pub(crate) fn read(bytes: &[u8]) -> Result<Manifest, Refusal> {
        if bytes.len() as u64 > MAX_MANIFEST {
            let what = format!("{} bytes, the limit is {MAX_MANIFEST}", bytes.len());
            return Err(Refusal::new(Code::TooLarge, MANIFEST, what));
        }
        let manifest: Manifest = serde_json::from_slice(bytes)
            .map_err(|error| Refusal::new(Code::Manifest, MANIFEST, error))?;
        manifest.check()?;
        if manifest.write() != bytes {
            let what = "sorted and laid out as `kestrel pack build` does, it has other bytes";
            return Err(Refusal::new(Code::NotCanonical, MANIFEST, what));
        }
        Ok(manifest)
    }

    /// Its one form.
    pub(crate) fn write(&self) -> Vec<u8> {
        // A list, a text and a number can always be written: there is no key that is not a text.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The capabilities that it asks for.
    pub fn asked(&self) -> Capabilities {
        self.capabilities.iter().filter_map(|word| Capability::from_name(word)).collect()
    }

    /// Everything but the form.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let wrong = |code, what: String| Err(Refusal::new(code, MANIFEST, what));
        if self.format != FORMAT {
            return wrong(Code::Format, format!("format {}, known is {FORMAT}", self.format));
        }
        if !is_id(&self.id) {
            return wrong(Code::Value, format!("`{}` is no id of a pack", self.id));
        }
        if !(1..=MAX_SERIAL).contains(&self.serial) {
            return wrong(Code::Value, format!("a serial is 1 to {MAX_SERIAL}"));
        }
        if self.files.len() > MAX_FILES || self.rules.len() > MAX_RULES {
            return wrong(
                Code::TooMany,
                format!("{MAX_FILES} files and {MAX_RULES} rules at most"),
            );
        }
        if let Some(word) =
            self.capabilities.iter().find(|word| Capability::from_name(word).is_none())
        {
            return wrong(Code::UnknownCapability, format!("`{word}`"));
        }
        name::check(self.files.iter().map(|file| file.path.as_str()))?;
        self.check_sizes()?;
        self.check_order()?;
        if self.kind == Purpose::Policy && !(self.rules.is_empty() && self.fields.is_empty()) {
            return wrong(Code::Value, "policies have neither `rules` nor `fields`".to_owned());
        }
        self.rules.iter().try_for_each(|rule| self.check_rule(rule))
    }

    fn check_sizes(&self) -> Result<(), Refusal> {
        let mut all: u64 = 0;
        for file in &self.files {
            all = all.saturating_add(file.size);
            if file.size > MAX_FILE || all > MAX_PACK {
                let what = format!("{MAX_FILE} bytes a file, {MAX_PACK} bytes in all at most");
                return Err(Refusal::new(Code::TooLarge, &file.path, what));
            }
        }
        Ok(())
    }

    /// Lists are sorted and tell nothing twice.
    fn check_order(&self) -> Result<(), Refusal> {
        let wrong = |list: &str| {
            let what = format!("`{list}` is not sorted, or names something twice");
            Err(Refusal::new(Code::NotCanonical, MANIFEST, what))
        };
        if !self.capabilities.is_sorted_by(|a, b| a < b) {
            return wrong("capabilities");
        }
        if !self.fields.is_sorted_by(|a, b| a < b) {
            return wrong("fields");
        }
        if !self.files.is_sorted_by(|a, b| a.path < b.path) {
            return wrong("files");
        }
        if !self.rules.is_sorted_by(|a, b| (&a.file, &a.id) < (&b.file, &b.id)) {
            return wrong("rules");
        }
        Ok(())
    }

    fn check_rule(&self, rule: &RuleEntry) -> Result<(), Refusal> {
        if rule.id.is_empty() || rule.id.len() > MAX_RULE_ID {
            let what = format!("an id of a rule has 1 to {MAX_RULE_ID} bytes");
            return Err(Refusal::new(Code::Value, MANIFEST, what));
        }
        if self.files.binary_search_by(|file| file.path.cmp(&rule.file)).is_err() {
            let what = format!("the rule `{}` is in `{}`, which is not listed", rule.id, rule.file);
            return Err(Refusal::new(Code::NotListed, MANIFEST, what));
        }
        Ok(())
    }
}

/// Whether a text is lower-case words joined by hyphens.
fn is_id(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    text.len() <= MAX_ID && text.split('-').all(is_word)
}
