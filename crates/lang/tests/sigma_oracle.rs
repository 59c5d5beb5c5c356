//! Verdicts on Sigma rules against an independent implementation: pySigma's SQLite backend, on
//! events made from each rule's own values, hits and near misses.
//!
//! The mapping to ECS is written here a second time, from the specification of the fields, so that
//! a wrong row in the loader's table is a difference.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use engine::eval::{Compiled, Scratch};
use model::field::{FIELDS, FieldId, by_name};
use model::program::Program;
use model::value::{Fields, List, Value};
use serde_json::Value as Json;

/// Hits of each rule, and as many events of any kind; near misses come on top.
const EVENTS: &str = "12";

/// Rules that are compared at least.
const RULES_MIN: usize = 248;

/// Versions of the peer; verdicts are compared with exactly these.
const PEER: &[&str] =
    &["pysigma==2.0.1", "pysigma-backend-sqlite==2.1.1", "pyparsing==3.3.3", "pyyaml==6.0.3"];

/// Prints the versions of the packages named, if the peer loads.
const VERSIONS: &str = "import sys, sigma.backends.sqlite
from importlib.metadata import version
for name in sys.argv[1:]: print(name + '==' + version(name))";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn corpora() -> PathBuf {
    let given = std::env::var_os("AEGIS_CORPORA").map(PathBuf::from);
    given.unwrap_or_else(|| root().join("../shared/corpora")).join("sigma")
}

/// Python with the peer, or why there is none.
fn python() -> Result<PathBuf, String> {
    let home = root().join("target/sigma-oracle");
    let python = home.join("bin/python");
    let has_peer = |python: &Path| {
        let names = PEER.iter().filter_map(|pinned| pinned.split("==").next());
        let versions = Command::new(python).args(["-c", VERSIONS]).args(names).output();
        versions.is_ok_and(|done| String::from_utf8_lossy(&done.stdout).lines().eq(PEER.to_vec()))
    };
    if has_peer(&python) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    // A registry that cannot be reached is told soon.
    let quick = ["--disable-pip-version-check", "--retries", "1", "--timeout", "20"];
    run(Command::new(&python).args(["-m", "pip", "install", "-q"]).args(quick).args(PEER))?;
    if has_peer(&python) {
        Ok(python)
    } else {
        Err("the peer is installed and does not load".into())
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)))
}

/// What Sigma's fields are in ECS.
fn ecs(kind: &str, name: &str) -> String {
    let known = match name {
        "Image" => "process.executable",
        "CommandLine" => "process.command_line",
        "ParentImage" => "process.parent.executable",
        "ParentCommandLine" => "process.parent.command_line",
        "CurrentDirectory" => "process.working_directory",
        "User" => "user.name",
        "LogonId" => "process.Ext.login_user.id",
        "TargetFilename" => "file.path",
        "DestinationIp" => "destination.ip",
        "DestinationPort" => "destination.port",
        "DestinationHostname" => "destination.domain",
        "Initiated" => "network.direction",
        "type" if kind == "auditd" => "auditd.message_type",
        "SYSCALL" if kind == "auditd" => "auditd.data.syscall",
        "message" => "message",
        name if kind == "auditd" => return format!("auditd.data.{name}"),
        name => name,
    };
    known.to_owned()
}

/// An event in memory.
struct Document(HashMap<FieldId, Owned>);

enum Owned {
    Text(String),
    Int(i64),
    Ip(std::net::IpAddr),
    Words(&'static [&'static str]),
}

impl Fields for Document {
    fn get(&self, field: FieldId) -> Value<'_> {
        match self.0.get(&field) {
            None => Value::Null,
            Some(Owned::Text(text)) => Value::str(text),
            Some(Owned::Int(number)) => Value::Int(*number),
            Some(Owned::Ip(address)) => Value::Ip(*address),
            Some(Owned::Words(words)) => Value::List(List::Words(words)),
        }
    }
}

/// An event with Sigma's names as one with ours.
fn document(kind: &str, event: &Json, program: &Program) -> Document {
    let id = |name: &str| {
        by_name(name).or_else(|| {
            let at = program.fields.iter().position(|field| field == name)?;
            u16::try_from(FIELDS.len() + at).ok().map(FieldId)
        })
    };
    let mut fields = HashMap::new();
    let (category, types): (&[&str], &[&str]) = match kind {
        "process_creation" => (&["process"], &["start"]),
        "file_event" => (&["file"], &["creation"]),
        "network_connection" => (&["network"], &["start", "connection"]),
        _ => (&[], &[]),
    };
    fields.insert(model::field::EVENT_CATEGORY, Owned::Words(category));
    fields.insert(model::field::EVENT_TYPE, Owned::Words(types));
    for (name, value) in event.as_object().unwrap() {
        let Some(id) = id(&ecs(kind, name)) else { continue };
        let value = match (name.as_str(), value) {
            (_, Json::Null) => continue,
            ("Initiated", Json::String(text)) if text.eq_ignore_ascii_case("true") => {
                Owned::Text("egress".to_owned())
            }
            ("DestinationIp", Json::String(text)) => match text.parse() {
                Ok(address) => Owned::Ip(address),
                Err(_) => Owned::Text(text.clone()),
            },
            (_, Json::Number(number)) => Owned::Int(number.as_i64().unwrap()),
            (_, Json::String(text)) => Owned::Text(text.clone()),
            other => panic!("no such value in the oracle's events: {other:?}"),
        };
        fields.insert(id, value);
    }
    Document(fields)
}

/// Why a difference is the peer's: what is known, with the reason. Anything else fails the test.
fn known(name: &str, event: &Json) -> Option<&'static str> {
    let text = |field: &str| event.get(field).and_then(Json::as_str);
    // SQLite's backend writes networks as prefixes of text, so a text that is no address has one.
    if name.contains("susp_malware_callback_port")
        && text("DestinationIp").is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_err())
    {
        return Some("the peer compares networks as text, and this is no address");
    }
    None
}

#[test]
fn verdicts_equal_those_of_pysigma() {
    let folder = corpora();
    if !folder.is_dir() {
        eprintln!("SKIP: no Sigma rules at {}", folder.display());
        return;
    }
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            eprintln!("SKIP: pySigma cannot be installed: {reason}");
            return;
        }
    };
    let script = root().join("tests/sigma_oracle/oracle.py");
    let lines = run(Command::new(python).arg(script).arg(&folder).arg(EVENTS)).unwrap();
    let mut all = Tally::default();
    for line in lines.lines() {
        compare(&folder, &serde_json::from_str(line).unwrap(), &mut all);
    }
    let Tally { rules, events, hits, misses, known, wrong, undecided } = all;
    for one in &known {
        eprintln!("known difference: {one}");
    }
    eprintln!(
        "{rules} rules, {events} events, {hits} hits, {misses} near misses, {} differences",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{} of {events} verdicts differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(undecided.is_empty(), "rules without a hit or a near miss:\n{}", undecided.join("\n"));
    assert!(rules >= RULES_MIN, "{rules} rules were compared");
}

/// What was compared.
#[derive(Default)]
struct Tally {
    rules: usize,
    events: usize,
    hits: usize,
    misses: usize,
    /// Differences that are the peer's.
    known: Vec<String>,
    wrong: Vec<String>,
    undecided: Vec<String>,
}

/// Compares the verdicts on the events of one rule.
fn compare(folder: &Path, line: &Json, all: &mut Tally) {
    let file = line["file"].as_str().unwrap();
    assert!(line["error"].is_null(), "{file}: the peer says: {}", line["error"]);
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let loaded = lang::load([(file.to_owned(), text)]);
    assert_eq!(loaded.program.rules.len(), 1, "{file}: {:?}", loaded.diagnostics);
    let program = Arc::new(loaded.program);
    let compiled = Compiled::new(Arc::clone(&program)).unwrap();
    let (mut scratch, mut matches) = (Scratch::default(), Vec::new());
    let kind = if file.contains("auditd") { "auditd" } else { file.split('/').next().unwrap() };
    let (mut hits, events) = (0, line["events"].as_array().unwrap());
    for (event, verdict) in events.iter().zip(line["verdicts"].as_array().unwrap()) {
        let document = document(kind, event, &program);
        compiled.eval(&document, &mut scratch, &mut matches);
        let ours = !matches.is_empty();
        hits += usize::from(ours);
        if ours != verdict.as_bool().unwrap() {
            match known(file, event) {
                Some(reason) => all.known.push(format!("{file}: {reason}: {event}")),
                None => all.wrong.push(format!("{file}: we say {ours}: {event}")),
            }
        }
    }
    let misses = line["misses"].as_array().unwrap().len();
    if hits == 0 || misses == 0 {
        all.undecided.push(format!("{file}: {hits} hits, {misses} near misses"));
    }
    all.rules += 1;
    all.events += events.len();
    all.hits += hits;
    all.misses += misses;
}
