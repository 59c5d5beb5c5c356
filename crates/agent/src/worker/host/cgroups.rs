//! From the id of a cgroup to its path.
//!
//! The id is the inode number of the cgroup's directory, so a walk over the cgroup filesystem
//! finds it. A walk happens only when an unknown id turns up, learns all cgroups at once, and is
//! paced so that a storm of short-lived cgroups cannot keep the event thread walking.

use std::collections::HashMap;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::read_limited;

/// Directories visited in one walk; a host with more keeps the rest without paths.
const WALK_MAX: usize = 16_384;
/// A walk may take this share of the time: one part in so many.
const WALK_SHARE: u32 = 50;
/// Shortest time between two walks.
const WALK_PAUSE: Duration = Duration::from_millis(20);
/// Bytes read of /proc/mounts.
const MOUNTS_MAX: u64 = 1024 * 1024;

/// What is known of an id now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup<'a> {
    /// Its path from the root of the hierarchy.
    Path(&'a str),
    /// There is no such cgroup any more.
    Gone,
    /// The next walk is not due; ask again with the next event.
    Later,
}

/// Paths by cgroup id.
#[derive(Debug)]
pub(crate) struct Cgroups {
    root: Option<PathBuf>,
    paths: HashMap<u64, String>,
    next_walk: Option<Instant>,
}

impl Cgroups {
    /// Finds where version 2 is mounted.
    pub(crate) fn new() -> Cgroups {
        let mounts = read_limited(Path::new("/proc/mounts"), MOUNTS_MAX).unwrap_or_default();
        let root = parse_mounts(&String::from_utf8_lossy(&mounts));
        Cgroups { root, paths: HashMap::new(), next_walk: None }
    }

    /// The mount point of version 2.
    #[cfg(test)]
    pub(crate) fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Looks the cgroup with that id up.
    pub(crate) fn find(&mut self, id: u64) -> Lookup<'_> {
        if !self.paths.contains_key(&id) {
            if self.next_walk.is_some_and(|due| Instant::now() < due) {
                return Lookup::Later;
            }
            self.walk();
        }
        self.paths.get(&id).map_or(Lookup::Gone, |path| Lookup::Path(path))
    }

    fn walk(&mut self) {
        let Some(root) = self.root.clone() else { return };
        let start = Instant::now();
        self.paths.clear();
        if let Ok(meta) = std::fs::metadata(&root) {
            self.paths.insert(meta.ino(), "/".to_owned());
        }
        let mut waiting = vec![(root, String::new())];
        while let Some((dir, name)) = waiting.pop() {
            let Ok(entries) = std::fs::read_dir(&dir) else { continue };
            for entry in entries.flatten() {
                if self.paths.len() >= WALK_MAX {
                    tracing::warn!(limit = WALK_MAX, "too many cgroups: some have no path");
                    break;
                }
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let path = format!("{name}/{}", entry.file_name().to_string_lossy());
                self.paths.insert(entry.ino(), path.clone());
                waiting.push((entry.path(), path));
            }
            if self.paths.len() >= WALK_MAX {
                break;
            }
        }
        let pause = start.elapsed().saturating_mul(WALK_SHARE).max(WALK_PAUSE);
        self.next_walk = Some(Instant::now() + pause);
    }
}

/// Whether any hierarchy of version 1 is mounted.
pub(crate) fn version_1() -> bool {
    let mounts = read_limited(Path::new("/proc/mounts"), MOUNTS_MAX).unwrap_or_default();
    has_version_1(&String::from_utf8_lossy(&mounts))
}

fn has_version_1(mounts: &str) -> bool {
    mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup"))
}

/// Mount point of version 2.
fn parse_mounts(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(point))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_tell_where_version_2_is() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncg /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      c2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(parse_mounts(hybrid), Some("/sys/fs/cgroup/unified".into()));
        assert!(has_version_1(hybrid) && !has_version_1("c2 /sys/fs/cgroup cgroup2 rw 0 0"));
        assert_eq!(parse_mounts("proc /proc proc rw 0 0"), None);
    }

    #[test]
    fn a_directory_is_found_by_its_inode_number() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a.slice/b.service");
        std::fs::create_dir_all(&below).unwrap();
        let id = std::fs::metadata(&below).unwrap().ino();
        let root = Some(dir.path().to_owned());
        let mut cgroups = Cgroups { root, paths: HashMap::new(), next_walk: None };
        assert_eq!(cgroups.find(id), Lookup::Path("/a.slice/b.service"));
        let own = std::fs::metadata(dir.path()).unwrap().ino();
        assert_eq!(cgroups.find(own), Lookup::Path("/"));

        let late = dir.path().join("late");
        std::fs::create_dir(&late).unwrap();
        let id = std::fs::metadata(&late).unwrap().ino();
        cgroups.next_walk = Some(Instant::now() + Duration::from_hours(1));
        assert_eq!(cgroups.find(id), Lookup::Later);
        cgroups.next_walk = None;
        assert_eq!(cgroups.find(id), Lookup::Path("/late"));
        cgroups.next_walk = None;
        assert_eq!(cgroups.find(u64::MAX), Lookup::Gone);
    }

    #[test]
    fn this_host_has_a_root_if_it_says_so() {
        if let Some(root) = Cgroups::new().root() {
            assert!(root.join("cgroup.procs").exists(), "{}", root.display());
        }
    }
}
