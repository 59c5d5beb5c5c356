//! Numbers and addresses: statement 17.

use serde_json::{Value, json};

use lang::{CaseMode, Dialect, Schema, Unknown};

use super::{ALL, CLASSIC, ELASTIC, check};

fn x(value: impl Into<Value>) -> Value {
    json!({ "some.x": value.into() })
}

#[test]
fn s17_whole_numbers_divide_to_the_next_lower() {
    check(ALL, "some.x / 2 == 41", &[x(82), x(83)], &[x(81), x(84)]);
    check(ALL, "some.x / 2 == -2", &[x(-3), x(-4)], &[x(-2), x(-5)]);
    check(ALL, "divide(some.x, 2) == 41", &[x(82), x(83)], &[x(84)]);
}

#[test]
fn s17_a_fraction_makes_it_exact() {
    check(ALL, "some.x / 2.0 == 41.5", &[x(83)], &[x(82)]);
    check(ALL, "some.x / 2 == 41.25", &[x(82.5)], &[x(82)]);
    check(ALL, "some.x * 0.5 > 1", &[x(3)], &[x(2)]);
}

#[test]
fn s17_operators_bind_and_have_functions() {
    check(ALL, "some.x + 2 * 3 == 7", &[x(1)], &[x(2)]);
    check(ALL, "(some.x + 2) * 3 == 9", &[x(1)], &[x(2)]);
    check(ALL, "some.x - 1 - 1 == 0", &[x(2)], &[x(0)]);
    check(ALL, "-some.x == 3", &[x(-3)], &[x(3)]);
    check(ALL, "some.x % 3 == 1", &[x(4), x(1)], &[x(3)]);
    check(ALL, "add(some.x, 1) == subtract(5, 1)", &[x(3)], &[x(4)]);
    check(ALL, "multiply(some.x, 2) == 6 and modulo(some.x, 2) == 1", &[x(3)], &[x(4)]);
}

#[test]
fn s17_what_cannot_be_computed_is_null() {
    for condition in ["some.x / 0 == null", "some.x % 0 == null"] {
        check(ALL, condition, &[x(1), json!({})], &[]);
    }
    let most = i64::MAX;
    check(ALL, &format!("some.x + {most} == null"), &[json!({})], &[x(0)]);
}

#[test]
fn s17_numbers_are_compared_by_value() {
    check(ALL, "some.x == 1", &[x(1), x(1.0)], &[x(1.5), x("a")]);
    check(ALL, "some.x == 1.0", &[x(1), x(1.0)], &[x(2)]);
    check(ALL, "some.x < 1.5", &[x(1)], &[x(2), x(1.5)]);
    // Also beyond 2^53, where floats are not exact.
    check(
        ALL,
        "some.x == 9007199254740993",
        &[x(9_007_199_254_740_993_i64)],
        &[x(9_007_199_254_740_992_i64)],
    );
    check(ALL, "some.x == 9223372036854775807", &[x(i64::MAX)], &[x(i64::MAX - 1)]);
    check(ALL, "some.x >= -9223372036854775807", &[x(i64::MIN + 1)], &[x(i64::MIN)]);
}

/// No statement says what a number is to a text. A document may write a number either way, whatever
/// the mapping of its index makes of it, so a whole number also equals its decimal text.
#[test]
fn whole_numbers_equal_their_decimal_text() {
    check(ALL, "some.x == 1", &[x(1), x("1")], &[x("01"), x("1.0"), x(" 1"), x("0x1"), x(11)]);
    check(ALL, "some.x in (1, 2)", &[x(2), x("2")], &[x("3"), x("1, 2")]);
    check(ELASTIC, "some.x != 1", &[x("2"), json!({})], &[x("1"), x(1)]);
    check(ALL, "some.x == \"1\"", &[x("1")], &[x("01"), x(2)]);
    check(ALL, "user.id == 1", &[json!({ "user.id": "1" }), json!({ "user.id": 1 })], &[x(1)]);
    check(ALL, "process.name == 1", &[json!({ "process.name": "1" })], &[x(1)]);
    // In our own rules a field that holds words is not compared with a number at all.
    let own = |query: &str| {
        let mut schema = Schema::new(Unknown::Error);
        lang::query(query, Dialect::Elastic, CaseMode::Sensitive, &mut schema).0.is_some()
    };
    assert!(own("any where process.name == \"1\""), "the control");
    assert!(!own("any where process.name == 1"));
}

#[test]
fn s17_texts_become_numbers() {
    check(ALL, "number(some.x) == 12", &[x("12")], &[x("13"), x("a"), json!({})]);
    check(ALL, "number(some.x) == 1.5", &[x("1.5")], &[x("1")]);
    check(ALL, "number(some.x, 16) == 50", &[x("0x32"), x("32")], &[x("50")]);
    check(ALL, "number(some.x, 2) == 5", &[x("101")], &[x("5")]);
    check(ALL, "number(some.x) == null", &[x("a"), x("1a")], &[x("1")]);
    check(ALL, "some.x == number(\"0x32\", 16)", &[x(50)], &[x(32)]);
}

#[test]
fn s17_networks_may_have_host_bits() {
    let ip = |ip: &str| json!({ "source.ip": ip });
    let condition = "cidrMatch(source.ip, \"10.6.48.157/8\")";
    check(ALL, condition, &[ip("10.0.0.1"), ip("10.255.255.255")], &[ip("11.0.0.1"), ip("::1")]);
    let any = "cidrMatch(source.ip, \"192.0.2.0/24\", \"fe80::/10\", \"::1\")";
    check(
        ALL,
        any,
        &[ip("192.0.2.9"), ip("fe80::1"), ip("febf::1"), ip("::1")],
        &[ip("192.0.3.1"), ip("fec0::1"), ip("::2"), json!({})],
    );
    check(ALL, "cidrMatch(source.ip, \"0.0.0.0/0\")", &[ip("1.2.3.4")], &[ip("::1")]);
    // A text of a document is an address if it reads as one.
    check(CLASSIC, "cidrMatch(some.x, \"10.0.0.0/8\")", &[x("10.1.2.3")], &[x("a"), x(10)]);
}
