//! The rule engine on a recorded stream of real work, beside two other engines.
//!
//! The stream is recorded once on this machine with the agent of the same build, and kept under
//! `target/`. It is work of many kinds, each round another; nothing is repeated to make it longer.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::bench::agent::signal;
use crate::sh;

mod peers;
mod table;

/// What the recorder does meanwhile.
pub(super) const WORKLOAD: &str = include_str!("language/workload.sh");
/// Asks the sensors for all that rules commonly ask for.
pub(super) const RECORD: &str = include_str!("language/record.toml");
/// Events of a recording.
const EVENTS: usize = 1_000_000;
/// Threads and numbers of rules (all given ones, or made from them) that are measured.
const CONFIGURATIONS: [(&str, &str); 4] = [("1", ""), ("2", ""), ("1", "500"), ("1", "10000")];
/// Each is measured so often, in turns, so that a busy minute of the machine meets all alike.
const TURNS: usize = 3;
/// No turn begins after this: on a busy machine one turn takes some minutes.
const TURNS_END: Duration = Duration::from_mins(6);
/// Attempts to reach that many before something must be wrong.
const ROUNDS: usize = 80;

/// `xtask bench language`
pub(super) fn command() -> Result<()> {
    sh::run(sh::cargo().args(["build", "--profile", sh::profile(), "--package", "kestrel"]))?;
    let corpora = sh::corpora();
    if !corpora.is_dir() {
        bail!("no corpora at {}; set AEGIS_CORPORA", corpora.display());
    }
    let stream = stream()?;
    let rules = ["elastic", "sigma"].map(|part| corpora.join(part));
    measure(&rules, &stream)?;
    peers::command(&corpora, &stream)
}

/// One run in each configuration, in turns, until there are enough or it has taken long enough.
fn measure(rules: &[PathBuf], stream: &Path) -> Result<()> {
    let mut turns = Vec::new();
    let start = Instant::now();
    while turns.len() < TURNS && (turns.is_empty() || start.elapsed() < TURNS_END) {
        let run = |(threads, inflate): &(&str, &str)| {
            let inflate = Some(*inflate).filter(|count| !count.is_empty());
            kestrel(rules, stream, threads, inflate)
        };
        turns.push(CONFIGURATIONS.iter().map(run).collect::<Result<Vec<String>>>()?);
    }
    table::print(&turns)
}

/// One run of `kestrel bench`, as JSON.
fn kestrel(
    rules: &[PathBuf],
    events: &Path,
    threads: &str,
    inflate: Option<&str>,
) -> Result<String> {
    let mut command = sh::cmd(sh::release("kestrel"));
    command.args(["bench", "--output", "json", "--threads", threads]);
    command.args(inflate.into_iter().flat_map(|count| ["--inflate", count]));
    command.arg("--rules").args(rules).arg("--events").arg(events);
    sh::capture(&mut command)
}

/// Nanoseconds an event of a stage.
fn spent(json: &str, stage: &str) -> Option<f64> {
    json.split_once("\"ns\":").and_then(|(_, stages)| number(stages, stage))
}

/// The first number of that name in a JSON text.
fn number(json: &str, name: &str) -> Option<f64> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    let rest = rest.trim_start();
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    rest.get(..end)?.parse().ok()
}

/// The recorded stream; it is made if there is none.
fn stream() -> Result<PathBuf> {
    let dir = sh::target().join("bench/record");
    let path = dir.join("stream.ndjson");
    if path.exists() {
        return Ok(path);
    }
    if !sh::is_root() {
        bail!("recording needs root: run this as root once");
    }
    sh::run(sh::cargo().args(["build", "--profile", sh::profile(), "--package", "agent"]))?;
    std::fs::create_dir_all(dir.join("rules"))?;
    std::fs::write(dir.join("rules/record.toml"), RECORD)?;
    std::fs::write(dir.join("workload.sh"), WORKLOAD)?;
    let unfinished = dir.join("stream.part");
    let mut agent = start(&dir, &unfinished)?;
    let recorded = record(&dir, &unfinished);
    signal("TERM", agent.id())?;
    agent.wait()?;
    recorded?;
    std::fs::rename(unfinished, &path)?;
    Ok(path)
}

fn start(dir: &Path, output: &Path) -> Result<Child> {
    let mut command = sh::cmd(sh::release("aegisbpf"));
    command.args(["run", "--events", "--no-alerts", "--keep-going", "-o", "json", "--rules"]);
    command.arg(sh::rules_of_root(&dir.join("rules"))?).arg("--runtime-dir").arg(dir.join("run"));
    command.args(["--history", "off"]).stdin(Stdio::null()).stdout(File::create(output)?);
    command.stderr(File::create(dir.join("log"))?);
    command.spawn().context("cannot start the recorder")
}

/// Works until there are enough events.
fn record(dir: &Path, output: &Path) -> Result<()> {
    let start = Instant::now();
    for round in 0..ROUNDS {
        let mut work = sh::cmd("sh");
        work.arg(dir.join("workload.sh")).arg(dir.join("scratch")).arg(sh::at("."));
        sh::run(work.arg(round.to_string()))?;
        let count = sh::capture(sh::cmd("wc").arg("-l").arg(output))?;
        let count: usize = count.split_whitespace().next().unwrap_or_default().parse()?;
        println!("round {round}: {count} events after {} s", start.elapsed().as_secs());
        if count >= EVENTS {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    bail!("{ROUNDS} rounds were not enough for {EVENTS} events; see {}", dir.display())
}

#[cfg(test)]
mod tests {
    use super::{number, spent};

    #[test]
    fn numbers_are_found_by_name() {
        let json = r#"{ "rules": 497, "ns": { "read": 12, "engine":1.5} }"#;
        assert_eq!(
            ["rules", "read", "engine"].map(|name| number(json, name)),
            [Some(497.0), Some(12.0), Some(1.5)]
        );
        assert_eq!((number(json, "eval"), spent(json, "rules")), (None, None));
        assert_eq!(spent(json, "read"), Some(12.0));
    }
}
