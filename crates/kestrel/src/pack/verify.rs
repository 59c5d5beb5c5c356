//! `kestrel pack verify`

use std::io::{self, Write};

use packs::{Change, Compiled, Installed, Refusal};
use serde_json::{Value, json};

use super::cli::Verify;
use super::{Judges, complain, refusals, show};
use crate::cli::Form;
use crate::output::{self, Status, style};

/// Judges a pack as the agent does when it loads it.
pub(super) fn run(given: &Verify) -> io::Result<Status> {
    match judged(given) {
        Err(refused) if given.output == Form::Json => {
            output::json(&json!({ "verified": false, "refusals": refusals(&refused) }))?;
            Ok(Status::Findings)
        }
        Err(refused) => Ok(complain(&refused)),
        Ok((pack, change)) => {
            let refused: Vec<&Refusal> = pack.refusals().collect();
            match given.output {
                Form::Json => output::json(&report(&pack, change.as_ref(), &refused))?,
                Form::Text => text(&pack, change.as_ref(), &refused)?,
            }
            Ok(if refused.is_empty() { Status::Fine } else { Status::Findings })
        }
    }
}

fn judged(given: &Verify) -> Result<(Compiled, Option<Change>), Vec<Refusal>> {
    let one = |refusal| vec![refusal];
    let judges = Judges::open(&given.judged)?;
    // Without a signature the directory alone vouches for what is in it.
    let read = if given.judged.unsigned { files::Trust::Owner } else { files::Trust::Anyone };
    let verified = judges.verify(&given.pack, &given.judged, read)?;
    let Some(path) = &given.state else { return Ok((verified.compile(&judges.trust)?, None)) };
    let mut installed = Installed::open(path).map_err(one)?;
    let change = installed.change(&verified, given.force).map_err(one)?;
    let pack = verified.compile(&judges.trust)?;
    if given.record && pack.refusals().next().is_none() {
        installed.note(pack.verified());
        installed.save(path).map_err(one)?;
    }
    Ok((pack, Some(change)))
}

fn report(pack: &Compiled, change: Option<&Change>, refused: &[&Refusal]) -> Value {
    let mut shown = show::head(pack);
    if let Some(all) = shown.as_object_mut() {
        all.insert("verified".to_owned(), json!(true));
        all.insert("rules".to_owned(), json!(pack.rules().len()));
        all.insert("loaded".to_owned(), json!(pack.rules().len() - refused.len()));
        all.insert("change".to_owned(), json!(change.map(Change::as_str)));
        let before = change
            .and_then(Change::before)
            .map(|old| json!({ "version": old.version.to_string(), "serial": old.serial }));
        all.insert("before".to_owned(), json!(before));
        all.insert("refusals".to_owned(), refusals(refused.iter().copied()));
    }
    shown
}

fn text(pack: &Compiled, change: Option<&Change>, refused: &[&Refusal]) -> io::Result<()> {
    let manifest = pack.verified().manifest();
    let (name, good) = (style::NAME, style::GOOD);
    let mut out = anstream::stdout().lock();
    let (id, version, serial) = (&manifest.id, &manifest.version, manifest.serial);
    write!(out, "{name}{id}{name:#} {version}, serial {serial}: ")?;
    let loaded = pack.rules().len() - refused.len();
    if refused.is_empty() {
        writeln!(out, "{good}verified{good:#}, {loaded} rules")?;
    } else {
        writeln!(out, "verified, {loaded} rules of {}", pack.rules().len())?;
    }
    writeln!(out, "level {}{}", pack.verified().level().as_str(), show::signers(pack))?;
    if let Some(change) = change {
        match change.before() {
            None => writeln!(out, "installed: {}", change.as_str())?,
            Some(old) => {
                let word = change.as_str();
                writeln!(out, "installed: {word}, before {} (serial {})", old.version, old.serial)?;
            }
        }
    }
    drop(out);
    for refusal in refused {
        output::complain(&refusal.to_string());
    }
    Ok(())
}
