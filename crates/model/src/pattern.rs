//! How patterns of rules are read: one definition for the compiler, which checks them, and the
//! engine, which runs them.

use regex::bytes::{Regex, RegexBuilder};

/// Bytes of a compiled regular expression; larger ones are refused. Enough for a list of some
/// hundred words, small enough for thousands of rules.
pub const MAX_REGEX_BYTES: usize = 256 << 10;
/// Depth of groups in a regular expression.
pub const MAX_REGEX_NESTING: u32 = 64;

/// The regular expression that matches a whole value if any of `any` does.
///
/// It works on bytes: `.` is any byte, classes and case folding are ASCII. So a path with bytes
/// that are no UTF-8 cannot slip through a `.*`.
pub fn regex(any: &[String], fold: bool) -> Result<Regex, regex::Error> {
    // Each must stand alone: a stray parenthesis must not reach out of its group.
    for one in any {
        build(one, fold)?;
    }
    let joined = any.iter().map(|one| format!("(?:{one})")).collect::<Vec<_>>().join("|");
    build(&format!(r"\A(?:{joined})\z"), fold)
}

fn build(text: &str, fold: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .unicode(false)
        .dot_matches_new_line(true)
        .case_insensitive(fold)
        .size_limit(MAX_REGEX_BYTES)
        .nest_limit(MAX_REGEX_NESTING)
        .build()
}

/// Whether a wildcard pattern matches a whole text: `*` is any bytes, `?` one character (one byte
/// where the text is no UTF-8).
///
/// Only the last `*` is ever tried again, so the time is at most the product of both lengths.
pub fn wildcard(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last `*`, and with it taking one byte more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                p += 1;
                retry = Some((p, t));
                continue;
            }
            (Some(b'?'), Some(_)) => {
                p += 1;
                t += character(text, t);
                continue;
            }
            (Some(a), Some(b)) if a == b || fold && a.eq_ignore_ascii_case(b) => {
                p += 1;
                t += 1;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        match retry {
            Some((after, taken)) if taken < text.len() => {
                p = after;
                t = taken + 1;
                retry = Some((after, t));
            }
            _ => return false,
        }
    }
}

/// Bytes of the character at `at`; 1 where there is none.
fn character(text: &[u8], at: usize) -> usize {
    let length = match text.get(at) {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => 1,
    };
    match text.get(at..at + length).map(std::str::from_utf8) {
        Some(Ok(_)) => length,
        _ => 1,
    }
}

/// Number of characters of a text; each byte that is no UTF-8 counts as one.
pub fn characters(text: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < text.len() {
        at += character(text, at);
        count += 1;
    }
    count
}

/// Where the character of that number begins, the end for the one behind the last; `None` beyond.
pub fn offset(text: &[u8], number: usize) -> Option<usize> {
    let mut at = 0;
    for _ in 0..number {
        if at >= text.len() {
            return None;
        }
        at += character(text, at);
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_of_characters() {
        let text = "aé\u{20ac}b".as_bytes();
        let all: Vec<Option<usize>> = (0..6).map(|number| offset(text, number)).collect();
        assert_eq!(all, [Some(0), Some(1), Some(3), Some(6), Some(7), None]);
        assert_eq!(offset(b"\xff\xc3a", 2), Some(2), "what is no UTF-8 counts byte by byte");
    }

    #[test]
    fn wildcards_match_whole_texts() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "é", true),
            ("??", "é", false),
            ("*a*b", "aaab", true),
            ("*ab?d*", "xabxabcd", true),
            ("a", "A", false),
        ] {
            assert_eq!(
                wildcard(pattern.as_bytes(), text.as_bytes(), false),
                matches,
                "{pattern} {text}"
            );
        }
        assert!(wildcard(b"/TMP/*", b"/tmp/\xff", true));
        assert!(!wildcard("É".as_bytes(), "é".as_bytes(), true), "folding is ASCII only");
    }

    #[test]
    fn a_regex_covers_the_whole_value_and_any_byte() {
        let find = regex(&["a".into(), "b.*".into()], false).unwrap();
        assert!(find.is_match(b"a") && find.is_match(b"b\xff\n"));
        assert!(!find.is_match(b"xa") && !find.is_match(b"a\n"));
        assert!(regex(&["a{1000}{1000}".into()], false).is_err(), "size is bounded");
        assert!(regex(&["a))|((?:b".into()], false).is_err(), "no way out of the anchors");
    }

    #[test]
    fn length_counts_characters() {
        assert_eq!(characters("aé€".as_bytes()), 3);
        assert_eq!(characters(b"\xff\xc3"), 2);
    }
}
