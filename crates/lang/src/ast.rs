//! A query as it was written, with the place of each part.

use crate::diagnostic::Span;

/// `category where condition`
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    /// The category; `None` for `any`.
    pub(crate) category: Option<(String, Span)>,
    /// What must hold.
    pub(crate) condition: Node,
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
    /// `name` or `?name`
    Field(String),
    Not(Box<Node>),
    /// Two or more joined by `and`.
    All(Vec<Node>),
    /// Two or more joined by `or`.
    Any(Vec<Node>),
    /// `left op right`
    Compare(Comparison, Box<Node>, Box<Node>),
    /// `+ - * / %` or unary minus of something that is not a literal.
    Arithmetic,
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
    /// `name(…)`, `name~(…)`
    Call {
        name: String,
        name_span: Span,
        args: Vec<Node>,
        fold: bool,
    },
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
