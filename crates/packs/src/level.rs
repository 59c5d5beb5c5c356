//! Levels of trust by where a pack comes from, and what each of them allows: one table, from which
//! the documentation is made.

use std::fmt::Write as _;

use model::capability::{Capabilities, Capability};

use crate::manifest::Kind;

/// Where a pack comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Comes with this program.
    Shipped,
    /// Signed by as many trusted keys as the operator wants.
    Signed,
    /// In a directory that is root's or ours.
    Local,
    /// Signed by keys that are known and not trusted; and every pack in strict mode.
    Untrusted,
}

/// What a level allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Kinds of rules that are run.
    pub kinds: &'static [Kind],
    /// A pack without a signature is refused.
    pub signature: bool,
    /// What rules may do without a grant, if they ask for it.
    pub given: Capabilities,
    /// What no grant goes beyond.
    pub most: Capabilities,
    /// Regular expressions whose cost has no good bound (W009) are run.
    pub costly: bool,
    /// Alerts of one rule in a minute.
    pub alerts: u32,
    /// Partial matches and rows that one rule keeps.
    pub kept: u32,
    /// Every load is written to the audit log, not only refusals and changes.
    pub audited: bool,
}

const WATCH: Capabilities =
    Capabilities::of(&[Capability::Alert, Capability::State, Capability::Regex]);

impl Level {
    /// All of them, the most trusted first.
    pub const ALL: &'static [Level] =
        &[Level::Shipped, Level::Signed, Level::Local, Level::Untrusted];

    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Shipped => "shipped",
            Level::Signed => "signed",
            Level::Local => "local",
            Level::Untrusted => "untrusted",
        }
    }

    /// What it allows.
    pub const fn terms(self) -> Terms {
        const TRUSTED: Terms = Terms {
            kinds: Kind::RUN,
            signature: false,
            given: WATCH,
            most: Capabilities::all(),
            costly: true,
            // The agent's own default of `--max-alerts`.
            alerts: 1_000,
            // The engine's own default.
            kept: 65_536,
            audited: false,
        };
        match self {
            Level::Shipped | Level::Local => TRUSTED,
            Level::Signed => Terms { signature: true, given: Capabilities::ALERT, ..TRUSTED },
            Level::Untrusted => Terms {
                kinds: Kind::RUN,
                signature: true,
                given: Capabilities::ALERT,
                most: WATCH,
                costly: false,
                alerts: 60,
                kept: 1_024,
                audited: true,
            },
        }
    }
}

/// A line of the table: what it is about, and how it is shown.
type Row<'a> = (&'a str, &'a dyn Fn(Terms) -> String);

/// The table of all levels as Markdown.
pub fn table() -> String {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let kinds =
        |terms: Terms| terms.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    let most = |terms: Terms| {
        if terms.most == Capabilities::all() { "all".to_owned() } else { terms.most.to_string() }
    };
    let rows: [Row<'_>; 8] = [
        ("kinds of rules", &kinds),
        ("signature required", &|terms| yes(terms.signature)),
        ("may without a grant", &|terms| terms.given.to_string()),
        ("may with grants", &most),
        ("regular expressions that cost much (W009)", &|terms| yes(terms.costly)),
        ("alerts of a rule in a minute", &|terms| terms.alerts.to_string()),
        ("partial matches and rows that a rule keeps", &|terms| terms.kept.to_string()),
        ("every load in the audit log", &|terms| yes(terms.audited)),
    ];
    let mut out = "| |".to_owned();
    for level in Level::ALL {
        // Writing to a text does not fail.
        _ = write!(out, " {} |", level.as_str());
    }
    out.push_str("\n|---|---|---|---|---|\n");
    for (what, value) in rows {
        _ = write!(out, "| {what} |");
        for level in Level::ALL {
            _ = write!(out, " {} |", value(level.terms()));
        }
        out.push('\n');
    }
    out
}
