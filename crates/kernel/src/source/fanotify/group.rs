//! A fanotify group and the events it gives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::libc;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::source::sys;

/// Bytes read at once: some 500 events.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// Directory id and name of each event, without blocking. The group's queue has the kernel's bound
/// (`fs.fanotify.max_queued_events`, 16,384 unless set); an unlimited one could take all memory.
///
/// `FAN_REPORT_TARGET_FID` is left out on purpose: it needs `FAN_REPORT_FID`, with which the kernel
/// adds an event without a name (the link count) to each link and unlink.
pub(crate) const BY_NAME: u32 = libc::FAN_CLASS_NOTIF
    | libc::FAN_CLOEXEC
    | libc::FAN_NONBLOCK
    | libc::FAN_REPORT_DIR_FID
    | libc::FAN_REPORT_NAME;
/// Mounts and unmounts by mount id (Linux 6.14).
pub(crate) const BY_MOUNT: u32 =
    libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK | 0x4000;

/// A mark on the filesystem of a path.
pub(crate) const FILESYSTEM: u32 = libc::FAN_MARK_FILESYSTEM;
/// A mark on the inode of a path.
pub(crate) const INODE: u32 = libc::FAN_MARK_INODE;
/// A mark on a mount namespace.
pub(crate) const NAMESPACE: u32 = 0x110;

const INFO_DIR: u8 = 3;
const INFO_NAME: u8 = 2;
const INFO_MOUNT: u8 = 7;
const INFO_OLD_NAME: u8 = 10;
const INFO_NEW_NAME: u8 = 12;

/// A fanotify group.
#[derive(Debug)]
pub(crate) struct Group {
    fd: OwnedFd,
}

impl Group {
    /// A group that reports as the flags say.
    pub(crate) fn new(flags: u32) -> io::Result<Self> {
        Ok(Group { fd: sys::fanotify_init(flags)? })
    }

    /// Adds events to the mark on a path.
    pub(crate) fn mark(&self, what: u32, mask: u64, path: &Path) -> io::Result<()> {
        sys::fanotify_mark(self.fd.as_fd(), libc::FAN_MARK_ADD | what, mask, path)
    }

    /// Takes events from the mark on a path.
    pub(crate) fn unmark(&self, what: u32, mask: u64, path: &Path) -> io::Result<()> {
        sys::fanotify_mark(self.fd.as_fd(), libc::FAN_MARK_REMOVE | what, mask, path)
    }

    /// Reads events that wait; none: an empty slice.
    pub(crate) fn read<'a>(&self, buffer: &'a mut [u8]) -> &'a [u8] {
        // Apart from "nothing there" a read can fail only for one event (whose descriptor could not
        // be made, not a case here) or when interrupted: the next call goes on.
        let length = nix::unistd::read(&self.fd, buffer).unwrap_or(0);
        buffer.get(..length).unwrap_or_default()
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `struct fanotify_event_metadata`.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Metadata {
    event_len: u32,
    version: u8,
    reserved: u8,
    infos_at: u16,
    mask: u64,
    fd: i32,
    pid: u32,
}

/// A directory as the kernel names it: filesystem id (8 bytes), then `struct file_handle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dir<'a>(pub(crate) &'a [u8]);

/// A name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) dir: Dir<'a>,
    /// Empty or "." when the directory itself is meant.
    pub(crate) name: &'a [u8],
}

/// What one event says. The kernel merges events of one process on one name: `mask` may hold many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    pub(crate) mask: u64,
    /// Thread group id; 0: a process outside our pid namespace.
    pub(crate) pid: u32,
    /// The name that the event is about.
    pub(crate) entry: Option<Entry<'a>>,
    pub(crate) old: Option<Entry<'a>>,
    pub(crate) new: Option<Entry<'a>>,
    pub(crate) mount: Option<u64>,
}

/// The events in what [`Group::read`] gave. Bytes that make no sense end the list.
pub(crate) fn events(mut bytes: &[u8]) -> impl Iterator<Item = Event<'_>> {
    std::iter::from_fn(move || {
        let (metadata, _) = Metadata::read_from_prefix(bytes).ok()?;
        let (event, rest) = bytes.split_at_checked(metadata.event_len as usize)?;
        if metadata.version != libc::FANOTIFY_METADATA_VERSION {
            return None;
        }
        let infos = event.get(usize::from(metadata.infos_at)..)?;
        if event.is_empty() {
            return None;
        }
        bytes = rest;
        Some(event_of(&metadata, infos))
    })
}

fn event_of<'a>(metadata: &Metadata, mut infos: &'a [u8]) -> Event<'a> {
    let mut event = Event {
        mask: metadata.mask,
        pid: metadata.pid,
        entry: None,
        old: None,
        new: None,
        mount: None,
    };
    while let Some(&[kind, _, low, high]) = infos.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let Some((info, rest)) = infos.split_at_checked(length).filter(|(info, _)| info.len() >= 4)
        else {
            break;
        };
        let body = info.get(4..).unwrap_or_default();
        match kind {
            INFO_NAME | INFO_DIR => event.entry = entry(body),
            INFO_OLD_NAME => event.old = entry(body),
            INFO_NEW_NAME => event.new = entry(body),
            // Four bytes of padding align the number.
            INFO_MOUNT => {
                let id = body.get(4..).and_then(<[u8]>::first_chunk);
                event.mount = id.map(|id| u64::from_ne_bytes(*id));
            }
            _ => {}
        }
        infos = rest;
    }
    event
}

/// Filesystem id, file handle, and a name that ends in NUL.
fn entry(body: &[u8]) -> Option<Entry<'_>> {
    let handle_bytes = u32::from_ne_bytes(*body.get(8..)?.first_chunk()?);
    let (dir, name) = body.split_at_checked(16 + handle_bytes as usize)?;
    let name = name.split(|b| *b == 0).next().unwrap_or_default();
    Some(Entry { dir: Dir(dir), name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_bytes_end_the_list() {
        assert_eq!(events(&[]).count(), 0);
        assert_eq!(events(&[0; 24]).count(), 0, "a length of 0 must not loop");
        let mut bytes = [0u8; 64];
        bytes[0] = 64;
        bytes[4] = libc::FANOTIFY_METADATA_VERSION;
        bytes[6] = 24;
        bytes[24..28].copy_from_slice(&[INFO_NAME, 0, 40, 0]);
        bytes[36..40].copy_from_slice(&u32::MAX.to_ne_bytes());
        let all: Vec<_> = events(&bytes).collect();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].entry, None, "a handle longer than the record");
        bytes[26] = 2;
        assert_eq!(events(&bytes).count(), 1, "an info shorter than its own header");
    }
}
