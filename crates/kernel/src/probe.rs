//! What this kernel loads and attaches, found by doing it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore, MapFlags};
use model::interest::Interest;
use model::op::{Kind, KindSet};

use crate::error::Error;
use crate::messages;
use crate::object::Loaded;
use crate::report::{Report, Tier};
use crate::sensors::{Options, Sensors};

/// A class of programs that a kernel allows or refuses as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Lsm,
    LsmSleepable,
    Fentry,
    Tracepoint,
    Cgroup,
    Iter,
    Syscall,
    RawTracepoint,
}

/// Class, its probe program, and the beginnings of the sections that belong to it.
const CLASSES: &[(Class, &str, &[&str])] = &[
    (Class::LsmSleepable, "probe_lsm_sleepable", &["lsm.s/"]),
    (Class::Lsm, "probe_lsm", &["lsm/"]),
    (Class::Fentry, "probe_fentry", &["fentry/", "fexit/", "fmod_ret/"]),
    (Class::Tracepoint, "probe_tp_btf", &["tp_btf/"]),
    (Class::Cgroup, "probe_cgroup", &["cgroup/", "cgroup_skb/"]),
    (Class::Iter, "probe_iter", &["iter/"]),
    (Class::Syscall, "probe_syscall", &["syscall"]),
    (Class::RawTracepoint, "probe_raw_tp", &["raw_tp/"]),
];

/// The class of a program, by its section.
pub(crate) fn class_of(section: &OsStr) -> Option<Class> {
    let section = section.to_str()?;
    let found = CLASSES.iter().find(|(_, _, starts)| starts.iter().any(|s| section.starts_with(s)));
    found.map(|(class, _, _)| *class)
}

/// Which classes this kernel refuses, and its words.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    refused: BTreeMap<Class, String>,
}

impl Classes {
    /// Loads and attaches one program of each class.
    pub(crate) fn find(cgroup: Option<&Path>) -> Result<Classes, Error> {
        let loaded = Loaded::probes(|_| None)?;
        let mut refused = BTreeMap::new();
        for (class, program, _) in CLASSES {
            if let Err(reason) = try_one(&loaded, *class, program, cgroup) {
                refused.insert(*class, reason);
            }
        }
        Ok(Classes { refused })
    }

    /// Why a class is refused; none: it is not.
    pub(crate) fn refused(&self, class: Class) -> Option<&str> {
        self.refused.get(&class).map(String::as_str)
    }

    /// The tier that follows.
    pub(crate) fn tier(&self) -> Tier {
        let offers = |class| self.refused(class).is_none();
        if offers(Class::Lsm) {
            Tier::Lsm
        } else if offers(Class::Cgroup) {
            Tier::Fallback
        } else {
            Tier::Observe
        }
    }
}

/// Attaches a probe program and detaches it again.
fn try_one(
    loaded: &Loaded,
    class: Class,
    program: &str,
    cgroup: Option<&Path>,
) -> Result<(), String> {
    let Some(program) = loaded.program(program) else {
        return Err(loaded.refused(program).unwrap_or("not in the object").to_owned());
    };
    let root = match class {
        Class::Cgroup => Some(open_cgroup(cgroup).map_err(|error| error.to_string())?),
        _ => None,
    };
    let (attached, _) = messages::during(|| match (class, &root) {
        // Runs on demand only: there is nothing to attach to.
        (Class::Syscall, _) => Ok(None),
        (_, Some(root)) => program.attach_cgroup(root.as_raw_fd()).map(Some),
        _ => program.attach().map(Some),
    });
    let attached = attached.map_err(|error| error.to_string())?;
    let is_lsm = matches!(class, Class::Lsm | Class::LsmSleepable);
    let done = if is_lsm { is_asked(loaded) } else { Ok(()) };
    drop(attached);
    done
}

/// Where the probe programs of LSM count how often they were asked.
const ASKED: &str = ".data.asked";

/// Opens a file: whether the programs of LSM that are attached are asked. Where BPF is built in and stands in no
/// list of LSMs (`lsm=`), as on many hosts, they attach and never are.
fn is_asked(loaded: &Loaded) -> Result<(), String> {
    let map = loaded.map_where(|name| name.ends_with(ASKED));
    let map = map.ok_or_else(|| format!("{ASKED} is not in the object"))?;
    let count = || map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).map_err(|e| e.to_string());
    let before = count()?;
    File::open("/").map_err(|error| error.to_string())?;
    if count()? == before {
        return Err("BPF is not among the LSMs of this kernel (lsm= at boot)".to_owned());
    }
    Ok(())
}

/// Opens the root of the version 2 hierarchy.
pub(crate) fn open_cgroup(root: Option<&Path>) -> Result<File, Error> {
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let path = match root {
        Some(path) => path.to_owned(),
        None => {
            cgroup2_root().ok_or_else(|| Error::io("find the cgroup2 file system", missing()))?
        }
    };
    File::open(&path).map_err(|error| Error::io(format!("open {}", path.display()), error))
}

/// Where cgroup version 2 is mounted, from /proc/mounts.
pub(crate) fn cgroup2_root() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let path = words.next()?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(path))
    })
}

/// Release of the running kernel.
pub(crate) fn kernel_release() -> String {
    let name = nix::sys::utsname::uname();
    name.map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}

/// Loads and attaches the smallest LSM program; the kernel's words if it refuses. Where it does, it
/// refuses all others, too, and each of them would take its time.
pub fn lsm() -> Result<(), String> {
    let other = |section: &OsStr| (class_of(section) != Some(Class::Lsm)).then(String::new);
    let loaded = Loaded::probes(other).map_err(|error| error.to_string())?;
    try_one(&loaded, Class::Lsm, "probe_lsm", None)
}

/// Loads and attaches everything, tells what worked, and detaches again.
pub fn report() -> Result<Report, Error> {
    let mut sensors = Sensors::load(Options::default())?;
    let everything =
        Interest { kinds: Kind::ALL.iter().copied().collect::<KindSet>(), ..Interest::default() };
    let mut report = sensors.subscribe(&everything)?;
    for operation in &mut report.operations {
        operation.attached = false;
    }
    Ok(report)
}
