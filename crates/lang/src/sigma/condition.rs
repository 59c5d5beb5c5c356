//! Conditions between searches.

use std::collections::HashMap;

use model::program::Expr;

use super::tree::Condition;
use crate::limits::MAX_LIST;

/// A condition over searches that are already expressions; the error says what is wrong.
pub(super) fn lower(condition: &Condition, searches: &[(String, Expr)]) -> Result<Expr, String> {
    let by_name: HashMap<&str, &Expr> =
        searches.iter().map(|(name, expr)| (name.as_str(), expr)).collect();
    of(condition, searches, &by_name)
}

fn of(
    condition: &Condition,
    searches: &[(String, Expr)],
    by_name: &HashMap<&str, &Expr>,
) -> Result<Expr, String> {
    let each = |all: &[Condition]| {
        all.iter().map(|one| of(one, searches, by_name)).collect::<Result<Vec<_>, _>>()
    };
    match condition {
        Condition::All(all) => each(all).map(Expr::And),
        Condition::Any(any) => each(any).map(Expr::Or),
        Condition::Not(inner) => Ok(crate::lower::not(of(inner, searches, by_name)?)),
        Condition::Search(name) => match by_name.get(name.as_str()) {
            Some(expr) => Ok((*expr).clone()),
            None => Err(format!("the condition names `{name}`, and there is no such search")),
        },
        Condition::Of { least, names } => {
            let chosen: Vec<Expr> = searches
                .iter()
                .filter(|(name, _)| fits(names.as_deref(), name))
                .map(|(_, expr)| expr.clone())
                .collect();
            if chosen.is_empty() {
                let names = names.as_deref().unwrap_or("them");
                return Err(format!("no search is named like `{names}`"));
            }
            at_least(*least, chosen)
        }
    }
}

/// Whether `x of PATTERN` means this search. `them` leaves out names that start with `_`.
fn fits(pattern: Option<&str>, name: &str) -> bool {
    match pattern {
        None => !name.starts_with('_'),
        Some(pattern) => model::pattern::wildcard(&escape(pattern), name.as_bytes(), false),
    }
}

/// Only `*` is special in names of searches.
fn escape(pattern: &str) -> Vec<u8> {
    // A name cannot hold `?`, so a pattern with one fits nothing; a control byte says the same.
    pattern.bytes().map(|byte| if byte == b'?' { 0 } else { byte }).collect()
}

fn at_least(least: Option<u64>, all: Vec<Expr>) -> Result<Expr, String> {
    let count = all.len();
    let least = match least {
        None => count,
        Some(least) => usize::try_from(least).unwrap_or(usize::MAX),
    };
    if least == 0 {
        return Ok(Expr::Const(true));
    }
    if least == 1 {
        return Ok(Expr::Or(all));
    }
    if least == count {
        return Ok(Expr::And(all));
    }
    if least > count {
        return Err(format!("the condition asks for {least} of {count} searches"));
    }
    let mut ways = Vec::new();
    choose(&all, least, 0, &mut Vec::new(), &mut ways)?;
    Ok(Expr::Or(ways))
}

/// All choices of `least` of the searches.
fn choose(
    all: &[Expr],
    least: usize,
    from: usize,
    taken: &mut Vec<usize>,
    ways: &mut Vec<Expr>,
) -> Result<(), String> {
    if taken.len() == least {
        if ways.len() == MAX_LIST {
            return Err(format!("the condition has more than {MAX_LIST} ways to hold"));
        }
        let one = taken.iter().filter_map(|at| all.get(*at).cloned()).collect();
        ways.push(Expr::And(one));
        return Ok(());
    }
    let missing = least - taken.len();
    for at in from..=all.len().saturating_sub(missing) {
        taken.push(at);
        choose(all, least, at + 1, taken, ways)?;
        taken.pop();
    }
    Ok(())
}
