//! What a reviewer wants to know of one rule, found from what it compiles to.

use std::collections::BTreeSet;

use lang::fmt;
use lang::placement::{self, Place};
use model::capability::{Capabilities, Capability};
use model::escape::escaped;
use model::program::{Expr, Function, Program, Query, Response, Rule, Scalar, Test};
use model::script::Script;
use model::walk::Part;

use crate::manifest::Kind;

/// One rule of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleView {
    /// Its id.
    pub id: String,
    /// Its name; escaped.
    pub name: String,
    /// The file that it is in.
    pub file: String,
    /// How it is written.
    pub kind: Kind,
    /// `informational` to `critical`.
    pub severity: &'static str,
    /// ATT&CK ids; escaped.
    pub attack: Vec<String>,
    /// The query laid out; empty for a correlation, which has none.
    pub query: String,
    /// Fields that it reads.
    pub fields: BTreeSet<String>,
    /// What it needs to do what it says.
    pub needs: Capabilities,
    /// Responses that it asks for; escaped.
    pub responses: Vec<String>,
    /// Seconds after which what they did ends, if it says so.
    pub response_ttl: Option<u32>,
    /// Where it would run.
    pub place: Place,
    /// What it costs.
    pub cost: Cost,
    /// Names of the scripts that it asks.
    pub scripts: Vec<String>,
}

/// What a rule costs, counted: what an event meets, and what is remembered between events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Predicates.
    pub predicates: usize,
    /// Patterns with `*` or `?` among their literals.
    pub wildcards: usize,
    /// Regular expressions.
    pub regexes: usize,
    /// Steps whose events are remembered; 0 for a rule without state.
    pub steps: usize,
    /// Questions to scripts.
    pub questions: usize,
}

impl Cost {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Cost) -> Cost {
        Cost {
            predicates: self.predicates + other.predicates,
            wildcards: self.wildcards + other.wildcards,
            regexes: self.regexes + other.regexes,
            steps: self.steps + other.steps,
            questions: self.questions + other.questions,
        }
    }
}

impl RuleView {
    /// Looks at a rule of a program.
    pub(crate) fn new(rule: &Rule, program: &Program, file: &str, kind: Kind) -> RuleView {
        let names = rule.reads(program);
        let place = placement::of(rule, program).place;
        let cost = cost(rule, program);
        let scripts: Vec<&Script> =
            rule.scripts(program).into_iter().filter_map(|it| program.script(it)).collect();
        let asked = scripts.iter().fold(Capabilities::NONE, |all, script| all | needed(script));
        RuleView {
            id: rule.meta.id.clone(),
            name: escaped(&rule.meta.name),
            file: file.to_owned(),
            kind,
            severity: rule.meta.severity.as_str(),
            attack: rule.meta.attack.iter().map(|one| escaped(one)).collect(),
            query: fmt::rule(rule, program).unwrap_or_default(),
            fields: names.iter().map(|id| fmt::field_name(*id, program).to_owned()).collect(),
            needs: needs(rule, place, cost) | asked,
            responses: rule.meta.responses.iter().map(|one| escaped(&one.action)).collect(),
            response_ttl: rule.meta.response_ttl,
            place,
            cost,
            scripts: scripts.iter().map(|script| script.name.clone()).collect(),
        }
    }
}

/// What a rule that asks a script needs for it: what the script asks for, and what its table has.
fn needed(script: &Script) -> Capabilities {
    let regex = !script.regexes.is_empty();
    let found = if regex { Capabilities::of(&[Capability::Regex]) } else { Capabilities::NONE };
    script.asks | found
}

/// What a rule needs. A response that nobody carries out here needs nothing: it is only shown.
fn needs(rule: &Rule, place: Place, cost: Cost) -> Capabilities {
    let mut needs: Vec<Capability> = vec![Capability::Alert];
    if cost.steps > 0 {
        needs.push(Capability::State);
    }
    if cost.regexes > 0 {
        needs.push(Capability::Regex);
    }
    let actions = rule.meta.responses.iter().map(|one| one.action.as_str());
    needs.extend(actions.clone().filter_map(Capability::for_action));
    if place != Place::Engine && actions.into_iter().any(|one| one == Response::DENY) {
        needs.push(Capability::Inline);
    }
    needs.into_iter().collect()
}

fn cost(rule: &Rule, program: &Program) -> Cost {
    let mut cost = Cost { steps: remembered(rule), ..Cost::default() };
    let mut look = |part: Part<'_>| match part {
        Part::Condition(Expr::Test(_, test) | Expr::Computed(_, test)) => {
            cost.predicates += 1;
            match test {
                Test::Wildcard { any, .. } => cost.wildcards += any.len(),
                Test::Regex { any, .. } => cost.regexes += any.len(),
                _ => {}
            }
        }
        Part::Condition(Expr::Compare { .. } | Expr::Truth(_) | Expr::Lineage(..)) => {
            cost.predicates += 1;
        }
        Part::Condition(Expr::Script { .. }) => cost.questions += 1,
        Part::Value(Scalar::Call { function: Function::Match, .. }) => cost.regexes += 1,
        Part::Condition(Expr::Const(_) | Expr::And(_) | Expr::Or(_) | Expr::Not(_))
        | Part::Tested(_)
        | Part::Value(_) => {}
    };
    for filter in rule.all_filters(program) {
        filter.condition.parts(&mut look);
    }
    for key in rule.steps().flat_map(|step| &step.by) {
        key.value.parts(&mut look);
    }
    for pipe in &rule.pipes {
        pipe.parts(&mut look);
    }
    cost
}

/// Steps of which something is remembered.
fn remembered(rule: &Rule) -> usize {
    let lineage = |rule: &Rule| {
        let mut found = false;
        let mut look = |part: Part<'_>| found |= matches!(part, Part::Condition(Expr::Lineage(..)));
        rule.filters().for_each(|filter| filter.condition.parts(&mut look));
        usize::from(found)
    };
    let steps = match &rule.query {
        Query::Event(_) => lineage(rule),
        Query::Correlation(it) => it.rules.len().max(1),
        _ => rule.steps().count(),
    };
    // `head` counts, all other pipes remember.
    steps + rule.pipes.len()
}
