//! What does not fit into a ring is counted.

use kernel::Options;
use model::op::Kind;
use model::wire::{LOSS_RING_FULL, RING_LIFE};

use super::harness::{bench, skipped};

#[test]
fn a_full_ring_counts_what_it_refuses() {
    if skipped() {
        return;
    }
    let options = Options { ring_bytes: [4096, 65536, 4096], ..Options::default() };
    let bench = bench(&[], options);
    let made = bench.sensors.producer().unwrap().produce(RING_LIFE, Kind::Fork, 1000).unwrap();
    let counters = bench.sensors.counters().unwrap();
    // 64 KiB hold 248 records of 256 bytes and 8 of the ring's own.
    assert_eq!(made, 65536 / 264);
    assert_eq!(counters.lost[LOSS_RING_FULL as usize][RING_LIFE as usize], 1000 - u64::from(made));
    assert_eq!(counters.sent, [(Kind::Fork, u64::from(made))]);
}

#[test]
fn each_record_is_counted_by_its_kind() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Exit], Options::default());
    let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    bench.find("exit", |r| r.header().pid == pid);
    let seen = u64::try_from(bench.count(|r| r.kind() == Kind::Exit)).unwrap();
    let counters = bench.sensors.counters().unwrap();
    let [(Kind::Exit, sent)] = counters.sent.as_slice() else {
        panic!("only exits were asked for: {counters:?}");
    };
    assert!(*sent >= seen, "{sent} sent, {seen} seen");
}
