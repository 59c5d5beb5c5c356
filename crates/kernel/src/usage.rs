//! What programs and maps of the sensors use: time, if the host measures it, and entries.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use libbpf_rs::MapCore;

use crate::object::Loaded;

/// Entries of one map that are counted: each is a system call, of some hundred nanoseconds.
const ENTRIES_MAX: usize = 4_096;
/// Whether the kernel measures how long programs run. It costs each run two readings of a clock, so it is
/// the operator's to switch on.
const MEASURES: &str = "/proc/sys/kernel/bpf_stats_enabled";
/// Maps whose size depends on what rules watch.
const WATCHING: [&str; 2] = ["watched", "watched_names"];

/// How much a program ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramUse {
    /// Its name.
    pub name: String,
    /// Nanoseconds.
    pub run_ns: u64,
    /// How often.
    pub runs: u64,
}

/// How full a map is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapUse {
    /// Its name.
    pub name: &'static str,
    /// Entries, as far as they are counted.
    pub entries: u64,
    /// Entries that fit.
    pub max: u64,
}

/// How much each program ran; empty unless the host measures it.
pub(crate) fn programs(loaded: &Loaded) -> Vec<ProgramUse> {
    if fs::read_to_string(MEASURES).is_ok_and(|text| text.trim() == "1") {
        loaded.each_loaded(|name, fd| of_program(name, &fd.as_fd()))
    } else {
        Vec::new()
    }
}

/// The kernel tells it of each descriptor of a program.
fn of_program(name: String, fd: &impl AsRawFd) -> Option<ProgramUse> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    let number = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.trim().parse().ok()
    };
    Some(ProgramUse { name, run_ns: number("run_time_ns")?, runs: number("run_cnt")? })
}

/// How full the maps of watched files are.
pub(crate) fn maps(loaded: &Loaded) -> Vec<MapUse> {
    let of_map = |name: &'static str| {
        let map = loaded.map(name).ok()?;
        let entries = u64::try_from(map.keys().take(ENTRIES_MAX).count()).unwrap_or(u64::MAX);
        Some(MapUse { name, entries, max: map.max_entries().into() })
    };
    WATCHING.into_iter().filter_map(of_map).collect()
}
