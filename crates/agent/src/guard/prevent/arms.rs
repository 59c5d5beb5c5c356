//! Processes that took the first steps of a sequence: the worker tells of them, and only rules of the
//! generation in force count. What a process is armed with is kept by the names of rules, since bits
//! change with each generation.

use std::collections::HashMap;

use kernel::enforce::Arming;
use policy::Bits;
use rustix::time::{ClockId, clock_gettime};

use super::judge::{TICK, started};
use super::tier::Tier;
use crate::policy::store::About;
use crate::proto::Arm;

/// Processes at the same moment; the kernel has room for as many.
const ARMED_MAX: usize = 65_536;
/// Rules that one process is armed by.
const RULES_MAX: usize = 256;

/// Number and start of a process.
type Process = (u32, u64);

/// All processes that are armed: rules, and until when, 0 being as long as the process lives.
#[derive(Debug, Default)]
pub(super) struct Arms {
    processes: HashMap<Process, Vec<(String, u64)>>,
}

/// Nanoseconds since boot.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000) + u64::try_from(now.tv_nsec).unwrap_or_default()
}

/// The selectors of the last step of a rule.
fn bits(about: &About, rule: &str) -> Bits {
    let last = about.rules.iter().filter(|one| one.sequence.as_deref() == Some(rule));
    last.map(|one| one.bit).collect()
}

impl Arms {
    /// What an agent before this one left in the kernel: nobody knows any more when it is over.
    pub(super) fn found(armings: &[Arming], about: &About) -> Arms {
        let processes = armings.iter().map(|arming| {
            let has = |bit: u8| Bits(arming.set).has(bit);
            let rules = about.rules.iter().filter(|rule| has(rule.bit));
            let names = rules.filter_map(|rule| rule.sequence.clone()).map(|rule| (rule, 0));
            ((arming.pid, arming.start), names.collect())
        });
        Arms { processes: processes.collect() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.processes.len()
    }

    /// Arms a process, if the rule was granted that.
    pub(super) fn add(
        &mut self,
        arm: &Arm,
        about: &About,
        tier: &mut dyn Tier,
    ) -> Result<(), String> {
        // The worker's word is not enough: the guard asks what it has read itself.
        about.arms(&arm.rule)?;
        let process = (arm.pid, arm.start);
        if self.processes.len() >= ARMED_MAX && !self.processes.contains_key(&process) {
            return Err(format!("{ARMED_MAX} processes are armed already"));
        }
        let rules = self.processes.entry(process).or_default();
        let full = rules.len() >= RULES_MAX;
        match rules.iter_mut().find(|one| one.0 == arm.rule) {
            Some(known) if known.1 == 0 || arm.until != 0 && arm.until <= known.1 => return Ok(()),
            Some(known) => known.1 = arm.until,
            None if full => {
                return Err(format!("the process is armed by {RULES_MAX} rules already"));
            }
            None => rules.push((arm.rule.clone(), arm.until)),
        }
        put(process, rules, about, tier)
    }

    /// Lets go of what is over; if asked to, also of processes that have ended.
    pub(super) fn expire(
        &mut self,
        about: &About,
        tier: &mut dyn Tier,
        ended: bool,
    ) -> Result<(), String> {
        let now = now();
        let mut done = Ok(());
        self.processes.retain(|process, rules| {
            let before = rules.len();
            rules.retain(|one| one.1 == 0 || one.1 > now);
            if ended && started(process.0) != Some(process.1 / TICK) {
                rules.clear();
            }
            if rules.len() < before {
                let put = put(*process, rules, about, tier);
                done = std::mem::replace(&mut done, Ok(())).and(put);
            }
            !rules.is_empty()
        });
        done
    }
}

/// Tells the kernel what a process is armed with now.
fn put(
    (pid, start): Process,
    rules: &[(String, u64)],
    about: &About,
    tier: &mut dyn Tier,
) -> Result<(), String> {
    let all = rules.iter().fold(Bits::NONE, |all, (rule, _)| all | bits(about, rule));
    tier.arm(&Arming { pid, start, set: all.0 }).map_err(|error| error.to_string())
}
