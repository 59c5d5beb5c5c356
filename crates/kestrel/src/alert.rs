//! What an alert looks like.

use std::borrow::Cow;
use std::io::{self, Write};

use model::escape;
use model::program::{RuleMeta, Severity};
use model::script::Said;
use serde_json::{Value, json};

use crate::input::Position;
use crate::output::style;

/// A match, ready to be shown.
#[derive(Debug)]
pub(crate) struct Alert<'a> {
    pub(crate) rule: &'a RuleMeta,
    pub(crate) head: &'a Head,
    pub(crate) id: u128,
    pub(crate) members: Vec<Member<'a>>,
    /// The result of a pipe that counts, where there is one.
    pub(crate) count: Option<Value>,
    /// What scripts said that the rule asked about the event that completed it.
    pub(crate) said: &'a [Said],
}

/// An event of an alert.
#[derive(Debug, Clone)]
pub(crate) struct Member<'a> {
    pub(crate) position: Position,
    /// `None` if the input could not be read again.
    pub(crate) document: Option<Cow<'a, [u8]>>,
}

/// What all alerts of a rule say of it: made once, as JSON.
#[derive(Debug)]
pub(crate) struct Head(String);

impl Head {
    pub(crate) fn new(rule: &RuleMeta) -> Head {
        let rule = json!({
            "id": rule.id,
            "name": rule.name,
            "file": rule.file,
            "severity": rule.severity.as_str(),
            "tags": rule.tags,
            "attack": rule.attack,
            "author": rule.author,
            "license": rule.license,
        });
        Head(rule.to_string())
    }
}

impl Alert<'_> {
    /// One JSON object and a newline; `input` is left out if it is empty.
    pub(crate) fn ndjson(&self, input: &str, out: &mut Vec<u8>) -> io::Result<()> {
        let Head(rule) = self.head;
        let id = self.id;
        write!(out, r#"{{"event":{{"kind":"alert"}},"alert":{{"id":"{id:032x}"}},"rule":{rule}"#)?;
        if !input.is_empty() {
            out.extend_from_slice(b",\"input\":");
            serde_json::to_writer(&mut *out, input)?;
        }
        if let Some(count) = &self.count {
            out.extend_from_slice(b",\"count\":");
            serde_json::to_writer(&mut *out, count)?;
        }
        if !self.said.is_empty() {
            out.extend_from_slice(b",\"kestrel\":{\"script\":");
            serde_json::to_writer(&mut *out, &model::json::said(self.said))?;
            out.push(b'}');
        }
        out.extend_from_slice(b",\"events\":[");
        // The documents are JSON already, so they go in as they are.
        for (number, member) in self.members.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(out, "{comma}{{\"position\":{},\"document\":", member.position)?;
            document(member.document.as_deref(), out)?;
            out.push(b'}');
        }
        out.extend_from_slice(b"]}\n");
        Ok(())
    }

    /// One line for people; `input` names the file if there are several.
    pub(crate) fn text(&self, input: &str, out: &mut Vec<u8>) -> io::Result<()> {
        let color = match self.rule.severity {
            Severity::High | Severity::Critical => style::BAD,
            Severity::Informational | Severity::Low | Severity::Medium => style::NAME,
        };
        let (word, file, name) = (self.rule.severity.as_str(), &self.rule.file, &self.rule.name);
        write!(out, "{color}{word:8}{color:#} {}  ({file})", escaped(name))?;
        let places: Vec<String> =
            self.members.iter().map(|member| member.position.to_string()).collect();
        write!(out, "  {input}:{}", places.join(","))?;
        if let Some(last) = self.members.last().and_then(|member| member.document.as_deref())
            && let Some(summary) = summary(last)
        {
            write!(out, "  {summary}")?;
        }
        for said in self.said {
            for one in &said.alerts {
                write!(out, "  [{}]", escape::escaped(&one.message))?;
            }
            for one in &said.requests {
                let granted = if one.granted { "asks for" } else { "may not" };
                write!(out, "  [{granted} {}]", escape::escaped(&one.action))?;
            }
        }
        writeln!(out)
    }
}

/// A document on one line.
fn document(text: Option<&[u8]>, out: &mut Vec<u8>) -> io::Result<()> {
    match text {
        None => out.extend_from_slice(b"null"),
        Some(text) if memchr::memchr(b'\n', text).is_none() => {
            out.extend_from_slice(text.trim_ascii());
        }
        Some(text) => {
            let value: Value = serde_json::from_slice(text)?;
            serde_json::to_writer(out, &value)?;
        }
    }
    Ok(())
}

/// What a person looks at first: the command line or the path.
pub(crate) fn summary(document: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(document).ok()?;
    let names = ["process.command_line", "file.path", "process.executable", "process.name"];
    let found = names.iter().find_map(|name| field(&value, name)?.as_str());
    found.map(|text| escaped(text).to_string())
}

/// The value at a dotted name; any part of the way may be written as one name.
pub(crate) fn field<'d>(document: &'d Value, name: &str) -> Option<&'d Value> {
    let whole = document.get(name);
    whole.or_else(|| {
        let mut dots = name.match_indices('.');
        dots.find_map(|(at, _)| field(document.get(name.get(..at)?)?, name.get(at + 1..)?))
    })
}

/// Text of strangers for a terminal: no control characters.
pub(crate) fn escaped(text: &str) -> impl std::fmt::Display + '_ {
    text.chars()
        .map(|letter| if letter.is_control() { '\u{fffd}' } else { letter })
        .collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_however_the_document_is_nested() {
        for document in [
            json!({ "a.b.c": 1 }),
            json!({ "a": { "b": { "c": 1 } } }),
            json!({ "a.b": { "c": 1 } }),
            json!({ "a": { "b.c": 1 } }),
            json!({ "a": { "x": 2 }, "a.b": { "c": 1 } }),
        ] {
            assert_eq!(field(&document, "a.b.c"), Some(&json!(1)), "{document}");
            assert_eq!(field(&document, "a.b.d"), None, "{document}");
        }
    }
}
