//! A rule on single events stops matching when one field that decides is another.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{alerts, positives};
use crate::kestrel;

/// Rules on single events that the corpus has events for; fewer would make the test weaker unseen.
const SINGLE_MIN: usize = 188;

/// What `explain` tells of a rule on events.
struct Explained {
    /// How many filters the rule has.
    steps: usize,
    /// For each event the fields whose tests decided that it matches.
    decided: Vec<Vec<String>>,
}

fn explain(rule: &Path, events: &[Value]) -> Explained {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("event.ndjson");
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let (rule, path) = (rule.to_str().unwrap(), path.to_str().unwrap());
    let done = kestrel(&["explain", rule, "--event", path, "-o", "json"]);
    let report: Value = serde_json::from_str(&done.out)
        .unwrap_or_else(|error| panic!("{rule}: {error}: {} {}", done.out, done.err));
    let rule = &report["rules"][0];
    let fields = |event: &Value| {
        let decided = event["decided_by"].as_array().unwrap().iter();
        decided.map(|one| one["field"].as_str().unwrap().to_owned()).collect()
    };
    Explained {
        steps: rule["steps"].as_array().unwrap().len(),
        decided: rule["events"].as_array().unwrap().iter().map(fields).collect(),
    }
}

/// The event with another value in a field.
fn changed(event: &Value, field: &str) -> Option<Value> {
    let mut event = event.clone();
    let parts: Vec<&str> = field.split('.').collect();
    let (last, path) = parts.split_last()?;
    let mut at = event.as_object_mut()?;
    for part in path {
        at = at.entry(*part).or_insert_with(|| Map::new().into()).as_object_mut()?;
    }
    let other = match at.get(*last) {
        None | Some(Value::Null | Value::String(_)) => json!("no-such-value"),
        Some(Value::Array(_)) => json!(["no-such-value"]),
        Some(Value::Number(_)) => json!(987_654_321),
        Some(Value::Bool(flag)) => json!(!flag),
        Some(Value::Object(_)) => return None,
    };
    at.insert((*last).to_owned(), other);
    Some(event)
}

/// For an event with each deciding field changed in turn: how many of these still raise the rule.
fn still_raised(rule: &Path, event: &Value, fields: &[String]) -> (usize, usize) {
    let events: Vec<Vec<Value>> =
        fields.iter().filter_map(|field| Some(vec![changed(event, field)?])).collect();
    if events.is_empty() {
        return (0, 0);
    }
    let (raised, _) = alerts(rule, &events);
    (raised.iter().filter(|raised| **raised).count(), raised.len())
}

#[test]
fn another_value_in_a_decisive_field_raises_nothing() {
    let mut wrong = Vec::new();
    let (mut single, mut several, mut changes, mut silent) = (0, 0, 0, 0);
    let all = positives();
    for positive in &all {
        let (rule, name, lists) = (&positive.rule, &positive.name, positive.sound_lists());
        let events: Vec<Value> = lists.iter().map(|list| list[0].clone()).collect();
        let explained = explain(rule, &events);
        if explained.steps > 1 || lists.iter().any(|list| list.len() > 1) {
            several += 1;
            continue;
        }
        single += 1;
        assert_eq!(explained.decided.len(), events.len(), "{name}: an event is not explained");
        for (event, fields) in events.iter().zip(&explained.decided) {
            let (raised, tried) = still_raised(rule, event, fields);
            changes += tried;
            silent += tried - raised;
            if raised == tried {
                wrong.push(format!("{name}: raised whichever of {fields:?} is another: {event}"));
            }
        }
    }
    if all.is_empty() {
        return;
    }
    println!(
        "{single} rules on single events: {silent} of {changes} changes of a deciding field raise \
         nothing, and at least one of each event; {several} rules are about several events"
    );
    assert!(wrong.is_empty(), "{} events:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(single + several, all.len(), "a rule was left out");
    assert!(single >= SINGLE_MIN, "{single} rules on single events");
}
