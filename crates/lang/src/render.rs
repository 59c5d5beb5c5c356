//! Diagnostics as text for people and as JSON for programs.

use std::fmt::Write as _;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Shown, Renderer, Snippet};
use serde_json::{Value, json};

use crate::diagnostic::{Code, Diagnostic, Level, Span};
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

/// All findings as a SARIF 2.1.0 log, which code hosts and editors show beside the text.
pub fn sarif(all: &[Diagnostic], sources: &[Source], tool: &str, version: &str) -> Value {
    let mut codes: Vec<Code> = all.iter().map(|found| found.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| {
            json!({
                "id": code.as_str(),
                "shortDescription": { "text": code.title() },
                "defaultConfiguration": { "level": code.level().as_str() },
            })
        })
        .collect();
    let results: Vec<Value> = all
        .iter()
        .map(|found| {
            let index = codes.binary_search(&found.code).unwrap_or_default();
            result(found, source(found, sources), index)
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": tool, "version": version, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// One result of a SARIF log.
fn result(found: &Diagnostic, source: &str, index: usize) -> Value {
    let mut message = found.message.clone();
    for more in [Some(&found.label), found.help.as_ref()].into_iter().flatten() {
        if !more.is_empty() {
            message.push_str(". ");
            message.push_str(more);
        }
    }
    let related: Vec<Value> = found
        .labels
        .iter()
        .enumerate()
        .map(|(id, (span, label))| {
            let mut place = location(found, span, source);
            if let Some(place) = place.as_object_mut() {
                place.insert("id".to_owned(), json!(id));
                place.insert("message".to_owned(), json!({ "text": label }));
            }
            place
        })
        .collect();
    json!({
        "ruleId": found.code.as_str(),
        "ruleIndex": index,
        "level": found.code.level().as_str(),
        "message": { "text": message },
        "locations": [location(found, &found.span, source)],
        "relatedLocations": related,
        "properties": { "rule": found.rule },
    })
}

fn location(found: &Diagnostic, span: &Span, source: &str) -> Value {
    let span = inside(span, source);
    let (line, column) = line_and_column(span.start, source);
    let (end_line, end_column) = line_and_column(span.end, source);
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&found.file) },
            "region": {
                "startLine": line,
                "startColumn": column,
                "endLine": end_line,
                "endColumn": end_column,
            },
        },
    })
}

/// A path as a URI reference: bytes that have a meaning there are written by number.
fn uri(path: &str) -> String {
    path.bytes().fold(String::with_capacity(path.len()), |mut uri, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => drop(write!(uri, "%{byte:02X}")),
        }
        uri
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
