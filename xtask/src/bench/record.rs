//! Recordings: how fast they are written, what an event takes, and how fast they are replayed.
//!
//! The recording is made once on this machine: the history of an agent with the shipped rules and one
//! that asks for everything, while the work of `language` is done. It is kept under `target/`.

mod peers;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::agent::Agent;
use super::language::{RECORD, WORKLOAD};
use crate::sh;

/// Events of a recording.
const EVENTS: u64 = 1_000_000;
/// Attempts to reach that many before something must be wrong.
const ROUNDS: usize = 80;
/// More than all of it takes.
const HISTORY: &str = "4GiB,30d";
/// Events a second that are to be written, at least.
const WRITTEN_MIN: f64 = 3_000_000.0;
/// Bytes that an event may take.
const BYTES_MAX: f64 = 24.0;

/// `xtask bench record`
pub(super) fn command() -> Result<()> {
    let dir = sh::target().join("bench/recording");
    if !dir.join("state/worker/own/history").is_dir() {
        make(&dir)?;
    }
    let files = segments(&dir)?;
    let mut pack = sh::cargo();
    pack.args([
        "run",
        "--profile",
        sh::profile(),
        "--package",
        "capture",
        "--example",
        "throughput",
        "--",
    ]);
    let text = sh::capture(pack.args(&files)).context("cannot measure the writing")?;
    println!("{text}");
    replay(&dir)?;
    // A host that is made up, the same everywhere: fed directly, replayed, and with the digest of debug
    // builds.
    let test = ["test", "--release", "--quiet", "--package", "kestrel", "--test", "million"];
    sh::run(sh::cargo().args(test)).context("a million events give other alerts")?;
    peers::command()?;
    let broken = broken(&text);
    if broken.is_empty() { Ok(()) } else { bail!("{}", broken.join("; ")) }
}

fn segments(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir.join("state/worker/own/history"))? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// Replays on one thread and on all of them; the alerts must be those that were raised.
fn replay(dir: &Path) -> Result<()> {
    for threads in ["1", "2", "8"] {
        let mut replay = sh::cmd(sh::release("kestrel"));
        replay
            .arg("replay")
            .arg(dir.join("state/worker/own/history"))
            .args(["--verify", "-o", "ndjson"]);
        replay.args(["--threads", threads, "--rules"]).arg(sh::at("rules")).arg(dir.join("rules"));
        let start = Instant::now();
        let text = sh::capture(&mut replay).context("the alerts are not those that were raised")?;
        let seconds = start.elapsed().as_secs_f64();
        let records = number(&text, "\"records\":").context("no records")?;
        println!("replayed {:.0} events/s on {threads} threads: {text}", records / seconds);
    }
    Ok(())
}

/// Works under an agent until there are enough events.
fn make(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir.join("rules"))?;
    std::fs::write(dir.join("rules/record.toml"), RECORD)?;
    std::fs::write(dir.join("workload.sh"), WORKLOAD)?;
    let rules = dir.join("rules");
    let agent = Agent::start_with(dir, Some(&rules), &["--history", HISTORY, "--keep-going"])?;
    let made = work(dir, &agent);
    agent.stop()?;
    made
}

fn work(dir: &Path, agent: &Agent) -> Result<()> {
    let start = Instant::now();
    for round in 0..ROUNDS {
        let mut work = sh::cmd("sh");
        work.arg(dir.join("workload.sh")).arg(dir.join("scratch")).arg(sh::at("."));
        sh::run(work.arg(round.to_string()))?;
        let status = agent.status()?;
        let events = number(&status, "\"events\":").unwrap_or_default();
        println!("round {round}: {events} events after {} s", start.elapsed().as_secs());
        #[expect(clippy::cast_precision_loss, reason = "a million")]
        if events >= EVENTS as f64 {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    bail!("{ROUNDS} rounds were not enough for {EVENTS} events; see {}", dir.display())
}

/// What is beyond its limit, or is missing.
fn broken(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    match number(text, "\nwritten ") {
        Some(written) if written >= WRITTEN_MIN => {}
        other => found.push(format!("written: {other:?} a second, less than {WRITTEN_MIN}")),
    }
    match number(text, "\nbytes_an_event ") {
        Some(bytes) if bytes <= BYTES_MAX => {}
        other => found.push(format!("{other:?} bytes an event, more than {BYTES_MAX}")),
    }
    found
}

/// The first number that stands behind a text.
fn number(text: &str, before: &str) -> Option<f64> {
    let mut parts = text.split(before).skip(1);
    parts.find_map(|rest| {
        let rest = rest.trim_start();
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        rest.get(..end)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_held_against_their_limits() {
        let sound = "x\nbytes_an_event 21.5 of 190.0\nwritten 3100000 events/s\n";
        assert_eq!(broken(sound), [""; 0]);
        assert_eq!(broken(&sound.replace("21.5", "24.1")).len(), 1);
        assert_eq!(broken(&sound.replace("3100000", "100000")).len(), 1);
        assert_eq!(broken("").len(), 2, "nothing was measured");
        assert_eq!(number(r#"{"events":{"events": 7,"x":1}}"#, "\"events\":"), Some(7.0));
    }
}
