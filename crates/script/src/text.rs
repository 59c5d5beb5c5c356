//! Text of strangers: cut to size, and made safe where people read it.

use crate::limits::MAX_DETAIL_BYTES;

/// At most so many bytes of a text, cut between characters.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Bytes as text of at most so many bytes; what is no UTF-8 is replaced.
pub(crate) fn owned(bytes: &[u8], most: usize) -> String {
    // A replaced byte takes three, so the cut comes again after it.
    let head = bytes.get(..most).unwrap_or(bytes);
    cut(&String::from_utf8_lossy(head), most).to_owned()
}

/// For messages: bounded, and nothing in it steers a terminal.
pub(crate) fn shown(text: &str) -> String {
    model::escape::escaped(cut(text, MAX_DETAIL_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("größe", 3), "gr");
        assert_eq!(cut("größe", 4), "grö");
        assert_eq!(owned(b"a\xff\xffb", 4), "a\u{fffd}", "four bytes, each bad one takes three");
        assert_eq!(owned(b"plain", 64), "plain");
    }
}
