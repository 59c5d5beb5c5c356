//! Self-protection: which processes are the agent, and what belongs to it.
//!
//! The programs know a process of the agent by the file that it runs. So who switches this on must be the
//! agent itself. Maps and programs that it makes or opens later are its own by that; what exists
//! already is told here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions};
use libbpf_rs::{Link, MapCore, MapFlags};
use nix::sys::stat::{major, minor};

use super::maps::{Maps, SLOTS, slot};
use super::pins::{builds, sets};
use crate::error::Error;
use crate::source::mountinfo::kernel_dev;

/// What is done about strangers who meddle with the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Protection {
    /// It is told.
    Report = 1,
    /// It is told and denied.
    Deny = 2,
}

/// `enum own_file`.
const PROGRAM: u32 = 1;
const TREE: u32 = 2;
const ABOVE: u32 = 4;

/// `enum own_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
enum Kind {
    Map,
    Program,
    Link,
    Mount,
    Peers,
}

/// Makes this process's program the agent's, and its files those of the agent: `files` are files, or
/// directories with all below; what does not exist is left out.
pub(super) fn begin(
    maps: &Maps,
    pins: &Path,
    files: &[PathBuf],
    mode: Protection,
) -> Result<(), Error> {
    put_files(maps, &own_files(pins, files)?)?;
    let links = pinned(pins)?;
    let mut objects = held()?;
    drop(links);
    objects.extend(mounts(pins)?);
    objects.extend(used(&objects));
    objects.extend(inner(maps)?);
    for (kind, id) in objects {
        let key = [kind as u32, id].map(u32::to_ne_bytes).concat();
        maps.put("own_objects", &key, &1u32.to_ne_bytes())?;
    }
    let namespace = "/proc/self/ns/mnt";
    let namespace = fs::metadata(namespace).map_err(|error| seen(namespace.as_ref(), error))?;
    let namespace = u32::try_from(namespace.st_ino()).unwrap_or_default();
    let value = [mode as u32, namespace].map(u32::to_ne_bytes).concat();
    maps.put("protection", &0u32.to_ne_bytes(), &value)
}

fn seen(path: &Path, error: io::Error) -> Error {
    Error::io(format!("look at {}", path.display()), error)
}

/// Filesystem and inode, as the programs have them.
type FileId = [u64; 2];

fn id_of(about: &Metadata) -> FileId {
    let device = about.st_dev();
    [kernel_dev(major(device), minor(device)), about.st_ino()]
}

/// All files of the agent and the directories above them.
fn own_files(pins: &Path, files: &[PathBuf]) -> Result<BTreeMap<FileId, u32>, Error> {
    let running = Path::new("/proc/self/exe");
    let program = fs::read_link(running).map_err(|error| seen(running, error))?;
    let about = fs::metadata(running).map_err(|error| seen(running, error))?;
    let mut all = BTreeMap::from([(id_of(&about), PROGRAM)]);
    let trees = files.iter().map(PathBuf::as_path).chain([pins]).map(|path| (path, TREE));
    for (path, flag) in trees.chain([(program.as_path(), 0)]) {
        for (place, flag) in
            path.ancestors().zip([flag].into_iter().chain(std::iter::repeat(ABOVE)))
        {
            match fs::metadata(place) {
                Ok(about) => *all.entry(id_of(&about)).or_default() |= flag,
                // What is not there has nothing below it, and may have something above.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(seen(place, error)),
            }
        }
    }
    Ok(all)
}

/// First what is new, then what is old: nothing is left open in between.
fn put_files(maps: &Maps, files: &BTreeMap<FileId, u32>) -> Result<(), Error> {
    let key = |id: &FileId| id.map(u64::to_ne_bytes).concat();
    for (id, flags) in files {
        maps.put("own_files", &key(id), &flags.to_ne_bytes())?;
    }
    let keys: BTreeSet<Vec<u8>> = files.keys().map(key).collect();
    let map = maps.get("own_files")?;
    let old: Vec<Vec<u8>> = map.keys().filter(|known| !keys.contains(known)).collect();
    for key in old {
        map.delete(&key).map_err(|error| Error::map("own_files", &error))?;
    }
    Ok(())
}

type Objects = BTreeSet<(Kind, u32)>;

/// What this process has open.
fn held() -> Result<Objects, Error> {
    let directory = Path::new("/proc/self/fdinfo");
    let entries = fs::read_dir(directory).map_err(|error| seen(directory, error))?;
    let mut objects = Objects::new();
    for entry in entries.filter_map(Result::ok) {
        // That of the directory itself is gone.
        objects.extend(numbers(&fs::read_to_string(entry.path()).unwrap_or_default()));
    }
    Ok(objects)
}

/// What the kernel tells of a descriptor of BPF.
fn numbers(info: &str) -> Vec<(Kind, u32)> {
    let words = [("map_id:", Kind::Map), ("prog_id:", Kind::Program), ("link_id:", Kind::Link)];
    let of_line = |line: &str| {
        let (word, kind) = words.iter().find(|one| line.starts_with(one.0))?;
        Some((*kind, line.strip_prefix(word)?.trim().parse().ok()?))
    };
    info.lines().filter_map(of_line).collect()
}

/// What is pinned in the directories of links, opened.
fn pinned(pins: &Path) -> Result<Vec<Link>, Error> {
    let mut opened = Vec::new();
    for set in sets(pins)? {
        let paths =
            builds(&set)?.iter().map(|links| listed(links)).collect::<Result<Vec<_>, _>>()?;
        for path in paths.into_iter().flatten() {
            let link = Link::open(&path);
            opened.push(link.map_err(|error| seen(&path, io::Error::other(error)))?);
        }
    }
    Ok(opened)
}

fn listed(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(directory).map_err(|error| seen(directory, error))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<io::Result<_>>().map_err(|error| seen(directory, error))
}

/// The maps of these programs.
fn used(objects: &Objects) -> Objects {
    let options = ProgInfoQueryOptions::default().include_map_ids(true);
    let programs = ProgInfoIter::with_query_opts(options);
    let own = programs.filter(|program| objects.contains(&(Kind::Program, program.id)));
    own.flat_map(|program| program.map_ids).map(|id| (Kind::Map, id)).collect()
}

/// The maps behind other maps.
fn inner(maps: &Maps) -> Result<Objects, Error> {
    let mut objects = Objects::new();
    for (pin, slots) in [("generations", SLOTS), ("epoch", 1)] {
        for at in 0..slots {
            let found = maps.get(pin)?.lookup(&slot(at), MapFlags::ANY);
            let found = found.map_err(|error| Error::map(pin, &error))?;
            let id = found.as_deref().and_then(<[u8]>::first_chunk).copied();
            objects.extend(id.map(|id| (Kind::Map, u32::from_ne_bytes(id))));
        }
    }
    Ok(objects)
}

/// The mount of the pins and those that it is mounted on, with those that are told of their changes.
fn mounts(pins: &Path) -> Result<Objects, Error> {
    let table = Path::new("/proc/self/mountinfo");
    let text = fs::read(table).map_err(|error| seen(table, error))?;
    Ok(String::from_utf8_lossy(&text).lines().flat_map(|line| mount_of(line, pins)).collect())
}

/// The numbers of a mount, if the pins are below it. The root of all cannot be taken away.
fn mount_of(line: &str, pins: &Path) -> Vec<(Kind, u32)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [id, _, _, _, point, _, optional @ ..] = words.as_slice() else { return Vec::new() };
    if *point == "/" || !pins.starts_with(point) {
        return Vec::new();
    }
    let peers = optional.iter().take_while(|word| **word != "-");
    let peers = peers.filter_map(|word| word.strip_prefix("shared:")?.parse().ok());
    let all = id.parse().ok().map(|id| (Kind::Mount, id)).into_iter();
    all.chain(peers.map(|peers| (Kind::Peers, peers))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_maps_programs_and_links_are_read() {
        let map = "pos:\t0\nflags:\t02\nmap_type:\t1\nmap_id:\t53\nfrozen:\t0\n";
        assert_eq!(numbers(map), [(Kind::Map, 53)]);
        let link = "link_type:\ttracing\nlink_id:\t7\nprog_tag:\tab\nprog_id:\t9\n";
        assert_eq!(numbers(link), [(Kind::Link, 7), (Kind::Program, 9)]);
        assert!(numbers("pos:\t0\nmnt_id:\t9\n").is_empty());
    }

    #[test]
    fn mounts_above_the_pins_count_and_others_do_not() {
        let pins = Path::new("/sys/fs/bpf/aegisbpf");
        let of = |line| mount_of(line, pins);
        let found = of("30 25 0:26 / /sys/fs/bpf rw,nosuid shared:9 - bpf bpf rw");
        assert_eq!(found, [(Kind::Mount, 30), (Kind::Peers, 9)]);
        assert_eq!(of("25 1 0:22 / /sys rw - sysfs sysfs rw"), [(Kind::Mount, 25)]);
        for other in [
            "1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw",
            "31 25 0:27 / /sys/fs/bpf2 rw - bpf bpf rw",
            "32",
        ] {
            assert!(of(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn the_program_its_files_and_what_is_above_are_told_apart() {
        let at = std::env::temp_dir();
        let files = [at.clone(), at.join("no such file")];
        let all = own_files(&at.join("no such pins"), &files).unwrap();
        let flags = |path: &Path| all.get(&id_of(&fs::metadata(path).unwrap())).copied();
        assert_eq!(flags(&std::env::current_exe().unwrap()), Some(PROGRAM));
        assert_eq!(flags(&at), Some(TREE | ABOVE));
        assert_eq!(flags(Path::new("/")), Some(ABOVE));
        assert_eq!(flags(Path::new("/proc")), None);
    }
}
