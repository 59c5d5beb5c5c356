//! Rings in plain memory, laid out as the kernel does, with a producer that follows its rules.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::ProtFlags;
use proptest::prelude::*;

use super::ring::{Mapping, Ring, page_size};
use super::*;

const SIZE: usize = 4096;
const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
/// Later than every window.
const LATE: u64 = u64::MAX;

impl Rings {
    /// Bytes that wait in the rings.
    fn backlog(&mut self) -> u64 {
        self.all.iter_mut().map(Ring::used).sum()
    }
}

/// The kernel's side of a ring.
struct Producer {
    base: *mut u8,
    page: usize,
    // Keeps the mapping of `base`.
    _mapping: Mapping,
}

// SAFETY: the mapping is plain memory and one producer at a time uses it.
unsafe impl Send for Producer {}

impl Producer {
    fn atomic<T>(&self, offset: usize) -> &T {
        // SAFETY: tests pass offsets of atomics inside the mapping.
        let at = unsafe { self.base.add(offset) };
        // SAFETY: the mapping lives as long as `self` and is aligned to a page.
        unsafe { &*at.cast::<T>() }
    }

    fn consumed(&self) -> u64 {
        self.atomic::<AtomicU64>(0).load(Ordering::Acquire)
    }

    /// Reserves and fills a record; `None` if the ring is full. The header keeps `bits`.
    fn put(&self, bytes: &[u8], bits: u32) -> Option<usize> {
        let produced: &AtomicU64 = self.atomic(self.page);
        let at = produced.load(Ordering::Relaxed);
        let next = at + (8 + bytes.len() as u64).next_multiple_of(8);
        if next - self.consumed() > SIZE as u64 {
            return None;
        }
        let offset =
            |position: u64| 2 * self.page + (usize::try_from(position).unwrap() & (SIZE - 1));
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: inside the data, which is mapped once here, so each byte wraps by itself.
            let to = unsafe { self.base.add(offset(at + 8 + index as u64)) };
            // SAFETY: as above; the consumer does not read before the header is complete.
            unsafe { to.write(*byte) };
        }
        let header = offset(at);
        let word: &AtomicU32 = self.atomic(header);
        word.store(u32::try_from(bytes.len()).unwrap() | bits, Ordering::Release);
        produced.store(next, Ordering::Release);
        Some(header)
    }

    fn commit(&self, header: usize, bits: u32) {
        let word: &AtomicU32 = self.atomic(header);
        word.store(word.load(Ordering::Relaxed) & !BUSY | bits, Ordering::Release);
    }
}

fn ring() -> (Ring, Producer) {
    let page = page_size().unwrap();
    let fd: OwnedFd = memfd_create(c"ring", MFdFlags::empty()).unwrap();
    nix::unistd::ftruncate(&fd, i64::try_from(2 * page + SIZE).unwrap()).unwrap();
    let both = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let whole = Mapping::new(fd.as_fd(), 0, 2 * page + SIZE, both).unwrap();
    let base = whole.base().cast::<u8>();
    // The reader's view: the producer's page, then the data twice.
    let len = page + 2 * SIZE;
    let view = Mapping::new(fd.as_fd(), 0, len, ProtFlags::PROT_READ).unwrap();
    for (at, from, len) in [(0, page, page + SIZE), (page + SIZE, 2 * page, SIZE)] {
        // SAFETY: replaces part of the mapping made above, which nothing has used yet.
        let to = unsafe { view.base().byte_add(at) };
        let (flags, fd) =
            (libc::MAP_SHARED | libc::MAP_FIXED, std::os::fd::AsRawFd::as_raw_fd(&fd));
        let offset = i64::try_from(from).unwrap();
        // SAFETY: as above; the range lies inside that mapping.
        let mapped = unsafe { libc::mmap(to.as_ptr(), len, libc::PROT_READ, flags, fd, offset) };
        assert_eq!(mapped, to.as_ptr());
    }
    let consumer = Mapping::new(fd.as_fd(), 0, page, both).unwrap();
    let producer = Producer { base: base.as_ptr(), page, _mapping: whole };
    (Ring::new(fd, consumer, view, page, SIZE), producer)
}

fn rings() -> (Rings, [Producer; 3]) {
    let ((a, pa), (b, pb), (c, pc)) = (ring(), ring(), ring());
    (Rings::of([a, b, c]).unwrap(), [pa, pb, pc])
}

/// A record with that time and filler.
fn record(time: u64, filler: usize) -> Vec<u8> {
    let mut bytes = time.to_ne_bytes().to_vec();
    bytes.resize(8 + filler, u8::try_from(time % 251).unwrap());
    bytes
}

fn time(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes[..8].try_into().unwrap())
}

fn times(rings: &mut Rings, now: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    rings.drain(now, usize::MAX, &mut |bytes| seen.push(time(bytes)));
    seen
}

#[test]
fn rings_are_merged_by_time_and_discards_skipped() {
    let (mut rings, producers) = rings();
    for (ring, times) in [(0, [5, 50]), (1, [1, 40]), (2, [3, 30])] {
        for time in times {
            producers[ring].put(&record(time, 3), 0).unwrap();
            producers[ring].put(&record(time, 9), DISCARD).unwrap();
        }
    }
    assert_eq!(times(&mut rings, LATE), [1, 3, 5, 30, 40, 50]);
    assert_eq!(rings.rest, Rest::Empty);
    assert_eq!(rings.backlog(), 0, "the room of discarded records is given back too");
}

#[test]
fn a_record_waits_for_the_window_unless_all_rings_have_one() {
    let window = u64::try_from(MERGE_WINDOW.as_nanos()).unwrap();
    let (mut rings, producers) = rings();
    producers[1].put(&record(1000, 0), 0).unwrap();
    producers[2].put(&record(900, 0), 0).unwrap();
    assert_eq!(times(&mut rings, 1000), [0; 0], "ring 0 may still bring an earlier one");
    assert_eq!(rings.rest, Rest::Held(window - 100));
    producers[0].put(&record(950, 0), 0).unwrap();
    assert_eq!(times(&mut rings, 1000), [900], "the earliest is certain, the next is not");
    assert_eq!(times(&mut rings, 950 + window), [950]);
    assert_eq!(times(&mut rings, 1000 + window), [1000]);
}

#[test]
fn a_ring_under_pressure_is_not_held_back() {
    let (mut rings, producers) = rings();
    let mut put = 0;
    while put * 24 <= SIZE as u64 / PRESSURE_SHARE {
        producers[2].put(&record(1000 + put, 8), 0).unwrap();
        put += 1;
    }
    let seen = times(&mut rings, 1000);
    assert_eq!(seen, [1000], "drained just below the mark, the rest waits");
}

#[test]
fn a_busy_record_blocks_its_ring_only() {
    let (mut rings, producers) = rings();
    let header = producers[1].put(&record(1, 0), BUSY).unwrap();
    producers[1].put(&record(2, 0), 0).unwrap();
    producers[2].put(&record(3, 0), 0).unwrap();
    assert_eq!(times(&mut rings, LATE), [3]);
    producers[1].commit(header, 0);
    assert_eq!(times(&mut rings, LATE), [1, 2]);
}

#[test]
fn what_is_hidden_behind_a_record_that_is_being_written_comes_first() {
    let (mut rings, producers) = rings();
    let [short, long] =
        [MERGE_WINDOW, WRITING_WINDOW].map(|window| u64::try_from(window.as_nanos()).unwrap());
    // One processor is taken away while it writes; on another one a program starts and opens a file.
    let header = producers[1].put(&record(1, 0), BUSY).unwrap();
    producers[1].put(&record(2, 0), 0).unwrap();
    producers[2].put(&record(3, 0), 0).unwrap();
    assert_eq!(times(&mut rings, 3 + short), [0; 0], "its start is not known yet");
    assert!(matches!(rings.rest, Rest::Held(_)));
    producers[1].commit(header, 0);
    assert_eq!(times(&mut rings, 3 + short), [1, 2, 3]);
    // Nobody waits for ever.
    producers[1].put(&record(4, 0), BUSY).unwrap();
    producers[2].put(&record(5, 0), 0).unwrap();
    assert_eq!(times(&mut rings, 4 + long), [0; 0]);
    assert_eq!(times(&mut rings, 5 + long), [5]);
}

#[test]
fn the_ring_is_advanced_after_the_record_was_handled() {
    let (mut rings, producers) = rings();
    producers[0].put(&record(1, 0), 0).unwrap();
    producers[0].put(&record(2, 0), 0).unwrap();
    let mut during = Vec::new();
    let handed = rings.drain(LATE, 2, &mut |_| during.push(producers[0].consumed()));
    assert_eq!((handed, during), (2, vec![0, 16]), "16 bytes a record");
    assert_eq!(producers[0].consumed(), 32);
    assert_eq!(rings.rest, Rest::More, "the budget ended it, so nobody waits");
}

#[test]
fn what_is_not_done_stays_in_the_rings_until_it_is_released() {
    let (mut rings, producers) = rings();
    for (ring, time) in [(0, 1), (1, 2), (0, 3), (0, 4)] {
        producers[ring].put(&record(time, 0), 0).unwrap();
    }
    let consumed = || [producers[0].consumed(), producers[1].consumed()];
    // The second is not done: neither it nor what comes after it is given back.
    assert_eq!(rings.drain_until(LATE, 3, &mut |bytes| time(bytes) != 2), 3);
    assert_eq!((consumed(), rings.holds()), ([16, 0], true));
    let upto = rings.positions();
    assert_eq!(rings.drain_until(LATE, 9, &mut |_| true), 1, "reading goes on");
    assert_eq!(consumed(), [16, 0]);
    rings.release(upto);
    assert_eq!((consumed(), rings.holds()), ([32, 16], true), "the last one came later");
    rings.release(rings.positions());
    assert_eq!((consumed(), rings.holds()), ([48, 16], false));
    producers[1].put(&record(5, 0), 0).unwrap();
    assert_eq!(rings.drain_until(LATE, 9, &mut |_| true), 1);
    assert_eq!(consumed(), [48, 32], "nothing is held any more");
}

#[test]
fn what_is_taken_back_is_not_given_back_before_what_is_held() {
    let (mut rings, producers) = rings();
    producers[0].put(&record(1, 0), 0).unwrap();
    producers[0].put(&record(2, 0), DISCARD).unwrap();
    assert_eq!(rings.drain_until(LATE, 9, &mut |_| false), 1);
    assert_eq!(producers[0].consumed(), 0);
    assert!(!rings.is_choked());
    producers[0].put(&record(3, SIZE / 4), 0).unwrap();
    assert!(rings.is_choked(), "a quarter of the ring");
    rings.release(rings.positions());
    assert!(!rings.is_choked(), "what waits to be read chokes nobody");
}

#[test]
fn nonsense_in_a_ring_is_counted_and_passed() {
    let (mut rings, producers) = rings();
    let header = producers[0].put(&record(1, 0), 0).unwrap();
    producers[0].atomic::<AtomicU32>(header).store(100_000, Ordering::Release);
    assert_eq!(times(&mut rings, LATE), [0; 0]);
    assert_eq!((rings.broken(), rings.backlog()), (1, 0));
    producers[0].put(&record(2, 0), 0).unwrap();
    assert_eq!(times(&mut rings, LATE), [2]);
}

#[test]
fn a_producer_thread_loses_nothing_over_many_wraps() {
    const RECORDS: u64 = 20_000;
    let (mut rings, producers) = rings();
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&stop);
    let [_, life, _] = producers;
    let thread = thread::spawn(move || {
        for number in 1..=RECORDS {
            let bytes = record(number, usize::try_from(number * 37 % 300).unwrap());
            while life.put(&bytes, 0).is_none() {
                thread::yield_now();
            }
        }
        done.store(true, Ordering::Release);
    });
    let mut expected = 1;
    loop {
        let ended = stop.load(Ordering::Acquire);
        rings.drain(LATE, 64, &mut |bytes| {
            assert_eq!(time(bytes), expected);
            assert_eq!(bytes.len(), 8 + usize::try_from(expected * 37 % 300).unwrap());
            assert!(bytes[8..].iter().all(|byte| u64::from(*byte) == expected % 251));
            assert_eq!(bytes.as_ptr() as usize % 8, 0);
            expected += 1;
        });
        if ended && rings.backlog() == 0 {
            break;
        }
    }
    thread.join().unwrap();
    assert_eq!(expected, RECORDS + 1);
}

proptest! {
    /// Whatever is put into the rings comes out once, in order of time if it is so in each ring.
    #[test]
    fn nothing_is_lost_or_moved(
        puts in prop::collection::vec((0usize..3, 0usize..200, prop::bool::ANY), 0..200),
        budget in 1usize..40,
    ) {
        let (mut rings, producers) = rings();
        let (mut seen, mut expected) = (Vec::new(), Vec::new());
        for (number, (ring, filler, discard)) in (1u64..).zip(puts) {
            let bits = if discard { DISCARD } else { 0 };
            while producers[ring].put(&record(number, filler), bits).is_none() {
                rings.drain(LATE, budget, &mut |bytes| seen.push(time(bytes)));
            }
            if !discard {
                expected.push(number);
            }
        }
        while rings.drain(LATE, budget, &mut |bytes| seen.push(time(bytes))) > 0 {}
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(rings.backlog(), 0);
    }
}
