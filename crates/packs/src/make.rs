//! Making of packs: from a directory with rules and `pack.toml` to its manifest.
//!
//! What can be found in the rules is found: fields, capabilities and the list of rules. An author
//! who writes them down nevertheless says more than the rules need, never less.

use std::collections::BTreeSet;
use std::path::Path;

use files::Directory;
use jiff::Timestamp;
use lang::policy::Policies;
use lang::{Diagnostic, Level, Loaded, RuleTest};
use model::capability::Capabilities;
use model::program::Program;
use semver::Version;
use serde::Deserialize;

use crate::bundle::{self, Purpose};
use crate::code::{Code, Refusal, unread};
use crate::compiled::views;
use crate::digest::Sha256;
use crate::limits::{MAX_FILE, MAX_FILES, MAX_SIGNATURES};
use crate::manifest::{FileEntry, Manifest, RuleEntry};
use crate::name::{self, MANIFEST};
use crate::script;
use crate::signature::Signature;
use crate::untrusted::is_signature;

/// What an author says of a pack. It is a file of the pack like any other.
pub const SOURCE: &str = "pack.toml";
/// Endings of rule files.
const RULES: &[&str] = &["toml", "yml", "yaml"];
/// Files whose name begins so hold no rules.
pub(crate) const NO_RULES: &[&str] = &["tests/"];
/// `not_after` unless the author says it: a year, after which somebody should have looked again.
const DAYS: i64 = 365;

/// A manifest that was made.
#[derive(Debug)]
pub struct Made {
    /// The manifest in its one form.
    pub manifest: Vec<u8>,
    /// Whether the directory had it already.
    pub unchanged: bool,
    /// Names of signatures in the directory.
    pub signatures: Vec<String>,
    /// Warnings about rules.
    pub warnings: Vec<Diagnostic>,
    /// The rules and their tests.
    pub program: Program,
    /// Tests that rules bring along.
    pub tests: Vec<RuleTest>,
    /// The policies, if it is a bundle of those.
    pub policies: Policies,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    id: String,
    #[serde(default)]
    kind: Purpose,
    version: Version,
    serial: u64,
    not_after: Option<Timestamp>,
    min_engine: Option<Version>,
    capabilities: Option<Vec<String>>,
    fields: Option<Vec<String>>,
}

/// Makes the manifest of a directory. `engine` is the version that it asks for unless the author
/// says another. Writes nothing.
pub fn make(path: &Path, engine: &Version, now: Timestamp) -> Result<Made, Vec<Refusal>> {
    let one = |refusal| vec![refusal];
    let read = |error: files::ReadError| vec![unread(&error)];
    let directory = Directory::open(path, files::Trust::Anyone).map_err(read)?;
    let names = directory.names(MAX_FILES + MAX_SIGNATURES + 1).map_err(read)?;
    let (signatures, names): (Vec<String>, Vec<String>) =
        names.into_iter().filter(|name| name != MANIFEST).partition(|name| is_signature(name));
    if let Some(empty) = names.iter().find(|name| name.ends_with('/')) {
        return Err(one(Refusal::new(Code::ExtraFile, empty, "a directory without a file")));
    }
    name::check(names.iter().map(String::as_str)).map_err(one)?;
    let mut contents = Vec::new();
    for name in names {
        let bytes = directory.read(&name, MAX_FILE).map_err(read)?;
        contents.push((name, bytes));
    }
    let source = source(path, &contents).map_err(one)?;
    let (loaded, policies) = match source.kind {
        Purpose::Rules => (rules(&contents)?, Policies::default()),
        Purpose::Policy => (Loaded::default(), policies(&contents)?),
    };
    // What is not given is a year from now, unless the pack is as it was.
    let old = directory.read(MANIFEST, crate::limits::MAX_MANIFEST).ok();
    let same_end = old.as_deref().and_then(|old| Manifest::read(old).ok()).and_then(|old| {
        let as_it_was = old.serial == source.serial && old.version == source.version;
        as_it_was.then_some(old.not_after)
    });
    let not_after = source.not_after.or(same_end).unwrap_or_else(|| year_from(now));
    let manifest = manifest(source, &contents, &loaded, not_after, engine);
    manifest.check().map_err(one)?;
    let bytes = manifest.write();
    let warnings = loaded.diagnostics.into_iter().chain(policies.diagnostics.iter().cloned());
    let warnings = warnings.collect();
    Ok(Made {
        unchanged: old.as_ref() == Some(&bytes),
        manifest: bytes,
        signatures,
        warnings,
        program: loaded.program,
        tests: loaded.tests,
        policies,
    })
}

/// The name of the file in which a directory keeps a signature, and its bytes as they are kept.
pub fn signature_file(bytes: &[u8]) -> Result<(String, String), Refusal> {
    let signature = Signature::read("the signature", bytes)?;
    // Fingerprints have characters that names do not; ten are enough to tell keys apart.
    let word: String = signature
        .key
        .as_str()
        .trim_start_matches("SHA256:")
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(16)
        .collect();
    let name = format!("{MANIFEST}.{word}.{}", signature.extension());
    Ok((name, signature.canonical().to_owned()))
}

fn source(path: &Path, contents: &[(String, Vec<u8>)]) -> Result<Source, Refusal> {
    let place = path.join(SOURCE).display().to_string();
    let wrong = |code, what: String| Refusal::new(code, &place, what);
    let (_, bytes) = contents.iter().find(|(name, _)| name == SOURCE).ok_or_else(|| {
        let what = "it tells `id`, `version` and `serial` of the pack".to_owned();
        wrong(Code::MissingFile, what)
    })?;
    let text = str::from_utf8(bytes).map_err(|error| wrong(Code::Value, error.to_string()))?;
    toml::from_str(text).map_err(|error| wrong(Code::Value, error.to_string()))
}

/// Compiles the rules; an error in one of them is an error of the pack.
fn rules(contents: &[(String, Vec<u8>)]) -> Result<Loaded, Vec<Refusal>> {
    let is_rule = |name: &str| {
        name != SOURCE
            && !NO_RULES.iter().any(|begin| name.starts_with(begin))
            && RULES.iter().any(|end| Path::new(name).extension().is_some_and(|e| e == *end))
    };
    let mut loaded = lang::load(texts(contents, &is_rule)?);
    let file = |name: &str| {
        let found = contents.iter().find(|(known, _)| known == name);
        found.map(|(_, bytes)| bytes.as_slice())
    };
    let missing = script::fill(&mut loaded, &file, &str::to_owned);
    // The author tests the rules with all that they ask for; what they may is said where they run.
    for script in &mut loaded.program.scripts {
        script.may = script.asks;
    }
    let errors = loaded.diagnostics.iter().filter(|found| found.code.level() == Level::Error);
    let refused: Vec<Refusal> = errors
        .map(|found| {
            let what = format!("{}: {}", found.code.as_str(), found.message);
            Refusal::new(Code::Rule, &found.file, what)
        })
        .chain(missing)
        .collect();
    if refused.is_empty() { Ok(loaded) } else { Err(refused) }
}

/// Reads the policies; what only looks odd is a warning.
fn policies(contents: &[(String, Vec<u8>)]) -> Result<Policies, Vec<Refusal>> {
    bundle::read(texts(contents, &bundle::is_policy)?, &str::to_owned)
}

/// Names and texts of the files whose names are wanted.
fn texts(
    contents: &[(String, Vec<u8>)],
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<(String, String)>, Vec<Refusal>> {
    let text = |(name, bytes): &(String, Vec<u8>)| {
        let text = str::from_utf8(bytes);
        let text = text.map_err(|_| vec![Refusal::new(Code::Rule, name, "not UTF-8")])?;
        Ok((name.clone(), text.to_owned()))
    };
    contents.iter().filter(|(name, _)| wanted(name)).map(text).collect()
}

fn manifest(
    source: Source,
    contents: &[(String, Vec<u8>)],
    loaded: &Loaded,
    not_after: Timestamp,
    engine: &Version,
) -> Manifest {
    let views = views(loaded);
    let least = match source.kind {
        Purpose::Rules => Capabilities::ALERT,
        Purpose::Policy => Capabilities::NONE,
    };
    let needs = views.iter().fold(least, |all, view| all | view.needs);
    let fields: BTreeSet<String> = views.iter().flat_map(|view| view.fields.clone()).collect();
    let mut rules: Vec<RuleEntry> = views
        .into_iter()
        .map(|view| RuleEntry { file: view.file, id: view.id, kind: view.kind })
        .collect();
    rules.sort();
    let words = || needs.words().into_iter().map(str::to_owned).collect();
    let sorted =
        |list: Vec<String>| list.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    Manifest {
        capabilities: sorted(source.capabilities.unwrap_or_else(words)),
        fields: source.fields.map_or_else(|| fields.into_iter().collect(), sorted),
        files: contents
            .iter()
            .map(|(path, bytes)| FileEntry {
                path: path.clone(),
                sha256: Sha256::of(bytes),
                size: bytes.len() as u64,
            })
            .collect(),
        format: 1,
        id: source.id,
        kind: source.kind,
        min_engine: source.min_engine.unwrap_or_else(|| engine.clone()),
        not_after,
        rules,
        serial: source.serial,
        version: source.version,
    }
}

fn year_from(now: Timestamp) -> Timestamp {
    let end = now.as_second().saturating_add(DAYS * 24 * 60 * 60);
    Timestamp::from_second(end).unwrap_or(Timestamp::MAX)
}
