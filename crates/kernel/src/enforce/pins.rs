//! What is pinned, and where: maps by how they are laid out, and with them the links of programs.
//!
//! ```text
//! aegisbpf/layout-1-0123456789abcdef/   maps that programs of one layout share
//!          └─ links-fedcba9876543210-…/  programs of one build
//! ```
//!
//! Another build whose maps are laid out in the same way takes them over with all that is in them. One
//! whose maps differ works beside them until its first generation is in force.

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use libbpf_rs::{MapHandle, OpenMapImpl, OpenObject};

use super::Options;
use super::load::is_called;
use super::maps::{Maps, PINNED};
use crate::embedded::ENFORCE;
use crate::error::Error;

/// What maps mean whose sizes do not tell: counted up when that changes.
const MEANING: u32 = 1;
/// The directories of maps are called so.
const LAYOUT: &str = "layout-";
/// The directories of links are called so, with the identity of the object behind it.
const LINKS: &str = "links-";

/// Which programs these are: two builds whose programs differ have different ones.
pub(super) fn links(blob_bytes: u32) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(ENFORCE.sha256().as_bytes());
    format!("{LINKS}{:016x}-{blob_bytes}", hasher.finish())
}

/// How the maps of an object are laid out that are pinned.
pub(super) fn layout(opened: &OpenObject, options: &Options) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write_u32(options.blob_bytes);
    hasher.write_u32(options.files);
    for (known, pin) in PINNED {
        let is_it = |map: &OpenMapImpl<'_>| is_called(&map.name().to_string_lossy(), known);
        hasher.write(pin.as_bytes());
        if let Some(map) = opened.maps().find(is_it) {
            hasher.write_u32(map.map_type() as u32);
            for word in [map.key_size(), map.value_size(), map.max_entries(), map.map_flags()] {
                hasher.write_u32(word);
            }
        }
    }
    format!("{LAYOUT}{MEANING}-{:016x}", hasher.finish())
}

/// Whether what is in the maps of another layout means the same as in ours, where the sizes are the same.
pub(super) fn means_the_same(set: &Path) -> bool {
    let name = set.file_name().and_then(OsStr::to_str);
    name.is_some_and(|name| name.starts_with(&format!("{LAYOUT}{MEANING}-")))
}

/// The directories of maps that are pinned below one, each of a layout of its own; none if it is not there.
pub fn sets(pins: &Path) -> Result<Vec<PathBuf>, Error> {
    directories(pins, LAYOUT)
}

/// The directories of links among maps.
pub(super) fn builds(set: &Path) -> Result<Vec<PathBuf>, Error> {
    directories(set, LINKS)
}

fn directories(of: &Path, begin: &str) -> Result<Vec<PathBuf>, Error> {
    let mut all = below(of)?;
    all.retain(|path| {
        path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(begin))
    });
    Ok(all)
}

/// What is in a directory; nothing if there is none.
pub(super) fn below(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(directory) {
        Ok(entries) => {
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            paths.collect::<Result<_, _>>().map_err(|error| named("read", directory, error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(named("read", directory, error)),
    }
}

/// The epoch that maps say is in force; 0 if they were never complete.
pub(super) fn epoch(set: &Path) -> Result<u64, Error> {
    only_epoch(&set.join("epoch"))?.map_or(Ok(0), |maps| maps.epoch())
}

/// Nothing is in force any more by the maps of which this is the pin of the epoch, if it is there.
pub(super) fn let_go(epoch: &Path) -> Result<(), Error> {
    only_epoch(epoch)?.map_or(Ok(()), |maps| maps.set_epoch(0))
}

/// Of the maps only the epoch; none if it is not pinned.
fn only_epoch(path: &Path) -> Result<Option<Maps>, Error> {
    if !path.exists() {
        return Ok(None);
    }
    let map = MapHandle::from_pinned_path(path);
    Maps::new([("epoch", map.map_err(|error| Error::map("epoch", &error))?)].into()).map(Some)
}

/// All maps; those that another layout does not have are left out.
pub(super) fn maps(set: &Path) -> Result<Maps, Error> {
    let there = PINNED.iter().filter(|(_, pin)| set.join(pin).exists());
    let open = |(_, pin): &(&str, &'static str)| match MapHandle::from_pinned_path(set.join(pin)) {
        Ok(map) => Ok((*pin, map)),
        Err(error) => Err(Error::map(pin, &error)),
    };
    Maps::new(there.map(open).collect::<Result<_, _>>()?)
}

/// Ends enforcement, whoever began it: takes everything away that is pinned below a directory, so that
/// programs and maps go with their last user. False if nothing was.
pub fn release(pins: &Path) -> Result<bool, Error> {
    let all = sets(pins)?;
    for set in &all {
        let_go(&set.join("epoch"))?;
    }
    remove(pins)?;
    Ok(!all.is_empty())
}

/// Removes a directory with all below; none is fine.
pub(super) fn remove(directory: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(named("remove", directory, error))
        }
        _ => Ok(()),
    }
}

pub(super) fn named(what: &str, path: &Path, error: io::Error) -> Error {
    Error::io(format!("{what} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use libbpf_rs::ObjectBuilder;

    use super::*;

    #[test]
    fn maps_of_another_size_are_another_layout_and_the_same_maps_are_the_same() {
        let open = || ObjectBuilder::default().open_memory(ENFORCE.checked().unwrap()).unwrap();
        let options = Options { blob_bytes: 64 << 10, ..Options::default() };
        let first = layout(&open(), &options);
        assert_eq!(first, layout(&open(), &options));
        let larger = Options { blob_bytes: 128 << 10, ..options.clone() };
        assert_ne!(first, layout(&open(), &larger));
        let fewer = Options { files: 16, ..options.clone() };
        assert_ne!(first, layout(&open(), &fewer));
        for (known, _) in PINNED {
            let mut other = open();
            let mut map = other
                .maps_mut()
                .find(|map| is_called(&map.name().to_string_lossy(), known))
                .unwrap();
            let entries = map.max_entries();
            map.set_max_entries(entries + 1).unwrap();
            assert_ne!(first, layout(&other, &options), "{known}");
        }
        assert!(means_the_same(&Path::new("/pins").join(&first)));
        assert!(!means_the_same(Path::new("/pins/layout-0-0123456789abcdef")));
    }
}
