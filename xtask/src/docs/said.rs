//! Whether a program prints what a page says that it prints.
//!
//! Words must be the same. Numbers and digests differ from run to run, so each stands for any other, and so do runs of
//! spaces, which follow them. `…` or `...` within a line stands for any text, `...` alone for any lines.

/// Whether the output is what is shown, from the first line to the last.
pub(super) fn is_shown(shown: &[String], output: &str) -> bool {
    let shown: Vec<Line> = shown.iter().map(|line| Line::of(line)).collect();
    let output: Vec<String> = output.lines().map(plain).collect();
    fits(&shown, &output)
}

/// The first line that is shown and not among those that were printed.
pub(super) fn missing<'s>(shown: &'s [String], output: &str) -> Option<&'s String> {
    let output: Vec<String> = output.lines().map(plain).collect();
    shown.iter().find(|line| match Line::of(line) {
        Line::Any => false,
        Line::Text(pieces) => !output.iter().any(|line| fits_line(&pieces, line)),
    })
}

/// A line of a page.
enum Line {
    /// Any lines.
    Any,
    /// Pieces of text between which there may be others.
    Text(Vec<String>),
}

impl Line {
    fn of(line: &str) -> Line {
        if line.trim() == "..." {
            return Line::Any;
        }
        Line::Text(line.replace("...", "…").split('…').map(plain).collect())
    }
}

fn fits(shown: &[Line], output: &[String]) -> bool {
    match shown.split_first() {
        None => output.is_empty(),
        Some((Line::Any, rest)) => (0..=output.len())
            .any(|from| output.get(from..).is_some_and(|output| fits(rest, output))),
        Some((Line::Text(pieces), rest)) => output
            .split_first()
            .is_some_and(|(line, output)| fits_line(pieces, line) && fits(rest, output)),
    }
}

/// Whether a line begins with the first piece, ends with the last, and has the others in between.
fn fits_line(pieces: &[String], line: &str) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return line.is_empty() };
    let Some((last, middle)) = rest.split_last() else { return line == first };
    let Some(mut line) = line.strip_prefix(first.as_str()) else { return false };
    for piece in middle {
        let Some((_, after)) = line.split_once(piece.as_str()) else { return false };
        line = after;
    }
    line.ends_with(last.as_str())
}

/// Shortest run of hexadecimal digits that is a digest or an id and no word.
const DIGEST: usize = 8;

/// The text with one digit for each number or digest, and one space for each run of them.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.trim_end();
    while let Some(first) = rest.chars().next() {
        let run = |is: fn(char) -> bool| rest.find(|one: char| !is(one)).unwrap_or(rest.len());
        let end = if first.is_ascii_alphanumeric() {
            run(|one| one.is_ascii_alphanumeric())
        } else if first == ' ' {
            run(|one| one == ' ')
        } else {
            first.len_utf8()
        };
        let (piece, after) = rest.split_at(end);
        if first == ' ' {
            out.push(' ');
        } else {
            plain_word(piece, &mut out);
        }
        rest = after;
    }
    out
}

fn plain_word(word: &str, out: &mut String) {
    let is_hex = |one: char| one.is_ascii_digit() || ('a'..='f').contains(&one);
    if word.len() >= DIGEST
        && word.chars().all(is_hex)
        && word.contains(|one: char| one.is_ascii_digit())
    {
        out.push('0');
        return;
    }
    for one in word.chars() {
        if !one.is_ascii_digit() {
            out.push(one);
        } else if !out.ends_with('0') {
            out.push('0');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(shown: &str, output: &str) -> bool {
        let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
        is_shown(&shown, output)
    }

    #[test]
    fn words_count_and_numbers_do_not() {
        assert!(holds("generation 1 runs, 80 rules", "generation 12 runs, 7 rules\n"));
        assert!(!holds("generation 1 runs", "generation 1 stops\n"));
        assert!(holds("a  1  62a41f35c0de", "a 11     9b1c22e07a51"));
        assert!(!holds("62a41f35c0de", "decade is a word"));
    }

    #[test]
    fn all_lines_count_unless_some_are_left_out() {
        assert!(!holds("a\nb", "a\nb\nc\n"));
        assert!(!holds("a\nb", "a\n"));
        assert!(holds("a\n...", "a\nb\nc\n"));
        assert!(holds("...\nc", "a\nb\nc\n"));
        assert!(!holds("...\nb", "a\nb\nc\n"));
    }

    #[test]
    fn parts_of_lines_may_be_left_out() {
        assert!(holds(
            "who={\"uid\":0,…} version=0.1.0",
            "who={\"uid\":0,\"login\":0} version=0.2.0"
        ));
        assert!(holds("a ... c … e", "a b c d e"));
        assert!(!holds("a … c", "a b d"));
        assert!(!holds("… c", "a c d"));
    }

    #[test]
    fn a_line_that_a_terminal_never_showed_is_named() {
        let shown = ["exec bash(15) x".to_owned(), "exit x".into()];
        assert_eq!(missing(&shown, "exit y\nexec bash(7) x\n"), Some(&shown[1]));
        assert_eq!(missing(&shown, "exit x\nexec bash(7) x\n"), None);
    }
}
