//! Which of the three languages a query is written in.

use model::program::Logic;

/// Dialects of EQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Dialect {
    /// Elasticsearch's, and that of our own rules.
    #[default]
    Elastic,
    /// Elastic's endpoint rules: names for steps, comparison of fields, `descendant of`.
    Endpoint,
    /// The original: pipes, `join`, `fork`, lineage, wildcards in `==`, three-valued logic.
    Classic,
}

impl Dialect {
    /// All of them.
    pub const ALL: &'static [Dialect] = &[Dialect::Elastic, Dialect::Endpoint, Dialect::Classic];

    /// The word used in rule files and on command lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::Elastic => "elastic",
            Dialect::Endpoint => "endpoint",
            Dialect::Classic => "classic",
        }
    }

    /// The dialect of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|dialect| dialect.as_str() == name)
    }

    /// How absent fields behave in it.
    pub fn logic(self) -> Logic {
        match self {
            Dialect::Elastic | Dialect::Endpoint => Logic::Complement,
            Dialect::Classic => Logic::ThreeValued,
        }
    }

    pub(crate) fn is_classic(self) -> bool {
        self == Dialect::Classic
    }

    /// Whether two values of an event may be compared.
    pub(crate) fn compares_fields(self) -> bool {
        self != Dialect::Elastic
    }
}

/// How letters of texts compare where the query does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum CaseMode {
    /// As written.
    #[default]
    Sensitive,
    /// ASCII case is folded everywhere, also in join keys.
    Insensitive,
}
