//! What a test requires of a value: words and parts of words of which it must have one.
//!
//! An atom promises less than the test that it stands for: it knows neither case nor what lies
//! between the fixed parts of a pattern. So it finds a predicate too often, and never too seldom.

use std::collections::HashMap;

use model::program::{Literal, Place, Test};

use super::literal;

/// Literals longer than this are cut: what is left of them is rare enough.
pub(super) const LITERAL_MAX: usize = 128;

/// How often what says little is expected, in ten thousand values.
const COMMON: u32 = 9_000;

/// Where an atom looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Look {
    /// The whole text.
    Whole,
    Start,
    End,
    Inside,
}

/// Something that a value must have, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Atom {
    pub(super) look: Look,
    pub(super) text: Vec<u8>,
}

/// How many tests name a literal: what many rules name is common.
#[derive(Debug, Default)]
pub(super) struct Named(HashMap<Vec<u8>, u32>);

impl Named {
    /// Counts the literals of a test.
    pub(super) fn count(&mut self, test: &Test) {
        for atom in atoms(test, &Named::default()).into_iter().flatten() {
            *self.0.entry(atom.text).or_default() += 1;
        }
    }

    /// How often a value is expected to satisfy a test, in ten thousand; a guess that only time
    /// depends on.
    pub(super) fn chance(&self, test: &Test) -> u32 {
        match (atoms(test, self), test) {
            (Some(atoms), _) => {
                let sum = atoms.iter().fold(0, |sum: u32, it| sum.saturating_add(self.atom(it)));
                sum.min(COMMON)
            }
            (None, Test::Exists) => COMMON,
            (None, _) => COMMON / 2,
        }
    }

    fn atom(&self, atom: &Atom) -> u32 {
        let length = u32::try_from(atom.text.len()).unwrap_or(u32::MAX);
        let shrinking = |from: u32, by: u32| from.checked_shr(by).unwrap_or(0);
        let slashes = || memchr::memchr_iter(b'/', &atom.text).count();
        let own = match atom.look {
            Look::Whole => 0,
            Look::End if atom.text.contains(&b'/') => 0,
            // The first directories of a path say little.
            Look::Start if atom.text.starts_with(b"/") => match slashes() {
                1 => 4_000,
                2 => 3_000,
                3 => 400,
                _ => 50,
            },
            Look::Start | Look::End => shrinking(3_000, length),
            Look::Inside => shrinking(6_000, length / 2),
        };
        let shared = self.0.get(&atom.text).copied().unwrap_or(0).saturating_mul(4);
        20 + own.saturating_add(shared)
    }
}

/// Atoms of which a value that satisfies the test must have one; `None` if there is no such list.
pub(super) fn atoms(test: &Test, named: &Named) -> Option<Vec<Atom>> {
    match test {
        Test::Equals { any, .. } => any
            .iter()
            .map(|literal| match literal {
                Literal::Str(word) => atom(Look::Whole, word),
                Literal::Int(number) => atom(Look::Whole, number.to_string().as_bytes()),
                // They have no text to look for.
                Literal::Bool(_) | Literal::Float(_) => None,
            })
            .collect(),
        Test::Wildcard { any, .. } => {
            let best = |pattern: &Vec<u8>| {
                let all = pieces(pattern).filter_map(|(look, piece)| atom(look, piece));
                all.min_by_key(|atom| named.atom(atom))
            };
            any.iter().map(best).collect()
        }
        Test::Part { place, any, .. } => {
            let look = match place {
                Place::Start => Look::Start,
                Place::End => Look::End,
                Place::Anywhere => Look::Inside,
            };
            any.iter().map(|part| atom(look, part)).collect()
        }
        Test::Regex { any, fold } => {
            let each = any.iter().map(|one| literal::required(one, *fold));
            let all: Option<Vec<Vec<Vec<u8>>>> = each.collect();
            all?.concat().iter().map(|part| atom(Look::Inside, part)).collect()
        }
        Test::Exists | Test::Compare(..) | Test::Cidr(_) | Test::Length(..) => None,
    }
}

/// A text that must be there; `None` if it is in every value.
fn atom(look: Look, text: &[u8]) -> Option<Atom> {
    if text.is_empty() && look != Look::Whole {
        return None;
    }
    let (look, text) = match text.get(..LITERAL_MAX) {
        Some(cut) if text.len() > LITERAL_MAX => match look {
            Look::Whole | Look::Start => (Look::Start, cut),
            Look::End | Look::Inside => (Look::Inside, cut),
        },
        _ => (look, text),
    };
    Some(Atom { look, text: text.to_ascii_lowercase() })
}

/// The fixed parts of a wildcard pattern, and where each must be.
fn pieces(pattern: &[u8]) -> impl Iterator<Item = (Look, &[u8])> {
    let last = pattern.iter().filter(|byte| is_wild(**byte)).count();
    let look = move |number: usize| match number {
        0 if last == 0 => Look::Whole,
        0 => Look::Start,
        _ if number == last => Look::End,
        _ => Look::Inside,
    };
    let all = pattern
        .split(|byte| is_wild(*byte))
        .enumerate()
        .map(move |(number, piece)| (look(number), piece));
    all.filter(move |(_, piece)| !piece.is_empty() || last == 0)
}

fn is_wild(byte: u8) -> bool {
    matches!(byte, b'*' | b'?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_patterns_are_where_they_must_be() {
        let of = |pattern: &'static str| -> Vec<(Look, &str)> {
            let text = |piece| str::from_utf8(piece).unwrap();
            pieces(pattern.as_bytes()).map(|(look, piece)| (look, text(piece))).collect()
        };
        assert_eq!(of("sh"), [(Look::Whole, "sh")]);
        assert_eq!(of(""), [(Look::Whole, "")]);
        assert_eq!(of("/tmp/*"), [(Look::Start, "/tmp/")]);
        assert_eq!(of("*.sh"), [(Look::End, ".sh")]);
        assert_eq!(of("a?b*c"), [(Look::Start, "a"), (Look::Inside, "b"), (Look::End, "c")]);
        assert_eq!(of("?*"), []);
    }
}
