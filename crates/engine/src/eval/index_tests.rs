//! What is searched for together is what each condition says by itself: neither the index, nor what
//! is remembered of strings and kinds, loses or makes a match.

use std::sync::Arc;

use model::field::{self, FieldId};
use model::program::{Expr, Filter, Literal, Logic, Place, Program, Query, Rule, RuleMeta, Test};
use model::value::{Fields, List, Value};
use proptest::prelude::*;

use super::{Compiled, Scratch, value_of};

/// An event whose texts need not be UTF-8.
#[derive(Debug, Clone, Default)]
struct Event {
    category: Vec<u8>,
    action: Vec<u8>,
    name: Option<Vec<u8>>,
    line: Option<Vec<u8>>,
    /// Each ends in NUL.
    args: Vec<u8>,
    id: Option<i64>,
    interactive: Option<bool>,
    /// A field that only documents have.
    other: Option<Vec<u8>>,
}

/// The first field after the table.
fn other() -> FieldId {
    FieldId(u16::try_from(field::FIELDS.len()).unwrap())
}

impl Fields for Event {
    fn get(&self, field: FieldId) -> Value<'_> {
        let text = |text: &'_ Option<Vec<u8>>| text.is_some();
        match field {
            field::EVENT_CATEGORY => Value::List(List::Nul(&self.category)),
            field::EVENT_ACTION => Value::Str(&self.action),
            field::PROCESS_NAME if text(&self.name) => {
                Value::Str(self.name.as_deref().unwrap_or_default())
            }
            field::PROCESS_COMMAND_LINE if text(&self.line) => {
                Value::Str(self.line.as_deref().unwrap_or_default())
            }
            field::PROCESS_ARGS if !self.args.is_empty() => Value::List(List::Nul(&self.args)),
            field::USER_ID => self.id.map_or(Value::Null, Value::Int),
            field::PROCESS_INTERACTIVE => self.interactive.map_or(Value::Null, Value::Bool),
            id if id == other() => self.other.as_deref().map_or(Value::Null, Value::Str),
            _ => Value::Null,
        }
    }

    fn extra(&self) -> bool {
        self.other.is_some()
    }
}

/// Pieces that meet in events and rules: letters in both cases, two that are no ASCII and must not
/// be folded, and a byte that is no character.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> =
        vec![b"a", b"A", b"b", b"/", b".", b"ab", b"/aB/", "é".as_bytes(), "É".as_bytes(), b"\xff"];
    prop::sample::select(pieces).prop_map(<[u8]>::to_vec)
}

fn text(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..most).prop_map(|pieces| pieces.concat())
}

fn pattern() -> impl Strategy<Value = Vec<u8>> {
    let wild = prop::sample::select(vec![&b"*"[..], b"?"]).prop_map(<[u8]>::to_vec);
    let part = prop_oneof![2 => piece(), 1 => wild];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn test() -> impl Strategy<Value = Test> {
    let some = || prop::collection::vec(text(4), 1..6);
    let place = prop::sample::select(vec![Place::Start, Place::End, Place::Anywhere]);
    let regex = prop::sample::select(vec![
        ".*a.*",
        "/a.*",
        "[^b]+",
        ".*ab.*",
        "(ab|/a)+.?",
        ".*[aA]b[/.]*",
        "(ab)*/a?B.*",
        "(?i).*AB.*",
    ]);
    prop_oneof![
        (some(), any::<bool>()).prop_map(|(any, fold)| Test::Equals {
            any: any.into_iter().map(Literal::Str).collect(),
            fold
        }),
        (-1i64..3).prop_map(|id| Test::Equals { any: vec![Literal::Int(id)], fold: false }),
        (any::<bool>(), text(2)).prop_map(|(flag, word)| Test::Equals {
            any: vec![Literal::Bool(flag), Literal::Str(word)],
            fold: false
        }),
        any::<bool>().prop_map(|flag| Test::Equals { any: vec![Literal::Bool(flag)], fold: false }),
        (prop::collection::vec(pattern(), 1..6), any::<bool>())
            .prop_map(|(any, fold)| Test::Wildcard { any, fold }),
        (place, some(), any::<bool>()).prop_map(|(place, any, fold)| Test::Part {
            place,
            any,
            fold
        }),
        (regex, any::<bool>())
            .prop_map(|(one, fold)| Test::Regex { any: vec![one.to_owned()], fold }),
        Just(Test::Exists),
    ]
}

fn condition() -> impl Strategy<Value = Expr> {
    let fields = prop::sample::select(vec![
        field::PROCESS_NAME,
        field::PROCESS_COMMAND_LINE,
        field::PROCESS_ARGS,
        field::USER_ID,
        field::PROCESS_INTERACTIVE,
        field::EVENT_ACTION,
        other(),
    ]);
    let one = (fields, test()).prop_map(|(field, test)| Expr::Test(field, test));
    one.prop_recursive(3, 12, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            3 => parts().prop_map(Expr::And),
            2 => parts().prop_map(Expr::Or),
            1 => inner.clone().prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

fn event() -> impl Strategy<Value = Event> {
    let category =
        prop::sample::select(vec![&b"process\0"[..], b"file\0", b"process\0file\0", b""]);
    let args = prop::collection::vec(text(4), 0..4);
    let name = prop::option::of(text(4));
    let line = prop::option::of(text(9));
    let id = prop::option::of(-1i64..3);
    let interactive = any::<Option<bool>>();
    let other = prop::option::of(text(4));
    (category, text(2), name, line, args, id, interactive, other).prop_map(
        |(category, action, name, line, args, id, interactive, other)| {
            let args = args.iter().flat_map(|arg| arg.iter().chain(b"\0")).copied().collect();
            let category = category.to_vec();
            Event { category, action, name, line, args, id, interactive, other }
        },
    )
}

fn rule(category: Option<&str>, condition: Expr, logic: Logic) -> Rule {
    let filter = Filter { category: category.map(str::to_owned), condition };
    Rule { meta: RuleMeta::default(), logic, query: Query::Event(filter), pipes: Vec::new() }
}

fn compiled(rules: Vec<Rule>) -> Compiled {
    Compiled::new(Arc::new(Program { rules, ..Program::default() })).unwrap()
}

/// The rules that match, each asked by itself.
fn alone(compiled: &Compiled, event: &Event) -> Vec<u32> {
    let matches = |rule: &Rule| {
        let Query::Event(filter) = &rule.query else { return false };
        let in_category = filter.category.as_ref().is_none_or(|name| {
            event.category.split(|byte| *byte == 0).any(|one| one == name.as_bytes())
        });
        in_category && value_of(&filter.condition, rule.logic, event) == Some(true)
    };
    (0..).zip(&compiled.program.rules).filter(|(_, rule)| matches(rule)).map(|(n, _)| n).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// One scratch serves all events, and each event comes twice: the second time from memory.
    #[test]
    fn a_rule_is_found_where_it_matches(
        rules in prop::collection::vec((0u8..3, condition(), any::<bool>()), 1..8),
        events in prop::collection::vec(event(), 1..6),
    ) {
        let rules = rules.into_iter().map(|(category, condition, three)| {
            let category = [None, Some("process"), Some("file")][usize::from(category)];
            let logic = if three { Logic::ThreeValued } else { Logic::Complement };
            rule(category, condition, logic)
        });
        let compiled = compiled(rules.collect());
        let (mut scratch, mut matches) = (Scratch::default(), Vec::new());
        for event in events.iter().chain(&events) {
            compiled.eval(event, &mut scratch, &mut matches);
            prop_assert_eq!(&matches, &alone(&compiled, event));
        }
    }
}

fn part(field: FieldId, place: Place, text: &str) -> Expr {
    Expr::Test(field, Test::Part { place, any: vec![text.as_bytes().to_vec()], fold: true })
}

/// More strings and more kinds than are remembered: what is asked again is answered as before.
#[test]
fn what_is_forgotten_is_found_again() {
    let compiled = compiled(vec![
        rule(None, part(field::PROCESS_COMMAND_LINE, Place::Anywhere, "/Evil/"), Logic::Complement),
        rule(
            None,
            Expr::And(vec![
                part(field::EVENT_ACTION, Place::Start, "kind"),
                part(field::PROCESS_NAME, Place::End, "7"),
            ]),
            Logic::Complement,
        ),
    ]);
    let (mut scratch, mut matches) = (Scratch::default(), Vec::new());
    for number in 0..12_000u32 {
        let line = format!("run {} {number}", if number % 5 == 0 { "/evil/x" } else { "/good/x" });
        let event = Event {
            action: format!("kind{}", number % 700).into_bytes(),
            name: Some(number.to_string().into_bytes()),
            line: Some(line.into_bytes()),
            ..Event::default()
        };
        compiled.eval(&event, &mut scratch, &mut matches);
        let mut expected = Vec::new();
        expected.extend((number % 5 == 0).then_some(0));
        expected.extend((number % 10 == 7).then_some(1));
        assert_eq!(matches, expected, "event {number}");
    }
}

/// A filter is looked at only if the event has what it requires most seldom.
#[test]
fn filters_without_their_literal_are_not_looked_at() {
    let rules = (0..1_000).map(|number| {
        let literal = format!("--option-{number}=");
        let all = vec![
            part(field::PROCESS_NAME, Place::End, "sh"),
            part(field::PROCESS_COMMAND_LINE, Place::Anywhere, &literal),
        ];
        rule(None, Expr::And(all), Logic::Complement)
    });
    let compiled = compiled(rules.collect());
    let mut scratch = Scratch::default();
    let mut event = Event { name: Some(b"sh".to_vec()), ..Event::default() };
    event.line = Some(b"sh -c true".to_vec());
    assert_eq!(compiled.concerned(&event, &mut scratch), [0u32; 0]);
    event.line = Some(b"sh -c x --OPTION-7= --option-77=".to_vec());
    assert_eq!(compiled.concerned(&event, &mut scratch), [7, 77]);
}
