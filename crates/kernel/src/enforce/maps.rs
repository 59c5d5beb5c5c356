//! The maps that programs and loader share, by name.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering;

use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};

use super::now::Now;
use crate::error::Error;

/// Maps that are pinned, with the names of their pins. All programs, of this build and of the one
/// that follows it, use the same, unless they are laid out in another way.
pub(super) const PINNED: &[(&str, &str)] = &[
    ("generations", "generations"),
    (".data.now", "epoch"),
    ("mounts", "mounts"),
    ("ids", "ids"),
    ("carries", "carries"),
    ("armings", "armings"),
    ("kept_labels", "kept_labels"),
    ("pins", "pins"),
    ("made", "made"),
    ("told_contents", "told_contents"),
    ("subjects", "subjects"),
    ("former_subjects", "former_subjects"),
    ("spare_subjects", "spare_subjects"),
    ("missed", "missed"),
    ("denials", "denials"),
    ("counters", "counters"),
    ("protection", "protection"),
    ("own_files", "own_files"),
    ("own_objects", "own_objects"),
];

/// Generations that the kernel can hold; `SLOTS` in blob.h.
pub(super) const SLOTS: u64 = 4;

/// Renamed directories that no host comes to.
const LEAP: u64 = 1 << 32;

/// The pinned maps.
#[derive(Debug)]
pub(super) struct Maps {
    by_pin: BTreeMap<&'static str, MapHandle>,
    /// In memory from the beginning: who may touch nothing any more can still let go.
    now: Option<Now>,
}

impl Maps {
    pub(super) fn new(by_pin: BTreeMap<&'static str, MapHandle>) -> Result<Maps, Error> {
        let now = by_pin.get("epoch").map(Now::of).transpose()?;
        Ok(Maps { by_pin, now })
    }

    /// All of them, by the names of their pins.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &MapHandle)> {
        self.by_pin.iter().map(|(pin, map)| (*pin, map))
    }

    pub(super) fn get(&self, pin: &'static str) -> Result<&MapHandle, Error> {
        self.by_pin.get(pin).ok_or_else(|| Error::map(pin, &"it is not pinned"))
    }

    pub(super) fn put(&self, pin: &'static str, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.get(pin)?.update(key, value, MapFlags::ANY).map_err(|error| Error::map(pin, &error))
    }

    fn now(&self) -> Result<&Now, Error> {
        self.now.as_ref().ok_or_else(|| Error::map("epoch", &"it is not pinned"))
    }

    /// The epoch in force; 0 if nothing is.
    pub(super) fn epoch(&self) -> Result<u64, Error> {
        Ok(self.now()?.epoch().load(Ordering::Acquire))
    }

    /// The epoch in force; if nothing is, the one that was last.
    pub(super) fn last_epoch(&self) -> Result<u64, Error> {
        let now = self.epoch()?;
        if now != 0 {
            return Ok(now);
        }
        let mut last = 0;
        for at in 0..SLOTS {
            let carry = self.get("carries")?.lookup(&slot(at), MapFlags::ANY);
            let carry = carry.map_err(|error| Error::map("carries", &error))?;
            let to = carry.as_deref().and_then(|carry| carry.get(8..)?.first_chunk().copied());
            last = last.max(to.map_or(0, u64::from_ne_bytes));
        }
        Ok(last)
    }

    /// The one write that puts a generation in force.
    pub(super) fn set_epoch(&self, epoch: u64) -> Result<(), Error> {
        self.now()?.epoch().store(epoch, Ordering::Release);
        Ok(())
    }

    /// Whether what is executed is hashed.
    pub(super) fn is_hashing(&self) -> Result<bool, Error> {
        Ok(self.now()?.hashing().load(Ordering::Acquire) != 0)
    }

    /// Lets what is executed be hashed, or not.
    pub(super) fn set_hashing(&self, wanted: bool) -> Result<(), Error> {
        self.now()?.hashing().store(u64::from(wanted), Ordering::Release);
        Ok(())
    }

    /// Puts the tables of an epoch into their slot, and waits until all programs have ended that
    /// began before: the kernel does so whenever an outer map changed.
    pub(super) fn put_tables(&self, epoch: u64, tables: &MapHandle) -> Result<(), Error> {
        self.put("generations", &slot(epoch), &tables.as_fd().as_raw_fd().to_ne_bytes())
    }

    /// The value of the map in a slot of an outer map; none if the slot is empty.
    pub(super) fn value_behind(
        &self,
        pin: &'static str,
        slot: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        let map = |error: libbpf_rs::Error| Error::map(pin, &error);
        let Some(found) = self.get(pin)?.lookup(slot, MapFlags::ANY).map_err(map)? else {
            return Ok(None);
        };
        let id = found.first_chunk().ok_or_else(|| Error::map(pin, &"the slot holds no number"))?;
        let inner = MapHandle::from_map_id(u32::from_ne_bytes(*id)).map_err(map)?;
        inner.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).map_err(map)
    }

    /// Lets the labels that are kept be found anew: they hold for a count of renamed directories, which
    /// leaps.
    pub(super) fn find_anew(&self) -> Result<(), Error> {
        self.now()?.moves().fetch_add(LEAP, Ordering::AcqRel);
        Ok(())
    }

    /// Removes what a load left that did not come to its end.
    pub(super) fn forget_from(&self, epoch: u64) -> Result<(), Error> {
        ["mounts", "ids", "armings"]
            .into_iter()
            .try_for_each(|pin| self.forget(pin, |of| of >= epoch))
    }

    /// Removes the keys that begin with the number of an older epoch.
    pub(super) fn forget_before(&self, pin: &'static str, epoch: u64) -> Result<(), Error> {
        self.forget(pin, |of| of < epoch)
    }

    fn forget(&self, pin: &'static str, which: impl Fn(u64) -> bool) -> Result<(), Error> {
        let map = self.get(pin)?;
        let old =
            |key: &Vec<u8>| key.first_chunk().is_some_and(|word| which(u64::from_ne_bytes(*word)));
        let keys: Vec<Vec<u8>> = map.keys().filter(old).collect();
        for key in keys {
            map.delete(&key).map_err(|error| Error::map(pin, &error))?;
        }
        Ok(())
    }
}

/// A map of one value, to be put into an outer map.
pub(super) fn inner(name: &'static str, bytes: u32) -> Result<MapHandle, Error> {
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..libbpf_sys::bpf_map_create_opts::default()
    };
    MapHandle::create(MapType::Array, Some(name), 4, bytes, 1, &options)
        .map_err(|error| Error::map(name, &error))
}

/// The slot of an epoch, as a key.
pub(super) fn slot(epoch: u64) -> [u8; 4] {
    u32::try_from(epoch % SLOTS).unwrap_or_default().to_ne_bytes()
}
