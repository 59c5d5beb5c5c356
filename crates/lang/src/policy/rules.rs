//! Rules of rule files as a policy: those that ask for `deny` and that the kernel decides, all of
//! them or their last step.

use model::policy::{Errno, Place, Policy, Rule, Trigger, Verdict};
use model::program::{self, Response};

use crate::diagnostic::Diagnostic;
use crate::load::{Loaded, Source};
use crate::placement;

/// The policy that they make.
pub const NAME: &str = "rules";

/// Whether a file holds rules and no policy.
pub(super) fn are_in(name: &str, text: &str) -> bool {
    use toml::de::{DeTable, DeValue};
    let is_toml = name.rsplit('.').next().is_some_and(|end| end.eq_ignore_ascii_case("toml"));
    if !is_toml || text.len() > crate::limits::MAX_FILE {
        return false;
    }
    let (document, _) = DeTable::parse_recoverable(text);
    let rules = document.get_ref().get("rule");
    rules.is_some_and(|rules| matches!(rules.get_ref(), DeValue::Array(_)))
}

/// The policy of these files, what is wrong with their rules, and their texts. No policy if no rule
/// asks for `deny`.
pub(super) fn read(files: Vec<(String, String)>) -> (Option<Policy>, Vec<Diagnostic>, Vec<Source>) {
    let loaded = crate::load::load(files);
    let mut policy = Policy { name: NAME.to_owned(), ..Policy::default() };
    for (number, rule) in loaded.program.rules.iter().enumerate() {
        if verdict(rule).is_some() {
            policy.rules.extend(of(&loaded, number, rule));
        }
    }
    let errors = loaded.diagnostics.into_iter().filter(Diagnostic::is_error).collect();
    ((!policy.rules.is_empty()).then_some(policy), errors, loaded.sources)
}

/// What a rule asks for beside its alert, where that comes before the act.
fn verdict(rule: &program::Rule) -> Option<Verdict> {
    let asks = |word: &str| rule.meta.responses.iter().any(|one| one.action == word);
    let verdict = if asks("kill") { Verdict::Kill } else { Verdict::Deny(Errno::default()) };
    asks(Response::DENY).then_some(verdict)
}

/// The rules of a policy that say what one rule says. Several are told apart by a number.
fn of(loaded: &Loaded, number: usize, rule: &program::Rule) -> Vec<Rule> {
    let Some(cases) = placement::cases(rule, &loaded.program) else { return Vec::new() };
    let armed = matches!(rule.query, program::Query::Sequence(_));
    let many = cases.len() > 1;
    let rules = cases.into_iter().enumerate().map(|(at, case)| Rule {
        id: if many { format!("{}.{}", rule.meta.id, at + 1) } else { rule.meta.id.clone() },
        subject: case.subject,
        operations: case.operations,
        objects: case.objects,
        verdict: verdict(rule).unwrap_or(Verdict::Audit),
        severity: rule.meta.severity,
        message: Some(rule.meta.name.clone()),
        exception: None,
        after: armed
            .then(|| Trigger { sequence: Some(rule.meta.id.clone()), ..Trigger::default() }),
        place: place(loaded, number).unwrap_or_default(),
    });
    rules.collect()
}

fn place(loaded: &Loaded, number: usize) -> Option<Place> {
    let origin = loaded.origins.get(number)?;
    let source = loaded.sources.iter().find(|one| one.name == origin.file)?;
    let before = source.text.get(..origin.id.start)?;
    let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX);
    let bytes = origin.id.start..origin.query.end.max(origin.id.end);
    Some(Place { file: origin.file.clone(), line, bytes })
}
