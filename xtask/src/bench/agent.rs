//! An agent of our own to measure, away from one that may be installed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::sh;

/// Loading all programs takes a second or two; under load some more.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The agent handles what is in its rings before it ends.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// The agent is at rest when it takes less than this of a processor.
const REST_SHARE: f64 = 0.05;
/// How long is looked.
const REST_LOOK: Duration = Duration::from_millis(100);
/// Others may keep it busy: then it is measured busy.
const REST_LIMIT: Duration = Duration::from_secs(2);

/// A scratch directory that is empty at the start.
pub(crate) fn scratch(name: &str) -> Result<PathBuf> {
    let dir = sh::target().join("bench").join(format!("{name}-{}", std::process::id()));
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// A running agent; it ends with this value.
#[derive(Debug)]
pub(crate) struct Agent {
    guard: Child,
    dir: PathBuf,
}

impl Agent {
    /// Starts the release build with the shipped rules and, if given, a directory of more, and
    /// waits until it answers.
    pub(crate) fn start(dir: &Path, more_rules: Option<&Path>) -> Result<Agent> {
        Agent::start_with(dir, more_rules, &[])
    }

    /// The same with more options.
    pub(crate) fn start_with(
        dir: &Path,
        more_rules: Option<&Path>,
        options: &[&str],
    ) -> Result<Agent> {
        if !sh::is_root() {
            bail!("the agent needs root: run this as root");
        }
        let mut command = sh::cmd(sh::release("aegisbpf"));
        command.args(["run", "-o", "json", "--runtime-dir"]).arg(dir.join("run"));
        // Marks are counted as alerts: none may be held back.
        command.args(["--max-alerts", "1000000"]).args(options);
        command.arg("--state-dir").arg(dir.join("state"));
        for rules in [Some(sh::at("rules").as_path()), more_rules].into_iter().flatten() {
            command.arg("--rules").arg(sh::rules_of_root(rules)?);
        }
        command.stdin(Stdio::null());
        command.stdout(File::create(dir.join("alerts.jsonl"))?);
        command.stderr(File::create(dir.join("log"))?);
        let guard = command.spawn().context("cannot start the agent")?;
        let mut agent = Agent { guard, dir: dir.to_owned() };
        let start = Instant::now();
        while !agent.answers() {
            if let Some(status) = agent.guard.try_wait()? {
                bail!("the agent ended with {status}:\n{}", agent.log());
            }
            if start.elapsed() > START_LIMIT {
                bail!("the agent does not answer after {START_LIMIT:?}:\n{}", agent.log());
            }
            sleep(Duration::from_millis(50));
        }
        Ok(agent)
    }

    /// Whether the control socket answers.
    pub(crate) fn answers(&self) -> bool {
        self.status().is_ok()
    }

    /// What `status -o json` says.
    pub(crate) fn status(&self) -> Result<String> {
        self.ask(&["status", "-o", "json"])
    }

    /// Asks it something.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<String> {
        let mut command = sh::cmd(sh::release("aegisbpf"));
        command.args(words).arg("--runtime-dir").arg(self.dir.join("run"));
        sh::capture(&mut command)
    }

    /// Has it carry out a command of an operator.
    pub(crate) fn command(&self, words: &[&str]) -> Result<String> {
        let mut command = sh::cmd(sh::release("aegisbpf"));
        command.args(words).arg("--runtime-dir").arg(self.dir.join("run"));
        command.arg("--state-dir").arg(self.dir.join("state"));
        sh::capture(&mut command)
    }

    /// What it wrote to stderr.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// The alerts so far, one JSON object a line.
    pub(crate) fn alerts(&self) -> Result<String> {
        std::fs::read_to_string(self.dir.join("alerts.jsonl")).context("alerts")
    }

    /// Process id of the guard.
    pub(crate) fn guard(&self) -> u32 {
        self.guard.id()
    }

    /// Process id of the worker, if there is one now.
    pub(crate) fn worker(&self) -> Option<u32> {
        let is_worker = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|args| args.split(|byte| *byte == 0).any(|arg| arg == b"worker"))
        };
        children(self.guard()).into_iter().find(is_worker)
    }

    /// Nanoseconds of processor time that it took so far, all of its threads.
    pub(crate) fn busy(&self) -> Result<f64> {
        let worker = self.worker().context("there is no worker")?;
        Ok(busy(self.guard())? + busy(worker)?)
    }

    /// Waits until it has done what comes with a start.
    pub(crate) fn settle(&self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < REST_LIMIT {
            let (before, since) = (self.busy()?, Instant::now());
            sleep(REST_LOOK);
            let share = (self.busy()? - before) / (since.elapsed().as_secs_f64() * 1e9);
            if share < REST_SHARE {
                break;
            }
        }
        Ok(())
    }

    /// Ends it, and waits for that.
    pub(crate) fn stop(mut self) -> Result<()> {
        signal("TERM", self.guard())?;
        let start = Instant::now();
        while start.elapsed() < STOP_LIMIT {
            if let Some(status) = self.guard.try_wait()? {
                if !status.success() {
                    bail!("the agent ended with {status}:\n{}", self.log());
                }
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        bail!("the agent does not end within {STOP_LIMIT:?}:\n{}", self.log());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // After an error only: `stop` has waited for the end, and this does nothing then.
        if matches!(self.guard.try_wait(), Ok(None)) {
            drop(self.guard.kill());
            drop(self.guard.wait());
        }
    }
}

/// Processes that the first thread of a process has started.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    text.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Nanoseconds of processor time that the threads of a process took so far.
pub(crate) fn busy(pid: u32) -> Result<f64> {
    let mut sum = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ended in between took its time with it.
        let text = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        sum += text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0);
    }
    Ok(sum)
}

/// Sends a signal to a process of ours.
pub(crate) fn signal(name: &str, pid: u32) -> Result<()> {
    sh::run(sh::cmd("kill").args(["-s", name, &pid.to_string()]))
}

/// Waits until something holds; tells whether it did.
pub(crate) fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if holds() {
            return true;
        }
        sleep(Duration::from_millis(5));
    }
    false
}
