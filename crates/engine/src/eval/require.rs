//! What a condition requires: words and parts of words of which an event must have one, in a field.
//!
//! An atom promises less than the test that it stands for: it knows neither case nor what lies
//! between the fixed parts of a pattern. So it finds a filter too often, and never too seldom.

use std::collections::HashMap;

use model::field::FieldId;
use model::program::{Expr, Literal, Place, Test};

use super::class;

/// Literals longer than this are cut: what is left of them is rare enough.
const LITERAL_MAX: usize = 128;

/// How often what says nothing is expected.
const COMMON: u32 = 9_000;

/// Where an atom looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Look {
    /// The whole text.
    Whole,
    Start,
    End,
    Inside,
    /// Any value.
    Present,
}

/// Something that a field must have, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Atom {
    pub(super) field: FieldId,
    pub(super) look: Look,
    pub(super) text: Vec<u8>,
}

/// How many tests name a literal: what many rules name is common.
pub(super) type Named = HashMap<Vec<u8>, u32>;

/// Counts the literals of a condition.
pub(super) fn count(condition: &Expr, named: &mut Named) {
    match condition {
        Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| count(part, named)),
        Expr::Test(field, test) => {
            for atom in atoms(*field, test, &Named::new()).into_iter().flatten() {
                *named.entry(atom.text).or_default() += 1;
            }
        }
        _ => {}
    }
}

/// Atoms of which an event must have one for the condition to be `truth`, those that are expected
/// to be had least often; `None` if there is no such list.
pub(super) fn required(condition: &Expr, truth: bool, named: &Named) -> Option<Vec<Atom>> {
    match (condition, truth) {
        (Expr::Const(value), truth) => (*value != truth).then(Vec::new),
        (Expr::Not(inner), truth) => required(inner, !truth, named),
        (Expr::And(parts), true) | (Expr::Or(parts), false) => {
            let each = parts.iter().filter_map(|part| required(part, truth, named));
            each.min_by_key(|atoms| cost(atoms, named))
        }
        (Expr::Or(parts), true) | (Expr::And(parts), false) => {
            let each: Option<Vec<_>> =
                parts.iter().map(|part| required(part, truth, named)).collect();
            each.map(|each| each.into_iter().flatten().collect())
        }
        (Expr::Test(field, test), true) => atoms(*field, test, named),
        _ => None,
    }
}

fn cost(atoms: &[Atom], named: &Named) -> u32 {
    atoms.iter().fold(0, |sum, atom| sum.saturating_add(chance(atom, named)))
}

/// How often an atom is expected, in ten thousand events; a guess that only time depends on.
fn chance(atom: &Atom, named: &Named) -> u32 {
    let length = u32::try_from(atom.text.len()).unwrap_or(u32::MAX);
    let shrinking = |from: u32, by: u32| from.checked_shr(by).unwrap_or(0);
    let slashes = || memchr::memchr_iter(b'/', &atom.text).count();
    let own = match atom.look {
        Look::Present => return COMMON,
        // Decided before, once a kind of event: whoever is left has it.
        _ if class::tells(atom.field) => return COMMON,
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
    let shared = named.get(&atom.text).copied().unwrap_or(0).saturating_mul(4);
    20 + own.saturating_add(shared)
}

/// Atoms of which a value that satisfies the test must have one.
fn atoms(field: FieldId, test: &Test, named: &Named) -> Option<Vec<Atom>> {
    let atom = |look: Look, text: &[u8]| match text.get(..LITERAL_MAX) {
        _ if text.is_empty() && look != Look::Whole => present(field),
        Some(cut) if text.len() > LITERAL_MAX => match look {
            Look::Whole | Look::Start => Atom { field, look: Look::Start, text: lower(cut) },
            Look::End | Look::Inside | Look::Present => {
                Atom { field, look: Look::Inside, text: lower(cut) }
            }
        },
        _ => Atom { field, look, text: lower(text) },
    };
    match test {
        Test::Equals { any, .. } => any
            .iter()
            .map(|literal| match literal {
                Literal::Str(word) => Some(atom(Look::Whole, word)),
                Literal::Int(number) => Some(atom(Look::Whole, number.to_string().as_bytes())),
                // A flag has no text to look for.
                Literal::Bool(_) => Some(present(field)),
                Literal::Float(_) => None,
            })
            .collect(),
        Test::Wildcard { any, .. } => {
            let best = |pattern: &Vec<u8>| {
                let all = pieces(pattern).map(|(look, piece)| atom(look, piece));
                all.min_by_key(|atom| chance(atom, named)).unwrap_or(present(field))
            };
            Some(any.iter().map(best).collect())
        }
        Test::Part { place, any, .. } => {
            let look = match place {
                Place::Start => Look::Start,
                Place::End => Look::End,
                Place::Anywhere => Look::Inside,
            };
            Some(any.iter().map(|part| atom(look, part)).collect())
        }
        // No test holds for what is absent.
        Test::Exists
        | Test::Compare(..)
        | Test::Regex { .. }
        | Test::Cidr(_)
        | Test::Length(..) => Some(vec![present(field)]),
    }
}

fn present(field: FieldId) -> Atom {
    Atom { field, look: Look::Present, text: Vec::new() }
}

fn lower(text: &[u8]) -> Vec<u8> {
    text.to_ascii_lowercase()
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
