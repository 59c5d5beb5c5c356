//! Path patterns: their syntax, their normal form, and which automaton can match them.
//!
//! | written | fits |
//! |---|---|
//! | `/etc/shadow` | that path |
//! | `*`, `?` | any bytes, one byte, within a name |
//! | `[a-z_]`, `[!0-9]` | one byte of these, or not of these, never `/` |
//! | `/x/**` | `/x` and all below it |
//! | `/x/**/y` | `/x/y`, `/x/a/y`, `/x/a/b/y` |
//! | `**/x`, `x` | a name at any depth |
//! | `\*`, `\\`, `\xff` | that byte as it is |
//!
//! `//`, `/./` and a `/` at the end are taken away; `..` is an error, since it means another path
//! as soon as a link is on the way. A path is bytes: `?` fits one byte, not one character.

use crate::bits::Bits;
use crate::limits::PATH_MAX;

/// Fewer bytes of a name than this, anywhere, fit much that nobody thought of.
const WIDE_BYTES: usize = 3;

/// What is wrong with a pattern, and which part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path pattern {pattern:?}, at {part:?}: {why}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// The part of it.
    pub part: String,
    /// What is wrong and what to write instead.
    pub why: &'static str,
}

/// One position in a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Atom {
    Byte(u8),
    /// One byte of these; never holds `/`.
    Set(Box<Bits>),
    /// Any bytes but `/`.
    Star,
}

/// What stands between slashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Part {
    Name(Vec<Atom>),
    /// Any number of names, none included.
    Deep,
}

/// A pattern in normal form: two that fit the same paths for the same reason are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern {
    pub(crate) parts: Vec<Part>,
}

/// Which automaton matches a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Class {
    /// The one that reads from the root.
    Anchored,
    /// The one that looks for texts anywhere.
    Loose(Vec<Needle>),
}

/// A text to be found in a path, and where it counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Needle {
    pub(crate) text: Vec<u8>,
    pub(crate) place: NeedlePlace,
}

/// Where a text counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NeedlePlace {
    /// At the end of the path.
    End,
    /// Within the last name, or at the slash before it.
    LastName,
    /// Anywhere.
    Anywhere,
}

/// All bytes of a name that `?` fits.
pub(crate) fn any_byte() -> Bits {
    !(Bits::one(b'/') | Bits::one(0))
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let fail =
            |part: &str, why| PatternError { pattern: text.to_owned(), part: part.to_owned(), why };
        if text.len() >= PATH_MAX {
            return Err(fail(text.get(..32).unwrap_or(""), "longer than any path can be"));
        }
        if matches!(text, "" | ".") {
            return Err(fail(text, "a path is missing"));
        }
        let relative = !text.starts_with('/');
        let mut parts = Vec::new();
        if relative && !text.contains('/') {
            parts.push(Part::Deep);
        } else if relative && !text.starts_with("**/") {
            let why = "begin with `/`, or with `**/` for any depth";
            return Err(fail(text.split('/').next().unwrap_or(text), why));
        }
        for name in text.split('/') {
            match name {
                "" | "." => {}
                ".." => return Err(fail(name, "`..` is not allowed: write the path it leads to")),
                "**" if parts.last() == Some(&Part::Deep) => {}
                "**" => parts.push(Part::Deep),
                name => parts.push(Part::Name(atoms(name).map_err(|why| fail(name, why))?)),
            }
        }
        Ok(Pattern { parts })
    }

    /// A path that fits, as plain as can be.
    pub fn example(&self) -> Vec<u8> {
        let mut path = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                // `**` at the end also fits nothing: what is below is the point.
                Part::Deep if at + 1 < self.parts.len() => {}
                Part::Deep => path.extend_from_slice(b"/x"),
                Part::Name(atoms) => {
                    path.push(b'/');
                    for atom in atoms {
                        match atom {
                            Atom::Byte(byte) => path.push(*byte),
                            Atom::Star => path.push(b'x'),
                            Atom::Set(bits) => {
                                let letter = bits.iter().find(u8::is_ascii_alphanumeric);
                                path.extend(letter.or_else(|| bits.iter().next()));
                            }
                        }
                    }
                }
            }
        }
        if path.is_empty() { b"/".to_vec() } else { path }
    }

    /// Whether it says next to nothing about a path: no name of it is given, or only a letter or
    /// two of a name anywhere.
    pub fn is_wide(&self) -> bool {
        let deep = self.parts.first() == Some(&Part::Deep);
        let given = self.parts.iter().map(|part| match part {
            Part::Name(atoms) => atoms.iter().filter(|atom| is_given(atom)).count(),
            Part::Deep => 0,
        });
        let given: usize = given.sum();
        !self.parts.is_empty() && given < if deep { WIDE_BYTES } else { 1 }
    }

    /// Whether a file with such a path can be found below any directory: other patterns say nothing
    /// about whether this one fits too.
    pub fn floats(&self) -> bool {
        self.parts.first() == Some(&Part::Deep)
    }

    /// Which automaton can match it.
    pub(crate) fn class(&self) -> Class {
        self.needles().map_or(Class::Anchored, Class::Loose)
    }

    /// The texts that do for the pattern, if it begins with `**/` and has wildcards at most at both
    /// ends of the rest.
    fn needles(&self) -> Option<Vec<Needle>> {
        let (Part::Deep, mut names) = self.parts.split_first()? else { return None };
        let below = names.last() == Some(&Part::Deep);
        if below {
            names = names.get(..names.len() - 1)?;
        }
        let mut atoms = Vec::new();
        for part in names {
            let Part::Name(name) = part else { return None };
            atoms.push(Atom::Byte(b'/'));
            atoms.extend_from_slice(name);
        }
        let mut atoms = atoms.as_slice();
        if let [Atom::Byte(b'/'), Atom::Star, rest @ ..] = atoms {
            if matches!(rest.first(), None | Some(Atom::Byte(b'/'))) {
                return None;
            }
            atoms = rest;
        }
        let open = atoms.last() == Some(&Atom::Star);
        if open {
            atoms = atoms.get(..atoms.len() - 1)?;
        }
        let text = atoms.iter().map(|atom| match atom {
            Atom::Byte(byte) => Some(*byte),
            _ => None,
        });
        let text: Vec<u8> = text.collect::<Option<_>>()?;
        if text.is_empty() {
            return None;
        }
        let needle = |text, place| Needle { text, place };
        Some(match (open, below) {
            (true, true) => vec![needle(text, NeedlePlace::Anywhere)],
            (true, false) => vec![needle(text, NeedlePlace::LastName)],
            (false, false) => vec![needle(text, NeedlePlace::End)],
            (false, true) => {
                let mut inside = text.clone();
                inside.push(b'/');
                vec![needle(text, NeedlePlace::End), needle(inside, NeedlePlace::Anywhere)]
            }
        })
    }
}

/// Whether a position says what stands there: a letter, or the same one in two sizes.
fn is_given(atom: &Atom) -> bool {
    match atom {
        Atom::Byte(_) => true,
        Atom::Set(bits) => bits.iter().count() <= 2,
        Atom::Star => false,
    }
}

/// The positions of one name.
fn atoms(name: &str) -> Result<Vec<Atom>, &'static str> {
    let mut atoms = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'*' if rest.first() == Some(&b'*') => {
                return Err("`**` stands alone between slashes: write `/dir/**/*.conf`");
            }
            b'*' => atoms.push(Atom::Star),
            b'?' => atoms.push(Atom::Set(Box::new(any_byte()))),
            b'[' => atoms.push(Atom::Set(Box::new(set(&mut rest)?))),
            b'\\' => atoms.push(Atom::Byte(escaped(&mut rest)?)),
            b'{' | b'}' => return Err("braces are kept for later: write two patterns, or `\\{`"),
            0 => return Err("no path holds a zero byte"),
            byte => atoms.push(Atom::Byte(byte)),
        }
    }
    Ok(atoms)
}

/// The byte after a backslash; `rest` begins behind the backslash.
fn escaped(rest: &mut &[u8]) -> Result<u8, &'static str> {
    let (byte, tail) = match *rest {
        [b'x', high, low, tail @ ..] => {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
            match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, tail),
                _ => return Err("`\\x` needs two hexadecimal digits"),
            }
        }
        [b'x', ..] => return Err("`\\x` needs two hexadecimal digits"),
        [byte, tail @ ..] if byte.is_ascii_punctuation() || *byte == b' ' => (*byte, tail),
        [] => return Err("a backslash at the end of a name: write `\\\\` for a backslash"),
        _ => return Err("unknown escape: write `\\\\` for a backslash"),
    };
    if byte == 0 || byte == b'/' {
        return Err("no name holds a zero byte or a slash");
    }
    *rest = tail;
    Ok(byte)
}

/// The bytes of `[..]`; `rest` begins behind the bracket.
fn set(rest: &mut &[u8]) -> Result<Bits, &'static str> {
    const OPEN: &str = "`[` without `]`: write `\\[` for a bracket";
    let mut bits = Bits::NONE;
    let negated = matches!(rest.first(), Some(b'!' | b'^'));
    if negated {
        *rest = rest.get(1..).unwrap_or_default();
    }
    loop {
        let low = match rest.split_first() {
            None => return Err(OPEN),
            Some((b']', tail)) => {
                *rest = tail;
                break;
            }
            Some(_) => member(rest)?,
        };
        let high = match *rest {
            [b'-', next, ..] if *next != b']' => {
                *rest = rest.get(1..).unwrap_or_default();
                member(rest)?
            }
            _ => low,
        };
        if low > high {
            return Err("a range that ends before it begins");
        }
        (low..=high).for_each(|byte| bits.set(byte));
    }
    let bits = if negated { !bits & any_byte() } else { bits & any_byte() };
    if bits.is_empty() { Err("`[..]` that no byte fits") } else { Ok(bits) }
}

/// One byte inside of `[..]`.
fn member(rest: &mut &[u8]) -> Result<u8, &'static str> {
    let (byte, tail) = rest.split_first().ok_or("`[` without `]`")?;
    *rest = tail;
    match byte {
        b'\\' => escaped(rest),
        byte if byte.is_ascii() => Ok(*byte),
        _ => Err("only ASCII stands in `[..]`: other characters have several bytes, use `\\xNN`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn normal_forms_are_equal() {
        for (one, other) in [
            ("/etc//shadow", "/etc/shadow"),
            ("/etc/./shadow/", "/etc/shadow"),
            ("/a/**/**/b", "/a/**/b"),
            ("*.pem", "**/*.pem"),
            ("/**/x", "**/x"),
            (r"/a\x62", "/ab"),
            ("/[a]", "/[a-a]"),
            ("**", "/**"),
        ] {
            assert_eq!(parse(one), parse(other), "{one} {other}");
        }
        assert_ne!(parse(r"/\*"), parse("/*"));
        assert!(parse("/").parts.is_empty());
    }

    #[test]
    fn examples_fit_and_wide_ones_are_told() {
        for (text, example, wide) in [
            ("/etc/shadow", "/etc/shadow", false),
            ("/srv/*/x?.[a-c]", "/srv/x/x0.a", false),
            ("/srv/**", "/srv/x", false),
            ("/srv/**/y", "/srv/y", false),
            ("**/*.pem", "/x.pem", false),
            ("/", "/", false),
            ("/**", "/x", true),
            ("/*/**", "/x/x", true),
            ("*a*", "/xax", true),
            ("**/x*", "/xx", true),
        ] {
            let pattern = parse(text);
            assert_eq!(String::from_utf8(pattern.example()).unwrap(), example, "{text}");
            assert_eq!(pattern.is_wide(), wide, "{text}");
            assert!(crate::tests::glob::fits(text, example.as_bytes()), "{text} {example}");
        }
    }

    #[test]
    fn errors_name_the_part() {
        for (text, part, why) in [
            ("", "", "missing"),
            ("etc/x", "etc", "begin with"),
            ("*/x", "*", "begin with"),
            ("/a/../b", "..", "leads to"),
            ("/a/b**/c", "b**", "alone"),
            ("/a/[b/c", "[b", "without"),
            ("/a/[z-a]", "[z-a]", "range"),
            ("/a/[]", "[]", "no byte"),
            ("/a/[é]", "[é]", "ASCII"),
            (r"/a/\xg0", r"\xg0", "hexadecimal"),
            (r"/a/\x2f", r"\x2f", "slash"),
            (r"/a/b\", r"b\", "backslash"),
            ("/{a,b}", "{a,b}", "braces"),
            ("/a/b\0", "b\0", "zero"),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert_eq!(error.part, part, "{text}");
            assert!(error.why.contains(why), "{text}: {}", error.why);
        }
        assert!(Pattern::parse(&format!("/{}", "a".repeat(PATH_MAX))).is_err());
    }

    #[test]
    fn classes() {
        use NeedlePlace::{Anywhere, End, LastName};
        let loose = |text: &str, place| Needle { text: text.as_bytes().to_vec(), place };
        for (text, expected) in [
            ("**/*.pem", vec![loose(".pem", End)]),
            ("**/.ssh/id_rsa", vec![loose("/.ssh/id_rsa", End)]),
            ("*secret*", vec![loose("secret", LastName)]),
            ("**/.ssh/id_*", vec![loose("/.ssh/id_", LastName)]),
            ("**/.ssh/*", vec![loose("/.ssh/", LastName)]),
            ("**/*secret*/**", vec![loose("secret", Anywhere)]),
            ("**/.ssh/**", vec![loose("/.ssh", End), loose("/.ssh/", Anywhere)]),
        ] {
            assert_eq!(parse(text).class(), Class::Loose(expected), "{text}");
        }
        for text in ["/a", "/**", "**/*", "**/*/x", "**/a*b", "**/a/**/b", "**/a?", "/", "**/[a]b"]
        {
            assert_eq!(parse(text).class(), Class::Anchored, "{text}");
        }
    }
}
