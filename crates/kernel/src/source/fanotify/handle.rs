//! Directory handles to paths.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{File, read_link};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use model::wire;

use super::group::Dir;
use crate::source::mountinfo::Mount;
use crate::source::recent::Recent;
use crate::source::sys;

/// Half of the directories whose path is remembered: with 100 bytes each about 1 MB at most.
const CACHE_DIRS: usize = 4096;

/// Filesystems without files of their own; nothing on them is marked.
const PSEUDO: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];
/// Filesystems whose server can make any call hang; a guard that waits for it watches nothing.
const REMOTE: &[&str] = &["9p", "afs", "ceph", "cifs", "nfs", "nfs4", "smb3", "virtiofs"];

/// Whether operations on a filesystem of that type are reported: it is local and holds files.
pub(crate) fn is_covered(kind: &[u8]) -> bool {
    let known = |list: &[&str]| list.iter().any(|name| name.as_bytes() == kind);
    !known(PSEUDO) && !known(REMOTE) && !kind.starts_with(b"fuse")
}

/// Where a filesystem can be reached.
#[derive(Debug)]
struct Place {
    mount: PathBuf,
    /// Smaller is better, see [`rank`].
    rank: usize,
    /// Renames on it are reported, so that remembered paths can be trusted.
    followed: bool,
}

/// Finds the path of a directory, as the host sees it, from its handle.
///
/// A directory that is gone keeps its entry: a handle is never used again, and late events about
/// files that were in it still get their path.
#[derive(Debug)]
pub(crate) struct Dirs {
    places: HashMap<u64, Place>,
    paths: Recent<Box<[u8]>, Box<[u8]>>,
    /// The last path that must not be remembered.
    untrusted: Vec<u8>,
}

impl Dirs {
    /// Knows nothing yet.
    pub(crate) fn new() -> Self {
        Dirs { places: HashMap::new(), paths: Recent::new(CACHE_DIRS), untrusted: Vec::new() }
    }

    /// Takes over the mounts of the moment; `follow` says whether renames on one are reported.
    pub(crate) fn refresh(&mut self, mounts: &[Mount], mut follow: impl FnMut(&Mount) -> bool) {
        self.places.clear();
        self.paths.clear();
        for mount in mounts.iter().filter(|mount| is_covered(&mount.kind)) {
            let followed = follow(mount);
            // No descriptor is kept: it would make the filesystem busy.
            let Ok(id) = sys::filesystem_id(&mount.point) else { continue };
            let place = Place { mount: mount.point.clone(), rank: rank(mount), followed };
            let better = self.places.get(&id).is_none_or(|old| place.rank < old.rank);
            if better && mount.point.is_dir() {
                self.places.insert(id, place);
            }
        }
    }

    /// Forgets all paths: a directory above some of them was renamed.
    pub(crate) fn forget(&mut self) {
        self.paths.clear();
    }

    /// The path of a directory; none: it is gone, or out of reach.
    pub(crate) fn path(&mut self, dir: Dir<'_>) -> Option<&[u8]> {
        if self.paths.get(dir.0).is_none() {
            let (path, followed) = self.resolve(dir)?;
            if !followed {
                self.untrusted = path;
                return Some(&self.untrusted);
            }
            self.paths.insert(dir.0.into(), path.into());
        }
        self.paths.get(dir.0).map(AsRef::as_ref)
    }

    fn resolve(&self, dir: Dir<'_>) -> Option<(Vec<u8>, bool)> {
        let (id, handle) = dir.0.split_first_chunk()?;
        let place = self.places.get(&u64::from_ne_bytes(*id))?;
        let mount = File::open(&place.mount).ok()?;
        let found = sys::open_by_handle(mount.as_fd(), handle).ok()?;
        let mut link = String::from("/proc/self/fd/");
        link.push_str(&found.as_raw_fd().to_string());
        let path = read_link(link).ok()?;
        // A path outside the mount is one of a part of the filesystem that is not mounted.
        let seen = path.starts_with(&place.mount).then_some(path)?;
        let mut path = OsString::from(seen).into_vec();
        strip_deleted(&mut path, &found);
        Some((path, place.followed))
    }
}

/// Mounts of the whole filesystem come first, then those with a short path.
fn rank(mount: &Mount) -> usize {
    let whole = mount.root.as_os_str().as_bytes() == b"/";
    let length = mount.point.as_os_str().len();
    if whole { length } else { length + wire::PATH_MAX_BYTES as usize }
}

/// The kernel adds a word to the path of a directory that was removed.
fn strip_deleted(path: &mut Vec<u8>, dir: impl AsFd) {
    const MARK: &[u8] = b" (deleted)";
    let gone = || nix::sys::stat::fstat(dir).is_ok_and(|stat| stat.st_nlink == 0);
    if path.ends_with(MARK) && gone() {
        path.truncate(path.len() - MARK.len());
    }
}
