//! Rules and queries of others, where they are at hand: all of them compile.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod others;

use std::fs;

use lang::{CaseMode, Diagnostic, Dialect, Schema, Unknown, query};
use others::corpora;

/// What is wrong with a query, one line each.
fn errors(text: &str, dialect: Dialect, case: CaseMode) -> Vec<String> {
    let mut schema = Schema::new(Unknown::Document);
    let (compiled, found) = query(text, dialect, case, &mut schema);
    let errors: Vec<String> = found
        .iter()
        .filter(|one| one.is_error())
        .map(|one: &Diagnostic| {
            let at = text.get(one.span.clone()).unwrap_or_default();
            format!("{}: {} at `{at}`", one.code.as_str(), one.message)
        })
        .collect();
    assert_eq!(compiled.is_none(), !errors.is_empty(), "a result or an error: {text}");
    errors
}

fn elastic(part: &str, dialect: Dialect) -> Option<usize> {
    let folder = corpora("elastic")?.join(part);
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let document: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let rule = document.get("rule").and_then(toml::Value::as_table).unwrap();
        let text = rule.get("query").and_then(toml::Value::as_str).unwrap().to_owned();
        count += 1;
        let found = errors(&text, dialect, CaseMode::Sensitive);
        if !found.is_empty() {
            wrong.push(format!("{}: {found:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} of {count}: {wrong:#?}", wrong.len());
    Some(count)
}

#[test]
fn all_rules_of_both_elastic_layouts_compile() {
    let count = elastic("siem", Dialect::Elastic).zip(elastic("endpoint", Dialect::Endpoint));
    if let Some((siem, endpoint)) = count {
        assert!(siem + endpoint >= 330, "{siem} and {endpoint} rules were read");
    }
}

#[test]
fn all_classic_queries_compile_in_both_cases() {
    let Some(folder) = corpora("classic-eql") else { return };
    let text = fs::read_to_string(folder.join("queries.json")).unwrap();
    let queries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(queries.len() >= 128);
    let mut wrong = Vec::new();
    for one in &queries {
        let text = one["query"].as_str().unwrap();
        for case in [CaseMode::Sensitive, CaseMode::Insensitive] {
            let found = errors(text, Dialect::Classic, case);
            if !found.is_empty() {
                wrong.push(format!("{text}: {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
