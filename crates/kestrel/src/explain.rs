//! `kestrel explain`: how a rule is compiled and placed, and why it matches an event or not.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::eval::blame;
use engine::{Detector, Found, Limits};
use lang::{fmt, placement};
use model::field::{self, FieldId};
use model::op::Kind;
use model::program::{Filter, Program, Rule};
use model::tiers::{self, Tier};
use model::value::Fields;
use serde_json::{Value, json};

use crate::cli::{DialectName, Form};
use crate::input::{self, Lines, Order, Ordered};
use crate::output::{self, Status, style};
use crate::predicates::{self, Answers, Outcome};
use crate::rules::{self, Rules};
use crate::scripts::{self, told};

/// Events that are explained; an explanation is for reading.
const EVENTS_MAX: usize = 1_000;
/// Ids that are listed when there is none like the one that was asked for.
const IDS_MAX: usize = 20;

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
    let numbered = program.rules.iter().enumerate();
    let chosen: Vec<(usize, &Rule)> =
        numbered.filter(|(_, rule)| id.is_none_or(|id| rule.meta.id == id)).collect();
    if chosen.is_empty() {
        output::complain(&no_rule(&rules, id));
        return Ok(Status::Findings);
    }
    let mut all: Vec<Value> = chosen.iter().map(|(_, rule)| compiled(rule, program)).collect();
    let mut sound = true;
    if let Some(path) = event {
        match events(path, &rules, &chosen, &mut all) {
            Ok(bad) => sound = bad == 0,
            Err(error) => {
                output::complain(&format!("{}: {error}", path.display()));
                return Ok(Status::Findings);
            }
        }
    }
    match form {
        Form::Json => output::json(&json!({ "rules": all }))?,
        Form::Text => all.iter().try_for_each(text)?,
    }
    Ok(if sound { Status::Fine } else { Status::Findings })
}

/// Why there is nothing to explain.
fn no_rule(rules: &Rules, id: Option<&str>) -> String {
    let all: Vec<&str> = rules.loaded.program.rules.iter().map(|rule| &*rule.meta.id).collect();
    match (id, all.as_slice()) {
        (None, _) | (_, []) => "there is no rule without an error".to_owned(),
        (Some(id), all) if all.len() <= IDS_MAX => {
            format!("no rule has the id `{id}`; there are: {}", all.join(", "))
        }
        (Some(id), all) => format!("none of {} rules has the id `{id}`", all.len()),
    }
}

/// Explains each event, and says which of them raise an alert. Returns how many could not be read.
fn events(
    path: &Path,
    rules: &Rules,
    chosen: &[(usize, &Rule)],
    all: &mut [Value],
) -> io::Result<u64> {
    let Some(compiled) = rules.compile() else { return Ok(1) };
    let program = &rules.loaded.program;
    let scripts = scripts::start(program);
    let mut detector =
        Detector::with_scripts(Arc::clone(&compiled), Limits::default(), scripts);
    let mut events = Ordered::new(Lines::open(path)?, rules::names(&compiled), Order::Input);
    let (mut number, mut found) = (0, Vec::new());
    while number < EVENTS_MAX
        && let Some(placed) = events.next()?
    {
        number += 1;
        detector.push(&placed, &mut found);
        for ((_, rule), shown) in chosen.iter().zip(&mut *all) {
            let answers = Answers::of(&detector, rule, program);
            let event = (&placed.event as &dyn Fields, placed.position);
            push(shown, "events", explained(rule, program, event, &answers));
        }
        for incident in detector.scripts().incidents() {
            output::complain(&told(&incident, program));
        }
        alerts(&mut found, Some(placed.position), chosen, all);
    }
    detector.finish(&mut found);
    alerts(&mut found, None, chosen, all);
    for (position, reason) in &events.report.first_bad {
        output::complain(&format!("{}:{position}: {reason}", path.display()));
    }
    Ok(events.report.bad)
}

/// Notes what was found at an event, or at the end of the input.
fn alerts(found: &mut Vec<Found>, at: Option<u64>, chosen: &[(usize, &Rule)], all: &mut [Value]) {
    for one in found.drain(..) {
        let rule = chosen.iter().position(|(rule, _)| usize::try_from(one.rule) == Ok(*rule));
        if let Some(shown) = rule.and_then(|rule| all.get_mut(rule)) {
            let members: Vec<u64> = one.members.iter().map(|one| input::position(*one)).collect();
            let mut alert = json!({ "at": at, "events": members });
            if let (false, Some(alert)) = (one.said.is_empty(), alert.as_object_mut()) {
                alert.insert("script".to_owned(), model::json::said(&one.said));
            }
            push(shown, "alerts", alert);
        }
    }
}

fn push(shown: &mut Value, list: &str, value: Value) {
    if let Some(list) = shown.get_mut(list).and_then(Value::as_array_mut) {
        list.push(value);
    }
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
        "operations": rule.kinds().iter().map(Kind::name).collect::<Vec<_>>(),
        "fields": fields(rule, program),
        "steps": steps,
        "events": [],
        "alerts": [],
    })
}

/// The fields of a rule, and which source fills them in each tier.
fn fields(rule: &Rule, program: &Program) -> Vec<Value> {
    let leaves = rule.filters().flat_map(|filter| predicates::leaves(&filter.condition));
    let mut ids: Vec<FieldId> = leaves.flat_map(|leaf| predicates::fields(leaf, program)).collect();
    ids.sort_unstable();
    ids.dedup();
    let row = |id: FieldId| {
        let words = |tier| field::field(id).map(|_| tiers::words(id, tier));
        json!({
            "name": fmt::field_name(id, program),
            "tiers": { "lsm": words(Tier::Lsm), "fallback": words(Tier::Fallback) },
        })
    };
    ids.into_iter().map(row).collect()
}

/// Each step of the rule on one event.
fn explained(
    rule: &Rule,
    program: &Program,
    (event, position): (&dyn Fields, u64),
    answers: &Answers,
) -> Value {
    let step = |filter: &Filter| {
        let predicates: Vec<Value> = predicates::outcomes(filter, rule, program, event, answers)
            .into_iter()
            .map(|Outcome { text, value, asked, fields }| {
                let fields: serde_json::Map<String, Value> = fields.into_iter().collect();
                let mut shown = json!({ "predicate": text, "value": value, "fields": fields });
                if let (false, Some(shown)) = (asked, shown.as_object_mut()) {
                    shown.insert("asked".to_owned(), false.into());
                }
                shown
            })
            .collect();
        json!({
            "category": filter.category,
            "has_category": predicates::has_category(filter, event),
            "matched": predicates::holds(filter, rule, event, answers),
            "predicates": predicates,
        })
    };
    let steps: Vec<Value> = rule.filters().map(step).collect();
    let decided: Vec<Value> = rule
        .filters()
        .next()
        .map(|filter| {
            let condition = answers.within(&filter.condition);
            blame(&Filter { category: filter.category.clone(), condition }, rule.logic, event)
        })
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
    writeln!(
        out,
        "live events: {}",
        words(&list(shown, "operations"), "none: only documents match")
    )?;
    for (sources, names) in by_source(&list(shown, "fields")) {
        writeln!(out, "  filled by {sources}: {}", names.join(", "))?;
    }
    for event in list(shown, "events") {
        writeln!(out, "\nevent {}", event["position"])?;
        for (number, step) in list(&event, "steps").iter().enumerate() {
            let verdict = match step["matched"].as_bool() {
                Some(true) => format!("{good}matches{good:#}"),
                Some(false) => format!("{bad}does not match{bad:#}"),
                None => "depends on earlier events".to_owned(),
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
                    None if one["asked"] == false => "not asked".to_owned(),
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
        if !decided.is_empty() {
            writeln!(out, "  decided by: {}", decided.join(", "))?;
        }
    }
    for alert in list(shown, "alerts") {
        let at = match &alert["at"] {
            Value::Null => "at the end of the input".to_owned(),
            at => format!("at event {at}"),
        };
        let members = words(&list(&alert, "events"), "none");
        writeln!(out, "\n{bad}alert{bad:#} {at}; events: {members}")?;
        for one in list(&alert, "script") {
            writeln!(out, "  script: {one}")?;
        }
    }
    if list(shown, "alerts").is_empty() && !list(shown, "events").is_empty() {
        writeln!(out, "\nno alert")?;
    }
    Ok(())
}

/// Fields by where they come from, in the order of the first of each.
#[expect(clippy::indexing_slicing, reason = "what a JSON value does not have is null")]
fn by_source(fields: &[Value]) -> Vec<(String, Vec<&str>)> {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for field in fields {
        let tier = |name: &str| field["tiers"][name].as_str().unwrap_or("no sensor");
        let sources = match (tier("lsm"), tier("fallback")) {
            (lsm, fallback) if lsm == fallback => lsm.to_owned(),
            (lsm, fallback) => format!("{lsm} (tier fallback: {fallback})"),
        };
        let name = field["name"].as_str().unwrap_or_default();
        match all.iter_mut().find(|(known, _)| *known == sources) {
            Some((_, names)) => names.push(name),
            None => all.push((sources, vec![name])),
        }
    }
    all
}

/// Elements of a list in a line.
fn words(list: &[Value], none: &str) -> String {
    let all: Vec<String> = list
        .iter()
        .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
        .collect();
    if all.is_empty() { none.to_owned() } else { all.join(", ") }
}
