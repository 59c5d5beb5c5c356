//! Fixed texts of regular expressions: of which any text that an expression matches has one.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Texts of one expression; where there would be more, none are looked for.
const TEXTS_MAX: usize = 64;
/// Shorter texts are in nearly everything.
const LENGTH_MIN: usize = 2;

/// Texts of which one is in every text that the expression matches, ASCII case aside; `None` if
/// there is no such list. The expression is read as [`model::pattern::regex`] reads it.
pub(super) fn required(expression: &str, fold: bool) -> Option<Vec<Vec<u8>>> {
    let mut parser = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .case_insensitive(fold)
        .nest_limit(model::pattern::MAX_REGEX_NESTING)
        .build();
    let texts = texts(&parser.parse(expression).ok()?)?;
    let fits = texts.len() <= TEXTS_MAX && shortest(&texts) >= LENGTH_MIN;
    fits.then_some(texts)
}

fn shortest(texts: &[Vec<u8>]) -> usize {
    texts.iter().map(Vec::len).min().unwrap_or(0)
}

fn texts(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => run(hir).map(|text| vec![text]),
        HirKind::Capture(group) => texts(&group.sub),
        HirKind::Repetition(it) if it.min > 0 => texts(&it.sub),
        HirKind::Alternation(parts) => {
            let each: Option<Vec<_>> = parts.iter().map(texts).collect();
            each.map(|each| each.concat()).filter(|all| all.len() <= TEXTS_MAX)
        }
        HirKind::Concat(parts) => best(parts),
        HirKind::Empty | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

/// Of the parts that follow each other, and of texts that they make together, what says most.
fn best(parts: &[Hir]) -> Option<Vec<Vec<u8>>> {
    let mut found: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut open: Vec<u8> = Vec::new();
    for part in parts {
        if let Some(text) = run(part) {
            open.extend(text);
        } else {
            found.push(vec![std::mem::take(&mut open)]);
            found.extend(texts(part));
        }
    }
    found.push(vec![open]);
    found.into_iter().max_by_key(|texts| shortest(texts)).filter(|texts| shortest(texts) > 0)
}

/// The text that a part stands for, in lower case.
fn run(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Literal(text) => Some(text.0.to_ascii_lowercase()),
        HirKind::Class(Class::Bytes(class)) => {
            let mut bytes = class.iter().flat_map(|range| range.start()..=range.end());
            let first = bytes.next()?.to_ascii_lowercase();
            bytes.all(|byte| byte.to_ascii_lowercase() == first).then(|| vec![first])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expression: &str, fold: bool) -> Option<Vec<String>> {
        let texts = required(expression, fold)?;
        Some(texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect())
    }

    #[test]
    fn texts_that_must_be_there_are_found() {
        let some = |texts: &[&str]| Some(texts.iter().map(|it| (*it).to_owned()).collect());
        assert_eq!(of(".*Evil.*", false), some(&["evil"]));
        assert_eq!(of(".*evil.*", true), some(&["evil"]));
        assert_eq!(of("ab+c(def|ghij)x?", false), some(&["def", "ghij"]));
        assert_eq!(of("/tmp/[a-z]+/run", false), some(&["/tmp/"]));
        assert_eq!(of("(?:one|two)", false), some(&["one", "two"]));
    }

    #[test]
    fn what_may_be_absent_is_not_required() {
        assert_eq!(of("(evil)?", false), None);
        assert_eq!(of("(evil)*.+", false), None);
        assert_eq!(of("evil|.*", false), None);
        assert_eq!(of("[ab][cd]", false), None);
        assert_eq!(of("", false), None);
        assert_eq!(of("a", false), None, "in nearly everything");
    }
}
