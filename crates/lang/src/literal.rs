//! Literals of a query as tests of a field of a given type.

use std::net::IpAddr;

use model::field::FieldType;
use model::pattern;
use model::program::{Literal as Value, Test};

use crate::ast::Literal;
use crate::diagnostic::{Code, Diagnostic, Span};

type Found = Vec<Diagnostic>;

/// The type of what is tested; `None` for computed values and fields that only documents have.
pub(crate) type Kind = Option<FieldType>;

/// A type in words.
pub(crate) fn describe(kind: Kind) -> &'static str {
    match kind {
        None => "of no known type",
        Some(FieldType::Keyword) => "text",
        Some(FieldType::Path) => "a path",
        Some(FieldType::Keywords) => "a list of texts",
        Some(FieldType::Id) => "a numeric id",
        Some(FieldType::Int) => "a whole number",
        Some(FieldType::Bool) => "true or false",
        Some(FieldType::Ip) => "an address",
        Some(FieldType::Ips) => "a list of addresses",
        Some(FieldType::Time) => "a time",
    }
}

/// Whether values can be tested as text.
pub(crate) fn is_text(kind: Kind) -> bool {
    use FieldType as T;
    matches!(kind, None | Some(T::Keyword | T::Path | T::Keywords | T::Id))
}

/// Whether values are addresses.
pub(crate) fn is_address(kind: Kind) -> bool {
    matches!(kind, Some(FieldType::Ip | FieldType::Ips))
}

/// Whether a literal can be compared with values of that type.
pub(crate) fn fits(kind: Kind, literal: &Literal) -> bool {
    use FieldType as T;
    match (kind, literal) {
        (Some(T::Ip | T::Ips), Literal::Text(text)) => network(text).is_some(),
        (None, _)
        | (Some(T::Keyword | T::Path | T::Keywords | T::Id), Literal::Text(_))
        | (Some(T::Id | T::Int | T::Time), Literal::Int(_))
        | (Some(T::Int | T::Time), Literal::Float(_))
        | (Some(T::Bool), Literal::Bool(_)) => true,
        _ => false,
    }
}

/// The field's type does not allow that.
pub(crate) fn mismatch(kind: Kind, name: &str, what: &str, span: &Span) -> Diagnostic {
    let message = format!("{what} does not apply to `{name}`");
    let found = Diagnostic::new(Code::WrongType, span.clone(), message)
        .label(format!("`{name}` is {}", describe(kind)));
    if !is_address(kind) {
        return found;
    }
    found.help(format!("for networks write `cidrMatch({name}, \"10.0.0.0/8\")`"))
}

/// `==` or `in`: any of these literals.
pub(crate) fn equals(
    kind: Kind,
    name: &str,
    literals: &[(&Literal, &Span)],
    fold: bool,
    found: &mut Found,
) -> Option<Test> {
    if is_address(kind) {
        return cidr(kind, name, literals, found);
    }
    let before = found.len();
    let mut any = Vec::with_capacity(literals.len());
    for (literal, span) in literals {
        any.extend(value(kind, name, literal, span, found));
    }
    (found.iter().skip(before).all(|one| !one.is_error())).then_some(Test::Equals { any, fold })
}

/// One literal as a value of that type.
fn value(
    kind: Kind,
    name: &str,
    literal: &Literal,
    span: &Span,
    found: &mut Found,
) -> Option<Value> {
    let Some(kind) = kind else { return any_value(literal) };
    match (kind, literal) {
        (FieldType::Keyword | FieldType::Path | FieldType::Keywords, Literal::Text(text)) => {
            Some(Value::Str(text.clone().into_bytes()))
        }
        (FieldType::Id, Literal::Text(text)) => match text.parse::<i64>() {
            Ok(number) if number.to_string() == *text => Some(Value::Int(number)),
            _ => {
                let message = format!("`{name}` is never \"{}\"", text.escape_debug());
                found.push(
                    Diagnostic::new(Code::UnknownWord, span.clone(), message)
                        .label("ids are decimal numbers"),
                );
                Some(Value::Str(text.clone().into_bytes()))
            }
        },
        (FieldType::Id | FieldType::Int | FieldType::Time, Literal::Int(number)) => {
            Some(Value::Int(*number))
        }
        (FieldType::Int | FieldType::Time, Literal::Float(number)) => Some(Value::Float(*number)),
        (FieldType::Bool, Literal::Bool(flag)) => Some(Value::Bool(*flag)),
        _ => {
            found.push(wrong_literal(Some(kind), name, literal, span));
            None
        }
    }
}

/// A literal as it stands; null has no value.
pub(crate) fn any_value(literal: &Literal) -> Option<Value> {
    Some(match literal {
        Literal::Null => return None,
        Literal::Bool(flag) => Value::Bool(*flag),
        Literal::Int(number) => Value::Int(*number),
        Literal::Float(number) => Value::Float(*number),
        Literal::Text(text) => Value::Str(text.clone().into_bytes()),
    })
}

fn wrong_literal(kind: Kind, name: &str, literal: &Literal, span: &Span) -> Diagnostic {
    let is = match literal {
        Literal::Null => "null",
        Literal::Bool(_) => "true or false",
        Literal::Int(_) => "a whole number",
        Literal::Float(_) => "a number with a fraction",
        Literal::Text(_) => "text",
    };
    let message = format!("`{name}` is {}, this is {is}", describe(kind));
    let help = match (kind, literal) {
        (Some(FieldType::Int | FieldType::Bool), Literal::Text(text)) => {
            format!("write `{text}` without quotes if that is meant")
        }
        (_, Literal::Int(number)) if is_text(kind) => format!("write `\"{number}\"`"),
        _ => format!("compare `{name}` with {}", describe(kind)),
    };
    Diagnostic::new(Code::WrongType, span.clone(), message).label(is).help(help)
}

/// The right side of `<` and the like.
pub(crate) fn ordered(
    kind: Kind,
    name: &str,
    literal: &Literal,
    span: &Span,
    found: &mut Found,
) -> Option<Value> {
    if kind == Some(FieldType::Bool) || is_address(kind) {
        found.push(mismatch(kind, name, "an order", span));
        return None;
    }
    match value(kind, name, literal, span, found)? {
        Value::Str(_) if kind == Some(FieldType::Id) => {
            found.push(wrong_literal(kind, name, literal, span));
            None
        }
        value => Some(value),
    }
}

/// The texts of literals of a test that works on text.
pub(crate) fn texts<'l>(
    kind: Kind,
    name: &str,
    what: &str,
    literals: &[(&'l Literal, &Span)],
    found: &mut Found,
) -> Option<Vec<&'l str>> {
    if !is_text(kind) {
        let span = literals.first().map_or(0..0, |(_, span)| (*span).clone());
        found.push(mismatch(kind, name, what, &span));
        return None;
    }
    let mut all = Vec::with_capacity(literals.len());
    for (literal, span) in literals {
        match literal {
            Literal::Text(text) => all.push(text.as_str()),
            other => found.push(
                Diagnostic::new(Code::WrongType, (*span).clone(), format!("{what} needs text"))
                    .label("not text")
                    .help_if(match other {
                        Literal::Int(number) => Some(format!("write `\"{number}\"`, or use `==`")),
                        _ => None,
                    }),
            ),
        }
    }
    (all.len() == literals.len()).then_some(all)
}

/// `:`, `like`, `like~`. Patterns without a wildcard are plain equality.
pub(crate) fn wildcard(
    kind: Kind,
    name: &str,
    literals: &[(&Literal, &Span)],
    fold: bool,
    found: &mut Found,
) -> Option<Test> {
    let texts = texts(kind, name, "a pattern", literals, found)?;
    let bytes = texts.iter().map(|text| text.as_bytes().to_vec());
    if kind != Some(FieldType::Id) && texts.iter().all(|text| !text.contains(['*', '?'])) {
        return Some(Test::Equals { any: bytes.map(Value::Str).collect(), fold });
    }
    Some(Test::Wildcard { any: bytes.collect(), fold })
}

/// `regex`, `regex~`, `match`.
pub(crate) fn regex(
    kind: Kind,
    name: &str,
    literals: &[(&Literal, &Span)],
    fold: bool,
    found: &mut Found,
) -> Option<Test> {
    let texts = texts(kind, name, "a regular expression", literals, found)?;
    let any: Vec<String> = texts.into_iter().map(str::to_owned).collect();
    let mut sound = true;
    for (one, (_, span)) in any.iter().zip(literals) {
        if let Err(error) = pattern::regex(std::slice::from_ref(one), fold) {
            sound = false;
            found.push(bad_regex(&error, span));
        }
    }
    if sound && let Err(error) = pattern::regex(&any, fold) {
        sound = false;
        found.push(bad_regex(&error, literals.first().map_or(&(0..0), |(_, span)| span)));
    }
    sound.then_some(Test::Regex { any, fold })
}

fn bad_regex(error: &regex::Error, span: &Span) -> Diagnostic {
    let (message, help) = match error {
        regex::Error::CompiledTooBig(limit) => (
            format!("the regular expression needs more than {limit} bytes"),
            "use smaller repetitions, or wildcards with `like`",
        ),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            (
                last.trim_start_matches("error: ").to_owned(),
                "\"\"\"…\"\"\" spares doubling backslashes",
            )
        }
    };
    Diagnostic::new(Code::BadRegex, span.clone(), message).help(help)
}

/// Addresses and networks.
pub(crate) fn cidr(
    kind: Kind,
    name: &str,
    literals: &[(&Literal, &Span)],
    found: &mut Found,
) -> Option<Test> {
    let mut networks = Vec::with_capacity(literals.len());
    for (literal, span) in literals {
        let Literal::Text(text) = literal else {
            found.push(wrong_literal(kind, name, literal, span));
            continue;
        };
        match network(text) {
            Some(network) => networks.push(network),
            None => found.push(
                Diagnostic::new(
                    Code::BadAddress,
                    (*span).clone(),
                    format!("`{text}` is no address"),
                )
                .label("an address or network is expected")
                .help("write `192.0.2.1`, `10.0.0.0/8`, `::1` or `fe80::/10`"),
            ),
        }
    }
    (networks.len() == literals.len()).then_some(Test::Cidr(networks))
}

/// An address with an optional prefix length; host bits may be set.
pub(crate) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(longest);
    (length <= longest).then_some((address, length))
}
