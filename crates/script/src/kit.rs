//! What a script is given: its fields and its patterns, prepared when it is loaded.

use model::capability::{Capabilities, Capability};
use model::field::FieldId;
use model::script::{Budget, Script};
use model::value::Value;
use regex::bytes::{Regex, RegexBuilder};

use crate::cause::{Cause, Stop};
use crate::limits;
use crate::refuse::{Denied, Refusal};

/// What the functions of the host serve a script from. It never changes.
#[derive(Debug)]
pub(crate) struct Kit {
    /// Fields by index.
    pub(crate) fields: Vec<FieldId>,
    /// Regular expressions by index.
    pub(crate) regexes: Vec<Expression>,
    /// Names of the regular expressions, for languages that use names.
    pub(crate) regex_names: Vec<String>,
    /// Wildcard patterns by index.
    pub(crate) globs: Vec<Glob>,
    /// Names of the wildcard patterns.
    pub(crate) glob_names: Vec<String>,
    /// What it asked for: it is given nothing else.
    pub(crate) asks: Capabilities,
    /// What the script may do.
    pub(crate) may: Capabilities,
    /// What it may use.
    pub(crate) budget: Budget,
}

/// What a script holds texts against.
pub(crate) trait Pattern: Sized + 'static {
    /// Those of a script, in the order of their handles.
    fn all(kit: &Kit) -> &[Self];

    /// Whether it matches the whole text.
    fn matches(&self, text: &[u8]) -> bool;

    /// Units of work a byte of text.
    fn cost(&self) -> u64;

    /// One of them by its handle.
    fn numbered(kit: &Kit, number: i64) -> Result<&Self, Stop> {
        let found = usize::try_from(number).ok().and_then(|number| Self::all(kit).get(number));
        found.ok_or_else(|| Stop::new(Cause::Handle, format!("there is no pattern {number}")))
    }
}

/// A wildcard pattern.
#[derive(Debug)]
pub(crate) struct Glob(Vec<u8>);

impl Pattern for Glob {
    fn all(kit: &Kit) -> &[Glob] {
        &kit.globs
    }

    fn matches(&self, text: &[u8]) -> bool {
        model::pattern::wildcard(&self.0, text, false)
    }

    fn cost(&self) -> u64 {
        1
    }
}

/// A regular expression and what a byte of text costs with it.
#[derive(Debug)]
pub(crate) struct Expression {
    regex: Regex,
    /// The worst time grows with the size of the compiled expression.
    cost: u64,
}

/// Sizes of compiled expressions by what a byte of text costs with them.
const CLASSES: &[(usize, u64)] = &[(4 << 10, 1), (16 << 10, 4), (limits::MAX_REGEX_BYTES, 16)];

impl Expression {
    /// As in queries: the expression is about the whole value, on bytes.
    fn new(text: &str) -> Result<Expression, String> {
        // Alone it must stand too: a stray parenthesis must not reach out of the group around it.
        build(text, limits::MAX_REGEX_BYTES).map_err(|error| error.to_string())?;
        let whole = format!(r"\A(?:{text})\z");
        let mut last = String::new();
        for (size, cost) in CLASSES {
            match build(&whole, *size) {
                Ok(regex) => return Ok(Expression { regex, cost: *cost }),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }
}

impl Pattern for Expression {
    fn all(kit: &Kit) -> &[Expression] {
        &kit.regexes
    }

    fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    fn cost(&self) -> u64 {
        self.cost
    }
}

fn build(text: &str, size: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(size)
        .nest_limit(model::pattern::MAX_REGEX_NESTING)
        .build()
}

impl Kit {
    /// Prepares everything, or says what is wrong.
    pub(crate) fn new(script: &Script) -> Result<Kit, Denied> {
        let names = [script.fields.len(), script.regexes.len(), script.globs.len()];
        let most = [limits::MAX_FIELDS, limits::MAX_PATTERNS, limits::MAX_PATTERNS];
        if let Some((has, most)) = names.iter().zip(most).find(|(has, most)| *has > most) {
            return Err(Refusal::TooManyNames.of(format!("{has} of at most {most}")));
        }
        if !script.regexes.is_empty() && !script.asks.has(Capability::Regex) {
            return Err(Refusal::NotAsked.of("it has regular expressions, but not `regex`"));
        }
        let mut regexes = Vec::new();
        for (name, text) in &script.regexes {
            if text.len() > limits::MAX_REGEX_TEXT {
                return Err(Refusal::Regex.of(format!("`{name}` has {} bytes", text.len())));
            }
            let made = Expression::new(text);
            regexes.push(made.map_err(|why| Refusal::Regex.of(format!("`{name}`: {why}")))?);
        }
        for (name, text) in &script.globs {
            if text.len() > limits::MAX_PATTERN_BYTES {
                return Err(Refusal::Glob.of(format!("`{name}` has {} bytes", text.len())));
            }
        }
        Ok(Kit {
            fields: script.fields.clone(),
            regexes,
            regex_names: script.regexes.iter().map(|(name, _)| name.clone()).collect(),
            globs: script.globs.iter().map(|(_, text)| Glob(text.clone().into_bytes())).collect(),
            glob_names: script.globs.iter().map(|(name, _)| name.clone()).collect(),
            asks: script.asks,
            may: script.may,
            budget: script.budget,
        })
    }
}

impl Kit {
    /// Of a script that is never asked.
    pub(crate) fn empty(script: &Script) -> Kit {
        Kit {
            fields: Vec::new(),
            regexes: Vec::new(),
            regex_names: Vec::new(),
            globs: Vec::new(),
            glob_names: Vec::new(),
            asks: script.asks,
            may: script.may,
            budget: script.budget,
        }
    }
}

/// Whether any text of a value satisfies a test; and the bytes that were looked at.
pub(crate) fn any_text(value: Value<'_>, mut test: impl FnMut(&[u8]) -> bool) -> (bool, usize) {
    let mut bytes = 0;
    for one in value.each() {
        let found = with_text(one, |text| {
            bytes += text.len() + 1;
            test(text)
        });
        if found {
            return (true, bytes);
        }
    }
    (false, bytes)
}

/// Calls with the text of a scalar: addresses and numbers as people write them; nothing else has one.
pub(crate) fn with_text<R: Default>(value: Value<'_>, use_it: impl FnOnce(&[u8]) -> R) -> R {
    match value {
        Value::Str(text) => use_it(text),
        Value::Int(number) => use_it(number.to_string().as_bytes()),
        Value::Ip(address) => use_it(address.to_string().as_bytes()),
        Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => {
            R::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_about_the_whole_value_and_costs_by_its_size() {
        let small = Expression::new("/bin/(ba|da)?sh").unwrap();
        assert!(small.matches(b"/bin/dash") && !small.matches(b"/bin/dash -c"));
        assert_eq!(small.cost, 1);
        let large = Expression::new("(?:[ab]{40}c){20}").unwrap();
        assert!(large.cost > 1, "{}", large.cost);
        assert!(Expression::new("a)|(b").is_err(), "it must stand alone");
        assert!(Expression::new("((a{100}){100}){100}").unwrap_err().contains("size"));
    }

    #[test]
    fn any_element_can_satisfy_a_test() {
        let list = Value::List(model::value::List::Nul(b"sh\0-c\0"));
        assert_eq!(any_text(list, |text| text == b"-c"), (true, 6));
        assert_eq!(any_text(list, |text| text == b"-x"), (false, 6));
        assert_eq!(any_text(Value::Int(17), |text| text == b"17"), (true, 3));
        assert_eq!(any_text(Value::Null, |_| true), (false, 0));
    }
}
