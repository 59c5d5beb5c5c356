//! What records cannot give: arguments of a process that was there before the agent, which live in
//! that process's memory, and its cgroups of version 1.

use std::path::PathBuf;

use model::wire::ARGS_MAX_BYTES;

use super::read_limited;

/// Bytes read of /proc/PID/stat.
const STAT_MAX: u64 = 4096;
/// Bytes read of /proc/PID/cgroup: some dozen hierarchies, each with a long path.
const CGROUPS_MAX: u64 = 16 * 1024;
/// Clock ticks in a second that /proc counts in; fixed in the kernel's user interface.
const TICKS: u64 = 100;

/// The argument block of a process: strings that each end in NUL. `None` when it has none, is
/// gone, or is another process by now.
pub(crate) fn arguments(pid: u32, start_ns: u64) -> Option<Vec<u8>> {
    let mut args = read_limited(&file(pid, "cmdline"), u64::from(ARGS_MAX_BYTES)).ok()?;
    // Asked after the arguments were read: they are those of the process that still has this start.
    if args.is_empty() || !is_still(pid, start_ns) {
        return None;
    }
    if args.last() != Some(&0) {
        args.push(0);
    }
    Some(args)
}

/// The cgroups of a process, one a line; `None` when it is gone, or is another process by now.
pub(crate) fn cgroups(pid: u32, start_ns: u64) -> Option<Vec<u8>> {
    let cgroups = read_limited(&file(pid, "cgroup"), CGROUPS_MAX).ok()?;
    is_still(pid, start_ns).then_some(cgroups)
}

/// Whether the process with that start still has the pid.
fn is_still(pid: u32, start_ns: u64) -> bool {
    let stat = read_limited(&file(pid, "stat"), STAT_MAX).unwrap_or_default();
    let start = start_ticks(&String::from_utf8_lossy(&stat));
    start.is_some_and(|start| start.abs_diff(start_ns / (1_000_000_000 / TICKS)) <= 1)
}

fn file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// Field 22 of /proc/PID/stat. The name, field 2, may hold anything, also spaces and `)`.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_name_does_not_shift_the_fields() {
        let stat = "7 (a) 9 (b c)) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(start_ticks(stat), Some(4711));
    }

    #[test]
    fn arguments_belong_to_the_process_that_was_meant() {
        let pid = std::process::id();
        let stat = std::fs::read_to_string(file(pid, "stat")).unwrap();
        let start = start_ticks(&stat).unwrap() * 10_000_000;
        let args = arguments(pid, start).unwrap();
        let first = std::env::args().next().unwrap();
        assert!(args.starts_with(first.as_bytes()) && args.ends_with(&[0]));
        assert!(arguments(pid, start + 5_000_000_000).is_none(), "another start time");
        let own = std::fs::read(file(pid, "cgroup")).unwrap();
        assert_eq!(cgroups(pid, start), Some(own));
        assert!(cgroups(pid, start + 5_000_000_000).is_none(), "another start time");
    }
}
