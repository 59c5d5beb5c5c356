//! The worker's end of the rings: one stream, in the order of kernel time.
//!
//! Each BPF ring keeps its own order, and a flood in one never hides another. [`Rings::drain`]
//! merges them by the time in the records. A record is handed on when each ring has one (so the
//! earliest is certain), or when it is older than [`MERGE_WINDOW`] and none is being written, or
//! when a ring is filled to one part in [`PRESSURE_SHARE`]: order is worth a short wait, never a
//! lost record. What is written later than the window after its own time (a slow source in user
//! space) is handed on when it comes. Within one ring nothing is moved.
//!
//! A ring is advanced after the callback has returned, record by record: a worker that is killed
//! loses nothing, and its successor sees at most the one record again that was being handled.
//! What a record led to may still be on its way out then; [`Rings::drain_until`] and
//! [`Rings::release`] keep it in the ring until that has arrived.

mod ring;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::Error;
use ring::{Head, Ring};

/// How long a record waits for earlier ones of another ring. Between reading the clock and the
/// commit of a record a hook needs microseconds, milliseconds if it is preempted.
pub const MERGE_WINDOW: Duration = Duration::from_millis(20);

/// The same while the first record of another ring is being written: what one process did after the other,
/// its start and what it opened, may be hidden behind that. A program that writes always ends, but its
/// processor can be taken away meanwhile by a hypervisor.
pub const WRITING_WINDOW: Duration = Duration::from_millis(500);

/// Shortest wait while records are held back: they come due one after another, and waking for each
/// would cost the host more than reading it.
const PAUSE: Duration = Duration::from_millis(20);
/// A ring filled to one part in this many is not held back. Less than what makes the producers
/// wake the reader for each record.
pub const PRESSURE_SHARE: u64 = 16;
/// Of a ring, one part in this many may be taken by what is held: a reader of alerts that does not
/// read must not cost events.
pub const HELD_SHARE: u64 = 4;
/// Names of the rings, in the order of `enum ring`.
pub const RING_NAMES: [&str; COUNT] = ["alarm", "life", "rest"];
/// Number of rings (`enum ring`).
const COUNT: usize = model::wire::RING_COUNT as usize;

/// Why [`Rings::drain`] stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing is there.
    Empty,
    /// A record waits, for this many nanoseconds at most.
    Held(u64),
    /// The budget was used up.
    More,
}

/// The three rings, mapped for reading.
#[derive(Debug)]
pub struct Rings {
    all: [Ring; COUNT],
    epoll: Epoll,
    rest: Rest,
}

impl Rings {
    /// Maps the rings behind these descriptors of BPF maps, in the order of `enum ring`.
    pub fn new(maps: [OwnedFd; COUNT]) -> Result<Rings, Error> {
        let [alarm, life, rest] = maps;
        Rings::of([Ring::map(alarm)?, Ring::map(life)?, Ring::map(rest)?])
    }

    fn of(all: [Ring; COUNT]) -> Result<Rings, Error> {
        let failed = |errno: nix::errno::Errno| Error::io("cannot wait for rings", errno.into());
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        for (index, ring) in (0..).zip(&all) {
            // Edge-triggered: records that are held back must not wake again and again.
            let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, index);
            match epoll.add(ring.as_fd(), event) {
                // Ring buffers of tests are plain memory files, which cannot be waited for.
                Err(nix::errno::Errno::EPERM) if cfg!(test) => {}
                added => added.map_err(failed)?,
            }
        }
        Ok(Rings { all, epoll, rest: Rest::Empty })
    }

    /// Hands on up to `budget` records and returns how many. `now_ns` is the time since boot
    /// (`CLOCK_BOOTTIME`); the bytes are valid during the call only and aligned to eight.
    pub fn drain(&mut self, now_ns: u64, budget: usize, each: &mut dyn FnMut(&[u8])) -> usize {
        self.drain_until(now_ns, budget, &mut |bytes| {
            each(bytes);
            true
        })
    }

    /// The same, with a callback that tells whether all is done that the record leads to. If not,
    /// this record and all after it stay in their rings until [`Rings::release`].
    pub fn drain_until(
        &mut self,
        now_ns: u64,
        budget: usize,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> usize {
        let mut handed = 0;
        let mut heads = [None; COUNT];
        self.rest = Rest::More;
        while handed < budget {
            for (head, ring) in heads.iter_mut().zip(&mut self.all) {
                if head.is_none() {
                    *head = ring.head();
                }
            }
            let Some((index, head)) = earliest(&heads) else {
                self.rest = Rest::Empty;
                break;
            };
            let is_written = self.all.iter().any(Ring::is_written);
            let window = if is_written { WRITING_WINDOW } else { MERGE_WINDOW };
            let window = nanos(window);
            let wait = head.time.saturating_add(window).saturating_sub(now_ns).min(window);
            let is_certain = heads.iter().all(Option::is_some);
            if !is_certain && wait > 0 && !self.all.iter_mut().any(Ring::is_pressed) {
                // What is being written is complete in a moment, nearly always.
                self.rest = Rest::Held(wait.min(nanos(MERGE_WINDOW)));
                break;
            }
            let (Some(ring), Some(slot)) = (self.all.get(index), heads.get_mut(index)) else {
                break;
            };
            let done = each(ring.bytes(head));
            if !done {
                self.all.iter_mut().for_each(Ring::hold);
            }
            if let Some(ring) = self.all.get_mut(index) {
                ring.advance(head);
            }
            *slot = None;
            handed += 1;
        }
        handed
    }

    /// Waits until a producer wakes the reader, at most `timeout`, and less if a record is held
    /// back. Producers do not wake for each record, so the timeout bounds the delay.
    pub fn wait(&self, timeout: Duration) -> Result<(), Error> {
        let timeout = match self.rest {
            Rest::More => return Ok(()),
            Rest::Held(ns) => timeout.min(Duration::from_nanos(ns).max(PAUSE)),
            Rest::Empty => timeout,
        };
        // Rounded up: a wait of zero would spin until the record is due.
        let millis = timeout.as_nanos().div_ceil(1_000_000);
        let timeout = EpollTimeout::from(u16::try_from(millis).unwrap_or(u16::MAX));
        let mut events = [EpollEvent::empty(); COUNT];
        match self.epoll.wait(&mut events, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(Error::io("cannot wait for rings", errno.into())),
        }
    }

    /// How far each ring was read: what [`Rings::release`] is told later.
    pub fn positions(&self) -> [u64; COUNT] {
        self.all.each_ref().map(Ring::position)
    }

    /// All is done that the records up to these positions lead to.
    pub fn release(&mut self, to: [u64; COUNT]) {
        for (ring, to) in self.all.iter_mut().zip(to) {
            ring.release(to);
        }
    }

    /// Bytes that wait in each ring, and that fit into it.
    pub fn waiting(&mut self) -> [(u64, u64); COUNT] {
        self.all.each_mut().map(|ring| (ring.used(), ring.size()))
    }

    /// Whether anything is held.
    pub fn holds(&self) -> bool {
        self.all.iter().any(Ring::is_held)
    }

    /// Whether what is held takes so much room that it must be released, done or not.
    pub fn is_choked(&mut self) -> bool {
        self.all.iter_mut().any(Ring::is_choked)
    }

    /// Times that a ring held something that is no record, and was emptied. Never seen; kept so
    /// that it would not pass in silence.
    pub fn broken(&self) -> u64 {
        self.all.iter().map(Ring::broken).sum()
    }
}

impl AsFd for Rings {
    /// The epoll descriptor, to wait for the rings among other things.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

fn nanos(window: Duration) -> u64 {
    u64::try_from(window.as_nanos()).unwrap_or(u64::MAX)
}

/// The head with the earliest time; of equal ones that of the first ring.
fn earliest(heads: &[Option<Head>; COUNT]) -> Option<(usize, Head)> {
    let known = heads.iter().enumerate().filter_map(|(index, head)| Some((index, (*head)?)));
    known.min_by_key(|(_, head)| head.time)
}

#[cfg(test)]
mod tests;
