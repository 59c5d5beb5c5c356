//! One test of one value.

use std::cmp::Ordering;
use std::net::IpAddr;

use model::program::{Literal, Order, Place, Test};

use super::value::Own;

/// Whether a value passes.
pub(super) fn passes(test: &Test, value: &Own) -> bool {
    let text = match value {
        Own::Text(_) | Own::Int(_) => value.text(),
        _ => None,
    };
    let on_text = |check: &dyn Fn(&[u8]) -> bool| text.as_deref().is_some_and(check);
    match test {
        Test::Exists => true,
        Test::Equals { any, fold } => any.iter().any(|literal| equals(value, literal, *fold)),
        Test::Compare(order, literal) => {
            comparable(value, literal)
                && value.order(&Own::literal(literal), false).is_some_and(|is| fits(*order, is))
        }
        Test::Wildcard { any, fold } => {
            on_text(&|text| any.iter().any(|p| wildcard(&lower(p, *fold), &lower(text, *fold))))
        }
        Test::Regex { any, fold } => on_text(&|text| regex(any, *fold, text)),
        Test::Part { place, any, fold } => on_text(&|text| {
            any.iter().any(|part| part_of(*place, &lower(part, *fold), &lower(text, *fold)))
        }),
        Test::Cidr(networks) => {
            let address = match value {
                Own::Ip(address) => Some(*address),
                Own::Text(text) => String::from_utf8_lossy(text).parse().ok(),
                _ => None,
            };
            address.is_some_and(|address| networks.iter().any(|(n, l)| within(address, *n, *l)))
        }
        Test::Length(order, number) => on_text(&|text| fits(*order, characters(text).cmp(number))),
    }
}

/// A text and a literal with a fraction have no order, nor have truths.
fn comparable(value: &Own, literal: &Literal) -> bool {
    match literal {
        Literal::Bool(_) => false,
        Literal::Str(_) => matches!(value, Own::Text(_)),
        Literal::Float(_) => matches!(value, Own::Int(_) | Own::Float(_)),
        Literal::Int(_) => matches!(value, Own::Int(_) | Own::Float(_) | Own::Text(_)),
    }
}

fn equals(value: &Own, literal: &Literal, fold: bool) -> bool {
    match (value, literal) {
        (Own::Text(a), Literal::Str(b)) => lower(a, fold) == lower(b, fold),
        (Own::Text(a), Literal::Int(b)) => a == b.to_string().as_bytes(),
        (Own::Bool(a), Literal::Bool(b)) => a == b,
        (Own::Int(_) | Own::Float(_), Literal::Int(_) | Literal::Float(_)) => {
            value.order(&Own::literal(literal), false) == Some(Ordering::Equal)
        }
        _ => false,
    }
}

pub(super) fn lower(text: &[u8], fold: bool) -> Vec<u8> {
    if fold { text.to_ascii_lowercase() } else { text.to_vec() }
}

/// Characters of a text; a byte that belongs to none counts as one.
pub(super) fn characters(text: &[u8]) -> i64 {
    let valid =
        |chunk: std::str::Utf8Chunk<'_>| chunk.valid().chars().count() + chunk.invalid().len();
    text.utf8_chunks().map(valid).sum::<usize>().try_into().unwrap_or(i64::MAX)
}

/// Whether any of the expressions matches the whole text.
pub(super) fn regex(any: &[String], fold: bool, text: &[u8]) -> bool {
    any.iter().any(|one| {
        let flags = if fold { "(?is-u)" } else { "(?s-u)" };
        let whole = format!("^(?:{flags}{one})$");
        regex::bytes::Regex::new(&whole).is_ok_and(|regex| regex.is_match(text))
    })
}

pub(super) fn fits(order: Order, is: Ordering) -> bool {
    match order {
        Order::Equal => is.is_eq(),
        Order::Less => is.is_lt(),
        Order::LessEqual => !is.is_gt(),
        Order::Greater => is.is_gt(),
        Order::GreaterEqual => !is.is_lt(),
    }
}

/// By the definition: `*` is any bytes, `?` one character.
pub(super) fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| wildcard(rest, &text[skip..])),
        Some((b'?', rest)) => {
            let first = text.utf8_chunks().next();
            let first =
                first.map_or(0, |chunk| chunk.valid().chars().next().map_or(1, char::len_utf8));
            first > 0 && wildcard(rest, &text[first..])
        }
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

/// Compares bit by bit; an IPv4 address within IPv6 is one of IPv4.
pub(super) fn within(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let bits = |address: IpAddr| -> Vec<bool> {
        let bytes = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
    };
    let address = if network.is_ipv4() { address.to_canonical() } else { address };
    let (a, b) = (bits(address), bits(network));
    let length = usize::from(length).min(b.len());
    a.len() == b.len() && a[..length] == b[..length]
}
