//! Diagnostics as text for people, and as JSON and SARIF for programs.

mod sarif;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Shown, Renderer, Snippet};
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Level, Span};
use crate::load::Source;
pub use sarif::{Tool, sarif};

/// The finding with the lines of its file; `color` adds terminal colours.
pub fn text(found: &Diagnostic, sources: &[Source], color: bool) -> String {
    let level = match found.code.level() {
        Level::Error => Shown::ERROR,
        Level::Warning => Shown::WARNING,
    };
    let title = level.primary_title(found.message.as_str()).id(found.code.as_str());
    let source = source(found, sources);
    let mut group = Group::with_title(title);
    let primary = inside(&found.span, source);
    let places = found.labels.iter().map(|(span, _)| inside(span, source));
    group = match excerpt(places.fold(primary.clone(), cover), source) {
        Some(shown) => group.element(snippet(found, source, &shown)),
        None if source.is_empty() => {
            group.element(annotate_snippets::Origin::path(found.file.as_str()))
        }
        None => {
            let (line, column) = line_and_column(primary.start, source);
            let origin = annotate_snippets::Origin::path(found.file.as_str());
            group.element(origin.line(line).char_column(column))
        }
    };
    if let Some(help) = &found.help {
        group = group.element(Shown::HELP.message(help.as_str()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&[group])
}

/// Bytes of a line that is still shown, and of all lines of a finding. Drawing takes time by the
/// length of what is drawn, and there may be many findings in one line.
const MAX_SHOWN_LINE: usize = 4 << 10;
const MAX_SHOWN: usize = 64 << 10;

/// From the first to the last byte of both.
fn cover(one: Span, other: Span) -> Span {
    one.start.min(other.start)..one.end.max(other.end)
}

/// The lines of a span, unless there is nothing to show or it is too much.
fn excerpt(span: Span, source: &str) -> Option<Span> {
    let start = source.get(..span.start)?.rfind('\n').map_or(0, |newline| newline + 1);
    let end = source.get(span.end..)?.find('\n').map_or(source.len(), |at| span.end + at);
    let lines = source.get(start..end).filter(|_| !source.is_empty())?;
    let drawn = lines.len() <= MAX_SHOWN && lines.lines().all(|one| one.len() <= MAX_SHOWN_LINE);
    drawn.then_some(start..end)
}

/// The lines with what is said at their places.
fn snippet<'a>(
    found: &'a Diagnostic,
    source: &'a str,
    shown: &Span,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let (line, _) = line_and_column(shown.start, source);
    let local = |span: &Span| {
        let span = inside(span, source);
        span.start.saturating_sub(shown.start)..span.end.saturating_sub(shown.start)
    };
    let primary = AnnotationKind::Primary.span(local(&found.span));
    let others = found
        .labels
        .iter()
        .map(|(span, label)| AnnotationKind::Context.span(local(span)).label(label.as_str()));
    Snippet::source(source.get(shown.clone()).unwrap_or_default())
        .line_start(line)
        .path(found.file.as_str())
        .annotation(primary.label(found.label.as_str()))
        .annotations(others)
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
    let (line, column) = line_and_column(span.start, source);
    json!({ "start": span.start, "end": span.end, "line": line, "column": column })
}

/// Line and column of a byte, in characters, from 1.
fn line_and_column(at: usize, source: &str) -> (usize, usize) {
    let before = source.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.bytes().filter(|byte| *byte == b'\n').count() + 1, column)
}

/// The span cut to the text, at character borders.
fn inside(span: &Span, source: &str) -> Span {
    let start = source.floor_char_boundary(span.start.min(source.len()));
    start..source.floor_char_boundary(span.end.clamp(start, source.len()))
}
