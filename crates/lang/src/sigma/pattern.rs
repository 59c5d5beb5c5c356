//! Texts with wildcards as tests.

use std::fmt::Write as _;

use model::program::{Literal, Place, Test};

use super::tree::Piece;

/// Where a text is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    Whole,
    At(Place),
}

/// The test that a text asks for. Texts that differ only in their words become one test later.
pub(super) fn test(pieces: &[Piece], place: Where, fold: bool) -> Test {
    let mut pieces = pieces.to_vec();
    let (open_start, open_end) = match place {
        Where::Whole => (false, false),
        Where::At(Place::Start) => (false, true),
        Where::At(Place::End) => (true, false),
        Where::At(Place::Anywhere) => (true, true),
    };
    if open_start {
        pieces.insert(0, Piece::Many);
    }
    if open_end {
        pieces.push(Piece::Many);
    }
    pieces.dedup_by(|b, a| *a == Piece::Many && *b == Piece::Many);
    match pieces.as_slice() {
        // An empty text is in every text.
        [Piece::Many] => Test::Wildcard { any: vec![b"*".to_vec()], fold },
        [] => equals(Vec::new(), fold),
        [Piece::Plain(bytes)] => equals(bytes.clone(), fold),
        [Piece::Plain(bytes), Piece::Many] => part(Place::Start, bytes, fold),
        [Piece::Many, Piece::Plain(bytes)] => part(Place::End, bytes, fold),
        [Piece::Many, Piece::Plain(bytes), Piece::Many] => part(Place::Anywhere, bytes, fold),
        all if all.iter().any(has_special) => {
            Test::Regex { any: vec![all.iter().map(regex).collect()], fold }
        }
        all => Test::Wildcard { any: vec![all.iter().flat_map(wildcard).collect()], fold },
    }
}

/// A text that is a number in decimal also equals the number.
fn equals(bytes: Vec<u8>, fold: bool) -> Test {
    let number = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.parse::<i64>().ok().filter(|number| number.to_string() == text));
    let literal = number.map_or(Literal::Str(bytes), Literal::Int);
    Test::Equals { any: vec![literal], fold }
}

fn part(place: Place, bytes: &[u8], fold: bool) -> Test {
    Test::Part { place, any: vec![bytes.to_vec()], fold }
}

/// Whether a plain part holds what a wildcard pattern cannot say.
fn has_special(piece: &Piece) -> bool {
    matches!(piece, Piece::Plain(bytes) if bytes.contains(&b'*') || bytes.contains(&b'?'))
}

fn wildcard(piece: &Piece) -> Vec<u8> {
    match piece {
        Piece::Plain(bytes) => bytes.clone(),
        Piece::Many => b"*".to_vec(),
        Piece::One => b"?".to_vec(),
    }
}

fn regex(piece: &Piece) -> String {
    match piece {
        Piece::Plain(bytes) => {
            // Bytes that are no ASCII are written by number: the expression works on bytes.
            bytes.iter().fold(String::new(), |mut text, byte| {
                match char::from(*byte) {
                    letter if letter.is_ascii_alphanumeric() => text.push(letter),
                    _ => drop(write!(text, "\\x{byte:02X}")),
                }
                text
            })
        }
        Piece::Many => "(?s-u:.)*".to_owned(),
        Piece::One => "(?su:.)".to_owned(),
    }
}

/// Tests that are the same but for their words as one, so that the engine looks once.
pub(super) fn merge(tests: Vec<Test>) -> Vec<Test> {
    let mut all: Vec<Test> = Vec::new();
    for test in tests {
        let joined = all.iter_mut().any(|before| absorb(before, &test));
        if !joined {
            all.push(test);
        }
    }
    all
}

fn absorb(before: &mut Test, test: &Test) -> bool {
    match (before, test) {
        (Test::Equals { any, fold }, Test::Equals { any: more, fold: same }) if fold == same => {
            any.extend(more.iter().cloned());
        }
        (Test::Wildcard { any, fold }, Test::Wildcard { any: more, fold: same })
            if fold == same =>
        {
            any.extend(more.iter().cloned());
        }
        (Test::Part { place, any, fold }, Test::Part { place: there, any: more, fold: same })
            if fold == same && place == there =>
        {
            any.extend(more.iter().cloned());
        }
        (Test::Cidr(any), Test::Cidr(more)) => any.extend(more.iter().copied()),
        _ => return false,
    }
    true
}
