//! Several values of a field, and two fields compared: statements 14 to 16, 30.

use lang::Dialect;
use serde_json::{Value, json};

use super::{ALL, CLASSIC, ELASTIC, check};

fn args(all: &[&str]) -> Value {
    json!({ "process.args": all })
}

#[test]
fn s14_any_element_satisfies_a_test() {
    let both = args(&["-l", "-p"]);
    check(ALL, "process.args == \"-l\" and process.args == \"-p\"", &[both], &[args(&["-l"])]);
    for condition in [
        "process.args == \"-p\"",
        "process.args in (\"x\", \"-p\")",
        "process.args > \"-o\"",
        "startsWith(process.args, \"-p\")",
        "wildcard(process.args, \"?p\", \"*p\")",
        "match(process.args, \".p\")",
    ] {
        let yes = [args(&["-l", "-p"]), args(&["-p", "-l"]), json!({ "process.args": "-p" })];
        check(ALL, condition, &yes, &[args(&["-l", "-k"]), args(&[])]);
    }
    check(ELASTIC, "process.args : \"-P*\"", &[args(&["a", "-px"])], &[args(&["a", "b"])]);
    check(ELASTIC, "process.args regex \".p\"", &[args(&["a", "-p"])], &[args(&["a", "-pp"])]);
}

#[test]
fn s14_no_element_satisfies_what_is_negated() {
    let (with, without) = (args(&["-x", "-l"]), args(&["-x", "-p"]));
    for condition in [
        "process.args != \"-l\"",
        "not process.args == \"-l\"",
        "process.args not in (\"-l\", \"-m\")",
        "not startsWith(process.args, \"-l\")",
    ] {
        check(ALL, condition, std::slice::from_ref(&without), std::slice::from_ref(&with));
    }
}

#[test]
fn s14_addresses_and_numbers_have_several_values_too() {
    let ips = |all: &[&str]| json!({ "host.ip": all });
    let condition = "cidrMatch(host.ip, \"10.0.0.0/8\")";
    check(ALL, condition, &[ips(&["::1", "10.1.1.1"])], &[ips(&["::1"]), ips(&[])]);
    check(ALL, "some.list > 3", &[json!({ "some.list": [1, 4] })], &[json!({ "some.list": [1] })]);
}

#[test]
fn s15_functions_try_each_element() {
    let two = args(&["a", "bb"]);
    for condition in [
        "length(process.args) == 2",
        "toUpper(process.args) == \"BB\"",
        "substring(process.args, 1) == \"b\"",
        "concat(process.args, \"x\") == \"bbx\"",
        "indexOf(process.args, \"b\") == 0",
    ] {
        check(ELASTIC, condition, std::slice::from_ref(&two), &[args(&["a", "ccc"])]);
    }
    check(ELASTIC, "not length(process.args) == 2", &[args(&["a"])], &[two]);
}

#[test]
fn s15_mentions_of_a_field_may_be_different_elements() {
    let condition = "concat(process.args, process.args) == \"ab\"";
    check(ELASTIC, condition, &[args(&["a", "b"]), args(&["b", "a"])], &[args(&["a"])]);
}

#[test]
fn s15_nulls_in_lists_are_skipped() {
    let some = json!({ "process.args": [null, "a", null] });
    check(ELASTIC, "process.args == \"a\" and length(process.args) == 1", &[some], &[args(&["b"])]);
    let none = json!({ "process.args": [null] });
    check(ELASTIC, "process.args != \"a\"", &[none], &[json!({ "process.args": [null, "a"] })]);
}

#[test]
fn classic_counts_elements_of_lists() {
    check(CLASSIC, "length(process.args) == 2", &[args(&["aaa", "b"])], &[args(&["aa"])]);
    let list = json!({ "some.list": [{ "x": 1 }, { "x": 2 }] });
    check(CLASSIC, "some.list[1].x == 2", std::slice::from_ref(&list), &[json!({})]);
    check(CLASSIC, "arraySearch(some.list, v, v.x == 2)", std::slice::from_ref(&list), &[]);
    check(
        CLASSIC,
        "arrayCount(some.list, v, v.x > 0) == 2",
        &[list],
        &[json!({ "some.list": [] })],
    );
}

#[test]
fn s16_fields_are_compared_in_the_endpoint_and_classic_dialects() {
    let pair = |a: Value, b: Value| json!({ "process": { "name": a, "parent": { "name": b } } });
    let (same, other) = (pair(json!("a"), json!("a")), pair(json!("a"), json!("b")));
    let half = pair(json!("a"), json!(null));
    for dialect in [Dialect::Endpoint, Dialect::Classic] {
        let no = [other.clone(), half.clone(), pair(json!(null), json!(null))];
        let dialects = &[dialect];
        check(dialects, "process.name == process.parent.name", std::slice::from_ref(&same), &no);
        let ordered = "process.name < process.parent.name";
        check(dialects, ordered, std::slice::from_ref(&other), &[same.clone(), half.clone()]);
    }
    let unequal = "process.name != process.parent.name";
    check(
        &[Dialect::Endpoint],
        unequal,
        &[other.clone(), half.clone()],
        std::slice::from_ref(&same),
    );
    check(CLASSIC, unequal, &[other], &[same, half]);
}
