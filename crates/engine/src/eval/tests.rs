//! The compiled form against the oracle, and what the index and the memo must not change.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use model::field::{self, FieldId};
use model::json::Document;
use model::program::{
    Expr, Filter, Literal, Logic, Order, Place, Program, Query, Rule, RuleMeta, Test,
};
use model::value::Fields;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::{Compiled, Scratch};
use crate::oracle;

/// A few letters, so that random literals and values meet.
fn word() -> impl Strategy<Value = String> {
    "[aAb/.]{0,5}"
}

fn bytes(text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    text.prop_map(String::into_bytes)
}

fn several<T: std::fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(one, 1..7)
}

fn order() -> impl Strategy<Value = Order> {
    prop::sample::select(vec![
        Order::Equal,
        Order::Less,
        Order::LessEqual,
        Order::Greater,
        Order::GreaterEqual,
    ])
}

fn text_test() -> impl Strategy<Value = Test> {
    let literal = || bytes(word()).prop_map(Literal::Str);
    let place = prop::sample::select(vec![Place::Start, Place::End, Place::Anywhere]);
    let regex = prop::sample::select(vec!["a.*", "[ab]+", "a|b", "(/a)*", "", "A?b"]);
    prop_oneof![
        Just(Test::Exists),
        (several(literal()), any::<bool>()).prop_map(|(any, fold)| Test::Equals { any, fold }),
        (order(), literal()).prop_map(|(order, literal)| Test::Compare(order, literal)),
        (several(bytes("[aAb*?]{0,5}")), any::<bool>())
            .prop_map(|(any, fold)| Test::Wildcard { any, fold }),
        (several(regex.prop_map(str::to_owned)), any::<bool>())
            .prop_map(|(any, fold)| Test::Regex { any, fold }),
        (place, several(bytes(word())), any::<bool>()).prop_map(|(place, any, fold)| Test::Part {
            place,
            any,
            fold
        }),
        (order(), -1i64..6).prop_map(|(order, number)| Test::Length(order, number)),
    ]
}

fn number_test() -> impl Strategy<Value = Test> {
    prop_oneof![
        Just(Test::Exists),
        several((-2i64..4).prop_map(Literal::Int))
            .prop_map(|any| Test::Equals { any, fold: false }),
        (order(), -2i64..4).prop_map(|(order, number)| Test::Compare(order, Literal::Int(number))),
        (order(), -2i32..4).prop_map(|(order, half)| {
            Test::Compare(order, Literal::Float(f64::from(half) / 2.0))
        }),
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u8..4, 0u8..4).prop_map(|(a, b)| Ipv4Addr::new(10, 0, a, b).into()),
        (0u16..4).prop_map(|a| IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, a])),
    ]
}

fn network_test() -> impl Strategy<Value = Test> {
    several((address(), 0u8..=32)).prop_map(Test::Cidr)
}

fn words_test(words: &'static [&'static str]) -> impl Strategy<Value = Test> {
    let literal =
        prop::sample::select(words).prop_map(|word| Literal::Str(word.as_bytes().to_vec()));
    (prop::collection::vec(literal, 1..3), prop::bool::weighted(0.1))
        .prop_map(|(any, fold)| Test::Equals { any, fold })
}

const CATEGORIES: &[&str] = &["process", "file", "dns", "network"];
const TYPES: &[&str] = &["start", "end", "info", "connection"];
const ACTIONS: &[&str] = &["exec", "open", "end"];

fn test() -> impl Strategy<Value = Expr> {
    let on = |field: FieldId| move |test| Expr::Test(field, test);
    prop_oneof![
        2 => words_test(TYPES).prop_map(on(field::EVENT_TYPE)),
        2 => words_test(ACTIONS).prop_map(on(field::EVENT_ACTION)),
        1 => words_test(CATEGORIES).prop_map(on(field::EVENT_CATEGORY)),
        4 => text_test().prop_map(on(field::PROCESS_NAME)),
        4 => text_test().prop_map(on(field::PROCESS_ARGS)),
        2 => number_test().prop_map(on(field::PROCESS_PID)),
        1 => text_test().prop_map(on(field::USER_ID)),
        1 => number_test().prop_map(on(field::USER_ID)),
        1 => network_test().prop_map(on(field::SOURCE_IP)),
        1 => any::<bool>().prop_map(Expr::Const),
    ]
}

fn condition() -> impl Strategy<Value = Expr> {
    test().prop_recursive(4, 24, 4, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            parts().prop_map(Expr::And),
            parts().prop_map(Expr::Or),
            inner.clone().prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let category = prop::option::weighted(0.8, prop::sample::select(CATEGORIES));
    (category, condition(), any::<bool>()).prop_map(|(category, condition, three)| Rule {
        logic: if three { Logic::ThreeValued } else { Logic::Complement },
        ..single(category, condition)
    })
}

fn event() -> impl Strategy<Value = Map<String, Json>> {
    let some = |words: &'static [&'static str]| prop::sample::subsequence(words, 0..3);
    let fields = (
        some(CATEGORIES),
        some(TYPES),
        prop::option::of(prop::sample::select(ACTIONS)),
        prop::option::of(word()),
        prop::collection::vec(word(), 0..4),
        prop::option::of(-2i64..4),
        prop::option::of(0i64..3),
        prop::option::of(address()),
    );
    fields.prop_map(|(category, kind, action, name, args, pid, user, ip)| {
        let mut event = Map::new();
        let mut put = |key: &str, value: Json| _ = event.insert(key.to_owned(), value);
        put("event.category", json!(category));
        put("event.type", json!(kind));
        put("process.args", json!(args));
        for (key, value) in [
            ("event.action", action.map(Json::from)),
            ("process.name", name.map(Json::from)),
            ("process.pid", pid.map(Json::from)),
            ("user.id", user.map(|id| json!(id.to_string()))),
            ("source.ip", ip.map(|ip| json!(ip.to_string()))),
        ] {
            if let Some(value) = value {
                put(key, value);
            }
        }
        event
    })
}

fn program(rules: Vec<Rule>) -> Arc<Program> {
    Arc::new(Program { rules, ..Program::default() })
}

fn single(category: Option<&str>, condition: Expr) -> Rule {
    Rule {
        meta: RuleMeta::default(),
        logic: Logic::Complement,
        query: Query::Event(Filter { category: category.map(str::to_owned), condition }),
        pipes: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// The same rules match, whatever order, index, memo and pattern shapes do. One scratch serves
    /// all events, so that results left over from the event before would be seen.
    #[test]
    fn compiled_rules_mean_what_the_oracle_says(
        rules in prop::collection::vec(rule(), 1..6),
        events in prop::collection::vec(event(), 1..6),
    ) {
        let program = program(rules);
        let compiled = Compiled::new(Arc::clone(&program)).unwrap();
        let mut scratch = Scratch::default();
        let mut matches = Vec::new();
        for event in &events {
            let event = Document::new(event).unwrap();
            compiled.eval(&event, &mut scratch, &mut matches);
            prop_assert_eq!(&matches, &oracle::matching(&program, &event));
        }
    }

    /// Negating a rule's condition complements it on every event, also where fields are absent.
    #[test]
    fn not_is_the_complement(condition in condition(), event in event()) {
        let negated = single(None, Expr::Not(Box::new(condition.clone())));
        let plain = single(None, condition);
        let compiled = Compiled::new(program(vec![plain, negated])).unwrap();
        let mut matches = Vec::new();
        compiled.eval(&Document::new(&event).unwrap(), &mut Scratch::default(), &mut matches);
        prop_assert_eq!(matches.len(), 1, "exactly one of both matches");
    }
}

fn equals(field: FieldId, word: &str) -> Expr {
    let any = vec![Literal::Str(word.as_bytes().to_vec())];
    Expr::Test(field, Test::Equals { any, fold: false })
}

#[test]
fn equal_tests_of_different_rules_are_one_predicate() {
    let rule =
        |extra: Expr| single(None, Expr::And(vec![equals(field::PROCESS_NAME, "sh"), extra]));
    let rules = vec![
        rule(equals(field::USER_NAME, "a")),
        rule(equals(field::USER_NAME, "b")),
        rule(equals(field::USER_NAME, "a")),
    ];
    assert_eq!(Compiled::new(program(rules)).unwrap().predicates.len(), 3);
}

#[test]
fn a_shared_predicate_is_asked_once_an_event() {
    struct Counting(std::cell::Cell<u32>);
    impl Fields for Counting {
        fn get(&self, field: FieldId) -> model::value::Value<'_> {
            if field == field::USER_NAME {
                self.0.set(self.0.get() + 1);
            }
            model::value::Value::str("sh")
        }
    }
    // Different filters, one predicate.
    let rule = |extra: &str| {
        let any = vec![equals(field::USER_NAME, "sh"), equals(field::GROUP_NAME, extra)];
        single(None, Expr::Or(any))
    };
    let rules = ('a'..='j').map(|letter| rule(&letter.to_string())).collect();
    let compiled = Compiled::new(program(rules)).unwrap();
    let event = Counting(std::cell::Cell::new(0));
    let (mut scratch, mut matches) = (Scratch::default(), Vec::new());
    // The first event of a kind is also asked what such events have.
    compiled.eval(&event, &mut scratch, &mut matches);
    for _ in 0..2 {
        event.0.set(0);
        compiled.eval(&event, &mut scratch, &mut matches);
        assert_eq!((matches.len(), event.0.get()), (10, 1), "each event is read anew, once");
    }
}

#[test]
fn a_pattern_that_is_too_large_names_its_rule() {
    let meta = RuleMeta { id: "big".into(), ..RuleMeta::default() };
    let any = vec!["(a{100}){100}{100}".to_owned()];
    let condition = Expr::Test(field::PROCESS_NAME, Test::Regex { any, fold: false });
    let error = Compiled::new(program(vec![Rule { meta, ..single(None, condition) }])).unwrap_err();
    assert!(error.to_string().contains("rule `big`"), "{error}");
}

#[test]
fn the_decisive_tests_are_named() {
    let condition = Expr::And(vec![
        equals(field::PROCESS_NAME, "sh"),
        Expr::Not(Box::new(equals(field::USER_NAME, "root"))),
        equals(field::GROUP_NAME, "adm"),
    ]);
    let rule = single(None, condition);
    let compiled = Compiled::new(program(vec![rule])).unwrap();
    let event = json!({ "process.name": "sh", "user.name": "root", "group.name": "adm" });
    let event = Document::new(event.as_object().unwrap()).unwrap();
    let blamed: Vec<_> = compiled.explain(0, &event).iter().map(|blame| blame.field).collect();
    assert_eq!(blamed, [field::USER_NAME]);
}
