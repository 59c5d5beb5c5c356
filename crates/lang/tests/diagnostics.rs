//! Each diagnostic, as people see it and as JSON: `golden/CODE.toml` gives `golden/CODE.txt`.
//! `UPDATE_EXPECT=1` writes the expected files anew.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use lang::{Code, Loaded, load, render};
use model::interest::Unbounded;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read(name: &str) -> Loaded {
    if golden(&format!("{name}.yaml")).exists() {
        let text = fs::read_to_string(golden(&format!("{name}.yaml"))).unwrap();
        let found = lang::policy::load([(format!("{name}.yaml"), text)]);
        let lang::policy::Policies { diagnostics, sources, .. } = found;
        return Loaded { diagnostics, sources, ..Loaded::default() };
    }
    let yaml = golden(&format!("{name}.yml")).exists();
    let file = format!("{name}.{}", if yaml { "yml" } else { "toml" });
    let text = fs::read_to_string(golden(&file)).unwrap();
    load([(file, text)])
}

fn shown(loaded: &Loaded) -> String {
    let one = |found| render::text(found, &loaded.sources, false) + "\n\n";
    loaded.diagnostics.iter().map(one).collect()
}

#[test]
fn each_code_has_a_golden_file_that_shows_it() {
    let elsewhere = |code: &&Code| **code == Code::Unbounded || Code::OF_TABLES.contains(code);
    for code in Code::ALL.iter().filter(|code| !elsewhere(code)) {
        let loaded = read(code.as_str());
        let codes: Vec<&str> = loaded.diagnostics.iter().map(|one| one.code.as_str()).collect();
        assert!(codes.contains(&code.as_str()), "{} gives only {codes:?}", code.as_str());
        expect_file![golden(&format!("{}.txt", code.as_str()))].assert_eq(&shown(&loaded));
    }
}

#[test]
fn labels_are_exact_in_queries_with_escapes() {
    let loaded = read("place");
    expect_file![golden("place.txt")].assert_eq(&shown(&loaded));
    let source = &loaded.sources[0].text;
    let places: Vec<&str> =
        loaded.diagnostics.iter().map(|found| &source[found.span.clone()]).collect();
    assert_eq!(places, ["a.b", "b.c", "d.e"]);
}

#[test]
fn what_sensors_cannot_bound_is_a_warning() {
    let text = fs::read_to_string(golden("W002.toml")).unwrap();
    let mut loaded = load([("W005.toml".to_owned(), text)]);
    loaded.diagnostics.clear();
    loaded.warn_unbounded(0, Unbounded::Files);
    loaded.warn_unbounded(0, Unbounded::Environment);
    loaded.warn_unbounded(9, Unbounded::Files);
    assert_eq!(loaded.diagnostics.len(), 2, "there is no rule 9");
    assert!(loaded.diagnostics.iter().all(|found| found.code == Code::Unbounded));
    expect_file![golden("W005.txt")].assert_eq(&shown(&loaded));
}

#[test]
fn json_has_stable_keys_and_lines_from_one() {
    let loaded = read("E020");
    let json = render::json(&loaded.diagnostics[0], &loaded.sources);
    let text = serde_json::to_string_pretty(&json).unwrap() + "\n";
    expect_file![golden("E020.json")].assert_eq(&text);
}

#[test]
fn each_code_is_explained_in_the_reference() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/diagnostics.md");
    let page = fs::read_to_string(page).unwrap();
    let sections: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
    let wanted: Vec<String> =
        Code::ALL.iter().map(|code| format!("## {}: {}", code.as_str(), code.title())).collect();
    assert_eq!(sections, wanted, "one section for each code, in order, with its title");
}

#[test]
fn a_line_that_is_too_long_to_draw_is_told_by_its_place() {
    let query = |spaces: usize| {
        let query = format!("any where {}no.such == 1", " ".repeat(spaces));
        let text = format!(
            "[[rule]]\nid = \"a\"\nname = \"a\"\ndescription = \"a\"\nseverity = \"low\"\n\
             query = '{query}'\n"
        );
        let loaded = load([("a.toml".to_owned(), text)]);
        let found = loaded.diagnostics.iter().find(|one| one.code == Code::UnknownField).unwrap();
        render::text(found, &loaded.sources, false)
    };
    let (short, long) = (query(0), query(5_000));
    assert!(short.contains("a.toml:6:20") && short.contains("| query = "), "{short}");
    assert!(long.contains("no field `no.such`") && long.contains("a.toml:6:5020"), "{long}");
    assert!(long.len() < 500, "{long}");
}
