//! What rule text compiles to: an immutable program, shared by engines.
//!
//! `lang` makes it, `engine` runs it; neither knows the other.

use std::net::IpAddr;

use crate::field::FieldId;

/// All rules of a load, in the order in which they were read.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// One rule: what it is about and when it matches.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Metadata, as its author wrote it.
    pub meta: RuleMeta,
    /// Value of `event.category` that must be present; `None` for `any`.
    pub category: Option<String>,
    /// The condition.
    pub condition: Expr,
}

/// Metadata of a rule.
#[derive(Debug, Clone, Default)]
pub struct RuleMeta {
    /// Stable identifier.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// What it means and what to do, for people.
    pub description: String,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    pub severity: Severity,
    /// ATT&CK technique ids (`T1059.004`).
    pub attack: Vec<String>,
    /// Free tags.
    pub tags: Vec<String>,
    /// Where to read more.
    pub references: Vec<String>,
    /// Base name of the file it came from.
    pub file: String,
}

/// How bad a match is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Severity {
    /// Worth knowing.
    Informational,
    /// Worth a look some day.
    Low,
    /// Worth a look today.
    #[default]
    Medium,
    /// Look now.
    High,
    /// Act now.
    Critical,
}

impl Severity {
    /// The word used in rule files and alerts.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Informational => "informational",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// A condition. Statement 11 of the EQL semantics holds: a predicate on an absent field is false,
/// and `Not` is its complement.
#[derive(Debug, Clone)]
pub enum Expr {
    /// Always or never.
    Const(bool),
    /// All of them; true when empty.
    And(Vec<Expr>),
    /// Any of them; false when empty.
    Or(Vec<Expr>),
    /// The complement.
    Not(Box<Expr>),
    /// A test of one field, true if any of its values satisfies it.
    Test(FieldId, Test),
}

/// A test of one value.
#[derive(Debug, Clone)]
pub enum Test {
    /// `field != null`
    Exists,
    /// Equal to any of these; strings exactly, or with ASCII case folded. An integer literal
    /// equals the number and its decimal text, since documents carry numeric ids as either.
    Equals {
        /// The literals.
        any: Vec<Literal>,
        /// Fold ASCII case.
        fold: bool,
    },
    /// Ordered comparison.
    Compare(Order, Literal),
    /// Whole-string match of any of these: `*` is any bytes, `?` one character. Numbers are
    /// tested as decimal text here and in the tests below.
    Wildcard {
        /// The patterns.
        any: Vec<Vec<u8>>,
        /// Fold ASCII case.
        fold: bool,
    },
    /// Regular expressions as [`crate::pattern::regex`] reads them.
    Regex {
        /// The expressions as written.
        any: Vec<String>,
        /// Fold ASCII case.
        fold: bool,
    },
    /// Starts with, ends with, contains.
    Part {
        /// Where to look.
        place: Place,
        /// The literals.
        any: Vec<Vec<u8>>,
        /// Fold ASCII case.
        fold: bool,
    },
    /// Address in any of these networks.
    Cidr(Vec<(IpAddr, u8)>),
    /// Length of the text in characters compared with a number.
    Length(Order, i64),
}

/// Where [`Test::Part`] looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// At the start.
    Start,
    /// At the end.
    End,
    /// Anywhere.
    Anywhere,
}

/// A comparison. `!=` is `Not` of `Equal`, so that it is the complement also where the field is
/// absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// `==`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
}

/// A literal of rule text.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// Integer.
    Int(i64),
    /// Float.
    Float(f64),
    /// Text.
    Str(Vec<u8>),
    /// Boolean.
    Bool(bool),
}
