//! Creation, renaming, deletion and attributes of all files of all local filesystems.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use model::op::{Kind, KindSet};
use model::wire;
use nix::libc;

use super::group::{self, Event, Group};
use super::handle::is_covered;
use super::report::{Name, Reporter, State, What, state};
use crate::sink::Sink;
use crate::source::mountinfo::Mount;
use crate::source::recent::Recent;

/// Half of the files whose mode and owner are remembered, to tell what a change of attributes
/// changed: 32 bytes each, about 0.5 MB at most.
const OWNERS: usize = 4096;
/// Old names that wait for their new one, where the kernel reports them apart (before 5.17). The
/// new one follows at once; more than a few wait only if many processes rename at the same time.
const HALVES: usize = 64;

const MOVED: u64 = libc::FAN_MOVED_FROM | libc::FAN_MOVED_TO;

/// Mode and owner of a file as last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    mode: u32,
    uid: u32,
    gid: u32,
}

/// The group with a mark on each filesystem.
#[derive(Debug)]
pub(crate) struct Tree {
    group: Group,
    kinds: KindSet,
    mask: u64,
    rename: u64,
    owners: Recent<(u64, u64), Owner>,
    halves: Vec<(u32, Name)>,
}

impl Tree {
    /// A group without marks; [`Tree::cover`] sets them. Renames are always among its events, since
    /// a renamed directory makes remembered paths wrong.
    pub(crate) fn new(kinds: KindSet, rename: u64) -> io::Result<Self> {
        let mut mask = rename | libc::FAN_ONDIR;
        for (kind, bits) in [
            (Kind::Create, libc::FAN_CREATE),
            (Kind::Link, libc::FAN_CREATE),
            (Kind::Unlink, libc::FAN_DELETE),
            (Kind::Attr, libc::FAN_ATTRIB),
        ] {
            mask |= if kinds.contains(kind) { bits } else { 0 };
        }
        Ok(Tree {
            group: Group::new(group::BY_NAME)?,
            kinds,
            mask,
            rename,
            owners: Recent::new(OWNERS),
            halves: Vec::new(),
        })
    }

    /// How this kernel reports a rename: with both names (5.17), or as two events.
    pub(crate) fn rename_event() -> io::Result<u64> {
        let group = Group::new(group::BY_NAME)?;
        match group.mark(group::INODE, libc::FAN_RENAME, "/".as_ref()) {
            Ok(()) => Ok(libc::FAN_RENAME),
            Err(_) => group.mark(group::INODE, MOVED, "/".as_ref()).map(|()| MOVED),
        }
    }

    /// Marks the filesystem of a mount; says whether that worked. A mark that is there stays.
    pub(crate) fn cover(&self, mount: &Mount) -> bool {
        is_covered(&mount.kind)
            && self.group.mark(group::FILESYSTEM, self.mask, &mount.point).is_ok()
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
        !bytes.is_empty()
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Reporter, sink: &mut dyn Sink) {
        if event.mask & libc::FAN_Q_OVERFLOW != 0 {
            // How many were dropped is not told: one at least. A rename may be among them.
            sink.lost(wire::RING_REST, wire::LOSS_SOURCE, 1);
            out.dirs.forget();
            return;
        }
        if event.mask & self.rename != 0 {
            if self.kinds.contains(Kind::Rename) {
                self.renamed(event, out, sink);
            }
            if event.mask & libc::FAN_ONDIR != 0 {
                out.dirs.forget();
            }
        }
        if event.mask & (libc::FAN_CREATE | libc::FAN_DELETE | libc::FAN_ATTRIB) != 0 {
            self.changed(event, out, sink);
        }
    }

    /// One record for each operation in the mask, in the order in which they can have happened.
    fn changed(&mut self, event: &Event<'_>, out: &mut Reporter, sink: &mut dyn Sink) {
        let name = out.name(event.entry, sink);
        let has = |bit| event.mask & bit != 0;
        let now = if name.partial { None } else { state(&name.path) };
        let (made, gone) = (has(libc::FAN_CREATE), has(libc::FAN_DELETE));
        // Made and deleted, and there is something: it was replaced, so the deletion came first.
        let replaced = made && gone && now.is_some();
        let mut send = |kind: Kind, state, changed| {
            if self.kinds.contains(kind) {
                let kind = kind as u32;
                let path = &name;
                out.send(What { kind, pid: event.pid, path, old: None, state, changed }, sink);
            }
        };
        if replaced {
            send(Kind::Unlink, None, 0);
        }
        if made {
            // A new name of an inode that has more than one: made by link(2).
            let links =
                now.is_some_and(|now| now.links > 1 && now.mode & libc::S_IFMT != libc::S_IFDIR);
            send(if links { Kind::Link } else { Kind::Create }, now, 0);
        }
        let changed = now.map_or(0, |now| difference(&mut self.owners, &now));
        if has(libc::FAN_ATTRIB) {
            send(Kind::Attr, now, changed);
        }
        if gone && !replaced {
            send(Kind::Unlink, None, 0);
        }
    }

    fn renamed(&mut self, event: &Event<'_>, out: &mut Reporter, sink: &mut dyn Sink) {
        if self.rename == libc::FAN_RENAME {
            let old = out.name(event.old, sink);
            let new = out.name(event.new, sink);
            Self::send_rename(event.pid, &old, &new, out, sink);
            return;
        }
        let name = out.name(event.entry, sink);
        if event.mask & libc::FAN_MOVED_TO != 0 {
            let half = self.halves.iter().position(|(pid, _)| *pid == event.pid);
            let old = half.map(|at| self.halves.remove(at).1);
            let old = old.unwrap_or_else(|| unknown(sink));
            Self::send_rename(event.pid, &old, &name, out, sink);
        }
        if event.mask & libc::FAN_MOVED_FROM != 0 {
            if self.halves.len() >= HALVES {
                let (pid, old) = self.halves.remove(0);
                Self::send_rename(pid, &old, &unknown(sink), out, sink);
            }
            self.halves.push((event.pid, name));
        }
    }

    fn send_rename(pid: u32, old: &Name, path: &Name, out: &mut Reporter, sink: &mut dyn Sink) {
        let now = if path.partial { None } else { state(&path.path) };
        let kind = wire::KIND_RENAME;
        out.send(What { kind, pid, path, old: Some(old), state: now, changed: 0 }, sink);
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}

/// A name that the kernel told us nothing of.
fn unknown(sink: &mut dyn Sink) -> Name {
    sink.lost(wire::RING_REST, wire::LOSS_RESOLVE, 1);
    Name { path: Vec::new(), partial: true }
}

/// What differs from the last time this file was seen; 0: it was not seen, or neither mode nor
/// owner differ (then times or extended attributes were changed, or the same value was set again).
fn difference(owners: &mut Recent<(u64, u64), Owner>, now: &State) -> u32 {
    let key = (now.dev, now.ino);
    let owner = Owner { mode: now.mode, uid: now.uid, gid: now.gid };
    let Some(last) = owners.get(&key).copied() else {
        owners.insert(key, owner);
        return 0;
    };
    let mut changed = 0;
    if last.mode != owner.mode {
        changed |= wire::ATTR_MODE;
    }
    if (last.uid, last.gid) != (owner.uid, owner.gid) {
        changed |= wire::ATTR_OWNER;
    }
    if changed != 0 {
        owners.insert(key, owner);
    }
    changed
}
