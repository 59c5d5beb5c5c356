//! Namespace changes and BPF program loads, from the side-band records of perf events.
//!
//! A software event that counts nothing is opened on each CPU; it costs no system call anything.
//! CPUs that come online later are not seen until the source is made anew.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use model::op::{Kind, KindSet};
use model::wire::{self, RecAct};
use nix::libc;
use nix::sys::epoll::EpollFlags;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::recent::Recent;
use super::record::{Builder, blank};
use super::ring::PerfRing;
use super::sys::PerfAttr;
use super::{Source, SourceError, SourceId, sys};
use crate::sink::Sink;

/// What this source can give.
pub(crate) const KINDS: KindSet = KindSet::EMPTY.with(Kind::Namespace).with(Kind::Bpf);

/// Bytes of the ring of each CPU: some 800 forks (each sends its namespaces) may wait.
const RING_BYTES: usize = 128 << 10;
/// Filled bytes at which the kernel wakes the guard: a fork alone must not, since every one of them
/// sends a record. Until then records wait for the next call of `service`.
const WAKE_BYTES: u32 = 32 << 10;
/// Most CPUs, to bound the memory: 128 MB on a machine of that size.
const CPUS_MAX: i32 = 1024;
/// Records handled of each CPU in one call of `service`: more than fit into a ring, so that it is
/// always emptied (the kernel wakes us for new records only).
const RECORDS: usize = 4096;
/// Half of the tasks whose namespaces are remembered: 40 bytes each, about 1 MB at most.
const TASKS: usize = 8192;
/// Names of programs that were just loaded, kept until the load itself is told (at once).
const NAMES: usize = 64;

const SOFTWARE: u32 = 1;
const DUMMY: u64 = 9;
const ATTR_SIZE: u32 = 112;
const SAMPLE_TID: u64 = 1 << 1;
const SAMPLE_TIME: u64 = 1 << 2;
const SAMPLE_CPU: u64 = 1 << 7;
const FLAG_SAMPLE_ID_ALL: u64 = 1 << 18;
const FLAG_WATERMARK: u64 = 1 << 14;
const FLAG_USE_CLOCK: u64 = 1 << 25;
const FLAG_NAMESPACES: u64 = 1 << 28;
const FLAG_KSYMBOL: u64 = 1 << 29;
const FLAG_BPF: u64 = 1 << 30;
const RECORD_LOST: u32 = 2;
const RECORD_NAMESPACES: u32 = 16;
const RECORD_KSYMBOL: u32 = 17;
const RECORD_BPF: u32 = 18;
/// `PERF_BPF_EVENT_PROG_LOAD`, and the command of bpf(2) that it stands for.
const PROG_LOAD: u16 = 1;
const BPF_PROG_LOAD: u32 = 5;

/// Flag and /proc name of each namespace, in the order of the record. (Time namespaces are not in
/// it.)
const NAMESPACES: [(i32, &str); 7] = [
    (libc::CLONE_NEWNET, "net"),
    (libc::CLONE_NEWUTS, "uts"),
    (libc::CLONE_NEWIPC, "ipc"),
    (libc::CLONE_NEWPID, "pid_for_children"),
    (libc::CLONE_NEWUSER, "user"),
    (libc::CLONE_NEWNS, "mnt"),
    (libc::CLONE_NEWCGROUP, "cgroup"),
];
/// Inode numbers of the namespaces of a task; 0: not known.
type Spaces = [u32; NAMESPACES.len()];

/// What follows each record: who was running, when and where.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Sample {
    pid: u32,
    tid: u32,
    time: u64,
    cpu: u32,
    unused: u32,
}

/// `PERF_RECORD_NAMESPACES` after its header.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct NamespacesRecord {
    pid: u32,
    tid: u32,
    count: u64,
    links: [[u64; 2]; NAMESPACES.len()],
}

/// `PERF_RECORD_BPF_EVENT` after its header.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct BpfRecord {
    what: u16,
    flags: u16,
    id: u32,
    tag: [u8; 8],
}

/// The perf source.
#[derive(Debug)]
pub(crate) struct Perf {
    rings: Vec<PerfRing>,
    batch: Batch,
    state: State,
}

/// Records of all CPUs, to be handled in the order of their time: a task that has just been made
/// may be running on another CPU. Bounded by the size of the rings.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    order: Vec<(u64, Range<usize>)>,
}

impl Batch {
    fn add(&mut self, record: &[u8]) {
        let Ok((_, sample)) = Sample::read_from_suffix(record) else { return };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.order.push((sample.time, start..self.bytes.len()));
    }
}

/// All but the rings.
#[derive(Debug)]
struct State {
    tasks: Recent<u32, Spaces>,
    names: VecDeque<([u8; 8], Vec<u8>)>,
    builder: Builder,
}

impl Perf {
    /// Opens an event on each CPU that is online.
    pub(crate) fn new(kinds: KindSet) -> Result<Self, SourceError> {
        let fail = |what| move |error| SourceError::new(SourceId::Perf, what, error);
        let attr = attributes(kinds);
        let mut rings = Vec::new();
        for cpu in online().map_err(fail("read which CPUs are online"))? {
            let event = match sys::perf_event_open(&attr, cpu) {
                // Went offline in between.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
                event => event.map_err(fail("open a perf event for each CPU"))?,
            };
            rings.push(PerfRing::new(event, RING_BYTES).map_err(fail("map a perf ring"))?);
        }
        let state = State {
            tasks: Recent::new(TASKS),
            names: VecDeque::new(),
            builder: Builder::default(),
        };
        Ok(Perf { rings, batch: Batch::default(), state })
    }
}

fn attributes(kinds: KindSet) -> PerfAttr {
    let namespaces = if kinds.contains(Kind::Namespace) { FLAG_NAMESPACES } else { 0 };
    let bpf = if kinds.contains(Kind::Bpf) { FLAG_BPF } else { 0 };
    PerfAttr {
        kind: SOFTWARE,
        size: ATTR_SIZE,
        config: DUMMY,
        sample_type: SAMPLE_TID | SAMPLE_TIME | SAMPLE_CPU,
        // Symbols (rare) are always asked for: the kernel does not look at an event that wants
        // namespaces alone.
        flags: FLAG_SAMPLE_ID_ALL
            | FLAG_WATERMARK
            | FLAG_USE_CLOCK
            | FLAG_KSYMBOL
            | namespaces
            | bpf,
        wakeup: WAKE_BYTES,
        clock: libc::CLOCK_BOOTTIME,
        ..PerfAttr::default()
    }
}

/// Numbers of the CPUs that are online, from a list like `0-3,8`.
fn online() -> std::io::Result<Vec<i32>> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<i32>().ok()?..=last.parse::<i32>().ok()?.min(CPUS_MAX - 1))
    };
    Ok(text.trim().split(',').filter_map(range).flatten().collect())
}

impl Source for Perf {
    fn fds(&self) -> Vec<(BorrowedFd<'_>, EpollFlags)> {
        self.rings.iter().map(|ring| (ring.as_fd(), EpollFlags::EPOLLIN)).collect()
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    fn service(&mut self, sink: &mut dyn Sink) {
        for ring in &mut self.rings {
            ring.drain(RECORDS, &mut |record| self.batch.add(record));
        }
        self.batch.order.sort_by_key(|(time, _)| *time);
        for (_, range) in self.batch.order.drain(..) {
            let record = self.batch.bytes.get(range).unwrap_or_default();
            self.state.record(record, sink);
        }
        self.batch.bytes.clear();
    }
}

impl State {
    fn record(&mut self, record: &[u8], sink: &mut dyn Sink) {
        let Some((header, body)) = record.split_first_chunk::<8>() else { return };
        let Ok((body, sample)) = Sample::read_from_suffix(body) else { return };
        let [kind @ .., _, _, _, _] = *header;
        match u32::from_ne_bytes(kind) {
            RECORD_NAMESPACES => {
                if let Ok((record, _)) = NamespacesRecord::read_from_prefix(body) {
                    self.namespaces(&record, &sample, sink);
                }
            }
            RECORD_KSYMBOL => self.symbol(body),
            RECORD_BPF => {
                if let Ok((record, _)) = BpfRecord::read_from_prefix(body) {
                    self.loaded(&record, &sample, sink);
                }
            }
            RECORD_LOST => {
                let count = body.get(8..).and_then(<[u8]>::first_chunk);
                let count = count.map_or(1, |count| u64::from_ne_bytes(*count));
                sink.lost(wire::RING_REST, wire::LOSS_SOURCE, count);
            }
            _ => {}
        }
    }

    /// The namespaces of a new task, or of one that changed them. They are compared with those that
    /// the acting task had before; a plain fork changes none.
    fn namespaces(&mut self, record: &NamespacesRecord, by: &Sample, sink: &mut dyn Sink) {
        let now = record.links.map(|[_, inode]| u32::try_from(inode).unwrap_or(0));
        let child = record.tid != by.tid;
        let before = self.before(by, child);
        self.tasks.insert(record.tid, now);
        if !child && before == Spaces::default() {
            // It changed something, and is gone before we could learn what it had.
            sink.lost(wire::RING_REST, wire::LOSS_RESOLVE, 1);
        }
        let changes = NAMESPACES.iter().zip(before.iter().zip(now.iter()));
        let changed = changes.filter(|(_, (before, now))| **before != 0 && before != now);
        let mut flags = 0;
        let mut inode = 0;
        for ((flag, _), (_, now)) in changed {
            if flags == 0 {
                inode = u64::from(*now);
            }
            flags |= flag.unsigned_abs();
        }
        if flags == 0 {
            return;
        }
        let mut out = act(wire::KIND_NAMESPACE, by);
        out.value = flags.into();
        out.value2 = inode;
        // For clone(2) with new namespaces: the child that has them.
        out.target_pid = if child { record.pid } else { 0 };
        self.builder.send(out, wire::RING_REST, sink);
    }

    /// Namespaces of the acting task before the event. One that we hear of for the first time is
    /// looked up: if it made a child, its own are still the same; if it has changed its own, it is
    /// compared with its parent.
    fn before(&mut self, by: &Sample, child: bool) -> Spaces {
        if let Some(known) = self.tasks.get(&by.tid) {
            return *known;
        }
        if child {
            let spaces = spaces(by.tid);
            self.tasks.insert(by.tid, spaces);
            return spaces;
        }
        let Some(parent) = parent(by.tid) else { return Spaces::default() };
        self.tasks.get(&parent).copied().unwrap_or_else(|| spaces(parent))
    }

    /// Symbols of a program are named `bpf_prog_TAG_NAME` and come just before its load.
    fn symbol(&mut self, body: &[u8]) {
        const PREFIX: &[u8] = b"bpf_prog_";
        let name = body.get(16..).and_then(|text| text.split(|b| *b == 0).next());
        let Some(rest) = name.and_then(|name| name.strip_prefix(PREFIX)) else { return };
        let Some((digits, name)) = rest.split_at_checked(16) else { return };
        let digits = std::str::from_utf8(digits).ok();
        let Some(tag) = digits.and_then(|d| u64::from_str_radix(d, 16).ok()) else { return };
        if self.names.len() >= NAMES {
            self.names.pop_front();
        }
        let name = name.strip_prefix(b"_").unwrap_or(name);
        self.names.push_back((tag.to_be_bytes(), name.to_vec()));
    }

    fn loaded(&mut self, record: &BpfRecord, by: &Sample, sink: &mut dyn Sink) {
        let at = self.names.iter().position(|(tag, _)| *tag == record.tag);
        let name = at.and_then(|at| self.names.remove(at)).map(|(_, name)| name);
        if record.what != PROG_LOAD {
            return;
        }
        let mut out = act(wire::KIND_BPF, by);
        out.op = BPF_PROG_LOAD;
        out.value = record.id.into();
        // So that it reads in hexadecimal as the tools print it.
        out.value2 = u64::from_be_bytes(record.tag);
        let name = name.unwrap_or_default();
        out.name = self.builder.text::<RecAct>(&name, wire::PATH_MAX_BYTES).0;
        self.builder.send(out, wire::RING_REST, sink);
    }
}

/// A record of what the sample's task did.
fn act(kind: u32, by: &Sample) -> RecAct {
    const FLAGS: u32 = wire::FLAG_NO_CREDS | wire::FLAG_NO_START;
    let mut out: RecAct = blank(kind, wire::PROVIDER_PERF, FLAGS, by.pid);
    out.h.time = by.time;
    out.h.tid = by.tid;
    out.h.cpu = by.cpu;
    out
}

/// Namespaces that a task has now, as /proc tells.
fn spaces(tid: u32) -> Spaces {
    NAMESPACES.map(|(_, name)| {
        let link = std::fs::read_link(format!("/proc/{tid}/ns/{name}")).ok();
        let text = link.as_ref().and_then(|link| link.to_str());
        let inode = text.and_then(|text| text.split_once('[')?.1.strip_suffix(']')?.parse().ok());
        inode.unwrap_or(0)
    })
}

/// Parent of a task, as /proc tells.
fn parent(tid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{tid}/stat")).ok()?;
    // After the name, which may hold anything: state, then parent.
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
