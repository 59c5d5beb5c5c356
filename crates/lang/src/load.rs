//! Several rule files into one program.

use std::collections::HashMap;

use model::interest::Unbounded;
use model::program::{Program, Query, Response, Rule};
use serde_json::{Map, Value};

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::dialect::Dialect;
use crate::file::FoundRule;
use crate::formats::{self, Format, FoundFile};
use crate::limits::{MAX_DIAGNOSTICS, MAX_PROGRAM};
use crate::schema::Schema;
use crate::script::{Declared, ScriptOrigin};
use crate::sigma::Pending;
use crate::sigma::correlate::{Target, Unresolved};
use crate::{lint, placement};

/// What rule files hold.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// All rules without an error.
    pub program: Program,
    /// Where each rule of the program was written, in the same order.
    pub origins: Vec<Origin>,
    /// Where each script of the program was declared, in the same order.
    pub scripts: Vec<ScriptOrigin>,
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
    /// Its format.
    pub format: Format,
    /// The value of `id`.
    pub id: Span,
    /// The value of `query`.
    pub query: Span,
}

/// Events, or a recording of some, and whether the rule must match them.
#[derive(Debug, Clone)]
pub struct RuleTest {
    /// Index of the rule in the program.
    pub rule: usize,
    /// What the test is about.
    pub name: String,
    /// Whether the rule must match.
    pub alert: bool,
    /// The events in order, with nested or dotted keys; at least one, unless there is a recording.
    pub events: Vec<Map<String, Value>>,
    /// The file of a recording that has the events, beside the rule's file or below.
    pub recording: Option<String>,
}

impl Loaded {
    /// Adds a warning that only the engine can know: sensors will not deliver all that a rule asks
    /// for, since its condition does not say of what.
    pub fn warn_unbounded(&mut self, rule: usize, what: Unbounded) {
        let Some(origin) = self.origins.get(rule) else { return };
        let [message, label, help] = unbounded(what);
        let found = Diagnostic::new(Code::Unbounded, origin.query.clone(), message);
        let found = found.label(label).help(help);
        self.diagnostics.push(Diagnostic {
            file: origin.file.clone(),
            rule: self.program.rules.get(rule).map(|rule| rule.meta.id.clone()),
            ..found
        });
    }
}

/// What is said of it: message, label and help.
fn unbounded(what: Unbounded) -> [&'static str; 3] {
    match what {
        Unbounded::Files => [
            "the files that this rule is about cannot be told",
            "matches opens or writes of any file",
            "opens and writes are reported only for named files and directories: add a condition \
             such as `file.path like \"/etc/cron*\"`; until then this part of the rule sees only \
             what other rules watch",
        ],
        Unbounded::Environment => [
            "the environment variables that this rule reads cannot be told",
            "tests variables without their full name",
            "only named variables are captured: write `process.env_vars like \"NAME=*\"`",
        ],
    }
}

/// Reads rule files of any format: pairs of name and text.
pub fn load(files: impl IntoIterator<Item = (String, String)>) -> Loaded {
    load_in(files, Dialect::default())
}

/// The same with the dialect of queries whose rule does not tell it.
pub fn load_in(files: impl IntoIterator<Item = (String, String)>, dialect: Dialect) -> Loaded {
    let mut load = Load::default();
    load.schema.dialect = dialect;
    load.group(files.into_iter().collect());
    load.finish()
}

/// Reads groups of rule files into one program. Rules of one group know nothing of those of another:
/// no correlation counts or silences them, and no query asks another's script. Of two with the same
/// id, the one that comes first stays.
pub fn load_groups(groups: impl IntoIterator<Item = Vec<(String, String)>>) -> Loaded {
    let mut load = Load::default();
    for group in groups {
        load.group(group);
        load.targets.clear();
    }
    load.finish()
}

/// What is kept while files are read.
#[derive(Default)]
struct Load {
    loaded: Loaded,
    /// Where each id was first used.
    ids: HashMap<String, (String, Span)>,
    /// What correlations may name: ids, and names of Sigma rules.
    targets: HashMap<String, Target>,
    pending: Vec<Pending>,
    declared: Declared,
    schema: Schema,
}

impl Load {
    fn finish(self) -> Loaded {
        let Load { mut loaded, schema, declared, .. } = self;
        loaded.program.fields = schema.fields().to_vec();
        loaded.program.lineages = schema.lineages;
        loaded.program.scripts = schema.scripts;
        loaded.scripts = declared.origins;
        review(&mut loaded);
        loaded
    }

    /// Reads files that know each other.
    fn group(&mut self, files: Vec<(String, String)>) {
        // A script may be declared in another file than the rule that asks it.
        self.declared.next_group();
        for (name, text) in &files {
            self.declared.read(name, text);
        }
        let Schema { scripts, first_script, broken, .. } = &mut self.schema;
        // What queries ask of those that were there is known; the new ones are not asked yet.
        scripts.extend(self.declared.scripts.iter().skip(scripts.len()).cloned());
        *first_script = self.declared.first;
        *broken = std::mem::take(&mut self.declared.broken);
        for (name, text) in files {
            self.file(name, text);
        }
        self.correlations();
    }

    fn file(&mut self, name: String, text: String) {
        let FoundFile { format, rules, correlations, mut found } =
            formats::read(&name, &text, &mut self.schema);
        found.extend(self.declared.found.remove(&name).into_iter().flatten());
        for rule in rules {
            self.add((&name, format), rule, &mut found);
        }
        self.pending.extend(correlations.into_iter().map(|mut one| {
            one.file.clone_from(&name);
            one
        }));
        found.sort_by_key(|one| one.span.start);
        found.truncate(MAX_DIAGNOSTICS);
        for one in &mut found {
            one.file.clone_from(&name);
        }
        self.loaded.diagnostics.append(&mut found);
        self.loaded.sources.push(Source { name, text });
    }

    /// Takes a rule into the program unless its id is taken.
    fn add(
        &mut self,
        (file, format): (&str, Format),
        found_rule: FoundRule,
        found: &mut Vec<Diagnostic>,
    ) {
        let FoundRule { mut rule, id, query, tests, referred } = found_rule;
        let index = self.loaded.program.rules.len();
        let number = match u32::try_from(index) {
            Ok(number) if index < MAX_PROGRAM => number,
            _ => {
                let message = format!("more than {MAX_PROGRAM} rules");
                found.push(Diagnostic::new(Code::Limit, id, message));
                return;
            }
        };
        if let Some((other, place)) = self.ids.get(&rule.meta.id) {
            let message = format!("there is another rule `{}`", rule.meta.id);
            let mut twice =
                Diagnostic::new(Code::DuplicateId, id, message).label("used again here");
            twice.rule = Some(rule.meta.id);
            found.push(if other == file {
                twice.also(place.clone(), "first used here")
            } else {
                twice.help(format!("the other is in {other}"))
            });
            return;
        }
        self.ids.insert(rule.meta.id.clone(), (file.to_owned(), id.clone()));
        let taxonomy = referred.as_ref().map(|one| one.taxonomy);
        let target = Target { rule: number, taxonomy };
        self.targets.insert(rule.meta.id.clone(), target);
        if let Some(name) = referred.and_then(|one| one.name) {
            self.targets.entry(name).or_insert(target);
        }
        file.rsplit('/').next().unwrap_or(file).clone_into(&mut rule.meta.file);
        self.loaded.program.rules.push(rule);
        self.loaded.origins.push(Origin { file: file.to_owned(), format, id, query });
        self.loaded.tests.extend(tests.into_iter().map(|mut test| {
            test.rule = index;
            test
        }));
    }

    /// Ties correlations to their rules. One may name another: each round finds at least one more.
    fn correlations(&mut self) {
        loop {
            let before = self.pending.len();
            for one in std::mem::take(&mut self.pending) {
                let resolved = one.resolve(&self.targets, &mut |name| {
                    formats::document_field(&mut self.schema, name)
                });
                match resolved {
                    Ok(rule) => match self.piped(&rule) {
                        None => self.correlation(&one, rule),
                        Some(why) => self.refuse(&one, &why),
                    },
                    Err(Unresolved::NoRule(_)) => self.pending.push(one),
                    Err(Unresolved::Refused(why)) => self.refuse(&one, &why),
                }
            }
            if self.pending.len() == before {
                break;
            }
        }
        for one in std::mem::take(&mut self.pending) {
            if let Err(Unresolved::NoRule(name)) = one
                .resolve(&self.targets, &mut |name| formats::document_field(&mut self.schema, name))
            {
                self.refuse(&one, &format!("it names `{name}`, and no rule has that id or name"));
            }
        }
    }

    /// Why a correlation cannot count what it names: results of pipes stand for many matches, or
    /// come when the input ends.
    fn piped(&self, rule: &Rule) -> Option<String> {
        let Query::Correlation(it) = &rule.query else { return None };
        let named = it.rules.iter().filter_map(|number| usize::try_from(*number).ok());
        let mut rules = named.filter_map(|number| self.loaded.program.rules.get(number));
        let piped = rules.find(|rule| !rule.pipes.is_empty())?;
        Some(format!("the rule `{}` has pipes, whose results are not counted", piped.meta.id))
    }

    fn correlation(&mut self, one: &Pending, rule: Rule) {
        if let (Query::Correlation(correlation), false) = (&rule.query, one.generates()) {
            for number in &correlation.rules {
                let index = usize::try_from(*number).unwrap_or(usize::MAX);
                if let Some(rule) = self.loaded.program.rules.get_mut(index) {
                    rule.meta.silent = true;
                }
            }
        }
        let number = u32::try_from(self.loaded.program.rules.len()).unwrap_or(u32::MAX);
        let (id, place) = (rule.meta.id.clone(), one.id.clone());
        let mut found = Vec::new();
        let file = one.file.clone();
        let taken = self.ids.contains_key(&id);
        let found_rule =
            FoundRule { rule, id: place.clone(), query: place, tests: Vec::new(), referred: None };
        self.add((&file, Format::Sigma), found_rule, &mut found);
        if let (Some(name), false) = (one.name(), taken) {
            let target = Target { rule: number, taxonomy: None };
            self.targets.entry(name.to_owned()).or_insert(target);
        }
        self.loaded
            .diagnostics
            .extend(found.into_iter().map(|found| Diagnostic { file: file.clone(), ..found }));
    }

    fn refuse(&mut self, one: &Pending, why: &str) {
        let message = format!("the correlation is not run: {why}");
        let found = Diagnostic::new(Code::Correlation, one.id.clone(), message);
        self.loaded.diagnostics.push(Diagnostic {
            file: one.file.clone(),
            rule: Some(one.meta.id.clone()),
            ..found
        });
    }
}

/// What only all rules together show: lints, and responses that would come too late. A rule with
/// such a response stays in the program, since its alert is still right; the error says that it
/// does not do what it promises.
fn review(loaded: &mut Loaded) {
    let mut more = Vec::new();
    for finding in lint::program(&loaded.program) {
        let number = finding.rule;
        more.extend(at_rule(loaded, number, |text, query| lint::diagnostic(&finding, text, query)));
    }
    for (number, rule) in loaded.program.rules.iter().enumerate() {
        let denies = rule.meta.responses.iter().any(|one| one.action == Response::DENY);
        if !denies || rule.meta.late {
            continue;
        }
        let placement = placement::of(rule, &loaded.program);
        if placement.place == placement::Place::Engine {
            more.extend(at_rule(loaded, number, |_, query| too_late(&placement, query)));
        }
    }
    // One rule that is wrong in many ways must not hide the others.
    let mut by_rule: HashMap<Option<String>, usize> = HashMap::new();
    more.retain(|one| {
        let count = by_rule.entry(one.rule.clone()).or_default();
        *count += 1;
        *count <= MAX_DIAGNOSTICS
    });
    loaded.diagnostics.append(&mut more);
}

fn at_rule(
    loaded: &Loaded,
    number: usize,
    make: impl Fn(&str, &Span) -> Diagnostic,
) -> Option<Diagnostic> {
    let (origin, rule) = (loaded.origins.get(number)?, loaded.program.rules.get(number)?);
    let source = loaded.sources.iter().find(|source| source.name == origin.file)?;
    let found = make(&source.text, &origin.query);
    Some(Diagnostic { file: origin.file.clone(), rule: Some(rule.meta.id.clone()), ..found })
}

fn too_late(placement: &placement::Placement, query: &Span) -> Diagnostic {
    let because = if placement.because.is_empty() {
        placement.reason.clone()
    } else {
        format!("`{}`: {}", placement.because, placement.reason)
    };
    Diagnostic::new(Code::LatePlacement, query.clone(), "`deny` would come after the act")
        .label(because)
        .help("ask only for what the kernel decides, or write `placement = \"any\"` if a response after the act is enough")
}
