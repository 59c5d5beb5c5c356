//! What the two fanotify groups share: from an event's names to a record.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use model::wire::{self, RecFile};
use nix::sys::stat::{major, minor};

use super::group::Entry;
use super::handle::Dirs;
use crate::sink::Sink;
use crate::source::mountinfo::kernel_dev;
use crate::source::record::{Builder, blank};

/// What a file is after the event; `dev` is in the kernel's encoding (`major << 20 | minor`), as
/// BPF programs see it, and not in that of `stat(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u64,
}

/// The state of what a path names, links not followed; none: there is nothing any more.
pub(crate) fn state(path: &[u8]) -> Option<State> {
    let found = std::fs::symlink_metadata(OsStr::from_bytes(path)).ok()?;
    Some(State {
        dev: kernel_dev(major(found.dev()), minor(found.dev())),
        ino: found.ino(),
        size: found.size(),
        mode: found.mode(),
        uid: found.uid(),
        gid: found.gid(),
        links: found.nlink(),
    })
}

/// A path of an event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Name {
    pub(crate) path: Vec<u8>,
    /// Only the last part is known, or nothing.
    pub(crate) partial: bool,
}

/// One record about a file, but for its variable part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct What<'a> {
    pub(crate) kind: u32,
    pub(crate) pid: u32,
    pub(crate) path: &'a Name,
    pub(crate) old: Option<&'a Name>,
    pub(crate) state: Option<State>,
    pub(crate) changed: u32,
}

/// Resolves names and sends records.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) dirs: Dirs,
    builder: Builder,
}

impl Reporter {
    pub(crate) fn new() -> Self {
        Reporter { dirs: Dirs::new(), builder: Builder::default() }
    }

    /// Path of a name; one that cannot be found is counted.
    pub(crate) fn name(&mut self, entry: Option<Entry<'_>>, sink: &mut dyn Sink) -> Name {
        let mut name = Name::default();
        let last = entry.map_or(&b""[..], |entry| entry.name);
        if let Some(dir) = entry.and_then(|entry| self.dirs.path(entry.dir)) {
            name.path.extend_from_slice(dir);
        } else {
            sink.lost(wire::RING_REST, wire::LOSS_RESOLVE, 1);
            name.partial = true;
        }
        if !last.is_empty() && last != b"." {
            if !name.partial && name.path != b"/" {
                name.path.push(b'/');
            }
            name.path.extend_from_slice(last);
        }
        name
    }

    /// Sends a record.
    pub(crate) fn send(&mut self, what: What<'_>, sink: &mut dyn Sink) {
        const FLAGS: u32 = wire::FLAG_NO_CREDS | wire::FLAG_NO_START | wire::FLAG_LATE_TIME;
        let mut record: RecFile = blank(what.kind, wire::PROVIDER_FANOTIFY, FLAGS, what.pid);
        if what.pid == 0 {
            sink.lost(wire::RING_REST, wire::LOSS_NO_PROCESS, 1);
        }
        let (path, cut) = self.builder.text::<RecFile>(&what.path.path, wire::PATH_MAX_BYTES);
        record.path = path;
        let mut flags = flag(cut, wire::FLAG_CUT_PATH);
        flags |= flag(what.path.partial, wire::FLAG_PATH_PARTIAL);
        if let Some(old) = what.old {
            let (path, cut) = self.builder.text::<RecFile>(&old.path, wire::PATH_MAX_BYTES);
            record.old_path = path;
            flags |= flag(cut, wire::FLAG_CUT_PATH) | flag(old.partial, wire::FLAG_PATH_PARTIAL);
        }
        if let Some(state) = what.state {
            record.dev = state.dev;
            record.ino = state.ino;
            record.size = state.size;
            record.mode = state.mode;
            record.uid = state.uid;
            record.gid = state.gid;
            flags |= wire::FLAG_AFTER;
        }
        record.changed = what.changed;
        record.h.flags |= flags;
        self.builder.send(record, wire::RING_REST, sink);
    }
}

fn flag(set: bool, flag: u32) -> u32 {
    if set { flag } else { 0 }
}
