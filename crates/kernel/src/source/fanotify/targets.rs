//! Tells the programs in the kernel which files are watched: the maps of lsm_watch.bpf.c.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use model::interest::Watch;
use model::op::{Kind, KindSet};
use nix::libc;
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, statfs};

use super::plan::{self, Marks};
use super::report::state;

/// Bits of a value; `WATCH_*` in the program.
const OPEN: u32 = 1;
const WRITE: u32 = 2;
const BY_NAME: u32 = 4;
/// Bytes of a name in a key, the last a NUL; longer names are cut on both sides.
const NAME_BYTES: usize = 64;

/// A key of one of the two maps: an inode, or a name in a directory.
type Key = Vec<u8>;

/// The two maps.
#[derive(Debug)]
pub(crate) struct WatchMaps {
    /// Inodes that are watched, or whose children are.
    pub(crate) inodes: MapHandle,
    /// Children that are watched by name.
    pub(crate) names: MapHandle,
}

impl WatchMaps {
    /// Another handle of the same maps.
    pub(crate) fn again(&self) -> Option<WatchMaps> {
        let again = |map: &MapHandle| MapHandle::try_from(map).ok();
        Some(WatchMaps { inodes: again(&self.inodes)?, names: again(&self.names)? })
    }
}

/// What the maps hold, and are to hold.
#[derive(Debug)]
pub(crate) struct Targets {
    maps: WatchMaps,
    inodes: BTreeMap<Key, u32>,
    names: BTreeMap<Key, u32>,
}

impl Targets {
    /// Takes over what the maps hold; [`Targets::set`] then changes only what differs, so that no
    /// file goes unwatched for a moment.
    pub(crate) fn new(maps: WatchMaps) -> Targets {
        let (inodes, names) = (content(&maps.inodes), content(&maps.names));
        Targets { maps, inodes, names }
    }

    /// Makes the maps say what these watches need now; the error of an entry that has no room.
    pub(crate) fn set<'a>(
        &mut self,
        watches: impl Iterator<Item = (&'a Watch, &'a Marks)>,
    ) -> Result<(), libbpf_rs::Error> {
        let (mut inodes, mut names) = (BTreeMap::new(), BTreeMap::new());
        for (watch, marks) in watches {
            // Before the path exists its directory bears the marks, which its siblings do not need.
            if Path::new(&watch.path).exists() {
                of_marks(marks, &mut inodes);
            }
            of_name(watch, &mut inodes, &mut names);
        }
        // Names first: an inode's bit says that there are names to look up.
        update(&self.maps.names, &mut self.names, names)?;
        update(&self.maps.inodes, &mut self.inodes, inodes)
    }

    /// Adds the marks of new directories.
    pub(crate) fn add(&mut self, marks: &Marks) -> Result<(), libbpf_rs::Error> {
        let mut added = BTreeMap::new();
        of_marks(marks, &mut added);
        for (key, bits) in added {
            let all = self.inodes.get(&key).copied().unwrap_or(0) | bits;
            self.maps.inodes.update(&key, &all.to_ne_bytes(), MapFlags::ANY)?;
            self.inodes.insert(key, all);
        }
        Ok(())
    }
}

/// What a map holds.
fn content(map: &MapHandle) -> BTreeMap<Key, u32> {
    let value = |key: &Key| {
        let bytes = map.lookup(key, MapFlags::ANY).ok()??;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    // An entry that cannot be read is as good as none: it will be set again.
    map.keys().map(|key| (value(&key).unwrap_or(0), key)).map(|(bits, key)| (key, bits)).collect()
}

/// Brings a map from one content to another.
fn update(
    map: &MapHandle,
    now: &mut BTreeMap<Key, u32>,
    wanted: BTreeMap<Key, u32>,
) -> Result<(), libbpf_rs::Error> {
    for key in now.keys().filter(|key| !wanted.contains_key(*key)) {
        // A key that is gone is what was wanted.
        let _gone = map.delete(key);
    }
    now.retain(|key, _| wanted.contains_key(key));
    for (key, bits) in wanted {
        if now.get(&key) != Some(&bits) {
            map.update(&key, &bits.to_ne_bytes(), MapFlags::ANY)?;
            now.insert(key, bits);
        }
    }
    Ok(())
}

/// Files and directories that bear marks for opens or writes.
fn of_marks(marks: &Marks, inodes: &mut BTreeMap<Key, u32>) {
    for (path, mask) in marks {
        let open = if mask & libc::FAN_OPEN != 0 { OPEN } else { 0 };
        let write = if mask & plan::WRITTEN != 0 { WRITE } else { 0 };
        if open | write != 0
            && let Some(key) = inode(path)
        {
            *inodes.entry(key).or_insert(0) |= open | write;
        }
    }
}

/// The name of the watched path itself in its directory, whether it exists or not.
fn of_name(watch: &Watch, inodes: &mut BTreeMap<Key, u32>, names: &mut BTreeMap<Key, u32>) {
    let path = Path::new(&watch.path);
    let real = fs::canonicalize(path).ok();
    let bits = bits(watch.kinds);
    for path in [Some(path), real.as_deref()].into_iter().flatten() {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let Some(mut key) = fs::canonicalize(parent).ok().and_then(|parent| inode(&parent)) else {
            continue;
        };
        *inodes.entry(key.clone()).or_insert(0) |= BY_NAME;
        let name = name.as_bytes();
        key.extend_from_slice(name.get(..NAME_BYTES - 1).unwrap_or(name));
        key.resize(16 + NAME_BYTES, 0);
        *names.entry(key).or_insert(0) |= bits;
    }
}

fn bits(kinds: KindSet) -> u32 {
    let open = if kinds.contains(Kind::Open) { OPEN } else { 0 };
    let write = if kinds.contains(Kind::Write) { WRITE } else { 0 };
    open | write
}

/// Whether the programs can tell the files there by device and inode number. Some filesystems show
/// other numbers to user space than the kernel has: there fanotify marks report, as without LSM.
pub(crate) fn is_told(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| {
        let kind = found.filesystem_type();
        kind != BTRFS_SUPER_MAGIC && kind != OVERLAYFS_SUPER_MAGIC
    })
}

/// Device and inode number.
fn inode(path: &Path) -> Option<Key> {
    if !is_told(path) {
        return None;
    }
    let now = state(path.as_os_str().as_bytes())?;
    Some([now.dev.to_ne_bytes(), now.ino.to_ne_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use libbpf_rs::MapType;

    use super::*;

    fn map(name: &str, key: usize) -> MapHandle {
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
            ..libbpf_sys::bpf_map_create_opts::default()
        };
        let key = u32::try_from(key).unwrap();
        MapHandle::create(MapType::Hash, Some(name), key, 4, 16, &options).unwrap()
    }

    /// A path that comes later is watched by its name; when it is there, by its inode, too.
    #[test]
    fn the_maps_follow_what_is_there() {
        if !nix::unistd::geteuid().is_root() {
            println!("SKIP: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let path = real.join("file");
        if !is_told(&real) {
            println!("SKIP: {} is on a filesystem with numbers of its own", real.display());
            return;
        }
        let watch = Watch {
            path: path.to_str().unwrap().to_owned(),
            recursive: false,
            kinds: KindSet::EMPTY.with(Kind::Write),
        };
        let maps = WatchMaps { inodes: map("inodes", 16), names: map("names", 16 + NAME_BYTES) };
        let kept = maps.again().unwrap();
        let mut targets = Targets::new(maps);
        let tell = |targets: &mut Targets| {
            let (marks, _) = plan::plan(&watch, 16);
            targets.set([(&watch, &marks)].into_iter()).unwrap();
        };
        tell(&mut targets);
        let parent = inode(&real).unwrap();
        assert_eq!(content(&kept.inodes), BTreeMap::from([(parent.clone(), BY_NAME)]));
        let mut name = parent.clone();
        name.extend_from_slice(b"file");
        name.resize(16 + NAME_BYTES, 0);
        assert_eq!(content(&kept.names), BTreeMap::from([(name, WRITE)]));
        fs::write(&path, "").unwrap();
        tell(&mut targets);
        let file = inode(&path).unwrap();
        let both = BTreeMap::from([(parent.clone(), BY_NAME), (file, WRITE)]);
        assert_eq!(content(&kept.inodes), both);
        // A successor takes over what is there, and takes out what is no longer wanted.
        fs::remove_file(&path).unwrap();
        tell(&mut Targets::new(kept.again().unwrap()));
        assert_eq!(content(&kept.inodes), BTreeMap::from([(parent, BY_NAME)]));
    }
}
