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

/// What the recorder does meanwhile.
const WORKLOAD: &str = include_str!("language/workload.sh");
/// The same rules in the Python engine.
const PYTHON: &str = include_str!("language/peer.py");
/// Asks the sensors for all that rules commonly ask for.
const RECORD: &str = include_str!("language/record.toml");
/// Events of a recording.
const EVENTS: usize = 1_000_000;
/// Events given to engines that would take hours for all of them.
const PEER_EVENTS: &str = "60000";
const PYTHON_EVENTS: &str = "2000";
/// Attempts to reach that many before something must be wrong.
const ROUNDS: usize = 80;

/// `xtask bench language`
pub(super) fn command() -> Result<()> {
    sh::run(sh::cargo().args(["build", "--release", "--package", "kestrel"]))?;
    let corpora = std::env::var_os("AEGIS_CORPORA")
        .map_or_else(|| sh::at("../shared/corpora"), PathBuf::from);
    if !corpora.is_dir() {
        bail!("no corpora at {}; set AEGIS_CORPORA", corpora.display());
    }
    let stream = stream()?;
    let rules: Vec<PathBuf> = ["elastic", "sigma/process_creation", "sigma/file_event"]
        .into_iter()
        .chain(["sigma/network_connection"])
        .map(|part| corpora.join(part))
        .collect();
    for (threads, inflate) in [("1", None), ("2", None), ("1", Some("500")), ("1", Some("10000"))] {
        let mut command = sh::cmd(sh::release("kestrel"));
        command.arg("bench").arg("--rules").args(&rules).arg("--events").arg(&stream);
        command.args(["--threads", threads]);
        command.args(inflate.into_iter().flat_map(|count| ["--inflate", count]));
        println!("{}", sh::capture(&mut command)?);
    }
    peers(&corpora, &stream)
}

/// The same Sigma rules in rsigma, the same Elastic rules in the Python engine, and ours beside
/// each with just those rules.
fn peers(corpora: &Path, stream: &Path) -> Result<()> {
    let peer = sh::at("xtask/bench-peer");
    let target = sh::target().join("peer");
    let mut build = sh::cargo();
    build.args(["build", "--release", "--manifest-path"]).arg(peer.join("Cargo.toml"));
    sh::run(build.arg("--target-dir").arg(&target)).context("cannot build the other engine")?;
    let mut rsigma = sh::cmd(target.join("release/bench-peer"));
    rsigma.arg(corpora.join("sigma")).arg(stream).arg(PEER_EVENTS);
    println!("rsigma:      {}", sh::capture(&mut rsigma)?.trim());
    let mut python = sh::cmd("python3");
    python.args(["-c", PYTHON]).arg(corpora.join("elastic")).arg(stream).arg(PYTHON_EVENTS);
    match sh::capture(&mut python) {
        Ok(text) => println!("python eql:  {}", text.trim()),
        Err(error) => println!("python eql:  not measured (pip install eql): {error:#}"),
    }
    Ok(())
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
    sh::run(sh::cargo().args(["build", "--release", "--package", "agent"]))?;
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
    command.arg(dir.join("rules")).arg("--runtime-dir").arg(dir.join("run"));
    command.stdin(Stdio::null()).stdout(File::create(output)?);
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
