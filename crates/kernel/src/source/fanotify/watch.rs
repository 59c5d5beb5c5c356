//! Opens and writes of watched files; all other files bear no mark and cost nothing.
//!
//! Where programs in the kernel report them, the marks here only tell of names that appear and
//! vanish, and [`Targets`] tells the programs what is watched now.
//!
//! Known limits: a file that is replaced is marked again when its directory tells of it, and what
//! happens to the new one within that moment (some 10 us) is not seen; so for files made in a new
//! directory below a recursive watch.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::interest::Watch;
use model::op::{Kind, KindSet};
use model::wire;
use nix::libc;

use super::group::{self, Event, Group};
use super::plan::{self, Marks};
use super::report::{Name, Reporter, What, state};
use super::targets::{Targets, WatchMaps, is_told};
use crate::sink::Sink;
use crate::source::recent::Recent;
use crate::source::sys;

/// Half of the writers remembered, to report a write once and not for each piece written.
const WRITERS: usize = 1024;
/// A process that keeps writing to one file is reported again after this long.
const WRITE_AGAIN_NS: u64 = 1_000_000_000;

/// What is wanted of a path.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    /// The path itself, or a direct child.
    near: KindSet,
    /// Anything below.
    below: KindSet,
}

/// A watch and the marks that it has now.
#[derive(Debug)]
struct Planned {
    watch: Watch,
    marks: Marks,
}

/// The group with marks on watched inodes.
#[derive(Debug)]
pub(crate) struct Watcher {
    group: Group,
    watches: Vec<Planned>,
    wanted: HashMap<Vec<u8>, Wanted>,
    /// Watched files by device and inode: an open through another hard link is one too.
    inodes: HashMap<(u64, u64), KindSet>,
    writers: Recent<(u32, Vec<u8>), u64>,
    /// A directory went away: look at all watches again.
    stale: bool,
    /// Marks that could not be set, by path.
    failed: BTreeMap<PathBuf, String>,
    /// What the programs in the kernel are told, where they report.
    targets: Option<Targets>,
}

impl Watcher {
    /// Marks what the watches need for those of their kinds that are in `kinds`; with `maps`, these
    /// kinds are reported by programs in the kernel.
    pub(crate) fn new(
        kinds: KindSet,
        watches: &[Watch],
        maps: Option<WatchMaps>,
    ) -> io::Result<Self> {
        let narrowed = watches
            .iter()
            .map(|watch| Watch { kinds: watch.kinds.intersection(kinds), ..watch.clone() });
        let planned = narrowed
            .filter(|watch| !watch.kinds.is_empty() && watch.path.starts_with('/'))
            .map(|watch| Planned { watch, marks: Marks::new() });
        let mut watcher = Watcher {
            group: Group::new(group::BY_NAME)?,
            watches: planned.collect(),
            wanted: HashMap::new(),
            inodes: HashMap::new(),
            writers: Recent::new(WRITERS),
            stale: false,
            failed: BTreeMap::new(),
            targets: maps.map(Targets::new),
        };
        watcher.apply_all();
        Ok(watcher)
    }

    /// What could not be marked, and why.
    pub(crate) fn failed(&self) -> impl Iterator<Item = String> {
        self.failed.iter().map(|(path, why)| format!("{}: {why}", path.display()))
    }

    /// Reads once; says whether there may be more.
    pub(crate) fn service(
        &mut self,
        buffer: &mut [u8],
        out: &mut Reporter,
        sink: &mut dyn Sink,
    ) -> bool {
        let bytes = self.group.read(buffer);
        for event in group::events(bytes) {
            self.event(&event, out, sink);
        }
        if std::mem::take(&mut self.stale) {
            self.apply_all();
        }
        !bytes.is_empty()
    }

    /// Looks at all watches again: directories may have gone, or filesystems come.
    pub(crate) fn apply_all(&mut self) {
        self.wanted.clear();
        self.inodes.clear();
        self.failed.clear();
        for at in 0..self.watches.len() {
            self.apply(at);
        }
        self.tell();
    }

    /// Lets another watcher fill the maps from now on.
    pub(crate) fn retire(&mut self) {
        self.targets = None;
    }

    /// Tells the programs what is watched now.
    fn tell(&mut self) {
        let Some(targets) = &mut self.targets else { return };
        let watches = self.watches.iter().map(|planned| (&planned.watch, &planned.marks));
        if let Err(error) = targets.set(watches) {
            self.failed.insert(PathBuf::from("/"), format!("not all files are watched: {error}"));
        }
    }

    /// Gives one watch the marks that it needs now. Marks are set again even if they were there:
    /// the path may name another inode.
    fn apply(&mut self, at: usize) {
        let room = self.room();
        let Some(planned) = self.watches.get_mut(at) else { return };
        let (marks, whole) = plan::plan(&planned.watch, room + planned.marks.len());
        let before = std::mem::replace(&mut planned.marks, marks.clone());
        let watch = planned.watch.clone();
        self.learn(&watch);
        if !whole {
            let why = format!("too many directories below it (more than {})", plan::MARKS_MAX);
            self.failed.insert(PathBuf::from(&watch.path), why);
        }
        self.mark(&marks);
        for (path, mask) in before {
            let needed = self.watches.iter().filter_map(|other| other.marks.get(&path));
            let surplus = mask & !needed.fold(0, |all, mask| all | mask);
            if surplus != 0 {
                // Fails if the inode is gone, and the mark with it.
                let _gone = self.group.unmark(group::INODE, surplus, &path);
            }
        }
    }

    fn mark(&mut self, marks: &Marks) {
        for (path, mask) in marks {
            let told = self.targets.is_some() && is_told(path);
            let mask = if told { mask & !plan::USES } else { *mask };
            if mask & !libc::FAN_ONDIR == 0 {
                continue;
            }
            if let Err(error) = self.group.mark(group::INODE, mask, path)
                && error.kind() != io::ErrorKind::NotFound
            {
                self.failed.insert(path.clone(), error.to_string());
            }
        }
    }

    fn room(&self) -> usize {
        plan::MARKS_MAX.saturating_sub(self.watches.iter().map(|planned| planned.marks.len()).sum())
    }

    /// Notes under which names and inodes a watch is met in events.
    fn learn(&mut self, watch: &Watch) {
        let path = Path::new(&watch.path);
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        for path in [path, &real] {
            let wanted = self.wanted.entry(path.as_os_str().as_bytes().to_vec()).or_default();
            wanted.near = wanted.near.union(watch.kinds);
            if watch.recursive {
                wanted.below = wanted.below.union(watch.kinds);
            }
        }
        if let Some(now) = state(real.as_os_str().as_bytes())
            && now.mode & libc::S_IFMT == libc::S_IFREG
        {
            let kinds = self.inodes.entry((now.dev, now.ino)).or_default();
            *kinds = kinds.union(watch.kinds);
        }
    }

    /// What is wanted of a file of that path.
    fn wanted(&self, path: &[u8]) -> KindSet {
        let above =
            Path::new(OsStr::from_bytes(path)).ancestors().map(|p| p.as_os_str().as_bytes());
        let found = above.enumerate().filter_map(|(up, path)| Some((up, self.wanted.get(path)?)));
        found.fold(KindSet::EMPTY, |all, (up, wanted)| {
            all.union(if up < 2 { wanted.near } else { wanted.below })
        })
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Reporter, sink: &mut dyn Sink) {
        if event.mask & libc::FAN_Q_OVERFLOW != 0 {
            sink.lost(wire::RING_REST, wire::LOSS_SOURCE, 1);
            self.stale = true;
            return;
        }
        let used = event.mask & (libc::FAN_OPEN | plan::WRITTEN);
        let dir = event.mask & libc::FAN_ONDIR != 0;
        if event.mask & plan::SELF != 0 {
            self.stale = true;
        }
        if event.mask & plan::NAMES != 0 {
            let name = out.name(event.entry, sink);
            self.follow(&name, event.mask);
        }
        if used != 0 && !dir {
            let name = out.name(event.entry, sink);
            self.used(&name, event, out, sink);
        }
    }

    /// A name appeared or vanished: whom does it concern?
    fn follow(&mut self, name: &Name, mask: u64) {
        if name.partial {
            self.stale = true;
            return;
        }
        let path = Path::new(OsStr::from_bytes(&name.path));
        let dir = mask & libc::FAN_ONDIR != 0;
        let mut changed = false;
        for at in 0..self.watches.len() {
            let Some(planned) = self.watches.get_mut(at) else { continue };
            let marked = planned.marks.contains_key(path);
            let recursive = planned.watch.recursive;
            if Path::new(&planned.watch.path).starts_with(path) || (marked && !recursive) {
                self.apply(at);
                changed = true;
            } else if recursive && dir && mask & plan::APPEAR != 0 && inside(planned, path) {
                self.extend(at, path);
            } else if marked {
                planned.marks.remove(path);
            }
        }
        if changed {
            self.tell();
        }
    }

    /// Marks a new directory below a recursive watch, and what is already in it.
    fn extend(&mut self, at: usize, path: &Path) {
        let room = self.room();
        let Some(planned) = self.watches.get_mut(at) else { return };
        let mut marks = Marks::new();
        if !plan::below(path, &planned.watch, room, &mut marks) {
            let why = format!("no room for more marks ({})", plan::MARKS_MAX);
            self.failed.insert(path.to_path_buf(), why);
        }
        planned.marks.extend(marks.clone());
        self.mark(&marks);
        if let Some(Err(error)) = self.targets.as_mut().map(|targets| targets.add(&marks)) {
            self.failed.insert(path.to_path_buf(), format!("not watched: {error}"));
        }
    }

    /// A marked file, or one in a marked directory, was opened or written.
    fn used(&mut self, name: &Name, event: &Event<'_>, out: &mut Reporter, sink: &mut dyn Sink) {
        let mut wanted = self.wanted(&name.path);
        let mut now = None;
        if wanted.is_empty() {
            now = state(&name.path);
            let inode = now.and_then(|now| self.inodes.get(&(now.dev, now.ino)));
            wanted = inode.copied().unwrap_or_default();
        }
        let open = event.mask & libc::FAN_OPEN != 0 && wanted.contains(Kind::Open);
        let write = wanted.contains(Kind::Write) && self.is_new_write(event, &name.path);
        if !open && !write {
            return;
        }
        let state = now.or_else(|| state(&name.path));
        for (kind, _) in [(Kind::Open, open), (Kind::Write, write)].iter().filter(|(_, on)| *on) {
            let kind = *kind as u32;
            let (pid, path) = (event.pid, name);
            out.send(What { kind, pid, path, old: None, state, changed: 0 }, sink);
        }
    }

    /// Whether an event is the first sign of a write: the first piece written, or the close of a
    /// file opened for writing of which no piece was seen (it may have been mapped and written).
    fn is_new_write(&mut self, event: &Event<'_>, path: &[u8]) -> bool {
        if event.mask & plan::WRITTEN == 0 {
            return false;
        }
        let key = (event.pid, path.to_vec());
        let now = sys::boottime();
        let told = self.writers.get(&key).is_some_and(|at| now.wrapping_sub(*at) < WRITE_AGAIN_NS);
        if event.mask & libc::FAN_CLOSE_WRITE != 0 {
            self.writers.remove(&key);
        } else if !told {
            self.writers.insert(key, now);
        }
        !told
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}

/// Whether a path is in a directory that the watch has marked.
fn inside(planned: &Planned, path: &Path) -> bool {
    path.parent().is_some_and(|parent| planned.marks.contains_key(parent))
}
