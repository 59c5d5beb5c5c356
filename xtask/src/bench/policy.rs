//! Ten thousand rules: how long it takes to read them, to make tables of them and to put those in
//! force, and what they cost whoever they are not about.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::stats::Stats;
use super::{agent, policy_live};
use crate::sh;
use crate::vm::count;

/// Rules of the policy.
const RULES: usize = 10_000;
/// Runs; the fastest is what the work takes, the others what the machine adds.
const RUNS: usize = 9;
/// What making the tables may take, in milliseconds.
const COMPILE_MAX: f64 = 1_000.0;

/// `xtask bench policy`
pub(super) fn command() -> Result<()> {
    let dir = agent::scratch("policy")?;
    let file = dir.join("large.yaml");
    std::fs::write(&file, text(RULES, Extent::Whole)).context("cannot write the policy")?;
    let mut all = Vec::new();
    for _ in 0..RUNS {
        all.push(plan(&file)?);
    }
    println!("{RULES} rules, {RUNS} runs, milliseconds: fastest, quartiles");
    for key in ["read_ms", "compile_ms"] {
        let values: Option<Vec<f64>> = all.iter().map(|plan| number(plan, key)).collect();
        let values = values.with_context(|| format!("the plan has no {key}"))?;
        let fastest = values.iter().copied().fold(f64::MAX, f64::min);
        let Stats { low, median, high } = Stats::of(&values).context("nothing was measured")?;
        println!("{key:<12} {fastest:7.0} {low:7.0} {median:7.0} {high:7.0}");
        if key == "compile_ms" && fastest > COMPILE_MAX {
            bail!("making the tables takes more than {COMPILE_MAX} ms");
        }
    }
    for key in ["path_states", "labels", "rows", "bytes"] {
        let value = all.first().and_then(|plan| number(plan, key)).unwrap_or_default();
        println!("{key:<12} {value:7.0}");
    }
    let file = dir.join("live.yaml");
    std::fs::write(&file, text(RULES, Extent::Everywhere)).context("cannot write the policy")?;
    policy_live::measure(&dir, &file)?;
    std::fs::remove_dir_all(&dir)?;
    in_guest()
}

/// Instructions that are added to what processes do, by number of rules.
fn in_guest() -> Result<()> {
    let counts = count::count(&[count::FEW, 1_000, count::MANY])?;
    println!(
        "\ninstructions in a guest with Linux {}, added by programs and rules:",
        count::KERNEL
    );
    println!("| what | without | 0 rules | 10 | 1,000 | 10,000 |\n|---|---|---|---|---|---|");
    for deed in &counts.deeds {
        let without = counts.cost("none", deed).unwrap_or(0);
        let added = ["0", "10", "1000", "10000"].map(|rules| counts.added(rules, deed));
        let added = added.map(|added| added.map_or("-".to_owned(), |added| added.to_string()));
        println!("| {deed} | {without} | {} |", added.join(" | "));
    }
    for (rules, bytes, took) in &counts.applied {
        println!("{rules} rules, {bytes} bytes: {took} emulated us until they were in force");
    }
    let broken = counts.broken();
    if broken.is_empty() { Ok(()) } else { bail!("{}", broken.join("; ")) }
}

fn plan(file: &Path) -> Result<String> {
    let mut command = sh::cmd(sh::release("aegisbpf"));
    sh::capture(command.args(["policy", "plan", "-o", "json"]).arg(file))
}

/// A number of a flat document.
fn number(document: &str, key: &str) -> Option<f64> {
    let (_, rest) = document.split_once(&format!("\"{key}\":"))?;
    let digits = rest.trim_start().split(|one: char| !one.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// What rules of a policy are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All kinds of patterns and operations.
    Whole,
    /// What each way of enforcing decides, and in named directories: a name that may be anywhere makes
    /// every file one that a rule may be about.
    Everywhere,
}

/// Rules about as many different directories as a host has.
fn text(rules: usize, extent: Extent) -> String {
    let operations = if extent == Extent::Whole { "[read, write]" } else { "read" };
    let mut text = "apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {name: large}\nspec:\n  \
                    rules:\n"
        .to_owned();
    for n in 0..rules {
        let dir = format!("/srv/data{}/unit{}/part{}", n % 7, n % 211, n * 2_654_435_761 % 9_973);
        let object = match n % 5 {
            0 => format!("{dir}/file{n}"),
            1 => format!("{dir}/dir{n}/**"),
            2 => format!("{dir}/*/name{n}.conf"),
            3 => format!("{dir}/part{n}/*.key"),
            _ if n % 50 == 4 && extent == Extent::Whole => format!("**/*.ext{n}"),
            _ => format!("/home/*/dir{n}/secret"),
        };
        let subject = n % 40;
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "    - {{id: r{n}, subject: {{executable: /usr/bin/program-{subject}}}, \
             deny: {operations}, files: \"{object}\"}}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_found_in_a_plan() {
        let plan = "{\n  \"read_ms\": 12,\n  \"bytes\": 7\n}";
        assert_eq!(super::number(plan, "read_ms"), Some(12.0));
        assert_eq!(super::number(plan, "bytes"), Some(7.0));
        assert_eq!(super::number(plan, "rows"), None);
    }

    #[test]
    fn every_rule_has_its_line() {
        assert_eq!(super::text(10, super::Extent::Whole).matches("- {id: r").count(), 10);
    }
}
