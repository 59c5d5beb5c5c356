//! Names that queries of one program share: fields, scripts, and queries over lineage.

use std::collections::HashMap;

use model::field::{self, FIELDS, FieldId, FieldType};
use model::program::Filter;
use model::script::Script;

use crate::dialect::Dialect;
use crate::limits::MAX_FIELDS;

/// Whether a query may name fields that no sensor fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// No: our own rules, where such a name is a typing error.
    #[default]
    Error,
    /// Yes: rules of strangers and queries over documents. It becomes a field of the program.
    Document,
}

/// Gives names their numbers; one for all queries of a program.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// What happens with names outside the field table.
    pub unknown: Unknown,
    /// The dialect of rules that do not tell theirs.
    pub(crate) dialect: Dialect,
    fields: Vec<String>,
    index: HashMap<String, FieldId>,
    /// Becomes `Program.lineages`.
    pub lineages: Vec<Filter>,
    /// Scripts that queries may ask; becomes `Program.scripts`.
    pub scripts: Vec<Script>,
    /// The rule at hand is in a format of others, which knows no scripts.
    pub(crate) foreign: bool,
    /// The first of them that the files at hand declare: they know no others.
    pub(crate) first_script: usize,
    /// Names of scripts that there are and that cannot be asked, with the reason.
    pub(crate) broken: HashMap<String, String>,
}

impl Schema {
    /// An empty schema.
    pub fn new(unknown: Unknown) -> Self {
        Schema { unknown, ..Schema::default() }
    }

    /// The field of that name; names beyond the table are added if they are allowed.
    pub fn field(&mut self, name: &str) -> Option<FieldId> {
        match field::by_name(name) {
            Some(id) => Some(id),
            None if self.unknown == Unknown::Document => self.document_field(name),
            None => None,
        }
    }

    /// A field that only documents have; `None` if there are too many.
    pub fn document_field(&mut self, name: &str) -> Option<FieldId> {
        if let Some(id) = self.index.get(name) {
            return Some(*id);
        }
        if self.fields.len() >= MAX_FIELDS {
            return None;
        }
        let id = FieldId(u16::try_from(FIELDS.len() + self.fields.len()).ok()?);
        self.fields.push(name.to_owned());
        self.index.insert(name.to_owned(), id);
        Some(id)
    }

    /// The type of a field of the table; fields of documents have none.
    pub(crate) fn kind(id: FieldId) -> Option<FieldType> {
        field::field(id).map(|row| row.kind)
    }

    /// Whether literals need not fit the type of a field.
    pub(crate) fn lenient(&self) -> bool {
        self.unknown == Unknown::Document
    }

    /// Names of the fields beyond the table, in the order of their numbers: `Program.fields`.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }
}
