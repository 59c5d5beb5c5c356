//! Which format a rule file is in, and its rules in one shape.

use model::field::FieldId;
use toml::de::DeTable;

use crate::diagnostic::{Code, Diagnostic};
use crate::dialect::Dialect;
use crate::elastic::{self, Layout};
use crate::file::{self, FoundRule, Referred};
use crate::limits::{MAX_FIELDS, MAX_FILE};
use crate::schema::{Schema, Unknown};
use crate::sigma;

/// Format of a rule file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Our own TOML.
    #[default]
    Own,
    /// Elastic's TOML, in either layout.
    Elastic,
    /// Sigma.
    Sigma,
}

impl Format {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Own => "own",
            Format::Elastic => "elastic",
            Format::Sigma => "sigma",
        }
    }
}

/// What a file holds.
#[derive(Default)]
pub(crate) struct FoundFile {
    pub(crate) format: Format,
    pub(crate) rules: Vec<FoundRule>,
    /// Sigma correlations, whose rules may be in other files.
    pub(crate) correlations: Vec<sigma::Pending>,
    pub(crate) found: Vec<Diagnostic>,
}

/// Reads a file: Sigma by its name, Elastic's and our own by what is in it.
pub(crate) fn read(name: &str, text: &str, schema: &mut Schema) -> FoundFile {
    if text.len() > MAX_FILE {
        let message = format!("the file has {} bytes, the limit is {MAX_FILE}", text.len());
        let found = vec![Diagnostic::new(Code::Limit, 0..0, message)];
        return FoundFile { found, ..FoundFile::default() };
    }
    let extension = name.rsplit('.').next().unwrap_or_default();
    if extension.eq_ignore_ascii_case("yml") || extension.eq_ignore_ascii_case("yaml") {
        return read_sigma(text, schema);
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    if elastic::is_elastic(document.get_ref()) {
        let wrong = errors.iter().map(|error| {
            Diagnostic::new(Code::Toml, error.span().unwrap_or(0..0), error.message())
        });
        let mut file = read_elastic(text, document.get_ref(), schema);
        file.found.splice(0..0, wrong);
        return FoundFile { format: Format::Elastic, ..file };
    }
    let (rules, found) = file::read(text, schema);
    FoundFile { rules, found, ..FoundFile::default() }
}

fn read_sigma(text: &str, schema: &mut Schema) -> FoundFile {
    let file = sigma::read(text, &mut |name| document_field(schema, name));
    let rules = file.rules.into_iter().map(|one| FoundRule {
        rule: one.rule,
        id: one.id,
        query: one.query,
        tests: Vec::new(),
        referred: Some(Referred { name: one.name, taxonomy: one.taxonomy }),
    });
    FoundFile {
        format: Format::Sigma,
        rules: rules.collect(),
        correlations: file.correlations,
        found: file.found,
    }
}

fn read_elastic(text: &str, document: &DeTable<'_>, schema: &mut Schema) -> FoundFile {
    let (rule, mut found) = elastic::read(document);
    let Some(rule) = rule else { return FoundFile { found, ..FoundFile::default() } };
    // Rules of strangers name fields that no sensor here fills.
    schema.unknown = Unknown::Document;
    let dialect = match rule.layout {
        Layout::Siem => Dialect::Elastic,
        Layout::Endpoint => Dialect::Endpoint,
    };
    schema.foreign = true;
    let (compiled, wrong) = file::compile_in(text, &rule.query, &rule.place, dialect, schema);
    schema.foreign = false;
    found.extend(
        wrong.into_iter().map(|one| Diagnostic { rule: Some(rule.meta.id.clone()), ..one }),
    );
    let sound = !found.iter().any(Diagnostic::is_error);
    let rules = compiled.filter(|_| sound).map(|compiled| FoundRule {
        rule: compiled.rule(rule.meta),
        id: rule.id,
        query: rule.place,
        tests: Vec::new(),
        referred: None,
    });
    FoundFile { rules: rules.into_iter().collect(), found, ..FoundFile::default() }
}

/// The number of an ECS field, which only documents may have.
pub(crate) fn document_field(schema: &mut Schema, name: &str) -> Result<FieldId, String> {
    schema.unknown = Unknown::Document;
    schema.field(name).ok_or_else(|| format!("rules name more than {MAX_FIELDS} fields"))
}
