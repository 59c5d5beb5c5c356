//! Which rules match an event: a program made ready to run.
//!
//! [`Compiled`] is immutable and shared; [`Scratch`] belongs to the caller. A predicate that many
//! rules contain is evaluated at most once an event, and a rule is looked at only if the event has
//! the category and one of the words that the rule requires.

mod explain;
mod index;
#[cfg(test)]
mod oracle;
mod predicate;
#[cfg(test)]
mod tests;
mod words;

use std::collections::HashMap;
use std::sync::Arc;

use model::field::FieldId;
use model::program::{Expr, Program};
use model::value::Fields;

pub use explain::Blame;
use index::Index;
use predicate::Check;

/// Why a program cannot run.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The language checks this too, so it means a program that did not come from there.
    #[error("rule `{rule}`: a pattern cannot be compiled: {reason}")]
    Pattern {
        /// Id of the rule.
        rule: String,
        /// What the pattern compiler says.
        reason: String,
    },
    /// More rules or predicates than can be numbered.
    #[error("the program has too many rules or predicates")]
    TooLarge,
}

/// A program made ready to run.
#[derive(Debug)]
pub struct Compiled {
    program: Arc<Program>,
    predicates: Vec<Predicate>,
    conditions: Vec<Node>,
    index: Index,
}

/// What [`Compiled::eval`] remembers during an event and reuses for the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Number of the event, to tell results of this event from older ones.
    event: u64,
    /// For each predicate: the event it was last evaluated for, times two, plus the result.
    memo: Vec<u64>,
}

#[derive(Debug)]
struct Predicate {
    field: FieldId,
    check: Check,
}

/// A condition over numbered predicates.
#[derive(Debug)]
enum Node {
    Const(bool),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Predicate(u32),
}

impl Compiled {
    /// Compiles all patterns and builds the index.
    pub fn new(program: Arc<Program>) -> Result<Compiled, CompileError> {
        let mut builder = Builder::default();
        let mut conditions = Vec::with_capacity(program.rules.len());
        for rule in &program.rules {
            let condition = builder.node(&rule.condition).map_err(|failure| match failure {
                Failure::Pattern(reason) => {
                    CompileError::Pattern { rule: rule.meta.id.clone(), reason }
                }
                Failure::TooLarge => CompileError::TooLarge,
            })?;
            conditions.push(condition);
        }
        let index = Index::new(&program).ok_or(CompileError::TooLarge)?;
        Ok(Compiled { predicates: builder.predicates, conditions, index, program })
    }

    /// The program that this was made from.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Replaces `matches` by the numbers of all rules that the event satisfies, in ascending order.
    pub fn eval(&self, event: &dyn Fields, scratch: &mut Scratch, matches: &mut Vec<u32>) {
        matches.clear();
        scratch.begin(self.predicates.len());
        self.index.candidates(event, |rule| {
            let condition = usize::try_from(rule).ok().and_then(|rule| self.conditions.get(rule));
            if condition.is_some_and(|condition| self.holds(condition, event, scratch)) {
                matches.push(rule);
            }
        });
        // An event with several categories or types can reach a rule on several ways.
        matches.sort_unstable();
        matches.dedup();
    }

    fn holds(&self, node: &Node, event: &dyn Fields, scratch: &mut Scratch) -> bool {
        match node {
            Node::Const(value) => *value,
            Node::Not(inner) => !self.holds(inner, event, scratch),
            Node::And(all) => all.iter().all(|node| self.holds(node, event, scratch)),
            Node::Or(any) => any.iter().any(|node| self.holds(node, event, scratch)),
            Node::Predicate(number) => self.predicate(*number, event, scratch),
        }
    }

    fn predicate(&self, number: u32, event: &dyn Fields, scratch: &mut Scratch) -> bool {
        let Ok(number) = usize::try_from(number) else { return false };
        let (Some(predicate), Some(memo)) =
            (self.predicates.get(number), scratch.memo.get_mut(number))
        else {
            return false;
        };
        if *memo >> 1 == scratch.event {
            return *memo & 1 == 1;
        }
        let result = event.get(predicate.field).each().any(|value| predicate.check.holds(value));
        *memo = scratch.event << 1 | u64::from(result);
        result
    }
}

impl Scratch {
    /// Forgets the results of the last event.
    fn begin(&mut self, predicates: usize) {
        if self.memo.len() != predicates {
            // Another program: its numbers mean other predicates.
            self.memo.clear();
            self.memo.resize(predicates, 0);
        }
        self.event += 1;
    }
}

enum Failure {
    Pattern(String),
    TooLarge,
}

/// Numbers predicates, each distinct one once.
#[derive(Default)]
struct Builder {
    predicates: Vec<Predicate>,
    numbers: HashMap<(FieldId, String), u32>,
}

impl Builder {
    fn node(&mut self, expr: &Expr) -> Result<Node, Failure> {
        Ok(match expr {
            Expr::Const(value) => Node::Const(*value),
            Expr::Not(inner) => Node::Not(Box::new(self.node(inner)?)),
            Expr::And(all) => Node::And(self.nodes(all)?),
            Expr::Or(any) => Node::Or(self.nodes(any)?),
            Expr::Test(field, test) => {
                // The debug text names a test completely; compiling is not where time matters.
                let key = (*field, format!("{test:?}"));
                if let Some(number) = self.numbers.get(&key) {
                    return Ok(Node::Predicate(*number));
                }
                let number = u32::try_from(self.predicates.len()).map_err(|_| Failure::TooLarge)?;
                let check = Check::new(test).map_err(Failure::Pattern)?;
                self.predicates.push(Predicate { field: *field, check });
                self.numbers.insert(key, number);
                Node::Predicate(number)
            }
        })
    }

    /// Operands of `and` or `or`, the cheap ones first.
    fn nodes(&mut self, exprs: &[Expr]) -> Result<Vec<Node>, Failure> {
        let mut nodes = exprs.iter().map(|expr| self.node(expr)).collect::<Result<Vec<_>, _>>()?;
        nodes.sort_by_cached_key(|node| self.cost(node));
        Ok(nodes)
    }

    fn cost(&self, node: &Node) -> u32 {
        match node {
            Node::Const(_) => 0,
            Node::Not(inner) => self.cost(inner),
            Node::And(nodes) | Node::Or(nodes) => {
                nodes.iter().fold(0, |sum, node| sum.saturating_add(self.cost(node)))
            }
            Node::Predicate(number) => usize::try_from(*number)
                .ok()
                .and_then(|number| self.predicates.get(number))
                .map_or(0, |predicate| predicate.check.cost()),
        }
    }
}
