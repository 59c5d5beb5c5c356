//! Tells the guard which processes took the first steps of sequences whose last step the kernel
//! denies.

use std::collections::{BTreeMap, HashMap};

use lang::placement::{self, Place};
use model::program::{Program, Query, Response};

use super::link::Asker;
use super::packs::Terms;
use crate::proto::{Arm, Request};

/// Times are told in steps of so many ns, rounded up: who takes the first steps over and over makes
/// no more than so many messages.
const STEP_NS: u64 = 50_000_000;
/// Processes of which it is known what was told last; then all are told again.
const TOLD_MAX: usize = 4096;

/// Rules whose last step is denied, and what was told of processes.
#[derive(Debug, Default)]
pub(crate) struct Arms {
    rules: BTreeMap<u32, (String, Option<u64>)>,
    /// How often the guard was asked.
    asked: u64,
    told: HashMap<(u32, u32, u64), u64>,
}

impl Arms {
    /// The sequences of a program that ask for `deny` and that the kernel can end.
    pub(crate) fn of(program: &Program, terms: &[Terms]) -> Arms {
        let rules =
            (0..).zip(program.rules.iter().zip(terms)).filter_map(|(number, (rule, terms))| {
                if !terms.may.permits(Response::DENY) {
                    return None;
                }
                let Query::Sequence(sequence) = &rule.query else { return None };
                let denies = rule.meta.responses.iter().any(|one| one.action == Response::DENY);
                let armed = denies && placement::of(rule, program).place == Place::Armed;
                armed.then(|| (number, (rule.meta.id.clone(), sequence.maxspan)))
            });
        Arms { rules: rules.collect(), asked: 0, told: HashMap::new() }
    }

    /// How often the guard was asked to deny something.
    pub(crate) fn asked(&self) -> u64 {
        self.asked
    }

    /// Tells of a process whose record of this time took the last step but one of these sequences,
    /// each of which began so long before.
    pub(crate) fn tell(
        &mut self,
        near: &[(u32, i64)],
        (pid, start): (u32, u64),
        time: u64,
        guard: &Asker,
    ) {
        for (number, took) in near {
            let Some((rule, maxspan)) = self.rules.get(number) else { continue };
            let until = maxspan.map_or(0, |span| end(time, span, *took));
            let turn = if until == 0 { time / STEP_NS } else { until };
            if self.told.len() >= TOLD_MAX {
                self.told.clear();
            }
            if self.told.insert((*number, pid, start), turn) == Some(turn) {
                continue;
            }
            self.asked += 1;
            let arm = Arm { rule: rule.clone(), pid, start, until };
            if let Err(error) = guard.ask(&Request::Arm(arm)) {
                tracing::error!(rule, pid, %error, "the last step of a sequence is not denied");
            }
        }
    }
}

/// When a sequence of this length is over that has taken so long up to now.
fn end(time: u64, span: u64, took: i64) -> u64 {
    let left = span.saturating_sub(u64::try_from(took).unwrap_or_default());
    time.saturating_add(left).div_ceil(STEP_NS).saturating_mul(STEP_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sequences_that_deny_and_that_the_kernel_ends_are_told() {
        let rule = |id: &str, response: &str, query: &str| {
            format!(
                "[[rule]]\nid = \"{id}\"\nname = \"n\"\ndescription = \"d\"\nseverity = \
                 \"low\"\nresponse = [{response}]\nplacement = \"any\"\nquery = '''{query}'''\n"
            )
        };
        let first = "[file where event.action == \"open\" and file.path == \"/a\"]";
        let armed = format!(
            "sequence by process.entity_id with maxspan=1s {first} \
             [network where event.action == \"connection_attempted\"]"
        );
        let late =
            format!("sequence by process.entity_id {first} [process where event.type == \"end\"]");
        let text = [
            rule("denies", "\"deny\"", &armed),
            rule("alerts", "", &armed),
            rule("late", "\"deny\"", &late),
        ];
        let loaded = lang::load([("r.toml".to_owned(), text.concat())]);
        assert!(
            !loaded.diagnostics.iter().any(lang::Diagnostic::is_error),
            "{:?}",
            loaded.diagnostics
        );
        let terms = |may| vec![Terms::of(packs::Level::Signed, may); 3];
        let alert = terms(model::capability::Capabilities::ALERT);
        assert!(Arms::of(&loaded.program, &alert).rules.is_empty(), "none of them may");
        let arms = Arms::of(&loaded.program, &terms(model::capability::Capabilities::all()));
        assert_eq!(arms.rules.len(), 1);
        assert_eq!(arms.rules[&0], ("denies".to_owned(), Some(1_000_000_000)));
    }

    #[test]
    fn the_end_is_what_is_left_rounded_up() {
        assert_eq!(end(1_000_000_000, 500_000_000, 100_000_000), 1_400_000_000);
        assert_eq!(end(1_000_000_001, 500_000_000, 100_000_000), 1_450_000_000);
        assert_eq!(end(1_000_000_000, 500_000_000, 600_000_000), 1_000_000_000, "over already");
        assert_eq!(end(1_000_000_000, 500_000_000, -5), 1_500_000_000);
    }
}
