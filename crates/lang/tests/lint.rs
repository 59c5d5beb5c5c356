//! What the linter finds, and beside each what it must not find; suggestions; SARIF.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod others;

use lang::{Code, Loaded, load, render};
use serde_json::Value;

/// A rule of our own.
fn rule(id: &str, severity: &str, query: &str) -> String {
    format!(
        "[[rule]]\nid = \"{id}\"\nname = \"{id}\"\ndescription = \"d\"\nseverity = \"{severity}\"\n\
         query = '''\n{query}\n'''\n"
    )
}

fn read(text: String) -> Loaded {
    load([("rules.toml".to_owned(), text)])
}

/// What is found in a rule with that query, but for the tests that it lacks.
fn codes(query: &str) -> Vec<Code> {
    found(&read(rule("a", "low", query)))
}

fn found(loaded: &Loaded) -> Vec<Code> {
    let codes = loaded.diagnostics.iter().map(|one| one.code);
    codes.filter(|code| *code != Code::NoTest).collect()
}

/// A code fires for each of the first queries, and nothing does for the others.
fn check(code: Code, fires: &[&str], silent: &[&str]) {
    for query in fires {
        assert!(codes(query).contains(&code), "{}: {query}: {:?}", code.as_str(), codes(query));
    }
    for query in silent {
        assert_eq!(codes(query), [], "{query}");
    }
}

#[test]
fn w001_wildcards_that_are_compared_literally() {
    check(
        Code::WildcardLiteral,
        &[
            "process where process.name == \"a*\"",
            "process where process.name != \"a?\"",
            "process where process.name in (\"a\", \"b*\")",
            "process where process.name in~ (\"b*\")",
            "process where not process.args in (\"--x*\")",
        ],
        &[
            "process where process.name : \"a*\"",
            "process where process.name like (\"a?\", \"b*\")",
            "process where process.name == \"ab\"",
            "process where process.name regex \"a*\"",
        ],
    );
    let classic =
        rule("a", "low", "process where process.name == \"a*\"") + "dialect = \"classic\"\n";
    assert_eq!(found(&read(classic)), [], "there it is a pattern");
}

#[test]
fn w002_words_that_no_event_carries() {
    check(
        Code::UnknownWord,
        &[
            "process where event.action == \"exce\"",
            "file where event.type == \"creaton\"",
            "any where event.category == \"proces\"",
            "proces where true",
            "process where user.id == \"root\"",
        ],
        &[
            "process where event.action == \"exec\"",
            "file where event.type == \"creation\"",
            "process where user.id == \"0\"",
        ],
    );
    let loaded = read(rule("a", "low", "process where event.action == \"exce\""));
    let one = loaded.diagnostics.iter().find(|one| one.code == Code::UnknownWord).unwrap();
    assert_eq!(one.help.as_deref(), Some("`exec` exists"));
}

#[test]
fn w003_rules_that_can_never_match() {
    check(
        Code::NeverMatches,
        &[
            "process where event.type == \"deletion\"",
            "process where process.name == \"a\" and process.name == \"b\"",
            "process where process.pid > 5 and process.pid < 3",
            "process where process.name == null and process.name : \"a*\"",
            "process where process.name == \"ab\" and startsWith(process.name, \"b\")",
            "process where destination.port == 22",
        ],
        &[
            "file where event.type == \"deletion\"",
            "process where process.name == \"a\" or process.name == \"b\"",
            "process where process.args == \"a\" and process.args == \"b\"",
            "process where process.pid > 3 and process.pid < 5",
            "process where process.name == \"ab\" and startsWith(process.name, \"a\")",
            "network where destination.port == 22",
        ],
    );
}

#[test]
fn w004_rules_without_tests() {
    let test = |alert: bool| {
        format!(
            "[[rule.test]]\nname = \"{alert}\"\nalert = {alert}\nevent = {{ \"event.category\" = \
             \"process\", \"process.name\" = \"a\" }}\n"
        )
    };
    let own = rule("a", "low", "process where process.name == \"a\"");
    let all =
        |text: String| -> Vec<Code> { read(text).diagnostics.iter().map(|one| one.code).collect() };
    assert_eq!(all(own.clone()), [Code::NoTest]);
    assert_eq!(all(own.clone() + &test(true)), [Code::NoTest], "one that must not match is needed");
    assert_eq!(all(own + &test(true) + &test(false)), []);
}

#[test]
fn w006_fields_that_no_sensor_fills() {
    let elastic = |query: &str| {
        let text = format!(
            "[metadata]\nmaturity = \"production\"\n[rule]\nrule_id = \
             \"2b6ac2f0-0000-4000-8000-000000000000\"\nname = \"a\"\nlanguage = \"eql\"\n\
             type = \"eql\"\nseverity = \"low\"\nquery = '''\n{query}\n'''\n"
        );
        found(&read(text))
    };
    assert_eq!(elastic("process where process.code_signature.trusted == true"), [Code::NotFilled]);
    assert_eq!(elastic("process where process.name == \"a\""), []);
}

#[test]
fn w007_and_w011_parts_that_are_always_or_never_true() {
    check(
        Code::AlwaysTrue,
        &["process where process.pid == 1 and (process.name != \"a\" or process.name != \"b\")"],
        &["process where process.pid == 1 and (process.name != \"a\" and process.name != \"b\")"],
    );
    check(
        Code::NeverTrue,
        &["process where process.pid == 1 or (process.pid > 5 and process.pid < 3)"],
        &["process where process.pid == 1 or (process.pid > 3 and process.pid < 5)"],
    );
}

#[test]
fn w008_sequences_without_a_bound() {
    let steps = "[process where process.pid == 1] [process where process.pid == 2]";
    check(
        Code::Unending,
        &[&format!("sequence by host.id {steps}")],
        &[&format!("sequence by host.id with maxspan=1m {steps}")],
    );
}

#[test]
fn w009_expressions_that_cost_much() {
    check(
        Code::SlowRegex,
        &[
            "process where process.name regex \"(a+)+\"",
            "process where process.name regex \"a{200}\"",
            "process where process.command_line regex \".*[a-z]\"",
        ],
        &[
            "process where process.name regex \"(ab)+c{3,20}\"",
            "process where process.command_line regex \"ab.*[a-z]\"",
            "process where process.command_line regex \".*wget.*\"",
        ],
    );
}

#[test]
fn w010_rules_that_others_cover() {
    let wide = "process where process.name == \"a\"";
    let narrow = "process where process.pid == 1 and process.name == \"a\"";
    let both = |of_wide: &str, of_narrow: &str| {
        let loaded = read(rule("wide", of_wide, wide) + &rule("narrow", of_narrow, narrow));
        let shadowed = loaded.diagnostics.iter().filter(|one| one.code == Code::Shadowed);
        shadowed.map(|one| one.rule.clone().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(both("low", "low"), ["narrow"]);
    assert_eq!(both("high", "low"), ["narrow"]);
    assert!(both("low", "high").is_empty(), "it says more than the other");
}

#[test]
fn w012_pipes_that_give_nothing_before_the_input_ends() {
    let classic = |query: &str| {
        let text = rule("a", "low", &format!("process where process.name == \"tail\" {query}"));
        found(&read(text + "dialect = \"classic\"\n"))
    };
    for pipe in ["tail 5", "sort user.id", "count", "count user.id", "unique_count user.id"] {
        assert_eq!(classic(&format!("| {pipe}")), [Code::OnlyAtEnd], "{pipe}");
        assert_eq!(classic(&format!("| head 5 | {pipe}")), [Code::OnlyAtEnd], "{pipe}");
    }
    for pipe in ["", "| head 5", "| unique user.id", "| filter user.id == \"0\""] {
        assert_eq!(classic(pipe), [], "{pipe}");
    }
    let steps = "[process where process.pid == 1] [process where process.pid == 2]";
    let sequence = format!("sequence with maxspan=1m {steps}");
    check(Code::OnlyAtEnd, &[&format!("{sequence} | head 5")], &[&sequence]);
    let streams = rule("a", "low", &format!("{sequence} | head 5")) + "dialect = \"classic\"\n";
    assert_eq!(found(&read(streams)), [], "there results are given as they come");
    let documents = "process where process.code_signature.exists == true | tail 5";
    let elastic = format!(
        "[rule]\nrule_id = \"2b6ac2f0-0000-4000-8000-000000000000\"\nname = \"a\"\n\
         language = \"eql\"\ntype = \"eql\"\nseverity = \"low\"\nquery = \'\'\'\n{documents}\n\'\'\'\n"
    );
    assert_eq!(found(&read(elastic)), [Code::NotFilled], "it cannot match live events");
    let loaded = read(rule("a", "low", "process where process.name == \"tail\" |tail 5"));
    let one = loaded.diagnostics.iter().find(|one| one.code == Code::OnlyAtEnd).unwrap();
    assert_eq!(loaded.sources[0].text[one.span.clone()], *"|tail", "not the name of the process");
}

#[test]
fn names_that_are_nearly_right_are_suggested() {
    for (query, code, wanted) in [
        ("process where process.nmae == \"a\"", Code::UnknownField, "`process.name`"),
        ("process where process.parent.nam == \"a\"", Code::UnknownField, "`process.parent.name`"),
        ("process where startWith(process.name, \"a\")", Code::UnknownFunction, "`startsWith`"),
        ("process where lenght(process.name) > 1", Code::UnknownFunction, "`length`"),
        ("process where true | haed 3", Code::Syntax, "`head`"),
    ] {
        let loaded = read(rule("a", "low", query));
        let one = loaded.diagnostics.iter().find(|one| one.code == code).unwrap();
        assert!(one.help.as_ref().is_some_and(|help| help.contains(wanted)), "{query}: {one:?}");
    }
    let loaded = read(rule("a", "low", "process where frobnicate(process.name)"));
    let one = loaded.diagnostics.iter().find(|one| one.code == Code::UnknownFunction).unwrap();
    assert_eq!(one.help, None, "nothing is near");
}

/// What the schema of SARIF 2.1.0 requires of the parts that are written.
#[test]
fn sarif_has_the_shape_that_its_schema_requires() {
    let loaded = read(
        rule("a", "low", "process where process.nmae == 1")
            + &rule("b", "low", "process where process.name == \"a*\"")
            + &rule("b", "low", "sequence [any where true] by user.id [any where true]"),
    );
    let all = &loaded.diagnostics;
    let unread = ["gone.toml: no such file".to_owned()];
    let tool = |unread| render::Tool { name: "kestrel", version: "1.0.0", unread };
    let log = render::sarif(all, &loaded.sources, tool(&unread));
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    let note = &invocation["toolExecutionNotifications"][0];
    assert_eq!(
        (&note["level"], &note["message"]["text"]),
        (&"error".into(), &unread[0].clone().into())
    );
    let fine = render::sarif(all, &loaded.sources, tool(&[]));
    assert_eq!(fine["runs"][0]["invocations"][0]["executionSuccessful"], true);
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(run["tool"]["driver"]["name"], "kestrel");
    assert!(rules.iter().all(|rule| rule["shortDescription"]["text"].is_string()));
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), all.len());
    let mut related = 0;
    for (result, one) in results.iter().zip(all) {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(result["ruleId"], one.code.as_str());
        assert_eq!(rules[index]["id"], one.code.as_str());
        let level = result["level"].as_str().unwrap();
        assert!(["none", "note", "warning", "error"].contains(&level), "{level}");
        assert!(result["message"]["text"].as_str().unwrap().starts_with(&one.message));
        placed(&result["locations"][0]);
        for place in result["relatedLocations"].as_array().unwrap() {
            placed(place);
            assert!(place["message"]["text"].is_string() && place["id"].is_u64());
            related += 1;
        }
    }
    assert!(related > 0, "the number of keys is explained by another place");
}

fn placed(location: &Value) {
    let place = &location["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "rules.toml");
    let region = |key: &str| place["region"][key].as_u64().unwrap();
    assert!(region("startLine") >= 1 && region("startColumn") >= 1, "{place}");
    let (start, end) = ("startLine", "endLine");
    assert!(
        (region(start), region("startColumn")) <= (region(end), region("endColumn")),
        "{place}"
    );
}

/// Literals of the corpus that hold a wildcard and stand in `==`, `!=` or `in`. One rule has three of
/// them in one list, so they are in fewer rules.
const WILDCARD_LITERALS: usize = 13;
/// The rules that they are in.
const WILDCARD_RULES: usize = 11;

#[test]
fn published_rules_that_compare_wildcards_literally_are_told() {
    let Some(folder) = others::corpora("elastic") else { return };
    let mut texts = Vec::new();
    for part in ["siem", "endpoint"] {
        for entry in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            texts.push((path.display().to_string(), std::fs::read_to_string(path).unwrap()));
        }
    }
    let loaded = load(texts);
    let wild = loaded.diagnostics.iter().filter(|one| one.code == Code::WildcardLiteral);
    let mut files: Vec<&str> = wild.map(|one| one.file.as_str()).collect();
    assert!(files.len() >= WILDCARD_LITERALS, "{}: {files:#?}", files.len());
    files.sort_unstable();
    files.dedup();
    assert!(files.len() >= WILDCARD_RULES, "{}: {files:#?}", files.len());
}
