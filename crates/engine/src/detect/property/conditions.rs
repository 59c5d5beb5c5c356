//! Random conditions and scalars.

use std::net::{IpAddr, Ipv4Addr};

use model::field::{self, FieldId};
use model::program::{
    Expr, Function, Literal, Operator, Order, Part, Place, Relation, Scalar, Test,
};
use proptest::prelude::*;

use super::events::WORDS;
use crate::detect::sample::{FLOAT, LIST};

fn literal_text() -> impl Strategy<Value = Literal> {
    prop::sample::select(WORDS).prop_map(|word| Literal::Str(word.to_vec()))
}

fn number() -> impl Strategy<Value = Literal> {
    prop_oneof![
        3 => (-2i64..4).prop_map(Literal::Int),
        1 => (-3i32..4).prop_map(|half| Literal::Float(f64::from(half) / 2.0)),
    ]
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![literal_text(), number(), any::<bool>().prop_map(Literal::Bool)]
}

pub(super) fn order() -> impl Strategy<Value = Order> {
    use Order::{Equal, Greater, GreaterEqual, Less, LessEqual};
    prop::sample::select(vec![Equal, Less, LessEqual, Greater, GreaterEqual])
}

fn test() -> impl Strategy<Value = Test> {
    let several = |one: BoxedStrategy<Vec<u8>>| prop::collection::vec(one, 1..4);
    let word = || prop::sample::select(WORDS).prop_map(<[u8]>::to_vec).boxed();
    let pattern = "[aAb*?]{0,4}".prop_map(String::into_bytes).boxed();
    let regex = prop::sample::select(vec!["a.*", "[ab]+", "a|b", "(ab)*", "", "A?b", "."]);
    let regex = regex.prop_map(str::to_owned);
    let place = prop::sample::select(vec![Place::Start, Place::End, Place::Anywhere]);
    let network = (0u8..4, 24u8..=32)
        .prop_map(|(last, length)| (IpAddr::from(Ipv4Addr::new(10, 0, 0, last)), length));
    prop_oneof![
        Just(Test::Exists),
        (prop::collection::vec(literal(), 1..4), any::<bool>())
            .prop_map(|(any, fold)| Test::Equals { any, fold }),
        (order(), literal()).prop_map(|(order, literal)| Test::Compare(order, literal)),
        (several(pattern), any::<bool>()).prop_map(|(any, fold)| Test::Wildcard { any, fold }),
        (prop::collection::vec(regex, 1..3), any::<bool>())
            .prop_map(|(any, fold)| Test::Regex { any, fold }),
        (place, several(word()), any::<bool>()).prop_map(|(place, any, fold)| Test::Part {
            place,
            any,
            fold
        }),
        prop::collection::vec(network, 1..3).prop_map(Test::Cidr),
        (order(), -1i64..4).prop_map(|(order, number)| Test::Length(order, number)),
    ]
}

pub(super) fn any_field() -> impl Strategy<Value = FieldId> {
    prop::sample::select(vec![
        field::EVENT_ACTION,
        field::PROCESS_PID,
        field::PROCESS_PARENT_PID,
        field::PROCESS_NAME,
        field::PROCESS_ARGS,
        field::SOURCE_IP,
        FLOAT,
        LIST,
    ])
}

fn plain() -> impl Strategy<Value = Scalar> {
    let element = (0usize..3, any::<bool>()).prop_map(|(index, deep)| {
        let name = deep.then(|| Part::Name("t".to_owned()));
        let parts = std::iter::once(Part::Index(index)).chain(name).collect();
        Scalar::Element(Box::new(Scalar::Field(LIST)), parts)
    });
    prop_oneof![
        6 => any_field().prop_map(Scalar::Field),
        4 => literal().prop_map(Scalar::Literal),
        1 => Just(Scalar::Null),
        1 => element,
    ]
}

fn call(inner: &BoxedStrategy<Scalar>) -> impl Strategy<Value = Scalar> + use<> {
    use Function as F;
    let two = vec![F::Add, F::Subtract, F::Multiply, F::Divide, F::Modulo];
    let many = vec![F::StartsWith, F::EndsWith, F::StringContains, F::Wildcard, F::Concat];
    let one = vec![F::Length, F::String, F::ToUpper, F::ToLower, F::Number, F::Safe];
    let args = |least: usize, most: usize| prop::collection::vec(inner.clone(), least..=most);
    let text = |text: &str| Scalar::Literal(Literal::Str(text.as_bytes().to_vec()));
    let regex = prop::sample::select(vec!["a.*", "[ab]+", "b|1"]).prop_map(text);
    let network = prop::sample::select(vec!["10.0.0.2/31", "10.0.0.1", "::/0"]).prop_map(text);
    let call = |(function, args, fold)| Scalar::Call { function, args, fold };
    let place = || (-3i64..4).prop_map(|at| Scalar::Literal(Literal::Int(at)));
    let greedy = any::<bool>().prop_map(|greedy| Scalar::Literal(Literal::Bool(greedy)));
    let first = |first: Scalar, rest: Vec<Scalar>| [vec![first], rest].concat();
    let fold = any::<bool>;
    prop_oneof![
        (prop::sample::select(two), args(2, 2), fold()).prop_map(call),
        (prop::sample::select(many), args(2, 3), fold()).prop_map(call),
        (prop::sample::select(one), args(1, 1), fold()).prop_map(call),
        (Just(F::ArrayContains), args(2, 3), fold()).prop_map(call),
        (args(1, 1), prop::collection::vec(regex, 1..3), fold())
            .prop_map(move |(a, b, fold)| (F::Match, [a, b].concat(), fold))
            .prop_map(call),
        (inner.clone(), prop::collection::vec(network, 1..3))
            .prop_map(move |(a, b)| (F::CidrMatch, first(a, b), false))
            .prop_map(call),
        (args(2, 2), prop::option::of(place()), fold())
            .prop_map(|(a, b, fold)| (F::IndexOf, a.into_iter().chain(b).collect(), fold))
            .prop_map(call),
        (args(1, 1), place(), prop::option::of(place()))
            .prop_map(|(a, b, c)| (
                F::Substring,
                a.into_iter().chain([b]).chain(c).collect(),
                false
            ))
            .prop_map(call),
        (args(3, 3), greedy, fold())
            .prop_map(|(a, b, fold)| (F::Between, a.into_iter().chain([b]).collect(), fold))
            .prop_map(call),
        (args(1, 1), place())
            .prop_map(|(a, b)| (F::Number, a.into_iter().chain([b]).collect(), false))
            .prop_map(call),
    ]
}

pub(super) fn scalar() -> impl Strategy<Value = Scalar> {
    plain().prop_recursive(2, 8, 3, |inner| {
        use Operator::{Add, Divide, Modulo, Multiply, Subtract};
        let operator = prop::sample::select(vec![Add, Subtract, Multiply, Divide, Modulo]);
        let condition = (inner.clone(), test())
            .prop_map(|(scalar, test)| Scalar::Condition(Box::new(Expr::Computed(scalar, test))));
        let variable = || {
            prop_oneof![
                Just(Scalar::Variable(0)),
                Just(Scalar::Element(
                    Box::new(Scalar::Variable(0)),
                    vec![Part::Name("n".to_owned())]
                )),
            ]
        };
        let search = (any_field(), variable(), order(), inner.clone(), any::<bool>()).prop_map(
            |(list, left, order, right, count)| Scalar::Search {
                list: Box::new(Scalar::Field(list)),
                variable: 0,
                condition: Box::new(Expr::Compare { left, order, right, fold: count }),
                count,
            },
        );
        prop_oneof![
            8 => call(&inner),
            1 => (operator, inner.clone(), inner)
                .prop_map(|(of, a, b)| Scalar::Arithmetic(of, Box::new(a), Box::new(b))),
            1 => condition,
            1 => search,
        ]
    })
}

fn leaf() -> impl Strategy<Value = Expr> {
    prop_oneof![
        3 => (any_field(), test()).prop_map(|(field, test)| Expr::Test(field, test)),
        2 => (scalar(), test()).prop_map(|(scalar, test)| Expr::Computed(scalar, test)),
        3 => (scalar(), order(), scalar(), any::<bool>())
            .prop_map(|(left, order, right, fold)| Expr::Compare { left, order, right, fold }),
        1 => scalar().prop_map(Expr::Truth),
        2 => asked(),
    ]
}

/// A question to a script, which [`crate::oracle::Plain`] answers.
fn asked() -> impl Strategy<Value = Expr> {
    (0u32..2, 0u32..2, prop::collection::vec(scalar(), 0..3))
        .prop_map(|(script, function, args)| Expr::Script { script, function, args })
}

fn combined(leaf: impl Strategy<Value = Expr> + 'static) -> impl Strategy<Value = Expr> {
    leaf.prop_recursive(2, 6, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            parts().prop_map(Expr::And),
            parts().prop_map(Expr::Or),
            inner.clone().prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

/// Any condition on one event.
pub(super) fn rich() -> impl Strategy<Value = Expr> {
    combined(leaf())
}

/// Events of one or two letters.
pub(super) fn letters() -> impl Strategy<Value = Expr> {
    let letter = prop::sample::select(vec!["a", "b", "c", "ab", "bc", "abc"]);
    letter.prop_map(|letters| {
        let any = letters.bytes().map(|letter| Literal::Str(vec![letter])).collect();
        Expr::Test(field::EVENT_ACTION, Test::Equals { any, fold: false })
    })
}

/// Letters, and a query over lineage.
pub(super) fn related(queries: u32) -> impl Strategy<Value = Expr> {
    use Relation::{Child, Descendant, Event};
    let relation = prop::sample::select(vec![Child, Descendant, Event]);
    let lineage =
        (relation, 0..queries).prop_map(|(relation, query)| Expr::Lineage(relation, query));
    combined(prop_oneof![letters(), lineage])
}

/// The same, and questions to scripts, which pipes have not.
pub(super) fn asking(queries: u32) -> impl Strategy<Value = Expr> {
    combined(prop_oneof![3 => related(queries).boxed(), 1 => asked().boxed()])
}

/// Letters, and a comparison with an earlier member.
pub(super) fn late(step: u16) -> impl Strategy<Value = Expr> {
    (letters(), any_field(), order(), any_field(), any::<bool>()).prop_map(
        move |(letters, left, order, right, negated)| {
            let (left, right) = (Scalar::Field(left), Scalar::Member(step, right));
            let compare = Expr::Compare { left, order, right, fold: false };
            let compare = if negated { Expr::Not(Box::new(compare)) } else { compare };
            Expr::And(vec![letters, compare])
        },
    )
}
