//! What is fuzzed: each parser of text that others wrote, the decoders of kernel records and
//! recordings, the engine on one thread against the same work split in two, and the sandboxes of scripts.
//!
//! A target must neither panic nor take long, whatever the bytes are.
#![forbid(unsafe_code)]

use std::sync::Arc;

use engine::eval::{Compiled, Scratch};
use engine::{Detector, Limits};
use lang::{CaseMode, Dialect, Schema, Unknown};
use model::program::{Program, RuleMeta};

mod pack;
mod recording;
mod script;
mod stream;

/// Events that are shown to the oracle; it takes time that grows with their third power.
const ORACLE_EVENTS_MAX: usize = 24;
/// Times that a query which is shown to it may name a list.
const ORACLE_LISTS_MAX: usize = 6;

/// One target.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("own_toml", own_toml),
    ("elastic_toml", elastic_toml),
    ("sigma_yaml", sigma_yaml),
    ("eql_elastic", |data| eql(data, Dialect::Elastic)),
    ("eql_endpoint", |data| eql(data, Dialect::Endpoint)),
    ("eql_classic", |data| eql(data, Dialect::Classic)),
    ("document", document),
    ("record", record),
    ("detector", detector),
    ("pack", pack::pack),
    ("script", script::script),
    ("recording", recording::recording),
];

fn load(name: &str, text: &str) {
    let loaded = lang::load([(name.to_owned(), text.to_owned())]);
    for found in &loaded.diagnostics {
        lang::render::text(found, &loaded.sources, false);
        lang::render::json(found, &loaded.sources);
    }
    for rule in &loaded.program.rules {
        lang::fmt::rule(rule, &loaded.program);
        lang::placement::of(rule, &loaded.program);
    }
    if let Err(error) = Compiled::new(Arc::new(loaded.program)) {
        assert!(!error.to_string().is_empty(), "an error without words");
    }
}

fn own_toml(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    load("rules.toml", text);
    if let Ok(once) = lang::fmt::format(text) {
        assert_eq!(lang::fmt::format(&once).ok().as_ref(), Some(&once), "not idempotent");
    }
}

/// The fuzzer writes the query; the rule around it is given.
fn elastic_toml(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    load("rule.toml", text);
    load("rule.toml", &format!("[rule]\nid='a'\nname='a'\nquery='''{text}'''\n"));
}

fn sigma_yaml(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    load("rule.yml", text);
}

fn program(text: &str, dialect: Dialect) -> Option<Program> {
    let mut schema = Schema::new(Unknown::Document);
    let (compiled, found) = lang::query(text, dialect, CaseMode::default(), &mut schema);
    assert!(compiled.is_some() || !found.is_empty(), "refused without a reason");
    Some(Program {
        rules: vec![compiled?.rule(RuleMeta { id: "fuzz".to_owned(), ..RuleMeta::default() })],
        fields: schema.fields().to_vec(),
        lineages: schema.lineages,
        ..Program::default()
    })
}

fn eql(data: &[u8], dialect: Dialect) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some(program) = program(text, dialect) else { return };
    lays_out(text, dialect, &program);
    // Compiled: what the parser takes must run, on any event.
    let Ok(compiled) = Compiled::new(Arc::new(program)) else { return };
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    for event in stream::events(data) {
        compiled.hits(&event, &mut scratch, &mut hits);
    }
}

/// The layout of a query that compiles means the same, and is laid out as it stands.
fn lays_out(text: &str, dialect: Dialect, meaning: &Program) {
    let once = match lang::fmt::query(text) {
        Ok(once) => once,
        Err(error) => panic!("compiles and is not laid out: {}", error.message),
    };
    assert_eq!(lang::fmt::query(&once).ok().as_ref(), Some(&once), "not idempotent");
    let again = program(&once, dialect).map(|again| format!("{again:?}"));
    assert_eq!(again, Some(format!("{meaning:?}")), "another meaning: {once}");
}

fn document(data: &[u8]) {
    kestrel::read_document(data);
}

fn record(data: &[u8]) {
    let Ok(record) = model::wire::Record::parse(data) else { return };
    assert!(!record.kind().name().is_empty(), "an operation without a name");
    drop(format!("{:?}", record.body()));
}

/// A query over a stream of events: the same alerts from a detector that evaluates itself, from one
/// that is given what another thread found, and from the oracle.
fn detector(data: &[u8]) {
    let Some((text, events)) = stream::split(data) else { return };
    for dialect in [Dialect::Elastic, Dialect::Endpoint, Dialect::Classic] {
        if let Some(program) = program(text, dialect) {
            detect(text, program, events);
        }
    }
}

fn detect(text: &str, program: Program, events: &[u8]) {
    let program = Arc::new(program);
    let Ok(compiled) = Compiled::new(Arc::clone(&program)) else { return };
    let compiled = Arc::new(compiled);
    let mut whole = Detector::new(Arc::clone(&compiled), Limits::default());
    let mut halves = Detector::new(Arc::clone(&compiled), Limits::default());
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    let all: Vec<_> = stream::events(events).collect();
    for event in &all {
        whole.push(event, &mut expected);
        compiled.hits(event, &mut scratch, &mut hits);
        halves.advance(event, &mut hits, &mut found);
    }
    whole.finish(&mut expected);
    halves.finish(&mut found);
    assert_eq!(found, expected, "one thread and two disagree");
    // The oracle tries everything with everything, lists above all.
    if all.len() <= ORACLE_EVENTS_MAX && text.matches("args").count() <= ORACLE_LISTS_MAX {
        let all: Vec<&dyn engine::Event> = all.iter().map(|event| event as _).collect();
        let wrong = engine::oracle::disagreements(&program, &all, &found);
        assert!(wrong.is_empty(), "the oracle disagrees: {wrong:?}");
    }
}
