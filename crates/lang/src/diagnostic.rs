//! What is wrong with rule text, as data: text and JSON output are made from the same values.
//!
//! Each code has a section in `docs/reference/diagnostics.md` and a golden test.

use std::ops::Range;

/// Bytes of a file.
pub type Span = Range<usize>;

macro_rules! codes {
    ($($name:ident, $code:literal, $level:ident, $title:literal;)*) => {
        /// Kinds of diagnostics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $title] $name),* }

        impl Code {
            /// All codes, in order.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// Those that need the tables of a policy: `aegisbpf policy` finds them, and the
            /// functions of this crate do not.
            pub const OF_TABLES: &'static [Code] = &[
                Code::Unreadable,
                Code::Digest,
                Code::NotCompiled,
                Code::LocksOut,
                Code::DeniesAll,
                Code::NotEnforced,
                Code::Contradiction,
                Code::NeverReached,
                Code::TooWide,
                Code::UnknownName,
                Code::OtherErrno,
            ];

            /// `E` or `W` and three digits; never reused.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code),* }
            }

            /// Error or warning.
            pub fn level(self) -> Level {
                match self { $(Code::$name => Level::$level),* }
            }

            /// What the code stands for, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title),* }
            }
        }
    };
}

codes! {
    Toml, "E001", Error, "the file is not valid TOML";
    MissingKey, "E002", Error, "a required key is missing";
    UnknownKey, "E003", Error, "unknown key";
    BadValue, "E004", Error, "a key has a wrong value";
    Limit, "E005", Error, "a limit is exceeded";
    DuplicateId, "E006", Error, "two rules have the same id";
    Syntax, "E010", Error, "the query is not well formed";
    Token, "E011", Error, "a literal or character cannot be read";
    Unsupported, "E012", Error, "not in this dialect";
    UnknownField, "E020", Error, "unknown field";
    WrongType, "E021", Error, "a literal does not fit the field";
    UnknownFunction, "E022", Error, "unknown function";
    BadArguments, "E023", Error, "wrong arguments of a function";
    BadOperand, "E024", Error, "these cannot be compared";
    BadRegex, "E025", Error, "the regular expression cannot be used";
    BadAddress, "E026", Error, "not an address or network";
    BadTestEvent, "E030", Error, "a test event names something that events do not have";
    NotEql, "E040", Error, "the rule is not written in EQL";
    Yaml, "E041", Error, "the file is not YAML that is read here";
    SigmaSyntax, "E042", Error, "the Sigma rule is not well formed";
    LogSource, "E043", Error, "no event corresponds to the log source";
    SigmaUnsupported, "E044", Error, "a Sigma construct that is not run";
    Correlation, "E045", Error, "the correlation cannot be run";
    LatePlacement, "E046", Error, "a response would come too late";
    Script, "E047", Error, "a script that cannot be asked";
    PolicyVersion, "E050", Error, "not a policy of this version";
    Unreadable, "E051", Error, "a policy file cannot be read";
    Digest, "E052", Error, "the policy is not the one that was meant";
    NotCompiled, "E053", Error, "no tables can be made of the policies";
    LocksOut, "E054", Error, "the policy keeps somebody out who keeps the host running";
    DeniesAll, "E055", Error, "the policy denies everything";
    NotEnforced, "E056", Error, "this kernel offers no way to enforce it";
    WildcardLiteral, "W001", Warning, "`*` or `?` is compared literally";
    UnknownWord, "W002", Warning, "no event carries this value";
    NeverMatches, "W003", Warning, "the rule can never match";
    NoTest, "W004", Warning, "a rule lacks a test";
    Unbounded, "W005", Warning, "what a rule needs from sensors cannot be told";
    NotFilled, "W006", Warning, "no sensor fills a field";
    AlwaysTrue, "W007", Warning, "a predicate is always true";
    Unending, "W008", Warning, "a sequence without a bound in time";
    SlowRegex, "W009", Warning, "a regular expression costs much";
    Shadowed, "W010", Warning, "another rule matches all that this one does";
    NeverTrue, "W011", Warning, "a part of the condition is never true";
    OnlyAtEnd, "W012", Warning, "results come only when the input ends";
    Contradiction, "W020", Warning, "a rule allows what another denies";
    NeverReached, "W021", Warning, "a rule decides nothing";
    TooWide, "W022", Warning, "a pattern fits nearly everything";
    UnknownName, "W023", Warning, "a name that this host does not know";
    OtherErrno, "W024", Warning, "a file is denied by another errno";
}

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The rule is not loaded.
    Error,
    /// The rule is loaded and probably does not do what was meant.
    Warning,
}

impl Level {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of finding.
    pub code: Code,
    /// What is wrong, in one line.
    pub message: String,
    /// Name of the file, as it was given to [`crate::load()`].
    pub file: String,
    /// Id of the rule that it is about, where that is known.
    pub rule: Option<String>,
    /// The place.
    pub span: Span,
    /// What to say at that place.
    pub label: String,
    /// Other places that explain it.
    pub labels: Vec<(Span, String)>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding at a place of a text that is not yet tied to a file.
    pub(crate) fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            message: message.into(),
            file: String::new(),
            rule: None,
            span,
            label: String::new(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// With words at the place.
    #[must_use]
    pub(crate) fn label(mut self, text: impl Into<String>) -> Self {
        self.label = text.into();
        self
    }

    /// With another place.
    #[must_use]
    pub(crate) fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    /// With advice.
    #[must_use]
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// With advice if there is any.
    #[must_use]
    pub(crate) fn help_if(mut self, text: Option<String>) -> Self {
        self.help = text.or(self.help);
        self
    }

    /// Whether it keeps a rule from being loaded.
    pub fn is_error(&self) -> bool {
        self.code.level() == Level::Error
    }

    /// The same finding with each place moved, as when a query lies within a file.
    pub(crate) fn map_spans(mut self, place: impl Fn(Span) -> Span) -> Self {
        self.span = place(self.span);
        for (span, _) in &mut self.labels {
            *span = place(span.clone());
        }
        self
    }
}

/// The candidate nearest to `word`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, all: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let worst = word.len().div_ceil(3).min(MAX_EDITS);
    all.into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= worst)
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= worst)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// More differences than this are not a typing error.
const MAX_EDITS: usize = 4;

/// Edit distance, ASCII case folded.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = *cell;
            *cell = replaced.min(left + 1).min(diagonal + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
