//! What programs of the base system need, so that an allow-list need not spell it out.
//!
//! Includes are policy text like any other, shown by [`text`]: nothing is allowed that an operator
//! cannot read.

use model::policy::{Operations, Rule, Subject};

/// All includes.
pub const NAMES: [&str; 3] = ["base-system", "name-resolution", "terminal"];

/// The text of an include.
pub fn text(name: &str) -> Option<&'static str> {
    match name {
        "base-system" => Some(include_str!("includes/base-system.yaml")),
        "name-resolution" => Some(include_str!("includes/name-resolution.yaml")),
        "terminal" => Some(include_str!("includes/terminal.yaml")),
        _ => None,
    }
}

/// The rules of an include for the subject of an allow-list, as far as it limits their operations.
pub(super) fn rules(
    name: &str,
    list: &str,
    subject: &Subject,
    operations: Operations,
) -> Option<Vec<Rule>> {
    let file = format!("include:{name}");
    let (policies, _) = super::read(&file, text(name)?);
    let rules = policies.into_iter().flat_map(|policy| policy.rules).filter_map(|mut rule| {
        rule.operations = Operations(rule.operations.0 & operations.0);
        rule.id = format!("{list}.{name}.{}", rule.id);
        rule.subject = subject.clone();
        rule.place.file.clone_from(&file);
        (!rule.operations.is_empty()).then_some(rule)
    });
    Some(rules.collect())
}
