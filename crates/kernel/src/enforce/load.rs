//! Loads, attaches and pins the programs, or finds them pinned.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Func, FuncProto};
use libbpf_rs::{MapHandle, OpenObject, ReferencesType};

use super::Options;
use super::lsm_offer::NEEDED;
use super::maps::{Maps, PINNED, inner};
use crate::error::Error;
use crate::hooks::Hooks;
use crate::messages;
use crate::object::{Aligned, Loaded};

pub(super) static OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/enforce.bpf.o")));

/// Maps of headers that the programs share with the sensors and do not use.
const UNUSED: &[&str] = &["settings", "ring_alarm", "ring_life", "ring_rest", "lost", "sent"];
/// Programs that fit only where their hook has so many arguments.
const ARGUMENTS: &[(&str, usize)] = &[("enforce_times", 3), ("enforce_times_old", 2)];
/// Not attached, but run over one process after the other by user space.
const FIND_ANEW: &str = "enforce_find_anew";
/// Sizes of tables that are possible.
const BLOB_SIZES: std::ops::RangeInclusive<u32> = 64 << 10..=64 << 20;
/// The directories of links are called so, with the identity of the object behind it.
const LINKS: &str = "links-";
/// Directory of links that are not complete.
const MAKING: &str = "making";

/// What [`open`] found or made.
pub(super) struct Opened {
    pub(super) maps: Maps,
    /// Where the program is pinned that lets a process be found anew.
    pub(super) find_anew: PathBuf,
    pub(super) missing: Vec<(String, String)>,
    pub(super) resumed: bool,
}

/// Uses what is pinned by this very build, else loads; programs of another build are replaced without
/// a moment in which neither is attached.
pub(super) fn open(options: &Options) -> Result<Opened, Error> {
    if !options.blob_bytes.is_power_of_two() || !BLOB_SIZES.contains(&options.blob_bytes) {
        let reason = format!("{} bytes is no possible size", options.blob_bytes);
        return Err(Error::Tables { reason });
    }
    let pins = &options.pins;
    let links = pins.join(format!("{LINKS}{:016x}-{}", identity(), options.blob_bytes));
    if links.is_dir() {
        let (missing, find_anew) = (unpinned(&links), links.join(FIND_ANEW));
        return Ok(Opened { maps: pinned(pins)?, find_anew, missing, resumed: true });
    }
    let making = pins.join(MAKING);
    remove(&making)?;
    let missing = match begin(options, &making, &links) {
        Ok(missing) => missing,
        Err(error) => {
            // The first failure is the one to tell; what stays is taken away by the next attempt.
            drop(clear(pins, &making));
            return Err(error);
        }
    };
    for other in others(pins, &links)? {
        remove(&other)?;
    }
    Ok(Opened { maps: pinned(pins)?, find_anew: links.join(FIND_ANEW), missing, resumed: false })
}

/// Loads, attaches and pins; gives the programs that are not attached.
fn begin(options: &Options, making: &Path, links: &Path) -> Result<Vec<(String, String)>, Error> {
    make(making)?;
    let hooks = Hooks::read();
    let (loaded, left) = load(options, &hooks)?;
    let missing = attach(&loaded, making, left, &hooks)?;
    pin_maps(&loaded, &options.pins)?;
    fs::rename(making, links).map_err(|error| named("rename", making, error))?;
    Ok(missing)
}

/// Takes away what a beginning left that failed. What another build has pinned stays in force.
fn clear(pins: &Path, making: &Path) -> Result<(), Error> {
    if others(pins, Path::new(""))?.is_empty() { unpin(pins) } else { remove(making) }
}

/// Which programs these are: two builds whose programs differ have different ones.
fn identity() -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&OBJECT.0);
    hasher.finish()
}

fn named(what: &str, path: &Path, error: io::Error) -> Error {
    Error::io(format!("{what} {}", path.display()), error)
}

fn make(directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(|error| named("create", directory, error))
}

/// Removes a directory of pins, which has no directories in it; none is fine.
fn remove(directory: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(named("read", directory, error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| named("read", directory, error))?.path();
        fs::remove_file(&path).map_err(|error| named("remove", &path, error))?;
    }
    fs::remove_dir(directory).map_err(|error| named("remove", directory, error))
}

/// Directories of links, save one.
fn others(pins: &Path, but: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(pins).map_err(|error| named("read", pins, error))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let links = |path: &PathBuf| {
        path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(LINKS))
    };
    Ok(paths.filter(|path| links(path) && path != but).collect())
}

/// Programs that were not attached when the others were.
fn unpinned(links: &Path) -> Vec<(String, String)> {
    let reason = "it was not attached when the programs were loaded";
    let programs = NEEDED.iter().filter(|(program, _)| !links.join(program).exists());
    let mut missing: Vec<(String, String)> =
        programs.map(|(program, _)| ((*program).to_owned(), reason.to_owned())).collect();
    missing.dedup();
    missing
}

fn pinned(pins: &Path) -> Result<Maps, Error> {
    let mut maps = BTreeMap::new();
    for (_, pin) in PINNED {
        let map = MapHandle::from_pinned_path(pins.join(pin));
        maps.insert(*pin, map.map_err(|error| Error::map(pin, &error))?);
    }
    Ok(Maps::new(maps))
}

/// Loads all programs that this kernel has the hooks of; gives the ones left out by their arguments.
fn load(options: &Options, hooks: &Hooks) -> Result<(Loaded, Vec<(String, String)>), Error> {
    let btf = Btf::from_vmlinux().ok();
    let skip = |section: &OsStr| hooks.missing(section);
    let mut left = Vec::new();
    for (program, wanted) in ARGUMENTS {
        let found = btf.as_ref().and_then(|btf| arguments(btf, "bpf_lsm_inode_setattr"));
        if found.is_some_and(|found| found != *wanted) {
            left.push(((*program).to_owned(), format!("its hook has not {wanted} arguments")));
        }
    }
    let template = inner("generation", options.blob_bytes)?;
    let loaded = Loaded::accepted(&OBJECT.0, skip, |opened| {
        for mut program in opened.progs_mut() {
            if left.iter().any(|(name, _)| program.name() == OsStr::new(name)) {
                program.set_autoload(false);
            }
        }
        prepare(opened, options, &template)
    })?;
    Ok((loaded, left))
}

/// How many arguments a function of the kernel has.
fn arguments(btf: &Btf<'_>, function: &str) -> Option<usize> {
    let function = btf.type_by_name::<Func<'_>>(function)?;
    let prototype: FuncProto<'_> = btf.type_by_id(function.referenced_type_id())?;
    Some(prototype.len())
}

/// Maps of variables have the object's name before theirs.
pub(super) fn is_called(name: &str, known: &str) -> bool {
    name == known || known.starts_with('.') && name.ends_with(known)
}

fn prepare(opened: &mut OpenObject, options: &Options, template: &MapHandle) -> Result<(), Error> {
    use std::os::fd::AsFd;
    for mut map in opened.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let fail =
            |error: libbpf_rs::Error| Error::map("of the object", &format!("{name}: {error}"));
        if UNUSED.contains(&name.as_str()) {
            map.set_autocreate(false).map_err(fail)?;
            continue;
        }
        if name == "generations" {
            map.set_inner_map_fd(template.as_fd()).map_err(fail)?;
        }
        if name.ends_with(".rodata.blob")
            && let Some(value) = map.initial_value_mut()
        {
            // Each source of the object brings its copy of the constant.
            let bytes = options.blob_bytes.to_ne_bytes();
            for (to, from) in value.iter_mut().zip(bytes.into_iter().cycle()) {
                *to = from;
            }
        }
        if let Some((_, pin)) = PINNED.iter().find(|(known, _)| is_called(&name, known)) {
            let path = options.pins.join(pin);
            if path.exists() {
                map.reuse_pinned_map(&path).map_err(fail)?;
            }
        }
    }
    Ok(())
}

/// Attaches all programs and pins their links. A program whose hook this kernel does not have is left
/// out; one that it refuses would leave a hole, so it is an error.
fn attach(
    loaded: &Loaded,
    links: &Path,
    mut missing: Vec<(String, String)>,
    hooks: &Hooks,
) -> Result<Vec<(String, String)>, Error> {
    for (name, section) in loaded.programs() {
        if missing.iter().any(|(left, _)| *left == name) {
            continue;
        }
        if let Some(reason) = hooks.missing(&section) {
            missing.push((name, reason));
            continue;
        }
        let refused = |reason: String| Error::Refused { program: name.clone(), reason };
        let Some(mut program) = loaded.program(&name) else {
            return Err(refused(loaded.refused(&name).unwrap_or_default().to_owned()));
        };
        if name == FIND_ANEW {
            program.pin(links.join(&name)).map_err(|error| refused(error.to_string()))?;
            continue;
        }
        let (attached, _) = messages::during(|| program.attach());
        let mut link = attached.map_err(|error| refused(error.to_string()))?;
        link.pin(links.join(&name)).map_err(|error| refused(error.to_string()))?;
    }
    Ok(missing)
}

fn pin_maps(loaded: &Loaded, pins: &Path) -> Result<(), Error> {
    for (name, pin) in PINNED {
        let path = pins.join(pin);
        if !path.exists() {
            let map = loaded.map_where(|called| is_called(called, name));
            let mut map = map.ok_or_else(|| Error::map(pin, &"not in the object"))?;
            map.pin(&path).map_err(|error| Error::map(pin, &error))?;
        }
    }
    Ok(())
}

/// Takes all pins away.
pub(super) fn unpin(pins: &Path) -> Result<(), Error> {
    for links in others(pins, Path::new(""))? {
        remove(&links)?;
    }
    remove(&pins.join(MAKING))?;
    remove(pins)
}
