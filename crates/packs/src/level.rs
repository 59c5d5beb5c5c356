//! Levels of trust by where a pack comes from, and what each of them allows: one table, from which
//! the documentation is made.

use std::fmt::Write as _;

use model::capability::{Capabilities, Capability};
use model::script::{Budget, Kind as ScriptKind};

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
    /// Kinds of scripts that rules may ask.
    pub scripts: &'static [ScriptKind],
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
    /// What one script may use.
    pub budget: Budget,
    /// Every load is written to the audit log, not only refusals and changes.
    pub audited: bool,
}

/// What a script of strangers may use: enough for predicates, little for anything else.
const STRANGERS: Budget = Budget {
    work: 100_000,
    memory: 1 << 20,
    entries: 256,
    bytes: 64 << 10,
    alerts: 10,
    violations: 3,
};

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
            scripts: &[ScriptKind::Wasm, ScriptKind::Lua],
            signature: false,
            given: WATCH,
            most: Capabilities::all(),
            costly: true,
            // The agent's own default of `--max-alerts`.
            alerts: 1_000,
            // The engine's own default.
            kept: 65_536,
            budget: Budget::TRUSTED,
            audited: false,
        };
        match self {
            Level::Shipped | Level::Local => TRUSTED,
            Level::Signed => Terms { signature: true, given: Capabilities::ALERT, ..TRUSTED },
            Level::Untrusted => Terms {
                // What is read by a parser of ours: Sigma is YAML, read by libraries.
                kinds: &[Kind::Eql, Kind::Wasm],
                // Wasm is separated from us by its own machine, Lua by a library in C.
                scripts: &[ScriptKind::Wasm],
                signature: true,
                given: Capabilities::ALERT,
                most: WATCH,
                costly: false,
                alerts: 60,
                kept: 1_024,
                budget: STRANGERS,
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
    let scripts = |terms: Terms| {
        terms.scripts.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
    };
    let rows: [Row<'_>; 15] = [
        ("kinds of rules", &kinds),
        ("kinds of scripts that rules ask", &scripts),
        ("signature required", &|terms| yes(terms.signature)),
        ("may without a grant", &|terms| terms.given.to_string()),
        ("may with grants", &most),
        ("regular expressions that cost much (W009)", &|terms| yes(terms.costly)),
        ("alerts of a rule in a minute", &|terms| terms.alerts.to_string()),
        ("partial matches and rows that a rule keeps", &|terms| terms.kept.to_string()),
        ("work of one call of a script", &|terms| terms.budget.work.to_string()),
        ("KiB of memory of a script", &|terms| (terms.budget.memory >> 10).to_string()),
        ("entries that a script remembers", &|terms| terms.budget.entries.to_string()),
        ("KiB that a script remembers", &|terms| (terms.budget.bytes >> 10).to_string()),
        ("alerts with texts of a script in a minute", &|terms| terms.budget.alerts.to_string()),
        ("violations until a script is in quarantine", &|terms| {
            terms.budget.violations.to_string()
        }),
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
