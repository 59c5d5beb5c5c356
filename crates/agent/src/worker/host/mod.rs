//! What is looked up on the host: names of users and groups, paths of cgroups, arguments of
//! processes that were there before, and who the host is.
//!
//! Nothing here asks the network or loads a library: files are read with a limit, and answers
//! that cannot be given are absent.

pub(crate) mod cgroups;
pub(crate) mod identity;
pub(crate) mod process;
pub(crate) mod users;

pub(crate) use identity::boot_time;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a file up to a limit; the rest is left out.
pub(crate) fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
