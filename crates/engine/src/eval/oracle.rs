//! What a program means, written as plainly as possible and as slowly as it may be. Tests only:
//! it shares no code with the compiled form, not even the matching of patterns.
#![expect(clippy::cast_sign_loss, reason = "numbers of tests are small")]

use std::net::IpAddr;

use model::field;
use model::program::{Expr, Filter, Literal, Logic, Order, Place, Program, Query, Rule, Test};
use model::value::{Fields, Value};

/// Numbers of the rules of single events that the event satisfies.
pub(crate) fn eval(program: &Program, event: &dyn Fields) -> Vec<u32> {
    let matching = |rule: &Rule| match &rule.query {
        Query::Event(filter) => matches(filter, rule.logic, event),
        _ => false,
    };
    (0..).zip(&program.rules).filter(|(_, rule)| matching(rule)).map(|(n, _)| n).collect()
}

pub(crate) fn matches(filter: &Filter, logic: Logic, event: &dyn Fields) -> bool {
    let in_category = match &filter.category {
        None => true,
        Some(name) => event.get(field::EVENT_CATEGORY).each().any(|one| one == Value::str(name)),
    };
    in_category
        && match logic {
            Logic::Complement => holds(&filter.condition, event),
            Logic::ThreeValued => truth(&filter.condition, event) == Some(true),
        }
}

fn holds(condition: &Expr, event: &dyn Fields) -> bool {
    match condition {
        Expr::Const(value) => *value,
        Expr::And(all) => !all.iter().any(|one| !holds(one, event)),
        Expr::Or(any) => any.iter().any(|one| holds(one, event)),
        Expr::Not(inner) => !holds(inner, event),
        Expr::Test(field, test) => event.get(*field).each().any(|value| passes(test, value)),
        other => panic!("the oracle does not know {other:?}"),
    }
}

/// Kleene's tables, written as minimum and maximum of 0 (false), 1 (unknown) and 2 (true).
fn truth(condition: &Expr, event: &dyn Fields) -> Option<bool> {
    let rank = |part: &Expr| truth(part, event).map_or(1, |value| if value { 2 } else { 0 });
    let value = |rank: i32| [Some(false), None, Some(true)][rank as usize];
    match condition {
        Expr::Const(value) => Some(*value),
        Expr::And(all) => value(all.iter().map(rank).min().unwrap_or(2)),
        Expr::Or(any) => value(any.iter().map(rank).max().unwrap_or(0)),
        Expr::Not(inner) => value(2 - rank(inner)),
        Expr::Test(field, Test::Exists) => Some(event.get(*field).each().next().is_some()),
        Expr::Test(field, _) if event.get(*field).each().next().is_none() => None,
        plain => Some(holds(plain, event)),
    }
}

fn passes(test: &Test, value: Value<'_>) -> bool {
    let text = text(value);
    let on_text = |check: &dyn Fn(&[u8]) -> bool| text.as_deref().is_some_and(check);
    match test {
        Test::Exists => true,
        Test::Equals { any, fold } => any.iter().any(|literal| equals(value, literal, *fold)),
        Test::Compare(order, literal) => ordered(value, literal).is_some_and(|is| fits(*order, is)),
        Test::Wildcard { any, fold } => {
            on_text(&|text| any.iter().any(|p| wildcard(&lower(p, *fold), &lower(text, *fold))))
        }
        Test::Regex { any, fold } => on_text(&|text| {
            any.iter().any(|one| {
                let flags = if *fold { "(?is-u)" } else { "(?s-u)" };
                let whole = format!("^(?:{flags}{one})$");
                regex::bytes::Regex::new(&whole).is_ok_and(|regex| regex.is_match(text))
            })
        }),
        Test::Part { place, any, fold } => on_text(&|text| {
            any.iter().any(|part| part_of(*place, &lower(part, *fold), &lower(text, *fold)))
        }),
        Test::Cidr(networks) => match value {
            Value::Ip(address) => networks.iter().any(|(net, len)| within(address, *net, *len)),
            _ => false,
        },
        Test::Length(order, number) => on_text(&|text| {
            let length = String::from_utf8(text.to_vec())
                .map_or(-1, |s| i64::try_from(s.chars().count()).unwrap());
            fits(*order, length.cmp(number))
        }),
    }
}

fn lower(text: &[u8], fold: bool) -> Vec<u8> {
    if fold { text.to_ascii_lowercase() } else { text.to_vec() }
}

fn text(value: Value<'_>) -> Option<Vec<u8>> {
    match value {
        Value::Str(text) => Some(text.to_vec()),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

fn equals(value: Value<'_>, literal: &Literal, fold: bool) -> bool {
    match (value, literal) {
        (Value::Str(a), Literal::Str(b)) => lower(a, fold) == lower(b, fold),
        (Value::Str(a), Literal::Int(b)) => a == b.to_string().as_bytes(),
        (Value::Bool(a), Literal::Bool(b)) => a == *b,
        _ => ordered(value, literal).is_some_and(std::cmp::Ordering::is_eq),
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of tests are small")]
fn ordered(value: Value<'_>, literal: &Literal) -> Option<std::cmp::Ordering> {
    match (value, literal) {
        (Value::Str(a), Literal::Str(b)) => Some(a.cmp(b.as_slice())),
        (Value::Int(a), Literal::Int(b)) => Some(a.cmp(b)),
        (Value::Int(a), Literal::Float(b)) => (a as f64).partial_cmp(b),
        _ => None,
    }
}

fn fits(order: Order, is: std::cmp::Ordering) -> bool {
    match order {
        Order::Equal => is.is_eq(),
        Order::Less => is.is_lt(),
        Order::LessEqual => !is.is_gt(),
        Order::Greater => is.is_gt(),
        Order::GreaterEqual => !is.is_lt(),
    }
}

/// By the definition; the texts of the tests are short and ASCII.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| wildcard(rest, &text[skip..])),
        Some((b'?', rest)) => !text.is_empty() && wildcard(rest, &text[1..]),
        Some((byte, rest)) => text.first() == Some(byte) && wildcard(rest, &text[1..]),
    }
}

fn part_of(place: Place, part: &[u8], text: &[u8]) -> bool {
    match place {
        Place::Start => text.starts_with(part),
        Place::End => text.ends_with(part),
        Place::Anywhere => (0..=text.len()).any(|skip| text[skip..].starts_with(part)),
    }
}

/// Compares bit by bit.
fn within(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let bits = |address: IpAddr| -> Vec<bool> {
        let bytes = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
    };
    let (a, b, length) = (bits(address), bits(network), usize::from(length));
    a.len() == b.len() && a[..length] == b[..length]
}
