//! One test of one value, made ready to run.

use std::io::Write;
use std::net::IpAddr;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use model::pattern;
use model::program::{Literal, Order, Place, Test};
use model::value::Value;
use regex::bytes::Regex;

use super::words::Words;

/// A compiled [`Test`].
#[derive(Debug)]
pub(crate) enum Check {
    Exists,
    Equals { words: Words, others: Vec<Literal> },
    Compare(Order, Literal),
    Text(Text),
    Cidr(Vec<(IpAddr, u8)>),
    Length(Order, i64),
}

/// Tests of a value as text; any of them suffices.
#[derive(Debug, Default)]
pub(crate) struct Text {
    fold: bool,
    words: Option<Words>,
    starts: Vec<Vec<u8>>,
    ends: Vec<Vec<u8>>,
    contains: Option<AhoCorasick>,
    wildcards: Vec<Vec<u8>>,
    regex: Option<Regex>,
}

impl Check {
    /// Compiles a test; the error is for people.
    pub(super) fn new(test: &Test) -> Result<Check, String> {
        Ok(match test {
            Test::Exists => Check::Exists,
            Test::Equals { any, fold } => {
                let words = any.iter().filter_map(|literal| match literal {
                    Literal::Str(word) => Some(word.clone()),
                    _ => None,
                });
                let others = any.iter().filter(|literal| !matches!(literal, Literal::Str(_)));
                Check::Equals { words: Words::new(words, *fold), others: others.cloned().collect() }
            }
            Test::Compare(order, literal) => Check::Compare(*order, literal.clone()),
            Test::Wildcard { any, fold } => Check::Text(Text::wildcards(any, *fold)?),
            Test::Regex { any, fold } => {
                let regex = pattern::regex(any, *fold).map_err(|error| error.to_string())?;
                Check::Text(Text { regex: Some(regex), ..Text::default() })
            }
            Test::Part { place, any, fold } => Check::Text(Text::parts(*place, any, *fold)?),
            Test::Cidr(networks) => Check::Cidr(networks.clone()),
            Test::Length(order, number) => Check::Length(*order, *number),
        })
    }

    /// Whether any of the values satisfies the test.
    pub(super) fn any(&self, value: Value<'_>) -> bool {
        value.each().any(|one| !one.is_null() && self.holds(one))
    }

    /// Whether one value, which is no list, satisfies the test.
    pub(super) fn holds(&self, value: Value<'_>) -> bool {
        match self {
            Check::Exists => true,
            Check::Equals { words, others } => {
                (match value {
                    Value::Str(text) => words.contains(text),
                    _ => false,
                }) || others.iter().any(|literal| equal(value, literal))
            }
            Check::Compare(order, literal) => {
                compare(value, literal).is_some_and(|result| fits(*order, result))
            }
            Check::Text(text) => as_text(value, |value| text.holds(value)),
            Check::Cidr(networks) => match value {
                Value::Ip(address) => networks.iter().any(|network| within(address, *network)),
                // Fields of documents that no table knows are texts.
                Value::Str(text) => address(text).is_some_and(|address| {
                    networks.iter().any(|network| within(address, *network))
                }),
                _ => false,
            },
            Check::Length(order, number) => as_text(value, |text| {
                let length = i64::try_from(pattern::characters(text)).unwrap_or(i64::MAX);
                fits(*order, length.cmp(number))
            }),
        }
    }

    /// How long it takes, roughly and relatively.
    pub(super) fn cost(&self) -> u32 {
        match self {
            Check::Exists | Check::Equals { .. } | Check::Compare(..) => 1,
            Check::Cidr(_) | Check::Length(..) => 2,
            Check::Text(text) if text.regex.is_some() => 20,
            Check::Text(_) => 4,
        }
    }
}

impl Text {
    /// Patterns by their shape, so that only the odd ones are matched step by step.
    fn wildcards(any: &[Vec<u8>], fold: bool) -> Result<Text, String> {
        let mut text = Text { fold, ..Text::default() };
        let (mut words, mut contains) = (Vec::new(), Vec::new());
        for wanted in any {
            let tail = wanted.strip_prefix(b"*").unwrap_or(wanted);
            let inner = tail.strip_suffix(b"*").unwrap_or(tail);
            let (open_start, open_end) = (tail.len() < wanted.len(), inner.len() < tail.len());
            if inner.iter().any(|byte| matches!(byte, b'*' | b'?')) {
                text.wildcards.push(wanted.clone());
                continue;
            }
            let inner = inner.to_vec();
            match (open_start, open_end) {
                (false, false) => words.push(inner),
                (false, true) => text.starts.push(inner),
                (true, false) => text.ends.push(inner),
                (true, true) => contains.push(inner),
            }
        }
        let words = Words::new(words, fold);
        text.words = (!words.is_empty()).then_some(words);
        text.contains = search(&contains, fold)?;
        Ok(text)
    }

    fn parts(place: Place, any: &[Vec<u8>], fold: bool) -> Result<Text, String> {
        let mut text = Text { fold, ..Text::default() };
        match place {
            Place::Start => text.starts = any.to_vec(),
            Place::End => text.ends = any.to_vec(),
            Place::Anywhere => text.contains = search(any, fold)?,
        }
        Ok(text)
    }

    fn holds(&self, value: &[u8]) -> bool {
        let same = |part: Option<&[u8]>, wanted: &[u8]| match part {
            Some(part) if self.fold => part.eq_ignore_ascii_case(wanted),
            Some(part) => part == wanted,
            None => false,
        };
        let tail = |length: usize| value.get(value.len().checked_sub(length)?..);
        self.words.as_ref().is_some_and(|words| words.contains(value))
            || self.starts.iter().any(|start| same(value.get(..start.len()), start))
            || self.ends.iter().any(|end| same(tail(end.len()), end))
            || self.contains.as_ref().is_some_and(|search| search.is_match(value))
            || self.wildcards.iter().any(|one| pattern::wildcard(one, value, self.fold))
            || self.regex.as_ref().is_some_and(|regex| regex.is_match(value))
    }
}

/// Bytes of texts up to which a search may become a table of all transitions. Making that table
/// takes time by the square of a text that repeats itself, and a keyword is searched in many fields.
const TABLE_BYTES: usize = 4 << 10;

/// A search for any of these; `None` if there are none.
fn search(any: &[Vec<u8>], fold: bool) -> Result<Option<AhoCorasick>, String> {
    if any.is_empty() {
        return Ok(None);
    }
    let large = any.iter().map(Vec::len).sum::<usize>() > TABLE_BYTES;
    AhoCorasick::builder()
        .ascii_case_insensitive(fold)
        .kind(large.then_some(AhoCorasickKind::ContiguousNFA))
        .build(any)
        .map(Some)
        .map_err(|error| error.to_string())
}

/// Applies a test to a value as text; numbers are decimal.
pub(super) fn as_text(value: Value<'_>, test: impl FnOnce(&[u8]) -> bool) -> bool {
    match value {
        Value::Str(text) => test(text),
        Value::Int(number) => {
            // "-9223372036854775808" has 20 bytes.
            let mut buffer = [0; 20];
            let mut rest = buffer.as_mut_slice();
            if write!(rest, "{number}").is_err() {
                return false;
            }
            let unused = rest.len();
            buffer.get(..buffer.len() - unused).is_some_and(test)
        }
        _ => false,
    }
}

/// Equality with a literal that is no text.
fn equal(value: Value<'_>, literal: &Literal) -> bool {
    match (value, literal) {
        (Value::Bool(a), Literal::Bool(b)) => a == *b,
        // Ids are numbers in live events and texts in documents.
        (Value::Str(text), Literal::Int(number)) => {
            as_text(Value::Int(*number), |digits| digits == text)
        }
        _ => compare(value, literal) == Some(std::cmp::Ordering::Equal),
    }
}

/// Order of a value and a literal of the same type.
#[expect(clippy::cast_precision_loss, reason = "a literal with a fraction asks for floats")]
fn compare(value: Value<'_>, literal: &Literal) -> Option<std::cmp::Ordering> {
    match (value, literal) {
        (Value::Int(a), Literal::Int(b)) => Some(a.cmp(b)),
        (Value::Int(a), Literal::Float(b)) => (a as f64).partial_cmp(b),
        (Value::Float(a), Literal::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Float(a), Literal::Float(b)) => a.partial_cmp(b),
        (Value::Str(a), Literal::Str(b)) => Some(a.cmp(b.as_slice())),
        (Value::Str(a), Literal::Int(b)) => {
            std::str::from_utf8(a).ok()?.parse::<i64>().ok().map(|a| a.cmp(b))
        }
        _ => None,
    }
}

pub(super) fn fits(order: Order, result: std::cmp::Ordering) -> bool {
    match order {
        Order::Equal => result.is_eq(),
        Order::Less => result.is_lt(),
        Order::LessEqual => result.is_le(),
        Order::Greater => result.is_gt(),
        Order::GreaterEqual => result.is_ge(),
    }
}

/// Order of two values; `None` if they have none. A number and its decimal text are equal.
#[expect(clippy::cast_precision_loss, reason = "a fraction on one side asks for floats")]
pub(crate) fn order(a: Value<'_>, b: Value<'_>, fold: bool) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(&b)),
        (Value::Int(a), Value::Float(b)) => (a as f64).partial_cmp(&b),
        (Value::Float(a), Value::Int(b)) => a.partial_cmp(&(b as f64)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(&b),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(&b)),
        (Value::Ip(a), Value::Ip(b)) => Some(a.to_canonical().cmp(&b.to_canonical())),
        (Value::Str(a), Value::Str(b)) if fold => {
            let lower = |text: &u8| text.to_ascii_lowercase();
            Some(a.iter().map(lower).cmp(b.iter().map(lower)))
        }
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        (Value::Str(a), Value::Int(b)) => number(a).map(|a| a.cmp(&b)),
        (Value::Int(a), Value::Str(b)) => number(b).map(|b| a.cmp(&b)),
        (Value::Str(a), Value::Ip(b)) => address(a).map(|a| a.cmp(&b.to_canonical())),
        (Value::Ip(a), Value::Str(b)) => address(b).map(|b| a.to_canonical().cmp(&b)),
        _ => None,
    }
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An address written as text.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// Whether an address lies in a network; an IPv4 address mapped into IPv6 counts as IPv4.
pub(super) fn within(address: IpAddr, (network, length): (IpAddr, u8)) -> bool {
    let length = u32::from(length);
    match (address.to_canonical(), network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            (a.to_bits() ^ b.to_bits()) & mask == 0
        }
        (_, IpAddr::V6(b)) => {
            let IpAddr::V6(a) = address else { return false };
            let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            (a.to_bits() ^ b.to_bits()) & mask == 0
        }
        _ => false,
    }
}
