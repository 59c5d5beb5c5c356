//! `cargo xtask bench`: what the agent costs, and what it withstands.
//!
//! Numbers go to docs/performance.md by hand, with the lines that say on which machine, kernel
//! and day they were measured.

pub(crate) mod agent;
pub(crate) mod flood;
mod language;
mod life;
mod load;
mod policy;
mod policy_live;
mod record;
mod script;
mod sensors;
mod smoke;
mod stats;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::sh;

/// A benchmark: its name, what it measures, and how.
type Bench = (&'static str, &'static str, fn() -> Result<()>);

const BENCHES: &[Bench] = &[
    ("sensors", "daily work with and without the agent, interleaved", sensors::command),
    ("ring", "events a second through ring, decoding and process table", ring),
    ("flood", "process events that survive a million opens", flood::command),
    (
        "language",
        "rules on a recorded stream, by stage and beside other engines",
        language::command,
    ),
    ("policy", "10,000 rules: read, compiled, put in force, and what they cost", policy::command),
    ("script", "scripts in Wasm and Luau: a call, and a load of 1,000", script::command),
    (
        "record",
        "recordings: written, bytes an event, replayed, and beside auditd and bpftrace",
        record::command,
    ),
    ("memory", "resident memory, idle and under a fork storm", life::memory),
    ("restart", "time until a killed worker is replaced, and what was lost", life::restart),
];

/// `xtask bench [NAME | --smoke]`
pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    let Some(name) = args.first() else {
        for (name, what, _) in BENCHES {
            println!("{name:<10} {what}");
        }
        return Ok(ExitCode::SUCCESS);
    };
    if name == "--smoke" {
        return smoke::command();
    }
    let Some((_, what, run)) = BENCHES.iter().find(|(known, ..)| known == name) else {
        bail!("no benchmark `{name}`; `cargo xtask bench` lists them");
    };
    sh::as_shipped();
    build()?;
    println!("{what}\n{}\n", machine());
    run()?;
    Ok(ExitCode::SUCCESS)
}

/// Builds what is measured, and with what.
fn build() -> Result<()> {
    sh::build_release().context("cannot build what is to be measured")
}

/// Machine, kernel and date: without them a number means nothing.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| -> String {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once(':').map_or("unknown", |(_, value)| value).trim().to_owned()
    };
    let cpu = read("/proc/cpuinfo");
    let threads = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let memory = value(&read("/proc/meminfo"), "MemTotal");
    let kernel = read("/proc/sys/kernel/osrelease");
    let date = sh::capture(sh::cmd("date").args(["-u", "+%F"])).unwrap_or_default();
    format!(
        "machine: {}, {threads} CPUs, {memory}\nkernel: {}\ndate: {}",
        value(&cpu, "model name"),
        kernel.trim(),
        date.trim()
    )
}

/// The kernel crate brings its own: the producer is a program in the kernel.
fn ring() -> Result<()> {
    let example =
        ["run", "--profile", sh::profile(), "--package", "kernel", "--example", "throughput"];
    sh::run(sh::cargo().args(example)).context("cannot measure the ring")
}
