//! A query as it was written, with the place of each part.

use crate::diagnostic::Span;
pub(crate) use model::program::{Operator, Part, Relation};

/// A whole query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    pub(crate) body: Body,
    pub(crate) pipes: Vec<Pipe>,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    Event(Filter),
    Steps(Steps),
}

/// `category where condition`
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Filter {
    /// The category; `None` for `any`.
    pub(crate) category: Option<(String, Span)>,
    pub(crate) condition: Node,
}

/// Words that begin a query of several steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Sequence,
    Sample,
    Join,
}

/// `sequence`, `sample` or `join`
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Steps {
    pub(crate) form: Form,
    /// The word.
    pub(crate) span: Span,
    pub(crate) by: Vec<Node>,
    /// ns
    pub(crate) maxspan: Option<u64>,
    pub(crate) list: Vec<Step>,
    pub(crate) until: Option<Box<Step>>,
}

/// `[ … ]` with what follows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) span: Span,
    /// `None` if it could not be read.
    pub(crate) filter: Option<Filter>,
    pub(crate) by: Vec<Node>,
    pub(crate) missing: bool,
    pub(crate) fork: bool,
    /// `with runs=N`
    pub(crate) runs: u64,
    /// `as name`
    pub(crate) alias: Option<(String, Span)>,
}

/// `| name arguments`
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pipe {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) args: Vec<Node>,
}

/// An expression and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// From its first to its last byte.
    pub(crate) span: Span,
    /// What it is.
    pub(crate) kind: NodeKind,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NodeKind {
    Literal(Literal),
    Field(Name),
    Not(Box<Node>),
    /// Two or more joined by `and`.
    All(Vec<Node>),
    /// Two or more joined by `or`.
    Any(Vec<Node>),
    /// `left op right`
    Compare(Comparison, Box<Node>, Box<Node>),
    /// `+ - * / %`
    Arithmetic(Operator, Box<Node>, Box<Node>),
    /// `value in (…)`, `in~`
    In {
        value: Box<Node>,
        list: Vec<Node>,
        fold: bool,
    },
    /// `value like …`, `like~`, `:`, `regex`, `regex~`; one literal or a list.
    Pattern {
        pattern: Pattern,
        value: Box<Node>,
        list: Vec<Node>,
        fold: bool,
    },
    /// `name(…)`, `name~(…)`, classic `value:name(…)`
    Call {
        name: String,
        name_span: Span,
        args: Vec<Node>,
        fold: bool,
    },
    /// `child of [ … ]`
    Lineage(Relation, Box<Filter>),
    /// What could not be read; the reason is among the errors.
    Bad,
}

/// `a.b`, `?a.b`, `$a.b`, classic `a.b[0].c`
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Name {
    /// Before the first index.
    pub(crate) text: String,
    /// From the first index on.
    pub(crate) rest: Vec<Part>,
    /// `?`
    pub(crate) optional: bool,
    /// `$`: the name of a step or variable, never a field.
    pub(crate) variable: bool,
}

/// Literals as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

/// `== != < <= > >=`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Comparison {
    /// The comparison that says the same with both sides exchanged.
    pub(crate) fn flip(self) -> Self {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessEqual => Comparison::GreaterEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterEqual => Comparison::LessEqual,
            same => same,
        }
    }
}

/// How a pattern is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// `*` and `?`
    Wildcard,
    /// A regular expression.
    Regex,
}
