//! Query text into tokens.

use logos::Logos;

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::dialect::Dialect;
use crate::limits::MAX_ERRORS;

/// A token of a query.
#[derive(Logos, Debug, Clone, Copy, PartialEq, Eq)]
#[logos(skip r"[ \t\r\n\f]+")]
#[logos(skip(r"//[^\n]*", allow_greedy = true))]
#[logos(skip r"/\*[^*]*\*+([^/*][^*]*\*+)*/")]
pub(crate) enum Token {
    #[token("and")]
    And,
    #[token("or")]
    Or,
    #[token("not")]
    Not,
    #[token("where")]
    Where,
    #[token("any")]
    Any,
    #[token("in")]
    In,
    #[token("in~")]
    InFold,
    #[token("like")]
    Like,
    #[token("like~")]
    LikeFold,
    #[token("regex")]
    Regex,
    #[token("regex~")]
    RegexFold,
    #[token("null")]
    Null,
    #[token("true")]
    True,
    #[token("false")]
    False,
    /// A field, function or category; components may be in backquotes.
    #[regex(r"(`[^`\n]+`|[@A-Za-z_][A-Za-z0-9_]*)(\.(`[^`\n]+`|[A-Za-z0-9_]+))*", priority = 2)]
    Name,
    #[regex(r#""([^"\\\n]|\\[^\n])*""#)]
    Text,
    #[token("\"\"\"", raw_text, priority = 20)]
    RawText,
    #[regex(r"[0-9]+")]
    Int,
    #[regex(r"([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+")]
    Float,
    #[token("==")]
    Equal,
    #[token("!=")]
    NotEqual,
    #[token("<")]
    Less,
    #[token("<=")]
    LessEqual,
    #[token(">")]
    Greater,
    #[token(">=")]
    GreaterEqual,
    #[token("=")]
    Assign,
    #[token(":")]
    Colon,
    #[token("+")]
    Plus,
    #[token("-")]
    Minus,
    #[token("*")]
    Star,
    #[token("/")]
    Slash,
    #[token("%")]
    Percent,
    #[token("(")]
    Open,
    #[token(")")]
    Close,
    #[token("[")]
    OpenStep,
    #[token("]")]
    CloseStep,
    #[token(",")]
    Comma,
    #[token("|")]
    Pipe,
    #[token("!")]
    Bang,
    #[token("~")]
    Tilde,
    #[token("?")]
    Question,
    #[token("$")]
    Dollar,
    #[token(".")]
    Dot,
    #[regex(r"'([^'\\\n]|\\[^\n])*'")]
    SingleQuoted,
    /// Classic strings without escapes.
    #[regex(r#"\?"(\\"|[^"\n])*""#)]
    #[regex(r"\?'(\\'|[^'\n])*'")]
    Raw,
    #[token("/*")]
    OpenComment,
    #[regex(r#""([^"\\\n]|\\[^\n])*"#)]
    #[regex(r"'([^'\\\n]|\\[^\n])*")]
    OpenText,
    /// The end of the query; not made by the lexer proper.
    End,
}

/// Takes a raw string to its closing quotes, which may be followed by up to two quotes that
/// belong to the text.
fn raw_text(lexer: &mut logos::Lexer<'_, Token>) -> bool {
    let rest = lexer.remainder();
    let Some(close) = rest.find("\"\"\"") else { return false };
    let extra = rest.bytes().skip(close + 3).take(2).take_while(|byte| *byte == b'"').count();
    lexer.bump(close + 3 + extra);
    true
}

/// All tokens with their places, ended by [`Token::End`], and what is wrong with them.
pub(crate) struct Tokens {
    pub(crate) all: Vec<(Token, Span)>,
    pub(crate) errors: Vec<Diagnostic>,
    /// Something had to be left out: what is left is no query.
    pub(crate) broken: bool,
}

/// Cuts a query into tokens.
pub(crate) fn tokens(query: &str, dialect: Dialect) -> Tokens {
    let mut tokens = Tokens { all: Vec::new(), errors: Vec::new(), broken: false };
    for (token, span) in Token::lexer(query).spanned() {
        if tokens.errors.len() >= MAX_ERRORS {
            break;
        }
        match token {
            Err(()) => {
                tokens.broken = true;
                tokens.errors.push(unreadable(query, span));
            }
            Ok(token) => {
                if let Some((message, help, broken)) = complaint(token, dialect) {
                    let found = Diagnostic::new(Code::Token, span.clone(), message).help(help);
                    tokens.errors.push(found);
                    tokens.broken |= broken;
                }
                tokens.all.push((token, span));
            }
        }
    }
    tokens.all.push((Token::End, query.trim_end().len()..query.trim_end().len()));
    tokens
}

fn unreadable(query: &str, span: Span) -> Diagnostic {
    let text = query.get(span.clone()).unwrap_or_default();
    if text.starts_with("\"\"\"") {
        return Diagnostic::new(Code::Token, span, "raw string without end")
            .help("close it with `\"\"\"`");
    }
    Diagnostic::new(Code::Token, span, format!("`{}` has no meaning here", text.escape_debug()))
}

/// What is wrong with a token that is never right, what to write instead, and whether the rest
/// makes no sense without it.
fn complaint(token: Token, dialect: Dialect) -> Option<(&'static str, &'static str, bool)> {
    match token {
        Token::SingleQuoted if !dialect.is_classic() => {
            Some(("strings are not written in single quotes", "use `\"…\"`", false))
        }
        Token::Raw if !dialect.is_classic() => {
            Some(("strings are not written with `?`", "use `\"\"\"…\"\"\"`", false))
        }
        Token::OpenComment => Some(("comment without end", "close it with `*/`", true)),
        Token::OpenText => Some((
            "string without end",
            "close it with `\"` on the same line; a quote within is written `\\\"`",
            true,
        )),
        _ => None,
    }
}

/// The text that a string token stands for.
pub(crate) fn unquote(token: Token, text: &str, at: usize) -> Result<String, Box<Diagnostic>> {
    if token == Token::RawText {
        let inner = text.get(3..text.len().saturating_sub(3)).unwrap_or_default();
        return Ok(inner.to_owned());
    }
    if token == Token::Raw {
        let quote = text.get(1..2).unwrap_or_default();
        let inner = text.get(2..text.len().saturating_sub(1)).unwrap_or_default();
        return Ok(inner.replace(&format!("\\{quote}"), quote));
    }
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(backslash) = rest.find('\\') {
        let (before, escape) = rest.split_at(backslash);
        out.push_str(before);
        let start = at + 1 + inner.len() - escape.len();
        let (decoded, length) =
            unescape(escape).ok_or_else(|| Box::new(bad_escape(escape, start)))?;
        out.push(decoded);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

/// The character that an escape stands for, and the length of the escape.
fn unescape(escape: &str) -> Option<(char, usize)> {
    let simple = |c| Some((c, 2));
    match escape.as_bytes().get(1)? {
        b'n' => simple('\n'),
        b't' => simple('\t'),
        b'r' => simple('\r'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'"' => simple('"'),
        b'\'' => simple('\''),
        b'\\' => simple('\\'),
        b'u' => {
            let digits = escape.get(2..)?.strip_prefix('{')?.split_once('}')?.0;
            if !(2..=8).contains(&digits.len()) {
                return None;
            }
            let decoded = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
            Some((decoded, digits.len() + 4))
        }
        _ => None,
    }
}

fn bad_escape(escape: &str, start: usize) -> Diagnostic {
    let length = 1 + escape.chars().nth(1).map_or(0, char::len_utf8);
    let shown = escape.get(..length).unwrap_or(escape);
    Diagnostic::new(Code::Token, start..start + length, format!("unknown escape `{shown}`")).help(
        "escapes are \\n \\r \\t \\b \\f \\\\ \\\" and \\u{…} with 2 to 8 hexadecimal digits; \
         a raw string \"\"\"…\"\"\" has none",
    )
}
