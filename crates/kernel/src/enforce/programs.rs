//! Programs that run already when files begin to be hashed: nobody has hashed them when they were executed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use libbpf_rs::MapCore;

use super::guard::hash::Hashes;
use super::maps::Maps;
use crate::error::Error;

/// Different programs that are read: far more than run on a host. Others are as if they could not be
/// read.
const PROGRAMS_MAX: usize = 4096;
/// `enum content_state` of content.h.
const KNOWN: u64 = 1;

/// From now on what is executed is hashed; what runs already is hashed here, once.
pub(super) fn begin(maps: &Maps) -> Result<(), Error> {
    if maps.is_hashing()? {
        return Ok(());
    }
    // First: what is executed while the others are read is hashed by the kernel.
    maps.set_hashing(true)?;
    tell(maps).inspect_err(|_| {
        // The first failure is the one to tell; the next attempt begins anew.
        let _off = maps.set_hashing(false);
    })
}

fn tell(maps: &Maps) -> Result<(), Error> {
    // What runs already could be anything then, and rules about hashes would deny it all.
    let there = maps.get("told_contents");
    there.map_err(|_| Error::map("told_contents", &"this kernel has no storage of inodes"))?;
    let mut told = Ok(());
    running(|file, hash| {
        let key = file.as_raw_fd().to_ne_bytes();
        match hash {
            Some(hash) if told.is_ok() => {
                let value = [&KNOWN.to_ne_bytes()[..], &hash].concat();
                told = maps.put("told_contents", &key, &value);
            }
            // What was told of it before may be wrong now; mostly nothing was.
            _ => drop(maps.get("told_contents").map(|map| map.delete(&key))),
        }
    })?;
    told
}

/// Reads each program that runs, once; with its hash, unless that cannot be had.
pub fn running(mut take: impl FnMut(&File, Option<[u8; 32]>)) -> Result<(), Error> {
    let (mut hashes, mut seen) = (Hashes::default(), BTreeSet::new());
    let all = fs::read_dir("/proc").map_err(|error| Error::io("read /proc", error))?;
    for entry in all.filter_map(Result::ok) {
        let is_process = entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        // Threads of the kernel have no executable, and processes end at any time.
        let file = is_process.then(|| File::open(entry.path().join("exe")).ok()).flatten();
        let Some((file, about)) =
            file.and_then(|file| file.metadata().ok().map(|about| (file, about)))
        else {
            continue;
        };
        if seen.len() < PROGRAMS_MAX && seen.insert((about.dev(), about.ino())) {
            take(&file, hashes.of(&file));
        }
    }
    Ok(())
}
