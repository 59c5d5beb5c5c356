//! One BPF ring buffer, mapped and read.
//!
//! The kernel's layout: a page with the consumer's position, a page with the producer's, then the
//! data, which is mapped twice in a row so that no record is ever split. A record is a header of
//! eight bytes (length with two flag bits, page offset), then its bytes, padded to eight.

use std::fs;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::{HELD_SHARE, PRESSURE_SHARE};
use crate::Error;

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const HEADER: u32 = 8;
/// Where the time is in a record.
const TIME: std::ops::Range<usize> = 0..8;
const _: () = assert!(std::mem::offset_of!(model::wire::RecHeader, time) == TIME.start);

/// The first record that is not handled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Time in the record; 0 if it is too short to have one.
    pub(super) time: u64,
    at: u64,
    len: u32,
}

impl Head {
    /// Position of the record after this one.
    fn next(self) -> u64 {
        self.at + (u64::from(HEADER) + u64::from(self.len)).next_multiple_of(8)
    }
}

/// A piece of mapped memory, unmapped when dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<std::ffi::c_void>,
    len: usize,
}

// SAFETY: the mapping is plain memory that no thread owns; access to it goes through `Ring`.
unsafe impl Send for Mapping {}

impl Mapping {
    pub(super) fn new(
        fd: BorrowedFd<'_>,
        offset: usize,
        len: usize,
        protection: ProtFlags,
    ) -> Result<Mapping, Error> {
        let failed = |source| Error::io("cannot map a ring buffer", source);
        let size = NonZeroUsize::new(len)
            .ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        // SAFETY: without a fixed address the kernel picks unused addresses, so nothing that
        // exists is replaced.
        let base = unsafe { mmap(None, size, protection, MapFlags::MAP_SHARED, fd, offset) };
        Ok(Mapping { base: base.map_err(|errno| failed(errno.into()))?, len })
    }

    /// Where the mapping starts.
    #[cfg(test)]
    pub(super) fn base(&self) -> NonNull<std::ffi::c_void> {
        self.base
    }

    /// The position at the start of the mapping.
    fn position(&self) -> &AtomicU64 {
        // SAFETY: the mapping starts at a page and has at least one, so this is in bounds and
        // aligned; the kernel and we access it as an atomic only, and it lives as long as `self`.
        unsafe { self.base.cast::<AtomicU64>().as_ref() }
    }

    /// The header word at a byte offset, which must be a multiple of eight inside the mapping.
    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(8) || offset.checked_add(8)? > self.len {
            return None;
        }
        // SAFETY: the offset was just checked to be inside the mapping.
        let at = unsafe { self.base.byte_add(offset) };
        // SAFETY: aligned to eight and in bounds (checked above); the kernel changes the word
        // only by atomic writes.
        Some(unsafe { at.cast::<AtomicU32>().as_ref() })
    }

    /// Bytes of the mapping; the caller knows that the kernel does not change them meanwhile.
    fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return &[];
        }
        // SAFETY: the range was just checked to be inside the mapping.
        let at = unsafe { self.base.byte_add(offset) };
        // SAFETY: in bounds; the bytes of a committed record are not written to until the
        // consumer's position passes it, which takes `&mut Ring`, so not during this borrow.
        unsafe { std::slice::from_raw_parts(at.cast::<u8>().as_ptr(), len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new` and nothing borrows from it any more. That it
        // cannot fail for such a range is why the result is not looked at.
        let _unmapped = unsafe { munmap(self.base, self.len) };
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ring {
    fd: OwnedFd,
    consumer: Mapping,
    /// The producer's page and twice the data.
    data: Mapping,
    page: usize,
    size: u64,
    /// Own copies of the positions: ours is the truth, the producer's may be behind.
    at: u64,
    produced: u64,
    broken: u64,
    /// The next record was there when it was looked at, and not complete.
    written: bool,
    /// What was read is not given back to the producers before [`Ring::release`].
    held: bool,
}

impl Ring {
    /// Maps a BPF ring buffer.
    pub(super) fn map(fd: OwnedFd) -> Result<Ring, Error> {
        let size = size_of_map(fd.as_fd())?;
        let page = page_size()?;
        let both = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let consumer = Mapping::new(fd.as_fd(), 0, page, both)?;
        let data = Mapping::new(fd.as_fd(), page, page + 2 * size, ProtFlags::PROT_READ)?;
        Ok(Ring::new(fd, consumer, data, page, size))
    }

    pub(super) fn new(
        fd: OwnedFd,
        consumer: Mapping,
        data: Mapping,
        page: usize,
        size: usize,
    ) -> Ring {
        let at = consumer.position().load(Ordering::Acquire);
        Ring {
            fd,
            consumer,
            data,
            page,
            size: size as u64,
            at,
            produced: at,
            broken: 0,
            written: false,
            held: false,
        }
    }

    /// The next record, if it is there and complete. Skips what the producer took back.
    pub(super) fn head(&mut self) -> Option<Head> {
        self.written = false;
        loop {
            if self.at >= self.produced {
                self.refresh();
                if self.at >= self.produced {
                    return None;
                }
            }
            let offset = self.offset(self.at);
            // Acquire: the record's bytes are read after the bit that says they are complete.
            let word = self.data.word(offset)?.load(Ordering::Acquire);
            if word & BUSY != 0 {
                self.written = true;
                return None;
            }
            let mut head = Head { time: 0, at: self.at, len: word & !(BUSY | DISCARD) };
            if head.next() > self.produced || u64::from(head.len) > self.size {
                self.broken += 1;
                self.set(self.produced);
                return None;
            }
            if word & DISCARD != 0 {
                self.set(head.next());
                continue;
            }
            let time = self.bytes(head).get(TIME).and_then(|time| time.try_into().ok());
            head.time = time.map_or(0, u64::from_ne_bytes);
            return Some(head);
        }
    }

    /// Whether the record that [`Ring::head`] looked for last is being written.
    pub(super) fn is_written(&self) -> bool {
        self.written
    }

    /// Bytes of a record that was not advanced over yet.
    pub(super) fn bytes(&self, head: Head) -> &[u8] {
        // `u32` fits into the `usize` of every machine that has BPF ring buffers.
        self.data.bytes(self.offset(head.at) + HEADER as usize, head.len as usize)
    }

    /// Gives the room of a record back to the producers, unless it is held.
    pub(super) fn advance(&mut self, head: Head) {
        self.set(head.next());
    }

    /// What is read from here on keeps its room.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// Whether anything that was read keeps its room.
    pub(super) fn is_held(&self) -> bool {
        self.held && self.consumer.position().load(Ordering::Relaxed) < self.at
    }

    /// How far was read.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// Gives back the room of what was read up to a position; if that is all, nothing is held.
    pub(super) fn release(&mut self, to: u64) {
        self.held = to < self.at;
        self.store(to.min(self.at));
    }

    /// Whether what is held, with what waits, fills more than its share.
    pub(super) fn is_choked(&mut self) -> bool {
        self.refresh();
        let given = self.consumer.position().load(Ordering::Relaxed);
        self.held && self.produced.saturating_sub(given) > self.size / HELD_SHARE
    }

    /// Whether the ring fills up faster than it may be held back.
    pub(super) fn is_pressed(&mut self) -> bool {
        self.used() > self.size / PRESSURE_SHARE
    }

    /// Bytes that fit.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that wait.
    pub(super) fn used(&mut self) -> u64 {
        self.refresh();
        self.produced.saturating_sub(self.at)
    }

    pub(super) fn broken(&self) -> u64 {
        self.broken
    }

    fn refresh(&mut self) {
        self.produced = self.data.position().load(Ordering::Acquire);
    }

    fn set(&mut self, at: u64) {
        self.at = at;
        if !self.held {
            self.store(at);
        }
    }

    fn store(&mut self, at: u64) {
        // Release: all reads of the record happen before its room is given back.
        self.consumer.position().store(at, Ordering::Release);
    }

    /// Offset in the data mapping. The size is a power of two.
    fn offset(&self, position: u64) -> usize {
        let within = position & (self.size - 1);
        self.page + usize::try_from(within).unwrap_or(usize::MAX)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Size of the data, as the kernel tells in `/proc`: this needs no privilege, unlike bpf(2).
fn size_of_map(fd: BorrowedFd<'_>) -> Result<usize, Error> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    let info =
        fs::read_to_string(&path).map_err(|source| Error::io(format!("read {path}"), source))?;
    let line = info.lines().find_map(|line| line.strip_prefix("max_entries:"));
    let size: Option<usize> = line.and_then(|value| value.trim().parse().ok());
    size.filter(|size| size.is_power_of_two())
        .ok_or_else(|| Error::map("ring", &"the descriptor is not that of a ring buffer"))
}

/// Size of a page.
pub(super) fn page_size() -> Result<usize, Error> {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| Error::map("ring", &"the page size is not known"))
}
