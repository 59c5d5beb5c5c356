//! Text of strangers, made safe to show.

/// Whether a character steers a terminal, or changes how its neighbours are shown: control characters,
/// invisible marks and marks of direction, separators of lines.
fn is_deceptive(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The text with such characters as escapes. It is not cut.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for one in text.chars() {
        if is_deceptive(one) {
            shown.extend(one.escape_default());
        } else {
            shown.push(one);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_cannot_be_steered() {
        assert_eq!(escaped("a\x1b[2Jb\nc"), r"a\u{1b}[2Jb\nc");
        assert_eq!(escaped("x\u{202e}y\u{9b}z"), r"x\u{202e}y\u{9b}z");
        assert_eq!(escaped("größe 日本"), "größe 日本");
    }
}
