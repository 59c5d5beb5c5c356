//! Foreign text in a line: escaped and cut.

use model::escape::escaped;

/// Longest piece of foreign text in a compact line, in characters; JSON has all of it.
pub(crate) const PIECE_MAX: usize = 300;

/// The text with what could deceive as escapes, cut to [`PIECE_MAX`].
pub(crate) fn piece(text: &str) -> String {
    match text.char_indices().nth(PIECE_MAX) {
        Some((end, _)) => escaped(text.get(..end).unwrap_or_default()) + "…",
        None => escaped(text),
    }
}

/// An argument as a shell would need it: quoted when it is empty or holds a space or a quote.
pub(crate) fn argument(text: &str) -> String {
    if text.is_empty() || text.contains([' ', '\'', '"']) {
        format!("'{}'", piece(&text.replace('\'', r"'\''")))
    } else {
        piece(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        assert_eq!(piece("a\x1b[2Jb\nc"), r"a\u{1b}[2Jb\nc");
        assert_eq!(piece(&"x".repeat(1000)).chars().count(), PIECE_MAX + 1);
    }

    #[test]
    fn arguments_are_quoted_only_where_needed() {
        assert_eq!(argument("-c"), "-c");
        assert_eq!(argument("echo it's"), r"'echo it'\''s'");
        assert_eq!(argument(""), "''");
    }
}
