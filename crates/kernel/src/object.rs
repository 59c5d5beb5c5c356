//! The embedded BPF object: opened, sized, loaded; programs that this kernel refuses are left out
//! and the reason is kept.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use libbpf_rs::{Map, MapCore, MapFlags, MapHandle, Object, ObjectBuilder, OpenObject, ProgramMut};

use crate::embedded::{Embedded, PROBE, SENSORS};
use crate::error::Error;
use crate::messages;
use crate::sensors::Options;

/// The kernel's own type information.
const BTF: &str = "/sys/kernel/btf/vmlinux";
/// Names of the rings, in the order of `enum ring`.
pub(crate) const RINGS: [&str; 3] = ["ring_alarm", "ring_life", "ring_rest"];

/// A loaded object and the programs that were left out.
#[derive(Debug)]
pub(crate) struct Loaded {
    object: Object,
    refused: BTreeMap<String, String>,
}

/// Opens one of the embedded objects, if it is what it was.
pub(crate) fn open(object: &Embedded) -> Result<OpenObject, Error> {
    let bytes = object.checked()?;
    if !std::path::Path::new(BTF).exists() {
        return Err(Error::NoBtf { path: PathBuf::from(BTF) });
    }
    let (opened, said) = messages::during(|| ObjectBuilder::default().open_memory(bytes));
    opened.map_err(|error| Error::Load { reason: format!("{error}: {}", said.join(" ")) })
}

impl Loaded {
    /// Loads all sensors that `skip` does not name a reason against and that the kernel takes.
    pub(crate) fn load(
        options: &Options,
        skip: impl Fn(&OsStr) -> Option<String>,
    ) -> Result<Loaded, Error> {
        Loaded::accepted(&SENSORS, skip, |opened| size_rings(opened, options))
    }

    /// Loads the probe programs that the kernel takes, save those that `skip` has a reason against.
    pub(crate) fn probes(skip: impl Fn(&OsStr) -> Option<String>) -> Result<Loaded, Error> {
        Loaded::accepted(&PROBE, skip, |_| Ok(()))
    }

    /// Leaves out one program after another that the kernel refuses: each time the load begins
    /// again, so what is known to be refused is better skipped.
    pub(crate) fn accepted(
        object: &Embedded,
        skip: impl Fn(&OsStr) -> Option<String>,
        prepare: impl Fn(&mut OpenObject) -> Result<(), Error>,
    ) -> Result<Loaded, Error> {
        let mut refused = BTreeMap::new();
        let mut first = true;
        loop {
            let mut opened = open(object)?;
            prepare(&mut opened)?;
            for mut program in opened.progs_mut() {
                let name = program.name().to_string_lossy().into_owned();
                if let Some(reason) = first.then(|| skip(program.section())).flatten() {
                    refused.insert(name.clone(), reason);
                }
                // What `prepare` left out stays out.
                if refused.contains_key(&name) {
                    program.set_autoload(false);
                }
            }
            first = false;
            let (loaded, said) = messages::during(|| opened.load());
            let error = match loaded {
                Ok(object) => return Ok(Loaded { object, refused }),
                Err(error) => error,
            };
            match messages::blamed(&said) {
                // Each round leaves out one more: bounded by the number of programs.
                Some((name, reason)) if !refused.contains_key(&name) => {
                    refused.insert(name, reason);
                }
                _ => return Err(load_error(&error, &said)),
            }
        }
    }

    /// Programs that were left out, and why.
    pub(crate) fn refused(&self, program: &str) -> Option<&str> {
        self.refused.get(program).map(String::as_str)
    }

    /// A loaded program.
    pub(crate) fn program(&self, name: &str) -> Option<ProgramMut<'_>> {
        self.object.progs_mut().find(|p| p.name() == OsStr::new(name) && p.autoload())
    }

    /// The names and sections of all programs, loaded or not.
    pub(crate) fn programs(&self) -> Vec<(String, OsString)> {
        let both = |one: ProgramMut<'_>| {
            (one.name().to_string_lossy().into_owned(), one.section().to_owned())
        };
        self.object.progs_mut().map(both).collect()
    }

    /// Asks something of each program that was loaded.
    pub(crate) fn each_loaded<T>(
        &self,
        ask: impl Fn(String, BorrowedFd<'_>) -> Option<T>,
    ) -> Vec<T> {
        let loaded = self.object.progs_mut().filter(|one| one.autoload());
        let each =
            loaded.filter_map(|one| ask(one.name().to_string_lossy().into_owned(), one.as_fd()));
        each.collect()
    }

    /// The first map with such a name, that can be used apart from the object.
    pub(crate) fn map_where(&self, is_called: impl Fn(&str) -> bool) -> Option<MapHandle> {
        let map = self.object.maps().find(|map| is_called(&map.name().to_string_lossy()))?;
        MapHandle::try_from(&map).ok()
    }

    /// A map.
    pub(crate) fn map(&self, name: &'static str) -> Result<Map<'_>, Error> {
        let map = self.object.maps().find(|map| map.name() == OsStr::new(name));
        map.ok_or_else(|| Error::map(name, &"not in the object"))
    }

    /// Replaces one value of a map.
    pub(crate) fn set(&self, name: &'static str, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.map(name)?.update(key, value, MapFlags::ANY).map_err(|e| Error::map(name, &e))
    }

    /// A map that can be used apart from the object.
    pub(crate) fn map_handle(&self, name: &'static str) -> Result<MapHandle, Error> {
        MapHandle::try_from(&self.map(name)?).map_err(|error| Error::map(name, &error))
    }

    /// The descriptor of a map; it lives as long as the object.
    pub(crate) fn map_fd(&self, name: &'static str) -> Result<std::os::fd::OwnedFd, Error> {
        let map = self.map(name)?;
        let fd: BorrowedFd<'_> = map.as_fd();
        fd.try_clone_to_owned()
            .map_err(|error| Error::io(format!("descriptor of map {name}"), error))
    }
}

fn size_rings(opened: &mut OpenObject, options: &Options) -> Result<(), Error> {
    for mut map in opened.maps_mut() {
        let Some(at) = RINGS.iter().position(|ring| map.name() == OsStr::new(ring)) else {
            continue;
        };
        let (Some(name), Some(bytes)) = (RINGS.get(at), options.ring_bytes.get(at)) else {
            continue;
        };
        map.set_max_entries(*bytes).map_err(|error| Error::map(name, &error))?;
    }
    Ok(())
}

fn load_error(error: &libbpf_rs::Error, said: &[String]) -> Error {
    if error.kind() == libbpf_rs::ErrorKind::PermissionDenied {
        let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        return Error::NoPrivilege { what: "load BPF programs".to_owned(), source };
    }
    let last = said.last().map_or("", String::as_str).trim();
    Error::Load { reason: format!("{error} {last}") }
}
