//! Prevention of network requests where no LSM program loads: programs of cgroups, which decide
//! from the same tables. They hold for one cgroup and all below it; for the host that is the root.
//!
//! Links belong to the process that made them, so a dead agent denies nothing, unless they are pinned:
//! see `cgroup_pins`. What no rule asks about has no program, and costs nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libbpf_rs::{Link, MapType, OpenObject};
use model::policy::{Operation, Operations};

use super::arm::{self, Arming};
use super::cgroup_pins::{self, Pins};
use super::generation::{self, Generation};
use super::load::is_called;
use super::maps::{Maps, PINNED, inner};
use super::read::{Active, Counters, Denials, active};
use crate::embedded::FALLBACK;
use crate::error::Error;
use crate::hooks::Hooks;
use crate::messages;
use crate::object::Loaded;
use crate::probe::open_cgroup;

/// `PROVIDER_CGROUP` of wire.h.
const PROVIDER: u32 = model::wire::PROVIDER_CGROUP;
/// Maps of headers that these programs share with others and do not use.
const UNUSED: &[&str] = &[
    "settings",
    "ring_alarm",
    "ring_life",
    "ring_rest",
    "lost",
    "sent",
    "kept_labels",
    "pins",
    "subjects",
    "spare_subjects",
    "missed",
    "no_subject",
];
/// The map in storage of inodes: some kernels have none where BPF is no LSM, and this way of enforcing is
/// for those. Without it nobody knows what the programs hold that ran before files were hashed.
const IN_INODES: &str = "told_contents";
/// The programs, and the operations that each is needed for. What processes pass on comes first.
pub(super) const PROGRAMS: &[(&str, &[Operation])] = &[
    ("fallback_exec", EVERY),
    ("fallback_fork", EVERY),
    ("fallback_exit", EVERY),
    ("fallback_socket", EVERY),
    ("fallback_connect4", REACH),
    ("fallback_connect6", REACH),
    ("fallback_sendmsg4", REACH),
    ("fallback_sendmsg6", REACH),
    ("fallback_bind4", &[Operation::Bind]),
    ("fallback_bind6", &[Operation::Bind]),
    ("fallback_egress", REACH),
    ("fallback_ingress", &[Operation::Listen, Operation::Accept, Operation::Receive]),
];

const REACH: &[Operation] = &[Operation::Connect, Operation::Send];
const EVERY: &[Operation] = &[
    Operation::Connect,
    Operation::Bind,
    Operation::Listen,
    Operation::Accept,
    Operation::Send,
    Operation::Receive,
    Operation::RawSocket,
];

/// Where and how much.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cgroup of version 2 whose processes are concerned; the root of all if not given.
    pub cgroup: Option<PathBuf>,
    /// Bytes that the tables of a generation may have, a power of two.
    pub blob_bytes: u32,
    /// Directory of a BPF filesystem: then everything goes on when its loader ends.
    pub pins: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        let blob_bytes = super::Options::default().blob_bytes;
        Options { cgroup: None, blob_bytes, pins: None }
    }
}

/// Prevention by programs of cgroups. Dropping it ends it, unless it is pinned.
#[derive(Debug)]
pub struct Network {
    pins: Option<Pins>,
    blob_bytes: u32,
    cgroup: File,
    maps: Maps,
    loaded: Loaded,
    links: BTreeMap<&'static str, Link>,
}

impl Network {
    /// Loads the programs, and goes on with what is pinned. Without that nothing is attached before the
    /// first [`Network::apply`].
    pub fn open(options: &Options) -> Result<Network, Error> {
        let cgroup = open_cgroup(options.cgroup.as_deref())?;
        let about = cgroup.metadata().map_err(|error| Error::io("look at the cgroup", error))?;
        let differs = [u64::from(options.blob_bytes), about.ino()];
        let pins = options.pins.as_deref().map(|root| Pins::new(root, FALLBACK.sha256(), &differs));
        let pins = pins.transpose()?;
        // Where it cannot be found out, the kernel says it of the map.
        let inodes = MapType::InodeStorage.is_supported().unwrap_or(true);
        let loaded = load(options.blob_bytes, pins.as_ref(), inodes)?;
        let mut maps = BTreeMap::new();
        for (name, known) in PINNED.iter().filter(|(name, _)| !UNUSED.contains(name)) {
            // What no program of these uses is not there.
            let Some(mut map) = loaded.map_where(|called| is_called(called, name)) else {
                continue;
            };
            let pin = pins.as_ref().map(|pins| pins.map(known)).filter(|pin| !pin.exists());
            if let Some(pin) = pin {
                map.pin(pin).map_err(|error| Error::map(known, &error))?;
            }
            maps.insert(*known, map);
        }
        let links = match &pins {
            Some(pins) => pins.links(PROGRAMS.iter().map(|one| one.0))?,
            None => BTreeMap::new(),
        };
        let (maps, blob_bytes) = (Maps::new(maps)?, options.blob_bytes);
        Ok(Network { pins, blob_bytes, cgroup, maps, loaded, links })
    }

    /// Takes away what is pinned below a directory, whoever left it; false if nothing was.
    pub fn release(pins: &Path) -> Result<bool, Error> {
        cgroup_pins::release(pins)
    }

    /// Programs that this kernel refused, and why.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        let refused = |name: &&str| Some((self.loaded.refused(name)?).to_owned());
        PROGRAMS.iter().filter_map(|(name, _)| Some((*name, refused(name)?))).collect()
    }

    /// Puts a generation in force, after what it needs is attached. On an error the one before
    /// stays in force.
    pub fn apply(&mut self, generation: &Generation<'_>) -> Result<(), Error> {
        let asked = asked(generation.tables);
        self.keep()?;
        for (name, operations) in PROGRAMS {
            if operations.iter().any(|one| asked.has(*one)) && !self.links.contains_key(name) {
                let mut link = self.attach(name)?;
                if let Some(pins) = &self.pins {
                    pins.keep(name, &mut link)?;
                }
                self.links.insert(name, link);
            }
        }
        generation::apply(&self.maps, None, self.blob_bytes, generation)?;
        let needed = |name: &str| {
            let mut programs = PROGRAMS.iter().filter(|one| one.0 == name);
            programs.any(|(_, operations)| operations.iter().any(|one| asked.has(*one)))
        };
        if let Some(pins) = &self.pins {
            self.links
                .keys()
                .filter(|name| !needed(name))
                .try_for_each(|name| pins.forget(name))?;
            pins.forget_others()?;
        }
        self.links.retain(|name, _| needed(name));
        Ok(())
    }

    /// Pins everything again if somebody has unmounted what held it; whether that was so.
    pub fn keep(&self) -> Result<bool, Error> {
        let Some(pins) = self.pins.as_ref().filter(|pins| !pins.are_there()) else {
            return Ok(false);
        };
        pins.make()?;
        self.maps.all().try_for_each(|(name, map)| pins.put_map(name, map.as_fd()))?;
        self.links.iter().try_for_each(|(name, link)| pins.put_link(name, link.as_fd()))?;
        Ok(true)
    }

    /// Lets go of everybody until something is put in force again.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.maps.set_epoch(0)
    }

    /// Processes that took the first steps of sequences, with the selectors that they have since.
    pub fn armings(&self) -> Result<Vec<Arming>, Error> {
        arm::all(&self.maps)
    }

    /// Puts a process among them, or takes it away if no selector is left.
    pub fn arm(&mut self, arming: &Arming) -> Result<(), Error> {
        arm::put(&self.maps, arming)
    }

    /// The programs that are attached.
    pub fn attached(&self) -> Vec<&'static str> {
        self.links.keys().copied().collect()
    }

    /// What the kernel has in force, read back from it; none if nothing is.
    pub fn active(&self) -> Result<Option<Active>, Error> {
        active(&self.maps)
    }

    /// What was decided and what went wrong, since the programs were loaded.
    pub fn counters(&self) -> Result<Counters, Error> {
        Counters::read(&self.maps)
    }

    /// The reader of what was denied. One at a time: a record is read once. These programs end no
    /// process: who reads that a rule wants one ended does.
    pub fn denials(&self) -> Result<Denials<'_>, Error> {
        Denials::open(&self.maps)
    }

    pub(super) fn attach(&self, name: &str) -> Result<Link, Error> {
        let refused = |reason: String| Error::Refused { program: name.to_owned(), reason };
        let program = self.loaded.program(name).ok_or_else(|| {
            refused(self.loaded.refused(name).unwrap_or("not in the object").to_owned())
        })?;
        let is_tracing = program.section().to_string_lossy().starts_with("tp_btf/");
        let (link, _) = messages::during(|| {
            if is_tracing {
                program.attach()
            } else {
                program.attach_cgroup(self.cgroup.as_raw_fd())
            }
        });
        link.map_err(|error| refused(error.to_string()))
    }
}

fn load(blob_bytes: u32, pins: Option<&Pins>, inodes: bool) -> Result<Loaded, Error> {
    let hooks = Hooks::read();
    let template = inner("generation", blob_bytes)?;
    Loaded::accepted(
        &FALLBACK,
        |section| hooks.missing(section),
        |opened| prepare(opened, (blob_bytes, inodes), &template, pins),
    )
}

fn prepare(
    opened: &mut OpenObject,
    (blob_bytes, inodes): (u32, bool),
    template: &libbpf_rs::MapHandle,
    pins: Option<&Pins>,
) -> Result<(), Error> {
    let known = |name: &str| PINNED.iter().find(|one| is_called(name, one.0)).map(|one| one.1);
    for mut map in opened.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let fail =
            |error: libbpf_rs::Error| Error::map("of the object", &format!("{name}: {error}"));
        if UNUSED.contains(&name.as_str()) || (!inodes && name == IN_INODES) {
            map.set_autocreate(false).map_err(fail)?;
            continue;
        }
        if name == "generations" {
            map.set_inner_map_fd(template.as_fd()).map_err(fail)?;
        } else if name.ends_with(".rodata.blob") {
            set(&mut map, &blob_bytes.to_ne_bytes());
        } else if name.ends_with(".rodata.tier") {
            // No program of cgroups may signal before Linux 6.13.
            set(&mut map, &[PROVIDER, 0].map(u32::to_ne_bytes).concat());
        }
        if name.ends_with(".rodata.inodes") {
            set(&mut map, &u32::from(inodes).to_ne_bytes());
        }
        let pin = pins.and_then(|pins| Some(pins.map(known(&name)?)));
        if let Some(pin) = pin.filter(|pin| pin.exists()) {
            map.reuse_pinned_map(&pin).map_err(fail)?;
        }
    }
    Ok(())
}

/// Sets constants of the programs, of which each source of the object brings its copy.
fn set(map: &mut libbpf_rs::OpenMapMut<'_>, bytes: &[u8]) {
    let value = map.initial_value_mut().into_iter().flatten();
    value.zip(bytes.iter().cycle()).for_each(|(to, from)| *to = *from);
}

/// Words of the head of tables, from the start: operations that are watched; for each operation, whom
/// anything is denied to; place and length of that with all policies carried out.
const WATCHED: usize = 17;
const CONCERNED: usize = 210;
const SHADOW: usize = 406 + 2 * 18;
/// Words of a set.
const SET: usize = 8;

/// The operations that rules of these tables are about.
fn asked(tables: &[u8]) -> Operations {
    let (words, _) = tables.as_chunks::<4>();
    let word = |at: usize| words.get(at).map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let any = |from: usize| (0..SET).any(|at| word(from + at) != 0);
    let shadow = (word(SHADOW + 1) > 0).then(|| word(SHADOW) as usize);
    let mut asked = Operations(word(WATCHED));
    for operation in Operation::ALL {
        let at = *operation as usize * SET;
        if any(CONCERNED + at) || shadow.is_some_and(|shadow| any(shadow + at)) {
            asked = asked.with(*operation);
        }
    }
    asked
}
