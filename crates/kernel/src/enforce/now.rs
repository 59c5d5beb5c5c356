//! What programs look at before anything else, as memory of ours: `struct now` of blob.h. So a number
//! changes at once, where the system call that writes a map copies it byte by byte.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use libbpf_rs::{MapCore, MapHandle};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::error::Error;

/// Three numbers of 64 bits.
const BYTES: NonZeroUsize = NonZeroUsize::new(24).unwrap();
/// Of those that other builds have: the first two. A mapping is a whole page in any case.
const BYTES_MIN: usize = 16;

/// The map, in memory until it is dropped.
#[derive(Debug)]
pub(super) struct Now {
    base: NonNull<std::ffi::c_void>,
}

impl Now {
    pub(super) fn of(map: &MapHandle) -> Result<Now, Error> {
        let bytes = map.value_size() as usize;
        if bytes < BYTES_MIN {
            let reason = format!("it has {bytes} bytes, {BYTES_MIN} are needed");
            return Err(Error::map("epoch", &reason));
        }
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: without a fixed address the kernel picks unused addresses, so nothing that exists
        // is replaced.
        let base = unsafe { mmap(None, BYTES, access, MapFlags::MAP_SHARED, map.as_fd(), 0) };
        let base = base.map_err(|errno| Error::io("cannot map what is in force", errno.into()))?;
        Ok(Now { base })
    }

    /// The epoch in force; 0: nothing is.
    pub(super) fn epoch(&self) -> &AtomicU64 {
        let [epoch, ..] = self.all();
        epoch
    }

    /// Directories that were renamed.
    pub(super) fn moves(&self) -> &AtomicU64 {
        let [_, moves, _] = self.all();
        moves
    }

    /// Whether files are hashed when they are executed.
    pub(super) fn hashing(&self) -> &AtomicU64 {
        let [.., hashing] = self.all();
        hashing
    }

    fn all(&self) -> &[AtomicU64; 3] {
        // SAFETY: the mapping begins at a page and has room for three numbers; programs and we use
        // them whole, and it lives as long as `self`.
        unsafe { self.base.cast::<[AtomicU64; 3]>().as_ref() }
    }
}

impl Drop for Now {
    fn drop(&mut self) {
        // SAFETY: this is what was mapped, and nothing that was lent outlives `self`.
        let unmapped = unsafe { munmap(self.base, BYTES.get()) };
        debug_assert!(unmapped.is_ok(), "a whole mapping is always given back");
    }
}
