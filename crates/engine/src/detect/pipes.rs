//! Pipes: what happens to the results of a query.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use model::field::FieldId;
use model::program::Relation;
use model::value::{Fields, Node, Value};

use super::key::{Held, Name, Seed, find};
use super::plan::{PipePlan, Plan};
use super::{Counted, Raw};
use crate::eval::{Compiled, Context, Env, Scratch, Term};

/// A result on its way.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) raw: Raw,
    pub(super) counted: Option<Counted>,
}

/// What the pipes of one rule remember.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    stages: Vec<Stage>,
    pub(super) dropped: u64,
}

/// What one pipe remembers.
#[derive(Debug, Default)]
struct Stage {
    taken: u64,
    /// Times that `unique` began anew.
    forgotten: u64,
    seen: HashSet<u128>,
    rows: VecDeque<Row>,
    counts: HashMap<u128, usize>,
    groups: Vec<(Vec<Held>, u64, Option<Row>)>,
}

/// Where pipes find names.
#[derive(Clone, Copy)]
pub(super) struct Names<'n> {
    pub(super) compiled: &'n Compiled,
    pub(super) count: Option<FieldId>,
    pub(super) percent: Option<FieldId>,
    pub(super) seed: Seed,
    /// See [`super::Limits::rows`].
    pub(super) rows: usize,
}

/// A row as an event: fields are those of the first member.
struct Scope<'r> {
    row: &'r Row,
    plan: &'r Plan,
    names: Names<'r>,
}

impl Fields for Scope<'_> {
    fn get(&self, field: FieldId) -> Value<'_> {
        if let Some(counted) = &self.row.counted {
            if Some(field) == self.names.count {
                return Value::Int(i64::try_from(counted.count).unwrap_or(i64::MAX));
            }
            if Some(field) == self.names.percent {
                return Value::Float(counted.percent);
            }
        }
        self.member(0, field)
    }
}

impl Context for Scope<'_> {
    fn member(&self, step: u16, field: FieldId) -> Value<'_> {
        find(&self.row.raw.kept, step, Name::Field(field))
    }

    fn lineage(&self, relation: Relation, query: u32) -> Option<bool> {
        let number = self.plan.asked.iter().position(|known| *known == (relation, query))?;
        match find(&self.row.raw.kept, 0, Name::Lineage(number)) {
            Value::Bool(truth) => Some(truth),
            _ => None,
        }
    }
}

impl Pipes {
    /// Results that there was no room for, and times that there was none to remember more.
    pub(super) fn lost(&self) -> u64 {
        self.dropped + self.stages.iter().map(|stage| stage.forgotten).sum::<u64>()
    }

    /// Sends a row through the pipes from one on.
    pub(super) fn push(
        &mut self,
        plan: &Plan,
        from: usize,
        row: Row,
        names: Names<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<Row>,
    ) {
        if self.stages.len() < plan.pipes.len() {
            self.stages.resize_with(plan.pipes.len(), Stage::default);
        }
        for (pipe, stage) in plan.pipes.iter().zip(&mut self.stages).skip(from) {
            match stage.take(pipe, &row, plan, names, scratch) {
                Taken::Goes => {}
                Taken::Stays => return,
                Taken::Dropped => {
                    self.dropped += 1;
                    return;
                }
            }
        }
        out.push(row);
    }

    /// No more rows come: what was held back goes on.
    pub(super) fn finish(
        &mut self,
        plan: &Plan,
        names: Names<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<Row>,
    ) {
        for (number, pipe) in plan.pipes.iter().enumerate() {
            let Some(stage) = self.stages.get_mut(number) else { return };
            for row in stage.release(pipe, plan, names, scratch) {
                self.push(plan, number + 1, row, names, scratch, out);
            }
        }
    }
}

enum Taken {
    Goes,
    Stays,
    Dropped,
}

impl Stage {
    fn take(
        &mut self,
        pipe: &PipePlan,
        row: &Row,
        plan: &Plan,
        names: Names<'_>,
        scratch: &mut Scratch,
    ) -> Taken {
        let keep = |goes| if goes { Taken::Goes } else { Taken::Stays };
        match pipe {
            PipePlan::Head(most) => {
                self.taken += 1;
                keep(self.taken <= *most)
            }
            PipePlan::Tail(most) => {
                self.rows.push_back(row.clone());
                let most = usize::try_from(*most).unwrap_or(usize::MAX);
                if self.rows.len() > most.min(names.rows) {
                    self.rows.pop_front();
                }
                Taken::Stays
            }
            PipePlan::Unique(terms) => {
                let key = tuple(terms, row, plan, names, scratch);
                if self.seen.len() >= names.rows && !self.seen.contains(&key) {
                    // What is told twice is better than what is never told.
                    self.seen.clear();
                    self.forgotten += 1;
                }
                keep(self.seen.insert(key))
            }
            PipePlan::Filter(node) => {
                let scope = Scope { row, plan, names };
                let env = Env { event: &scope, context: &scope, three: plan.three };
                names.compiled.begin(scratch);
                keep(names.compiled.truth(node, env, None, scratch) == Some(true))
            }
            PipePlan::Sort(_) => {
                if self.rows.len() >= names.rows {
                    return Taken::Dropped;
                }
                self.rows.push_back(row.clone());
                Taken::Stays
            }
            PipePlan::Count(terms) | PipePlan::UniqueCount(terms) => {
                let key = tuple(terms, row, plan, names, scratch);
                self.taken += 1;
                let known = self.counts.get(&key).and_then(|at| self.groups.get_mut(*at));
                if let Some((_, count, _)) = known {
                    *count += 1;
                    return Taken::Stays;
                }
                if self.groups.len() >= names.rows {
                    return Taken::Dropped;
                }
                self.counts.insert(key, self.groups.len());
                let values = values(terms, row, plan, names, scratch);
                self.groups.push((values, 1, Some(row.clone())));
                Taken::Stays
            }
        }
    }

    fn release(
        &mut self,
        pipe: &PipePlan,
        plan: &Plan,
        names: Names<'_>,
        scratch: &mut Scratch,
    ) -> Vec<Row> {
        match pipe {
            PipePlan::Head(_) | PipePlan::Unique(_) | PipePlan::Filter(_) => Vec::new(),
            PipePlan::Tail(_) => self.rows.drain(..).collect(),
            PipePlan::Sort(terms) => {
                let rows = self.rows.drain(..);
                let mut keyed: Vec<_> =
                    rows.map(|row| (values(terms, &row, plan, names, scratch), row)).collect();
                keyed.sort_by(|(a, _), (b, _)| order(a, b));
                keyed.into_iter().map(|(_, row)| row).collect()
            }
            PipePlan::Count(_) | PipePlan::UniqueCount(_) => {
                let mut groups = std::mem::take(&mut self.groups);
                if matches!(pipe, PipePlan::Count(_)) {
                    groups.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| order(&a.0, &b.0)));
                }
                let total = self.taken;
                groups.into_iter().filter_map(|group| counted(pipe, group, total)).collect()
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is a rounded number anyway")]
fn counted(
    pipe: &PipePlan,
    (key, count, row): (Vec<Held>, u64, Option<Row>),
    total: u64,
) -> Option<Row> {
    let mut row = row?;
    let percent = count as f64 / total.max(1) as f64;
    let key = key.iter().map(|held| Node::from(held.value())).collect();
    row.counted = Some(Counted { count, percent, key });
    if matches!(pipe, PipePlan::Count(_)) {
        // The result is the count; no event stands for it.
        row.raw.members.clear();
        row.raw.kept.clear();
    }
    Some(row)
}

fn tuple(terms: &[Term], row: &Row, plan: &Plan, names: Names<'_>, scratch: &mut Scratch) -> u128 {
    let values = values(terms, row, plan, names, scratch);
    names.seed.tuple(values.iter().map(Held::value))
}

/// The value of each term; of several values the first.
fn values(
    terms: &[Term],
    row: &Row,
    plan: &Plan,
    names: Names<'_>,
    scratch: &mut Scratch,
) -> Vec<Held> {
    let scope = Scope { row, plan, names };
    let env = Env { event: &scope, context: &scope, three: plan.three };
    names.compiled.begin(scratch);
    let first = |term| {
        let values = names.compiled.values(term, env, None, scratch);
        values.first().map_or(Held::Node(Node::Null), |got| Held::of(got.value()))
    };
    terms.iter().map(first).collect()
}

/// Absent first, then by type, then by value.
fn order(a: &[Held], b: &[Held]) -> std::cmp::Ordering {
    let rank = |held: &Held| match held.value() {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Float(_) => 2,
        Value::Str(_) | Value::Ip(_) => 3,
        Value::List(_) | Value::Map(_) => 4,
    };
    let pairs = a.iter().zip(b).map(|(a, b)| {
        let by_value = || crate::eval::order(a.value(), b.value(), false);
        rank(a).cmp(&rank(b)).then_with(|| by_value().unwrap_or(std::cmp::Ordering::Equal))
    });
    pairs.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
}
