//! TOML tables with the place of each key and value, and the complaints about them.

use std::collections::HashSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Code, Diagnostic, Span, nearest};

/// Reads the keys of one table; [`Table::finish`] complains about keys that nobody asked for.
pub(crate) struct Table<'t, 'i> {
    keys: &'t DeTable<'i>,
    /// Where the table is, for keys that are missing.
    pub(crate) span: Span,
    asked: HashSet<&'static str>,
    /// What is wrong so far.
    pub(crate) found: Vec<Diagnostic>,
}

impl<'t, 'i> Table<'t, 'i> {
    pub(crate) fn new(keys: &'t DeTable<'i>, span: Span) -> Self {
        Table { keys, span, asked: HashSet::new(), found: Vec::new() }
    }

    /// The value of a key.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.asked.insert(key);
        self.keys.get(key)
    }

    /// The value of a key that must be there.
    fn require(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'i>>> {
        let value = self.get(key);
        if value.is_none() {
            self.found.push(
                Diagnostic::new(Code::MissingKey, self.span.clone(), format!("`{key}` is missing"))
                    .label(format!("needs `{key} = …`")),
            );
        }
        value
    }

    /// A text that must be there and not be empty.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<(&'t str, Span)> {
        let value = self.require(key)?;
        match value.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => Some((text, value.span())),
            _ => self.wrong(value, format!("`{key}` must be text that is not empty")),
        }
    }

    /// A boolean that must be there.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.require(key)?;
        match value.get_ref().as_bool() {
            Some(flag) => Some(flag),
            None => self.wrong(value, format!("`{key}` must be true or false")),
        }
    }

    /// A list of texts; empty if it is not there.
    pub(crate) fn texts(&mut self, key: &'static str) -> Vec<(&'t str, Span)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong::<()>(value, format!("`{key}` must be a list of texts"));
            return Vec::new();
        };
        let mut all = Vec::new();
        for item in array {
            match item.get_ref().as_str() {
                Some(text) => all.push((text, item.span())),
                None => _ = self.wrong::<()>(item, format!("`{key}` holds texts only")),
            }
        }
        all
    }

    /// A table that must be there.
    pub(crate) fn table(&mut self, key: &'static str) -> Option<&'t DeTable<'i>> {
        let value = self.require(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(table),
            None => self.wrong(value, format!("`{key}` must be a table")),
        }
    }

    /// The tables of a list of tables; empty if it is not there.
    pub(crate) fn tables(&mut self, key: &'static str) -> Vec<(&'t DeTable<'i>, Span)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let tables = value.get_ref().as_array().and_then(|array| {
            array.iter().map(|item| Some((item.get_ref().as_table()?, item.span()))).collect()
        });
        if tables.is_none() {
            self.wrong::<()>(value, format!("`{key}` must be written as `[[{key}]]`"));
        }
        tables.unwrap_or_default()
    }

    /// Complains about a value.
    pub(crate) fn wrong<T>(&mut self, value: &Spanned<DeValue<'_>>, message: String) -> Option<T> {
        self.found.push(
            Diagnostic::new(Code::BadValue, value.span(), message)
                .label(format!("TOML type: {}", value.get_ref().type_str())),
        );
        None
    }

    /// Complains about keys that nobody asked for, and hands over all findings.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        for key in self.keys.keys() {
            let name = key.get_ref().as_ref();
            if !self.asked.contains(name) {
                let help = nearest(name, self.asked.iter().copied())
                    .map(|near| format!("`{near}` is a key"));
                self.found.push(
                    Diagnostic::new(Code::UnknownKey, key.span(), format!("unknown key `{name}`"))
                        .help_if(help),
                );
            }
        }
        self.found
    }
}
