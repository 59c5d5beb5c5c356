//! Puts a generation into the kernel.

use std::os::fd::{AsRawFd, BorrowedFd};

use libbpf_rs::{ErrorKind, MapCore, MapFlags};

use super::arm;
use super::maps::{Maps, SLOTS, inner, slot};
use super::programs;
use crate::error::Error;

/// The first word of tables, and the version that the programs read.
const MAGIC: u32 = 0x4c50_4741;
const VERSION: u32 = 3;
/// Bytes of the head up to where the list of sections begins.
const SECTIONS_AT: usize = 406 * 4;
/// Sections of hashes: of executables as subjects, and of what is executed.
const HASHES: &[usize] = &[20, 23];
/// Labels of a file.
const LABELS_MAX: usize = 8;
/// Mounts of one directory that are told apart; `MOUNTS_SAME` in text.h.
const MOUNTS_SAME: usize = 4;
/// Words of a set of subjects.
const WORDS: usize = 4;
/// Bytes of `struct labels`.
const LABELS_BYTES: usize = 8 + 4 * LABELS_MAX;
/// Bytes of one half of `struct pin`.
const PIN_HALF: usize = 8 + LABELS_BYTES;

/// A generation, ready to be put in force.
#[derive(Debug, Default)]
pub struct Generation<'a> {
    /// The tables.
    pub tables: &'a [u8],
    /// Where the paths of filesystems begin.
    pub mounts: Vec<Mount>,
    /// What users, groups and cgroups satisfy.
    pub ids: Vec<Id>,
    /// Labels of files whatever their names.
    pub pins: Vec<Pin<'a>>,
    /// What the bits of the generation in force are in this one.
    pub carry: Carry,
}

/// A mount: where reading of the paths below it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mount {
    /// The filesystem, in the kernel's encoding.
    pub device: u64,
    /// The inode of the directory of the filesystem that is mounted; 0 if it is the root.
    pub root: u64,
    /// State of the automaton of paths after the path of the mount point.
    pub anchored: u32,
    /// State of the automaton of texts after it.
    pub loose: u32,
    /// Texts found in it.
    pub hits: u64,
}

/// What an [`Id`] is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum IdKind {
    /// A user.
    User,
    /// A group.
    Group,
    /// A cgroup of version 2, and those below it that are not listed.
    Cgroup,
}

/// The selectors that a user, group or cgroup satisfies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id {
    /// Of what.
    pub kind: IdKind,
    /// Which.
    pub id: u64,
    /// The selectors.
    pub set: [u64; WORDS],
}

/// A file with labels of its own: it keeps them under all its names.
#[derive(Debug, Clone)]
pub struct Pin<'a> {
    /// The file, open in any way.
    pub file: BorrowedFd<'a>,
    /// Its labels, at most eight.
    pub labels: Vec<u32>,
}

/// For each bit of the generation in force its number in the next one; 0 if it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carry(pub [u8; WORDS * 64]);

impl Default for Carry {
    fn default() -> Carry {
        Carry([0; WORDS * 64])
    }
}

fn refused(reason: impl Into<String>) -> Error {
    Error::Tables { reason: reason.into() }
}

fn word(tables: &[u8], at: usize) -> Option<u32> {
    let bytes = tables.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// Checks the head, as far as the loader understands it.
fn check(tables: &[u8], room: u32) -> Result<(), Error> {
    let words = [0, 4, 16].map(|at| word(tables, at));
    let [Some(magic), Some(version), Some(bytes)] = words else {
        return Err(refused("they are shorter than their head"));
    };
    if magic != MAGIC {
        return Err(refused("they do not begin as tables do"));
    }
    if version != VERSION {
        return Err(refused(format!("they have version {version}, the programs read {VERSION}")));
    }
    if bytes as usize != tables.len() {
        return Err(refused(format!("they have {} bytes and say {bytes}", tables.len())));
    }
    if tables.len() > room as usize {
        let bytes = tables.len();
        return Err(refused(format!(
            "they have {bytes} bytes, the programs were loaded with room for {room}"
        )));
    }
    Ok(())
}

/// Whether the programs must hash what is executed.
fn needs_hashes(tables: &[u8]) -> bool {
    let length = |section: &usize| word(tables, SECTIONS_AT + 8 * section + 4);
    HASHES.iter().any(|section| length(section).is_some_and(|length| length > 0))
}

/// Everything in place, then one write. What another build has in force by maps of another layout is
/// what was before, if it is given.
pub(super) fn apply(
    maps: &Maps,
    former: Option<&Maps>,
    room: u32,
    generation: &Generation<'_>,
) -> Result<(), Error> {
    check(generation.tables, room)?;
    let before = former.unwrap_or(maps).last_epoch()?;
    let epoch = before + 1;
    let mut value = vec![0; room as usize];
    for (to, from) in value.iter_mut().zip(generation.tables) {
        *to = *from;
    }
    let tables = inner("generation", room)?;
    let written = tables.update(&0u32.to_ne_bytes(), &value, MapFlags::ANY);
    written.map_err(|error| Error::map("generation", &error))?;
    maps.put_tables(epoch, &tables)?;
    maps.forget_from(epoch)?;
    put_mounts(maps, epoch, &generation.mounts)?;
    put_ids(maps, epoch, &generation.ids)?;
    generation.pins.iter().try_for_each(|pin| put_pin(maps, epoch, pin))?;
    if let Some(former) = former {
        copy_carries(former, maps)?;
    }
    put_carry(maps, before, epoch, &generation.carry)?;
    arm::carry((former.unwrap_or(maps), before), (maps, epoch), &generation.carry)?;
    let hashes = needs_hashes(generation.tables);
    if hashes {
        // Before, so that whoever is asked about by this generation was hashed.
        programs::begin(maps)?;
    }
    maps.set_epoch(epoch)?;
    // Nothing changes by it, but nobody reads what was in force before when it returns.
    maps.put_tables(epoch, &tables)?;
    if before > 0 {
        match maps.get("generations")?.delete(&slot(before)) {
            // It was another layout's.
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::map("generations", &error));
            }
            _ => {}
        }
    }
    if !hashes {
        maps.set_hashing(false)?;
    }
    maps.forget_before("mounts", epoch)?;
    maps.forget_before("ids", epoch)?;
    maps.forget_before("armings", epoch)
}

pub(super) fn put_mounts(maps: &Maps, epoch: u64, mounts: &[Mount]) -> Result<(), Error> {
    let mut by_root: std::collections::BTreeMap<(u64, u64), Vec<&Mount>> =
        std::collections::BTreeMap::new();
    for mount in mounts {
        by_root.entry((mount.device, 0)).or_default();
        let same = by_root.entry((mount.device, mount.root)).or_default();
        let known = |one: &&Mount| {
            (one.anchored, one.loose, one.hits) == (mount.anchored, mount.loose, mount.hits)
        };
        if !same.iter().any(known) {
            same.push(mount);
        }
    }
    let others = |device| by_root.keys().any(|(of, root)| *of == device && *root != 0);
    for ((device, root), same) in &by_root {
        if same.len() > MOUNTS_SAME {
            let reason = format!(
                "directory {root} of device {device} is mounted at {} places that rules tell \
                 apart, the limit is {MOUNTS_SAME}",
                same.len()
            );
            return Err(refused(reason));
        }
        let key = [epoch, *device, *root].map(u64::to_ne_bytes).concat();
        let count = u32::try_from(same.len()).unwrap_or_default();
        let mut value = [count, u32::from(others(*device))].map(u32::to_ne_bytes).concat();
        for mount in same {
            value.extend([mount.anchored, mount.loose].map(u32::to_ne_bytes).concat());
            value.extend(mount.hits.to_ne_bytes());
        }
        value.resize(8 + 16 * MOUNTS_SAME, 0);
        maps.put("mounts", &key, &value)?;
    }
    Ok(())
}

fn put_ids(maps: &Maps, epoch: u64, ids: &[Id]) -> Result<(), Error> {
    for id in ids {
        let key = [epoch, id.kind as u64, id.id].map(u64::to_ne_bytes).concat();
        maps.put("ids", &key, &id.set.map(u64::to_ne_bytes).concat())?;
    }
    Ok(())
}

/// The half of the other epoch stays as it is: files are still labelled by it.
fn put_pin(maps: &Maps, epoch: u64, pin: &Pin<'_>) -> Result<(), Error> {
    let map = maps.get("pins")?;
    let key = pin.file.as_raw_fd().to_ne_bytes();
    let known = map.lookup(&key, MapFlags::ANY).map_err(|error| Error::map("pins", &error))?;
    let mut value = known.unwrap_or_else(|| vec![0; 2 * PIN_HALF]);
    let mut half = epoch.to_ne_bytes().to_vec();
    half.extend(u32::try_from(pin.labels.len().min(LABELS_MAX)).unwrap_or_default().to_ne_bytes());
    half.extend(u32::from(pin.labels.len() > LABELS_MAX).to_ne_bytes());
    half.extend(pin.labels.iter().take(LABELS_MAX).flat_map(|label| label.to_ne_bytes()));
    half.resize(PIN_HALF, 0);
    let at = if epoch.is_multiple_of(2) { 0 } else { PIN_HALF };
    for (to, from) in value.iter_mut().skip(at).zip(half) {
        *to = from;
    }
    maps.put("pins", &key, &value)
}

fn put_carry(maps: &Maps, before: u64, epoch: u64, carry: &Carry) -> Result<(), Error> {
    let mut value = [before, epoch].map(u64::to_ne_bytes).concat();
    value.extend(carry.0);
    maps.put("carries", &slot(epoch), &value)
}

/// Processes that slept since before what another build had in force are still found by these.
fn copy_carries(from: &Maps, to: &Maps) -> Result<(), Error> {
    let (from, into) = (from.get("carries")?, to.get("carries")?);
    if from.value_size() != into.value_size() {
        return Ok(());
    }
    for slot in (0..SLOTS).map(slot) {
        let known = from.lookup(&slot, MapFlags::ANY);
        if let Some(known) = known.map_err(|error| Error::map("carries", &error))? {
            to.put("carries", &slot, &known)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    fn tables() -> Vec<u8> {
        let mut words = vec![0u32; 500];
        words[0] = super::MAGIC;
        words[1] = super::VERSION;
        words[4] = 2000;
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn tables_that_the_programs_cannot_read_are_refused_with_the_reason() {
        check(&tables(), 1 << 16).unwrap();
        let reason = |tables: &[u8], room| check(tables, room).unwrap_err().to_string();
        assert!(reason(&[], 1 << 16).contains("shorter"));
        let mut other = tables();
        other[0] = 0;
        assert!(reason(&other, 1 << 16).contains("begin"));
        let mut newer = tables();
        newer[4] = 4;
        assert!(reason(&newer, 1 << 16).contains("version 4"));
        assert!(reason(&tables()[..1900], 1 << 16).contains("1900"));
        assert!(reason(&tables(), 1000).contains("room for 1000"));
        let mut hashes = tables();
        assert!(!super::needs_hashes(&hashes));
        hashes[super::SECTIONS_AT + 8 * 20 + 4] = 16;
        assert!(super::needs_hashes(&hashes));
    }
}
