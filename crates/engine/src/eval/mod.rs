//! Which filters an event satisfies: a program made ready to run.
//!
//! [`Compiled`] is immutable and shared; [`Scratch`] belongs to the caller. A filter is the
//! condition of a single-event rule, of a step or of a lineage query; equal filters of different
//! rules are one. A predicate that many filters contain is evaluated at most once an event, and a
//! filter is looked at only if the event has the category and one of the words that it requires.
//!
//! | module | holds |
//! |---|---|
//! | `build` | program to numbered predicates and filters |
//! | `node` | truth of a condition, with two or three values |
//! | `term`, `call` | computed values and functions |
//! | `predicate`, `words` | one test of one value |
//! | `labels` | what is remembered of strings that repeat |
//! | `index` | filters by what they require |
//! | `explain` | which tests decided |
//! | `measure` | what filters cost |

pub(crate) mod build;
pub(crate) mod call;
mod explain;
mod index;
mod labels;
mod measure;
mod node;
#[cfg(test)]
pub(crate) mod oracle;
mod predicate;
mod term;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use model::field::FieldId;
use model::program::{Program, Query, Relation};
use model::value::{Fields, Value};

pub use explain::{Blame, blame, value_of};
use index::Index;
use labels::Labels;
pub(crate) use node::Node;
use predicate::Check;
pub(crate) use predicate::order;
pub(crate) use term::Term;

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
    filters: Vec<Condition>,
    /// For each rule the filters of its query, in the order of [`model::program::Rule::filters`].
    parts: Vec<Vec<u32>>,
    /// For each filter the rules of single events that are this filter.
    events: Vec<Vec<u32>>,
    /// The lineage queries that are asked, by number.
    lineages: Vec<crate::detect::LineageQuery>,
    index: Index,
    plans: Vec<crate::detect::Plan>,
}

/// What evaluation remembers during an event and reuses for the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Number of the event, to tell results of this event from older ones.
    event: u64,
    /// For each predicate: the event it was last evaluated for, times two, plus the result.
    memo: Vec<u64>,
    labels: Labels,
    hits: Vec<u32>,
}

#[derive(Debug)]
struct Predicate {
    field: FieldId,
    check: Check,
    /// Group of labels and number in it, if the results are worth remembering.
    label: Option<(usize, usize)>,
}

/// A filter made ready.
#[derive(Debug)]
pub(crate) struct Condition {
    category: Option<Vec<u8>>,
    node: Node,
    /// What depends on earlier members of the sequence, and is asked when they are known.
    pub(crate) late: Option<Node>,
    three: bool,
}

/// Where a condition finds what is not in the event.
pub(crate) trait Context {
    /// A field of an earlier member of the sequence.
    fn member(&self, step: u16, field: FieldId) -> Value<'_>;
    /// Whether a relative of the process had an event that satisfies a lineage query.
    fn lineage(&self, relation: Relation, query: u32) -> Option<bool>;
}

/// No members and no lineage.
#[derive(Debug)]
pub(crate) struct Alone;

impl Context for Alone {
    fn member(&self, _: u16, _: FieldId) -> Value<'_> {
        Value::Null
    }

    fn lineage(&self, _: Relation, _: u32) -> Option<bool> {
        Some(false)
    }
}

/// What a condition is asked about.
#[derive(Clone, Copy)]
pub(crate) struct Env<'e> {
    pub(crate) event: &'e dyn Fields,
    pub(crate) context: &'e dyn Context,
    /// Unknown stays unknown; else it is false wherever it appears.
    pub(crate) three: bool,
}

impl Compiled {
    /// Compiles all patterns and builds the index.
    pub fn new(program: Arc<Program>) -> Result<Compiled, CompileError> {
        build::compile(program)
    }

    /// The program that this was made from.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    pub(crate) fn plans(&self) -> &[crate::detect::Plan] {
        &self.plans
    }

    pub(crate) fn parts(&self, rule: usize) -> &[u32] {
        self.parts.get(rule).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn filter_count(&self) -> usize {
        self.filters.len()
    }

    pub(crate) fn lineages(&self) -> &[crate::detect::LineageQuery] {
        &self.lineages
    }

    pub(crate) fn filter(&self, number: u32) -> Option<&Condition> {
        self.filters.get(usize::try_from(number).ok()?)
    }

    /// Whether [`Compiled::hits`] depends on the event alone, so that any thread can compute it.
    pub fn stateless(&self) -> bool {
        self.lineages.is_empty()
    }

    /// Replaces `matches` by the numbers of all rules of single events that the event satisfies, in
    /// ascending order. Lineage queries hold for none.
    pub fn eval(&self, event: &dyn Fields, scratch: &mut Scratch, matches: &mut Vec<u32>) {
        matches.clear();
        let mut hits = std::mem::take(&mut scratch.hits);
        self.hits(event, scratch, &mut hits);
        for hit in &hits {
            let Ok(hit) = usize::try_from(*hit) else { continue };
            matches.extend(self.events.get(hit).into_iter().flatten());
        }
        scratch.hits = hits;
        matches.sort_unstable();
    }

    /// Replaces `hits` by the numbers of all filters that the event satisfies, in ascending order:
    /// what [`crate::Detector::advance`] goes on with.
    pub fn hits(&self, event: &dyn Fields, scratch: &mut Scratch, hits: &mut Vec<u32>) {
        self.begin(scratch);
        self.hits_in(event, &Alone, scratch, hits);
    }

    /// Forgets the results of the last event.
    pub(crate) fn begin(&self, scratch: &mut Scratch) {
        scratch.begin(self.predicates.len());
    }

    pub(crate) fn hits_in(
        &self,
        event: &dyn Fields,
        context: &dyn Context,
        scratch: &mut Scratch,
        hits: &mut Vec<u32>,
    ) {
        hits.clear();
        self.index.candidates(event, |filter| {
            let condition = self.filter(filter);
            if condition.is_some_and(|condition| self.holds(condition, event, context, scratch)) {
                hits.push(filter);
            }
        });
        // An event with several categories or types can reach a filter on several ways.
        hits.sort_unstable();
        hits.dedup();
    }

    /// Whether an event of the right category satisfies a filter, as far as it alone can tell.
    pub(crate) fn holds(
        &self,
        condition: &Condition,
        event: &dyn Fields,
        context: &dyn Context,
        scratch: &mut Scratch,
    ) -> bool {
        let env = Env { event, context, three: condition.three };
        self.truth(&condition.node, env, None, scratch) == Some(true)
    }

    /// The same, with the category.
    pub(crate) fn fits(
        &self,
        condition: &Condition,
        event: &dyn Fields,
        context: &dyn Context,
        scratch: &mut Scratch,
    ) -> bool {
        let in_category = condition.category.as_ref().is_none_or(|name| {
            event
                .get(model::field::EVENT_CATEGORY)
                .each()
                .any(|one| matches!(one, Value::Str(text) if text == name.as_slice()))
        });
        in_category && self.holds(condition, event, context, scratch)
    }

    /// Whether what depends on earlier members holds too.
    pub(crate) fn late(
        &self,
        condition: &Condition,
        event: &dyn Fields,
        context: &dyn Context,
        scratch: &mut Scratch,
    ) -> bool {
        let env = Env { event, context, three: condition.three };
        condition
            .late
            .as_ref()
            .is_none_or(|node| self.truth(node, env, None, scratch) == Some(true))
    }
}

impl Scratch {
    fn begin(&mut self, predicates: usize) {
        if self.memo.len() != predicates {
            // Another program: its numbers mean other predicates.
            self.memo.clear();
            self.memo.resize(predicates, 0);
            self.labels = Labels::default();
        }
        self.event += 1;
    }
}

/// Whether a rule is about single events.
pub(crate) fn is_event(query: &Query) -> bool {
    matches!(query, Query::Event(_))
}
