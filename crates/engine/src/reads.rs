//! Which fields a program reads, so that a decoder need not keep the others.

use std::collections::BTreeSet;

use model::field::{self, FieldId};
use model::program::{CorrelationKind, Pipe, Program, Query, Scalar, Step};

use crate::eval::build::{walk, walk_scalar};

/// What the engine reads whatever the rules are: the order of events, the index of rules, who
/// floods, and the lineage of processes.
const ALWAYS: &[FieldId] = &[
    field::TIMESTAMP,
    field::EVENT_SEQUENCE,
    field::EVENT_CATEGORY,
    field::EVENT_TYPE,
    field::EVENT_ACTION,
    field::PROCESS_ENTITY_ID,
    field::PROCESS_PID,
    field::PROCESS_PARENT_ENTITY_ID,
    field::PROCESS_PARENT_PID,
    field::PROCESS_EXECUTABLE,
    field::PROCESS_NAME,
];

/// The fields that the rules of a program, and the engine for them, can ask an event for.
#[must_use]
pub fn reads(program: &Program) -> BTreeSet<FieldId> {
    let mut fields: BTreeSet<FieldId> = ALWAYS.iter().copied().collect();
    let mut visit = |scalar: &Scalar| {
        if let Scalar::Field(field) | Scalar::Member(_, field) = scalar {
            fields.insert(*field);
        }
    };
    for filter in &program.lineages {
        walk(&filter.condition, &mut visit);
    }
    for rule in &program.rules {
        for filter in rule.filters() {
            walk(&filter.condition, &mut visit);
        }
        let (steps, until): (&[Step], Option<&Step>) = match &rule.query {
            Query::Event(_) => (&[], None),
            Query::Correlation(it) => {
                let counted = match it.kind {
                    CorrelationKind::ValueCount(field) => Some(field),
                    CorrelationKind::EventCount
                    | CorrelationKind::Temporal
                    | CorrelationKind::TemporalOrdered => None,
                };
                let all = it.group_by.iter().flatten().copied().chain(counted);
                all.for_each(|field| visit(&Scalar::Field(field)));
                (&[], None)
            }
            Query::Sequence(it) => (&it.steps, it.until.as_ref()),
            Query::Sample(steps) => (steps, None),
            Query::Join { steps, until } => (steps, until.as_ref()),
        };
        let keys = steps.iter().chain(until).flat_map(|step| &step.by);
        keys.for_each(|key| walk_scalar(&key.value, &mut visit));
        for pipe in &rule.pipes {
            match pipe {
                Pipe::Head(_) | Pipe::Tail(_) => {}
                Pipe::Filter(condition) => walk(condition, &mut visit),
                Pipe::Unique(scalars)
                | Pipe::Sort(scalars)
                | Pipe::Count(scalars)
                | Pipe::UniqueCount(scalars) => {
                    for scalar in scalars {
                        walk_scalar(scalar, &mut visit);
                    }
                }
            }
        }
    }
    fields
}
