//! What the agent's two processes take, and how they come back.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::agent::{self, Agent};
use super::flood;
use crate::sh;

/// Processes of the storm.
const STORM: u64 = 200_000;
/// Threads that start them.
const STORM_THREADS: u64 = 4;
/// How long the agent rests before its memory is called idle.
const REST: Duration = Duration::from_secs(5);

/// Kills of the worker; each takes its own time.
const KILLS: usize = 5;
/// Processes started while there is no worker.
const MARKS: u64 = 200;
/// A worker that is not back by then will not come.
const RESTART_LIMIT: Duration = Duration::from_secs(10);

/// `xtask bench memory`
pub(super) fn memory() -> Result<()> {
    memory_under(STORM)
}

pub(super) fn memory_under(processes: u64) -> Result<()> {
    let dir = agent::scratch("memory")?;
    let agent = Agent::start(&dir, None)?;
    sleep(REST.min(Duration::from_millis(processes)));
    println!("| when | guard | worker | sum |\n|---|---|---|---|");
    println!("| idle | {} |", Memory::of(&agent)?.cells());
    let mut storm = sh::cmd(sh::release("bench-load"));
    storm.args(["storm", &processes.to_string(), &STORM_THREADS.to_string()]);
    let mut storm = storm.stdout(Stdio::null()).spawn()?;
    let mut peak = Memory::of(&agent)?;
    let status = loop {
        peak = peak.max(Memory::of(&agent)?);
        if let Some(status) = storm.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(50));
    };
    println!("| peak under {processes} processes | {} |", peak.cells());
    println!("| after it | {} |", Memory::of(&agent)?.cells());
    let losses = flood::losses(&agent.status()?);
    agent.stop()?;
    println!("\nlosses: {losses}");
    if !status.success() {
        bail!("the storm failed: {status}");
    }
    std::fs::remove_dir_all(&dir).context("scratch directory")
}

/// Resident memory of the two processes in KiB.
#[derive(Debug, Clone, Copy)]
struct Memory {
    guard: u64,
    worker: u64,
}

impl Memory {
    fn of(agent: &Agent) -> Result<Memory> {
        let worker = agent.worker().context("there is no worker")?;
        Ok(Memory { guard: resident(agent.guard())?, worker: resident(worker)? })
    }

    fn max(self, other: Memory) -> Memory {
        if other.guard + other.worker > self.guard + self.worker { other } else { self }
    }

    fn cells(self) -> String {
        let mb = |kib: u64| format!("{}.{} MB", kib / 1024, kib % 1024 * 10 / 1024);
        let Memory { guard, worker } = self;
        format!("{} | {} | {}", mb(guard), mb(worker), mb(guard + worker))
    }
}

fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    vm_rss(&status).with_context(|| format!("no VmRSS of process {pid}"))
}

fn vm_rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// `xtask bench restart`
pub(super) fn restart() -> Result<()> {
    restart_times(KILLS, MARKS)
}

pub(super) fn restart_times(kills: usize, marks: u64) -> Result<()> {
    let dir = agent::scratch("restart")?;
    let (rules, _) = flood::rules(&dir)?;
    println!("| kill | new worker after | answers after | process events seen |");
    println!("|---|---|---|---|");
    let mut lost = 0;
    for kill in 1..=kills {
        // A fresh agent each time: the guard rightly waits longer for a worker that keeps dying.
        let agent = Agent::start(&dir, Some(&rules))?;
        let old = agent.worker().context("there is no worker")?;
        agent::signal("KILL", old)?;
        let start = Instant::now();
        // These start at once: their events wait in the rings for the next worker.
        let marked = std::thread::spawn(move || flood::mark(marks));
        let is_new = || agent.worker().is_some_and(|pid| pid != old);
        if !agent::until(RESTART_LIMIT, is_new) {
            bail!("no new worker within {RESTART_LIMIT:?}:\n{}", agent.log());
        }
        let new = start.elapsed();
        if !agent::until(RESTART_LIMIT, || agent.answers()) {
            bail!("the new worker does not answer:\n{}", agent.log());
        }
        let answers = start.elapsed();
        marked.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
        let seen = || agent.alerts().map(|alerts| flood::marks(&alerts));
        agent::until(flood::ALERT_LIMIT, || seen().is_ok_and(|seen| seen >= marks));
        let seen = seen()?;
        println!(
            "| {kill} | {} ms | {} ms | {seen} of {marks} |",
            new.as_millis(),
            answers.as_millis()
        );
        lost += marks.saturating_sub(seen);
        agent.stop()?;
    }
    if lost > 0 {
        bail!("{lost} process events were lost");
    }
    std::fs::remove_dir_all(&dir).context("scratch directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_status() {
        assert_eq!(vm_rss("Name:\tx\nVmRSS:\t  12345 kB\n"), Some(12345));
        assert_eq!(vm_rss("Name:\tkthread\n"), None);
    }

    #[test]
    fn the_peak_is_that_of_the_sum() {
        let a = Memory { guard: 10, worker: 20 };
        let b = Memory { guard: 1, worker: 40 };
        assert_eq!(a.max(b).worker, 40);
        assert_eq!(Memory { guard: 1536, worker: 512 }.cells(), "1.5 MB | 0.5 MB | 2.0 MB");
    }
}
