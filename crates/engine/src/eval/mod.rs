//! Which filters an event satisfies: a program made ready to run.
//!
//! [`Compiled`] is immutable and shared; [`Scratch`] belongs to the caller. A filter is the
//! condition of a single-event rule, of a step or of a lineage query; equal filters of different
//! rules are one. A predicate that many filters contain is evaluated at most once an event.
//!
//! Few filters are evaluated at all. What kind of event it is (category, type, action …) decides
//! most of them, and is decided once a kind. Each of the others waits for a few predicates of which
//! one must hold, chosen for the kind so that few fields need be looked at and few predicates hold.
//! Which predicates hold for a value is found for all of them at once, by searching for the
//! literals of all of them together, and remembered for the next event that has the value.
//!
//! | module | holds |
//! |---|---|
//! | `build`, `bound` | program to numbered predicates and filters |
//! | `node` | truth of a condition, with two or three values |
//! | `term`, `call` | computed values and functions |
//! | `predicate`, `words` | one test of one value |
//! | `class`, `cover` | what the kind of an event decides, and what filters wait for |
//! | `require`, `literal` | fixed texts that a value must have to satisfy a test |
//! | `column`, `affix`, `grams`, `pairs` | which predicates of a field a value satisfies |
//! | `values`, `memory` | what holds in the event at hand; values that repeat |
//! | `asking` | questions to scripts |
//! | `explain`, `measure` | which tests decided, and what filters cost |

mod affix;
pub(crate) mod asking;
mod bound;
pub(crate) mod build;
pub(crate) mod call;
mod class;
mod column;
mod cover;
mod explain;
mod grams;
#[cfg(test)]
mod index_tests;
mod literal;
mod measure;
mod memory;
mod node;
mod pairs;
mod predicate;
mod require;
mod term;
#[cfg(test)]
mod tests;
mod values;
mod words;

use std::collections::HashMap;
use std::sync::Arc;

use model::field::FieldId;
use model::program::{Expr, Program, Query, Relation};
use model::value::{Fields, Value};

use asking::Asking;
use class::{Classes, bit};
use column::Column;
pub use asking::NoScripts;
pub use explain::{Blame, answered, blame, value_of};
pub(crate) use memory::hash as quick_hash;
pub(crate) use node::Node;
use predicate::Check;
pub(crate) use predicate::order;
pub(crate) use term::Term;
use values::Values;

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
    columns: Vec<Column>,
    filters: Vec<Condition>,
    /// For each rule the filters of its query, in the order of [`model::program::Rule::filters`].
    parts: Vec<Vec<u32>>,
    /// For each filter the rules of single events that are this filter.
    events: Vec<Vec<u32>>,
    /// The filters of these that the event alone does not decide, as bits; and whether there are any.
    open: Vec<u64>,
    settles: bool,
    /// The lineage queries that are asked, by number.
    lineages: Vec<crate::detect::LineageQuery>,
    /// Fields that tell kinds of events apart.
    kinds: Vec<FieldId>,
    /// Numbers of the questions to scripts, by what they ask; and those of each rule.
    questions: HashMap<String, u32>,
    asked: Vec<Vec<u32>>,
    plans: Vec<crate::detect::Plan>,
    /// Tells this from all others: what a [`Scratch`] remembers holds for one.
    serial: u64,
}

/// What evaluation remembers during an event and reuses for the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Number of the event at hand.
    event: u64,
    /// The program that all of this is about.
    program: u64,
    values: Values,
    classes: Classes,
    /// The kind of the event at hand, if that is known.
    class: Option<usize>,
    /// For each filter: the event for which it was last looked at.
    seen: Vec<u64>,
    /// Filters that the event at hand can concern.
    found: Vec<u32>,
    hits: Vec<u32>,
    /// Scripts, and what they said of the event at hand.
    pub(crate) asking: Asking,
}

#[derive(Debug)]
struct Predicate {
    field: FieldId,
    /// The predicates on the same field.
    column: u32,
    /// Elsewhere, as results are remembered.
    check: Box<Check>,
    /// The kind of the event decides it.
    tells: bool,
    /// How often a value is expected to satisfy it, in ten thousand.
    chance: u32,
}

/// A filter made ready.
#[derive(Debug)]
pub(crate) struct Condition {
    category: Option<Vec<u8>>,
    /// What it asks of the kind of the event.
    gate: Node,
    /// The rest, as far as the event alone can tell: it may hold though the condition does not.
    node: Node,
    /// What depends on the lineage of the process, or is asked of scripts, too.
    whole: Option<Node>,
    /// What depends on earlier members of the sequence, and is asked when they are known.
    pub(crate) late: Option<Node>,
    three: bool,
    /// Somebody asks whether it holds.
    wanted: bool,
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

    /// Numbers of the filters of a rule, in the order of [`model::program::Rule::filters`].
    pub fn parts(&self, rule: usize) -> &[u32] {
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

    /// Whether no rule asks for the lineage of a process.
    pub(crate) fn stateless(&self) -> bool {
        self.lineages.is_empty()
    }

    /// Whether some of what [`Compiled::hits`] tells may not hold: lineage and scripts say it.
    pub(crate) fn settles(&self) -> bool {
        self.settles
    }

    /// Whether a filter is one of those of which the event can tell no more.
    pub(crate) fn is_open(&self, filter: u32) -> bool {
        usize::try_from(filter).is_ok_and(|at| bit(&self.open, at))
    }

    /// Numbers of what a rule asks scripts.
    pub(crate) fn asked(&self, rule: u32) -> &[u32] {
        usize::try_from(rule).ok().and_then(|rule| self.asked.get(rule)).map_or(&[], Vec::as_slice)
    }

    /// Whether any rule asks a script.
    pub(crate) fn asks(&self) -> bool {
        !self.questions.is_empty()
    }

    /// The number of a question to a script.
    pub(crate) fn question(&self, question: &Expr) -> Option<u32> {
        self.questions.get(&format!("{question:?}")).copied()
    }

    /// Replaces `matches` by the numbers of all rules of single events that the event satisfies, in
    /// ascending order. Lineage queries hold for none, and scripts answer no.
    pub fn eval(&self, event: &dyn Fields, scratch: &mut Scratch, matches: &mut Vec<u32>) {
        matches.clear();
        let mut hits = std::mem::take(&mut scratch.hits);
        self.hits(event, scratch, &mut hits);
        self.settle(&mut hits, event, &Alone, scratch);
        for hit in &hits {
            let Ok(hit) = usize::try_from(*hit) else { continue };
            matches.extend(self.events.get(hit).into_iter().flatten());
        }
        scratch.hits = hits;
        matches.sort_unstable();
    }

    /// Replaces `hits` by the numbers of all filters that the event satisfies, in ascending order:
    /// what [`crate::Detector::advance`] goes on with. Of those that ask scripts, or for the lineage
    /// of the process, it tells which can hold; so it depends on the event alone, and any thread can
    /// do it.
    pub fn hits(&self, event: &dyn Fields, scratch: &mut Scratch, hits: &mut Vec<u32>) {
        self.begin(scratch);
        hits.clear();
        let class = self.candidates(event, scratch);
        let sure = class.and_then(|class| scratch.classes.get(class));
        hits.extend(sure.into_iter().flat_map(|class| &class.sure));
        let found = std::mem::take(&mut scratch.found);
        for number in &found {
            let Some(filter) = self.filter(*number) else { continue };
            if self.holds(filter, class.is_none(), event, scratch) {
                hits.push(*number);
            }
        }
        scratch.found = found;
        hits.sort_unstable();
    }

    /// Forgets the results of the last event.
    pub(crate) fn begin(&self, scratch: &mut Scratch) {
        if scratch.program != self.serial {
            let values = Values::new(self.columns.len());
            let asking = std::mem::take(&mut scratch.asking);
            *scratch = Scratch { program: self.serial, values, asking, ..Scratch::default() };
            scratch.seen.resize(self.filters.len(), 0);
        }
        scratch.event = scratch.values.next();
        scratch.class = None;
    }

    /// The column of that number, and where it is.
    fn column(&self, number: u32) -> Option<(usize, &Column)> {
        let at = usize::try_from(number).ok()?;
        Some((at, self.columns.get(at)?))
    }

    /// Finds the filters that an event of its kind can concern, but for those that it satisfies
    /// whatever else it holds. Tells the kind.
    fn candidates(&self, event: &dyn Fields, scratch: &mut Scratch) -> Option<usize> {
        scratch.class = self.class(event, scratch);
        let Scratch { event: number, values, classes, class, seen, found, .. } = scratch;
        found.clear();
        let known = class.and_then(|kind| Some((kind, classes.get(kind)?)));
        let Some((kind, known)) = known else {
            let all = (0u32..).zip(&self.filters).filter(|(_, filter)| filter.wanted);
            found.extend(all.map(|(filter, _)| filter));
            return None;
        };
        found.extend(&known.free);
        for column in &known.columns {
            self.look(*column, (event, kind), known, values, |predicate| {
                for filter in known.waiting(predicate) {
                    let at = usize::try_from(*filter).unwrap_or(usize::MAX);
                    if let Some(seen) = seen.get_mut(at).filter(|seen| **seen != *number) {
                        *seen = *number;
                        found.push(*filter);
                    }
                }
            });
        }
        *class
    }

    /// Whether an event satisfies a filter, as far as it alone can tell; `all` asks also what its
    /// kind decides.
    fn holds(
        &self,
        filter: &Condition,
        all: bool,
        event: &dyn Fields,
        scratch: &mut Scratch,
    ) -> bool {
        let env = Env { event, context: &Alone, three: filter.three };
        let mut is_true = |node| self.truth(node, env, None, scratch) == Some(true);
        (!all || filter.in_category(event) && is_true(&filter.gate)) && is_true(&filter.node)
    }

    /// Takes from `hits` what does not hold in the lineage of the process, or as scripts say.
    fn settle(
        &self,
        hits: &mut Vec<u32>,
        event: &dyn Fields,
        context: &dyn Context,
        scratch: &mut Scratch,
    ) {
        if self.settles {
            hits.retain(|hit| !self.is_open(*hit) || self.holds_in(*hit, event, context, scratch));
        }
    }

    /// Whether a filter of which the event can tell no more holds in the lineage of the process, and
    /// as scripts say.
    pub(crate) fn holds_in(
        &self,
        filter: u32,
        event: &dyn Fields,
        context: &dyn Context,
        scratch: &mut Scratch,
    ) -> bool {
        let Some(filter) = self.filter(filter) else { return false };
        let env = Env { event, context, three: filter.three };
        let whole = filter.whole.as_ref();
        whole.is_none_or(|node| self.truth(node, env, None, scratch) == Some(true))
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

impl Condition {
    fn in_category(&self, event: &dyn Fields) -> bool {
        self.category.as_ref().is_none_or(|name| {
            event
                .get(model::field::EVENT_CATEGORY)
                .each()
                .any(|one| matches!(one, Value::Str(text) if text == name.as_slice()))
        })
    }
}

/// Whether a rule is about single events.
pub(crate) fn is_event(query: &Query) -> bool {
    matches!(query, Query::Event(_))
}
