//! Mounts and unmounts in the mount namespace of the agent.
//!
//! Since Linux 6.14 fanotify tells them with the process that acts; before, mountinfo is compared
//! with what it was, and nobody knows who it was (pid 0). What other mount namespaces mount for
//! themselves is not seen.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use model::op::{Kind, KindSet};
use model::wire::{self, RecFile};
use nix::libc;
use nix::sys::epoll::EpollFlags;

use super::fanotify::{BY_MOUNT, Group, NAMESPACE, READ_BYTES, events};
use super::mountinfo::{MOUNTS_MAX, Mount, MountInfo};
use super::record::{Builder, blank};
use super::statmount;
use super::{Source, SourceError, SourceId};
use crate::sink::Sink;

/// What this source can give.
pub(crate) const KINDS: KindSet = KindSet::EMPTY.with(Kind::Mount).with(Kind::Umount);

const ATTACH: u64 = 0x0100_0000;
const DETACH: u64 = 0x0200_0000;
/// Reads in one call of `service`; the next call goes on.
const READS: usize = 8;

/// Where the news comes from.
#[derive(Debug)]
enum Feed {
    /// Unique mount ids with the pid that acted.
    Events(Group),
    /// The whole list, compared; keys are ids of mountinfo.
    Compare(MountInfo),
}

/// The mount source.
#[derive(Debug)]
pub(crate) struct Mounts {
    feed: Feed,
    /// What is mounted, by unique id or by id of mountinfo: an unmount tells only the id.
    known: BTreeMap<u64, Mount>,
    kinds: KindSet,
    builder: Builder,
}

impl Mounts {
    /// The best way that works here.
    pub(crate) fn new(kinds: KindSet) -> Result<Self, SourceError> {
        Self::by_events(kinds).or_else(|_older| Self::by_comparison(kinds))
    }

    fn by_events(kinds: KindSet) -> io::Result<Self> {
        let group = Group::new(BY_MOUNT)?;
        group.mark(NAMESPACE, ATTACH | DETACH, "/proc/self/ns/mnt".as_ref())?;
        let known = statmount::all()?;
        Ok(Self::with(Feed::Events(group), known, kinds))
    }

    fn by_comparison(kinds: KindSet) -> Result<Self, SourceError> {
        let fail = |error| SourceError::new(SourceId::Mounts, "read /proc/self/mountinfo", error);
        let mut info = MountInfo::open().map_err(fail)?;
        info.changed();
        let known = by_id(info.read().map_err(fail)?);
        Ok(Self::with(Feed::Compare(info), known, kinds))
    }

    fn with(feed: Feed, known: BTreeMap<u64, Mount>, kinds: KindSet) -> Self {
        Mounts { feed, known, kinds, builder: Builder::default() }
    }

    /// Whether the acting process is told.
    pub(crate) fn has_actor(&self) -> bool {
        matches!(self.feed, Feed::Events(_))
    }

    fn event(&mut self, id: u64, pid: u32, mask: u64, sink: &mut dyn Sink) {
        let before = self.known.remove(&id);
        // Moved: both bits for a mount that was known. Mounted and unmounted before we looked: both
        // bits for one that was not.
        let moved = mask & DETACH != 0 && before.is_some();
        if moved {
            self.send(Kind::Umount, pid, before.as_ref(), sink);
        }
        if mask & ATTACH != 0 {
            let now = statmount::of(id).ok();
            self.send(Kind::Mount, pid, now.as_ref(), sink);
            if let Some(now) = now.filter(|_| self.known.len() < MOUNTS_MAX) {
                self.known.insert(id, now);
            }
        }
        if mask & DETACH != 0 && !moved {
            self.send(Kind::Umount, pid, None, sink);
        }
    }

    fn send(&mut self, kind: Kind, pid: u32, mount: Option<&Mount>, sink: &mut dyn Sink) {
        const FLAGS: u32 = wire::FLAG_NO_CREDS | wire::FLAG_NO_START | wire::FLAG_LATE_TIME;
        if !self.kinds.contains(kind) {
            return;
        }
        let provider = if self.has_actor() { wire::PROVIDER_FANOTIFY } else { wire::PROVIDER_PROC };
        let mut record: RecFile = blank(kind as u32, provider, FLAGS, pid);
        if pid == 0 {
            sink.lost(wire::RING_REST, wire::LOSS_NO_PROCESS, 1);
        }
        if let Some(mount) = mount {
            let mut text = |text: &[u8]| self.builder.text::<RecFile>(text, wire::PATH_MAX_BYTES);
            let (path, cut) = text(mount.point.as_os_str().as_bytes());
            record.path = path;
            record.h.flags |= if cut { wire::FLAG_CUT_PATH } else { 0 };
            record.old_path = text(&mount.source).0;
            record.name = text(&mount.kind).0;
            record.dev = mount.dev;
            record.magic = mount.magic;
            record.open_flags = mount.flags;
        } else {
            record.h.flags |= wire::FLAG_PATH_PARTIAL;
            sink.lost(wire::RING_REST, wire::LOSS_RESOLVE, 1);
        }
        self.builder.send(record, wire::RING_REST, sink);
    }

    /// Takes over the list as it is now, and tells what was mounted and unmounted since the last
    /// time. Of a mount that came and went in between, nothing is left.
    fn compare(&mut self, now: BTreeMap<u64, Mount>, sink: &mut dyn Sink) {
        let before = std::mem::replace(&mut self.known, now);
        let now = self.known.clone();
        for (id, mount) in before.iter().filter(|(id, mount)| now.get(id) != Some(mount)) {
            if !now.get(id).is_some_and(|now| same(now, mount)) {
                self.send(Kind::Umount, 0, Some(mount), sink);
            }
        }
        for (id, mount) in &now {
            if !before.get(id).is_some_and(|before| same(before, mount)) {
                self.send(Kind::Mount, 0, Some(mount), sink);
            }
        }
    }

    /// After an overflow: the truth anew, without records.
    fn start_over(&mut self) {
        if let Ok(known) = statmount::all() {
            self.known = known;
        }
    }
}

impl Source for Mounts {
    fn fds(&self) -> Vec<(BorrowedFd<'_>, EpollFlags)> {
        match &self.feed {
            Feed::Events(group) => vec![(group.as_fd(), EpollFlags::EPOLLIN)],
            Feed::Compare(info) => vec![(info.bell(), EpollFlags::EPOLLPRI)],
        }
    }

    fn notes(&self) -> Vec<String> {
        let unknown = "the acting process is unknown (Linux 6.14 tells it)";
        if self.has_actor() { Vec::new() } else { vec![unknown.to_owned()] }
    }

    fn service(&mut self, sink: &mut dyn Sink) {
        let group = match &mut self.feed {
            Feed::Events(group) => group,
            Feed::Compare(info) => {
                // A list that cannot be read now is compared at the next change.
                let now = if info.changed() { info.read().ok() } else { None };
                if let Some(now) = now {
                    self.compare(by_id(now), sink);
                }
                return;
            }
        };
        let mut buffer = [0; READ_BYTES / 16];
        let mut found = Vec::new();
        for _ in 0..READS {
            let bytes = group.read(&mut buffer);
            found.extend(events(bytes).map(|event| (event.mask, event.pid, event.mount)));
            if bytes.is_empty() {
                break;
            }
        }
        for (mask, pid, mount) in found {
            if mask & libc::FAN_Q_OVERFLOW != 0 {
                sink.lost(wire::RING_REST, wire::LOSS_SOURCE, 1);
                self.start_over();
            } else if let Some(id) = mount {
                self.event(id, pid, mask, sink);
            }
        }
    }
}

fn by_id(mounts: Vec<Mount>) -> BTreeMap<u64, Mount> {
    mounts.into_iter().map(|mount| (mount.id.into(), mount)).collect()
}

/// The same mount: other options are a remount, which is not a mount.
fn same(a: &Mount, b: &Mount) -> bool {
    let place = |mount: &Mount| -> (u64, PathBuf) { (mount.dev, mount.point.clone()) };
    place(a) == place(b)
}

#[cfg(test)]
mod tests {
    use model::wire::{Body, Record};
    use nix::mount::{MsFlags, mount, umount};

    use super::*;

    #[derive(Default)]
    struct Seen(Vec<(Kind, String, u32, u32)>);

    impl Sink for Seen {
        fn submit(&mut self, _ring: u32, bytes: &mut [u8]) {
            let mut words = vec![0u64; bytes.len().div_ceil(8)];
            let aligned = zerocopy::IntoBytes::as_mut_bytes(words.as_mut_slice());
            aligned[..bytes.len()].copy_from_slice(bytes);
            let record = Record::parse(aligned).unwrap();
            let Body::File(file) = record.body() else { panic!("{record:?}") };
            let path = String::from_utf8_lossy(record.bytes(file.path)).into_owned();
            self.0.push((record.kind(), path, file.h.pid, file.h.provider.into()));
        }

        fn lost(&mut self, _ring: u32, cause: u32, _count: u64) {
            assert_eq!(cause, wire::LOSS_NO_PROCESS, "only the process is unknown");
        }
    }

    /// As on kernels before 6.14.
    #[test]
    fn a_comparison_finds_what_came_and_went() {
        if !nix::unistd::geteuid().is_root() {
            println!("SKIP: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut mounts = Mounts::by_comparison(KINDS).unwrap();
        let mut seen = Seen::default();
        let none = None::<&str>;
        mount(Some("x"), dir.path(), Some("tmpfs"), MsFlags::empty(), none).unwrap();
        mounts.service(&mut seen);
        umount(dir.path()).unwrap();
        mounts.service(&mut seen);
        mounts.service(&mut seen);
        let path = dir.path().to_str().unwrap().to_owned();
        seen.0.retain(|(_, at, ..)| *at == path);
        let proc = wire::PROVIDER_PROC;
        assert_eq!(seen.0, [(Kind::Mount, path.clone(), 0, proc), (Kind::Umount, path, 0, proc)]);
    }
}
