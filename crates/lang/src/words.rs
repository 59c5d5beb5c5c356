//! Warnings about literals: wildcards that are compared as they stand, and words of
//! `event.category`, `event.type` and `event.action` that no event carries.

use model::action;
use model::field::{self, FieldId};
use model::op::Kind;

use crate::ast::Literal;
use crate::diagnostic::{Code, Diagnostic, Span, nearest};

/// Looks at a literal of `==`, `!=` or `in`.
pub(crate) fn warn_literal(
    id: FieldId,
    literal: &Literal,
    span: &Span,
    found: &mut Vec<Diagnostic>,
) {
    let Literal::Text(text) = literal else { return };
    if text.contains(['*', '?']) {
        found.push(
            Diagnostic::new(
                Code::WildcardLiteral,
                span.clone(),
                "a wildcard is compared literally",
            )
            .label("`*` and `?` have no meaning here")
            .help("use `:` or `like` if a pattern is meant"),
        );
        return;
    }
    warn_word(id, text, span, found);
}

/// Looks at a literal of `:` or `like`.
pub(crate) fn warn_pattern(
    id: FieldId,
    literal: &Literal,
    span: &Span,
    found: &mut Vec<Diagnostic>,
) {
    if let Literal::Text(text) = literal
        && !text.contains(['*', '?'])
    {
        warn_word(id, &text.to_ascii_lowercase(), span, found);
    }
}

/// Looks at the category of a query.
pub(crate) fn warn_category(name: &str, span: &Span, found: &mut Vec<Diagnostic>) {
    warn_word(field::EVENT_CATEGORY, name, span, found);
}

fn warn_word(id: FieldId, text: &str, span: &Span, found: &mut Vec<Diagnostic>) {
    let all = vocabulary(id);
    if all.is_empty() || all.contains(&text) {
        return;
    }
    let name = field::field(id).map_or("", |row| row.name);
    let help = match nearest(text, all.iter().copied()) {
        Some(near) => format!("`{near}` exists"),
        None => format!("there are: {}", all.join(", ")),
    };
    found.push(
        Diagnostic::new(Code::UnknownWord, span.clone(), format!("`{name}` is never `{text}`"))
            .label("no event carries this")
            .help(help),
    );
}

/// All words of such a field, without repetition; empty for other fields.
fn vocabulary(id: FieldId) -> Vec<&'static str> {
    let mut all = Vec::new();
    for words in Kind::ALL.iter().map(|kind| action::of(*kind)) {
        match id {
            field::EVENT_CATEGORY => all.extend(words.category),
            field::EVENT_TYPE => all.extend(words.types),
            field::EVENT_ACTION if !words.action.is_empty() => all.push(words.action),
            _ => {}
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}
