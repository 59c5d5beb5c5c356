//! `aegisbpf policy show`

use std::io::Write;

use serde_json::json;

use crate::cli::Output;
use crate::cli::policy::StateArgs;
use crate::exit::{Exit, Failure};
use crate::policy::store::Store;
use crate::render::escape::piece;
use crate::render::table;

/// Shows the generation in force, file by file and rule by rule.
pub(crate) fn run(args: &StateArgs) -> Result<Exit, Failure> {
    let store = Store::at(&args.dirs.state_dir);
    let Some(active) = store.active()? else {
        return Err(Failure::new(Exit::Failed, "no policy is in force")
            .help("`aegisbpf policy apply` puts one in force"));
    };
    let about = store.read(active)?.about;
    let mut out = anstream::stdout().lock();
    if args.output == Output::Json {
        let mut document = json!(about);
        // What only the loader needs.
        for key in ["selectors", "symbols"] {
            document.as_object_mut().map(|map| map.shift_remove(key));
        }
        writeln!(out, "{document:#}")?;
        return Ok(Exit::Ok);
    }
    let made = jiff::Timestamp::from_second(about.made).unwrap_or_default();
    writeln!(out, "generation {active}, made {made} by {}", piece(&about.who.name()))?;
    writeln!(out, "sha256 {}", about.sha256)?;
    let files = about.sources.iter().map(|one| vec![one.sha256.clone(), piece(&one.name)]);
    write!(out, "\n{}\n", table::plain(&["sha256", "file"], files))?;
    let rules = about.rules.iter().map(|one| {
        let mode = if one.enforced { "enforce" } else { "audit" };
        let place = format!("{}:{}", piece(&one.file), one.line);
        vec![format!("{}/{}", one.policy, one.id), mode.to_owned(), place]
    });
    write!(out, "{}", table::plain(&["rule", "mode", "place"], rules))?;
    Ok(Exit::Ok)
}
