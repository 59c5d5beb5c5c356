//! Signed bundles of policies: verified against the operator's keys, and never put in the place of a
//! newer one by accident.
//!
//! A bundle has the envelope of packs ([`packs::Bundle`]). Which versions were in force is a record in
//! the store, and stands with each generation, too: a crash between the two loses nothing.

use std::path::{Path, PathBuf};

use files::Text;
use packs::{
    Bundle, Change, Code, Installed, Judge, Level, Record, Refusal, Ring, Trust, Untrusted, Version,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::store::Store;

/// Where public keys are unless said otherwise.
pub(crate) const KEYS_DIR: &str = "/etc/aegisbpf/keys";
/// Where it is said whom the operator trusts, and with what.
pub(crate) const TRUST_FILE: &str = "/etc/aegisbpf/trust.toml";
/// The record of bundles that were in force, in the store.
const RECORD: &str = "bundles.json";

/// Whose word is enough, in the operator's words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vouch {
    /// Directory of keys; the usual one if none is named and it is there.
    pub(crate) keys: Option<PathBuf>,
    /// Trust file; likewise.
    pub(crate) trust: Option<PathBuf>,
    /// Take an older bundle than one that was in force, or one of another owner.
    pub(crate) older: bool,
}

/// A bundle as generations and the history tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// Where it was read from.
    pub(crate) place: String,
    /// Its id.
    pub(crate) id: String,
    /// `signed` or `shipped`.
    pub(crate) level: String,
    /// Keys that signed it.
    pub(crate) signers: Vec<String>,
    /// What it changed: `new`, `same`, `newer` or `forced`.
    pub(crate) change: String,
    /// What the record keeps of it.
    pub(crate) record: Record,
}

impl Source {
    /// For the history.
    pub(crate) fn json(&self) -> Json {
        json!({
            "id": self.id,
            "version": self.record.version.to_string(),
            "serial": self.record.serial,
            "manifest_sha256": self.record.manifest.to_string(),
            "level": self.level,
            "signers": self.signers,
            "change": self.change,
        })
    }
}

/// What was read of bundles and plain files.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Texts of bundles.
    pub(crate) texts: Vec<Text>,
    /// The bundles.
    pub(crate) sources: Vec<Source>,
    /// Paths that are no bundles.
    pub(crate) plain: Vec<PathBuf>,
}

/// The operator's files, read.
struct Operator {
    ring: Ring,
    engine: Version,
    /// Whether plain files are refused.
    signed_only: bool,
}

impl Operator {
    fn open(vouch: &Vouch) -> Result<Operator, Vec<Refusal>> {
        let trust = match there(vouch.trust.as_deref(), TRUST_FILE) {
            None => Trust::default(),
            Some(path) => Trust::open(&path).map_err(|refusal| vec![refusal])?,
        };
        let ring = match there(vouch.keys.as_deref(), KEYS_DIR) {
            None => Ring::read(&[], &trust)?,
            Some(path) => Ring::open(&path, &trust)?,
        };
        let named = vouch.keys.is_some() || vouch.trust.is_some();
        Ok(Operator { ring, engine: engine()?, signed_only: named || trust.signed_policies })
    }
}

/// What was named, or the usual place if something is there.
pub(crate) fn there(named: Option<&Path>, usual: &str) -> Option<PathBuf> {
    let usual = || Some(PathBuf::from(usual)).filter(|path| path.exists());
    named.map(Path::to_owned).or_else(usual)
}

/// This version, which packs may need to be a newer one.
pub(crate) fn engine() -> Result<Version, Vec<Refusal>> {
    let version = env!("CARGO_PKG_VERSION");
    Version::parse(version).map_err(|error| vec![Refusal::new(Code::Engine, version, error)])
}

/// Reads the bundles among these paths, to be put in force: by keys that are trusted here, not
/// expired, and not older than what was in force.
pub(crate) fn read(store: &Store, paths: &[PathBuf], vouch: &Vouch) -> Result<Read, Vec<Refusal>> {
    let (packs, plain) = divided(paths);
    let operator = Operator::open(vouch)?;
    if operator.signed_only && !plain.is_empty() {
        let refuse = |path: &PathBuf| {
            Refusal::new(
                Code::Plain,
                &path.display().to_string(),
                "plain files, without signatures",
            )
        };
        return Err(plain.iter().map(refuse).collect());
    }
    let installed = known(store).map_err(|refusal| vec![refusal])?;
    let mut read = Read { plain, ..Read::default() };
    for path in packs {
        let bundle = open(&path, &operator, Level::Untrusted, files::Trust::Owner)?.trusted()?;
        let change = installed.change(bundle.verified(), vouch.older).map_err(|why| vec![why])?;
        read.add(&path, &bundle, Some(&change));
    }
    Ok(read)
}

/// The same to be looked at: with keys by their word, else as their author sees them.
pub(crate) fn look(paths: &[PathBuf], vouch: &Vouch) -> Result<Read, Vec<Refusal>> {
    let (packs, plain) = divided(paths);
    let mut read = Read { plain, ..Read::default() };
    if packs.is_empty() {
        return Ok(read);
    }
    let operator = Operator::open(vouch)?;
    let named = vouch.keys.is_some() || vouch.trust.is_some();
    let place = if named { Level::Untrusted } else { Level::Local };
    for path in packs {
        let bundle = open(&path, &operator, place, files::Trust::Anyone)?;
        let bundle = if named { bundle.trusted()? } else { bundle };
        read.add(&path, &bundle, None);
    }
    Ok(read)
}

fn divided(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<PathBuf>) {
    paths.iter().cloned().partition(|path| packs::is_pack(path))
}

fn open(
    path: &Path,
    operator: &Operator,
    place: Level,
    trust: files::Trust,
) -> Result<Bundle, Vec<Refusal>> {
    let (ring, engine) = (&operator.ring, &operator.engine);
    let judge = Judge { ring, now: jiff::Timestamp::now(), engine, place, strict: false };
    let opened = Untrusted::open(path, trust).map_err(|refusal| vec![refusal])?;
    opened.verify(&judge)?.policies()
}

impl Read {
    fn add(&mut self, path: &Path, bundle: &Bundle, change: Option<&Change>) {
        let (verified, place) = (bundle.verified(), path.display().to_string());
        let named = |(name, text)| Text { name: format!("{place}/{name}"), text };
        self.texts.extend(bundle.texts().into_iter().map(named));
        self.sources.push(Source {
            id: verified.manifest().id.clone(),
            level: verified.level().as_str().to_owned(),
            signers: verified.signers().iter().map(|one| one.key.to_string()).collect(),
            change: change.map_or("", Change::as_str).to_owned(),
            record: Record::of(verified),
            place,
        });
    }
}

/// Which bundles were in force: by the record, and by the generation that is.
fn known(store: &Store) -> Result<Installed, Refusal> {
    let mut installed = Installed::open(&store.beside(RECORD))?;
    let active = store.active().ok().flatten().and_then(|active| store.about(active).ok());
    for bundle in active.into_iter().flat_map(|about| about.bundles) {
        installed.raise(&bundle.id, bundle.record);
    }
    Ok(installed)
}

/// Notes bundles that came into force.
pub(crate) fn note(store: &Store, sources: &[Source]) -> Result<(), Refusal> {
    if sources.is_empty() {
        return Ok(());
    }
    let mut installed = Installed::open(&store.beside(RECORD))?;
    for source in sources {
        installed.put(&source.id, source.record.clone());
    }
    installed.save(&store.beside(RECORD))
}
