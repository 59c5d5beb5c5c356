//! Scripts: what a call costs in each language, what a thousand of them cost to load.

use anyhow::{Context, Result, bail};

use crate::sh;

/// What a trivial predicate may take, ns a call.
const WASM_MAX: f64 = 60.0;
/// The same for Luau.
const LUAU_MAX: f64 = 250.0;
/// What a thousand scripts may take to load, s.
const LOAD_MAX: f64 = 10.0;
/// And in memory, MiB.
const MEMORY_MAX: f64 = 300.0;

/// `xtask bench script`
pub(super) fn command() -> Result<()> {
    let example = [
        "run",
        "--profile",
        sh::profile(),
        "--package",
        "script",
        "--features",
        "author",
        "--example",
        "cost",
    ];
    let text = sh::capture(sh::cargo().args(example)).context("cannot measure scripts")?;
    println!("{text}");
    let broken = broken(&text);
    if broken.is_empty() { Ok(()) } else { bail!("{}", broken.join("; ")) }
}

/// What is above its limit, or is missing.
fn broken(text: &str) -> Vec<String> {
    // A row, which of several rows of that name, its column, and what it may be at most.
    let limits = [
        ("wasm, native", 0, 2, WASM_MAX),
        ("luau", 0, 2, LUAU_MAX),
        ("wasm, native", 1, 0, LOAD_MAX),
        ("wasm, native", 1, 1, MEMORY_MAX),
        ("luau", 1, 0, LOAD_MAX),
        ("luau", 1, 1, MEMORY_MAX),
    ];
    let judge = |(row, which, column, most): (&str, usize, usize, f64)| match number(
        text, row, which, column,
    ) {
        Some(value) if value <= most => None,
        Some(value) => Some(format!("{row}: {value} is more than {most}")),
        None => Some(format!("{row}: not measured")),
    };
    limits.into_iter().filter_map(judge).collect()
}

/// A number of a table of the output.
fn number(text: &str, row: &str, which: usize, column: usize) -> Option<f64> {
    let begin = format!("| {row} | ");
    let line = text.lines().filter_map(|line| line.strip_prefix(&begin)).nth(which)?;
    line.split('|').nth(column)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "| wasm, native | 20.0 | 30.0 | 40.5 |\n| luau | 100.0 | 1.0 | 200.0 |\n\
                         | wasm, native | 1.5 | 30 |\n| luau | 1.0 | 200 |\n";

    #[test]
    fn figures_are_held_against_their_limits() {
        assert_eq!(broken(SOUND), [""; 0]);
        let slow = SOUND.replace("40.5", "60.5");
        assert_eq!(broken(&slow), ["wasm, native: 60.5 is more than 60"]);
        let large = SOUND.replace("| 200 |", "| 301 |");
        assert_eq!(broken(&large), ["luau: 301 is more than 300"]);
        assert_eq!(broken("").len(), 6, "nothing was measured");
    }
}
