//! Functions of texts and their forms without case: statements 2 and 17.

use serde_json::{Value, json};

use super::{ALL, check};

fn x(text: &str) -> Value {
    json!({ "some.x": text })
}

fn all(texts: &[&str]) -> Vec<Value> {
    texts.iter().copied().map(x).collect()
}

#[test]
fn s17_substring_is_a_slice() {
    for (call, wanted) in [
        ("substring(some.x, 1, 3)", "bc"),
        ("substring(some.x, 2)", "cdef"),
        ("substring(some.x, -2)", "ef"),
        ("substring(some.x, -3, -1)", "de"),
        ("substring(some.x, 1, -1)", "bcde"),
        ("substring(some.x, -100, 2)", "ab"),
        ("substring(some.x, 0, 100)", "abcdef"),
        ("substring(some.x, 4, 2)", ""),
        ("substring(some.x, 100)", ""),
    ] {
        let other = if wanted.is_empty() { json!({}) } else { x("zzzzzzz") };
        check(ALL, &format!("{call} == \"{wanted}\""), &[x("abcdef")], &[other]);
    }
    check(ALL, "substring(some.x, 1, 2) == \"é\"", &[x("aéb")], &[x("eab")]);
}

#[test]
fn s17_index_of_counts_from_the_start() {
    check(ALL, "indexOf(some.x, \"b\") == 1", &all(&["abab"]), &all(&["bab", "B", "aB"]));
    check(ALL, "indexOf(some.x, \"b\", 2) == 3", &all(&["abab"]), &all(&["aab"]));
    check(ALL, "indexOf(some.x, \"a\", -5) == 0", &all(&["ab"]), &all(&["ba"]));
    check(ALL, "indexOf(some.x, \"x\") == null", &all(&["ab", ""]), &all(&["x"]));
    check(ALL, "indexOf(some.x, \"b\", 2) == null", &all(&["ab"]), &all(&["aab"]));
    check(ALL, "indexOf(some.x, \"b\") == 1", &all(&["éb"]), &all(&["eeb"]));
}

#[test]
fn s17_between_is_empty_where_nothing_is() {
    check(ALL, "between(some.x, \"[\", \"]\") == \"a\"", &all(&["x[a]b]"]), &all(&["[b]"]));
    check(ALL, "between(some.x, \"[\", \"]\") == \"\"", &all(&["a", "]a[", "[]"]), &all(&["[a]"]));
    let greedy = "between(some.x, \"[\", \"]\", true) == \"a]b\"";
    check(ALL, greedy, &all(&["[a]b]c"]), &all(&["[a]"]));
}

#[test]
fn s17_length_counts_characters() {
    check(ALL, "length(some.x) == 3", &all(&["abc", "aéc", "äöü"]), &all(&["ab", "abcd"]));
    check(ALL, "length(some.x) == 0", &all(&[""]), &[x("a"), json!({})]);
    check(ALL, "length(some.x) >= 2", &all(&["ab", "abc"]), &[x("a"), json!({})]);
}

#[test]
fn s17_concat_joins_all_or_is_null() {
    check(ALL, "concat(some.x, \":\", 1, true) == \"a:1true\"", &all(&["a"]), &all(&["b"]));
    let both = "concat(some.x, some.y) == \"ab\"";
    check(ALL, both, &[json!({ "some": { "x": "a", "y": "b" } })], &all(&["ab"]));
    check(ALL, "concat(some.x, some.y) == null", &all(&["ab"]), &[]);
}

#[test]
fn s2_forms_with_a_tilde_ignore_case() {
    for (name, arguments, other) in [
        ("startsWith", "some.x, \"ab\"", "bAB"),
        ("endsWith", "some.x, \"ab\"", "ABb"),
        ("stringContains", "some.x, \"ab\"", "aCb"),
        ("wildcard", "some.x, \"a*b\"", "bA"),
        ("match", "some.x, \"a[b]+\"", "bAB"),
        ("arrayContains", "some.x, \"ab\"", "ABC"),
    ] {
        check(ALL, &format!("{name}~({arguments})"), &all(&["ab", "AB", "aB"]), &all(&[other]));
        check(ALL, &format!("{name}({arguments})"), &all(&["ab"]), &all(&["AB", "aB", other]));
    }
    check(ALL, "indexOf~(some.x, \"B\") == 1", &all(&["ab", "AB"]), &all(&["ba"]));
    check(ALL, "indexOf(some.x, \"B\") == 1", &all(&["aB"]), &all(&["ab"]));
    check(ALL, "between~(some.x, \"A\", \"C\") == \"b\"", &all(&["abc", "Abc"]), &all(&["axc"]));
    check(ALL, "between(some.x, \"A\", \"C\") == \"b\"", &all(&["AbC"]), &all(&["abc"]));
}

#[test]
fn s17_functions_take_values_of_the_event() {
    let pair = |x: &str, y: &str| json!({ "some": { "x": x, "y": y } });
    for (call, yes, no) in [
        ("startsWith(some.x, some.y)", pair("abc", "ab"), pair("abc", "bc")),
        ("endsWith(some.x, some.y)", pair("abc", "bc"), pair("abc", "ab")),
        ("stringContains(some.x, some.y)", pair("abc", "b"), pair("abc", "B")),
        ("stringContains~(some.x, some.y)", pair("abc", "B"), pair("abc", "x")),
        ("indexOf(some.x, some.y) == 1", pair("abc", "b"), pair("abc", "a")),
    ] {
        check(ALL, call, &[yes], &[no, json!({ "some.x": "abc" })]);
    }
}
