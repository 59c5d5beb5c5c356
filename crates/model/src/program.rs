//! What rule text compiles to: an immutable program, shared by engines.
//!
//! `lang` makes it, `engine` runs it; neither knows the other.

use std::net::IpAddr;

use crate::field::FieldId;
pub use crate::response::Response;
use crate::script::Script;

/// All rules of a load, in the order in which they were read.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The rules.
    pub rules: Vec<Rule>,
    /// Names of fields that only documents have; they follow the last of [`crate::field::FIELDS`].
    pub fields: Vec<String>,
    /// Queries over the lineage of a process, named by [`Expr::Lineage`].
    pub lineages: Vec<Filter>,
    /// Scripts whose functions conditions ask, named by [`Expr::Script`].
    pub scripts: Vec<Script>,
}

/// One rule: what it is about and when it matches.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Metadata, as its author wrote it.
    pub meta: RuleMeta,
    /// How comparisons with absent fields behave.
    pub logic: Logic,
    /// What it looks for.
    pub query: Query,
    /// What happens to the results, first to last.
    pub pipes: Vec<Pipe>,
}

/// How absent fields behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Logic {
    /// A predicate on an absent field is false and `not` is its complement (statement 11).
    #[default]
    Complement,
    /// Three values, as in SQL: unknown stays unknown under `not` (statement 12).
    ThreeValued,
}

/// What a rule looks for.
#[derive(Debug, Clone)]
pub enum Query {
    /// Single events.
    Event(Filter),
    /// Events in order.
    Sequence(Sequence),
    /// One event for each filter in any order, with equal keys. Each step has the same number of
    /// keys, at least one.
    Sample(Vec<Step>),
    /// The classic `join`: one event for each filter in any order, the first ones that come.
    Join {
        /// The filters.
        steps: Vec<Step>,
        /// Drops what is pending for its key.
        until: Option<Step>,
    },
    /// Several rules or values within a time (Sigma correlations).
    Correlation(Correlation),
}

/// Events of a category that satisfy a condition.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Value of `event.category` that must be present; `None` for `any`.
    pub category: Option<String>,
    /// The condition.
    pub condition: Expr,
}

/// Events in order.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// At least one, of which one is not `missing`. `with runs=N` has become N steps.
    pub steps: Vec<Step>,
    /// The only step that is not `missing` has runs: matches are groups that share no event. In all
    /// other sequences an event may end one match and begin the next.
    pub disjoint: bool,
    /// Ends what is pending for its key.
    pub until: Option<Step>,
    /// Longest time from the first to the last member, ns.
    pub maxspan: Option<u64>,
}

/// One step of a sequence, sample or join.
#[derive(Debug, Clone)]
pub struct Step {
    /// The events that fit.
    pub filter: Filter,
    /// Values that must be equal in all steps, the shared ones first.
    pub by: Vec<Key>,
    /// `![ ]`: no such event may happen here.
    pub missing: bool,
    /// The classic `fork`: the step may be matched more than once.
    pub fork: bool,
}

/// A join key.
#[derive(Debug, Clone)]
pub struct Key {
    /// What is compared.
    pub value: Scalar,
    /// `?field`: absent joins absent; else an event without the value is left out of the step.
    pub optional: bool,
}

/// What happens to results.
#[derive(Debug, Clone)]
pub enum Pipe {
    /// The first so many.
    Head(u64),
    /// The last so many.
    Tail(u64),
    /// The first of each distinct tuple.
    Unique(Vec<Scalar>),
    /// Those that satisfy a condition; in it [`Scalar::Member`] names members of a sequence.
    Filter(Expr),
    /// In the order of these values, ties as they were.
    Sort(Vec<Scalar>),
    /// Counts all, or by tuple.
    Count(Vec<Scalar>),
    /// The first of each tuple, with its count.
    UniqueCount(Vec<Scalar>),
}

impl Pipe {
    /// The word that rules use.
    pub fn name(&self) -> &'static str {
        match self {
            Pipe::Head(_) => "head",
            Pipe::Tail(_) => "tail",
            Pipe::Unique(_) => "unique",
            Pipe::Filter(_) => "filter",
            Pipe::Sort(_) => "sort",
            Pipe::Count(_) => "count",
            Pipe::UniqueCount(_) => "unique_count",
        }
    }
}

/// Several rules or values within a time (Sigma 2 correlation).
#[derive(Debug, Clone)]
pub struct Correlation {
    /// What is counted.
    pub kind: CorrelationKind,
    /// Numbers of the rules in the program whose matches, before pipes, are correlated. All of them
    /// come before this rule.
    pub rules: Vec<u32>,
    /// Values that must be equal; for each rule its own fields, all of the same length.
    pub group_by: Vec<Vec<FieldId>>,
    /// Window, ns.
    pub timespan: u64,
    /// The count must satisfy all of these.
    pub condition: Vec<(Order, u64)>,
}

/// What a correlation counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorrelationKind {
    /// Matches.
    EventCount,
    /// Distinct values of a field.
    ValueCount(FieldId),
    /// Distinct rules, in any order.
    Temporal,
    /// Distinct rules, in the order given.
    TemporalOrdered,
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
    /// Who wrote it; some licences ask that a match names them.
    pub author: Vec<String>,
    /// Licence of the rule text, as its author names it.
    pub license: String,
    /// Elastic's risk score, 0 to 100, where the rule has one.
    pub risk_score: Option<u8>,
    /// What is done besides the alert.
    pub responses: Vec<Response>,
    /// Seconds after which what a response did ends by itself, if the rule says so.
    pub response_ttl: Option<u32>,
    /// A response that must precede the act (`deny`) may also come after it (`placement = "any"`).
    pub late: bool,
    /// Its matches count only for the correlations that name it; no alert of its own.
    pub silent: bool,
    /// Partial matches and rows that it keeps at most, by how far its author is trusted; what all
    /// rules may keep if none is given.
    pub kept: Option<u32>,
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
    /// All of them, the worst last.
    pub const ALL: &'static [Severity] = &[
        Severity::Informational,
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];

    /// The severity that the word stands for.
    pub fn from_name(word: &str) -> Option<Severity> {
        Severity::ALL.iter().copied().find(|severity| severity.as_str() == word)
    }

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

/// A condition. What an absent field does is said by [`Logic`].
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
    /// A test of one field, true if any of its values satisfies it: the common and fast case.
    Test(FieldId, Test),
    /// The same test of a computed value.
    Computed(Scalar, Test),
    /// Two values compared; unknown if either is absent.
    Compare {
        /// Left side.
        left: Scalar,
        /// How; `!=` is `Not` of `Equal`.
        order: Order,
        /// Right side.
        right: Scalar,
        /// Fold ASCII case of texts.
        fold: bool,
    },
    /// A value that is a truth by itself.
    Truth(Scalar),
    /// Whether a relative of the process, or the process itself, had an event that satisfies a
    /// filter of [`Program::lineages`].
    Lineage(Relation, u32),
    /// What a function of a script says; never unknown.
    Script {
        /// Number in [`Program::scripts`].
        script: u32,
        /// Number in [`Script::functions`].
        function: u32,
        /// What it is given.
        args: Vec<Scalar>,
    },
}

/// Whose events a lineage query is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `child of`: the parent.
    Child,
    /// `descendant of`: any ancestor.
    Descendant,
    /// `event of`: the process itself.
    Event,
}

/// A value of an event, a member of a sequence, or computed from them.
#[derive(Debug, Clone)]
pub enum Scalar {
    /// A literal.
    Literal(Literal),
    /// Absent.
    Null,
    /// A field of the event.
    Field(FieldId),
    /// An element of a field that is a list (classic `a.b[0]`), and what it has below it.
    Element(Box<Scalar>, Vec<Part>),
    /// A field of an earlier member of the same sequence, by number of the step.
    Member(u16, FieldId),
    /// The variable of the innermost `arraySearch` that binds this number.
    Variable(u16),
    /// A function.
    Call {
        /// Which.
        function: Function,
        /// Its arguments.
        args: Vec<Scalar>,
        /// `name~`: fold ASCII case.
        fold: bool,
    },
    /// Arithmetic; unknown if an operand is absent or no number.
    Arithmetic(Operator, Box<Scalar>, Box<Scalar>),
    /// A condition as a value.
    Condition(Box<Expr>),
    /// `arraySearch(list, variable, condition)` or, when counting, `arrayCount`.
    Search {
        /// The list.
        list: Box<Scalar>,
        /// Number of the variable that it binds.
        variable: u16,
        /// What an element must satisfy.
        condition: Box<Expr>,
        /// Whether the elements are counted.
        count: bool,
    },
}

/// A step into a nested value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// `[n]`
    Index(usize),
    /// `.name`
    Name(String),
}

/// Arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`, floor of integers
    Divide,
    /// `%`
    Modulo,
}

/// Functions whose result is a value; those that are tests of a field become [`Test`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the language; see docs/reference/functions.md")]
pub enum Function {
    Add,
    ArrayContains,
    Between,
    CidrMatch,
    Concat,
    Divide,
    EndsWith,
    IndexOf,
    Length,
    Match,
    Modulo,
    Multiply,
    Number,
    Safe,
    StartsWith,
    String,
    StringContains,
    Substring,
    Subtract,
    ToUpper,
    ToLower,
    Wildcard,
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
