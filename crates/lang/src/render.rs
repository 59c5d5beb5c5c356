//! Diagnostics as text for people and as JSON for programs.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Shown, Renderer, Snippet};
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Level, Span};
use crate::load::Source;

/// The finding with the lines of its file; `color` adds terminal colours.
pub fn text(found: &Diagnostic, sources: &[Source], color: bool) -> String {
    let level = match found.code.level() {
        Level::Error => Shown::ERROR,
        Level::Warning => Shown::WARNING,
    };
    let title = level.primary_title(found.message.as_str()).id(found.code.as_str());
    let source = source(found, sources);
    let mut group = Group::with_title(title);
    if source.is_empty() {
        group = group.element(annotate_snippets::Origin::path(found.file.as_str()));
    } else {
        let primary = AnnotationKind::Primary.span(inside(&found.span, source));
        let others = found.labels.iter().map(|(span, label)| {
            AnnotationKind::Context.span(inside(span, source)).label(label.as_str())
        });
        group = group.element(
            Snippet::source(source)
                .path(found.file.as_str())
                .annotation(primary.label(found.label.as_str()))
                .annotations(others),
        );
    }
    if let Some(help) = &found.help {
        group = group.element(Shown::HELP.message(help.as_str()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&[group])
}

/// The finding as an object with stable keys.
pub fn json(found: &Diagnostic, sources: &[Source]) -> Value {
    let source = source(found, sources);
    let labels: Vec<Value> = found
        .labels
        .iter()
        .map(|(span, label)| json!({ "span": place(span, source), "label": label }))
        .collect();
    json!({
        "code": found.code.as_str(),
        "level": found.code.level().as_str(),
        "message": found.message,
        "file": found.file,
        "rule": found.rule,
        "span": place(&found.span, source),
        "label": found.label,
        "labels": labels,
        "help": found.help,
    })
}

fn source<'s>(found: &Diagnostic, sources: &'s [Source]) -> &'s str {
    sources.iter().find(|source| source.name == found.file).map_or("", |source| &source.text)
}

/// Bytes, and the line and column (in characters, from 1) of the first of them.
fn place(span: &Span, source: &str) -> Value {
    let span = inside(span, source);
    let before = source.get(..span.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    json!({ "start": span.start, "end": span.end, "line": line, "column": column })
}

/// The span cut to the text, at character borders.
fn inside(span: &Span, source: &str) -> Span {
    let start = source.floor_char_boundary(span.start.min(source.len()));
    start..source.floor_char_boundary(span.end.clamp(start, source.len()))
}
