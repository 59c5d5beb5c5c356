//! Several rule files into one program.

use std::collections::HashMap;

use model::program::Program;
use serde_json::{Map, Value};

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::file::{self, FoundRule};
use crate::limits::{MAX_DIAGNOSTICS, MAX_FILE, MAX_PROGRAM};

/// What rule files hold.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// All rules without an error.
    pub program: Program,
    /// Where each rule of the program was written, in the same order.
    pub origins: Vec<Origin>,
    /// Tests of these rules.
    pub tests: Vec<RuleTest>,
    /// What is wrong, in the order of files and places.
    pub diagnostics: Vec<Diagnostic>,
    /// The files, for showing diagnostics.
    pub sources: Vec<Source>,
}

/// A file as it was given.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Where a rule was written.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Name of the file.
    pub file: String,
    /// The value of `id`.
    pub id: Span,
    /// The value of `query`.
    pub query: Span,
}

/// An event, and whether the rule must match it.
#[derive(Debug, Clone)]
pub struct RuleTest {
    /// Index of the rule in the program.
    pub rule: usize,
    /// What the test is about.
    pub name: String,
    /// Whether the rule must match.
    pub alert: bool,
    /// The event, with nested or dotted keys.
    pub event: Map<String, Value>,
}

impl Loaded {
    /// Whether a rule was left out.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// Adds a warning that only the engine can know: sensors will not deliver all that a rule asks
    /// for, since its condition does not say of what.
    pub fn warn_unbounded(&mut self, rule: usize, what: Unbounded) {
        let Some(origin) = self.origins.get(rule) else { return };
        let found = Diagnostic::new(Code::Unbounded, origin.query.clone(), what.message())
            .label(what.label())
            .help(what.help());
        self.diagnostics.push(Diagnostic {
            file: origin.file.clone(),
            rule: self.program.rules.get(rule).map(|rule| rule.meta.id.clone()),
            ..found
        });
    }
}

/// What sensors deliver only as far as rules name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbounded {
    /// Files that are opened or written.
    Files,
    /// Environment variables.
    Environment,
}

impl Unbounded {
    fn message(self) -> &'static str {
        match self {
            Unbounded::Files => "the files that this rule is about cannot be told",
            Unbounded::Environment => {
                "the environment variables that this rule reads cannot be told"
            }
        }
    }

    fn label(self) -> &'static str {
        match self {
            Unbounded::Files => "matches opens or writes of any file",
            Unbounded::Environment => "tests variables without their full name",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Unbounded::Files => {
                "opens and writes are reported only for named files and directories: add a \
                 condition such as `file.path like \"/etc/cron*\"`; until then this part of the \
                 rule sees only what other rules watch"
            }
            Unbounded::Environment => {
                "only named variables are captured: write `process.env_vars like \"NAME=*\"`"
            }
        }
    }
}

/// Reads rule files: pairs of name and text.
pub fn load(files: impl IntoIterator<Item = (String, String)>) -> Loaded {
    let mut loaded = Loaded::default();
    let mut ids: HashMap<String, (String, Span)> = HashMap::new();
    for (name, text) in files {
        let (rules, mut found) = read(&text);
        for rule in rules {
            add(&mut loaded, &mut ids, &name, rule, &mut found);
        }
        found.sort_by_key(|one| one.span.start);
        found.truncate(MAX_DIAGNOSTICS);
        for one in &mut found {
            one.file.clone_from(&name);
        }
        loaded.diagnostics.append(&mut found);
        loaded.sources.push(Source { name, text });
    }
    loaded
}

fn read(text: &str) -> (Vec<FoundRule>, Vec<Diagnostic>) {
    if text.len() > MAX_FILE {
        let message = format!("the file has {} bytes, the limit is {MAX_FILE}", text.len());
        return (Vec::new(), vec![Diagnostic::new(Code::Limit, 0..0, message)]);
    }
    file::read(text)
}

/// Takes a rule into the program unless its id is taken.
fn add(
    loaded: &mut Loaded,
    ids: &mut HashMap<String, (String, Span)>,
    file: &str,
    found_rule: FoundRule,
    found: &mut Vec<Diagnostic>,
) {
    let FoundRule { mut rule, id, query, tests } = found_rule;
    if loaded.program.rules.len() == MAX_PROGRAM {
        found.push(Diagnostic::new(Code::Limit, id, format!("more than {MAX_PROGRAM} rules")));
        return;
    }
    if let Some((other, place)) = ids.get(&rule.meta.id) {
        let message = format!("there is another rule `{}`", rule.meta.id);
        let mut twice = Diagnostic::new(Code::DuplicateId, id, message).label("used again here");
        twice.rule = Some(rule.meta.id);
        found.push(if other == file {
            twice.also(place.clone(), "first used here")
        } else {
            twice.help(format!("the other is in {other}"))
        });
        return;
    }
    ids.insert(rule.meta.id.clone(), (file.to_owned(), id.clone()));
    let index = loaded.program.rules.len();
    file.rsplit('/').next().unwrap_or(file).clone_into(&mut rule.meta.file);
    loaded.program.rules.push(rule);
    loaded.origins.push(Origin { file: file.to_owned(), id, query });
    loaded.tests.extend(tests.into_iter().map(|mut test| {
        test.rule = index;
        test
    }));
}
