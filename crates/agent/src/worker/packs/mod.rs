//! Packs of rules: found, verified, compiled, and what each of their rules may do.
//!
//! A pack is judged anew whenever rules are read. One that is refused does not take its rules with it:
//! its last good version is kept in the state directory, judged by the keys of now, and runs on.
//!
//! | module | does |
//! |---|---|
//! | `find` | where packs are |
//! | `last` | the last good version of each |
//! | `admit` | one program of all groups, each rule within its terms |

mod admit;
mod find;
mod last;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;

use ::packs::{Change, Code, Compiled, Installed, Level, Refusal, Untrusted};
use serde_json::{Value as Json, json};

use crate::audit::Audit;
use crate::cli::{Accept, RunArgs};
use crate::operator::{self, Operator};

pub(crate) use admit::{Admitted, Terms, admit};
pub(crate) use find::{DIRECTORIES, Found, places};
use last::Last;

/// The record of packs that were loaded, below the state directory.
const RECORD: &str = "packs.json";

/// A pack that is loaded.
#[derive(Debug)]
pub(crate) struct Pack {
    /// What it compiles to, and what its rules may do.
    pub(crate) compiled: Compiled,
    /// Where it was found.
    pub(crate) place: String,
    /// What it is there without a signature.
    pub(crate) found: Level,
    /// Why another version runs than the one that is there; none if it is that one.
    pub(crate) instead: Option<String>,
}

/// All packs that were found.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    /// Those that are loaded, the most trusted first.
    pub(crate) loaded: Vec<Pack>,
    /// Those that are not, and why: their place and all reasons.
    pub(crate) refused: Vec<(String, Vec<Refusal>)>,
    /// The operator's files by which they were judged; none if there is no pack and they are unusable.
    pub(crate) operator: Option<operator::Files>,
}

/// Judges packs that were loaded before, by the keys and the trust of now. That one is older than what
/// was loaded since is what is wanted, and is not written down: the next older one is refused as ever.
pub(crate) fn again(
    args: &RunArgs,
    stored: Vec<(Level, String, Vec<u8>)>,
    audit: Option<&Audit>,
) -> Result<Packs, Vec<Refusal>> {
    if stored.is_empty() {
        return Ok(Packs { operator: unjudged(args), ..Packs::default() });
    }
    let operator = Operator::open(args.keys.as_deref(), args.trust.as_deref())?;
    let mut packs = Packs { operator: Some(operator.files.clone()), ..Packs::default() };
    for (found, place, bytes) in stored {
        let path = PathBuf::from(&place);
        let real = files::real(&path).unwrap_or(path);
        let judged = Untrusted::from_bytes(&real, &place, bytes)
            .map_err(|refusal| vec![refusal])
            .and_then(|opened| opened.verify(&operator.judge(found, args.strict)))
            .and_then(|verified| verified.compile(&operator.trust));
        match judged {
            Ok(compiled) => packs.loaded.push(Pack { compiled, place, found, instead: None }),
            Err(refused) => {
                let about = json!({ "place": place, "refusals": list(&refused) });
                if let Some(audit) = audit {
                    audit.note("pack-refused", about);
                }
                packs.refused.push((place, refused));
            }
        }
    }
    packs.loaded.sort_by_key(|pack| pack.compiled.verified().level());
    Ok(packs)
}

/// The operator's files where they judge no pack: what is wrong with them is told when one comes.
fn unjudged(args: &RunArgs) -> Option<operator::Files> {
    let operator = Operator::open(args.keys.as_deref(), args.trust.as_deref());
    operator.map(|operator| operator.files).ok()
}

/// Reads all packs. What is wrong with one is told of that one; only the operator's own files can
/// refuse all. Without an audit log they are only looked at: nothing is noted or kept.
pub(crate) fn read(args: &RunArgs, audit: Option<&Audit>) -> Result<Packs, Vec<Refusal>> {
    let found = places(&args.packs)?;
    if found.is_empty() {
        return Ok(Packs { operator: unjudged(args), ..Packs::default() });
    }
    let operator = Operator::open(args.keys.as_deref(), args.trust.as_deref())?;
    let record = args.state_dir.join(RECORD);
    let mut reading = Reading {
        // Who only looks reads what lies there now, and takes nobody's word for what was there before.
        installed: match audit {
            Some(_) => Installed::open(&record).map_err(|refusal| vec![refusal])?,
            None => Installed::default(),
        },
        last: Last::at(&args.state_dir),
        operator,
        strict: args.strict,
        audit,
        accept: &args.accept,
        accepted: BTreeSet::new(),
        changed: false,
    };
    let mut packs = Packs { operator: Some(reading.operator.files.clone()), ..Packs::default() };
    for one in &found {
        match reading.pack(one) {
            Ok(pack) => packs.loaded.push(pack),
            Err(refused) => packs.refused.push((one.path.display().to_string(), refused)),
        }
    }
    if audit.is_some() {
        reading.last.forget_all_but(&found);
    }
    if reading.changed {
        last::directory(&args.state_dir)
            .and_then(|()| reading.installed.save(&record))
            .map_err(|refusal| vec![refusal])?;
    }
    reading.all_accepted()?;
    // Of two rules with one id the first stays: nobody takes the place of somebody more trusted.
    packs.loaded.sort_by_key(|pack| pack.compiled.verified().level());
    Ok(packs)
}

struct Reading<'a> {
    operator: Operator,
    strict: bool,
    installed: Installed,
    last: Last,
    audit: Option<&'a Audit>,
    /// Packs that are taken although they are older than what was loaded.
    accept: &'a [Accept],
    /// Those of which that was needed.
    accepted: BTreeSet<String>,
    changed: bool,
}

impl Reading<'_> {
    fn pack(&mut self, found: &Found) -> Result<Pack, Vec<Refusal>> {
        let place = found.path.display().to_string();
        let opened = Untrusted::open(&found.path, files::Trust::Owner);
        let opened = opened.map_err(|refusal| vec![refusal]);
        match opened.and_then(|opened| self.judged(opened, found.place)) {
            Ok((compiled, change)) => {
                if let Some(audit) = self.audit {
                    self.note(audit, &place, &compiled, &change);
                    self.last.keep(&found.path, &compiled);
                }
                Ok(Pack { compiled, place, found: found.place, instead: None })
            }
            Err(refused) => {
                self.tell("pack-refused", json!({ "place": place, "refusals": list(&refused) }));
                self.instead(found, place, refused)
            }
        }
    }

    /// The last good version of a pack that is refused now.
    fn instead(
        &mut self,
        found: &Found,
        place: String,
        refused: Vec<Refusal>,
    ) -> Result<Pack, Vec<Refusal>> {
        let Some(opened) = self.last.open(&found.path) else { return Err(refused) };
        let Ok((compiled, _)) =
            opened.map_err(|one| vec![one]).and_then(|opened| self.judged(opened, found.place))
        else {
            return Err(refused);
        };
        let why = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let manifest = compiled.verified().manifest();
        let (version, serial) = (manifest.version.to_string(), manifest.serial);
        tracing::error!(place, version, "the pack is refused, its last good version runs: {why}");
        self.tell(
            "pack-kept",
            json!({ "place": place, "id": manifest.id, "version": version, "serial": serial }),
        );
        Ok(Pack { compiled, place, found: found.place, instead: Some(why) })
    }

    fn tell(&self, action: &str, about: Json) {
        if let Some(audit) = self.audit {
            audit.note(action, about);
        }
    }

    fn judged(&self, opened: Untrusted, place: Level) -> Result<(Compiled, Change), Vec<Refusal>> {
        let verified = opened.verify(&self.operator.judge(place, self.strict))?;
        let meant = self.accept.iter().any(|one| one.pack == verified.manifest().id);
        let change = self.installed.change(&verified, meant).map_err(|one| vec![one])?;
        Ok((verified.compile(&self.operator.trust)?, change))
    }

    /// Writes down what was let in, if that is new or must always be written.
    fn note(&mut self, audit: &Audit, place: &str, compiled: &Compiled, change: &Change) {
        let verified = compiled.verified();
        let always = verified.level().terms().audited;
        if *change != Change::Same {
            self.installed.note(verified);
            self.changed = true;
        } else if !always {
            return;
        }
        let manifest = verified.manifest();
        if let Change::Forced(before) = change {
            let by = self.accept.iter().find(|one| one.pack == manifest.id);
            self.accepted.insert(manifest.id.clone());
            let about = json!({
                "place": place,
                "id": manifest.id,
                "serial": manifest.serial,
                "before": { "serial": before.serial, "version": before.version.to_string() },
                "uid": by.map(|one| one.who),
                "reason": by.map(|one| &one.reason),
            });
            audit.note("pack-accepted", about);
        }
        let signers = verified.signers().iter().map(|one| one.key.to_string());
        let about = json!({
            "place": place,
            "id": manifest.id,
            "version": manifest.version.to_string(),
            "serial": manifest.serial,
            "manifest_sha256": verified.digest().to_string(),
            "level": verified.level().as_str(),
            "signers": signers.collect::<Vec<_>>(),
            "change": change.as_str(),
            "rules": compiled.rules().len(),
            "not_loaded": list(compiled.refusals()),
        });
        audit.note("pack-loaded", about);
    }

    /// Whoever accepts a pack that nobody refuses means another one.
    fn all_accepted(&self) -> Result<(), Vec<Refusal>> {
        let is_vain = |one: &&Accept| !self.accepted.contains(&one.pack);
        let refuse = |one: &Accept| {
            let what = "no pack of this id is refused for one that was loaded before";
            Refusal::new(Code::Accepted, &one.pack, what)
        };
        let vain: Vec<Refusal> = self.accept.iter().filter(is_vain).map(refuse).collect();
        if vain.is_empty() { Ok(()) } else { Err(vain) }
    }
}

/// Where the packs that run come from.
pub(crate) fn origins(packs: &Packs) -> impl Iterator<Item = PathBuf> {
    packs.loaded.iter().map(|pack| PathBuf::from(&pack.place))
}

/// Refusals for the audit log.
fn list<'a>(refused: impl IntoIterator<Item = &'a Refusal>) -> Json {
    let one = |one: &Refusal| json!({ "code": one.code.as_str(), "place": one.place, "message": one.message });
    refused.into_iter().map(one).collect()
}

/// Where packs and what judges them are, for who looks whether they changed.
pub(crate) fn watched(args: &RunArgs) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = if args.packs.is_empty() {
        DIRECTORIES.iter().map(|(path, _)| PathBuf::from(path)).collect()
    } else {
        args.packs.clone()
    };
    all.extend(operator::places(args.keys.as_deref(), args.trust.as_deref()));
    all
}
