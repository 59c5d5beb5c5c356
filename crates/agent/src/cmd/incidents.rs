//! `aegisbpf incidents`: alerts of one tree of processes, put together by the running agent.

use std::io::Write;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::cli::Output;
use crate::cli::incidents::IncidentsArgs;
use crate::client;
use crate::exit::{Exit, Failure};
use crate::incidents::{Incident, Process};
use crate::render::escape::piece;
use crate::render::{seconds, table};

/// Letters of an id that are shown in the list; any that are unique do.
const ID_SHOWN: usize = 12;

/// What the agent answers.
#[derive(Debug, Deserialize)]
struct Known {
    incidents: Vec<Json>,
    forgotten: u64,
}

/// Shows the incidents, or one.
pub(crate) fn run(args: &IncidentsArgs) -> Result<Exit, Failure> {
    let answer = client::get(&args.runtime_dir, "/v1/incidents", &[])?.json()?;
    let odd = |error: serde_json::Error| {
        Failure::new(Exit::Unreachable, format!("the agent's answer makes no sense: {error}"))
    };
    let Known { incidents, forgotten } = serde_json::from_value(answer).map_err(odd)?;
    let mut all = Vec::new();
    for json in incidents {
        let incident: Incident = serde_json::from_value(json.clone()).map_err(odd)?;
        all.push((incident, json));
    }
    let mut out = anstream::stdout().lock();
    let shown: Vec<_> = match &args.id {
        Some(id) => vec![one(&all, id)?],
        None => all.iter().filter(|(_, json)| !args.open || is_open(json)).collect(),
    };
    if args.output == Output::Json {
        for (_, json) in shown {
            writeln!(out, "{json}")?;
        }
    } else if args.id.is_some() {
        for (incident, json) in shown {
            out.write_all(story(incident, is_open(json)).as_bytes())?;
        }
    } else {
        out.write_all(list(&shown).as_bytes())?;
        if forgotten > 0 {
            writeln!(anstream::stderr(), "{forgotten} older ones were forgotten for want of room")?;
        }
    }
    Ok(Exit::Ok)
}

fn is_open(json: &Json) -> bool {
    json.get("open") == Some(&Json::Bool(true))
}

type Told = (Incident, Json);

/// The one with this id, or the only one whose id begins so.
fn one<'a>(all: &'a [Told], id: &str) -> Result<&'a Told, Failure> {
    let mut found = all.iter().filter(|(incident, _)| incident.id.starts_with(id));
    let missing = |what: &str| {
        Failure::new(Exit::Failed, format!("{what} `{}`", piece(id)))
            .help("`aegisbpf incidents` lists them")
    };
    let first = found.next().ok_or_else(|| missing("there is no incident"))?;
    match found.next() {
        Some(_) if first.0.id != id => Err(missing("several incidents begin with")),
        _ => Ok(first),
    }
}

fn list(all: &[&Told]) -> String {
    let rows = all.iter().map(|(one, json)| {
        let root = one.processes().iter().find(|process| process.entity_id == one.root);
        let worst = one.findings.iter().find(|finding| finding.severity == one.severity);
        vec![
            one.id.chars().take(ID_SHOWN).collect(),
            if is_open(json) { "open" } else { "over" }.to_owned(),
            seconds(&one.last),
            piece(&one.severity),
            one.alerts.to_string(),
            one.denied.to_string(),
            root.map_or_else(
                || "?".to_owned(),
                |root| format!("{} {}", root.pid, piece(&root.name)),
            ),
            worst.map_or_else(String::new, |finding| piece(&finding.name)),
        ]
    });
    let heading = ["id", "state", "last", "severity", "alerts", "denied", "began with", "worst"];
    table::plain(&heading, rows)
}

/// All of one incident, for people.
fn story(one: &Incident, is_open: bool) -> String {
    let set = |names: &std::collections::BTreeSet<String>| {
        names.iter().map(|name| piece(name)).collect::<Vec<_>>().join(", ")
    };
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.extend([&format!("{name:11}"), " ", value, "\n"]);
        }
    };
    line("incident", &piece(&one.id));
    line("state", if is_open { "open" } else { "over" });
    line("severity", &piece(&one.severity));
    line("time", &format!("{} to {}", seconds(&one.first), seconds(&one.last)));
    line("alerts", &format!("{}, {} of them denied", one.alerts, one.denied));
    line("users", &set(&one.users));
    line("containers", &set(&one.containers));
    line("ATT&CK", &set(&one.attack));
    text.push('\n');
    let rows = one.findings.iter().map(|finding| {
        vec![
            finding.count.to_string(),
            piece(&finding.severity),
            seconds(&finding.first),
            seconds(&finding.last),
            piece(&finding.rule),
            piece(&finding.executable),
            finding.outcome.as_deref().map_or_else(|| "alert".to_owned(), piece),
        ]
    });
    let heading = ["count", "severity", "first", "last", "rule", "executable", "outcome"];
    text += &table::plain(&heading, rows);
    if one.findings_left_out > 0 {
        let more = one.findings_left_out;
        text.extend([&*more.to_string(), " more alerts of other rules and programs\n"]);
    }
    text.push('\n');
    branch(one.processes(), &one.root, 0, &mut text);
    if one.processes_left_out > 0 {
        text.extend([&*one.processes_left_out.to_string(), " more processes\n"]);
    }
    text
}

/// A process and what came from it, one line each. A tree is at most as deep as it has processes.
fn branch(all: &[Process], id: &str, depth: usize, text: &mut String) {
    let Some(process) = all.iter().find(|process| process.entity_id == id) else { return };
    if depth > all.len() {
        return;
    }
    let line =
        if process.command_line.is_empty() { &process.executable } else { &process.command_line };
    let pid = process.pid.to_string();
    text.extend([&*"  ".repeat(depth), &pid, " ", &piece(line)]);
    if process.alerts > 0 {
        text.extend(["  [", &process.alerts.to_string(), " alerts]"]);
    }
    text.push('\n');
    for child in all.iter().filter(|one| one.parent.as_deref() == Some(id) && one.entity_id != id) {
        branch(all, &child.entity_id, depth + 1, text);
    }
}
