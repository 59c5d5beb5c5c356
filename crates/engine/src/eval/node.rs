//! The truth of a condition. Unknown is `None`; where the rule has two values it becomes false
//! wherever it appears, so that `not` is the complement.

use model::program::{Order, Relation};
use model::value::Fields;

use super::asking::Question;
use super::predicate::{self, Check};
use super::term::{Got, Term, Vars};
use super::{Compiled, Env, Predicate, Scratch};

/// A condition over numbered predicates.
#[derive(Debug)]
pub(crate) enum Node {
    Const(bool),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Predicate(u32),
    Computed(Term, Box<Check>),
    Compare { left: Term, order: Order, right: Term, fold: bool },
    Truth(Term),
    Lineage(Relation, u32),
    Script(Box<Question>),
}

impl Compiled {
    pub(crate) fn truth<'e>(
        &self,
        node: &'e Node,
        env: Env<'e>,
        vars: Option<&Vars<'_, 'e>>,
        scratch: &mut Scratch,
    ) -> Option<bool> {
        let leaf = match node {
            Node::Const(value) => return Some(*value),
            Node::Not(inner) => return self.truth(inner, env, vars, scratch).map(|value| !value),
            Node::And(all) => return self.decide(all, env, vars, scratch, false),
            Node::Or(any) => return self.decide(any, env, vars, scratch, true),
            Node::Predicate(number) => self.predicate(*number, env, scratch),
            Node::Computed(term, check) => {
                let values = self.values(term, env, vars, scratch);
                let exists = matches!(**check, Check::Exists);
                known(values.iter().map(|got| check.holds(got.value())), exists)
            }
            Node::Compare { left, order, right, fold } => {
                let (a, b) =
                    (self.values(left, env, vars, scratch), self.values(right, env, vars, scratch));
                let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
                known(pairs.map(|(a, b)| compare(a, *order, b, *fold)), false)
            }
            Node::Truth(term) => {
                let values = self.values(term, env, vars, scratch);
                known(values.iter().map(Got::is_true), false)
            }
            Node::Lineage(relation, query) => env.context.lineage(*relation, *query),
            // A script answers yes or no.
            Node::Script(question) => return Some(self.ask(question, env, vars, scratch)),
        };
        if env.three { leaf } else { Some(leaf == Some(true)) }
    }

    /// `decisive` if any operand has that value, the opposite if all have it, else unknown.
    fn decide<'e>(
        &self,
        operands: &'e [Node],
        env: Env<'e>,
        vars: Option<&Vars<'_, 'e>>,
        scratch: &mut Scratch,
        decisive: bool,
    ) -> Option<bool> {
        let mut result = Some(!decisive);
        for operand in operands {
            // Most are predicates.
            let truth = match operand {
                Node::Predicate(number) => {
                    let truth = self.predicate(*number, env, scratch);
                    if env.three { truth } else { Some(truth == Some(true)) }
                }
                other => self.truth(other, env, vars, scratch),
            };
            match truth {
                Some(value) if value == decisive => return Some(decisive),
                Some(_) => {}
                None => result = None,
            }
        }
        result
    }

    #[inline]
    fn predicate(&self, number: u32, env: Env<'_>, scratch: &mut Scratch) -> Option<bool> {
        let at = usize::try_from(number).ok()?;
        let predicate = self.predicates.get(at)?;
        let class = scratch.class.filter(|_| predicate.tells);
        let result = match class.and_then(|class| scratch.classes.get(class)) {
            Some(class) => class.holds(at),
            None => self.satisfies(number, predicate.column, env.event, &mut scratch.values),
        };
        predicate.truth(result, env.event, env.three)
    }
}

impl Predicate {
    /// The truth of a predicate that holds, or does not: with three values unknown of what is
    /// absent.
    #[inline]
    pub(super) fn truth(&self, holds: bool, event: &dyn Fields, three: bool) -> Option<bool> {
        if holds || !three || matches!(*self.check, Check::Exists) {
            return Some(holds);
        }
        event.get(self.field).each().any(|value| !value.is_null()).then_some(false)
    }
}

/// True if any is, false if any is known or the test is decided by there being none.
fn known(mut results: impl Iterator<Item = bool>, exists: bool) -> Option<bool> {
    match results.next() {
        None => exists.then_some(false),
        Some(first) => Some(first || results.any(|result| result)),
    }
}

/// Two values; those that have no order are not equal either.
fn compare(a: &Got<'_>, order: Order, b: &Got<'_>, fold: bool) -> bool {
    let result = predicate::order(a.value(), b.value(), fold);
    result.is_some_and(|result| predicate::fits(order, result))
}
