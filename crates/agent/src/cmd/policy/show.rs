//! `aegisbpf policy show`

use std::io::Write;

use serde_json::{Value as Json, json};

use crate::cli::Output;
use crate::cli::policy::StateArgs;
use crate::exit::{Exit, Failure};
use crate::policy::running;
use crate::policy::store::Store;
use crate::render::escape::piece;
use crate::render::table;

/// Shows the generation in force, file by file and rule by rule.
pub(crate) fn run(args: &StateArgs) -> Result<Exit, Failure> {
    let store = Store::at(&args.dirs.state_dir);
    let active = match store.active() {
        Err(failure) if failure.exit == Exit::Permission => return of_agent(args, failure),
        active => active?,
    };
    let Some(active) = active else { return Err(none()) };
    let about = store.read(active)?.about;
    let agent = running::ask(&args.dirs.runtime_dir)?;
    let mut out = anstream::stdout().lock();
    if args.output == Output::Json {
        let mut document = json!(about);
        if let Some(map) = document.as_object_mut() {
            // What only the loader needs.
            map.retain(|key, _| key != "selectors" && key != "symbols");
            map.insert("agent".to_owned(), json!(agent));
        }
        writeln!(out, "{document:#}")?;
        return Ok(Exit::Ok);
    }
    let made = jiff::Timestamp::from_second(about.made).unwrap_or_default();
    writeln!(out, "generation {active}, made {made} by {}", piece(&about.who.name()))?;
    writeln!(out, "sha256 {}", about.sha256)?;
    writeln!(out, "{}", in_kernel(agent.as_ref()))?;
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

fn none() -> Failure {
    Failure::new(Exit::Failed, "no policy is in force")
        .help("`aegisbpf policy apply` puts one in force")
}

/// For who may ask the agent, and not read what is kept: files and rules are root's.
fn of_agent(args: &StateArgs, denied: Failure) -> Result<Exit, Failure> {
    let Some(agent) = running::ask(&args.dirs.runtime_dir)? else { return Err(denied) };
    let Some(active) = agent.get("generation").and_then(Json::as_u64) else { return Err(none()) };
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{:#}", json!({ "generation": active, "agent": agent }))?,
        Output::Text => {
            writeln!(out, "generation {active}; its files and rules are shown to root alone")?;
            writeln!(out, "{}", in_kernel(Some(&agent)))?;
        }
    }
    Ok(Exit::Ok)
}

/// What the kernel has in force, by the word of a running agent that has read it back.
fn in_kernel(agent: Option<&Json>) -> String {
    let Some(agent) = agent else { return "no agent runs: nothing is carried out".to_owned() };
    if agent["disabled"] == true {
        return "the emergency switch is used: nothing is carried out".to_owned();
    }
    let word = |name: &str| agent[name].as_str().unwrap_or("none").to_owned();
    let number = |value: &Json| value.as_u64().map_or_else(|| "?".to_owned(), |n| n.to_string());
    let kernel = &agent["in_kernel"];
    let same =
        if kernel["is_what_was_given"] == true { "as it was given" } else { "NOT what was given" };
    let mut text = format!(
        "in the kernel: generation {}, {same}; tier {}, mode {}; {} denied, {} would be",
        number(&kernel["generation"]),
        word("tier"),
        word("mode"),
        number(&agent["denied"]),
        number(&agent["would_deny"]),
    );
    if let Some(left) = agent["trial_left_s"].as_u64() {
        text.extend(["; on trial for ", &left.to_string(), " s more"]);
    }
    if let Some(reason) = agent["trial_failed"].as_str() {
        text.extend(["; the last trial failed: ", reason]);
    }
    text
}
