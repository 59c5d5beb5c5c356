//! Processes that took the first steps of a sequence: user space follows those, the kernel decides
//! the last one.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use libbpf_rs::{MapCore, MapFlags, Program};
use nix::libc;

use super::generation::Carry;
use super::maps::Maps;
use crate::error::Error;
use crate::ffi::{link_task_iterator, open_iterator};

/// Words of a set of selectors.
const WORDS: usize = 4;
/// The map, by its pin.
const PIN: &str = "armings";

/// A process, and what it is armed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arming {
    /// Its number.
    pub pid: u32,
    /// When it started, ns since boot: numbers come again.
    pub start: u64,
    /// The selectors that need this.
    pub set: [u64; WORDS],
}

impl Arming {
    fn key(&self, epoch: u64) -> Vec<u8> {
        [epoch, self.start, u64::from(self.pid)].map(u64::to_ne_bytes).concat()
    }

    fn value(&self) -> Vec<u8> {
        self.set.map(u64::to_ne_bytes).concat()
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at * 8..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// All of the epoch in force.
pub(super) fn all(maps: &Maps) -> Result<Vec<Arming>, Error> {
    of_epoch(maps, maps.epoch()?)
}

fn of_epoch(maps: &Maps, epoch: u64) -> Result<Vec<Arming>, Error> {
    let map = maps.get(PIN)?;
    let mut found = Vec::new();
    for key in map.keys().filter(|key| word(key, 0) == epoch) {
        let value = map.lookup(&key, MapFlags::ANY).map_err(|error| Error::map(PIN, &error))?;
        let Some(value) = value else { continue };
        let set = std::array::from_fn(|at| word(&value, at));
        let pid = u32::try_from(word(&key, 2)).unwrap_or_default();
        found.push(Arming { pid, start: word(&key, 1), set });
    }
    Ok(found)
}

/// Puts one in, in the place of what was known of the process; takes it away if nothing is left.
pub(super) fn put(maps: &Maps, arming: &Arming) -> Result<(), Error> {
    let key = arming.key(maps.epoch()?);
    if arming.set != [0; WORDS] {
        return maps.put(PIN, &key, &arming.value());
    }
    match maps.get(PIN)?.delete(&key) {
        Err(error) if error.kind() != libbpf_rs::ErrorKind::NotFound => {
            Err(Error::map(PIN, &error))
        }
        _ => Ok(()),
    }
}

/// All of one epoch for the next one, in whose words they are.
pub(super) fn carry(
    (from, before): (&Maps, u64),
    (maps, epoch): (&Maps, u64),
    carry: &Carry,
) -> Result<(), Error> {
    if before == 0 {
        return Ok(());
    }
    for old in of_epoch(from, before)? {
        let new = Arming { set: renamed(&old.set, carry), ..old };
        if new.set != [0; WORDS] {
            maps.put(PIN, &new.key(epoch), &new.value())?;
        }
    }
    Ok(())
}

fn renamed(set: &[u64; WORDS], carry: &Carry) -> [u64; WORDS] {
    let mut new = [0; WORDS];
    for (bit, name) in carry.0.iter().enumerate() {
        let has = set.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1);
        if has
            && *name != 0
            && let Some(word) = new.get_mut(usize::from(*name) / 64)
        {
            *word |= 1 << (name % 64);
        }
    }
    new
}

/// Lets the kernel find anew who a process is, by the program that is pinned there.
pub(super) fn find_anew(program: &Path, pid: u32) -> Result<(), Error> {
    let failed = |error: io::Error| Error::io("let a process be found anew", error);
    let program = Program::fd_from_pinned_path(program)
        .map_err(|error| failed(io::Error::other(error.to_string())))?;
    let pass =
        link_task_iterator(program.as_fd(), Some(pid)).and_then(|link| open_iterator(link.as_fd()));
    let pass = match pass {
        // Who is gone asks for nothing any more.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
        // Kernels before 6.1 cannot look at one alone.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            link_task_iterator(program.as_fd(), None).and_then(|link| open_iterator(link.as_fd()))
        }
        other => other,
    };
    let mut nothing = Vec::new();
    File::from(pass.map_err(failed)?).read_to_end(&mut nothing).map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_called_anew_and_those_that_are_gone_are_left_out() {
        let mut carry = Carry::default();
        (carry.0[3], carry.0[70]) = (200, 1);
        let set = [1 << 3 | 1 << 4, 1 << 6, 0, 0];
        assert_eq!(renamed(&set, &carry), [1 << 1, 0, 0, 1 << 8]);
        assert_eq!(renamed(&set, &Carry::default()), [0; WORDS]);
    }
}
