//! What a process has: memory, threads, descriptors, and what its threads do.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use crate::bench::agent;

/// A process at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) kib: u64,
    pub(super) threads: u64,
    pub(super) fds: u64,
    /// For each thread its name, its state and its processor time in nanoseconds.
    pub(super) tasks: BTreeMap<u32, (String, char, u64)>,
}

impl Sample {
    /// Reads it; an error if it has gone.
    pub(super) fn of(pid: u32) -> Result<Sample> {
        let at = format!("/proc/{pid}");
        let text = std::fs::read_to_string(format!("{at}/status"))?;
        let (kib, threads) = status(&text).with_context(|| format!("status of {pid}"))?;
        let fds = std::fs::read_dir(format!("{at}/fd"))?.count() as u64;
        let mut tasks = BTreeMap::new();
        for entry in std::fs::read_dir(format!("{at}/task"))? {
            let path = entry?.path();
            // A thread that has just ended is none.
            if let Some((tid, task)) = task(&path) {
                tasks.insert(tid, task);
            }
        }
        Ok(Sample { kib, threads, fds, tasks })
    }

    /// Threads that wait for something that does not come, or that work although there is nothing to do; between
    /// this moment and a later one, so many nanoseconds apart.
    pub(super) fn stuck(&self, later: &Sample, apart: u64) -> Vec<String> {
        let judged = later.tasks.iter().filter_map(|(tid, (name, state, time))| {
            let (_, before, busy) = self.tasks.get(tid)?;
            let is_busy = time.saturating_sub(*busy) > apart / 2;
            let waits = *state == 'D' && *before == 'D' && time == busy;
            (is_busy || waits).then(|| format!("{name} ({tid}, {state})"))
        });
        judged.collect()
    }
}

/// Resident memory and threads.
fn status(text: &str) -> Option<(u64, u64)> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    Some((value("VmRSS:")?, value("Threads:")?))
}

fn task(path: &Path) -> Option<(u32, (String, char, u64))> {
    let tid = path.file_name()?.to_str()?.parse().ok()?;
    let stat = std::fs::read_to_string(path.join("stat")).ok()?;
    let (front, behind) = stat.rsplit_once(") ")?;
    let name = front.split_once('(')?.1.to_owned();
    let time = std::fs::read_to_string(path.join("schedstat")).ok()?;
    let time = time.split(' ').next()?.parse().ok()?;
    Some((tid, (name, behind.chars().next()?, time)))
}

/// The children of a process by what they are.
pub(super) fn children(pid: u32) -> Vec<(u32, String)> {
    let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    let all = agent::children(pid).into_iter();
    all.filter_map(|pid| Some((pid, name(&pid)?.trim().to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_have_memory_threads_and_descriptors() {
        let own = Sample::of(std::process::id()).unwrap();
        assert!(own.kib > 0 && own.threads > 0 && own.fds >= 3, "{own:?}");
        assert_eq!(own.tasks.len() as u64, own.threads);
        assert_eq!(status("VmRSS:\t 12 kB\nThreads:\t3\n"), Some((12, 3)));
    }

    #[test]
    fn who_works_all_the_time_or_waits_for_ever_is_stuck() {
        let task = |state, time| Sample {
            tasks: BTreeMap::from([(7, ("events".to_owned(), state, time))]),
            ..Sample::default()
        };
        let stuck = |from: Sample, to: Sample| !from.stuck(&to, 1_000).is_empty();
        assert!(stuck(task('R', 0), task('R', 900)), "it works all the time");
        assert!(!stuck(task('S', 0), task('R', 100)), "it works a little");
        assert!(stuck(task('D', 5), task('D', 5)), "it waits for a disk that does not answer");
        assert!(!stuck(task('D', 5), task('D', 6)), "it waited twice");
        assert!(!stuck(task('S', 5), task('S', 5)), "it waits for work");
    }
}
