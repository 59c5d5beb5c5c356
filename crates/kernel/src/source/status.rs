//! Ids of a process as `/proc` tells them.

use std::fs::File;
use std::io::Read;

use nix::unistd::{Pid, getpgid, getsid};

/// An id that is not known.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// Bytes read of a status file: the group list comes after what is needed here.
const READ_MAX: u64 = 4096;

/// Credentials of a task, its session and process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) ruid: u32,
    pub(crate) euid: u32,
    pub(crate) suid: u32,
    pub(crate) rgid: u32,
    pub(crate) egid: u32,
    pub(crate) sgid: u32,
    pub(crate) sid: u32,
    pub(crate) pgid: u32,
    pub(crate) cap_permitted: u64,
    pub(crate) cap_effective: u64,
}

impl Default for Ids {
    /// Nothing is known.
    fn default() -> Self {
        Ids {
            ruid: UNKNOWN,
            euid: UNKNOWN,
            suid: UNKNOWN,
            rgid: UNKNOWN,
            egid: UNKNOWN,
            sgid: UNKNOWN,
            sid: UNKNOWN,
            pgid: UNKNOWN,
            cap_permitted: 0,
            cap_effective: 0,
        }
    }
}

impl Ids {
    /// The ids that a task has now; none: it is gone.
    pub(crate) fn of(tid: u32) -> Option<Ids> {
        let mut text = Vec::new();
        let file = File::open(format!("/proc/{tid}/status")).ok()?;
        file.take(READ_MAX).read_to_end(&mut text).ok()?;
        let mut ids = parse(&String::from_utf8_lossy(&text));
        let pid = Pid::from_raw(i32::try_from(tid).ok()?);
        let number = |pid: Pid| u32::try_from(pid.as_raw()).unwrap_or(UNKNOWN);
        ids.sid = getsid(Some(pid)).map_or(UNKNOWN, number);
        ids.pgid = getpgid(Some(pid)).map_or(UNKNOWN, number);
        Some(ids)
    }
}

/// The lines of a status file that are needed; the first, the name, may hold anything but a
/// newline (the kernel escapes it).
fn parse(text: &str) -> Ids {
    let mut ids = Ids::default();
    for (key, value) in text.lines().skip(1).filter_map(|line| line.split_once(':')) {
        let mut numbers = value.split_whitespace().map(|n| n.parse().unwrap_or(UNKNOWN));
        let mut next = || numbers.next().unwrap_or(UNKNOWN);
        match key {
            "Uid" => (ids.ruid, ids.euid, ids.suid) = (next(), next(), next()),
            "Gid" => (ids.rgid, ids.egid, ids.sgid) = (next(), next(), next()),
            "CapPrm" => ids.cap_permitted = hex(value),
            "CapEff" => ids.cap_effective = hex(value),
            _ => {}
        }
    }
    ids
}

fn hex(value: &str) -> u64 {
    u64::from_str_radix(value.trim(), 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pose_as_a_line() {
        let text =
            "Name:\tUid:\t7\t7\t7\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nCapPrm:\t00000000000000ff\n";
        let ids = parse(text);
        assert_eq!((ids.ruid, ids.euid, ids.suid), (1, 2, 3));
        assert_eq!((ids.rgid, ids.egid, ids.sgid), (5, 6, 7));
        assert_eq!((ids.cap_permitted, ids.cap_effective), (0xff, 0));
    }

    #[test]
    fn what_is_missing_is_unknown() {
        assert_eq!(parse("Name:\tx\nUid:\t1\n").euid, UNKNOWN);
    }
}
