//! The layout of queries and rule files: laying out twice is the same as once, the meaning stays,
//! and so do the comments.
#![expect(clippy::indexing_slicing, reason = "helpers of tests")]

mod others;

use lang::{CaseMode, Dialect, Loaded, Schema, Unknown, fmt, load, query};
use others::corpora;
use proptest::prelude::*;

/// What a query compiles to, as text; `None` if it does not.
fn meaning(text: &str, dialect: Dialect) -> Option<String> {
    let mut schema = Schema::new(Unknown::Document);
    let (compiled, _) = query(text, dialect, CaseMode::Sensitive, &mut schema);
    compiled.map(|compiled| format!("{compiled:?} {:?} {:?}", schema.fields(), schema.lineages))
}

/// Conditions, token by token.
const CONDITIONS: &[&[&str]] = &[
    &["process.name", "==", "\"a b\""],
    &["process.name", ":", "(", "\"a*\"", ",", "\"// no comment\"", ")"],
    &["process.pid", "in", "(", "1", ",", "-2", ",", "3", ")"],
    &["process.pid", "not", "in", "(", "1", ")"],
    &["length(", "process.name", ")", ">", "3"],
    &["startsWith~(", "process.name", ",", "\"/*\"", ")"],
    &["?user.name", "!=", "null"],
    &["process.args", "regex~", "\"\"\"a\\s+\"b\"\"\"\"", "and", "true"],
    &["(", "process.pid", "+", "1", ")", "*", "2", "==", "-", "4"],
    &["process.pid", "%", "3", "==", "1.5e-3"],
    &["`process`.`name`", "like", "\"x\\\"y\""],
];

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

fn condition() -> impl Strategy<Value = Vec<String>> {
    let leaf = prop::sample::select(CONDITIONS).prop_map(words);
    leaf.prop_recursive(3, 16, 3, |inner| {
        let pair = |word: &'static str| {
            (inner.clone(), inner.clone()).prop_map(move |(a, b)| {
                [words(&["("]), a, words(&[word]), b, words(&[")"])].concat()
            })
        };
        let not = inner.clone().prop_map(|a| [words(&["not", "("]), a, words(&[")"])].concat());
        prop_oneof![pair("and"), pair("or"), not]
    })
}

fn whole() -> impl Strategy<Value = Vec<String>> {
    let event = condition().prop_map(|one| [words(&["process", "where"]), one].concat());
    let steps = prop::collection::vec((condition(), any::<bool>(), 1..3_u8), 2..4);
    let sequence = (steps, any::<bool>()).prop_map(|(steps, until)| {
        let mut all = words(&["sequence", "by", "host.id", "with", "maxspan=5m"]);
        for (condition, missing, runs) in steps {
            all.extend(words(&[if missing { "![" } else { "[" }, "any", "where"]));
            all.extend(condition);
            all.extend(words(&["]", "by", "?user.id"]));
            if runs > 1 {
                all.extend(words(&["with", "runs=2"]));
            }
        }
        // One step at least must happen.
        all.extend(words(&["[", "file", "where", "true", "]", "by", "process.pid"]));
        if until {
            all.extend(words(&["until", "[", "any", "where", "true", "]", "by", "user.id"]));
        }
        all.extend(words(&["|", "head", "3"]));
        all
    });
    prop_oneof![event, sequence]
}

/// What stands between two tokens; `#` becomes the number of a comment.
const GAPS: &[&str] = &[
    " ",
    " ",
    "\n",
    "  \t ",
    "\n\n\n\n",
    " /* c#. */ ",
    " // c#.\n",
    "\n// c#. \"'\n",
    "/* c#. */",
];

/// The text, and how many comments it has.
fn written(tokens: &[String], gaps: &[usize]) -> (String, usize) {
    let (mut text, mut comments) = (String::new(), 0);
    for (token, gap) in tokens.iter().zip(gaps.iter().cycle()) {
        text.push_str(token);
        let gap = GAPS[gap % GAPS.len()];
        comments += usize::from(gap.contains('#'));
        text.push_str(&gap.replace('#', &comments.to_string()));
    }
    (text, comments)
}

/// Whether comments 1 to `count` are there, each once and in order.
fn keeps(text: &str, count: usize) -> bool {
    let places: Vec<Option<usize>> =
        (1..=count).map(|number| text.find(&format!(" c{number}."))).collect();
    let once = (1..=count).all(|number| text.matches(&format!(" c{number}.")).count() == 1);
    once && places.is_sorted()
}

proptest! {
    #[test]
    fn a_laid_out_query_means_the_same(
        tokens in whole(),
        gaps in prop::collection::vec(0..GAPS.len(), 1..40),
    ) {
        let (text, comments) = written(&tokens, &gaps);
        let before = meaning(&text, Dialect::Elastic);
        prop_assert!(before.is_some(), "the generator makes queries: {text}");
        let once = fmt::query(&text).unwrap();
        prop_assert_eq!(fmt::query(&once).unwrap(), once.clone());
        prop_assert_eq!(meaning(&once, Dialect::Elastic), before, "{}", once);
        prop_assert!(keeps(&once, comments), "a comment of {text:?} is not in {once:?}");
        prop_assert!(!once.contains("\n\n\n"), "more than one empty line");
    }
}

fn comments(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| line.contains("//") || line.starts_with('#') || line.contains("/*"))
        .collect()
}

#[test]
fn published_rule_files_mean_the_same_when_laid_out() {
    let mut files = 0;
    for part in ["elastic/siem", "elastic/endpoint"] {
        let Some(folder) = corpora(part) else { return };
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.display().to_string();
            let text = std::fs::read_to_string(&path).unwrap();
            let once = fmt::format(&text).unwrap_or_else(|found| panic!("{name}: {found:?}"));
            assert_eq!(fmt::format(&once).unwrap(), once, "{name}: not idempotent");
            let rules = |text: &str| -> String {
                let Loaded { program, .. } = load([("a.toml".to_owned(), text.to_owned())]);
                assert_eq!(program.rules.len(), 1, "{name}");
                format!("{:?} {:?} {:?}", program.rules, program.fields, program.lineages)
            };
            assert_eq!(rules(&once), rules(&text), "{name}: another meaning");
            assert_eq!(comments(&once).len(), comments(&text).len(), "{name}: comments");
            files += 1;
        }
    }
    assert!(files >= 330, "{files} files");
}

#[test]
fn classic_queries_mean_the_same_when_laid_out() {
    let Some(folder) = corpora("classic-eql") else { return };
    let text = std::fs::read_to_string(folder.join("queries.json")).unwrap();
    let queries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    for one in &queries {
        let text = one["query"].as_str().unwrap();
        let once = fmt::query(text).unwrap_or_else(|found| panic!("{text}: {found:?}"));
        assert_eq!(fmt::query(&once).unwrap(), once, "not idempotent: {text}");
        let before = meaning(text, Dialect::Classic);
        assert!(before.is_some(), "{text}");
        assert_eq!(meaning(&once, Dialect::Classic), before, "another meaning: {once}");
    }
    assert!(queries.len() >= 128, "{} queries", queries.len());
}
