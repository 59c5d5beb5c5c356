//! Signed bundles of policies: verified against the operator's keys, and never put in the place of a
//! newer one by accident. Packs of rules are taken, too: what their rules deny comes into force here,
//! if they may.
//!
//! A bundle has the envelope of packs ([`packs::Bundle`]). Which versions were in force is a record in
//! the store, and stands with each generation, too: a crash between the two loses nothing.

use std::path::{Path, PathBuf};

use files::Text;
use model::capability::{Capabilities, Capability};
use model::program::Response;
use packs::{
    Admitted, Change, Code, Compiled, Installed, Judge, Kind, Level, Purpose, Record, Refusal,
    Untrusted, Verified,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::store::Store;
use crate::operator::Operator;

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
    /// If it is a pack of rules: those that may deny, and all that each may. What is not among them
    /// comes into no table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) granted: Option<Vec<Granted>>,
}

/// A rule of a pack that may deny.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    /// Its id.
    pub(crate) rule: String,
    /// Words of what it may do.
    pub(crate) may: Vec<String>,
}

/// What a rule may do: the operator's own words may do anything, a pack's what was granted.
pub(crate) fn may(sources: &[Source], file: &str, rule: &str) -> Capabilities {
    let is_of = |source: &&Source| {
        file.strip_prefix(&source.place).is_some_and(|below| below.starts_with('/'))
    };
    let Some(granted) = sources.iter().find(is_of).and_then(|one| one.granted.as_ref()) else {
        return Capabilities::all();
    };
    // One rule of a pack may become several of a policy, told apart by a number.
    let is_it = |one: &&Granted| {
        let rest = rule.strip_prefix(one.rule.as_str());
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('.').is_some_and(|n| n.parse::<u32>().is_ok())
        })
    };
    granted.iter().find(is_it).map_or(Capabilities::NONE, |one| words(&one.may))
}

/// The set that these words stand for.
pub(crate) fn words(words: &[String]) -> Capabilities {
    words.iter().filter_map(|word| Capability::from_name(word)).collect()
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

impl Vouch {
    /// Whether the operator says here whose word counts.
    fn named(&self) -> bool {
        self.keys.is_some() || self.trust.is_some()
    }

    fn operator(&self) -> Result<Operator, Vec<Refusal>> {
        Operator::open(self.keys.as_deref(), self.trust.as_deref())
    }
}

/// Reads the bundles among these paths, to be put in force: by keys that are trusted here, not
/// expired, and not older than what was in force.
pub(crate) fn read(store: &Store, paths: &[PathBuf], vouch: &Vouch) -> Result<Read, Vec<Refusal>> {
    let (packs, plain) = divided(paths);
    let operator = vouch.operator()?;
    let signed_only = vouch.named() || operator.trust.signed_policies;
    if signed_only && !plain.is_empty() {
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
        let verified = open(&path, &operator, Level::Untrusted, files::Trust::Owner)?;
        let change = installed.change(&verified, vouch.older).map_err(|why| vec![why])?;
        read.put(&path, verified, &operator, (Some(&change), true))?;
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
    let operator = vouch.operator()?;
    let named = vouch.named();
    let place = if named { Level::Untrusted } else { Level::Local };
    for path in packs {
        let verified = open(&path, &operator, place, files::Trust::Anyone)?;
        read.put(&path, verified, &operator, (None, named))?;
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
) -> Result<Verified, Vec<Refusal>> {
    // Only who looks takes a bundle for its author's word.
    let judge = Judge { unsigned: place == Level::Local, ..operator.judge(place, false) };
    let opened = Untrusted::open(path, trust).map_err(|refusal| vec![refusal])?;
    opened.verify(&judge)
}

impl Read {
    /// Takes in what a pack has to say of policies.
    fn put(
        &mut self,
        path: &Path,
        verified: Verified,
        operator: &Operator,
        (change, trusted): (Option<&Change>, bool),
    ) -> Result<(), Vec<Refusal>> {
        match verified.manifest().kind {
            Purpose::Policy => {
                let bundle = verified.policies()?;
                let bundle = if trusted { bundle.trusted()? } else { bundle };
                self.add(path, bundle.verified(), (bundle.texts(), None), change);
            }
            Purpose::Rules => {
                let rules = verified.compile(&operator.trust)?;
                let granted = granted(&rules, path)?;
                // Rules of policies come from these alone.
                let texts = rules.texts(&|rule| rule.kind == Kind::Eql);
                self.add(path, rules.verified(), (texts, Some(granted)), change);
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        path: &Path,
        verified: &Verified,
        (texts, granted): (Vec<(String, String)>, Option<Vec<Granted>>),
        change: Option<&Change>,
    ) {
        let place = path.display().to_string();
        let named = |(name, text)| Text { name: format!("{place}/{name}"), text };
        self.texts.extend(texts.into_iter().map(named));
        self.sources.push(Source {
            granted,
            id: verified.manifest().id.clone(),
            level: verified.level().as_str().to_owned(),
            signers: verified.signers().iter().map(|one| one.key.to_string()).collect(),
            change: change.map_or("", Change::as_str).to_owned(),
            record: Record::of(verified),
            place,
        });
    }
}

/// Rules of a pack that deny, and may.
fn granted(rules: &Compiled, path: &Path) -> Result<Vec<Granted>, Vec<Refusal>> {
    let denies = |one: &&Admitted| one.view.needs.has(Capability::Deny);
    let all = rules.rules().iter().filter(denies);
    let (may, may_not): (Vec<&Admitted>, Vec<&Admitted>) =
        all.partition(|one| one.refused.is_none() && one.may.permits(Response::DENY));
    if may.is_empty() {
        let refused: Vec<Refusal> = may_not.iter().filter_map(|one| one.refused.clone()).collect();
        if refused.is_empty() {
            let what = "it has rules, and none of them denies anything";
            return Err(vec![Refusal::new(Code::Purpose, &path.display().to_string(), what)]);
        }
        return Err(refused);
    }
    for one in may_not {
        tracing::warn!(rule = one.view.id, refused = ?one.refused, "it denies nothing");
    }
    let words = |may: Capabilities| may.words().into_iter().map(str::to_owned).collect();
    let granted = |one: &Admitted| Granted { rule: one.view.id.clone(), may: words(one.may) };
    Ok(may.into_iter().map(granted).collect())
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
