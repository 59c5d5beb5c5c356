//! Absent fields: statements 9 to 13.

use serde_json::{Value, json};

use super::{ALL, CLASSIC, ELASTIC, check};

/// Conditions on fields that the event has not, each true for [`failing`] only when negated.
const TESTS: &[&str] = &[
    "process.name == \"a\"",
    "process.name in (\"a\", \"b\")",
    "process.name > \"a\"",
    "process.exit_code > 1",
    "startsWith(process.name, \"a\")",
    "endsWith~(process.name, \"a\")",
    "stringContains(process.name, \"q\")",
    "wildcard(process.name, \"a*\")",
    "match(process.name, \"a+\")",
    "length(process.name) > 100",
    "substring(process.name, 1) == \"a\"",
    "indexOf(process.name, \"a\") == 0",
    "concat(process.name, \"x\") == \"ax\"",
    "cidrMatch(source.ip, \"10.0.0.0/8\")",
    "process.exit_code + 1 == 2",
    "arrayContains(process.args, \"a\")",
];

/// The same in the dialects that have these operators.
const OPERATORS: &[&str] = &[
    "process.name : \"a*\"",
    "process.name like \"a*\"",
    "process.name like~ (\"a\", \"b*\")",
    "process.name regex \"a.*\"",
    "process.name regex~ (\"a\", \"b\")",
    "process.name in~ (\"a\")",
];

/// An event that has all fields and satisfies none of the tests.
fn failing() -> Value {
    json!({
        "process": { "name": "Zaz", "exit_code": 0, "args": ["z"] },
        "source.ip": "192.0.2.1",
    })
}

/// All ways in which nothing is there.
fn nothing() -> Vec<Value> {
    let all = |value: &Value| {
        json!({
            "process": { "name": value, "exit_code": value, "args": value },
            "source": { "ip": value },
        })
    };
    let mut ways: Vec<Value> =
        [json!(null), json!([]), json!([null]), json!([null, null])].iter().map(all).collect();
    ways.push(json!({}));
    ways
}

#[test]
fn s9_null_is_what_is_absent_or_only_null() {
    let (there, not) = (failing(), nothing());
    check(ALL, "process.name == null", &not, std::slice::from_ref(&there));
    check(ALL, "null == process.name", &not, std::slice::from_ref(&there));
    check(ALL, "process.name != null", std::slice::from_ref(&there), &not);
    check(ALL, "not process.name == null", std::slice::from_ref(&there), &not);
    // One element is enough to be there.
    let some = [json!({ "process.args": [null, "a"] })];
    check(ALL, "process.args != null", &some, &not);
    // The empty text and zero are something.
    let empty = [json!({ "process.name": "", "process.exit_code": 0 })];
    check(ALL, "process.name != null and process.exit_code != null", &empty, &not);
}

#[test]
fn s9_a_comparison_with_an_absent_operand_is_null() {
    let code = |code: i64| json!({ "process.exit_code": code });
    check(ALL, "null == (process.exit_code > -1)", &[json!({})], &[code(0), code(-5)]);
    check(ALL, "(process.exit_code > -1) != null", &[code(0), code(-5)], &[json!({})]);
}

#[test]
fn s9_each_function_of_nothing_is_null() {
    let (there, not) = (failing(), nothing());
    for call in [
        "length(process.name)",
        "substring(process.name, 0)",
        "indexOf(process.name, \"Z\")",
        "between(process.name, \"a\", \"b\")",
        "concat(process.name, \"x\")",
        "concat(\"x\", process.name)",
        "string(process.exit_code)",
        "number(string(process.exit_code))",
        "add(process.exit_code, 1)",
        "subtract(1, process.exit_code)",
        "multiply(process.exit_code, 2)",
        "divide(process.exit_code, 2)",
        "modulo(process.exit_code, 2)",
        "process.exit_code + 1",
        "startsWith(process.name, \"a\")",
        "endsWith(process.name, \"a\")",
        "stringContains(process.name, \"a\")",
        "cidrMatch(source.ip, \"10.0.0.0/8\")",
        "match(process.name, \"a\")",
        "wildcard(process.name, \"a*\")",
        "toLower(process.name)",
        "toUpper(process.name)",
    ] {
        check(ALL, &format!("{call} == null"), &not, std::slice::from_ref(&there));
        check(ALL, &format!("{call} != null"), std::slice::from_ref(&there), &not);
    }
}

#[test]
fn s10_null_is_no_match() {
    for test in TESTS {
        check(ALL, test, &[], &nothing());
        check(ALL, test, &[], &[failing()]);
    }
    for test in OPERATORS {
        check(ELASTIC, test, &[], &nothing());
    }
}

#[test]
fn s11_not_is_the_complement() {
    for test in TESTS.iter().chain(OPERATORS) {
        check(ELASTIC, &format!("not {test}"), &nothing(), &[]);
        check(ELASTIC, &format!("not {test}"), &[failing()], &[]);
        check(ELASTIC, &format!("not not {test}"), &[], &nothing());
        check(ELASTIC, &format!("not ({test} and process.pid == 1)"), &nothing(), &[]);
        check(ELASTIC, &format!("not ({test} or process.pid == 1)"), &nothing(), &[]);
    }
    check(ELASTIC, "process.name != \"a\"", &nothing(), &[json!({ "process.name": "a" })]);
    check(ELASTIC, "process.name not in (\"a\")", &nothing(), &[json!({ "process.name": "a" })]);
}

#[test]
fn s12_classic_logic_has_three_values() {
    for test in TESTS {
        check(CLASSIC, &format!("not {test}"), &[failing()], &nothing());
        check(CLASSIC, &format!("not not {test}"), &[], &nothing());
    }
    let pid = |pid: i64| json!({ "process.pid": pid });
    check(CLASSIC, "process.name != \"a\"", &[failing()], &[json!({}), pid(1)]);
    // null and false is false, null or true is true; else null stays null.
    check(CLASSIC, "not (process.name == \"a\" and process.pid == 2)", &[pid(1)], &[pid(2)]);
    check(CLASSIC, "process.name == \"a\" or process.pid == 2", &[pid(2)], &[pid(1)]);
    check(CLASSIC, "not (process.name == \"a\" or process.pid == 2)", &[], &[pid(1), pid(2)]);
    check(CLASSIC, "(not process.name == \"a\") == null", &[pid(1)], &[failing()]);
}

#[test]
fn s13_a_guard_makes_not_ask_for_presence() {
    for dialects in [ELASTIC, CLASSIC] {
        let condition = "process.name != null and not process.name == \"a\"";
        let mut no = nothing();
        no.push(json!({ "process.name": "a" }));
        check(dialects, condition, &[failing()], &no);
    }
}
