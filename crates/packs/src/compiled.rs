//! A pack whose rules were compiled and are what its manifest says of them.

use std::collections::{BTreeMap, BTreeSet};

use lang::{Code as RuleCode, Format, Level as Severity, Loaded};
use model::capability::Capabilities;
use model::program::{Program, Rule};

use crate::bundle::Purpose;
use crate::code::{Code, Refusal};
use crate::limits::MAX_REFUSALS;
use crate::manifest::{Kind, Manifest};
use crate::rule::{Cost, RuleView};
use crate::script::{self, ScriptView};
use crate::trust::{Subject, Trust};
use crate::verified::Verified;

/// A pack that can be run, each rule within what it may do.
#[derive(Debug)]
pub struct Compiled {
    verified: Verified,
    program: Program,
    rules: Vec<Admitted>,
    scripts: Vec<ScriptView>,
}

/// A rule and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The rule.
    pub view: RuleView,
    /// What it may do: engine and guard ask it before each act
    /// ([`Capabilities::permits`]).
    pub may: Capabilities,
    /// Why it is not loaded; none if it is.
    pub refused: Option<Refusal>,
}

impl Compiled {
    pub(crate) fn new(verified: Verified, trust: &Trust) -> Result<Compiled, Vec<Refusal>> {
        verified.purpose(Purpose::Rules).map_err(|refusal| vec![refusal])?;
        let (mut loaded, mut refused) = load(&verified);
        let views = views(&loaded);
        refused.extend(listed(&verified, &views));
        let asked = verified.manifest.asked();
        for view in &views {
            refused.extend(declared(&verified, view, asked));
        }
        refused.truncate(MAX_REFUSALS);
        if !refused.is_empty() {
            return Err(refused);
        }
        let rules: Vec<Admitted> =
            views.into_iter().map(|view| admit(&verified, trust, view)).collect();
        let budget = verified.level().terms().budget;
        let may = |rule: usize| rules.get(rule).filter(|one| one.refused.is_none());
        script::grant(&mut loaded.program, &|_| Some(budget), &|rule| may(rule).map(|one| one.may));
        let scripts = script::views(&loaded);
        Ok(Compiled { verified, program: loaded.program, rules, scripts })
    }

    /// What it was compiled from.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The same, kept.
    pub fn into_verified(self) -> Verified {
        self.verified
    }

    /// All rules in the order of the program.
    pub fn rules(&self) -> &[Admitted] {
        &self.rules
    }

    /// The program of all rules; those that were refused have their place in it, so that numbers
    /// stay those of [`Compiled::rules`].
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// All scripts in the order of the program.
    pub fn scripts(&self) -> &[ScriptView] {
        &self.scripts
    }

    /// Names and texts of the files of such rules, by name. They are UTF-8: they were compiled.
    pub fn texts(&self, wanted: &dyn Fn(&RuleView) -> bool) -> Vec<(String, String)> {
        let views = self.rules.iter().map(|rule| &rule.view).filter(|view| wanted(view));
        let names: BTreeSet<&str> = views.map(|view| view.file.as_str()).collect();
        self.verified.texts(names).0
    }

    /// Why rules are not loaded.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.rules.iter().filter_map(|rule| rule.refused.as_ref())
    }

    /// What all rules cost together.
    pub fn cost(&self) -> Cost {
        self.rules.iter().fold(Cost::default(), |all, rule| all.plus(rule.view.cost))
    }

    /// What all rules need together.
    pub fn needs(&self) -> Capabilities {
        self.rules.iter().fold(Capabilities::NONE, |all, rule| all | rule.view.needs)
    }

    /// ATT&CK ids of all rules.
    pub fn attack(&self) -> BTreeSet<&str> {
        self.rules.iter().flat_map(|rule| &rule.view.attack).map(String::as_str).collect()
    }
}

/// Compiles the files that have rules.
fn load(verified: &Verified) -> (Loaded, Vec<Refusal>) {
    let names: BTreeSet<&str> =
        verified.manifest.rules.iter().map(|rule| rule.file.as_str()).collect();
    let (texts, mut refused) = verified.texts(names);
    let mut loaded = lang::load(texts);
    refused
        .extend(script::fill(&mut loaded, &|name| verified.file(name), &|file| verified.at(file)));
    let strict = !verified.level().terms().costly;
    for found in &loaded.diagnostics {
        let code = match (found.code, found.code.level()) {
            (_, Severity::Error) => Code::Rule,
            (RuleCode::SlowRegex, _) if strict => Code::Costly,
            _ => continue,
        };
        let what = format!("{}: {}", found.code.as_str(), found.message);
        refused.push(Refusal::new(code, &verified.at(&found.file), what));
    }
    (loaded, refused)
}

/// What each rule is, in the order of the program.
pub(crate) fn views(loaded: &Loaded) -> Vec<RuleView> {
    let program = &loaded.program;
    let kind = |rule: &Rule, format| match script::kind(rule, program) {
        Some(kind) => kind,
        None if format == Format::Sigma => Kind::Sigma,
        None => Kind::Eql,
    };
    let pairs = program.rules.iter().zip(&loaded.origins);
    pairs
        .map(|(rule, origin)| RuleView::new(rule, program, &origin.file, kind(rule, origin.format)))
        .collect()
}

/// The rules that are there are those of the manifest.
fn listed(verified: &Verified, views: &[RuleView]) -> Vec<Refusal> {
    let there: BTreeMap<(&str, &str), Kind> =
        views.iter().map(|view| ((view.file.as_str(), view.id.as_str()), view.kind)).collect();
    let listed: BTreeMap<(&str, &str), Kind> = verified
        .manifest
        .rules
        .iter()
        .map(|rule| ((rule.file.as_str(), rule.id.as_str()), rule.kind))
        .collect();
    let mut refused = Vec::new();
    let mut refuse = |(file, id): &(&str, &str), what: &str| {
        refused.push(Refusal::new(Code::NotListed, &verified.at(file), format!("`{id}` {what}")));
    };
    for (rule, kind) in &listed {
        match there.get(rule) {
            None => refuse(rule, "is in the manifest and not in the file"),
            Some(found) if found != kind => {
                refuse(rule, &format!("is `{}`, not `{}`", found.as_str(), kind.as_str()));
            }
            Some(_) => {}
        }
    }
    for rule in there.keys().filter(|rule| !listed.contains_key(*rule)) {
        refuse(rule, "is in the file and not in the manifest");
    }
    refused
}

/// A rule reads and needs nothing but what the manifest says.
fn declared(verified: &Verified, view: &RuleView, asked: Capabilities) -> Vec<Refusal> {
    let place = verified.at(&view.file);
    let Manifest { fields, .. } = &verified.manifest;
    let unknown = view.fields.iter().filter(|field| fields.binary_search(field).is_err());
    let mut refused: Vec<Refusal> = unknown
        .map(|field| Refusal::new(Code::Field, &place, format!("`{}` reads `{field}`", view.id)))
        .collect();
    let missing = view.needs.without(asked);
    if !missing.is_empty() {
        let what = format!("`{}` needs {missing}", view.id);
        refused.push(Refusal::new(Code::NotAsked, &place, what));
    }
    refused
}

/// Whether a rule may be loaded: it needs no more than it may do.
fn admit(verified: &Verified, trust: &Trust, view: RuleView) -> Admitted {
    let level = verified.level();
    let subject = Subject { keys: &verified.vouched.keys, path: &verified.path, rule: &view.id };
    let may = trust.effective(&subject, verified.manifest.asked(), level);
    let beyond = view.needs.without(level.terms().most);
    let missing = view.needs.without(may);
    let refused = if !beyond.is_empty() {
        let what = format!("`{}` needs {beyond}, and is {}", view.id, level.as_str());
        Some(Refusal::new(Code::Level, &verified.at(&view.file), what))
    } else if !missing.is_empty() {
        let what = format!("`{}` needs {missing}", view.id);
        Some(Refusal::new(Code::NotGranted, &verified.at(&view.file), what))
    } else {
        None
    };
    Admitted { view, may, refused }
}
