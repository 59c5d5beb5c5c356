//! What names and mounts mean on this host, for the tables of a generation.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use kernel::enforce::{Carry, Id, IdKind, Mount};
use model::policy::Container;
use nix::fcntl::OFlag;
use policy::Tables;
use policy::subjects::{Maps, Resolve};

use super::containers::{self, Containers};
use crate::policy::store::About;

/// Cgroups that are looked at: far more than a host has.
const CGROUPS_MAX: usize = 100_000;
/// Bytes of the table of mounts.
const MOUNTS_MAX: u64 = 16 << 20;

/// Names as this host knows them now.
struct Host<'c> {
    /// All cgroups of version 2: path and number.
    cgroups: Vec<(PathBuf, u64)>,
    root: PathBuf,
    containers: &'c Containers,
}

impl<'c> Host<'c> {
    fn read(containers: &'c mut Containers, wanted: bool) -> Host<'c> {
        let root = cgroup_root();
        let (mut cgroups, mut open) = (Vec::new(), vec![root.clone()]);
        while let Some(dir) = open.pop() {
            let Ok(about) = fs::metadata(&dir) else { continue };
            if cgroups.len() == CGROUPS_MAX {
                tracing::warn!(CGROUPS_MAX, "cgroups are left out: there are too many");
                break;
            }
            let entries = fs::read_dir(&dir).into_iter().flatten().filter_map(Result::ok);
            let dirs = entries.filter(|one| one.file_type().is_ok_and(|kind| kind.is_dir()));
            open.extend(dirs.map(|one| one.path()));
            cgroups.push((dir, about.ino()));
        }
        if wanted {
            let ids: Vec<&str> = cgroups.iter().filter_map(|(path, _)| id_of(path)).collect();
            containers.look(&ids);
        }
        Host { cgroups, root, containers }
    }

    /// Leaves out cgroups that satisfy what their parents do: who looks one up goes up until one is
    /// listed. So what is made below a cgroup that is listed changes nothing.
    fn without_heirs(&self, maps: &mut Maps) {
        let numbers: HashMap<&Path, u64> =
            self.cgroups.iter().map(|(path, id)| (path.as_path(), *id)).collect();
        let inherits = |(path, id): &&(PathBuf, u64)| {
            let parent = path.parent().and_then(|parent| numbers.get(parent));
            let inherited = maps.cgroup(parent.copied().unwrap_or(0));
            maps.cgroups.get(id) == Some(&inherited)
        };
        let heirs: HashSet<u64> = self.cgroups.iter().filter(inherits).map(|one| one.1).collect();
        maps.cgroups.retain(|id, _| !heirs.contains(id));
    }

    fn below(&self, fits: impl Fn(&Path) -> bool) -> Vec<u64> {
        let inside = self.cgroups.iter().filter(|(path, _)| path.ancestors().any(&fits));
        inside.map(|one| one.1).collect()
    }
}

/// Where version 2 of cgroups is mounted.
pub(in crate::guard) fn cgroup_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let found = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (point, kind) = (words.nth(1)?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(point))
    });
    found.unwrap_or_else(|| PathBuf::from("/sys/fs/cgroup"))
}

impl Resolve for Host<'_> {
    fn user(&self, name: &str) -> Option<u32> {
        nix::unistd::User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
    }

    fn group(&self, name: &str) -> Option<u32> {
        nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
    }

    fn cgroups(&self, path: &str) -> Vec<u64> {
        let wanted = self.root.join(path.trim_start_matches('/'));
        self.below(|one| one == wanted)
    }

    fn units(&self, name: &str) -> Vec<u64> {
        self.below(|one| one.file_name().is_some_and(|last| last == name))
    }

    /// A container is a cgroup that is called by its id. What is given as a name may be the id, too,
    /// or its beginning.
    fn containers(&self, container: &Container) -> Vec<u64> {
        let begins = containers::begins(container);
        self.below(|one| {
            id_of(one).is_some_and(|id| {
                begins.is_some_and(|begins| id.starts_with(begins))
                    || self.containers.fits(id, container)
            })
        })
    }
}

fn id_of(cgroup: &Path) -> Option<&str> {
    cgroup.file_name().and_then(|name| containers::id(name.to_str()?))
}

/// What users, groups and cgroups satisfy here and now, and names that mean nothing.
pub(super) fn names(about: &About, containers: &mut Containers) -> (Maps, Vec<String>) {
    let symbols = about.symbols.restore();
    let host = Host::read(containers, !symbols.containers.is_empty());
    let mut maps = symbols.resolve(&host);
    host.without_heirs(&mut maps);
    let mut unknown = std::mem::take(&mut maps.unresolved);
    let places = symbols.units.keys().filter(|name| host.units(name).is_empty());
    unknown.extend(places.map(|name| format!("unit {name}")));
    let paths = symbols.cgroups.keys().filter(|path| host.cgroups(path).is_empty());
    unknown.extend(paths.map(|path| format!("cgroup {path}")));
    let containers = symbols.containers.iter().filter(|one| host.containers(&one.0).is_empty());
    unknown.extend(containers.map(|one| described(&one.0)));
    (maps, unknown)
}

/// A container in the words of its rule.
fn described(Container { name, image, labels }: &Container) -> String {
    let name = name.iter().map(|name| format!(" {name}"));
    let image = image.iter().map(|image| format!(" of image {image}"));
    let labels = labels.iter().map(|(label, value)| format!(" labelled {label}={value}"));
    name.chain(image).chain(labels).fold("container".to_owned(), |all, part| all + &part)
}

/// The same for the kernel.
pub(super) fn ids(maps: &Maps) -> Vec<Id> {
    let of = |kind, id, set: policy::Bits| Id { kind, id, set: set.0 };
    let users = maps.users.iter().map(|(id, set)| of(IdKind::User, u64::from(*id), *set));
    let groups = maps.groups.iter().map(|(id, set)| of(IdKind::Group, u64::from(*id), *set));
    let cgroups = maps.cgroups.iter().map(|(id, set)| of(IdKind::Cgroup, *id, *set));
    users.chain(groups).chain(cgroups).collect()
}

/// One line of the table of mounts: device, directory of the filesystem, and where it is.
struct Shown {
    device: u64,
    root: Vec<u8>,
    point: Vec<u8>,
}

fn table() -> std::io::Result<Vec<Shown>> {
    let text = crate::worker::read_limited(Path::new("/proc/self/mountinfo"), MOUNTS_MAX)?;
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut words = line.split(|byte| *byte == b' ').skip(2);
        let device = device_of(words.next()?)?;
        Some(Shown { device, root: plain(words.next()?), point: plain(words.next()?) })
    });
    Ok(lines.collect())
}

/// Where the paths of each mounted filesystem begin, for the kernel.
pub(super) fn mounts(tables: &Tables) -> std::io::Result<Vec<Mount>> {
    let mounts = table()?.into_iter().filter_map(|Shown { device, root, point }| {
        // A mount point that cannot be looked at is one that nobody can open anything below.
        let about = || fs::metadata(std::ffi::OsStr::from_bytes(&point)).ok();
        let root = if root == b"/" { 0 } else { about()?.ino() };
        let start = tables.start(&point);
        let (anchored, loose, hits) = (start.anchored, start.loose, start.hits);
        Some(Mount { device, root, anchored, loose, hits })
    });
    Ok(mounts.collect())
}

/// The same to be looked up here: the mounts of each filesystem.
pub(super) fn shown(tables: &Tables) -> std::io::Result<HashMap<u64, Vec<policy::mounts::Mount>>> {
    let mut all: HashMap<u64, Vec<policy::mounts::Mount>> = HashMap::new();
    for one in table()? {
        all.entry(one.device).or_default().push(tables.mount(&one.point, &one.root));
    }
    Ok(all)
}

/// `major:minor` as the kernel has it.
fn device_of(text: &[u8]) -> Option<u64> {
    let (major, minor) = std::str::from_utf8(text).ok()?.split_once(':')?;
    Some(major.parse::<u64>().ok()? << 20 | minor.parse::<u64>().ok()?)
}

/// A path of the table of mounts, where spaces and such are written as `\040`.
fn plain(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', more @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = more;
            }
            _ => out.push(*byte),
        }
    }
    std::ffi::OsString::from_vec(out).into_vec()
}

/// Files that rules name by their whole path and that have other names, too, with their labels.
pub(super) fn pins(tables: &Tables, about: &About) -> Vec<(File, Vec<u32>)> {
    let pins = about.exact.iter().filter_map(|path| {
        let mut options = OpenOptions::new();
        // Only to name it: nothing is read, and no device is woken.
        let file = options.read(true).custom_flags(OFlag::O_PATH.bits()).open(path).ok()?;
        let known = file.metadata().ok()?;
        let labels = tables.label_path(path.as_bytes());
        let pinned = known.nlink() > 1 && !known.is_dir() && !labels.as_slice().is_empty();
        pinned.then(|| (file, labels.as_slice().to_vec()))
    });
    pins.collect()
}

/// What the bits of one generation are in the next.
pub(super) fn carry(before: Option<&About>, after: &About) -> Carry {
    let mut carry = Carry::default();
    let Some(before) = before else { return carry };
    for (slot, old) in carry.0.iter_mut().zip(&before.selectors) {
        let at = after.selectors.iter().position(|new| new == old);
        *slot = at.and_then(|at| u8::try_from(at).ok()).unwrap_or_default();
    }
    carry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mounts_are_read_as_they_are() {
        assert_eq!(plain(br"/a\040b\134c"), br"/a b\c");
        assert_eq!(plain(br"/a\04"), br"/a\04");
        assert_eq!(device_of(b"259:3"), Some(259 << 20 | 3));
        assert_eq!(device_of(b"259"), None);
    }

    #[test]
    fn every_mount_of_this_host_is_told() {
        let compiled = policy::compile(&[], &crate::policy::load::looking()).unwrap();
        let mounts = mounts(&compiled.tables).unwrap();
        let root = fs::metadata("/").unwrap().dev();
        let (major, minor) = (nix::sys::stat::major(root), nix::sys::stat::minor(root));
        assert!(mounts.iter().any(|one| one.device == major << 20 | minor), "{root:x} {mounts:?}");
    }

    #[test]
    fn cgroups_are_found_with_all_below() {
        let host = Host {
            cgroups: ["/c", "/c/a.slice", "/c/a.slice/b.service", "/c/b"]
                .iter()
                .zip(1..)
                .map(|(path, id)| (PathBuf::from(path), id))
                .collect(),
            root: PathBuf::from("/c"),
            containers: &Containers::new(),
        };
        assert_eq!(host.cgroups("/"), [1, 2, 3, 4]);
        assert_eq!(host.cgroups("/a.slice"), [2, 3]);
        assert_eq!(host.units("b.service"), [3]);
        assert!(host.units("c.service").is_empty());
        let [one, other] = [1, 2].map(policy::Bits::one);
        let cgroups = [(2, one), (3, one), (4, other)].into();
        let mut maps = Maps { cgroups, ..Maps::default() };
        host.without_heirs(&mut maps);
        assert_eq!(maps.cgroups, [(2, one), (4, other)].into());
    }
}
