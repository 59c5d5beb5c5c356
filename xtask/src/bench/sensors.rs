//! What daily work costs with the agent and without, in turns, so that a machine that is slow for
//! a while is slow for both. Each pair of turns gives one ratio; the median of the ratios is told
//! with the interval in which it would lie in 95 of 100 repetitions.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::agent::{self, Agent};
use super::load::{Cost, FULL, Redis, Workload, workloads};
use super::stats::{Middle, Stats};

/// Pairs of turns of a full run: some eight minutes, and intervals below one percent.
const PAIRS: usize = 36;
/// On a machine that others use, too, fewer: after this long no new pair begins.
const LIMIT: Duration = Duration::from_mins(10);
/// Long work is done in each so-manieth pair.
const LONG_EACH: usize = 3;

/// What was measured of one kind of work, a value a pair.
#[derive(Debug, Default)]
struct Measured {
    without: Vec<f64>,
    wall: Vec<f64>,
    cpu: Vec<f64>,
    /// Processor time of the agent for an operation, as a share of that of the work.
    agent: Vec<f64>,
}

/// `xtask bench sensors`
pub(super) fn command() -> Result<()> {
    let dir = agent::scratch("sensors")?;
    let redis = Redis::start(&dir);
    if let Err(error) = &redis {
        println!("SKIP redis: {error:#}");
    }
    let loads = workloads(&dir, redis.as_ref().ok(), FULL)?;
    let mut all: Vec<Measured> = loads.iter().map(|_| Measured::default()).collect();
    let start = Instant::now();
    let mut pairs = 0_usize;
    for pair in 0..PAIRS {
        if start.elapsed() > LIMIT {
            break;
        }
        pairs += 1;
        eprintln!("pair {} of {PAIRS}", pair + 1);
        let now = |load: &&Workload<'_>| !load.long || pair % LONG_EACH == 0;
        let loads: Vec<_> = loads.iter().filter(now).collect();
        // Neither side is always the first.
        let first = turn(&dir, &loads, pair % 2 == 0)?;
        let second = turn(&dir, &loads, pair % 2 != 0)?;
        let (with, without) = if pair % 2 == 0 { (first, second) } else { (second, first) };
        // Long work comes last: where it was left out, nothing is missing in between.
        for ((all, with), without) in all.iter_mut().zip(&with).zip(&without) {
            all.add(with, without);
        }
    }
    println!("| work | without the agent | more wall time | more processor time | agent's own |");
    println!("|---|---|---|---|---|");
    for (load, measured) in loads.iter().zip(&all) {
        if let Some(cells) = measured.cells() {
            println!("| {} | {cells} |", load.name);
        }
    }
    println!("\n{pairs} pairs of turns ({} for long work)", pairs.div_ceil(LONG_EACH));
    std::fs::remove_dir_all(&dir).context("scratch directory")
}

/// Each work once, with or without the agent; and the processor time that the agent took meanwhile.
fn turn(dir: &Path, loads: &[&Workload<'_>], on: bool) -> Result<Vec<(Cost, f64)>> {
    let agent = on.then(|| Agent::start(dir, None)).transpose()?;
    if let Some(agent) = &agent {
        agent.settle()?;
    }
    let busy = || agent.as_ref().map_or(Ok(0.0), Agent::busy);
    let mut costs = Vec::new();
    for load in loads {
        let before = busy()?;
        let cost = (load.measure)().with_context(|| load.name)?;
        costs.push((cost, busy()? - before));
    }
    agent.map(Agent::stop).transpose()?;
    Ok(costs)
}

impl Measured {
    fn add(&mut self, (with, busy): &(Cost, f64), (without, _): &(Cost, f64)) {
        self.without.push(without.wall);
        self.wall.push(with.wall / without.wall);
        self.cpu.push(with.cpu / without.cpu);
        self.agent.push(busy / with.operations / without.cpu);
    }

    fn cells(&self) -> Option<String> {
        let without = Stats::of(&self.without)?;
        let [wall, cpu] = [Middle::of(&self.wall)?, Middle::of(&self.cpu)?].map(percent);
        let agent = Stats::of(&self.agent)?.median * 100.0;
        Some(format!("{} | {wall} | {cpu} | {agent:.1} %", time(&without)))
    }
}

/// A ratio as a change: `+1.0 % (0.5 to 1.5)`.
fn percent(ratio: Middle) -> String {
    let [low, median, high] = [ratio.low, ratio.median, ratio.high].map(|r| (r - 1.0) * 100.0);
    format!("{median:+.1} % ({low:+.1} to {high:+.1})")
}

fn time(stats: &Stats) -> String {
    let (unit, divisor) = match stats.median {
        ns if ns < 10e3 => ("ns", 1.0),
        ns if ns < 10e6 => ("us", 1e3),
        ns if ns < 10e9 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    let [low, median, high] = [stats.low, stats.median, stats.high].map(|ns| ns / divisor);
    format!("{median:.1} {unit} ({low:.1} - {high:.1})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_takes_its_unit_from_the_median() {
        let stats = Stats { low: 1_500_000.0, median: 2_000_000.0, high: 2_250_000.0 };
        assert_eq!(time(&stats), "2000.0 us (1500.0 - 2250.0)");
    }

    #[test]
    fn ratios_are_of_the_two_turns_of_a_pair() {
        let cost = |wall, cpu| Cost { operations: 10.0, wall, cpu };
        let mut measured = Measured::default();
        measured.add(&(cost(102.0, 51.0), 25.0), &(cost(100.0, 50.0), 0.0));
        measured.add(&(cost(204.0, 51.0), 25.0), &(cost(200.0, 50.0), 0.0));
        let change = "+2.0 % (+2.0 to +2.0)";
        let expected = format!("150.0 ns (125.0 - 175.0) | {change} | {change} | 5.0 %");
        assert_eq!(measured.cells(), Some(expected));
    }
}
