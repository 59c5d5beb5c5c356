//! Which fields a program reads, so that a decoder need not keep the others.

use std::collections::BTreeSet;

use model::field::{self, FieldId};
use model::program::Program;

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
    fields.extend(program.rules.iter().flat_map(|rule| rule.reads(program)));
    fields
}
