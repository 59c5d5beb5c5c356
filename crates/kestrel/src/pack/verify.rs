//! `kestrel pack verify`

use std::collections::BTreeSet;
use std::io::{self, Write};

use packs::{Change, Compiled, Installed, Refusal};
use script::Refused;
use serde_json::{Value, json};

use super::cli::Verify;
use super::{Judges, Looked, complain, policies, refusals, show, unsound};
use crate::cli::Form;
use crate::output::{self, Status, style};
use crate::scripts;

/// Judges a pack as the agent does when it loads it.
pub(super) fn run(given: &Verify) -> io::Result<Status> {
    match judged(given) {
        Err(refused) if given.output == Form::Json => {
            output::json(&json!({ "verified": false, "refusals": refusals(&refused) }))?;
            Ok(Status::Findings)
        }
        Err(refused) => Ok(complain(&refused)),
        Ok((Looked::Policies(bundle), _, change)) => {
            policies::verified(&bundle, change.as_ref(), given.output)
        }
        Ok((Looked::Rules(pack), run, change)) => {
            match given.output {
                Form::Json => output::json(&report(&pack, change.as_ref(), &run))?,
                Form::Text => text(&pack, change.as_ref(), &run)?,
            }
            Ok(if run.refused.is_empty() { Status::Fine } else { Status::Findings })
        }
    }
}

fn judged(given: &Verify) -> Result<(Looked, Run, Option<Change>), Vec<Refusal>> {
    let one = |refusal| vec![refusal];
    let judges = Judges::open(&given.judged)?;
    // Without a signature the directory alone vouches for what is in it.
    let read = if given.judged.unsigned { files::Trust::Owner } else { files::Trust::Anyone };
    let verified = judges.verify(&given.pack, &given.judged, read)?;
    let known = match &given.state {
        None => None,
        Some(path) => {
            let installed = Installed::open(path).map_err(one)?;
            let change = installed.change(&verified, given.force).map_err(one)?;
            Some((path, installed, change))
        }
    };
    let looked = judges.read(verified, &given.judged)?;
    let (pack, run) = match &looked {
        Looked::Rules(pack) => (pack.verified(), Run::of(pack)),
        Looked::Policies(bundle) => (bundle.verified(), Run::default()),
    };
    let Some((path, mut installed, change)) = known else { return Ok((looked, run, None)) };
    if given.record && run.refused.is_empty() {
        installed.note(pack);
        installed.save(path).map_err(one)?;
    }
    Ok((looked, run, Some(change)))
}

/// What of a pack of rules an agent would run.
#[derive(Default)]
struct Run {
    /// How many rules.
    loaded: usize,
    /// Why not the others: what they may not do, and scripts that cannot be run.
    refused: Vec<Refusal>,
}

impl Run {
    /// Starts the scripts that loaded rules ask; what only others ask was granted nothing.
    fn of(pack: &Compiled) -> Run {
        let program = pack.program();
        let admitted =
            program.rules.iter().zip(pack.rules()).filter(|(_, one)| one.refused.is_none());
        let asked: Vec<BTreeSet<u32>> = admitted.map(|(rule, _)| rule.scripts(program)).collect();
        let any: BTreeSet<u32> = asked.iter().flatten().copied().collect();
        let broken: Vec<Refused> = scripts::refusals(program)
            .into_iter()
            .filter(|one| any.contains(&one.script))
            .collect();
        let dead: BTreeSet<u32> = broken.iter().map(|one| one.script).collect();
        let loaded = asked.iter().filter(|scripts| scripts.is_disjoint(&dead)).count();
        let refuse = |one: Refused| {
            let view = usize::try_from(one.script).ok().and_then(|at| pack.scripts().get(at));
            let file = view.map(|view| view.file.as_str()).unwrap_or_default();
            unsound(one, &pack.verified().at(file))
        };
        let refused = pack.refusals().cloned().chain(broken.into_iter().map(refuse)).collect();
        Run { loaded, refused }
    }
}

fn report(pack: &Compiled, change: Option<&Change>, run: &Run) -> Value {
    let mut shown = show::head(pack.verified());
    if let Some(all) = shown.as_object_mut() {
        all.insert("verified".to_owned(), json!(true));
        all.insert("rules".to_owned(), json!(pack.rules().len()));
        all.insert("loaded".to_owned(), json!(run.loaded));
        all.insert("change".to_owned(), json!(change.map(Change::as_str)));
        let before = change
            .and_then(Change::before)
            .map(|old| json!({ "version": old.version.to_string(), "serial": old.serial }));
        all.insert("before".to_owned(), json!(before));
        all.insert("refusals".to_owned(), refusals(&run.refused));
    }
    shown
}

fn text(pack: &Compiled, change: Option<&Change>, run: &Run) -> io::Result<()> {
    let manifest = pack.verified().manifest();
    let (name, good) = (style::NAME, style::GOOD);
    let mut out = anstream::stdout().lock();
    let (id, version, serial) = (&manifest.id, &manifest.version, manifest.serial);
    write!(out, "{name}{id}{name:#} {version}, serial {serial}: ")?;
    let Run { loaded, refused } = run;
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
