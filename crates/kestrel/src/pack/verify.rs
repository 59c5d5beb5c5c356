//! `kestrel pack verify`

use std::io::{self, Write};

use packs::{Change, Compiled, Installed, Refusal};
use serde_json::{Value, json};

use super::cli::Verify;
use super::{Judges, Looked, complain, policies, refusals, show};
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
        Ok((Looked::Policies(bundle), change)) => {
            policies::verified(&bundle, change.as_ref(), given.output)
        }
        Ok((Looked::Rules(pack), change)) => {
            let refused: Vec<&Refusal> = pack.refusals().collect();
            match given.output {
                Form::Json => output::json(&report(&pack, change.as_ref(), &refused))?,
                Form::Text => text(&pack, change.as_ref(), &refused)?,
            }
            Ok(if refused.is_empty() { Status::Fine } else { Status::Findings })
        }
    }
}

fn judged(given: &Verify) -> Result<(Looked, Option<Change>), Vec<Refusal>> {
    let one = |refusal| vec![refusal];
    let judges = Judges::open(&given.judged)?;
    // Without a signature the directory alone vouches for what is in it.
    let read = if given.judged.unsigned { files::Trust::Owner } else { files::Trust::Anyone };
    let verified = judges.verify(&given.pack, &given.judged, read)?;
    let Some(path) = &given.state else {
        return Ok((judges.read(verified, &given.judged)?, None));
    };
    let mut installed = Installed::open(path).map_err(one)?;
    let change = installed.change(&verified, given.force).map_err(one)?;
    let looked = judges.read(verified, &given.judged)?;
    let (pack, sound) = match &looked {
        Looked::Rules(pack) => (pack.verified(), pack.refusals().next().is_none()),
        Looked::Policies(bundle) => (bundle.verified(), true),
    };
    if given.record && sound {
        installed.note(pack);
        installed.save(path).map_err(one)?;
    }
    Ok((looked, Some(change)))
}

fn report(pack: &Compiled, change: Option<&Change>, refused: &[&Refusal]) -> Value {
    let mut shown = show::head(pack.verified());
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
    writeln!(out, "level {}{}", pack.verified().level().as_str(), show::signers(pack.verified()))?;
    show::change(&mut out, change)?;
    drop(out);
    for refusal in refused {
        output::complain(&refusal.to_string());
    }
    Ok(())
}
