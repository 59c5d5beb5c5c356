//! `kestrel check`

use serde_json::{Value, json};

use super::{Place, QUERY, SIGMA, rule};

#[test]
fn placement_says_kernel_armed_or_engine_and_what_decides() {
    let sequence = "sequence by process.entity_id with maxspan=1m [process where process.args == \"x\"] \
                    [file where event.action == \"creation\" and file.path like \"/tmp/*\"]";
    let engine = "process where event.action == \"exec\" and process.args == \"-e\"";
    let text = [rule("k", QUERY), rule("a", sequence), rule("e", engine)].concat();
    let place = Place::with(&[("r.toml", &text)]);
    let done = place.kestrel(&["check", "r.toml"]);
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(lines[0], "kernel  k: each predicate is decided by labels");
    assert_eq!(
        lines[1],
        "armed   a: the last step is decided by labels: event.action == \"creation\" and \
         file.path like \"/tmp/*\""
    );
    assert_eq!(
        lines[2],
        "engine  e: the kernel has no label for `process.args`: process.args == \"-e\""
    );
    let report = place.kestrel(&["check", "r.toml", "-o", "json"]).json();
    let places: Vec<&Value> =
        report["placements"].as_array().unwrap().iter().map(|one| &one["place"]).collect();
    assert_eq!(places, ["kernel", "armed", "engine"]);
    assert_eq!(report["placements"][2]["because"], "process.args == \"-e\"");
}

#[test]
fn a_long_expression_is_cut_in_text_and_whole_in_json() {
    let names: Vec<String> = (0..60).map(|n| format!("\"argument-{n}\"")).collect();
    let query = format!("process where process.args in ({})", names.join(", "));
    let place = Place::with(&[("r.toml", &rule("e", &query))]);
    let text = place.kestrel(&["check", "."]).out;
    let line = text.lines().next().unwrap();
    assert!(line.ends_with('…') && line.chars().count() < 200, "{line}");
    let report = place.kestrel(&["check", ".", "-o", "json"]).json();
    assert!(report["placements"][0]["because"].as_str().unwrap().contains("argument-59"));
}

#[test]
fn sarif_points_at_the_place_of_each_finding() {
    let text = rule("r", "process where process.nmae == \"nc\"");
    let place = Place::with(&[("r.toml", &text)]);
    let done = place.kestrel(&["check", "r.toml", "gone", "-o", "sarif"]);
    let report = done.json();
    assert_eq!((done.code, &report["version"]), (1, &json!("2.1.0")));
    let run = &report["runs"][0];
    let result = &run["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&json!("E020"), &json!("error")));
    let known = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(known.iter().any(|rule| rule["id"] == "E020"));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "r.toml");
    let region = &place["region"];
    let (start, length) =
        (region["byteOffset"].as_u64().unwrap(), region["byteLength"].as_u64().unwrap());
    let at = usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap();
    assert_eq!(&text[at], "process.nmae");
    let line = text.lines().position(|line| line.contains("nmae")).unwrap() + 1;
    assert_eq!((&region["startLine"], &region["startColumn"]), (&json!(line), &json!(15)));
    let run = &run["invocations"][0];
    assert_eq!(run["executionSuccessful"], false);
    let note = run["toolExecutionNotifications"][0]["message"]["text"].as_str().unwrap();
    assert!(note.starts_with("gone: "), "{note}");
}

#[test]
fn all_formats_are_checked_together_and_none_hides_another() {
    let elastic = "[rule]\nrule_id = \"6f3a1f0e-0000-4000-8000-000000000001\"\nname = \"E\"\n\
                   type = \"eql\"\nlanguage = \"eql\"\nseverity = \"low\"\nquery = '''\nprocess \
                   where event.type == \"start\" and process.name == \"x\"\n'''\n";
    let place = Place::with(&[
        ("a/own.toml", &rule("own", QUERY)),
        ("b/elastic.toml", elastic),
        ("c/sigma.yml", SIGMA),
        ("d/broken.toml", "[[rule]\n"),
        ("e/broken.yml", "title: [\n"),
        ("f/notes.txt", "no rule"),
    ]);
    let report = place.kestrel(&["check", ".", "-o", "json"]).json();
    assert_eq!(report["rules"], 3);
    let mut wrong: Vec<&str> = report["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["level"] == "error")
        .map(|one| one["file"].as_str().unwrap())
        .collect();
    wrong.dedup();
    assert_eq!(wrong, ["./d/broken.toml", "./e/broken.yml"]);
}

#[test]
fn a_dialect_is_for_rules_that_tell_none() {
    // A single `=` is of the original language only.
    let query = "process where process.name = \"nc\"";
    let place = Place::with(&[("r.toml", &rule("r", query))]);
    let elastic = place.kestrel(&["check", "r.toml"]);
    assert!(elastic.code == 1 && elastic.err.contains("error["), "{}", elastic.err);
    let done = place.kestrel(&["check", "r.toml", "--dialect", "classic", "-o", "json"]);
    assert_eq!(done.json()["errors"], 0, "{}", done.out);
}
