//! What the sensors must deliver for a program, found by looking at its rules.
//!
//! Opens and writes are far too many to be delivered for the whole host. So the paths that a rule
//! is about are taken from its condition; a rule for which that is impossible watches nothing, and
//! [`unbounded`] names it.

use std::collections::{BTreeMap, BTreeSet};

use model::action::{self, Action};
use model::field;
use model::interest::{Interest, Unbounded, Watch};
use model::op::{Kind, KindSet};
use model::partial::truth;
use model::program::{Expr, Literal, Place, Program, Rule, Test};

/// Delivered whatever the rules say: the process table lives on them.
pub const ALWAYS: KindSet = KindSet::EMPTY
    .with(Kind::Exec)
    .with(Kind::Fork)
    .with(Kind::Exit)
    .with(Kind::Setuid)
    .with(Kind::Setgid)
    .with(Kind::Setsid);

/// Delivered only for watched files.
pub const WATCHED: KindSet = KindSet::EMPTY.with(Kind::Open).with(Kind::Write);

/// Paths that one rule may watch: each can cost the kernel a mark.
pub const MAX_WATCHES: usize = 1_000;

/// What the sensors must deliver.
pub fn of(program: &Program) -> Interest {
    let mut kinds = ALWAYS;
    let mut watches: BTreeMap<String, (bool, KindSet)> = BTreeMap::new();
    let mut env = BTreeSet::new();
    for rule in &program.rules {
        for kind in rule.kinds().iter() {
            if !WATCHED.contains(kind) {
                kinds = kinds.with(kind);
                continue;
            }
            for Area { path, recursive } in watched(rule, kind).unwrap_or_default() {
                kinds = kinds.with(kind);
                let (deep, wanted) = watches.entry(path).or_default();
                *deep |= recursive;
                *wanted = wanted.with(kind);
            }
        }
        for filter in rule.filters() {
            variables(&filter.condition, &mut |name| env.extend(name.map(str::to_owned)));
        }
    }
    let watch = watches
        .into_iter()
        .map(|(path, (recursive, kinds))| Watch { path, recursive, kinds })
        .collect();
    Interest { kinds, watch, env: env.into_iter().collect() }
}

/// Rules, by number, that get less than they ask for.
pub fn unbounded(program: &Program) -> Vec<(usize, Unbounded)> {
    let mut all = Vec::new();
    for (number, rule) in program.rules.iter().enumerate() {
        if rule.kinds().intersection(WATCHED).iter().any(|kind| watched(rule, kind).is_none()) {
            all.push((number, Unbounded::Files));
        }
        // Nobody can tell of which variables a script reads the values.
        let mut scripts =
            rule.scripts(program).into_iter().filter_map(|number| program.script(number));
        let mut nameless = scripts.any(|script| script.fields.contains(&field::PROCESS_ENV_VARS));
        for filter in rule.filters() {
            variables(&filter.condition, &mut |name| nameless |= name.is_none());
        }
        if nameless {
            all.push((number, Unbounded::Environment));
        }
    }
    all
}

/// A file, or a directory with its children or all that is below.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Area {
    path: String,
    recursive: bool,
}

/// All areas of which an event of that kind must be in one for the rule to match; `None` if they
/// cannot be told.
fn watched(rule: &Rule, kind: Kind) -> Option<Vec<Area>> {
    let words = action::of(kind);
    let filters = rule.filters().filter(|filter| filter.kinds().contains(kind));
    let areas: Option<Vec<_>> = filters.map(|it| areas(&it.condition, &words, false)).collect();
    areas.map(|areas| areas.concat()).filter(|areas| areas.len() <= MAX_WATCHES)
}

/// The same for a condition, or its complement if `negated`.
fn areas(condition: &Expr, words: &Action, negated: bool) -> Option<Vec<Area>> {
    if let Some(value) = truth(condition, words) {
        // Never true on such an event: no area is needed.
        return (value == negated).then(Vec::new);
    }
    match (condition, negated) {
        (Expr::Not(inner), _) => areas(inner, words, !negated),
        (Expr::And(parts), false) | (Expr::Or(parts), true) => {
            // Any of them is a bound; the one with the fewest areas is the best.
            let bounds = parts.iter().filter_map(|part| areas(part, words, negated));
            bounds.min_by_key(|areas| (areas.len(), areas.iter().any(|area| area.recursive)))
        }
        (Expr::Or(parts), false) | (Expr::And(parts), true) => {
            let bounds = parts.iter().map(|part| areas(part, words, negated));
            Some(bounds.collect::<Option<Vec<_>>>()?.concat())
        }
        (Expr::Test(field::FILE_PATH | field::FILE_DIRECTORY, test), false) => by_path(test),
        (
            Expr::Test(..)
            | Expr::Const(_)
            | Expr::Computed(..)
            | Expr::Compare { .. }
            | Expr::Truth(_)
            | Expr::Lineage(..)
            | Expr::Script { .. },
            _,
        ) => None,
    }
}

/// Areas of a test of `file.path`, or of `file.directory`.
fn by_path(test: &Test) -> Option<Vec<Area>> {
    match test {
        Test::Equals { any, .. } => any
            .iter()
            .map(|literal| match literal {
                Literal::Str(path) => area(path, false),
                _ => None,
            })
            .collect(),
        Test::Wildcard { any, .. } => any
            .iter()
            .map(|pattern| {
                let literal = pattern.iter().take_while(|b| !matches!(b, b'*' | b'?')).count();
                let prefix = pattern.get(..literal)?;
                if literal == pattern.len() { area(prefix, false) } else { below(prefix) }
            })
            .collect(),
        Test::Part { place: Place::Start, any, .. } => {
            any.iter().map(|prefix| below(prefix)).collect()
        }
        _ => None,
    }
}

/// All that is below the directory in which names with that prefix are.
fn below(prefix: &[u8]) -> Option<Area> {
    let slash = prefix.iter().rposition(|byte| *byte == b'/')?;
    area(prefix.get(..slash)?, true)
}

/// An area, unless it is the whole host or no absolute path.
fn area(path: &[u8], recursive: bool) -> Option<Area> {
    let path = std::str::from_utf8(path).ok()?;
    let trimmed = path.trim_end_matches('/');
    if !path.starts_with('/') || (trimmed.is_empty() && recursive) {
        return None;
    }
    let path = if trimmed.is_empty() { "/" } else { trimmed };
    Some(Area { path: path.to_owned(), recursive })
}

/// Visits the name of each environment variable that a condition asks for; `None` where the name
/// is not given in full.
fn variables(condition: &Expr, visit: &mut impl FnMut(Option<&str>)) {
    match condition {
        Expr::Not(inner) => variables(inner, visit),
        Expr::And(parts) | Expr::Or(parts) => {
            for part in parts {
                variables(part, visit);
            }
        }
        Expr::Test(field::PROCESS_ENV_VARS, test) => match test {
            Test::Equals { any, .. } => any.iter().for_each(|literal| match literal {
                Literal::Str(text) => visit(name_of(text)),
                _ => visit(None),
            }),
            Test::Wildcard { any, .. } | Test::Part { place: Place::Start, any, .. } => {
                for text in any {
                    visit(name_of(text));
                }
            }
            _ => visit(None),
        },
        Expr::Const(_)
        | Expr::Test(..)
        | Expr::Computed(..)
        | Expr::Compare { .. }
        | Expr::Truth(_)
        | Expr::Lineage(..)
        | Expr::Script { .. } => {}
    }
}

/// What is before the `=`, if that is a plain name.
fn name_of(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let (name, _) = text.split_once('=')?;
    let plain = !name.is_empty() && !name.contains(['*', '?']);
    plain.then_some(name)
}

#[cfg(test)]
mod tests;
