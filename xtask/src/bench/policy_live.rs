//! An agent with ten thousand rules on this machine, in whichever tier it has: how long it takes to put
//! them in force, and what an open of a file costs that none of them is about.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::agent::Agent;
use super::stats::Stats;

/// Turns with and without the rules.
const ROUNDS: usize = 12;
/// Slices of a turn, of which the cheapest counts: the others were interrupted.
const SLICES: usize = 40;
/// Opens of a slice: some milliseconds.
const OPENS: u32 = 2_000;

/// Prints both.
pub(super) fn measure(dir: &Path, policy: &Path) -> Result<()> {
    let file = dir.join("unprotected");
    std::fs::write(&file, "text\n").context("cannot write the file that is opened")?;
    let agent = Agent::start_with(dir, None, &["--enforce", "--on-exit", "release"])?;
    let policy = policy.to_str().context("a path that is no text")?;
    let (mut applied, mut ratios, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        agent.command(&["policy", "apply", policy])?;
        applied.push(begin.elapsed().as_secs_f64() * 1e3);
        let with = opens(&file)?;
        agent.command(&["emergency", "disable", "--reason", "benchmark"])?;
        let without = opens(&file)?;
        agent.command(&["emergency", "enable", "--reason", "benchmark"])?;
        ratios.push(with / without);
        costs.push(without);
    }
    agent.stop()?;
    println!("\non this machine, {ROUNDS} turns: median, quartiles");
    for (what, values) in [
        ("`policy apply`, from command to answer, ms", &applied),
        ("open and close without the rules, ns", &costs),
        ("with the rules, times that", &ratios),
    ] {
        let Stats { low, median, high } = Stats::of(values).context("nothing was measured")?;
        println!("{what:<45} {median:8.3} {low:8.3} {high:8.3}");
    }
    Ok(())
}

/// Nanoseconds of one open and close.
fn opens(file: &Path) -> Result<f64> {
    let mut best = f64::MAX;
    for _ in 0..SLICES {
        let begin = Instant::now();
        for _ in 0..OPENS {
            drop(File::open(file)?);
        }
        best = best.min(begin.elapsed().as_secs_f64() * 1e9 / f64::from(OPENS));
    }
    Ok(best)
}
