//! File events by fanotify: names of all local filesystems, opens and writes of watched files.
//!
//! Filesystems that are mounted only in other mount namespaces, remote and FUSE filesystems, and
//! those whose driver has no file handles are not covered; [`Fanotify::notes`] names the latter.

mod group;
mod handle;
mod plan;
mod report;
mod targets;
mod tree;
mod watch;

use std::os::fd::{AsFd, BorrowedFd};

use model::interest::Interest;
use model::op::{Kind, KindSet};
use nix::sys::epoll::EpollFlags;

use self::report::Reporter;
use self::tree::Tree;
use self::watch::Watcher;
use super::mountinfo::MountInfo;
use super::{Source, SourceError, SourceId};
use crate::sink::Sink;

pub(crate) use targets::WatchMaps;

pub(crate) use group::{BY_MOUNT, Group, NAMESPACE, READ_BYTES, events};

/// Reads of each group in one call of `service`; the next call goes on.
const READS: usize = 8;

/// What this source can give.
pub(crate) const KINDS: KindSet = KindSet::EMPTY
    .with(Kind::Create)
    .with(Kind::Rename)
    .with(Kind::Unlink)
    .with(Kind::Link)
    .with(Kind::Attr)
    .with(Kind::Open)
    .with(Kind::Write);
/// Kinds that are told of watched files only.
pub(crate) const WATCHED: KindSet = KindSet::EMPTY.with(Kind::Open).with(Kind::Write);

/// The fanotify source.
#[derive(Debug)]
pub(crate) struct Fanotify {
    tree: Tree,
    watcher: Option<Watcher>,
    out: Reporter,
    mounts: MountInfo,
    uncovered: Vec<String>,
    buffer: Vec<u8>,
}

impl Fanotify {
    /// Marks what the kinds and watches need. With `maps`, opens and writes are reported by programs
    /// in the kernel, and this source only tells them of which files.
    pub(crate) fn new(
        kinds: KindSet,
        interest: &Interest,
        maps: Option<WatchMaps>,
    ) -> Result<Self, SourceError> {
        let fail = |what| move |error| SourceError::new(SourceId::Fanotify, what, error);
        let rename = Tree::rename_event().map_err(fail("create a group that reports names"))?;
        Self::with(kinds, interest, rename, maps)
    }

    /// The same, with the way in which renames are reported given.
    fn with(
        kinds: KindSet,
        interest: &Interest,
        rename: u64,
        maps: Option<WatchMaps>,
    ) -> Result<Self, SourceError> {
        let fail = |what| move |error| SourceError::new(SourceId::Fanotify, what, error);
        let tree = Tree::new(kinds, rename).map_err(fail("create a group that reports names"))?;
        let mounts = MountInfo::open().map_err(fail("open /proc/self/mountinfo"))?;
        let watched = kinds.intersection(WATCHED);
        let mut source = Fanotify {
            tree,
            watcher: None,
            out: Reporter::new(),
            mounts,
            uncovered: Vec::new(),
            buffer: vec![0; READ_BYTES],
        };
        source.cover().map_err(fail("read /proc/self/mountinfo"))?;
        if !watched.is_empty() {
            let watcher = Watcher::new(watched, &interest.watch, maps);
            source.watcher = Some(watcher.map_err(fail("create a group for watched files"))?);
        }
        Ok(source)
    }

    /// Marks all filesystems; those marked already keep their mark.
    fn cover(&mut self) -> std::io::Result<()> {
        self.uncovered.clear();
        let mounts = self.mounts.read()?;
        let (tree, uncovered) = (&self.tree, &mut self.uncovered);
        self.out.dirs.refresh(&mounts, |mount| {
            let covered = tree.cover(mount);
            if !covered {
                uncovered.push(format!("{} is not covered", mount.point.display()));
            }
            covered
        });
        Ok(())
    }

    /// What is not seen, for people.
    pub(crate) fn notes(&self) -> Vec<String> {
        let failed = self.watcher.iter().flat_map(Watcher::failed);
        self.uncovered.iter().cloned().chain(failed).collect()
    }
}

impl Source for Fanotify {
    fn fds(&self) -> Vec<(BorrowedFd<'_>, EpollFlags)> {
        let mut fds = vec![
            (self.tree.as_fd(), EpollFlags::EPOLLIN),
            (self.mounts.bell(), EpollFlags::EPOLLPRI),
        ];
        fds.extend(self.watcher.iter().map(|watcher| (watcher.as_fd(), EpollFlags::EPOLLIN)));
        fds
    }

    fn notes(&self) -> Vec<String> {
        Fanotify::notes(self)
    }

    fn retire(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            watcher.retire();
        }
    }

    fn service(&mut self, sink: &mut dyn Sink) {
        if self.mounts.changed() {
            // A mountinfo that cannot be read now is read at the next change; marks stay.
            let _retry = self.cover();
            if let Some(watcher) = &mut self.watcher {
                watcher.apply_all();
            }
        }
        for _ in 0..READS {
            // Names first: they tell of renamed directories, which the paths of the others need.
            let mut more = self.tree.service(&mut self.buffer, &mut self.out, sink);
            if let Some(watcher) = &mut self.watcher {
                more |= watcher.service(&mut self.buffer, &mut self.out, sink);
            }
            if !more {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::wire::{Body, Record};
    use nix::libc;

    use super::*;

    #[derive(Default)]
    struct Renames(Vec<(String, String, u32)>);

    impl Sink for Renames {
        fn submit(&mut self, _ring: u32, bytes: &mut [u8]) {
            let mut words = vec![0u64; bytes.len().div_ceil(8)];
            let aligned = zerocopy::IntoBytes::as_mut_bytes(words.as_mut_slice());
            aligned[..bytes.len()].copy_from_slice(bytes);
            let record = Record::parse(aligned).unwrap();
            let Body::File(file) = record.body() else { panic!("{record:?}") };
            let text = |span| String::from_utf8_lossy(record.bytes(span)).into_owned();
            self.0.push((text(file.old_path), text(file.path), file.h.pid));
        }

        fn lost(&mut self, _ring: u32, cause: u32, _count: u64) {
            panic!("lost {cause}");
        }
    }

    /// As on kernels before 5.17, which tell a rename as two events.
    #[test]
    fn the_two_halves_of_a_rename_find_each_other() {
        if !nix::unistd::geteuid().is_root() {
            println!("SKIP: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let name = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        for file in ["a", "b"] {
            std::fs::write(name(file), "").unwrap();
        }
        let kinds = KindSet::EMPTY.with(Kind::Rename);
        let pairs = libc::FAN_MOVED_FROM | libc::FAN_MOVED_TO;
        let mut source = Fanotify::with(kinds, &Interest::default(), pairs, None).unwrap();
        let mut expected = Vec::new();
        for (old, new) in [("a", "c"), ("b", "d")] {
            let mut mv = std::process::Command::new("mv");
            let mut child = mv.args([name(old), name(new)]).spawn().unwrap();
            assert!(child.wait().unwrap().success());
            expected.push((name(old), name(new), child.id()));
        }
        let mut seen = Renames::default();
        source.service(&mut seen);
        seen.0.retain(|(old, ..)| old.starts_with(dir.path().to_str().unwrap()));
        assert_eq!(seen.0, expected);
    }
}
