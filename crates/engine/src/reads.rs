//! Which fields a program reads, so that a decoder need not keep the others.

use std::collections::BTreeSet;

use model::field::{self, FieldId};
use model::program::{CorrelationKind, Program, Query, Scalar};

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
        filter.condition.walk(&mut visit);
    }
    for rule in &program.rules {
        for filter in rule.filters() {
            filter.condition.walk(&mut visit);
        }
        for key in rule.steps().flat_map(|step| &step.by) {
            key.value.walk(&mut visit);
        }
        for pipe in &rule.pipes {
            pipe.walk(&mut visit);
        }
    }
    for rule in &program.rules {
        let Query::Correlation(it) = &rule.query else { continue };
        fields.extend(it.group_by.iter().flatten());
        if let CorrelationKind::ValueCount(field) = it.kind {
            fields.insert(field);
        }
    }
    fields
}
