//! `kestrel explain`: how a rule is compiled and placed, and why it matches an event or not.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::eval::blame;
use lang::{fmt, placement};
use model::program::{Filter, Program, Rule};
use serde_json::{Value, json};

use crate::cli::{DialectName, Form};
use crate::input::{Event, Lines, Names, Order, Ordered};
use crate::output::{self, Status, style};
use crate::predicates::{self, Outcome};
use crate::rules::Rules;

/// Events that are explained; an explanation is for reading.
const EVENTS_MAX: usize = 1_000;

pub(crate) fn run(
    path: &Path,
    id: Option<&str>,
    event: Option<&Path>,
    dialect: Option<DialectName>,
    form: Form,
) -> io::Result<Status> {
    let rules = Rules::load(&[PathBuf::from(path)], dialect);
    rules.show_errors()?;
    let program = &rules.loaded.program;
    let chosen: Vec<&Rule> =
        program.rules.iter().filter(|rule| id.is_none_or(|id| rule.meta.id == id)).collect();
    if chosen.is_empty() {
        output::complain("there is no such rule, or it has an error");
        return Ok(Status::Findings);
    }
    let names = Arc::new(Names::new(&program.fields, |_| true));
    let mut all: Vec<Value> = chosen.iter().map(|rule| compiled(rule, program)).collect();
    let mut bad = 0;
    if let Some(event) = event {
        let mut events = Ordered::new(Lines::open(event)?, names, Order::Input);
        let mut number = 0;
        while number < EVENTS_MAX
            && let Some(placed) = events.next()?
        {
            number += 1;
            for (rule, shown) in chosen.iter().zip(&mut all) {
                let explained = explained(rule, program, placed.event, placed.position);
                if let Some(list) = shown.get_mut("events").and_then(Value::as_array_mut) {
                    list.push(explained);
                }
            }
        }
        for (position, reason) in &events.report.first_bad {
            output::complain(&format!("{}:{position}: {reason}", event.display()));
        }
        bad = events.report.bad;
    }
    match form {
        Form::Json => output::json(&json!({ "rules": all }))?,
        Form::Text => all.iter().try_for_each(text)?,
    }
    Ok(if bad == 0 { Status::Fine } else { Status::Findings })
}

/// What a rule has become.
fn compiled(rule: &Rule, program: &Program) -> Value {
    let place = placement::of(rule, program);
    let steps: Vec<Value> = rule
        .filters()
        .map(|filter| {
            let leaves = predicates::leaves(&filter.condition);
            let predicates: Vec<String> =
                leaves.into_iter().map(|leaf| fmt::expression(leaf, program)).collect();
            json!({ "category": filter.category, "predicates": predicates })
        })
        .collect();
    json!({
        "id": rule.meta.id,
        "name": rule.meta.name,
        "file": rule.meta.file,
        "severity": rule.meta.severity.as_str(),
        "query": fmt::rule(rule, program),
        "placement": {
            "place": place.place.as_str(), "because": place.because, "reason": place.reason,
        },
        "steps": steps,
        "events": [],
    })
}

/// Each step of the rule on one event.
fn explained(rule: &Rule, program: &Program, event: &Event, position: u64) -> Value {
    let step = |filter: &Filter| {
        let predicates: Vec<Value> = predicates::outcomes(filter, rule, program, event)
            .into_iter()
            .map(|Outcome { text, value, fields }| {
                let fields: serde_json::Map<String, Value> = fields.into_iter().collect();
                json!({ "predicate": text, "value": value, "fields": fields })
            })
            .collect();
        json!({
            "category": filter.category,
            "has_category": predicates::has_category(filter, event),
            "matched": predicates::holds(filter, rule, event),
            "predicates": predicates,
        })
    };
    let steps: Vec<Value> = rule.filters().map(step).collect();
    let decided: Vec<Value> = rule
        .filters()
        .next()
        .map(|filter| blame(filter, rule.logic, event))
        .unwrap_or_default()
        .into_iter()
        .map(|blame| {
            let (field, value) = predicates::held(blame.field, program, event);
            json!({ "field": field, "satisfied": blame.satisfied, "value": value })
        })
        .collect();
    json!({ "position": position, "decided_by": decided, "steps": steps })
}

#[expect(clippy::indexing_slicing, reason = "what a JSON value does not have is null")]
fn text(shown: &Value) -> io::Result<()> {
    let word = |at: &str| shown.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let (name, good, bad) = (style::NAME, style::GOOD, style::BAD);
    let mut out = anstream::stdout().lock();
    writeln!(out, "{name}{}{name:#} ({}, {})", word("/name"), word("/id"), word("/file"))?;
    writeln!(out, "{}\n", word("/query"))?;
    write!(out, "placed in: {}: {}", word("/placement/place"), word("/placement/reason"))?;
    match word("/placement/because") {
        "" => writeln!(out)?,
        because => writeln!(out, ": `{because}`")?,
    }
    let list = |value: &Value, key: &str| -> Vec<Value> {
        value.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    for event in list(shown, "events") {
        writeln!(out, "\nevent {}", event["position"])?;
        for (number, step) in list(&event, "steps").iter().enumerate() {
            let verdict = if step["matched"] == true {
                format!("{good}matches{good:#}")
            } else {
                format!("{bad}does not match{bad:#}")
            };
            write!(out, "  step {}: {verdict}", number + 1)?;
            if step["has_category"] == true {
                writeln!(out)?;
            } else {
                writeln!(out, ", its category is not {}", step["category"])?;
            }
            for one in list(step, "predicates") {
                let mark = match one["value"].as_bool() {
                    Some(true) => format!("{good}true {good:#}"),
                    Some(false) => format!("{bad}false{bad:#}"),
                    None => "unknown".to_owned(),
                };
                let held: Vec<String> = one["fields"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| match value {
                        Value::Null => format!("{name} is absent"),
                        value => format!("{name} = {value}"),
                    })
                    .collect();
                let predicate = one["predicate"].as_str().unwrap_or_default();
                writeln!(out, "    {mark}  {predicate}   ({})", held.join(", "))?;
            }
        }
        let decided: Vec<&str> = event["decided_by"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["field"].as_str())
            .collect();
        writeln!(out, "  decided by: {}", decided.join(", "))?;
    }
    Ok(())
}
