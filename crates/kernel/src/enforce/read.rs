//! Reads back what the kernel has and says.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use libbpf_rs::{MapCore, MapFlags, RingBuffer, RingBufferBuilder};

use super::maps::{Maps, slot};
use crate::error::Error;

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Counts what was put in force since the programs were loaded first.
    pub epoch: u64,
    /// The generation that the tables say they are.
    pub generation: u64,
    /// The tables, byte for byte as they were given.
    pub tables: Vec<u8>,
}

/// Reads the tables in force out of the kernel.
pub(super) fn active(maps: &Maps) -> Result<Option<Active>, Error> {
    let epoch = maps.epoch()?;
    if epoch == 0 {
        return Ok(None);
    }
    let tables = maps.value_behind("generations", &slot(epoch))?;
    let mut tables = tables.ok_or_else(|| Error::map("generations", &"the slot is empty"))?;
    let word = |at: usize| {
        let bytes = tables.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let generation = u64::from(word(8)) | u64::from(word(12)) << 32;
    let bytes = word(16) as usize;
    tables.truncate(bytes);
    Ok(Some(Active { epoch, generation, tables }))
}

macro_rules! counters {
    ($($field:ident $doc:literal,)*) => {
        /// Totals since the programs were loaded, in the order of `enum counter`.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters { $(#[doc = $doc] pub $field: u64,)* }

        impl Counters {
            fn fields(&mut self) -> Vec<&mut u64> {
                vec![$(&mut self.$field,)*]
            }
        }
    };
}

counters! {
    denied "Requests that were denied.",
    would_deny "Requests that a policy would have denied that is only reported.",
    labelled "Paths that were read.",
    no_text "Paths that were not read since no buffer was free; the request counts as unresolved.",
    no_path "Paths that could not be read; the request counts as unresolved.",
    no_mount "Files of filesystems that nobody told of.",
    not_kept "Labels that could not be kept and are found anew.",
    no_subject "Processes of which nothing could be kept; every rule is about them.",
    overflow "Files with more labels than are kept.",
    no_policy "Tables that were not there.",
    lost "Decisions that could not be told: the ring was full.",
    alike "Decisions like many that the same process was just told of: only counted.",
    hashed "Files that were read to be hashed before they were executed.",
    no_hash "Executed files whose hash could not be had: all rules that deny by hash are about them.",
    not_made "Files of which nobody can tell later who made them.",
}

impl Counters {
    pub(super) fn read(maps: &Maps) -> Result<Counters, Error> {
        let map = maps.get("counters")?;
        let mut counters = Counters::default();
        for (key, field) in (0u32..).zip(counters.fields()) {
            let values = map.lookup_percpu(&key.to_ne_bytes(), MapFlags::ANY);
            let values = values.map_err(|error| Error::map("counters", &error))?;
            let words = values.iter().flatten();
            let words = words.filter_map(|value| value.first_chunk().copied());
            *field = words.map(u64::from_ne_bytes).sum();
        }
        Ok(counters)
    }
}

/// Bytes of `struct made_key` of made.h, and where `struct makers` has its count.
const MADE_KEY: usize = 24;
const MADE_COUNT_AT: usize = 32;

/// How many files are known by who made them: the first key has it, once there was one.
pub(super) fn made(maps: &Maps) -> Result<u64, Error> {
    let first = maps.get("made")?.lookup(&[0; MADE_KEY], MapFlags::ANY);
    let first = first.map_err(|error| Error::map("made", &error))?;
    let count = first.as_deref().and_then(|value| value.get(MADE_COUNT_AT..)?.first_chunk());
    Ok(count.map_or(0, |bytes| u64::from_ne_bytes(*bytes)))
}

/// Reads records of what was denied: `struct rec_denial` of wire.h.
pub struct Denials<'a> {
    ring: RingBuffer<'a>,
    records: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl fmt::Debug for Denials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denials").field("waiting", &self.records.borrow().len()).finish()
    }
}

impl<'a> Denials<'a> {
    pub(super) fn open(maps: &'a Maps) -> Result<Denials<'a>, Error> {
        let records = Rc::new(RefCell::new(Vec::new()));
        let into = Rc::clone(&records);
        let error = |error: libbpf_rs::Error| Error::map("denials", &error);
        let mut builder = RingBufferBuilder::new();
        let keep = move |record: &[u8]| {
            into.borrow_mut().push(record.to_vec());
            0
        };
        builder.add(maps.get("denials")?, keep).map_err(error)?;
        Ok(Denials { ring: builder.build().map_err(error)?, records })
    }

    /// What was denied since the last call, waiting at most this long for the first.
    pub fn next(&mut self, timeout: Duration) -> Result<Vec<Vec<u8>>, Error> {
        let error = |error: libbpf_rs::Error| Error::map("denials", &error);
        self.ring.consume().map_err(error)?;
        if self.records.borrow().is_empty() {
            self.ring.poll(timeout).map_err(error)?;
        }
        Ok(self.records.take())
    }
}
