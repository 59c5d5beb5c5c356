//! Tokens of a query with its comments: as much of the grammar as layout needs.

use crate::diagnostic::{Code, Diagnostic};

/// What a token is to the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, a number with its unit, a text in quotes.
    Operand,
    /// A word or sign between or before operands.
    Operator,
    Open,
    Close,
    Comma,
    /// `?field`, `!` before a step, `$`.
    Prefix,
    /// `=` of `maxspan=1m`.
    Assign,
    /// `// …` to the end of its line.
    LineComment,
    /// `/* … */`
    BlockComment,
}

/// A token as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    /// Line breaks before it.
    pub(super) breaks: usize,
    /// Nothing at all stands before it.
    pub(super) glued: bool,
}

/// Words that are no names, so that a parenthesis after them opens a group and no call.
const WORDS: &[&str] = &[
    "and",
    "or",
    "not",
    "in",
    "in~",
    "like",
    "like~",
    "regex",
    "regex~",
    "where",
    "by",
    "with",
    "until",
    "of",
    "as",
    "head",
    "tail",
    "unique",
    "filter",
    "sort",
    "count",
    "unique_count",
];

/// Signs, longest first.
const SIGNS: &[&str] =
    &["==", "!=", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", ":", "|", "~", "."];

/// The tokens of a query.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Box<Diagnostic>> {
    let mut all: Vec<Token<'_>> = Vec::new();
    let (mut at, mut breaks, mut glued) = (0, 0, false);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or_default();
        if first.is_whitespace() {
            breaks += usize::from(first == '\n');
            glued = false;
            at += first.len_utf8();
            continue;
        }
        let before = Before { last: all.last().copied(), glued };
        let (kind, length) = next(rest, before).ok_or_else(|| unreadable(at, first))?;
        let token = rest.get(..length).unwrap_or(rest);
        all.push(Token { kind, text: token, breaks, glued });
        at += token.len().max(1);
        (breaks, glued) = (0, true);
    }
    Ok(all)
}

fn unreadable(at: usize, first: char) -> Box<Diagnostic> {
    let message = format!("`{}` cannot be read here", first.escape_debug());
    Box::new(Diagnostic::new(Code::Token, at..at + first.len_utf8(), message))
}

/// What stands before a token.
#[derive(Debug, Clone, Copy)]
struct Before<'t> {
    last: Option<Token<'t>>,
    /// Without a space.
    glued: bool,
}

impl Before<'_> {
    fn is_operand(&self) -> bool {
        self.last.is_some_and(|last| matches!(last.kind, Kind::Operand | Kind::Close))
    }

    /// A word that takes `=VALUE`.
    fn is_option(&self) -> bool {
        self.last.is_some_and(|last| matches!(last.text, "maxspan" | "runs"))
    }

    /// The dot of a name: what follows is a part of the name, whatever the word.
    fn is_dot(&self) -> bool {
        self.glued && self.last.is_some_and(|last| last.text == ".")
    }
}

/// Kind and bytes of the token at the start of `rest`.
fn next(rest: &str, before: Before<'_>) -> Option<(Kind, usize)> {
    if rest.starts_with("//") {
        let line = rest.find('\n').unwrap_or(rest.len());
        return Some((Kind::LineComment, rest.get(..line)?.trim_end().len()));
    }
    if rest.starts_with("/*") {
        return Some((Kind::BlockComment, rest.get(2..)?.find("*/")? + 4));
    }
    if rest.starts_with("\"\"\"") {
        let close = rest.get(3..)?.find("\"\"\"")? + 3;
        // Quotes before the closing three belong to the text.
        let more = rest.get(close + 3..)?.bytes().take_while(|byte| *byte == b'"').count();
        return Some((Kind::Operand, close + 3 + more.min(2)));
    }
    let first = rest.bytes().next()?;
    match first {
        b'"' | b'\'' | b'`' => return Some((Kind::Operand, quoted(rest, first)?)),
        b'?' if matches!(rest.as_bytes().get(1), Some(b'"' | b'\'')) => {
            return Some((Kind::Operand, raw(rest)?));
        }
        b'(' | b'[' => return Some((Kind::Open, 1)),
        b')' | b']' => return Some((Kind::Close, 1)),
        b',' => return Some((Kind::Comma, 1)),
        b'?' | b'$' => return Some((Kind::Prefix, 1)),
        b'!' if !rest.starts_with("!=") => return Some((Kind::Prefix, 1)),
        b'=' if before.is_option() => return Some((Kind::Assign, 1)),
        _ => {}
    }
    if first.is_ascii_alphanumeric() || matches!(first, b'_' | b'@') || first >= 0x80 {
        let (kind, length) = word(rest);
        return Some((if before.is_dot() { Kind::Operand } else { kind }, length));
    }
    let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign))?;
    match *sign {
        // `name~(`, and what goes on after a quoted part of a name.
        // `.5`
        "." if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => {
            Some((Kind::Operand, word(rest).1))
        }
        "~" | "." if before.glued => Some((Kind::Operand, 1)),
        "-" | "+" if !before.is_operand() => Some((Kind::Prefix, 1)),
        "~" | "." => None,
        sign => Some((Kind::Operator, sign.len())),
    }
}

/// Bytes of a text in quotes.
fn quoted(rest: &str, quote: u8) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quote != b'`' => escaped = true,
            b'\n' => return None,
            _ if byte == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Bytes of a classic raw string: it goes on behind a quote that a backslash stands before, if
/// another quote follows on the line.
fn raw(rest: &str) -> Option<usize> {
    let quote = *rest.as_bytes().get(1)?;
    let mut end = None;
    let mut before = quote;
    for (at, byte) in rest.bytes().enumerate().skip(2).take_while(|(_, byte)| *byte != b'\n') {
        if byte == quote {
            end = Some(at + 1);
            if before != b'\\' {
                break;
            }
        }
        before = byte;
    }
    end
}

/// A name with its dots, or a number.
fn word(rest: &str) -> (Kind, usize) {
    let inside = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '@' | '.');
    let number = rest.starts_with(|letter: char| letter.is_ascii_digit());
    let length = rest.find(|letter: char| !inside(letter)).unwrap_or(rest.len());
    let mut length = length.max(1);
    let text = rest.get(..length).unwrap_or(rest);
    // `1e-3`: the sign belongs to the number.
    if number
        && text.ends_with(['e', 'E'])
        && rest.get(length..).is_some_and(|r| r.starts_with('-'))
    {
        let digits = rest.bytes().skip(length + 1).take_while(u8::is_ascii_digit).count();
        length += 1 + digits;
    }
    let tilde = rest.get(length..).is_some_and(|rest| rest.starts_with('~'));
    let keyword = |text: &str| WORDS.contains(&text);
    let with_tilde = rest.get(..=length).filter(|_| tilde);
    if let Some(text) = with_tilde.filter(|text| keyword(text)) {
        return (Kind::Operator, text.len());
    }
    let text = rest.get(..length).unwrap_or(rest);
    (if keyword(text) { Kind::Operator } else { Kind::Operand }, length)
}
