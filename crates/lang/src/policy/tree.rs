//! A policy file as a tree whose every node knows its place, whether it was YAML or TOML.

use std::collections::HashSet;

use crate::diagnostic::{Code, Diagnostic, Span, nearest};

#[cfg(test)]
thread_local! {
    /// The keys of all maps that were read: a test compares them with the schema.
    pub(super) static ASKED: std::cell::RefCell<std::collections::BTreeSet<std::collections::BTreeSet<&'static str>>> =
        const { std::cell::RefCell::new(std::collections::BTreeSet::new()) };
}

/// A value and the bytes that wrote it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) span: Span,
}

impl Node {
    /// What kind of value it is, for people.
    fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Its text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The complaint that this should have been `wanted`.
    pub(super) fn wrong(&self, wanted: &str) -> Diagnostic {
        Diagnostic::new(Code::BadValue, self.span.clone(), format!("this must be {wanted}"))
            .label(format!("this is {}", self.kind()))
    }

    /// Itself, or its elements if it is a list.
    pub(super) fn each(&self) -> &[Node] {
        match &self.value {
            Value::List(nodes) => nodes,
            Value::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }
}

/// Reads the keys of one map; [`Keys::finish`] complains about keys that nobody asked for.
pub(super) struct Keys<'n> {
    pairs: &'n [(Key, Node)],
    span: Span,
    asked: HashSet<&'static str>,
    pub(super) found: Vec<Diagnostic>,
}

impl<'n> Keys<'n> {
    /// The keys of a node that must be a map.
    pub(super) fn of(node: &'n Node, found: &mut Vec<Diagnostic>) -> Option<Keys<'n>> {
        let Value::Map(pairs) = &node.value else {
            found.push(node.wrong("a map"));
            return None;
        };
        let mut reader =
            Keys { pairs, span: node.span.clone(), asked: HashSet::new(), found: Vec::new() };
        reader.duplicates();
        Some(reader)
    }

    fn duplicates(&mut self) {
        let mut seen: HashSet<&str> = HashSet::new();
        for (key, _) in self.pairs {
            if !seen.insert(&key.name) {
                let message = format!("`{}` is given twice", key.name);
                self.found.push(Diagnostic::new(Code::BadValue, key.span.clone(), message));
            }
        }
    }

    /// The value of a key, unless it is null.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.insert(key);
        let (_, node) = self.pairs.iter().find(|(one, _)| one.name == key)?;
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    /// The value of a key that must be there.
    pub(super) fn require(&mut self, key: &'static str) -> Option<&'n Node> {
        let node = self.get(key);
        if node.is_none() {
            self.found.push(
                Diagnostic::new(Code::MissingKey, self.span.clone(), format!("`{key}` is missing"))
                    .label(format!("needs `{key}`")),
            );
        }
        node
    }

    /// A text; a complaint if it is something else or empty.
    pub(super) fn text(&mut self, key: &'static str) -> Option<&'n str> {
        let node = self.get(key)?;
        match node.text() {
            Some(text) if !text.trim().is_empty() => Some(text),
            _ => {
                self.found.push(node.wrong("text that is not empty"));
                None
            }
        }
    }

    /// A boolean.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let node = self.get(key)?;
        if let Value::Bool(flag) = node.value {
            return Some(flag);
        }
        self.found.push(node.wrong("true or false"));
        None
    }

    /// One text or a list of them, each with its node.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<(&'n str, &'n Node)> {
        let mut all = Vec::new();
        for node in self.get(key).map_or(&[][..], Node::each) {
            match node.text() {
                Some(text) if !text.is_empty() => all.push((text, node)),
                _ => self.found.push(node.wrong("text that is not empty, or a list of such")),
            }
        }
        all
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let node = self.get(key)?;
        let text = node.text().unwrap_or_default();
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.found.push(
            Diagnostic::new(
                Code::BadValue,
                node.span.clone(),
                format!("`{key}` must be one of {}", all.join(", ")),
            )
            .help_if(nearest(text, all.iter().copied()).map(|near| format!("`{near}` is one"))),
        );
        None
    }

    /// Whether the map has the key, without asking for it.
    pub(super) fn place(&self, key: &str) -> Option<Span> {
        self.pairs.iter().find(|(one, _)| one.name == key).map(|(key, _)| key.span.clone())
    }

    /// Complains about keys that nobody asked for, and hands over all findings.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        #[cfg(test)]
        ASKED.with_borrow_mut(|all| all.insert(self.asked.iter().copied().collect()));
        for (key, _) in self.pairs {
            let name = key.name.as_str();
            if !self.asked.contains(name) {
                let near = nearest(name, self.asked.iter().copied());
                self.found.push(
                    Diagnostic::new(
                        Code::UnknownKey,
                        key.span.clone(),
                        format!("unknown key `{name}`"),
                    )
                    .help_if(near.map(|near| format!("`{near}` is a key"))),
                );
            }
        }
        self.found
    }
}
