//! What was measured, as the rows that the documentation shows.

use anyhow::{Context, Result, bail};

use super::{number, spent};
use crate::bench::stats::Stats;

/// What is told of each run, in nanoseconds an event: stages by processor time, `engine` of them
/// eval, sequences and alerts, and the whole by the clock on the wall.
const STAGES: [&str; 7] = ["read", "decode", "eval", "sequences", "alerts", "engine", "wall"];

/// Prints a row for each configuration, and what follows from them; each turn has one run of each.
pub(super) fn print(turns: &[Vec<String>]) -> Result<()> {
    let first = turns.first().context("nothing was measured")?;
    let fact = |name| first.first().and_then(|run| number(run, name)).unwrap_or_default();
    println!("{} events, {} bytes each", fact("events"), (fact("bytes") / fact("events")).round());
    println!("medians of {} turns, ns an event (engine, wall: lowest to highest)\n", turns.len());
    println!("| rules | threads | raised | {} |", STAGES.join(" | "));
    println!("|---|---|---|{}", "---|".repeat(STAGES.len()));
    for (configuration, run) in first.iter().enumerate() {
        let fact = |name| number(run, name).unwrap_or_default();
        let (rules, threads, alerts) = (fact("rules"), fact("threads"), fact("alerts"));
        let times = STAGES.map(|stage| cell(turns, configuration, stage));
        let times = times.into_iter().collect::<Result<Vec<String>>>()?.join(" | ");
        println!("| {rules} | {threads} | {alerts} | {times} |");
    }
    let engine = middle(turns, |turn| spent(turn.first()?, "engine"))?;
    let wall = middle(turns, |turn| spent(turn.first()?, "wall"))?;
    let two = middle(turns, |turn| ratio(turn.first()?, turn.get(1)?, "wall"))?;
    let many = middle(turns, |turn| ratio(turn.get(3)?, turn.get(2)?, "engine"))?;
    println!("\ndecoded events a second on one core: {:.0}", 1e9 / engine);
    println!(
        "events a second from the file: {:.0}; on two threads {two:.2} times as many",
        1e9 / wall
    );
    println!("10,000 rules against 500: {many:.2} times the cost");
    Ok(())
}

/// Times of a stage in all turns.
fn cell(turns: &[Vec<String>], configuration: usize, stage: &str) -> Result<String> {
    let times = turns.iter().filter_map(|turn| spent(turn.get(configuration)?, stage));
    let times: Vec<f64> = times.collect();
    if times.len() < turns.len() {
        bail!("a run does not tell the stage `{stage}`");
    }
    let median = Stats::of(&times).context("nothing was measured")?.median;
    let low = times.iter().copied().fold(f64::INFINITY, f64::min);
    let high = times.iter().copied().fold(0.0, f64::max);
    let spread = matches!(stage, "engine" | "wall");
    Ok(if spread { format!("{median:.0} ({low:.0} - {high:.0})") } else { format!("{median:.0}") })
}

/// The median over the turns: what is compared was measured one after the other.
fn middle(turns: &[Vec<String>], of: impl Fn(&[String]) -> Option<f64>) -> Result<f64> {
    let all: Vec<f64> = turns.iter().filter_map(|turn| of(turn)).collect();
    Ok(Stats::of(&all).context("a turn lacks a run")?.median)
}

/// How many times as long a stage took in one run as in another.
fn ratio(one: &str, other: &str, stage: &str) -> Option<f64> {
    Some(spent(one, stage)? / spent(other, stage)?.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(engine: u32, wall: u32) -> String {
        let stages = STAGES.map(|stage| match stage {
            "wall" => format!("\"wall\":{wall}"),
            "engine" => format!("\"engine\":{engine}"),
            other => format!("\"{other}\":1"),
        });
        format!("{{\"rules\":5,\"ns\":{{{}}} }}", stages.join(","))
    }

    #[test]
    fn a_cell_tells_the_median_and_the_spread_only_of_sums() {
        let turns = [10, 40, 20].map(|time| vec![run(time, 2 * time)]);
        assert_eq!(cell(&turns, 0, "engine").unwrap(), "20 (10 - 40)");
        assert_eq!(cell(&turns, 0, "read").unwrap(), "1");
        assert!(cell(&turns, 1, "read").unwrap_err().to_string().contains("`read`"));
    }

    #[test]
    fn runs_are_compared_within_a_turn() {
        // The machine was busy in the second turn, which changes both runs alike.
        let turns = [(100, 50), (900, 450), (100, 50)];
        let turns = turns.map(|(one, two)| vec![run(1, one), run(1, two)]);
        assert!(
            (middle(&turns, |turn| ratio(turn.first()?, turn.get(1)?, "wall")).unwrap() - 2.0)
                .abs()
                < 1e-9
        );
        assert!(middle(&turns, |turn| ratio(turn.first()?, turn.get(2)?, "wall")).is_err());
    }
}
