//! The process table: every process of the host that records have told of.
//!
//! Bounds: at most [`PROCESSES_MAX`] processes and [`IMAGES_BYTES_MAX`] bytes of their strings. An
//! ended process stays while a descendant in the table needs it for its ancestry, and after that
//! for [`KEEP_NS`] of event time or until [`ENDED_MAX`] others wait, because records of slower
//! sources still name it. There is no clock: time is the latest time of a record.
//!
//! Records may come late. A fork that arrives after the exec or the exit of its child adds only
//! what is still unknown; a task found at start never brings an ended process back to life; a
//! process whose pid was given to another must have ended.

mod update;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::process::{Image, Key, Process};
use crate::variables::Variables;

/// Most processes, running and ended. Hosts run hundreds to a few thousand; at about 300 bytes
/// each this is 20 MB.
pub const PROCESSES_MAX: usize = 65_536;
/// Most bytes of executables, arguments and environments. Forks share those of their parent.
pub const IMAGES_BYTES_MAX: usize = 16 << 20;
/// Most ended processes that wait without a descendant.
pub const ENDED_MAX: usize = 8192;
/// How long they wait, unless more than [`ENDED_MAX`] do.
pub const KEEP_NS: u64 = 60_000_000_000;
/// Records of one pid in the table at once; the oldest goes first.
const SAME_PID_MAX: usize = 16;
/// Slots looked at to find an ended process when room is needed at once.
const EVICT_SCAN: usize = 64;
/// Processes that one record can add: itself and its parent.
const ADDED_PER_RECORD: usize = 2;

/// Position of a process; valid until the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// What the table holds and what it had to let go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Processes that run.
    pub running: usize,
    /// Processes that ended and are still known.
    pub ended: usize,
    /// Bytes of executables, arguments and environments.
    pub image_bytes: usize,
    /// Processes forgotten early because the table was full.
    pub evicted: u64,
    /// Processes known to have ended only because their pid was used again.
    pub implied_ends: u64,
    /// Records of a pid that no process is known for.
    pub unresolved: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Option<Process>>,
    free: Vec<u32>,
    /// Slots by pid, oldest start first.
    pids: HashMap<u32, SmallVec<[u32; 2]>>,
    /// Ended processes without a descendant, in the order in which they may go.
    ended: VecDeque<Key>,
    /// Latest time of a record.
    now: u64,
    /// Where the search for a process to evict goes on.
    hand: usize,
    /// Variables of environments that are kept and shown.
    pub(crate) variables: Variables,
    stats: TableStats,
}

impl Table {
    /// A table that knows no process, and keeps those variables.
    pub(crate) fn new(variables: Variables) -> Table {
        Table { variables, ..Table::default() }
    }

    pub(crate) fn stats(&self) -> TableStats {
        self.stats
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Process> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    /// All processes.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Process> {
        self.slots.iter().flatten()
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Process> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The process with that pid and start.
    pub(crate) fn find(&self, key: Key) -> Option<Slot> {
        let slots = self.pids.get(&key.pid)?.iter().rev().map(|slot| Slot(*slot));
        slots.into_iter().find(|slot| self.get(*slot).is_some_and(|known| known.key == key))
    }

    /// The process that had the pid at that time.
    pub(crate) fn at(&self, pid: u32, time: u64) -> Option<Slot> {
        let slots = self.pids.get(&pid)?.iter().rev().map(|slot| Slot(*slot));
        slots.into_iter().find(|slot| self.get(*slot).is_some_and(|known| known.key.start <= time))
    }

    /// [`Table::find`], or [`Table::at`] where the source knows no start.
    pub(crate) fn resolve(&self, pid: u32, start: u64, time: u64) -> Option<Slot> {
        if start == 0 { self.at(pid, time) } else { self.find(Key { pid, start }) }
    }

    /// The process that is known to exist, if no more than that is known.
    fn ensure(&mut self, key: Key) -> Slot {
        self.find(key).unwrap_or_else(|| self.insert(key))
    }

    fn insert(&mut self, key: Key) -> Slot {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = Slot(index);
        self.stats.running += 1;
        if let Some(place) = self.slots.get_mut(index as usize) {
            *place = Some(Process { key, ..Process::default() });
        }
        let same_pid = self.pids.entry(key.pid).or_default().clone();
        let place = same_pid.iter().position(|other| {
            self.get(Slot(*other)).is_some_and(|other| other.key.start > key.start)
        });
        // Whoever had the pid before must have ended, and this one if the pid went on.
        let newer = place.and_then(|place| same_pid.get(place)).copied();
        let older = place.unwrap_or(same_pid.len()).checked_sub(1);
        let older = older.and_then(|older| same_pid.get(older)).copied();
        if let Some(list) = self.pids.get_mut(&key.pid) {
            list.insert(place.unwrap_or(list.len()), index);
        }
        if let Some(newer) = newer.and_then(|newer| self.get(Slot(newer))).map(|p| p.key.start) {
            self.imply_end(slot, newer);
        }
        if let Some(older) = older {
            self.imply_end(Slot(older), key.start);
        }
        if same_pid.len() >= SAME_PID_MAX
            && let Some(oldest) = same_pid.first()
        {
            self.stats.evicted += 1;
            self.remove(Slot(*oldest));
        }
        slot
    }

    fn imply_end(&mut self, slot: Slot, time: u64) {
        if self.get(slot).is_some_and(Process::is_running) {
            self.stats.implied_ends += 1;
            self.end(slot, time);
        }
    }

    fn end(&mut self, slot: Slot, time: u64) {
        let Some(process) = self.get_mut(slot).filter(|process| process.is_running()) else {
            return;
        };
        process.ended = time.max(1);
        self.stats.running -= 1;
        self.stats.ended += 1;
        self.queue(slot);
    }

    /// Lets an ended process wait for its removal, once nobody descends from it.
    fn queue(&mut self, slot: Slot) {
        let Some(process) = self.get_mut(slot) else { return };
        if process.is_running() || process.children > 0 || process.queued {
            return;
        }
        process.queued = true;
        let key = process.key;
        self.ended.push_back(key);
    }

    /// Makes the parent link, unless there is one. The parent becomes known by it.
    fn link(&mut self, slot: Slot, parent: Key) {
        // Nobody is older than its parent; so links cannot form a ring of different ages.
        let fits = |process: &Process| {
            process.parent.pid == 0
                && process.key.pid != parent.pid
                && parent.start <= process.key.start
        };
        if parent.pid == 0 || !self.get(slot).is_some_and(fits) {
            return;
        }
        let found = if parent.start == 0 { self.at(parent.pid, self.now) } else { None };
        if parent.start == 0 && found.is_none() {
            return;
        }
        let found = found.unwrap_or_else(|| self.ensure(parent));
        let Some(holder) = self.get_mut(found) else { return };
        holder.children += 1;
        let parent = holder.key;
        if let Some(process) = self.get_mut(slot) {
            process.parent = parent;
        }
    }

    /// Removes what has waited long enough; never more than a few per record.
    fn expire(&mut self) {
        for _ in 0..=ADDED_PER_RECORD {
            let Some(key) = self.ended.front().copied() else { return };
            let due = self.find(key).and_then(|slot| self.get(slot)).is_none_or(|process| {
                process.children > 0 || process.ended.saturating_add(KEEP_NS) <= self.now
            });
            if !due && self.ended.len() <= ENDED_MAX {
                return;
            }
            self.remove_first_ended();
        }
    }

    /// Takes the first of the queue. False if the queue is empty.
    fn remove_first_ended(&mut self) -> bool {
        let Some(key) = self.ended.pop_front() else { return false };
        let Some(slot) = self.find(key) else { return true };
        let Some(process) = self.get_mut(slot) else { return true };
        process.queued = false;
        // A child that was told of late keeps it; it is queued again when that goes.
        if process.children == 0 {
            self.remove(slot);
        }
        true
    }

    fn remove(&mut self, slot: Slot) {
        let Some(process) = self.slots.get_mut(slot.0 as usize).and_then(Option::take) else {
            return;
        };
        self.free.push(slot.0);
        if process.is_running() {
            self.stats.running -= 1;
        } else {
            self.stats.ended -= 1;
        }
        if let Some(list) = self.pids.get_mut(&process.key.pid) {
            list.retain(|other| *other != slot.0);
            if list.is_empty() {
                self.pids.remove(&process.key.pid);
            }
        }
        self.release(process.image);
        self.release(process.previous);
        if let Some(parent) = self.find(process.parent) {
            if let Some(holder) = self.get_mut(parent) {
                holder.children = holder.children.saturating_sub(1);
            }
            self.queue(parent);
        }
    }

    /// Makes room for what one record can add.
    fn make_room(&mut self) {
        while self.len() + ADDED_PER_RECORD > PROCESSES_MAX
            || self.stats.image_bytes > IMAGES_BYTES_MAX
        {
            if !(self.remove_waiting() || self.evict()) {
                return;
            }
            self.stats.evicted += 1;
        }
    }

    /// Removes the first process that only waits. False if there is none.
    fn remove_waiting(&mut self) -> bool {
        let before = self.len();
        while self.len() == before && self.remove_first_ended() {}
        self.len() < before
    }

    /// Removes an ended process that still has descendants, or else the next one in turn; process
    /// 1, to which everything leads, stays. False if there was nothing to remove.
    fn evict(&mut self) -> bool {
        let mut victim = None;
        for _ in 0..self.slots.len().clamp(2, EVICT_SCAN) {
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            let Ok(index) = u32::try_from(self.hand) else { break };
            match self.get(Slot(index)) {
                Some(process) if !process.is_running() => {
                    victim = Some(Slot(index));
                    break;
                }
                Some(process) if process.key.pid != 1 => {
                    victim = victim.or(Some(Slot(index)));
                }
                _ => {}
            }
        }
        let Some(slot) = victim else { return false };
        self.remove(slot);
        true
    }

    fn hold(&mut self, image: Image) -> Arc<Image> {
        self.stats.image_bytes += image.weight();
        Arc::new(image)
    }

    fn release(&mut self, image: Option<Arc<Image>>) {
        if let Some(image) = image.and_then(Arc::into_inner) {
            self.stats.image_bytes -= image.weight();
        }
    }
}

#[cfg(test)]
mod tests;
