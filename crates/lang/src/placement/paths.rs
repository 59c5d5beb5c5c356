//! What a rule asks of a path, as patterns of policies that fit the same paths.
//!
//! In rules `*` is any bytes, in policies any bytes of one name; so a star becomes one within its
//! name, or one that goes on below, or both. A folded letter becomes a set of two.

/// Stars between two letters of one pattern: each doubles the number of patterns.
const SPLITS_MAX: usize = 3;

/// One position of a text that a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Byte(u8),
    /// Any bytes.
    Star,
}

/// What part of a path the text is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Path,
    /// The last name.
    Name,
    /// What follows the last dot of the last name.
    Extension,
    /// All but the last name.
    Directory,
}

/// Patterns that together fit just the paths that the text fits; none if it fits no path. The error
/// says why there are no such patterns.
pub(super) fn patterns(of: Of, text: &[Token], fold: bool) -> Result<Vec<String>, &'static str> {
    let mut tokens = text.to_vec();
    tokens.dedup_by(|one, other| *one == Token::Star && *other == Token::Star);
    if tokens.contains(&Token::Byte(0)) {
        return Ok(Vec::new());
    }
    let mut found = match of {
        Of::Path => path(&tokens)?,
        Of::Name => name(&tokens, "**/"),
        Of::Extension if tokens.contains(&Token::Byte(b'.')) => Vec::new(),
        Of::Extension if tokens.contains(&Token::Star) => {
            return Err("a pattern of an extension");
        }
        Of::Extension => name(&tokens, "**/*."),
        Of::Directory => {
            let below = |mut one: Vec<Piece>| {
                one.extend([Piece::Text("/"), Piece::Star]);
                one
            };
            path(&tokens)?.into_iter().map(below).collect()
        }
    };
    // As written first: what is named without a wildcard is known by its inode, too.
    let plain = found.iter().map(|one| written(one, false));
    let mut all: Vec<String> = plain.collect();
    if fold {
        all.extend(found.drain(..).map(|one| written(&one, true)));
    }
    all.dedup();
    Ok(all)
}

/// A piece of a pattern of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    Star,
    Text(&'static str),
}

fn byte(token: Token) -> Option<u8> {
    match token {
        Token::Byte(byte) => Some(byte),
        Token::Star => None,
    }
}

fn name(tokens: &[Token], before: &'static str) -> Vec<Vec<Piece>> {
    if tokens.is_empty() || tokens.contains(&Token::Byte(b'/')) || is_dots(tokens) {
        return Vec::new();
    }
    let mut pieces = vec![Piece::Text(before)];
    pieces.extend(tokens.iter().map(|token| byte(*token).map_or(Piece::Star, Piece::Byte)));
    vec![pieces]
}

/// `.` and `..` are no names of a path that was resolved.
fn is_dots(name: &[Token]) -> bool {
    matches!(name, [Token::Byte(b'.')] | [Token::Byte(b'.'), Token::Byte(b'.')])
}

/// Whether no path that was resolved can be like this: it begins with a slash, and no name of it is
/// empty, `.` or `..`.
fn is_no_path(tokens: &[Token]) -> bool {
    let names: Vec<&[Token]> = tokens.split(|token| *token == Token::Byte(b'/')).collect();
    let starts = matches!(tokens.first(), Some(Token::Star | Token::Byte(b'/')));
    let odd = |at: usize, name: &[Token]| name.is_empty() && at > 0 || is_dots(name);
    !starts || names.iter().enumerate().any(|(at, name)| odd(at, name))
}

fn path(tokens: &[Token]) -> Result<Vec<Vec<Piece>>, &'static str> {
    if is_no_path(tokens) {
        return Ok(Vec::new());
    }
    let mut all: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut splits = 0;
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at)).copied().and_then(byte);
        let after = tokens.get(at + 1).copied().and_then(byte);
        let pieces: &[&[Piece]] = match (token, before, after) {
            (Token::Byte(byte), ..) => {
                for one in &mut all {
                    one.push(Piece::Byte(*byte));
                }
                continue;
            }
            // A path begins with a slash, so a star there is what stands before another one.
            (_, None, None) => &[&[Piece::Text("/**")]],
            (_, None, Some(b'/')) => &[&[Piece::Text("**")]],
            (_, Some(_), None | Some(b'/')) => &[&[Piece::Star, Piece::Text("/**")]],
            (_, None | Some(b'/'), Some(_)) => &[&[Piece::Text("**/"), Piece::Star]],
            (_, Some(_), Some(_)) => {
                splits += 1;
                &[&[Piece::Star], &[Piece::Star, Piece::Text("/**/"), Piece::Star]]
            }
        };
        if splits > SPLITS_MAX {
            return Err("so many stars within names");
        }
        let longer = all.iter().flat_map(|one| {
            pieces.iter().map(move |more| one.iter().chain(more.iter()).cloned().collect())
        });
        all = longer.collect();
    }
    Ok(all)
}

fn written(pieces: &[Piece], fold: bool) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Star => text.push('*'),
            Piece::Text(one) => text.push_str(one),
            Piece::Byte(byte) if fold && byte.is_ascii_alphabetic() => {
                let letters = [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
                text.push('[');
                text.extend(letters.map(char::from));
                text.push(']');
            }
            Piece::Byte(byte) if b"*?[]{}\\".contains(byte) => {
                text.extend(['\\', char::from(*byte)]);
            }
            Piece::Byte(byte) if byte.is_ascii_graphic() || *byte == b' ' => {
                text.push(char::from(*byte));
            }
            Piece::Byte(byte) => {
                text.push_str("\\x");
                text.extend(
                    [byte >> 4, byte & 15]
                        .map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')),
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        let token = |byte| if byte == b'*' { Token::Star } else { Token::Byte(byte) };
        text.bytes().map(token).collect()
    }

    fn of(what: Of, text: &str) -> Vec<String> {
        patterns(what, &tokens(text), false).unwrap()
    }

    #[test]
    fn a_star_goes_on_below() {
        for (text, wanted) in [
            ("/etc/shadow", &["/etc/shadow"][..]),
            ("/etc/*", &["/etc/*/**"]),
            ("/tmp/a*", &["/tmp/a*/**"]),
            ("*.pem", &["**/*.pem"]),
            ("*/x", &["**/x"]),
            ("*", &["/**"]),
            ("*secret*", &["**/*secret*/**"]),
            ("/home/*/.ssh/*", &["/home/*/**/.ssh/*/**"]),
            ("/var/*.log", &["/var/**/*.log"]),
            ("/tmp/a*b", &["/tmp/a*b", "/tmp/a*/**/*b"]),
            ("/a**b", &["/a*b", "/a*/**/*b"]),
        ] {
            assert_eq!(of(Of::Path, text), wanted, "{text}");
        }
        assert_eq!(of(Of::Name, "sh*"), ["**/sh*"]);
        assert_eq!(of(Of::Extension, "pem"), ["**/*.pem"]);
        assert_eq!(of(Of::Directory, "/etc"), ["/etc/*"]);
        assert_eq!(of(Of::Directory, "/etc/*"), ["/etc/*/**/*"]);
    }

    #[test]
    fn what_fits_no_path_needs_no_pattern() {
        for text in ["etc", "", "/etc/", "/a//b", "/a/../b", "/a/./b", "/a\0"] {
            assert!(of(Of::Path, text).is_empty(), "{text:?}");
        }
        assert!(of(Of::Name, "a/b").is_empty());
        assert!(of(Of::Extension, "tar.gz").is_empty(), "the last dot counts");
        assert!(patterns(Of::Path, &tokens("/a*b*c*d*e"), false).is_err());
        assert!(patterns(Of::Extension, &tokens("p*"), false).is_err());
    }

    #[test]
    fn letters_fold_and_signs_are_escaped() {
        let folded = patterns(Of::Path, &tokens("/b-1"), true).unwrap();
        assert_eq!(folded, ["/b-1", "/[bB]-1"]);
        assert_eq!(of(Of::Path, "/a[?]\u{e9}"), [r"/a\[\?\]\xc3\xa9"]);
    }
}
