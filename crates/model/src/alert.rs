//! What a match becomes.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::program::RuleMeta;
use crate::script::Said;

/// A rule matched. The event itself stays with the caller, which renders both.
#[derive(Debug, Clone, Copy)]
pub struct Match<'a> {
    /// The rule.
    pub rule: &'a RuleMeta,
    /// Identity of the alert, derived from the rule id and the event (boot id, time, process,
    /// kind), so that a replay gives the same; 32 hexadecimal digits when printed.
    pub id: u128,
    /// Numbers (`event.sequence`) of the events that matched, in the order of the rule's steps.
    pub members: &'a [u64],
    /// Those of them that happened before the event at hand and are still kept, as documents, by
    /// number.
    pub earlier: &'a [(u64, Arc<Map<String, Value>>)],
    /// What the scripts that the rule asks said about the event at hand, beside their answers.
    pub said: &'a [Said],
}
