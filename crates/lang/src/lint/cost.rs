//! Regular expressions that cost more than they need to.

use model::field::{self, FieldId};
use model::program::{Expr, Test};

use super::{Look, tests};
use crate::diagnostic::Code;

/// Looks at all regular expressions of a condition.
pub(super) fn check(condition: &Expr, look: &mut Look<'_>) {
    let mut slow: Vec<(String, &'static str)> = Vec::new();
    tests(condition, &mut |id, test| {
        let Test::Regex { any, .. } = test else { return };
        for one in any {
            if let Some(why) = reason(id, one) {
                slow.push((written(one).to_owned(), why));
            }
        }
    });
    for (text, why) in slow {
        let message = format!("a regular expression costs much: {why}");
        let finding = look.push(Code::SlowRegex, message, &text);
        // As it stands between quotes where backslashes are escaped.
        finding.near.push(text.replace('\\', "\\\\"));
        finding.help.push_str(
            "say what must be there by `like`, `startsWith` or `stringContains`, and leave the \
             rest to the expression",
        );
    }
}

/// What the author wrote: expressions of Sigma are wrapped, since they look anywhere.
fn written(text: &str) -> &str {
    let inner = text.strip_prefix("(?s-u:.)*?(?").and_then(|rest| rest.strip_suffix(")(?s-u:.)*?"));
    inner.and_then(|inner| inner.split_once(':')).map_or(text, |(_, rest)| rest)
}

fn reason(id: FieldId, text: &str) -> Option<&'static str> {
    let own = written(text);
    if nested(own) {
        return Some("a repetition inside a repetition");
    }
    if large(own) {
        return Some("a repetition with a large count");
    }
    let after = own.trim_start_matches('^').strip_prefix(".*");
    let blind = after.is_some_and(|rest| is_long(id) && !starts_with_words(rest));
    blind.then_some("what follows its `.*` has no fixed text to look for in a field of long texts")
}

/// Shorter words are found too often to save anything.
const WORD_MIN: usize = 2;

/// Whether an expression begins with one of a few fixed texts: a search jumps from one to the next.
fn starts_with_words(text: &str) -> bool {
    let Ok(expression) = regex_syntax::parse(text) else { return false };
    let words = regex_syntax::hir::literal::Extractor::new().extract(&expression);
    words.min_literal_len().is_some_and(|length| length >= WORD_MIN)
}

/// Fields whose values are often hundreds of bytes long.
fn is_long(id: FieldId) -> bool {
    field::field(id).is_none_or(|row| {
        matches!(row.name.rsplit('.').next(), Some("command_line" | "args" | "env_vars"))
    })
}

/// Counts above this make tables of the expression large.
const MAX_COUNT: u32 = 100;

/// Whether `{n}` or `{n,m}` has a large number.
fn large(text: &str) -> bool {
    text.split('{').skip(1).any(|rest| {
        let inside = rest.split('}').next().unwrap_or_default();
        inside.split(',').any(|count| count.trim().parse::<u32>().is_ok_and(|n| n > MAX_COUNT))
    })
}

/// Whether a group that holds an unbounded repetition is itself repeated without bound.
fn nested(text: &str) -> bool {
    let mut groups: Vec<bool> = Vec::new();
    let mut class = false;
    let mut closed = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let just_closed = std::mem::take(&mut closed);
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'[' => class = true,
            b']' => class = false,
            _ if class => {}
            b'(' => groups.push(false),
            b')' => closed = groups.pop().unwrap_or_default(),
            b'*' | b'+' if just_closed => return true,
            b'*' | b'+' => groups.iter_mut().for_each(|one| *one = true),
            _ => {}
        }
    }
    false
}
