//! Queries of the classic dialect and the ids that must come out, in order.

use serde_json::Value;

use super::{corpora, kestrel};

/// Queries that the corpus has: a shorter corpus would make the test weaker unseen.
const QUERIES_MIN: usize = 128;

#[test]
fn queries_give_exactly_the_expected_ids_in_order() {
    let Some(corpora) = corpora() else { return };
    let directory = corpora.join("classic-eql");
    let text = std::fs::read_to_string(directory.join("queries.json")).unwrap();
    let queries: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(queries.len() >= QUERIES_MIN, "{} queries", queries.len());
    let events = directory.join("test_data.json");
    let mut wrong = Vec::new();
    for query in &queries {
        let text = query["query"].as_str().unwrap();
        let expected: Vec<String> = query["expected_event_ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        for case in modes(query) {
            let done = kestrel(&[
                "query",
                text,
                "--events",
                events.to_str().unwrap(),
                "--dialect",
                "classic",
                "--case",
                case,
                "--id-field",
                "serial_event_id",
                "-o",
                "ids",
            ]);
            let ids: Vec<&str> = done.out.lines().collect();
            if ids != expected || done.code != Some(0) {
                let (code, err) = (done.code, done.err);
                wrong.push(format!(
                    "{text}\n  {case}: {ids:?} instead of {expected:?}, {code:?} {err}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A query counts in the modes that it names, in both if it names none.
fn modes(query: &Value) -> Vec<&'static str> {
    let named = |flag: &str| query[flag].as_bool().unwrap_or(false);
    match (named("case_sensitive"), named("case_insensitive")) {
        (true, false) => vec!["sensitive"],
        (false, true) => vec!["insensitive"],
        _ => vec!["sensitive", "insensitive"],
    }
}

#[test]
fn letters_are_equal_unless_told_otherwise() {
    let Some(corpora) = corpora() else { return };
    let events = corpora.join("classic-eql/test_data.json");
    let query = "process where process_name == 'SYSTEM idle process'";
    let ids = |more: &[&str]| {
        let mut arguments = vec!["query", query, "--events", events.to_str().unwrap(), "-o", "ids"];
        arguments.extend_from_slice(&["--dialect", "classic", "--id-field", "serial_event_id"]);
        arguments.extend_from_slice(more);
        kestrel(&arguments).out
    };
    assert_eq!(ids(&[]), "1\n");
    assert_eq!(ids(&["--case", "sensitive"]), "");
}
