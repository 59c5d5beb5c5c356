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

use crate::bench::Producer;
use crate::counters::Counters;
use crate::error::Error;
use crate::ffi::open_iterator;
use crate::hooks::Hooks;
use crate::inject::Injector;
use crate::object::{Loaded, RINGS};
use crate::probe::{Class, Classes, class_of, kernel_release, open_cgroup};
use crate::report::{Operation, Provider, Report, State};
use crate::sink::Sink;
use crate::source::{self, Offer, SourceId, Sources, WATCHED, WatchMaps};
use crate::usage::{self, MapUse, ProgramUse};
use crate::ways::{self, LAST, WAYS, Way};

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
    sources: Sources,
    /// What the sources in user space give here, and why the others do not.
    offers: Vec<Offer>,
    source_errors: Vec<String>,
    own: Vec<u32>,
    env: bool,
    /// What was chosen for each kind at the last subscription.
    chosen: BTreeMap<Kind, Choice>,
}

/// Where there is no way into the rings, only sources without records of their own are at work.
struct Nowhere;

impl Sink for Nowhere {
    fn submit(&mut self, _ring: u32, _record: &mut [u8]) {}
    fn lost(&mut self, _ring: u32, _cause: u32, _count: u64) {}
}

/// How an operation is seen.
#[derive(Debug, Clone)]
enum Choice {
    Programs(&'static Way),
    Source(Offer),
}

impl Sensors {
    /// Loads all programs that this kernel takes. Nothing is attached yet.
    pub fn load(options: Options) -> Result<Sensors, Error> {
        let cgroup = open_cgroup(options.cgroup_root.as_deref()).ok();
        let classes = Classes::find(options.cgroup_root.as_deref())?;
        let hooks = Hooks::read();
        let loaded = Loaded::load(&options, |section| {
            let refused = class_of(section).and_then(|class| classes.refused(class));
            refused.map(str::to_owned).or_else(|| hooks.missing(section))
        })?;
        let [alarm, life, rest] = RINGS;
        let rings = [loaded.map_fd(alarm)?, loaded.map_fd(life)?, loaded.map_fd(rest)?];
        let mut sources = Sources::new(&options.own_pids)
            .map_err(|error| Error::io("create an epoll descriptor", error))?;
        let handle = |name| loaded.map_handle(name);
        sources.set_maps(WatchMaps { inodes: handle("watched")?, names: handle("watched_names")? });
        let injector = Injector::new(&loaded);
        // Without injection their records could not reach the rings.
        let (offers, errors) =
            if injector.is_some() { source::probe() } else { (Vec::new(), Vec::new()) };
        let sensors = Sensors {
            loaded,
            classes,
            cgroup,
            links: BTreeMap::new(),
            failed: BTreeMap::new(),
            snapshot: None,
            rings,
            injector,
            sources,
            offers,
            source_errors: errors.iter().map(ToString::to_string).collect(),
            own: options.own_pids,
            env: false,
            chosen: BTreeMap::new(),
        };
        sensors.configure(&BTreeMap::new())?;
        Ok(sensors)
    }

    /// Attaches the best way of each wanted operation, detaches what nobody wants any more.
    pub fn subscribe(&mut self, interest: &Interest) -> Result<Report, Error> {
        self.env = !interest.env.is_empty();
        let mut chosen = self.choose(interest.kinds);
        self.configure(&chosen)?;
        let by_source = chosen.iter().filter(|(_, choice)| matches!(choice, Choice::Source(_)));
        let kinds = by_source.map(|(kind, _)| *kind).collect();
        let programs = |(kind, choice)| matches!(choice, &Choice::Programs(_)).then_some(kind);
        self.sources.follow(chosen.iter().filter_map(programs).copied().collect());
        self.start_sources(kinds, interest, &mut chosen);
        let used = |name: &str| {
            let programs = |choice: &Choice| match choice {
                Choice::Programs(way) => way.programs.contains(&name),
                Choice::Source(_) => false,
            };
            chosen.values().any(programs)
        };
        self.links.retain(|name, _| used(name));
        let report = self.report(&chosen);
        self.chosen = chosen;
        Ok(report)
    }

    /// Other processes are the agent's now (at most four): what they do is not reported, save
    /// that what others do to them goes to the ring of alarms.
    pub fn set_own(&mut self, own: &[u32]) -> Result<(), Error> {
        self.own = own.to_vec();
        self.sources.set_own(own);
        self.configure(&self.chosen)
    }

    /// For each wanted kind the first way that attaches.
    fn choose(&mut self, kinds: KindSet) -> BTreeMap<Kind, Choice> {
        let mut chosen = BTreeMap::new();
        for kind in kinds.iter() {
            let choice = self
                .attach_first(WAYS, kind)
                .or_else(|| {
                    self.offers.iter().find(|o| o.kind == kind).cloned().map(Choice::Source)
                })
                .or_else(|| self.attach_first(LAST, kind));
            if let Some(choice) = choice {
                chosen.insert(kind, choice);
            }
        }
        self.same_for_watched(&mut chosen);
        chosen
    }

    /// A watched file is told either by programs or by fanotify, both opens and writes.
    fn same_for_watched(&self, chosen: &mut BTreeMap<Kind, Choice>) {
        let by_source = |(kind, choice): (&Kind, &Choice)| {
            WATCHED.contains(*kind) && matches!(choice, Choice::Source(_))
        };
        if !chosen.iter().any(by_source) {
            return;
        }
        let offers = self.offers.iter().filter(|offer| WATCHED.contains(offer.kind));
        for offer in
            offers.filter(|offer| chosen.contains_key(&offer.kind)).cloned().collect::<Vec<_>>()
        {
            chosen.insert(offer.kind, Choice::Source(offer));
        }
    }

    /// The maps of watched files are filled by who follows renames and new files: fanotify.
    fn is_unfollowed(&self, kind: Kind) -> bool {
        WATCHED.contains(kind) && self.injector.is_none()
    }

    fn attach_first(&mut self, table: &'static [Way], kind: Kind) -> Option<Choice> {
        if self.is_unfollowed(kind) {
            return None;
        }
        let mut ways = ways::of(table, kind);
        let way = ways.find(|way| way.programs.iter().all(|name| self.attach(name)))?;
        Some(Choice::Programs(way))
    }

    /// Puts the sources in user space to work; what fails now is not chosen.
    fn start_sources(
        &mut self,
        kinds: KindSet,
        interest: &Interest,
        chosen: &mut BTreeMap<Kind, Choice>,
    ) {
        let sink: &mut dyn Sink = match &mut self.injector {
            Some(injector) => injector,
            None => &mut Nowhere,
        };
        for error in self.sources.set(kinds, interest, sink) {
            let follows = error.source_id == SourceId::Fanotify;
            chosen.retain(|kind, choice| match choice {
                Choice::Source(offer) => offer.source != error.source_id,
                // Nobody would tell the programs which files are watched.
                Choice::Programs(_) => !(follows && WATCHED.contains(*kind)),
            });
            self.source_errors.push(error.to_string());
        }
    }

    /// Attaches a program unless it is attached; false when that is not possible.
    fn attach(&mut self, name: &'static str) -> bool {
        if self.links.contains_key(name) {
            return true;
        }
        match self.attach_new(name) {
            Ok(Some(link)) => {
                self.links.insert(name, link);
                if name == "tp_connection" {
                    self.label_listeners();
                }
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

    /// Writes down who listens already. A listener that is missed accepts without a process.
    fn label_listeners(&mut self) {
        let labelled = self.loaded.program("iter_listeners").map(|program| {
            let (link, _) = crate::messages::during(|| program.attach());
            let link = link.map_err(|error| error.to_string())?;
            let pass = open_iterator(link.as_fd()).map_err(|error| error.to_string())?;
            std::io::copy(&mut File::from(pass), &mut std::io::sink())
                .map_err(|error| error.to_string())
        });
        let reason = match labelled {
            Some(Ok(_)) => return,
            Some(Err(reason)) => reason,
            None => self.loaded.refused("iter_listeners").unwrap_or_default().to_owned(),
        };
        self.failed.insert("iter_listeners", reason);
    }

    /// Tells the programs who reports what.
    fn configure(&self, chosen: &BTreeMap<Kind, Choice>) -> Result<(), Error> {
        let mut config = [0u8; CONFIG_BYTES];
        for (kind, choice) in chosen {
            if let (Choice::Programs(way), Some(by)) = (choice, config.get_mut(*kind as usize)) {
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

    fn report(&self, chosen: &BTreeMap<Kind, Choice>) -> Report {
        let operations = Kind::ALL.iter().map(|kind| self.operation(*kind, chosen.get(kind)));
        Report {
            tier: self.classes.tier(),
            kernel: kernel_release(),
            btf: true,
            operations: operations.collect(),
        }
    }

    fn operation(&self, kind: Kind, chosen: Option<&Choice>) -> Operation {
        let possible = chosen.cloned().or_else(|| self.possible(kind));
        let best = ways::of(WAYS, kind).next();
        let is_best = match (&possible, best) {
            (Some(Choice::Programs(way)), Some(best)) => std::ptr::eq(*way, best),
            (Some(Choice::Source(_)), None) => true,
            _ => false,
        };
        let improve = best.filter(|_| !is_best).map_or_else(String::new, |way| self.improve(way));
        let (state, provider, hook, note) = match possible {
            Some(Choice::Programs(way)) => {
                (State::Observed, Some(way.provider), way.hook.to_owned(), way.note.to_owned())
            }
            Some(Choice::Source(offer)) => {
                (State::Observed, Provider::from_wire(offer.provider), offer.hook, offer.note)
            }
            None => (State::Absent, None, String::new(), self.absence(kind)),
        };
        Operation { kind, state, provider, hook, attached: chosen.is_some(), note, improve }
    }

    /// The way that would be taken, as far as is known without attaching it.
    fn possible(&self, kind: Kind) -> Option<Choice> {
        let open = |table| ways::of(table, kind).find(|way| self.why_not(way).is_none());
        open(WAYS)
            .map(Choice::Programs)
            .or_else(|| self.offers.iter().find(|o| o.kind == kind).cloned().map(Choice::Source))
            .or_else(|| open(LAST).map(Choice::Programs))
    }

    /// Why an operation is not seen at all.
    fn absence(&self, kind: Kind) -> String {
        let closed = ways::of(WAYS, kind).filter_map(|way| self.why_not(way));
        let sources = SourceId::ALL.iter().filter(|id| id.kinds().contains(kind));
        let silent = sources.filter_map(|id| {
            let name = id.to_string();
            let said = self.source_errors.iter().find(|error| error.starts_with(&name)).cloned();
            said.or_else(|| {
                let injects = self.injector.is_some();
                (!injects).then(|| format!("{name}: needs BPF syscall programs (Linux 5.14)"))
            })
        });
        closed.chain(silent).collect::<Vec<_>>().join("; ")
    }

    /// Why a way is closed; none when nothing speaks against it.
    fn why_not(&self, way: &Way) -> Option<String> {
        if self.is_unfollowed(way.kind) {
            let why = "the watched files cannot be followed without fanotify, whose records need BPF \
                       syscall programs (Linux 5.14)";
            return Some(format!("{}: {why}", way.hook));
        }
        way.programs.iter().find_map(|name| {
            let reason = self.failed.get(name).map(String::as_str);
            let reason = reason.or_else(|| self.loaded.refused(name))?;
            Some(format!("{}: {reason}", way.hook))
        })
    }

    /// What the operator can do to get a way that is closed.
    fn improve(&self, way: &Way) -> String {
        let why = self.why_not(way).unwrap_or_default();
        let trampoline = matches!(way.provider, Provider::Lsm | Provider::Fentry);
        if trampoline && self.classes.refused(Class::Fentry).is_some() {
            return "run a kernel that allows BPF trampolines (fentry, LSM programs)".to_owned();
        }
        if way.provider == Provider::Lsm && self.classes.refused(Class::Lsm).is_some() {
            return "boot with bpf in the lsm= list of the kernel command line".to_owned();
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
        let link = if let Some(link) = self.snapshot.take() {
            link
        } else {
            let program = self.loaded.program("iter_tasks").ok_or_else(|| {
                failed(self.loaded.refused("iter_tasks").unwrap_or_default().to_owned())
            })?;
            program.attach().map_err(|error| failed(error.to_string()))?
        };
        let pass = open_iterator(link.as_fd());
        self.snapshot = Some(link);
        pass.map_err(|error| Error::io("open the task iterator", error))
    }

    /// Readable when a source in user space has something; then call [`Sensors::service`].
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.sources.epoll_fd()
    }

    /// Takes what the sources in user space have and puts it into the rings.
    pub fn service(&mut self) -> Result<(), Error> {
        match &mut self.injector {
            Some(injector) => self.sources.service(injector),
            None => self.sources.service(&mut Nowhere),
        }
        Ok(())
    }

    /// What was sent and lost so far.
    pub fn counters(&self) -> Result<Counters, Error> {
        Counters::read(&self.loaded)
    }

    /// How much each program ran; empty unless the host measures it (`kernel.bpf_stats_enabled`).
    pub fn program_use(&self) -> Vec<ProgramUse> {
        usage::programs(&self.loaded)
    }

    /// How full the maps of watched files are.
    pub fn map_use(&self) -> Vec<MapUse> {
        usage::maps(&self.loaded)
    }

    /// The way of user-space records into the rings; none before 5.14.
    pub fn injector(&self) -> Option<Injector> {
        Injector::new(&self.loaded)
    }

    /// Whether a program was loaded.
    #[cfg(test)]
    pub(crate) fn has_program(&self, name: &str) -> bool {
        self.loaded.program(name).is_some()
    }

    /// The producer of the throughput benchmark.
    pub fn producer(&self) -> Result<Producer, Error> {
        Producer::new(&self.loaded)
    }
}
