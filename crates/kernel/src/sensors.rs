//! The sensors of the guard: loads the programs, attaches for each wanted operation the best way
//! that works, and detaches what nobody wants any more.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use libbpf_rs::Link;
use model::interest::Interest;
use model::op::{Kind, KindSet};
use model::wire::KIND_MAX;
use nix::sys::epoll::{Epoll, EpollCreateFlags};

use crate::counters::Counters;
use crate::error::Error;
use crate::ffi::open_iterator;
use crate::inject::Injector;
use crate::object::{Loaded, RINGS};
use crate::probe::{Class, Classes, class_of, kernel_release, open_cgroup};
use crate::report::{Operation, Report, State};
use crate::ways::{self, Means, SourceKind, WAYS, Way};

/// Thread groups whose own events are dropped; `OWN_PIDS` in maps.h.
const OWN_PIDS: usize = 4;
/// Bytes of `struct config` in maps.h.
const CONFIG_BYTES: usize = KIND_MAX as usize + 4 * OWN_PIDS + 8;
/// Where in it the flag for the environment is.
const CONFIG_ENV: usize = KIND_MAX as usize + 4 * OWN_PIDS;

/// What the operator may set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sizes of the rings in bytes (powers of two, multiples of the page size), in the order of
    /// `enum ring`.
    pub ring_bytes: [u32; 3],
    /// Processes of the agent (at most four): their own events are not reported, save those by
    /// which others act on them.
    pub own_pids: Vec<u32>,
    /// Root of the cgroup version 2 hierarchy; found in /proc/mounts when not given.
    pub cgroup_root: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        // Alarms are few; 4 MiB of process life are some 4,000 execs, 8 MiB some 40,000 file events.
        let ring_bytes = [256 << 10, 4 << 20, 8 << 20];
        Options { ring_bytes, own_pids: vec![std::process::id()], cgroup_root: None }
    }
}

/// The loaded sensors. Dropping them detaches everything.
#[derive(Debug)]
pub struct Sensors {
    loaded: Loaded,
    classes: Classes,
    cgroup: Option<File>,
    /// Attached programs by name.
    links: BTreeMap<&'static str, Link>,
    /// Why a program could not be attached.
    failed: BTreeMap<&'static str, String>,
    snapshot: Option<Link>,
    rings: [OwnedFd; 3],
    injector: Option<Injector>,
    epoll: Epoll,
    own: Vec<u32>,
    env: bool,
}

impl Sensors {
    /// Loads all programs that this kernel takes. Nothing is attached yet.
    pub fn load(options: Options) -> Result<Sensors, Error> {
        let cgroup = open_cgroup(options.cgroup_root.as_deref()).ok();
        let classes = Classes::find(options.cgroup_root.as_deref());
        let loaded = Loaded::load(&options, |section, _| {
            class_of(section).and_then(|class| classes.refused(class)).map(str::to_owned)
        })?;
        let [alarm, life, rest] = RINGS;
        let rings = [loaded.map_fd(alarm)?, loaded.map_fd(life)?, loaded.map_fd(rest)?];
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|error| Error::io("create an epoll descriptor", error.into()))?;
        let injector = Injector::new(&loaded);
        let mut sensors = Sensors {
            loaded,
            classes,
            cgroup,
            links: BTreeMap::new(),
            failed: BTreeMap::new(),
            snapshot: None,
            rings,
            injector,
            epoll,
            own: options.own_pids,
            env: false,
        };
        sensors.configure(&BTreeMap::new())?;
        Ok(sensors)
    }

    /// Attaches the best way of each wanted operation, detaches what nobody wants any more.
    pub fn subscribe(&mut self, interest: &Interest) -> Result<Report, Error> {
        self.env = !interest.env.is_empty();
        let chosen = self.choose(interest.kinds);
        self.configure(&chosen)?;
        let used = |name: &str| {
            chosen.values().any(|way| matches!(way.means, Means::Programs(p) if p.contains(&name)))
        };
        self.links.retain(|name, _| used(name));
        Ok(self.report(&chosen))
    }

    /// For each wanted kind the first way that attaches.
    fn choose(&mut self, kinds: KindSet) -> BTreeMap<Kind, &'static Way> {
        let mut chosen = BTreeMap::new();
        for kind in kinds.iter() {
            let way = ways::of(kind).find(|way| match way.means {
                Means::Programs(programs) => programs.iter().all(|name| self.attach(name)),
                Means::Source(source) => self.start(source),
            });
            if let Some(way) = way {
                chosen.insert(kind, way);
            }
        }
        chosen
    }

    /// Attaches a program unless it is attached; false when that is not possible.
    fn attach(&mut self, name: &'static str) -> bool {
        if self.links.contains_key(name) {
            return true;
        }
        match self.attach_new(name) {
            Ok(Some(link)) => {
                self.links.insert(name, link);
                true
            }
            Ok(None) => true,
            Err(reason) => {
                self.failed.insert(name, reason);
                false
            }
        }
    }

    /// None for a program that needs no lasting attachment.
    fn attach_new(&self, name: &'static str) -> Result<Option<Link>, String> {
        let Some(program) = self.loaded.program(name) else {
            let reason = self.loaded.refused(name).unwrap_or("not in the object");
            return Err(reason.to_owned());
        };
        let (attached, _) = crate::messages::during(|| match class_of(program.section()) {
            Some(Class::Cgroup) => match &self.cgroup {
                Some(root) => program.attach_cgroup(root.as_raw_fd()).map(Some),
                None => Err(std::io::Error::from(std::io::ErrorKind::NotFound).into()),
            },
            // An iterator is attached when it is read.
            Some(Class::Iter | Class::Syscall) => Ok(None),
            _ => program.attach().map(Some),
        });
        attached.map_err(|error| error.to_string())
    }

    fn start(&mut self, _source: SourceKind) -> bool {
        self.injector.is_some() && false
    }

    /// Tells the programs who reports what.
    fn configure(&mut self, chosen: &BTreeMap<Kind, &'static Way>) -> Result<(), Error> {
        let mut config = [0u8; CONFIG_BYTES];
        for (kind, way) in chosen {
            if let (Means::Programs(_), Some(by)) = (way.means, config.get_mut(*kind as usize)) {
                *by = way.provider as u8;
            }
        }
        let words = self.own.iter().take(OWN_PIDS).flat_map(|pid| pid.to_ne_bytes());
        for (byte, value) in config.iter_mut().skip(KIND_MAX as usize).zip(words) {
            *byte = value;
        }
        if let Some(env) = config.get_mut(CONFIG_ENV) {
            *env = u8::from(self.env);
        }
        self.loaded.set("settings", &0u32.to_ne_bytes(), &config)
    }

    fn report(&self, chosen: &BTreeMap<Kind, &'static Way>) -> Report {
        let operations = Kind::ALL.iter().map(|kind| self.operation(*kind, chosen.get(kind).copied()));
        Report {
            tier: self.classes.tier(),
            kernel: kernel_release(),
            btf: true,
            operations: operations.collect(),
        }
    }

    fn operation(&self, kind: Kind, chosen: Option<&'static Way>) -> Operation {
        let best = ways::of(kind).next();
        let way = chosen.or_else(|| ways::of(kind).find(|way| self.offers(way)));
        let why_not_best = best.and_then(|best| self.why_not(best)).unwrap_or_default();
        let improve = match (best, way) {
            (Some(best), Some(way)) if !std::ptr::eq(best, way) => self.improve(best),
            (Some(best), None) => self.improve(best),
            _ => String::new(),
        };
        Operation {
            kind,
            state: if way.is_some() { State::Observed } else { State::Absent },
            provider: way.map(|way| way.provider),
            hook: way.map_or_else(String::new, |way| way.hook.to_owned()),
            attached: chosen.is_some(),
            note: way.map_or(why_not_best, |way| way.note.to_owned()),
            improve,
        }
    }

    /// Whether a way that is not attached would be, as far as is known without attaching it.
    fn offers(&self, way: &Way) -> bool {
        match way.means {
            Means::Programs(programs) => programs
                .iter()
                .all(|name| self.loaded.program(name).is_some() && !self.failed.contains_key(name)),
            Means::Source(_) => false,
        }
    }

    /// Why a way is closed; none when nothing speaks against it.
    fn why_not(&self, way: &Way) -> Option<String> {
        let Means::Programs(programs) = way.means else { return None };
        programs.iter().find_map(|name| {
            let reason = self.failed.get(name).map(String::as_str);
            let reason = reason.or_else(|| self.loaded.refused(name))?;
            Some(format!("{}: {reason}", way.hook))
        })
    }

    /// What the operator can do to get a way that is closed.
    fn improve(&self, way: &Way) -> String {
        let why = self.why_not(way).unwrap_or_default();
        let lsm = way.provider == crate::report::Provider::Lsm;
        if lsm && self.classes.refused(Class::Fentry).is_some() {
            return format!("run a kernel that allows BPF trampolines ({why})");
        }
        if lsm && self.classes.refused(Class::Lsm).is_some() {
            return format!("boot with bpf in the lsm= list ({why})");
        }
        why
    }

    /// Descriptors of the rings in the order of `enum ring`, for the worker.
    pub fn ring_fds(&self) -> [BorrowedFd<'_>; 3] {
        self.rings.each_ref().map(AsFd::as_fd)
    }

    /// A descriptor that yields a KIND_TASK record for each process, padded to 8 bytes each.
    pub fn snapshot(&mut self) -> Result<OwnedFd, Error> {
        let failed = |reason: String| Error::Refused { program: "iter_tasks".to_owned(), reason };
        let link = match self.snapshot.take() {
            Some(link) => link,
            None => {
                let program = self.loaded.program("iter_tasks");
                let program = program.ok_or_else(|| {
                    failed(self.loaded.refused("iter_tasks").unwrap_or_default().to_owned())
                })?;
                program.attach().map_err(|error| failed(error.to_string()))?
            }
        };
        let pass = open_iterator(link.as_fd());
        self.snapshot = Some(link);
        pass.map_err(|error| Error::io("open the task iterator", error))
    }

    /// Readable when a source in user space has something; then call [`Sensors::service`].
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// Takes what the sources in user space have and puts it into the rings.
    pub fn service(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// What was sent and lost so far.
    pub fn counters(&self) -> Result<Counters, Error> {
        Counters::read(&self.loaded)
    }

    /// The way of user-space records into the rings; none before 5.14.
    pub fn injector(&self) -> Option<Injector> {
        Injector::new(&self.loaded)
    }
}

const _: () = assert!(WAYS.len() >= 4, "process life is always there");
