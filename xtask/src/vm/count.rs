//! What prevention costs, in instructions of a guest: `evade count` under a clock that counts them.
//!
//! What an operation costs before any program is loaded is taken away from what it costs with rules:
//! the rest is added by them. Counts of the same build repeat to the instruction for opens, to a
//! hundredth for an exec, whose work in the kernel differs from time to time.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::debian::{Found, Mirror};
use super::guest::{self, Boot, Payload};
use super::report::{Row, Verdict};
use super::{Extent, cache, qemu};
use crate::sh;

/// The kernel that is counted on.
pub(crate) const KERNEL: &str = "6.12";
/// Rules of the policies that are compared.
pub(crate) const FEW: usize = 10;
/// The same.
pub(crate) const MANY: usize = 10_000;
/// The deed that the limit is about.
const LABELLED: &str = "open of a file with a label";
/// Instructions that may be added to open and close of a file that has its label.
const ADDED_MAX: u64 = 450;
/// By how much an operation may cost more with many rules than with few.
const GROWTH_MAX: f64 = 1.1;
/// Loading the programs takes the emulator most of it.
const TIMEOUT: Duration = Duration::from_mins(25);

/// Instructions, by number of rules (`none`: no program is loaded) and by what was done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    costs: BTreeMap<(String, String), u64>,
    /// What was done, in order.
    pub(crate) deeds: Vec<String>,
    /// For each table: its name, its bytes, microseconds until it was in force.
    pub(crate) applied: Vec<(String, u64, u64)>,
}

impl Counts {
    /// Reads them out of what the guest said.
    fn parse(text: &str) -> Result<Counts> {
        let mut counts = Counts::default();
        let number = |text: &str| text.trim().parse::<u64>().context("no number");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("COUNT ") {
                let parts: Vec<&str> = rest.split('|').collect();
                let [rules, deed, cost] = parts.as_slice() else { bail!("`{line}`?") };
                if !counts.deeds.iter().any(|known| known == deed) {
                    counts.deeds.push((*deed).to_owned());
                }
                counts.costs.insert(((*rules).to_owned(), (*deed).to_owned()), number(cost)?);
            } else if let Some(rest) = line.strip_prefix("APPLIED ") {
                let parts: Vec<&str> = rest.split('|').collect();
                let [rules, bytes, took] = parts.as_slice() else { bail!("`{line}`?") };
                counts.applied.push(((*rules).to_owned(), number(bytes)?, number(took)?));
            }
        }
        ensure!(!counts.costs.is_empty(), "nothing was counted");
        Ok(counts)
    }

    /// What it costs.
    pub(crate) fn cost(&self, rules: &str, deed: &str) -> Option<u64> {
        self.costs.get(&(rules.to_owned(), deed.to_owned())).copied()
    }

    /// What is added to it by programs and rules.
    pub(crate) fn added(&self, rules: &str, deed: &str) -> Option<u64> {
        Some(self.cost(rules, deed)?.saturating_sub(self.cost("none", deed)?))
    }

    /// What is above the limits, in words.
    pub(crate) fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let [few, many] = [FEW, MANY].map(|rules| rules.to_string());
        match self.added(&many, LABELLED) {
            Some(added) if added <= ADDED_MAX => {}
            added => broken.push(format!(
                "{LABELLED}: {} instructions are added, the limit is {ADDED_MAX}",
                added.map_or("unknown".to_owned(), |added| added.to_string())
            )),
        }
        for deed in &self.deeds {
            let [few, many] = [&few, &many].map(|rules| self.cost(rules, deed).unwrap_or(0));
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let growth = many as f64 / few.max(1) as f64;
            if few == 0 || many == 0 || growth > GROWTH_MAX {
                broken.push(format!(
                    "{deed}: {few} instructions with {FEW} rules, {many} with {MANY}"
                ));
            }
        }
        broken
    }
}

/// Counts on a kernel, under policies with so many rules. The programs are built already.
pub(crate) fn count(rules: &[usize]) -> Result<Counts> {
    let cache = cache()?;
    let mirror = Mirror::new(&cache);
    qemu(&mirror)?;
    let kernel = match mirror.kernel(KERNEL)? {
        Found::Kernel(kernel) => kernel,
        Found::Unavailable(reason) => bail!("{reason}"),
    };
    let program = sh::release("evade");
    let mut payload = Payload::new(std::slice::from_ref(&program), Extent::Smoke)?;
    for rules in rules {
        payload.add(&format!("/tables/{rules}"), &tables(&program, *rules, &cache)?);
    }
    let boot = Boot { version: KERNEL.to_owned(), crowded: false, counts: true };
    let log = guest::run(&kernel, &payload, &cache, &boot, TIMEOUT)?;
    ensure!(log.text.contains("RESULT ok"), "the guest did not come to its end, log {}", log.path);
    Counts::parse(&log.text)
}

/// The tables of a policy; an emulated guest would take minutes to make them.
fn tables(program: &Path, rules: usize, scratch: &Path) -> Result<Vec<u8>> {
    let file = scratch.join(format!("tables-{}", std::process::id()));
    sh::run(sh::cmd(program).args(["compile", &rules.to_string()]).arg(&file))?;
    let bytes = std::fs::read(&file).context("reading the tables")?;
    std::fs::remove_file(&file).context("removing the tables")?;
    Ok(bytes)
}

/// The gate of CI: few rules and many, on one kernel.
pub(super) fn gate() -> Row {
    let broken = match count(&[FEW, MANY]) {
        Ok(counts) => counts.broken(),
        Err(error) => vec![format!("{error:#}")],
    };
    let verdict = if broken.is_empty() {
        let text = format!("within {ADDED_MAX} instructions, and as flat as promised");
        Verdict::Passed(text)
    } else {
        Verdict::Failed(broken.join("; "))
    };
    Row::new(&format!("{KERNEL} count"), verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(labelled: [u64; 3]) -> Counts {
        let [none, few, many] = labelled;
        let line = |rules: &str, cost| format!("COUNT {rules}|{LABELLED}|{cost}\n");
        let applied = "APPLIED 10|19528|67587\nRESULT ok 4 counted\n";
        let text = line("none", none) + &line("10", few) + applied + &line("10000", many);
        Counts::parse(&text).unwrap()
    }

    #[test]
    fn what_is_added_is_more_than_without_programs() {
        let counts = counts([10_000, 10_400, 10_440]);
        assert_eq!(counts.added("10000", LABELLED), Some(440));
        assert_eq!(counts.applied, [("10".to_owned(), 19_528, 67_587)]);
        assert!(counts.broken().is_empty(), "{:?}", counts.broken());
    }

    #[test]
    fn one_instruction_too_many_is_told() {
        let broken = counts([10_000, 10_400, 10_451]).broken();
        assert!(matches!(broken.as_slice(), [one] if one.contains("451")), "{broken:?}");
    }

    #[test]
    fn growth_and_what_was_not_counted_are_told() {
        let broken = counts([10_000, 8_000, 10_100]).broken();
        assert!(matches!(broken.as_slice(), [one] if one.contains("8000")), "{broken:?}");
        let half = Counts::parse(&format!("COUNT none|{LABELLED}|1")).unwrap();
        assert_eq!(half.broken().len(), 2);
        assert!(Counts::parse("GUEST 6.12\n").is_err());
    }
}
