//! Makes records in the kernel as fast as it can, for the throughput benchmark.

use std::os::fd::{AsFd, OwnedFd};

use model::op::Kind;

use crate::error::Error;
use crate::ffi::run_program;
use crate::object::Loaded;

/// A program that fills a ring (Linux 5.17).
#[derive(Debug)]
pub struct Producer {
    program: OwnedFd,
}

impl Producer {
    pub(crate) fn new(loaded: &Loaded) -> Result<Producer, Error> {
        let refused = || Error::Refused {
            program: "produce".to_owned(),
            reason: loaded.refused("produce").unwrap_or("not in the object").to_owned(),
        };
        let program = loaded.program("produce").ok_or_else(refused)?;
        let fd = program.as_fd().try_clone_to_owned();
        let program = fd.map_err(|error| Error::io("duplicate a program's descriptor", error))?;
        Ok(Producer { program })
    }

    /// Puts `count` records of a kind into a ring; returns how many found room. Records carry
    /// `PROVIDER_TEST`, pids from 1 to 65536 and the running number as their start.
    pub fn produce(&self, ring: u32, kind: Kind, count: u32) -> Result<u32, Error> {
        let words = [ring, kind as u32, count, 0];
        let mut context: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        run_program(self.program.as_fd(), &mut context)
            .map_err(|error| Error::io("run the producer", error))
    }
}
