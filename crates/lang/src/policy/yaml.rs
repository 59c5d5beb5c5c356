//! YAML as trees: one for each document of a file.
//!
//! Aliases are refused: a few bytes of them can stand for gigabytes. Plain scalars have the types
//! of the YAML 1.2 core schema, but for floating-point numbers, which policies have no use for.

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Place};

use super::limits::{MAX_DEPTH, MAX_NODES};
use super::tree::{Key, Node, Value};
use crate::diagnostic::{Code, Diagnostic, Span};

/// All documents of a file up to the first error.
pub(super) fn read(text: &str) -> (Vec<Node>, Vec<Diagnostic>) {
    let mut builder = Builder { places: Places::new(text), ..Builder::default() };
    for event in Parser::new_from_str(text) {
        let result = match event {
            Ok((event, place)) => builder.take(event, place),
            Err(error) => {
                let at = builder.places.byte(error.marker().index());
                Err(refused(at..at, error.info()))
            }
        };
        if let Err(found) = result {
            return (builder.done, vec![*found]);
        }
    }
    (builder.done, Vec::new())
}

/// Maps numbers of characters, which the parser counts, to bytes. Asked in rising order.
#[derive(Default)]
struct Places<'t> {
    text: &'t str,
    characters: usize,
    bytes: usize,
}

impl<'t> Places<'t> {
    fn new(text: &'t str) -> Self {
        Places { text, characters: 0, bytes: 0 }
    }

    fn byte(&mut self, character: usize) -> usize {
        if character < self.characters {
            (self.characters, self.bytes) = (0, 0);
        }
        let rest = self.text.get(self.bytes..).unwrap_or_default();
        let ahead = character - self.characters;
        let step = rest.char_indices().nth(ahead).map_or(rest.len(), |(at, _)| at);
        self.bytes += step;
        self.characters = character;
        self.bytes
    }

    fn span(&mut self, place: Place) -> Span {
        let start = self.byte(place.start.index());
        start..self.byte(place.end.index())
    }
}

/// A list or map whose end has not come.
enum Open {
    List(Span, Vec<Node>),
    /// With the key whose value comes next.
    Map(Span, Vec<(Key, Node)>, Option<Key>),
}

#[derive(Default)]
struct Builder<'t> {
    places: Places<'t>,
    open: Vec<Open>,
    nodes: usize,
    done: Vec<Node>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Box<Diagnostic>> {
        let span = self.places.span(place);
        match event {
            Event::Scalar(text, style, _, tag) => {
                let value = match tag {
                    Some(_) => return Err(refused(span, "tags have no meaning in a policy")),
                    None if style == ScalarStyle::Plain => plain(&text),
                    None => Value::Text(text.into_owned()),
                };
                self.add(Node { span, value })
            }
            Event::SequenceStart(..) => self.push(Open::List(span, Vec::new())),
            Event::MappingStart(..) => self.push(Open::Map(span, Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.close(&span),
            Event::Alias(_) => {
                Err(refused(span, "aliases are not read: write the value where it is used"))
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, open: Open) -> Result<(), Box<Diagnostic>> {
        if self.open.len() >= MAX_DEPTH {
            let (Open::List(span, _) | Open::Map(span, ..)) = open;
            let message = format!("lists and maps nest deeper than {MAX_DEPTH}");
            return Err(Box::new(Diagnostic::new(Code::Limit, span, message)));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self, end: &Span) -> Result<(), Box<Diagnostic>> {
        let node = match self.open.pop() {
            Some(Open::List(span, items)) => {
                Node { span: span.start..end.end, value: Value::List(items) }
            }
            Some(Open::Map(span, keys, _)) => {
                Node { span: span.start..end.end, value: Value::Map(keys) }
            }
            None => return Ok(()),
        };
        self.add(node)
    }

    fn add(&mut self, node: Node) -> Result<(), Box<Diagnostic>> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values in one file");
            return Err(Box::new(Diagnostic::new(Code::Limit, node.span, message)));
        }
        match self.open.last_mut() {
            None => self.done.push(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, keys, key)) => match key.take() {
                Some(key) => keys.push((key, node)),
                None => *key = Some(as_key(node)?),
            },
        }
        Ok(())
    }
}

fn as_key(node: Node) -> Result<Key, Box<Diagnostic>> {
    let name = match node.value {
        Value::Text(name) => name,
        Value::Int(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::List(_) | Value::Map(_) => {
            return Err(refused(node.span, "a key must be a word"));
        }
    };
    Ok(Key { name, span: node.span })
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match text.parse::<i64>() {
            // A leading zero is kept: it may be a name.
            Ok(number) if number.to_string() == text => Value::Int(number),
            _ => Value::Text(text.to_owned()),
        },
    }
}

fn refused(span: Span, message: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::new(Code::Yaml, span, message))
}
