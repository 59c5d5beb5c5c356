//! Sigma documents as we use them, whatever library parsed them.

/// A document of a Sigma file.
#[derive(Debug, Clone)]
pub(super) enum Document {
    Rule(Box<Detection>),
    Correlation(Box<Correlation>),
}

/// What both kinds of documents say about themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) title: String,
    pub(super) id: Option<String>,
    /// What correlations may call it.
    pub(super) name: Option<String>,
    pub(super) description: String,
    pub(super) author: Option<String>,
    pub(super) license: Option<String>,
    pub(super) level: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) references: Vec<String>,
}

/// A detection rule.
#[derive(Debug, Clone)]
pub(super) struct Detection {
    pub(super) about: About,
    pub(super) category: Option<String>,
    pub(super) product: Option<String>,
    pub(super) service: Option<String>,
    /// Named searches, by name.
    pub(super) searches: Vec<(String, Search)>,
    /// The rule matches if any of these does.
    pub(super) conditions: Vec<Condition>,
    pub(super) timeframe: bool,
}

/// A named search.
#[derive(Debug, Clone)]
pub(super) enum Search {
    All(Vec<Search>),
    Any(Vec<Search>),
    Item(Item),
    /// A construct that is known and not run.
    Refused(String),
}

/// A field, or the raw text of the event, with what it is compared with.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) field: Option<String>,
    pub(super) modifiers: Vec<Modifier>,
    pub(super) values: Vec<Value>,
}

/// Modifiers by their names in the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Modifier {
    All,
    Base64,
    Base64Offset,
    Cased,
    Cidr,
    Contains,
    EndsWith,
    Exists,
    Expand,
    FieldRef,
    Gt,
    Gte,
    Lt,
    Lte,
    Neq,
    Re,
    ReDotAll,
    ReIgnoreCase,
    ReMultiline,
    StartsWith,
    TimePart,
    Utf16,
    Utf16Be,
    Wide,
    WinDash,
}

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Vec<Piece>),
    /// Text of `re`, `expand` or `fieldref`, in which nothing is special.
    Raw(String),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Plain(Vec<u8>),
    /// `*`
    Many,
    /// `?`
    One,
}

/// What must hold between searches.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Search(String),
    /// At least `least` (`None`: all) of the searches whose names fit; `None` is `them`.
    Of {
        least: Option<u64>,
        names: Option<String>,
    },
}

/// A correlation rule.
#[derive(Debug, Clone)]
pub(super) struct Correlation {
    pub(super) about: About,
    /// As in the specification, such as `event_count`.
    pub(super) kind: String,
    /// Ids or names.
    pub(super) rules: Vec<String>,
    pub(super) group_by: Vec<String>,
    pub(super) seconds: u64,
    pub(super) threshold: Result<Vec<(Compare, u64)>, String>,
    pub(super) fields: Vec<String>,
    /// Alias, and for each rule its own field.
    pub(super) aliases: Vec<(String, Vec<(String, String)>)>,
    /// The rules alert by themselves too.
    pub(super) generate: bool,
    /// A window other than the sliding one of the specification.
    pub(super) window: Option<String>,
}

/// Comparisons of thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}
