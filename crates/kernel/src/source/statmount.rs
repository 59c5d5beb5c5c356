//! What is mounted, by unique mount id (`statmount(2)`, Linux 6.8).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::mountinfo::{MOUNTS_MAX, Mount, kernel_dev};
use super::sys;

/// Strings follow the fixed part.
const FIXED: usize = 512;
/// Room for the fixed part and strings: path, root, type and source, each of 4096 bytes at most.
const WORDS: usize = (FIXED + 4 * 4096) / 8;
/// Mount ids asked for at once.
const BATCH: usize = 256;

/// Superblock, mount, root, mount point, type and source.
const WANT: u64 = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | SOURCE;
const SOURCE: u64 = 0x200;
/// The attributes that have the same number as a mount flag: read-only, no set-user-id, no
/// devices, no execution.
const FLAGS: u32 = 0xf;

/// The fixed part of `struct statmount`, as far as it is used.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Fixed {
    size: u32,
    options: u32,
    mask: u64,
    major: u32,
    minor: u32,
    magic: u64,
    sb_flags: u32,
    kind: u32,
    id: u64,
    parent: u64,
    old_id: u32,
    old_parent: u32,
    attributes: u64,
    propagation: [u64; 4],
    root: u32,
    point: u32,
    namespace: u64,
    subtype: u32,
    source: u32,
}

/// All mounts of our namespace by unique id.
pub(crate) fn all() -> io::Result<BTreeMap<u64, Mount>> {
    let mut known = BTreeMap::new();
    let mut last = 0;
    while known.len() < MOUNTS_MAX {
        let mut ids = [0; BATCH];
        let count = sys::listmount(last, &mut ids)?;
        let Some(found) = ids.get(..count).filter(|found| !found.is_empty()) else { break };
        // One that cannot be told was unmounted in between.
        known.extend(found.iter().filter_map(|id| Some((*id, of(*id).ok()?))));
        last = found.last().copied().unwrap_or(u64::MAX);
    }
    Ok(known)
}

/// One mount.
pub(crate) fn of(id: u64) -> io::Result<Mount> {
    let mut buffer = vec![0u64; WORDS];
    sys::statmount(id, WANT, &mut buffer)?;
    let bytes = buffer.as_bytes();
    let (fixed, _) = Fixed::read_from_prefix(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    let text = |at: u32| -> Vec<u8> {
        let tail = bytes.get(FIXED + at as usize..).unwrap_or_default();
        tail.split(|b| *b == 0).next().unwrap_or_default().to_vec()
    };
    // Before 6.14 the source is not told.
    let source = if fixed.mask & SOURCE != 0 { text(fixed.source) } else { Vec::new() };
    Ok(Mount {
        id: fixed.old_id,
        dev: kernel_dev(fixed.major.into(), fixed.minor.into()),
        root: OsString::from_vec(text(fixed.root)).into(),
        point: OsString::from_vec(text(fixed.point)).into(),
        kind: text(fixed.kind),
        source,
        flags: u32::try_from(fixed.attributes & u64::from(FLAGS)).unwrap_or(0),
        magic: u32::try_from(fixed.magic).unwrap_or(0),
    })
}
