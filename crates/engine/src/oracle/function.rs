//! Functions whose result is a value, after their reference.

use model::program::{Function, Logic, Operator, Scalar};

use super::At;
use super::test::{characters, lower, regex, wildcard, within};
use super::value::{Bound, Own, arithmetic, integer, values, whole};

/// The values of a call: one for each choice of values of its arguments.
pub(super) fn call(
    at: At<'_>,
    function: Function,
    args: &[Scalar],
    fold: bool,
    bound: &Bound,
) -> Vec<Own> {
    let Some(first) = args.first() else { return Vec::new() };
    if function == Function::Safe {
        return values(at, first, bound);
    }
    // Where a list is a value of its own, it has a length.
    if function == Function::Length
        && at.logic == Logic::ThreeValued
        && let Own::List(items) = whole(at, first, bound)
    {
        return vec![integer(items.len())];
    }
    let choices: Vec<Vec<Own>> = args.iter().map(|arg| values(at, arg, bound)).collect();
    if function == Function::ArrayContains {
        let same = |a: &Own, b: &Own| a.order(b, fold) == Some(std::cmp::Ordering::Equal);
        let (list, wanted) = (&choices[0], &choices[1..]);
        let found = wanted.iter().flatten().any(|wanted| list.iter().any(|it| same(it, wanted)));
        return if list.is_empty() { Vec::new() } else { vec![Own::Bool(found)] };
    }
    let mut tuples = vec![Vec::new()];
    for values in choices {
        let longer = |tuple: &Vec<Own>| {
            values
                .iter()
                .map(|one| [tuple.as_slice(), std::slice::from_ref(one)].concat())
                .collect::<Vec<_>>()
        };
        tuples = tuples.iter().flat_map(longer).collect();
    }
    tuples.iter().filter_map(|args| apply(function, args, fold)).collect()
}

fn apply(function: Function, args: &[Own], fold: bool) -> Option<Own> {
    let text = |at: usize| args.get(at)?.text();
    let folded = |at: usize| Some(lower(&text(at)?, fold));
    let int = |at: usize| match args.get(at) {
        Some(Own::Int(number)) => Some(*number),
        _ => None,
    };
    let number = |operator| arithmetic(operator, &args[0], args.get(1)?);
    let any = |test: &dyn Fn(&[u8], &[u8]) -> bool| {
        let text = folded(0)?;
        let mut others = (1..args.len()).filter_map(folded);
        Some(Own::Bool(others.any(|other| test(&text, &other))))
    };
    let find = |text: &[u8], part: &[u8]| (0..=text.len()).find(|at| text[*at..].starts_with(part));
    match function {
        Function::Add => number(Operator::Add),
        Function::Subtract => number(Operator::Subtract),
        Function::Multiply => number(Operator::Multiply),
        Function::Divide => number(Operator::Divide),
        Function::Modulo => number(Operator::Modulo),
        Function::StartsWith => any(&|text, part| text.starts_with(part)),
        Function::EndsWith => any(&|text, part| text.ends_with(part)),
        Function::StringContains => any(&|text, part| find(text, part).is_some()),
        Function::Wildcard => any(&|text, pattern| wildcard(pattern, text)),
        Function::Match => {
            let any: Vec<String> =
                (1..args.len()).filter_map(text).map(|text| utf8(&text)).collect();
            Some(Own::Bool(regex(&any, fold, &text(0)?)))
        }
        Function::CidrMatch => cidr(args),
        Function::Length => text(0).map(|text| Own::Int(characters(&text))),
        Function::IndexOf => {
            let start = if args.len() > 2 { usize::try_from(int(2)?).unwrap_or(0) } else { 0 };
            let text = folded(0)?;
            let all = split(&text);
            let start: usize = all.get(..start)?.iter().map(|one| one.len()).sum();
            let found = start + find(&text[start..], &folded(1)?)?;
            Some(Own::Int(characters(&text[..found])))
        }
        Function::Number => parse(&args[0], args.get(1)),
        Function::String => text(0).map(Own::Text),
        Function::ToUpper => text(0).map(|text| Own::Text(text.to_ascii_uppercase())),
        Function::ToLower => text(0).map(|text| Own::Text(text.to_ascii_lowercase())),
        Function::Concat => {
            let parts: Option<Vec<Vec<u8>>> = args.iter().map(Own::text).collect();
            Some(Own::Text(parts?.concat()))
        }
        Function::Substring => {
            let text = text(0)?;
            let to = if args.len() > 2 { int(2)? } else { i64::MAX };
            Some(Own::Text(slice(&text, int(1)?, to)))
        }
        Function::Between => {
            let (text, from, to) = (text(0)?, folded(1)?, folded(2)?);
            let haystack = lower(&text, fold);
            let greedy = args.get(3) == Some(&Own::Bool(true));
            let start = find(&haystack, &from).map(|at| at + from.len());
            let ends = |start: usize| {
                let here = |end: &usize| haystack[*end..].starts_with(&to);
                let mut all = (start..=haystack.len()).filter(here);
                if greedy { all.next_back() } else { all.next() }
            };
            let found = start.and_then(|start| Some(text[start..ends(start)?].to_vec()));
            Some(Own::Text(found.unwrap_or_default()))
        }
        Function::Safe | Function::ArrayContains => None,
    }
}

fn utf8(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn cidr(args: &[Own]) -> Option<Own> {
    let address = match &args[0] {
        Own::Ip(address) => *address,
        Own::Text(text) => utf8(text).parse().ok()?,
        _ => return None,
    };
    let inside = |network: &Own| {
        let text = utf8(&network.text()?);
        let (network, length) = text.split_once('/').unwrap_or((&text, "128"));
        Some(within(address, network.parse().ok()?, length.parse().ok()?))
    };
    Some(Own::Bool(args[1..].iter().any(|network| inside(network) == Some(true))))
}

fn parse(value: &Own, base: Option<&Own>) -> Option<Own> {
    let text = match value {
        Own::Text(text) => utf8(text),
        Own::Int(_) | Own::Float(_) => return Some(value.clone()),
        _ => return None,
    };
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let base = match base {
        None if hex.is_some() => 16,
        None => 10,
        Some(Own::Int(base)) => u32::try_from(*base).ok().filter(|base| (2..=36).contains(base))?,
        Some(_) => return None,
    };
    let digits = if base == 16 { hex.unwrap_or(&text) } else { &text };
    if let Ok(number) = i64::from_str_radix(digits, base) {
        return Some(Own::Int(number));
    }
    let float = if base == 10 { digits.parse().ok() } else { None };
    float.filter(|number: &f64| number.is_finite()).map(Own::Float)
}

/// Negative places count from the end, and all are within the text.
fn slice(text: &[u8], from: i64, to: i64) -> Vec<u8> {
    let all = split(text);
    let length = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { (at + length).max(0) } else { at.min(length) };
    let inside = |at: i64| at >= place(from) && at < place(to);
    (0..).zip(all).filter(|(at, _)| inside(*at)).flat_map(|(_, one)| one).copied().collect()
}

/// The characters of a text; each byte that is no UTF-8 is one.
fn split(text: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        all.extend(
            valid.char_indices().map(|(at, one)| &valid.as_bytes()[at..at + one.len_utf8()]),
        );
        all.extend(chunk.invalid().chunks(1));
    }
    all
}
