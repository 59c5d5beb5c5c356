//! Loads, attaches and pins the programs, or finds them pinned.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Func, FuncProto};
use libbpf_rs::{MapCore, MapHandle, OpenMapMut, OpenObject, ReferencesType};

use super::Options;
use super::lsm_offer::{HASHING, MAKERS, NEEDED};
use super::maps::{Maps, PINNED, inner};
use super::pins::{self, named};
use crate::embedded::ENFORCE;
use crate::error::Error;
use crate::hooks::Hooks;
use crate::messages;
use crate::object::{self, Loaded};

/// Maps of headers that the programs share with the sensors and do not use.
const UNUSED: &[&str] = &["settings", "ring_alarm", "ring_life", "ring_rest", "lost", "sent"];
/// Programs that fit only where their hook has so many arguments.
const ARGUMENTS: &[(&str, usize)] = &[("enforce_times", 3), ("enforce_times_old", 2)];
/// Not attached, but run over one process after the other by user space.
const FIND_ANEW: &str = "enforce_find_anew";
/// Sizes of tables that are possible.
const BLOB_SIZES: std::ops::RangeInclusive<u32> = 64 << 10..=64 << 20;
/// Maps that begin as one of another layout: what it has is still true.
const TAKEN_OVER: &[(&str, &str)] = &[("former_subjects", "subjects"), ("made", "made")];
/// Directory of links that are not complete.
const MAKING: &str = "making";

/// What [`open`] found or made.
pub(super) struct Opened {
    pub(super) maps: Maps,
    /// Where the program is pinned that lets a process be found anew.
    pub(super) find_anew: PathBuf,
    pub(super) missing: Vec<(String, String)>,
    pub(super) resumed: bool,
    /// The maps by which programs of another build enforce, if they are laid out in another way.
    pub(super) former: Option<Maps>,
    /// Maps of other layouts, which go when the first generation is in force.
    pub(super) left: Vec<PathBuf>,
}

/// Uses what is pinned by this very build, else loads. Programs of another build are replaced without a
/// moment in which neither is attached: at once if their maps can be shared, else after these
/// programs enforce something.
pub(super) fn open(options: &Options) -> Result<Opened, Error> {
    if !options.blob_bytes.is_power_of_two() || !BLOB_SIZES.contains(&options.blob_bytes) {
        let reason = format!("{} bytes is no possible size", options.blob_bytes);
        return Err(Error::Tables { reason });
    }
    let name = pins::links(options.blob_bytes);
    let mut left = pins::sets(&options.pins)?;
    let resumed = left.iter().find(|set| set.join(&name).is_dir()).cloned();
    let set = match &resumed {
        Some(set) => set.clone(),
        None => options.pins.join(pins::layout(&object::open(&ENFORCE)?, options)),
    };
    left.retain(|other| *other != set);
    let former = former(&set, &left)?;
    let links = set.join(&name);
    let missing = match &resumed {
        Some(_) => unpinned(&links),
        None => begin(options, &set, &links, former)?,
    };
    let (find_anew, maps) = (links.join(FIND_ANEW), pins::maps(&set)?);
    let former = former.map(|set| pins::maps(set)).transpose()?;
    Ok(Opened { maps, find_anew, missing, resumed: resumed.is_some(), former, left })
}

/// Of maps laid out in other ways, those by which something is enforced, if ours enforce nothing.
fn former<'a>(set: &Path, others: &'a [PathBuf]) -> Result<Option<&'a PathBuf>, Error> {
    if pins::epoch(set)? != 0 {
        return Ok(None);
    }
    let epochs = others.iter().map(|other| Ok((pins::epoch(other)?, other)));
    let epochs: Vec<(u64, &PathBuf)> = epochs.collect::<Result<_, Error>>()?;
    Ok(epochs.into_iter().filter(|one| one.0 != 0).max().map(|one| one.1))
}

/// Loads, attaches and pins; gives the programs that are not attached.
fn begin(
    options: &Options,
    set: &Path,
    links: &Path,
    former: Option<&PathBuf>,
) -> Result<Vec<(String, String)>, Error> {
    let making = set.join(MAKING);
    pins::remove(&making)?;
    let begun = || -> Result<Vec<(String, String)>, Error> {
        super::bpffs::provide(&making)?;
        fs::create_dir_all(&making).map_err(|error| named("create", &making, error))?;
        let hooks = Hooks::read();
        let (loaded, left) = load(options, set, former, &hooks)?;
        let missing = attach(&loaded, &making, left, &hooks)?;
        pin_maps(&loaded, set)?;
        fs::rename(&making, links).map_err(|error| named("rename", &making, error))?;
        for other in pins::builds(set)?.iter().filter(|other| *other != links) {
            pins::remove(other)?;
        }
        Ok(missing)
    };
    begun().inspect_err(|_| {
        // The first failure is the one to tell; what stays is taken away by the next attempt.
        drop(clear(&options.pins, set, &making));
    })
}

/// Takes away what a beginning left that failed. What another build has pinned stays in force.
fn clear(pins: &Path, set: &Path, making: &Path) -> Result<(), Error> {
    if !pins::builds(set)?.is_empty() {
        return pins::remove(making);
    }
    pins::remove(set)?;
    if pins::sets(pins)?.is_empty() { pins::remove(pins) } else { Ok(()) }
}

/// Programs that were not attached when the others were.
fn unpinned(links: &Path) -> Vec<(String, String)> {
    let reason = "it was not attached when the programs were loaded";
    let programs = NEEDED.iter().map(|one| &one.0).chain(HASHING).chain(MAKERS);
    let programs = programs.filter(|program| !links.join(program).exists());
    let mut missing: Vec<(String, String)> =
        programs.map(|program| ((*program).to_owned(), reason.to_owned())).collect();
    missing.dedup();
    missing
}

/// Loads all programs that this kernel has the hooks of; gives the ones left out by their arguments.
fn load(
    options: &Options,
    set: &Path,
    former: Option<&PathBuf>,
    hooks: &Hooks,
) -> Result<(Loaded, Vec<(String, String)>), Error> {
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
    let loaded = Loaded::accepted(&ENFORCE, skip, |opened| {
        for mut program in opened.progs_mut() {
            if left.iter().any(|(name, _)| program.name() == OsStr::new(name)) {
                program.set_autoload(false);
            }
        }
        prepare(opened, options, &template)?;
        share(opened, set, former)
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

fn refused(map: &OpenMapMut<'_>) -> impl Fn(libbpf_rs::Error) -> Error + use<> {
    let name = map.name().to_string_lossy().into_owned();
    move |error| Error::map("of the object", &format!("{name}: {error}"))
}

fn prepare(opened: &mut OpenObject, options: &Options, template: &MapHandle) -> Result<(), Error> {
    use std::os::fd::AsFd;
    for mut map in opened.maps_mut() {
        let (name, fail) = (map.name().to_string_lossy().into_owned(), refused(&map));
        if UNUSED.contains(&name.as_str()) {
            map.set_autocreate(false).map_err(fail)?;
            continue;
        }
        if name == "generations" {
            map.set_inner_map_fd(template.as_fd()).map_err(&fail)?;
        }
        if name == "made" {
            map.set_max_entries(options.files).map_err(fail)?;
        }
        let constants =
            [(".rodata.blob", options.blob_bytes), (".rodata.made", options.files / 4 * 3)];
        let constant = constants.iter().find(|one| name.ends_with(one.0));
        if let Some((constant, value)) = constant.zip(map.initial_value_mut()) {
            // Each source of the object brings its copy of the constant.
            let bytes = constant.1.to_ne_bytes();
            for (to, from) in value.iter_mut().zip(bytes.into_iter().cycle()) {
                *to = from;
            }
        }
    }
    Ok(())
}

/// Lets the programs use maps that are pinned already, and what those of another layout knew of processes
/// and files.
fn share(opened: &mut OpenObject, set: &Path, former: Option<&PathBuf>) -> Result<(), Error> {
    let former = former.filter(|set| pins::means_the_same(set));
    for mut map in opened.maps_mut() {
        let (name, fail) = (map.name().to_string_lossy().into_owned(), refused(&map));
        let Some((_, pin)) = PINNED.iter().find(|(known, _)| is_called(&name, known)) else {
            continue;
        };
        let path = set.join(pin);
        let taken = TAKEN_OVER.iter().find(|(to, _)| to == pin);
        let known = former.zip(taken).map(|(set, (_, from))| set.join(from));
        if let Some(known) = known.filter(|known| !path.exists() && known.exists()) {
            let mut known = MapHandle::from_pinned_path(known).map_err(&fail)?;
            let sizes = (known.key_size(), known.value_size());
            if sizes == (map.key_size(), map.value_size())
                && known.max_entries() >= map.max_entries()
            {
                // Pinned here at once: a map that is used again goes by the name that it was made with.
                known.pin(&path).map_err(&fail)?;
            }
        }
        if path.exists() {
            map.reuse_pinned_map(&path).map_err(fail)?;
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

fn pin_maps(loaded: &Loaded, set: &Path) -> Result<(), Error> {
    for (name, pin) in PINNED {
        let path = set.join(pin);
        if !path.exists() {
            let map = loaded.map_where(|called| is_called(called, name));
            let mut map = map.ok_or_else(|| Error::map(pin, &"not in the object"))?;
            map.pin(&path).map_err(|error| Error::map(pin, &error))?;
        }
    }
    Ok(())
}
