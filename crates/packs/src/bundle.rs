//! Policies in the same envelope as rules: what is verified, and how it is read.
//!
//! A policy denies things on a whole host, so nobody's word but that of trusted keys is enough for
//! one: a bundle always needs signatures, and has no level but `signed` or `shipped`.

use std::path::Path;

use lang::policy::Policies;
use serde::{Deserialize, Serialize};

use crate::code::{Code, Refusal};
use crate::level::Level;
use crate::limits::MAX_REFUSALS;
use crate::make::{NO_RULES, SOURCE};
use crate::name::MANIFEST;
use crate::verified::Verified;

/// Endings of policy files.
const POLICIES: &[&str] = &["yaml", "yml", "toml"];

/// What a manifest is the manifest of. Signed with the rest: a pack of rules is never taken for
/// policies, nor the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Rules. It is not written: what says nothing has rules.
    #[default]
    Rules,
    /// Policies.
    Policy,
}

impl Purpose {
    /// The word used in manifests and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Rules => "rules",
            Purpose::Policy => "policy",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
    pub(crate) fn is_rules(&self) -> bool {
        *self == Purpose::Rules
    }
}

/// Policies that are vouched for, and have no mistake.
#[derive(Debug)]
pub struct Bundle {
    verified: Verified,
    policies: Policies,
}

impl Bundle {
    pub(crate) fn new(verified: Verified) -> Result<Bundle, Vec<Refusal>> {
        verified.purpose(Purpose::Policy).map_err(|refusal| vec![refusal])?;
        let texts = verified.policy_texts()?;
        let policies = read(texts, &|file| verified.at(file))?;
        Ok(Bundle { verified, policies })
    }

    /// What it was read from.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The same, kept.
    pub fn into_verified(self) -> Verified {
        self.verified
    }

    /// The policies, and what is to be said of them.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Names and texts of its policy files, in the order of the manifest. They are UTF-8: they were
    /// read.
    pub fn texts(&self) -> Vec<(String, String)> {
        self.verified.policy_texts().unwrap_or_default()
    }

    /// Refuses policies of somebody who is not trusted: nobody whose word is enough vouches for them.
    pub fn trusted(self) -> Result<Bundle, Vec<Refusal>> {
        match self.verified.level() {
            Level::Shipped | Level::Signed => Ok(self),
            level @ (Level::Local | Level::Untrusted) => {
                let what = format!("its level is {}", level.as_str());
                Err(vec![Refusal::new(Code::Stranger, &self.verified.place, what)])
            }
        }
    }
}

impl Verified {
    /// Reads its policies.
    pub fn policies(self) -> Result<Bundle, Vec<Refusal>> {
        Bundle::new(self)
    }

    /// Refuses what was signed as something else.
    pub(crate) fn purpose(&self, wanted: Purpose) -> Result<(), Refusal> {
        let is = self.manifest.kind;
        if is == wanted {
            return Ok(());
        }
        let what = format!("it has `{}`, wanted is `{}`", is.as_str(), wanted.as_str());
        Err(Refusal::new(Code::Purpose, &self.place, what))
    }

    /// Names and texts of policy files.
    fn policy_texts(&self) -> Result<Vec<(String, String)>, Vec<Refusal>> {
        let names = self.manifest.files.iter().map(|file| file.path.as_str());
        let (texts, refused) = self.texts(names.filter(|name| is_policy(name)));
        if refused.is_empty() { Ok(texts) } else { Err(refused) }
    }
}

/// Whether a file of a bundle holds policies.
pub(crate) fn is_policy(name: &str) -> bool {
    name != SOURCE
        && !NO_RULES.iter().any(|begin| name.starts_with(begin))
        && POLICIES.iter().any(|end| Path::new(name).extension().is_some_and(|found| found == *end))
}

/// Reads policy files; a mistake in one of them refuses all. `at` tells where a file is.
pub(crate) fn read(
    texts: Vec<(String, String)>,
    at: &dyn Fn(&str) -> String,
) -> Result<Policies, Vec<Refusal>> {
    if texts.is_empty() {
        let what = "it has no policy file (*.yaml, *.yml, *.toml)";
        return Err(vec![Refusal::new(Code::MissingFile, &at(MANIFEST), what)]);
    }
    let policies = lang::policy::load(texts);
    let refused: Vec<Refusal> = policies
        .diagnostics
        .iter()
        .filter(|found| found.is_error())
        .take(MAX_REFUSALS)
        .map(|found| {
            let what = format!("{}: {}", found.code.as_str(), found.message);
            Refusal::new(Code::Rule, &at(&found.file), what)
        })
        .collect();
    if refused.is_empty() { Ok(policies) } else { Err(refused) }
}

/// Whether what is there is in the envelope, or was meant to be: a directory with a manifest, a
/// signature of one, or the source of one; or a file that is called or begins as packs do. What is
/// left of a bundle that lost its manifest is not a directory of plain files.
pub fn is_pack(path: &Path) -> bool {
    if files::metadata(path).is_ok_and(|about| about.is_dir()) {
        // Hidden files count for nothing, as where packs are read.
        let Ok(Some(entries)) = files::list(path) else { return false };
        let begins = |entry: &Path| {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            name == SOURCE || name.to_ascii_lowercase().starts_with(MANIFEST)
        };
        return entries.iter().any(|(entry, _)| begins(entry));
    }
    let named = path.extension().is_some_and(|end| end.eq_ignore_ascii_case(FILE));
    named || begins_so(path)
}

/// The ending of a pack in one file.
pub const FILE: &str = "kpack";

fn begins_so(path: &Path) -> bool {
    use std::io::Read;
    // A pipe is no pack, and reading one would wait.
    let Ok(file) = files::open(path) else { return false };
    if !file.metadata().is_ok_and(|about| about.is_file()) {
        return false;
    }
    let mut begin = Vec::new();
    let read = file.take(crate::frame::MAGIC.len() as u64).read_to_end(&mut begin);
    read.is_ok() && begin == crate::frame::MAGIC
}
