//! Who has a file open or runs it: they keep it when it is taken, and the record names them.

use std::fs::read_dir;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
use serde::{Deserialize, Serialize};

use super::place::Identity;

/// Processes that are named; more are counted.
const NAMED_MAX: usize = 32;
/// Descriptors that are looked at: a host with more is told to be seen in part.
const LOOKED_MAX: usize = 200_000;

/// A process that has the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Its number.
    pub(crate) pid: u32,
    /// Its name, as the kernel has it.
    pub(crate) comm: String,
    /// It runs the file, and has it not only open.
    pub(crate) runs: bool,
}

/// Processes that have the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holders {
    /// The first of them.
    pub(crate) named: Vec<Holder>,
    /// How many more.
    pub(crate) more: u64,
    /// There were more descriptors than are looked at.
    pub(crate) partly: bool,
}

/// Looks at all processes. One that comes meanwhile is not seen; it has the file all the same.
pub(super) fn of(identity: Identity) -> Holders {
    let mut found = Holders::default();
    let mut left = LOOKED_MAX;
    let Ok(processes) = read_dir("/proc") else {
        return Holders { partly: true, ..found };
    };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        let path = process.path();
        let runs = leads_to(&path.join("exe"), identity);
        let mut open = || {
            let descriptors = read_dir(path.join("fd")).into_iter().flatten().flatten();
            descriptors.take(left).any(|one| {
                left -= 1;
                leads_to(&one.path(), identity)
            })
        };
        if !(runs || open()) {
            found.partly |= left == 0;
            continue;
        }
        if found.named.len() >= NAMED_MAX {
            found.more += 1;
            continue;
        }
        let comm = std::fs::read(path.join("comm")).unwrap_or_default();
        let comm = model::escape::escaped(String::from_utf8_lossy(&comm).trim_end());
        found.named.push(Holder { pid, comm, runs });
    }
    found
}

/// Whether a link of `/proc` leads to the file. Nobody is asked who would have to answer first.
fn leads_to(link: &Path, identity: Identity) -> bool {
    statx(CWD, link, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).is_ok_and(|about| {
        let dev = makedev(about.stx_dev_major, about.stx_dev_minor);
        identity == Identity { dev, ino: about.stx_ino }
    })
}
