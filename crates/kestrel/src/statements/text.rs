//! Categories, comparisons of texts, patterns and escapes: statements 1 to 8.

use lang::CaseMode;
use serde_json::{Value, json};

use super::{ALL, CLASSIC, ELASTIC, check, check_query, compile, matches};

fn name(text: &str) -> Value {
    json!({ "process.name": text })
}

fn names(texts: &[&str]) -> Vec<Value> {
    texts.iter().copied().map(name).collect()
}

#[test]
fn s1_any_value_of_the_category_is_compared_with_case() {
    let category = |value: Value| json!({ "event": { "category": value } });
    check_query(
        ALL,
        "process where true",
        &[category(json!("process")), category(json!(["file", "process"]))],
        &[
            category(json!("Process")),
            category(json!(["file"])),
            category(json!(null)),
            category(json!([])),
            json!({}),
        ],
    );
    check_query(ALL, "any where true", &[category(json!("x")), json!({})], &[]);
    check_query(
        ELASTIC,
        "\"my-cat\" where true",
        &[category(json!("my-cat"))],
        &[category(json!("my_cat"))],
    );
}

#[test]
fn s1_the_condition_must_be_true() {
    let both = |pid: i64| json!({ "event.category": "process", "process.pid": pid });
    check_query(ALL, "process where process.pid == 1", &[both(1)], &[both(2)]);
    check_query(ALL, "any where false", &[], &[both(1)]);
}

#[test]
fn s2_names_of_functions_ignore_case() {
    for condition in [
        "startswith(process.name, \"a\")",
        "STARTSWITH(process.name, \"a\")",
        "StartsWith(process.name, \"a\")",
    ] {
        check(ALL, condition, &names(&["ab"]), &names(&["ba", "Ab"]));
    }
    check(ALL, "STARTSWITH~(process.name, \"a\")", &names(&["Ab"]), &names(&["ba"]));
}

#[test]
fn s3_a_question_mark_before_a_field_changes_nothing() {
    for condition in ["?no.such == null", "no.such == null"] {
        check(ALL, condition, &[json!({})], &[json!({ "no.such": 1 })]);
    }
    check(ALL, "?process.name == \"a\"", &names(&["a"]), &names(&["b"]));
}

#[test]
fn s4_equality_is_exact() {
    check(ELASTIC, "process.name == \"a*\"", &names(&["a*"]), &names(&["ab", "A*", "a"]));
    check(ELASTIC, "process.name != \"a*\"", &names(&["ab", "A*"]), &names(&["a*"]));
    check(ELASTIC, "process.name == \"a?\"", &names(&["a?"]), &names(&["ab"]));
    check(
        ELASTIC,
        "process.name in (\"a*\", \"b\")",
        &names(&["a*", "b"]),
        &names(&["ab", "A*", "B"]),
    );
    check(ELASTIC, "process.name in~ (\"A*\")", &names(&["a*", "A*"]), &names(&["ab"]));
    check(ELASTIC, "process.name not in (\"a\")", &names(&["A", "b"]), &names(&["a"]));
    check(ELASTIC, "not process.name in~ (\"a\")", &names(&["b"]), &names(&["A", "a"]));
}

#[test]
fn s4_order_is_by_code_unit() {
    check(ALL, "process.name < \"b\"", &names(&["a", "B", "azz", ""]), &names(&["b", "c", "é"]));
    check(ALL, "process.name >= \"b\"", &names(&["b", "ba", "é"]), &names(&["B", "a"]));
    check(ALL, "process.name > \"b\"", &names(&["ba", "c"]), &names(&["b", "a"]));
    check(ALL, "process.name <= \"b\"", &names(&["b", "B"]), &names(&["ba"]));
}

#[test]
fn s4_wildcards_in_equality_of_the_classic_dialect() {
    check(CLASSIC, "process.name == \"a*\"", &names(&["a*", "ab", "a"]), &names(&["ba", "A"]));
    check(CLASSIC, "process.name != \"a*\"", &names(&["ba"]), &names(&["ab"]));
    check(CLASSIC, "process.name in (\"x\", \"a*\")", &names(&["x", "ab"]), &names(&["xb"]));
    check(CLASSIC, "process.name == \"a?*\"", &names(&["a?", "a?b"]), &names(&["ab", "abc"]));
}

#[test]
fn s4_case_is_folded_everywhere_where_it_is_asked_for() {
    for (condition, yes, no) in [
        ("process.name == \"aB\"", "Ab", "abc"),
        ("process.name in (\"aB\")", "AB", "b"),
        ("process.name == \"a*\"", "AB", "ba"),
        ("startsWith(process.name, \"aB\")", "Abc", "cab"),
        ("process.name < \"B\"", "a", "c"),
    ] {
        let query = format!("any where {condition}");
        let compiled = compile(&query, lang::Dialect::Classic, CaseMode::Insensitive);
        assert!(matches(&compiled, &name(yes)), "{condition} {yes}");
        assert!(!matches(&compiled, &name(no)), "{condition} {no}");
    }
}

#[test]
fn s5_colon_is_a_pattern_of_the_whole_without_case() {
    for operator in [":", "like~"] {
        let condition = format!("process.name {operator} \"A?c*\"");
        let (yes, no) = (["abc", "ABCdef", "aéc", "a?c"], ["ac", "xabc", "ab", ""]);
        check(ELASTIC, &condition, &names(&yes), &names(&no));
        let condition = format!("process.name {operator} (\"x\", \"y*\")");
        check(ELASTIC, &condition, &names(&["X", "yz", "Y"]), &names(&["xy", "zy"]));
        // Only ASCII letters have a case here.
        let condition = format!("process.name {operator} \"É\"");
        check(ELASTIC, &condition, &names(&["É"]), &names(&["é"]));
    }
    check(ELASTIC, "process.name : \"*\"", &names(&["", "a\nb"]), &[json!({})]);
}

#[test]
fn s5_like_is_the_same_with_case() {
    check(ELASTIC, "process.name like \"a?c*\"", &names(&["abc", "abcd"]), &names(&["ABC", "ac"]));
    check(ELASTIC, "process.name like (\"a\", \"b*\")", &names(&["a", "bb"]), &names(&["A", "ab"]));
    check(ELASTIC, "process.name in~ (\"ABC\")", &names(&["abc", "aBc"]), &names(&["abcd", "ab"]));
}

#[test]
fn s6_expressions_match_the_whole_text() {
    check(ELASTIC, "process.name regex \"a+\"", &names(&["a", "aaa"]), &names(&["ba", "ab", "A"]));
    check(ELASTIC, "process.name regex \"a|b\"", &names(&["a", "b"]), &names(&["ab", "a|b"]));
    check(ELASTIC, "process.name regex~ \"a+\"", &names(&["aA"]), &names(&["ba"]));
    check(ELASTIC, "process.name regex (\"a\", \"b.\")", &names(&["a", "bb"]), &names(&["b"]));
    check(ELASTIC, r#"process.name regex """a\s\w\d""""#, &names(&["a b1"]), &names(&["ab1"]));
    check(ELASTIC, "match(process.name, \"a\", \"b+\")", &names(&["a", "bb"]), &names(&["ab"]));
    check(ELASTIC, "match~(process.name, \"A\")", &names(&["a"]), &names(&["ab"]));
}

#[test]
fn s6_classic_expressions_match_the_beginning() {
    check(CLASSIC, "match(process.name, 'a+')", &names(&["aab", "a\nb"]), &names(&["ba"]));
}

#[test]
fn s7_escapes_and_raw_strings() {
    let condition = r#"process.name == "\n\r\t\\\"\u{e9}\u{0001f600}""#;
    check(ALL, condition, &names(&["\n\r\t\\\"é😀"]), &names(&["\\n"]));
    let condition = r#"process.name == """\n"x\""""#;
    check(ALL, condition, &names(&["\\n\"x\\"]), &names(&["\n\"x\\"]));
    check(CLASSIC, r"process.name == 'it\'s'", &names(&["it's"]), &names(&[r"it\'s"]));
    check(CLASSIC, r"process.name == ?'a\n'", &names(&[r"a\n"]), &names(&["a\n"]));
    check(CLASSIC, r#"process.name == ?"a\"b""#, &names(&["a\"b"]), &names(&["ab"]));
}

#[test]
fn s8_numbers_are_matched_as_text_by_string() {
    let pid = |pid: i64| json!({ "process.pid": pid });
    check(ELASTIC, "string(process.pid) : \"1*\"", &[pid(1), pid(123)], &[pid(21), json!({})]);
    check(ELASTIC, "string(process.pid) like \"1?\"", &[pid(12)], &[pid(1), pid(123)]);
}
