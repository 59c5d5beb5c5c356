//! Prevention in the kernel: programs that decide from the tables of a policy generation.
//!
//! Tables come as bytes and are not understood here beyond their head; `policy` writes them, the BPF
//! programs read them. Everything is pinned below one directory, so that enforcement does not end
//! with the process that began it: who opens it again finds the generation in force.
//!
//! ```text
//! Enforcer::open ── pins there? use them : load, attach, pin
//!   apply(Generation) ── tables into a free slot, mounts, ids, pins of inodes ── one write: the epoch
//!   active() ── the tables as the kernel has them
//!   denials() ── records of what was denied, or would have been
//!   release() ── nothing is enforced any more
//! ```

mod arm;
mod bpffs;
pub mod cgroup;
mod cgroup_pins;
mod generation;
pub mod guard;
mod load;
mod lsm_offer;
mod maps;
mod now;
pub mod offer;
mod pins;
mod programs;
mod protect;
mod read;

use std::path::PathBuf;
use std::sync::OnceLock;

pub use arm::Arming;
pub use bpffs::provide;
pub use generation::{Carry, Generation, Id, IdKind, Mount, Pin};
pub use pins::{release, sets};
pub use protect::Protection;
pub use read::{Active, Counters, Denials};

use model::policy::Operation;

use crate::error::Error;
use lsm_offer::{HASHING, MAKERS};
use maps::Maps;

/// Where everything is pinned if nothing else is said.
pub const PINS: &str = "/sys/fs/bpf/aegisbpf";

/// Bytes of tables that fit if nothing else is said: some 20,000 rules.
const BLOB_BYTES: u32 = 8 << 20;

/// Files that are remembered if nothing else is said; `MADE_MAX` in made.h.
const FILES: u32 = 262_144;

/// What the operator may set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of a BPF filesystem for the pins.
    pub pins: PathBuf,
    /// Bytes that the tables of a generation may have, a power of two from 64 KiB to 64 MiB. Up to
    /// four generations exist at the same time.
    pub blob_bytes: u32,
    /// Files that are remembered by who made them, 128 bytes each. With three quarters of it, whoever is
    /// named by a rule that denies such files makes no more with a name; the rest is for files without.
    pub files: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options { pins: PathBuf::from(PINS), blob_bytes: BLOB_BYTES, files: FILES }
    }
}

/// Prevention by LSM programs. Dropping it changes nothing in the kernel.
#[derive(Debug)]
pub struct Enforcer {
    options: Options,
    maps: Maps,
    find_anew: PathBuf,
    /// Why no file can be hashed, once that was tried.
    hashes: OnceLock<Option<String>>,
    /// Programs that this kernel refused or has no hook for, and why.
    missing: Vec<(String, String)>,
    /// Whether the programs were there already.
    resumed: bool,
    /// What another build enforces by maps of another layout, until this one enforces something.
    former: Option<Maps>,
    /// The pins of all such.
    left: Vec<PathBuf>,
}

impl Enforcer {
    /// Takes over what is pinned, or loads, attaches and pins it. Nothing is enforced before the
    /// first [`Enforcer::apply`].
    pub fn open(options: Options) -> Result<Enforcer, Error> {
        let opened = load::open(&options)?;
        Ok(Enforcer {
            options,
            maps: opened.maps,
            find_anew: opened.find_anew,
            hashes: OnceLock::new(),
            missing: opened.missing,
            resumed: opened.resumed,
            former: opened.former,
            left: opened.left,
        })
    }

    /// Whether the programs were running before.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// Programs that are not attached, with the reason.
    pub fn missing(&self) -> &[(String, String)] {
        &self.missing
    }

    /// Operations that cannot be denied here, since this kernel has not all hooks of them, and why.
    pub fn lacks(&self) -> Vec<(Operation, String)> {
        lsm_offer::lacks(&self.missing)
    }

    /// Why files cannot be hashed here when they are executed: found by executing one. None if they can.
    pub fn no_hashes(&self) -> Option<String> {
        let tried = || self.hashes.get_or_init(|| crate::hashing::try_one().err()).clone();
        lsm_offer::without(&self.missing, HASHING).or_else(tried)
    }

    /// Why nobody can tell here who made a file. None if that is told.
    pub fn no_makers(&self) -> Option<String> {
        lsm_offer::without(&self.missing, MAKERS)
    }

    /// From now on who meddles with the agent is told, and denied if that is asked for. The program of
    /// this process is the agent's; so are these files and directories, with all below.
    pub fn protect(&self, files: &[PathBuf], mode: Protection) -> Result<(), Error> {
        protect::begin(&self.maps, &self.options.pins, files, mode)
    }

    /// Puts a generation in force, by one write after all of it is in place. On an error the one
    /// before stays in force.
    pub fn apply(&mut self, generation: &Generation<'_>) -> Result<(), Error> {
        let former = self.former.as_ref();
        generation::apply(&self.maps, former, self.options.blob_bytes, generation)?;
        // Until here the programs of the other layout are asked, too, so nothing comes through.
        self.former = None;
        while let Some(set) = self.left.last() {
            pins::remove(set)?;
            self.left.pop();
        }
        Ok(())
    }

    /// Tells of mounts that came later; the labels of files on them are found anew.
    pub fn mount(&mut self, mounts: &[Mount]) -> Result<(), Error> {
        let epoch = self.maps.epoch()?;
        generation::put_mounts(&self.maps, epoch, mounts)?;
        self.maps.find_anew()
    }

    /// Processes that took the first steps of sequences, with the selectors that they have since.
    pub fn armings(&self) -> Result<Vec<Arming>, Error> {
        arm::all(&self.maps)
    }

    /// Puts a process among them, or takes it away if no selector is left. It holds from the next
    /// request of the process on.
    pub fn arm(&mut self, arming: &Arming) -> Result<(), Error> {
        arm::put(&self.maps, arming)?;
        arm::find_anew(&self.find_anew, arming.pid)
    }

    /// What the kernel has in force, read back from it; none if nothing is.
    pub fn active(&self) -> Result<Option<Active>, Error> {
        read::active(self.former.as_ref().unwrap_or(&self.maps))
    }

    /// What was decided and what went wrong, since the programs were loaded.
    pub fn counters(&self) -> Result<Counters, Error> {
        Counters::read(&self.maps)
    }

    /// Programs of this kernel that were not run since they, or another process on the same CPU that
    /// was preempted, ran already; how often. Up to Linux 6.1 that lets a request through.
    pub fn not_run(&self) -> Vec<(String, u64)> {
        let all = libbpf_rs::query::ProgInfoIter::default();
        let missed = all.filter(|program| program.recursion_misses > 0);
        missed.map(|one| (one.name.to_string_lossy().into_owned(), one.recursion_misses)).collect()
    }

    /// How many files are known by who made them; [`Options::files`] at most.
    pub fn made(&self) -> Result<u64, Error> {
        read::made(&self.maps)
    }

    /// The reader of what was denied. One at a time: a record is read once.
    pub fn denials(&self) -> Result<Denials<'_>, Error> {
        Denials::open(&self.maps)
    }

    /// Lets go of everybody until something is put in force again. It needs nothing that could be denied
    /// to this process.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.former = None;
        self.maps.set_epoch(0)
    }

    /// Ends enforcement: takes all pins away, so that programs and maps go with their last user.
    pub fn release(self) -> Result<(), Error> {
        self.maps.set_epoch(0)?;
        pins::release(&self.options.pins).map(drop)
    }
}
