//! The same rules on the same events in other engines, and in ours.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{kestrel, number};
use crate::sh;

/// Runs the rules in the Python engine.
const PYTHON: &str = include_str!("peer.py");
/// The Python engine, and what its parser must not be newer than.
const PYTHON_PACKAGES: &[&str] = &["eql==0.9.19"];
/// Events given to engines that would take hours for all of them: the first ones of the stream.
const RUST_EVENTS: usize = 60_000;
const PYTHON_EVENTS: usize = 5_000;

/// Prints what each takes for an event that is decoded.
pub(super) fn command(corpora: &Path, stream: &Path) -> Result<()> {
    println!("\nother engines, one thread, decoded events");
    let sigma = ["process_creation", "file_event", "network_connection"];
    let sigma: Vec<PathBuf> = sigma.map(|part| corpora.join("sigma").join(part)).into();
    let events = first(stream, RUST_EVENTS)?;
    tell("rsigma-eval", &rust(corpora, &events)?, "ns");
    tell("kestrel", &kestrel(&sigma, &events, "1", None)?, "engine");
    let events = first(stream, PYTHON_EVENTS)?;
    let python = python(corpora, &events)?;
    tell("python eql", &python, "ns");
    let loaded = python.split_once("\"files\": [").and_then(|(_, rest)| rest.split_once(']'));
    let (files, _) = loaded.context("the Python engine does not tell what it loaded")?;
    let files = files.split(", ").map(|file| PathBuf::from(file.trim_matches('"')));
    tell("kestrel", &kestrel(&files.collect::<Vec<_>>(), &events, "1", None)?, "engine");
    Ok(())
}

fn tell(engine: &str, json: &str, time: &str) {
    let fact = |name| number(json, name).unwrap_or_default();
    let (rules, events, alerts) = (fact("rules"), fact("events"), fact("alerts"));
    let ns = fact(time);
    println!(
        "  {engine:<12} {ns:>10.0} ns an event  ({rules} rules, {events} events, {alerts} alerts)"
    );
}

/// The first events of the stream in a file beside it.
fn first(stream: &Path, count: usize) -> Result<PathBuf> {
    let path = stream.with_file_name(format!("first-{count}.ndjson"));
    let mut lines = BufReader::new(File::open(stream)?);
    let mut out = BufWriter::new(File::create(&path)?);
    let mut line = Vec::new();
    for _ in 0..count {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        out.write_all(&line)?;
    }
    out.flush()?;
    Ok(path)
}

/// The Rust engine, in a crate of its own outside the workspace.
fn rust(corpora: &Path, events: &Path) -> Result<String> {
    let target = sh::target().join("peer");
    let mut build = sh::cargo();
    build.args(["build", "--release", "--locked", "--manifest-path"]);
    build.arg(sh::at("xtask/bench-peer/Cargo.toml")).arg("--target-dir").arg(&target);
    sh::run(&mut build).context("cannot build the other engine")?;
    let mut command = sh::cmd(target.join("release/bench-peer"));
    sh::capture(command.arg(corpora.join("sigma")).arg(events).arg(RUST_EVENTS.to_string()))
}

/// The Python engine, in a place of its own below `target/`.
fn python(corpora: &Path, events: &Path) -> Result<String> {
    let place = sh::target().join("peer/python");
    let python = place.join("bin/python");
    if !python.exists() {
        sh::run(sh::cmd("python3").args(["-m", "venv"]).arg(&place))
            .context("cannot make a place for the Python engine; is python3-venv there?")?;
    }
    let mut install = sh::cmd(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    sh::run(install.args(PYTHON_PACKAGES)).context("cannot install the Python engine")?;
    let mut command = sh::cmd(python);
    command.args(["-c", PYTHON]).arg(corpora.join("elastic")).arg(events);
    sh::capture(command.arg(PYTHON_EVENTS.to_string()))
}
