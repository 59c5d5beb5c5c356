//! Encodings, wildcards, conditions and limits; whole rules are compared with a peer in
//! `tests/sigma_oracle.rs`.

use model::program::{Expr, Literal, Place, Query, Test};

use super::tree::{Modifier, Piece, Value};
use super::{encode, guard};
use crate::load;

fn rule(detection: &str) -> Result<Expr, String> {
    let text = format!(
        "title: T\nid: t\nlogsource: {{product: linux, service: x}}\ndetection:\n{detection}\n"
    );
    let loaded = load([("t.yml".to_owned(), text)]);
    match loaded.program.rules.first().map(|rule| &rule.query) {
        Some(Query::Event(filter)) => Ok(filter.condition.clone()),
        _ => Err(loaded.diagnostics.iter().map(|one| one.message.clone()).collect()),
    }
}

fn one_test(value: &str) -> Test {
    match rule(&format!("  s: {{process.name{value}}}\n  condition: s")) {
        Ok(Expr::Test(_, test)) => test,
        other => panic!("no test: {other:?}"),
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::Text(pieces) => pieces
            .into_iter()
            .map(|piece| match piece {
                Piece::Plain(bytes) => String::from_utf8(bytes).unwrap(),
                other => panic!("{other:?} is not plain"),
            })
            .collect(),
        other => panic!("{other:?} is no text"),
    }
}

fn encoded(modifier: Modifier, text: &str) -> Vec<String> {
    let value = Value::Text(vec![Piece::Plain(text.as_bytes().to_vec())]);
    encode::apply(modifier, value).unwrap().into_iter().map(plain).collect()
}

#[test]
fn base64_at_any_offset_leaves_out_what_depends_on_the_neighbours() {
    assert_eq!(encoded(Modifier::Base64, "foob"), ["Zm9vYg=="]);
    let all = encoded(Modifier::Base64Offset, "http://");
    for (offset, found) in all.iter().enumerate() {
        for (before, after) in [("abc", "xyz"), ("\u{1}\u{2}\u{3}", "~~~")] {
            let text = format!("{}http://{after}", &before[..offset]);
            let whole = String::from_utf8(encode::base64(text.as_bytes())).unwrap();
            assert!(whole.contains(found), "{found} at {offset} in {whole}");
        }
    }
}

#[test]
fn windash_replaces_dashes_before_words_only() {
    let all = encoded(Modifier::WinDash, "-a b-c");
    assert_eq!(all.len(), 5, "one dash introduces an option: {all:?}");
    assert!(all.contains(&"/a b-c".to_owned()) && all.contains(&"\u{2013}a b-c".to_owned()));
}

#[test]
fn wildcards_become_the_cheapest_test_and_escapes_are_literal() {
    let part = |place, text: &str| {
        format!("{:?}", Test::Part { place, any: vec![text.as_bytes().to_vec()], fold: true })
    };
    assert_eq!(format!("{:?}", one_test(": 'a*'")), part(Place::Start, "a"));
    assert_eq!(format!("{:?}", one_test("|contains: 'a'")), part(Place::Anywhere, "a"));
    assert_eq!(format!("{:?}", one_test(r": '\*a*'")), part(Place::Start, "*a"));
    assert!(matches!(one_test(r": 'a*\*b'"), Test::Regex { .. }), "a literal star inside");
    assert!(matches!(one_test(": 'a*b?'"), Test::Wildcard { fold: true, .. }));
    assert!(matches!(one_test("|cased: 'a'"), Test::Equals { fold: false, .. }));
    match one_test(": '33'") {
        Test::Equals { any, .. } => assert_eq!(any, [Literal::Int(33)], "equals number and text"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn conditions_count_searches_and_name_what_is_missing() {
    let searches = "  a1: {x: 1}\n  a2: {x: 2}\n  a3: {x: 3}\n  _h: {x: 4}\n";
    let of = |condition: &str| rule(&format!("{searches}  condition: {condition}"));
    assert!(matches!(of("1 of them"), Ok(Expr::Or(any)) if any.len() == 3), "_h is hidden");
    assert!(matches!(of("all of a*"), Ok(Expr::And(all)) if all.len() == 3));
    assert!(matches!(of("2 of a*"), Ok(Expr::Or(ways)) if ways.len() == 3));
    assert!(of("a1 and nope").unwrap_err().contains("`nope`"));
    assert!(of("1 of b*").unwrap_err().contains("`b*`"));
}

#[test]
fn anchors_depth_and_size_are_refused_before_parsing() {
    for text in ["a: &x 1\nb: 2\n", "a:\n  - *x\n", "a: [1, *x]\n", "a: {b: &x 1}\n"] {
        let found = guard::check(text).unwrap_err();
        assert!(found.message.contains("anchors"), "{text}: {}", found.message);
    }
    for text in [
        "a: '*x'\n",
        "a: x *y & z\n",
        "a: |\n  *x\n  &y\nb: 1\n",
        "# *x\na: 1\n",
        "a: \"\n  *x\"\n",
    ] {
        assert!(guard::check(text).is_ok(), "{text}");
    }
    let deep = format!("detection: {{condition: '{}a{}'}}", "(".repeat(70), ")".repeat(70));
    assert!(guard::check(&deep).unwrap_err().message.contains("nested deeper"));
    let nested = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
    assert!(guard::check(&nested).unwrap_err().message.contains("nested deeper"));
}
