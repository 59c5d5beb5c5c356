//! A perf event's ring buffer, mapped.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Offsets of `data_head` and `data_tail` in `struct perf_event_mmap_page`.
const HEAD: usize = 1024;
const TAIL: usize = 1032;
/// Longest record the kernel writes (its size has 16 bits).
const RECORD_MAX: usize = 1 << 16;

/// The mapped ring of one perf event.
#[derive(Debug)]
pub(crate) struct PerfRing {
    event: OwnedFd,
    map: NonNull<u8>,
    page: usize,
    data: usize,
    /// A record that was copied out.
    record: Vec<u8>,
}

impl PerfRing {
    /// Maps a ring of `bytes` bytes (a power of two of pages).
    pub(crate) fn new(event: OwnedFd, bytes: usize) -> io::Result<Self> {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
        let page = page.and_then(|page| usize::try_from(page).ok()).unwrap_or(4096);
        let data = bytes.max(page);
        let length = NonZeroUsize::MIN.saturating_add(page + data - 1);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new shared mapping of the event's ring, at an address that the kernel chooses;
        // nothing else is replaced.
        let map = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, &event, 0) }?;
        Ok(PerfRing { event, map: map.cast(), page, data, record: Vec::new() })
    }

    /// One of the two counters that we and the kernel share.
    fn counter(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: `offset` is HEAD or TAIL, inside the first mapped page.
        let place = unsafe { self.map.add(offset) };
        // SAFETY: the place is mapped as long as `self` lives, aligned to 8 (the page is), and is
        // only accessed as a whole 64-bit number by both sides.
        unsafe { AtomicU64::from_ptr(place.cast().as_ptr()) }
    }

    /// Copies `out.len()` bytes from position `at`, wrapping around.
    fn copy(&self, at: u64, out: &mut [u8]) {
        let size = self.data;
        let start = usize::try_from(at % size as u64).unwrap_or(0);
        let length = out.len().min(size);
        let first = length.min(size - start);
        // SAFETY: `page + start` is inside the mapping, whose data part is `size` bytes long.
        let from = unsafe { self.map.add(self.page + start) };
        // SAFETY: `first` bytes from there end inside the mapping, and inside `out`; the kernel
        // does not write between tail and head, where these bytes are.
        unsafe { from.copy_to_nonoverlapping(NonNull::from(&mut *out).cast(), first) };
        let Some(rest) = out.get_mut(first..length) else { return };
        // SAFETY: the data part starts after the first page.
        let from = unsafe { self.map.add(self.page) };
        // SAFETY: the rest is shorter than the data part, and disjoint as above.
        unsafe { from.copy_to_nonoverlapping(NonNull::from(&mut *rest).cast(), rest.len()) };
    }

    /// Hands over each record that waits, at most `budget`, header included.
    pub(crate) fn drain(&mut self, budget: usize, handle: &mut dyn FnMut(&[u8])) {
        let head = self.counter(HEAD).load(Ordering::Acquire);
        let mut tail = self.counter(TAIL).load(Ordering::Relaxed);
        let mut record = std::mem::take(&mut self.record);
        for _ in 0..budget {
            if tail >= head {
                break;
            }
            let mut header = [0u8; 8];
            self.copy(tail, &mut header);
            let [.., low, high] = header;
            let size = usize::from(u16::from_ne_bytes([low, high]));
            if size < header.len() || size > RECORD_MAX {
                // The kernel does not write this; give up what is there and not the ring.
                tail = head;
                break;
            }
            record.resize(size, 0);
            self.copy(tail, &mut record);
            handle(&record);
            tail += size as u64;
        }
        self.record = record;
        self.counter(TAIL).store(tail, Ordering::Release);
    }
}

impl AsFd for PerfRing {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Drop for PerfRing {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and no reference to it outlives `self`.
        let _unmapped = unsafe { munmap(self.map.cast(), self.page + self.data) };
    }
}
