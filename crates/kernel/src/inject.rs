//! Puts records made in user space into the kernel's rings, through a small BPF program.

use std::os::fd::{AsFd, OwnedFd};

use model::wire::{RING_COUNT, RecHeader};

use crate::error::Error;
use crate::ffi::run_program;
use crate::object::Loaded;
use crate::sink::Sink;

/// Ring, count, cause and a spare word before the record; as `struct injection` in inject.bpf.c.
const HEAD: usize = 16;
/// Longest record taken; `INJECT_LARGE` in inject.bpf.c.
const RECORD: usize = 16384;
/// Variants of the program, the better one first.
const PROGRAMS: [&str; 2] = ["inject_find", "inject_plain"];

/// The way of user-space records into the rings.
#[derive(Debug)]
pub struct Injector {
    program: OwnedFd,
    buffer: Vec<u8>,
    refused: u64,
}

impl Injector {
    /// None on kernels that cannot run such programs (before 5.14).
    pub(crate) fn new(loaded: &Loaded) -> Option<Injector> {
        let program = PROGRAMS.iter().find_map(|name| loaded.program(name))?;
        let fd = program.as_fd().try_clone_to_owned().ok()?;
        Some(Injector { program: fd, buffer: Vec::with_capacity(HEAD + RECORD), refused: 0 })
    }

    /// Puts one record into a ring.
    pub fn put(&mut self, ring: u32, record: &[u8]) -> Result<(), Error> {
        if record.len() < size_of::<RecHeader>() || record.len() > RECORD || ring >= RING_COUNT {
            let what = format!("a record of {} bytes for ring {ring}", record.len());
            return Err(Error::map("ring", &what));
        }
        self.run([ring, 0, 0, 0], record)
    }

    fn count(&mut self, ring: u32, cause: u32, count: u64) -> Result<(), Error> {
        let empty = [0u8; size_of::<RecHeader>()];
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.run([ring, count, cause, 0], &empty)
    }

    fn run(&mut self, head: [u32; 4], record: &[u8]) -> Result<(), Error> {
        self.buffer.clear();
        self.buffer.extend(head.into_iter().flat_map(u32::to_ne_bytes));
        self.buffer.extend_from_slice(record);
        let returned = run_program(self.program.as_fd(), &mut self.buffer)
            .map_err(|error| Error::io("inject a record", error))?;
        if returned == 0 {
            return Ok(());
        }
        // The program counted the loss where it happened.
        self.refused += 1;
        Ok(())
    }

    /// Records that did not fit into their ring.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

impl Sink for Injector {
    fn submit(&mut self, ring: u32, record: &mut [u8]) {
        if self.put(ring, record).is_err() {
            self.refused += 1;
        }
    }

    fn lost(&mut self, ring: u32, cause: u32, count: u64) {
        if self.count(ring, cause, count).is_err() {
            self.refused += 1;
        }
    }
}
