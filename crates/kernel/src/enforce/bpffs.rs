//! The filesystem that keeps what is pinned, mounted where everyone expects it.
//!
//! systemd mounts it on most hosts. Where nobody did, the first who pins something does: what is made
//! in the directory below it would not be kept, and cannot even be made.

use std::fs::File;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::pins::named;
use crate::error::Error;

/// Its mount point on every Linux.
const POINT: &str = "/sys/fs/bpf";
/// As systemd mounts it: for root alone.
const MODE: &str = "mode=700";

/// Sees to it that a directory of pins can be made: mounts the filesystem if the directory is to lie
/// below the usual place and nothing is mounted there. Fails with the reason of the kernel.
pub fn provide(pins: &Path) -> Result<(), Error> {
    let point = Path::new(POINT);
    if !pins.starts_with(point) || is_bpf(point)? {
        return Ok(());
    }
    // Two that mount it at once would hide from each other what they pin.
    let above = point.parent().unwrap_or(point);
    let above = File::open(above).map_err(|error| named("open", above, error))?;
    let _alone = Flock::lock(above, FlockArg::LockExclusive)
        .map_err(|(_, error)| named("lock the directory of", point, error.into()))?;
    if is_bpf(point)? {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), point, Some("bpf"), flags, Some(MODE))
        .map_err(|error| named("mount a BPF filesystem at", point, error.into()))
}

fn is_bpf(point: &Path) -> Result<bool, Error> {
    let about = statfs(point).map_err(|error| named("look at", point, error.into()))?;
    Ok(about.filesystem_type() == BPF_FS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_places_are_left_as_they_are() {
        let scratch = tempfile::tempdir().unwrap();
        provide(&scratch.path().join("pins")).unwrap();
        assert!(!is_bpf(scratch.path()).unwrap());
    }

    #[test]
    fn a_place_that_is_not_there_is_named() {
        let error = is_bpf(Path::new("/no/such/place")).unwrap_err();
        assert!(error.to_string().contains("/no/such/place"), "{error}");
    }
}
