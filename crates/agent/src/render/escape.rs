//! Making foreign text safe to show.

/// Longest piece of foreign text in a compact line, in characters; JSON has all of it.
pub(crate) const PIECE_MAX: usize = 300;

/// The text with control characters, invisible direction marks and line separators as escapes,
/// cut to [`PIECE_MAX`].
pub(crate) fn piece(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(PIECE_MAX));
    for (count, c) in text.chars().enumerate() {
        if count == PIECE_MAX {
            out.push('…');
            break;
        }
        if c.is_control() || is_deceptive(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// An argument as a shell would need it: quoted when it is empty or holds a space or a quote.
pub(crate) fn argument(text: &str) -> String {
    if text.is_empty() || text.contains([' ', '\'', '"']) {
        format!("'{}'", piece(&text.replace('\'', r"'\''")))
    } else {
        piece(text)
    }
}

/// Characters that change how their neighbours are shown.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_cannot_be_steered() {
        assert_eq!(piece("a\x1b[2Jb\nc"), r"a\u{1b}[2Jb\nc");
        assert_eq!(piece("x\u{202e}y\u{9b}z"), r"x\u{202e}y\u{9b}z");
        assert_eq!(piece("größe 日本"), "größe 日本");
        assert_eq!(piece(&"x".repeat(1000)).chars().count(), PIECE_MAX + 1);
    }

    #[test]
    fn arguments_are_quoted_only_where_needed() {
        assert_eq!(argument("-c"), "-c");
        assert_eq!(argument("echo it's"), r"'echo it'\''s'");
        assert_eq!(argument(""), "''");
    }
}
