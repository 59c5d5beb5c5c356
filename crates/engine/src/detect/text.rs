//! For tests: programs and events as text.

use std::sync::Arc;

use lang::{CaseMode, Dialect, Schema, Unknown};
use model::field;
use model::program::{Correlation, CorrelationKind, Logic, Order, Program, Query, Rule, RuleMeta};
use model::script::{Kind, Script};
use model::value::Value;

use super::sample::{Ev, S};
use super::*;

/// Events: `a7<3@5.5` is called `a`, of process 7 with parent 3, after 5.5 seconds. Of several
/// processes `7,8` each is a value, and `-` is none; what is left out is process 1 and one second
/// after the event before.
pub(super) fn events(text: &str) -> Vec<Ev> {
    let mut last = 0;
    let one = |(number, text): (u64, &str)| {
        let (text, time) = text.split_once('@').map_or((text, None), |(a, b)| (a, Some(b)));
        let (text, parent) = text.split_once('<').map_or((text, None), |(a, b)| (a, Some(b)));
        let (name, keys) = text.split_at(1);
        last = time.map_or(last + S, |time| {
            let (whole, part) = time.split_once('.').unwrap_or((time, "0"));
            whole.parse::<i64>().unwrap() * S + format!("{part:0<9}").parse::<i64>().unwrap()
        });
        let keys = if keys.is_empty() { "1" } else { keys };
        Ev {
            number,
            time: last,
            categories: &["process"],
            action: name.to_owned(),
            keys: keys.split(',').filter_map(|key| key.parse().ok().map(Value::Int)).collect(),
            parent: parent.map(|parent| parent.parse().unwrap()),
            name: Some(b"program"),
            ..Ev::default()
        }
    };
    (1..).zip(text.split_whitespace()).map(one).collect()
}

/// A query in which `[a]` stands for an event that is called so, and `[*]` for any.
pub(super) fn rule(dialect: Dialect, text: &str, schema: &mut Schema) -> Rule {
    let mut query = text.replace("[*]", "[any where true]");
    for name in ["a", "b", "c", "u", "x", "y"] {
        let long = format!("[any where event.action == \"{name}\"]");
        query = query.replace(&format!("[{name}]"), &long);
    }
    let (compiled, found) = lang::query(&query, dialect, CaseMode::Sensitive, schema);
    let messages: Vec<_> = found.iter().map(|one| &one.message).collect();
    let meta = RuleMeta { id: text.to_owned(), ..RuleMeta::default() };
    compiled.unwrap_or_else(|| panic!("{query}: {messages:?}")).rule(meta)
}

/// The same with a script `one` of two functions that queries may ask, as [`crate::oracle::Plain`]
/// answers: `even` (0) and `odd` (1).
pub(super) fn scripted(rules: &[(Dialect, &str)]) -> Arc<Compiled> {
    let mut schema = Schema::new(Unknown::Document);
    let functions = ["even", "odd"].map(str::to_owned).to_vec();
    let one = Script { functions, ..Script::new("one", Kind::Wasm, "one.wasm") };
    schema.scripts.push(one);
    let rules = rules.iter().map(|(dialect, text)| rule(*dialect, text, &mut schema)).collect();
    let fields = schema.fields().to_vec();
    let (lineages, scripts) = (schema.lineages, schema.scripts);
    let program = Program { rules, fields, lineages, scripts };
    Arc::new(Compiled::new(Arc::new(program)).unwrap())
}

pub(super) fn program(rules: &[(Dialect, &str)]) -> Arc<Compiled> {
    correlated(rules, &[])
}

/// The same with correlations, which follow the rules and name them by number.
pub(super) fn correlated(rules: &[(Dialect, &str)], correlations: &[Correlation]) -> Arc<Compiled> {
    let mut schema = Schema::new(Unknown::Document);
    let texts = rules.iter().map(|(dialect, text)| rule(*dialect, text, &mut schema));
    let counts = correlations.iter().enumerate().map(|(number, correlation)| {
        let meta = RuleMeta { id: format!("correlation {number}"), ..RuleMeta::default() };
        let query = Query::Correlation(correlation.clone());
        Rule { meta, logic: Logic::Complement, query, pipes: Vec::new() }
    });
    let rules = texts.chain(counts).collect();
    let fields = schema.fields().to_vec();
    let program = Program { rules, fields, lineages: schema.lineages, ..Program::default() };
    Arc::new(Compiled::new(Arc::new(program)).unwrap())
}

/// Counts the matches of a rule by process.
pub(super) fn count_of(rule: u32, seconds: u64, condition: Vec<(Order, u64)>) -> Correlation {
    Correlation {
        kind: CorrelationKind::EventCount,
        rules: vec![rule],
        group_by: vec![vec![field::PROCESS_PID]],
        timespan: seconds * 1_000_000_000,
        condition,
    }
}
