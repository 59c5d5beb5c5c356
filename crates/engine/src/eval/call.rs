//! Functions whose result is a value.

use std::borrow::Cow;
use std::net::IpAddr;

use model::pattern;
use model::program::{Function, Literal, Operator, Scalar};
use model::value::Value;
use regex::bytes::Regex;

use super::predicate::{address, order, within};
use super::term::{Got, Term, VALUES_MAX, Values, Vars, arithmetic, whole};
use super::{Compiled, Env, Scratch};

/// A function and its arguments.
#[derive(Debug)]
pub(crate) struct Call {
    pub(super) function: Function,
    pub(super) args: Vec<Term>,
    pub(super) patterns: Patterns,
    pub(super) fold: bool,
}

/// Literal patterns among the arguments, compiled.
#[derive(Debug)]
pub(super) enum Patterns {
    None,
    Regex(Regex),
    Networks(Vec<(IpAddr, u8)>),
}

/// Compiles the patterns of a call; the error is for people.
pub(super) fn patterns(
    function: Function,
    args: &[Scalar],
    fold: bool,
) -> Result<Patterns, String> {
    let texts = || {
        args.iter().skip(1).filter_map(|arg| match arg {
            Scalar::Literal(Literal::Str(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        })
    };
    Ok(match function {
        Function::Match => {
            let any: Vec<String> = texts().collect();
            Patterns::Regex(pattern::regex(&any, fold).map_err(|error| error.to_string())?)
        }
        Function::CidrMatch => Patterns::Networks(
            texts()
                .map(|text| network(&text).ok_or(format!("`{text}` is no network")))
                .collect::<Result<_, _>>()?,
        ),
        _ => Patterns::None,
    })
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    Some((address, length.unwrap_or(if address.is_ipv4() { 32 } else { 128 })))
}

impl Compiled {
    pub(super) fn call<'e>(
        &self,
        call: &'e Call,
        env: Env<'e>,
        vars: Option<&Vars<'_, 'e>>,
        scratch: &mut Scratch,
    ) -> Values<'e> {
        let first = call.args.first();
        // Where a list is a value of its own, it has a length.
        if call.function == Function::Length
            && env.three
            && let Some(first) = first
            && let Value::List(items) = whole(first, env, vars)
        {
            return Values::from_iter([Got::Value(integer(items.len()))]);
        }
        if call.function == Function::Safe {
            let Some(first) = first else { return Values::new() };
            return self.values(first, env, vars, scratch);
        }
        let choices: Vec<Values<'e>> =
            call.args.iter().map(|arg| self.values(arg, env, vars, scratch)).collect();
        if call.function == Function::ArrayContains {
            return contains(&choices, call.fold);
        }
        let mut results = Values::new();
        let mut at = vec![0; choices.len()];
        loop {
            let chosen: Option<Vec<Value<'_>>> = choices
                .iter()
                .zip(&at)
                .map(|(values, at)| values.get(*at).map(Got::value))
                .collect();
            // An absent argument makes the result absent.
            let Some(chosen) = chosen else { return results };
            if let Some(result) = apply(call, &chosen) {
                results.push(result);
            }
            if results.len() >= VALUES_MAX || !advance(&mut at, &choices) {
                return results;
            }
        }
    }
}

/// The next choice of one value for each argument.
fn advance(at: &mut [usize], choices: &[Values<'_>]) -> bool {
    for (at, values) in at.iter_mut().zip(choices) {
        *at += 1;
        if *at < values.len() {
            return true;
        }
        *at = 0;
    }
    false
}

fn contains<'e>(choices: &[Values<'_>], fold: bool) -> Values<'e> {
    let Some((list, wanted)) = choices.split_first().filter(|(list, _)| !list.is_empty()) else {
        return Values::new();
    };
    let found = wanted.iter().flatten().any(|wanted| {
        list.iter().any(|item| {
            order(item.value(), wanted.value(), fold).is_some_and(std::cmp::Ordering::is_eq)
        })
    });
    Values::from_iter([Got::Value(Value::Bool(found))])
}

fn apply(call: &Call, args: &[Value<'_>]) -> Option<Got<'static>> {
    let fold = call.fold;
    let first = *args.first()?;
    let second = args.get(1).copied().unwrap_or(Value::Null);
    let text = || text(first).map(|text| folded(text, fold));
    let other = |value| self::text(value).map(|text| folded(text, fold));
    let any = |test: &dyn Fn(&[u8], &[u8]) -> bool| {
        let text = text()?;
        let mut others = args.iter().skip(1).filter_map(|arg| other(*arg));
        Some(Value::Bool(others.any(|other| test(&text, &other))))
    };
    let number = |operator| arithmetic(operator, first, second);
    let value = match call.function {
        Function::Add => number(Operator::Add),
        Function::Subtract => number(Operator::Subtract),
        Function::Multiply => number(Operator::Multiply),
        Function::Divide => number(Operator::Divide),
        Function::Modulo => number(Operator::Modulo),
        Function::StartsWith => any(&|text, part| text.starts_with(part)),
        Function::EndsWith => any(&|text, part| text.ends_with(part)),
        Function::StringContains => any(&|text, part| find(text, part, 0).is_some()),
        Function::Wildcard => any(&|text, wanted| pattern::wildcard(wanted, text, false)),
        Function::Match => match &call.patterns {
            Patterns::Regex(regex) => {
                self::text(first).map(|text| Value::Bool(regex.is_match(&text)))
            }
            _ => None,
        },
        Function::CidrMatch => matches_network(call, first),
        Function::Length => self::text(first).map(|text| integer(pattern::characters(&text))),
        Function::IndexOf => {
            let start = args.get(2).map_or(Some(0), |start| int(*start))?;
            let text = text()?;
            let start = pattern::offset(&text, usize::try_from(start).unwrap_or(0))?;
            let at = find(&text, &other(second)?, start)?;
            text.get(..at).map(|before| integer(pattern::characters(before)))
        }
        Function::Number => parse(first, args.get(1).copied()),
        Function::String => return self::text(first).map(|text| Got::Text(text.into_owned())),
        Function::ToUpper => return text().map(|text| Got::Text(text.to_ascii_uppercase())),
        Function::ToLower => return text().map(|text| Got::Text(text.to_ascii_lowercase())),
        Function::Concat => {
            let parts: Option<Vec<_>> = args.iter().map(|arg| self::text(*arg)).collect();
            return parts.map(|parts| Got::Text(parts.concat()));
        }
        Function::Substring => {
            let end = match args.get(2) {
                Some(end) => Some(int(*end)?),
                None => None,
            };
            return self::text(first)
                .zip(int(second))
                .map(|(text, from)| Got::Text(slice(&text, from, end).to_vec()));
        }
        Function::Between => {
            let greedy = matches!(args.get(3), Some(Value::Bool(true)));
            let (from, to) = (other(second)?, other(args.get(2).copied()?)?);
            let whole = self::text(first)?;
            return Some(Got::Text(between(&whole, &text()?, &from, &to, greedy).to_vec()));
        }
        Function::Safe | Function::ArrayContains => None,
    };
    value.map(Got::Value)
}

fn integer(number: usize) -> Value<'static> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn int(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(number),
        _ => None,
    }
}

/// A value as text; numbers are decimal.
pub(crate) fn text(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    Some(match value {
        Value::Str(text) => Cow::Borrowed(text),
        Value::Int(number) => Cow::Owned(number.to_string().into_bytes()),
        Value::Float(number) => Cow::Owned(format!("{number:?}").into_bytes()),
        Value::Bool(flag) => Cow::Borrowed(if flag { b"true" } else { b"false" }),
        Value::Ip(address) => Cow::Owned(address.to_string().into_bytes()),
        Value::Null | Value::List(_) | Value::Map(_) => return None,
    })
}

fn folded(text: Cow<'_, [u8]>, fold: bool) -> Cow<'_, [u8]> {
    if fold { Cow::Owned(text.to_ascii_lowercase()) } else { text }
}

fn find(text: &[u8], part: &[u8], start: usize) -> Option<usize> {
    memchr::memmem::find(text.get(start..)?, part).map(|at| at + start)
}

fn matches_network(call: &Call, value: Value<'_>) -> Option<Value<'static>> {
    let ip = match value {
        Value::Ip(ip) => Some(ip),
        Value::Str(text) => address(text),
        _ => None,
    }?;
    match &call.patterns {
        Patterns::Networks(all) => Some(Value::Bool(all.iter().any(|one| within(ip, *one)))),
        _ => None,
    }
}

/// `number(text, base)`; a prefix `0x` means 16.
fn parse(value: Value<'_>, base: Option<Value<'_>>) -> Option<Value<'static>> {
    let Value::Str(text) = value else {
        return match value {
            Value::Int(number) => Some(Value::Int(number)),
            Value::Float(number) => Some(Value::Float(number)),
            _ => None,
        };
    };
    let text = std::str::from_utf8(text).ok()?;
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let base = match base {
        Some(base) => u32::try_from(int(base)?).ok().filter(|base| (2..=36).contains(base))?,
        None if hex.is_some() => 16,
        None => 10,
    };
    let digits = hex.filter(|_| base == 16).unwrap_or(text);
    let float = || text.parse().ok().filter(|number: &f64| base == 10 && number.is_finite());
    let number = i64::from_str_radix(digits, base).ok().map(Value::Int);
    number.or_else(|| float().map(Value::Float))
}

/// As slices of Python: characters are counted, negative places from the end.
fn slice(text: &[u8], from: i64, to: Option<i64>) -> &[u8] {
    let length = i64::try_from(pattern::characters(text)).unwrap_or(i64::MAX);
    let place = |at: i64| {
        let at = if at < 0 { at.saturating_add(length).max(0) } else { at.min(length) };
        usize::try_from(at).ok().and_then(|at| pattern::offset(text, at)).unwrap_or(0)
    };
    text.get(place(from)..place(to.unwrap_or(length))).unwrap_or_default()
}

/// What lies between the first `from` and the next (greedy: last) `to`.
fn between<'t>(whole: &'t [u8], text: &[u8], from: &[u8], to: &[u8], greedy: bool) -> &'t [u8] {
    let inner = || {
        let start = find(text, from, 0)? + from.len();
        let end = if greedy {
            memchr::memmem::rfind(text.get(start..)?, to)? + start
        } else {
            find(text, to, start)?
        };
        whole.get(start..end)
    };
    inner().unwrap_or_default()
}
