//! Kernel sources that are not BPF programs: fanotify, the process connector and perf side-band
//! records. None of them costs a system call that nobody asked about.
//!
//! The guard reads them and turns what they say into records of `wire.h`, which enter the rings
//! through a [`Sink`]. What a source cannot tell is flagged in the record: ids and start of the
//! process (`FLAG_NO_CREDS`, `FLAG_NO_START`), the thread (`tid` 0, by fanotify), the moment
//! (`FLAG_LATE_TIME`); unknown ids are `u32::MAX`. What the agent does itself is left out.

mod connector;
mod fanotify;
pub(crate) mod mountinfo;
mod mounts;
mod perf;
mod recent;
mod record;
mod ring;
mod statmount;
mod status;
pub(crate) mod sys;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use model::interest::Interest;
use model::op::{Kind, KindSet};
use model::wire::{self, RecAct, RecHeader};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use zerocopy::FromBytes;

use crate::sink::Sink;
pub(crate) use fanotify::{WATCHED, WatchMaps};

/// One of the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceId {
    /// File events.
    Fanotify,
    /// Credentials, sessions, tracing.
    Connector,
    /// Namespaces and BPF program loads.
    Perf,
    /// Mounts and unmounts.
    Mounts,
}

impl SourceId {
    /// All sources.
    pub const ALL: [SourceId; 4] =
        [SourceId::Fanotify, SourceId::Connector, SourceId::Perf, SourceId::Mounts];

    /// What the source can give at best.
    pub fn kinds(self) -> KindSet {
        match self {
            SourceId::Fanotify => fanotify::KINDS,
            SourceId::Connector => connector::KINDS,
            SourceId::Perf => perf::KINDS,
            SourceId::Mounts => mounts::KINDS,
        }
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SourceId::Fanotify => "fanotify",
            SourceId::Connector => "process connector",
            SourceId::Perf => "perf side-band",
            SourceId::Mounts => "mount events",
        })
    }
}

/// Why a source does not work.
#[derive(Debug, thiserror::Error)]
#[error("{source_id}: cannot {what}: {error}; {}", advice(*source_id, error))]
pub struct SourceError {
    /// Which source.
    pub source_id: SourceId,
    /// What was tried.
    pub what: &'static str,
    /// What the kernel said.
    #[source]
    pub error: io::Error,
}

impl SourceError {
    fn new(source_id: SourceId, what: &'static str, error: impl Into<io::Error>) -> Self {
        SourceError { source_id, what, error: error.into() }
    }
}

/// What to do about an error.
fn advice(source: SourceId, error: &io::Error) -> &'static str {
    match (source, error.kind()) {
        (SourceId::Fanotify, io::ErrorKind::PermissionDenied) => {
            "run as root, with CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH"
        }
        (SourceId::Connector, io::ErrorKind::PermissionDenied) => {
            "run as root, with CAP_NET_ADMIN, in the initial namespaces"
        }
        (SourceId::Perf, io::ErrorKind::PermissionDenied) => "run as root, with CAP_PERFMON",
        (_, io::ErrorKind::PermissionDenied) => "run as root, with CAP_SYS_ADMIN",
        (SourceId::Fanotify, _) => "Linux 5.9 with CONFIG_FANOTIFY is needed",
        (SourceId::Connector, _) => "a kernel with CONFIG_PROC_EVENTS is needed",
        (SourceId::Perf, _) => "a kernel with CONFIG_PERF_EVENTS and CONFIG_BPF_EVENTS is needed",
        (SourceId::Mounts, _) => "/proc must be mounted",
    }
}

/// What a source gives on this kernel, found by making it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The operation.
    pub kind: Kind,
    /// Who gives it.
    pub source: SourceId,
    /// `PROVIDER_*` of `wire.h`, as in its records.
    pub provider: u32,
    /// How, for people.
    pub hook: String,
    /// What is lost compared with a hook in the kernel.
    pub note: String,
}

/// A source at work.
trait Source: fmt::Debug {
    /// Descriptors that wake us up, and by what.
    fn fds(&self) -> Vec<(BorrowedFd<'_>, EpollFlags)>;
    /// What is not seen at the moment, for people.
    fn notes(&self) -> Vec<String>;
    /// Another one takes over: only what waits is still to be handled.
    fn retire(&mut self) {}
    /// Handles what waits, within a bound.
    fn service(&mut self, sink: &mut dyn Sink);
}

/// Makes each source for a moment: what works, and why the others do not.
pub fn probe() -> (Vec<Offer>, Vec<SourceError>) {
    let mut offers = Vec::new();
    let mut errors = Vec::new();
    for source in SourceId::ALL {
        match offer(source) {
            Ok(found) => offers.extend(found),
            Err(error) => errors.push(error),
        }
    }
    (offers, errors)
}

fn offer(source: SourceId) -> Result<Vec<Offer>, SourceError> {
    let kinds = source.kinds();
    let (provider, notes) = match source {
        SourceId::Fanotify => (
            wire::PROVIDER_FANOTIFY,
            fanotify::Fanotify::new(kinds, &Interest::default(), None)?.notes(),
        ),
        SourceId::Connector => {
            (wire::PROVIDER_CONNECTOR, connector::Connector::new(kinds)?.notes())
        }
        SourceId::Perf => (wire::PROVIDER_PERF, perf::Perf::new(kinds)?.notes()),
        SourceId::Mounts => {
            let mounts = mounts::Mounts::new(kinds)?;
            let actor = mounts.has_actor();
            let provider = if actor { wire::PROVIDER_FANOTIFY } else { wire::PROVIDER_PROC };
            (provider, mounts.notes())
        }
    };
    let offer = |kind| {
        let note = std::iter::once(lost(kind).to_owned()).chain(notes.iter().cloned());
        let note = note.filter(|note| !note.is_empty()).collect::<Vec<_>>().join("; ");
        Offer { kind, source, provider, hook: hook(kind, provider).to_owned(), note }
    };
    Ok(kinds.iter().map(offer).collect())
}

/// How an operation is told.
fn hook(kind: Kind, provider: u32) -> &'static str {
    match kind {
        Kind::Create | Kind::Link => "fanotify FAN_CREATE on filesystems",
        Kind::Rename => "fanotify FAN_RENAME on filesystems",
        Kind::Unlink => "fanotify FAN_DELETE on filesystems",
        Kind::Attr => "fanotify FAN_ATTRIB on filesystems",
        Kind::Open => "fanotify FAN_OPEN on watched files",
        Kind::Write => "fanotify FAN_MODIFY and FAN_CLOSE_WRITE on watched files",
        Kind::Mount if provider == wire::PROVIDER_FANOTIFY => "fanotify FAN_MNT_ATTACH",
        Kind::Umount if provider == wire::PROVIDER_FANOTIFY => "fanotify FAN_MNT_DETACH",
        Kind::Mount | Kind::Umount => "/proc/self/mountinfo, compared",
        Kind::Setuid => "process connector PROC_EVENT_UID",
        Kind::Setgid => "process connector PROC_EVENT_GID",
        Kind::Setsid => "process connector PROC_EVENT_SID",
        Kind::Ptrace => "process connector PROC_EVENT_PTRACE",
        Kind::Namespace => "perf PERF_RECORD_NAMESPACES",
        Kind::Bpf => "perf PERF_RECORD_BPF_EVENT",
        _ => "",
    }
}

/// What is lost compared with a hook in the kernel.
fn lost(kind: Kind) -> &'static str {
    match kind {
        Kind::Create | Kind::Rename => "state is read after the event",
        Kind::Open | Kind::Write => {
            "state is read after the event; what one process does to one file again while the first \
             waits to be read is the same event"
        }
        Kind::Unlink => "inode, size and mode of the deleted file are unknown",
        Kind::Link => "the old name is unknown; told from the link count after the event",
        Kind::Attr => "what changed is known only for files seen before",
        Kind::Mount | Kind::Umount => "only the mount namespace of the agent",
        Kind::Setuid | Kind::Setgid => "saved ids and capabilities are read after the event",
        Kind::Ptrace => "PTRACE_TRACEME and failed attempts are not told",
        Kind::Namespace => "time namespaces are not told",
        _ => "",
    }
}

/// Leaves out what the agent does itself. What others do to the agent goes to the ring of alarms.
struct NotOwn<'a> {
    own: &'a [u32],
    sink: &'a mut dyn Sink,
}

impl Sink for NotOwn<'_> {
    fn submit(&mut self, ring: u32, record: &mut [u8]) {
        let Ok((header, _)) = RecHeader::read_from_prefix(record) else { return };
        if header.pid != 0 && self.own.contains(&header.pid) {
            return;
        }
        let target = match RecAct::read_from_prefix(record) {
            Ok((act, _)) if u32::from(header.kind) == wire::KIND_PTRACE => act.target_pid,
            _ => 0,
        };
        let at_us = target != 0 && self.own.contains(&target);
        self.sink.submit(if at_us { wire::RING_ALARM } else { ring }, record);
    }

    fn lost(&mut self, ring: u32, cause: u32, count: u64) {
        self.sink.lost(ring, cause, count);
    }
}

/// The sources that are at work, behind one descriptor.
#[derive(Debug)]
pub struct Sources {
    epoll: Epoll,
    own: Vec<u32>,
    interest: Interest,
    /// Kinds of watched files that programs report, and where these look up which files.
    followed: KindSet,
    maps: Option<WatchMaps>,
    active: Vec<(SourceId, KindSet, Box<dyn Source>)>,
}

impl Sources {
    /// None at work yet. Records of the processes in `own` (the agent's) are left out.
    pub fn new(own: &[u32]) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let interest = Interest::default();
        let (followed, maps, active) = (KindSet::EMPTY, None, Vec::new());
        Ok(Sources { epoll, own: own.to_vec(), interest, followed, maps, active })
    }

    /// Other processes are the agent's now.
    pub fn set_own(&mut self, own: &[u32]) {
        self.own = own.to_vec();
    }

    /// The maps in which the programs look up what is watched.
    pub(crate) fn set_maps(&mut self, maps: WatchMaps) {
        self.maps = Some(maps);
    }

    /// Kinds that programs report of watched files from the next call of [`Sources::set`] on; which
    /// files, they are told here.
    pub(crate) fn follow(&mut self, kinds: KindSet) {
        let kinds = kinds.intersection(fanotify::WATCHED);
        if kinds != self.followed {
            // Makes the source differ from what it was.
            self.active.iter_mut().filter(|(id, ..)| *id == SourceId::Fanotify).for_each(|entry| {
                entry.1 = KindSet::EMPTY;
            });
        }
        self.followed = kinds;
    }

    /// Puts exactly those sources to work that are needed for `kinds` (the kinds that these sources
    /// and no BPF program are to give), and the watches of `interest`. Sources whose part has not
    /// changed go on undisturbed. Of the others the new one is there before the old one, emptied into
    /// `sink`, goes: an event of that moment may come twice, none is missing. Those that fail are
    /// told; their old state, if any, stays.
    pub fn set(
        &mut self,
        kinds: KindSet,
        interest: &Interest,
        sink: &mut dyn Sink,
    ) -> Vec<SourceError> {
        let mut errors = Vec::new();
        for id in SourceId::ALL {
            let followed = if id == SourceId::Fanotify { self.followed } else { KindSet::EMPTY };
            let wanted = kinds.intersection(id.kinds()).union(followed);
            let at = self.active.iter().position(|(active, ..)| *active == id);
            let before = at.and_then(|at| self.active.get(at)).map(|(_, kinds, _)| *kinds);
            let same_watch = id != SourceId::Fanotify || self.interest.watch == interest.watch;
            if before.unwrap_or_default() == wanted && same_watch {
                continue;
            }
            let new = if wanted.is_empty() { Ok(None) } else { self.start(id, wanted, interest) };
            match new {
                Ok(new) => {
                    if let Some((_, _, old)) = at.and_then(|at| self.active.get_mut(at)) {
                        old.retire();
                        old.service(&mut NotOwn { own: &self.own, sink: &mut *sink });
                    }
                    // Closing its descriptors takes the old one out of the epoll set.
                    self.active.retain(|(active, ..)| *active != id);
                    self.active.extend(new.map(|source| (id, wanted, source)));
                }
                Err(error) => errors.push(error),
            }
        }
        self.interest = interest.clone();
        errors
    }

    fn start(
        &self,
        id: SourceId,
        kinds: KindSet,
        interest: &Interest,
    ) -> Result<Option<Box<dyn Source>>, SourceError> {
        let source: Box<dyn Source> = match id {
            SourceId::Fanotify => {
                let followed = !self.followed.is_empty();
                let maps = self.maps.as_ref().filter(|_| followed).and_then(WatchMaps::again);
                Box::new(fanotify::Fanotify::new(kinds, interest, maps)?)
            }
            SourceId::Connector => Box::new(connector::Connector::new(kinds)?),
            SourceId::Perf => Box::new(perf::Perf::new(kinds)?),
            SourceId::Mounts => Box::new(mounts::Mounts::new(kinds)?),
        };
        for (fd, flags) in source.fds() {
            let added = self.epoll.add(fd, EpollEvent::new(flags, 0));
            added.map_err(|error: Errno| SourceError::new(id, "wait for its events", error))?;
        }
        Ok(Some(source))
    }

    /// Readable when a source has something.
    pub fn epoll_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// Handles what waits, within a bound; the descriptor stays readable if something is left.
    pub fn service(&mut self, sink: &mut dyn Sink) {
        // Readiness is not looked up: asking each source costs less than a microsecond, and the
        // news of a changed mountinfo is used up by whoever polls first.
        let mut sink = NotOwn { own: &self.own, sink };
        for (_, _, source) in &mut self.active {
            source.service(&mut sink);
        }
    }

    /// What the sources at work do not see, for people.
    pub fn notes(&self) -> Vec<String> {
        self.active.iter().flat_map(|(_, _, source)| source.notes()).collect()
    }
}
