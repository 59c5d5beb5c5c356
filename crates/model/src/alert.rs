//! What a match becomes.

use crate::program::RuleMeta;

/// A rule matched. The event itself stays with the caller, which renders both.
#[derive(Debug, Clone, Copy)]
pub struct Match<'a> {
    /// The rule.
    pub rule: &'a RuleMeta,
    /// Identity of the alert, derived from the rule id and the event (boot id, time, process,
    /// kind), so that a replay gives the same; 32 hexadecimal digits when printed.
    pub id: u128,
}
