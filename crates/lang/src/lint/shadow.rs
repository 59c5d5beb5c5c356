//! Rules that find nothing that another does not find too.

use std::collections::HashMap;

use model::program::{Expr, Program, Query, Rule};

use super::{Finding, flatten};
use crate::diagnostic::Code;

/// Pairs of rules that are compared at most: the search ends, however alike the rules are.
const MAX_PAIRS: usize = 2_000_000;

/// The operands of each single-event rule, as comparable texts.
struct Operands {
    rule: usize,
    category: Option<String>,
    all: Vec<String>,
}

/// Finds rules all of whose matches another rule of at least the same severity has too.
pub(super) fn find(program: &Program, found: &mut Vec<Finding>) {
    let rules: Vec<Operands> =
        program.rules.iter().enumerate().filter_map(|(at, rule)| operands(at, rule)).collect();
    let mut holders: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, rule) in rules.iter().enumerate() {
        for operand in &rule.all {
            holders.entry(operand).or_default().push(at);
        }
    }
    let mut pairs = 0;
    let mut done = vec![false; rules.len()];
    for wide in &rules {
        // A rule that asks for all of `wide` also holds the rarest of it.
        let lists = wide.all.iter().filter_map(|operand| holders.get(operand.as_str()));
        let Some(candidates) = lists.min_by_key(|list| list.len()) else { continue };
        for at in candidates {
            pairs += 1;
            if pairs > MAX_PAIRS {
                return;
            }
            let (Some(narrow), Some(done)) = (rules.get(*at), done.get_mut(*at)) else { continue };
            if !*done && covers(wide, narrow, program) {
                *done = true;
                found.push(finding(wide, narrow, program));
            }
        }
    }
}

fn operands(at: usize, rule: &Rule) -> Option<Operands> {
    let Query::Event(filter) = &rule.query else { return None };
    if !rule.pipes.is_empty() || rule.meta.silent {
        return None;
    }
    let mut all = Vec::new();
    flatten(&filter.condition, &mut all);
    let mut all: Vec<String> = all.into_iter().map(key).collect();
    all.sort_unstable();
    all.dedup();
    Some(Operands { rule: at, category: filter.category.clone(), all })
}

/// The same for expressions that differ only in the order of their operands.
fn key(expr: &Expr) -> String {
    let sorted = |name: &str, all: &[Expr]| {
        let mut keys: Vec<String> = all.iter().map(key).collect();
        keys.sort_unstable();
        format!("{name}({})", keys.join(","))
    };
    match expr {
        Expr::And(all) => sorted("and", all),
        Expr::Or(all) => sorted("or", all),
        Expr::Not(inner) => format!("not({})", key(inner)),
        other => format!("{other:?}"),
    }
}

/// Whether all matches of `narrow` are matches of `wide`. Of two that are the same, the later one
/// is told.
fn covers(wide: &Operands, narrow: &Operands, program: &Program) -> bool {
    let severity = |one: &Operands| program.rules.get(one.rule).map(|rule| rule.meta.severity);
    let same = wide.all == narrow.all && wide.category == narrow.category;
    wide.rule != narrow.rule
        && (wide.category.is_none() || wide.category == narrow.category)
        && wide.all.iter().all(|one| narrow.all.binary_search(one).is_ok())
        && severity(wide) >= severity(narrow)
        && (!same || wide.rule < narrow.rule)
}

fn finding(wide: &Operands, narrow: &Operands, program: &Program) -> Finding {
    let name = |one: &Operands| {
        program.rules.get(one.rule).map(|rule| format!("{} ({})", rule.meta.id, rule.meta.file))
    };
    let wide_name = name(wide).unwrap_or_default();
    Finding {
        rule: narrow.rule,
        code: Code::Shadowed,
        message: format!("all that this rule matches is also matched by {wide_name}"),
        label: "asks for all that the other asks for".to_owned(),
        help: "remove one of them, or give this one the higher severity".to_owned(),
        near: Vec::new(),
    }
}
