//! Correlation rules: their rules are found by id or name when all files are read.

use std::collections::HashMap;

use model::field::FieldId;
use model::program::{Correlation, CorrelationKind, Logic, Order, Query, Rule, RuleMeta};

use super::tree::{Compare, Correlation as Written};
use super::{FieldOf, Taxonomy};
use crate::diagnostic::Span;

/// A correlation that was read and not yet tied to its rules.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) meta: RuleMeta,
    /// Place of the value of `id`.
    pub(crate) id: Span,
    /// Name of the file.
    pub(crate) file: String,
    pub(super) rule: Written,
}

/// What a correlation may refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Number of the rule in the program.
    pub(crate) rule: u32,
    /// How its fields are called; `None` if they are ECS names already.
    pub(crate) taxonomy: Option<&'static Taxonomy>,
}

/// Why a correlation is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// A rule that it names is not there: perhaps it comes later.
    NoRule(String),
    /// Something that is not run.
    Refused(String),
}

impl Pending {
    /// Whether the rules that it names alert by themselves too.
    pub(crate) fn generates(&self) -> bool {
        self.rule.generate
    }

    /// What later correlations may call it.
    pub(crate) fn name(&self) -> Option<&str> {
        self.rule.about.name.as_deref()
    }

    /// The rule, if all that it names is known.
    pub(crate) fn resolve(
        &self,
        targets: &HashMap<String, Target>,
        field: &mut FieldOf<'_>,
    ) -> Result<Rule, Unresolved> {
        let written = &self.rule;
        let refuse = |why: &str| Err(Unresolved::Refused(why.to_owned()));
        if written.rules.is_empty() {
            return refuse("it names no rule");
        }
        if let Some(window) = &written.window {
            return refuse(&format!("only sliding windows are run, not `{window}`"));
        }
        let mut found = Vec::with_capacity(written.rules.len());
        for name in &written.rules {
            match targets.get(name) {
                Some(target) => found.push((name.as_str(), *target)),
                None => return Err(Unresolved::NoRule(name.clone())),
            }
        }
        let names = Names { written, found: &found };
        let mut group_by = Vec::with_capacity(found.len());
        for at in 0..found.len() {
            let keys = written.group_by.iter().map(|key| names.field(key, at, field));
            group_by.push(keys.collect::<Result<Vec<_>, _>>()?);
        }
        let kind = kind(written, &names, field)?;
        let timespan = written.seconds.checked_mul(1_000_000_000);
        let Some(timespan) = timespan else { return refuse("the timespan is too long") };
        Ok(Rule {
            meta: self.meta.clone(),
            logic: Logic::Complement,
            query: Query::Correlation(Correlation {
                condition: condition(written, &kind, found.len())?,
                kind,
                rules: found.iter().map(|(_, target)| target.rule).collect(),
                group_by,
                timespan,
            }),
            pipes: Vec::new(),
        })
    }
}

/// Names of fields in the words of each rule.
struct Names<'a> {
    written: &'a Written,
    found: &'a [(&'a str, Target)],
}

impl Names<'_> {
    /// The field that `name` is in the events of the rule at `at`.
    fn field(&self, name: &str, at: usize, field: &mut FieldOf<'_>) -> Result<FieldId, Unresolved> {
        let Some((rule, target)) = self.found.get(at) else {
            return Err(Unresolved::Refused("it names no rule".to_owned()));
        };
        let alias = self.written.aliases.iter().find(|(alias, _)| alias == name);
        let own = match alias {
            None => name,
            Some((_, fields)) => {
                let Some((_, own)) = fields.iter().find(|(of, _)| of == rule) else {
                    let why = format!("the alias `{name}` says nothing about the rule `{rule}`");
                    return Err(Unresolved::Refused(why));
                };
                own.as_str()
            }
        };
        let ecs = match target.taxonomy {
            Some(taxonomy) => taxonomy.fields(own).into_iter().next(),
            None => None,
        };
        field(ecs.as_deref().unwrap_or(own)).map_err(Unresolved::Refused)
    }
}

fn kind(
    written: &Written,
    names: &Names<'_>,
    field: &mut FieldOf<'_>,
) -> Result<CorrelationKind, Unresolved> {
    let refuse = |why: String| Err(Unresolved::Refused(why));
    Ok(match written.kind.as_str() {
        "event_count" => CorrelationKind::EventCount,
        "temporal" => CorrelationKind::Temporal,
        "temporal_ordered" => CorrelationKind::TemporalOrdered,
        "value_count" => {
            let [name] = written.fields.as_slice() else {
                return refuse("`value_count` needs one `field` in its condition".to_owned());
            };
            let mut ids = Vec::with_capacity(names.found.len());
            for at in 0..names.found.len() {
                ids.push(names.field(name, at, field)?);
            }
            ids.dedup();
            match ids.as_slice() {
                [one] => CorrelationKind::ValueCount(*one),
                _ => return refuse(format!("`{name}` is not the same field in all its rules")),
            }
        }
        other => return refuse(format!("the type `{other}` is not run")),
    })
}

/// The counts that make it match.
fn condition(
    written: &Written,
    kind: &CorrelationKind,
    rules: usize,
) -> Result<Vec<(Order, u64)>, Unresolved> {
    let temporal = matches!(kind, CorrelationKind::Temporal | CorrelationKind::TemporalOrdered);
    let refuse = |why: &str| Err(Unresolved::Refused(why.to_owned()));
    let all = match &written.threshold {
        Ok(all) => all,
        Err(expr) if temporal && names_all(expr, written) => return Ok(every(rules)),
        Err(_) => return refuse("of conditions between rules, only `and` of all of them is run"),
    };
    // The library's default when a temporal correlation has no condition.
    if temporal && all.as_slice() == [(Compare::GreaterEqual, 1)] {
        return Ok(every(rules));
    }
    all.iter()
        .map(|(how, count)| {
            let order = match how {
                Compare::Less => Order::Less,
                Compare::LessEqual => Order::LessEqual,
                Compare::Greater => Order::Greater,
                Compare::GreaterEqual => Order::GreaterEqual,
                Compare::Equal => Order::Equal,
                Compare::NotEqual => {
                    let why = "a count is not compared with `neq`".to_owned();
                    return Err(Unresolved::Refused(why));
                }
            };
            Ok((order, *count))
        })
        .collect()
}

fn every(rules: usize) -> Vec<(Order, u64)> {
    vec![(Order::GreaterEqual, u64::try_from(rules).unwrap_or(u64::MAX))]
}

/// Whether an extended condition is the `and` of all rules.
fn names_all(expr: &str, written: &Written) -> bool {
    let inner = expr.trim_start_matches('(').trim_end_matches(')');
    let mut named: Vec<&str> = inner.split(" and ").map(str::trim).collect();
    let mut rules: Vec<&str> = written.rules.iter().map(String::as_str).collect();
    named.sort_unstable();
    rules.sort_unstable();
    named == rules
}
