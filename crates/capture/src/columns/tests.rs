//! Any items, into columns and back: the same bytes.

use model::wire::{
    Builder, KIND_EXEC, KIND_EXIT, KIND_OPEN, RecFile, RecTask, Record, TASK_SCRIPT,
};
use proptest::prelude::*;
use zerocopy::FromZeros;

use super::{BadColumns, Encoder, decode};
use crate::block::{Block, Loss};

fn columns(block: &Block) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new().encode(block, &mut out);
    out
}

fn open(pid: u32, time: u64, path: &[u8], ino: u64) -> Vec<u8> {
    let mut tail = Builder::<RecFile>::new();
    let mut fixed = RecFile { ino, ..RecFile::new_zeroed() };
    fixed.h.kind = u16::try_from(KIND_OPEN).unwrap();
    (fixed.h.pid, fixed.h.tid, fixed.h.time) = (pid, pid, time);
    fixed.h.start = u64::from(pid) * 1_000_003;
    fixed.path = tail.push(path);
    whole(&tail.finish(&fixed))
}

fn task(kind: u32, pid: u32, time: u64, exe: &[u8]) -> Vec<u8> {
    let mut tail = Builder::<RecTask>::new();
    let mut fixed = RecTask { task_flags: TASK_SCRIPT, ..RecTask::new_zeroed() };
    fixed.h.kind = u16::try_from(kind).unwrap();
    (fixed.h.pid, fixed.h.time, fixed.ppid) = (pid, time, pid / 2);
    fixed.comm = tail.push(b"comm");
    fixed.exe = tail.push(exe);
    whole(&tail.finish(&fixed))
}

/// Without the padding of rings.
fn whole(bytes: &[u8]) -> Vec<u8> {
    Record::parse(bytes).unwrap().as_bytes().to_vec()
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    let path = prop_oneof![
        Just(b"/etc/passwd".to_vec()),
        Just(b"/usr/lib/x86_64-linux-gnu/libc.so.6".to_vec()),
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..300),
    ];
    let pid = prop_oneof![0_u32..4, Just(1025), any::<u32>()];
    let time = prop_oneof![0_u64..1_000_000, any::<u64>()];
    let kind = prop::sample::select(vec![KIND_EXEC, KIND_EXIT]);
    (pid, time, path, any::<u64>(), kind, 0..4).prop_map(|(pid, time, path, ino, kind, what)| {
        match what {
            0 => task(kind, pid, time, &path),
            1 => {
                // Words that nobody would guess.
                let mut bytes = open(pid, time, &path, ino);
                for at in [8, 16, 28, 36, 44, 52, 60, 100] {
                    bytes[at..at + 4].copy_from_slice(&ino.to_le_bytes()[..4]);
                }
                bytes
            }
            _ => open(pid, time, &path, ino),
        }
    })
}

fn block() -> impl Strategy<Value = Block> {
    let bytes = prop::collection::vec(any::<u8>(), 0..400);
    let one = (0..8, record(), bytes, any::<u64>(), prop::collection::vec(any::<u64>(), 0..4));
    prop::collection::vec(one, 0..60).prop_map(|items| {
        let mut block = Block::new();
        for (what, record, bytes, number, members) in items {
            match what {
                0 => block.record(&bytes),
                1 => block.known(&record),
                2 => block.tick(number),
                3 => block.matched(u128::from(number) << 64, "rule", &members),
                4 => block.loss(Loss { items: number, bytes: 7 }),
                _ => block.record(&record),
            }
        }
        block
    })
}

proptest! {
    #[test]
    fn what_is_read_back_is_what_was_written(block in block()) {
        let bytes = columns(&block);
        let back = decode(&bytes, block.items(), block.bytes()).unwrap();
        prop_assert_eq!(back, block);
    }

    #[test]
    fn columns_that_are_none_are_refused_and_never_more_than_they_say(
        block in block(), at in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let mut bytes = columns(&block);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(back) = decode(&bytes, block.items(), block.bytes()) {
            prop_assert_eq!((back.items(), back.bytes()), (block.items(), block.bytes()));
        }
    }
}

#[test]
fn what_was_told_before_takes_nearly_nothing() {
    let mut block = Block::new();
    for number in 0..1000_u64 {
        let path = format!("/usr/share/file-{}", number % 10);
        block.record(&open(700 + (number % 3) as u32, number * 20_000, path.as_bytes(), 7));
    }
    let bytes = columns(&block);
    assert!(block.bytes() > 140_000, "{}", block.bytes());
    assert!(bytes.len() < 16_000, "{} bytes", bytes.len());
}

#[test]
fn a_record_of_another_version_is_kept_as_it_came() {
    let mut bytes = open(7, 1, b"/x", 1);
    bytes[48] = 60;
    assert!(Record::parse(&bytes).is_err(), "nobody knows that kind");
    let mut block = Block::new();
    block.record(&bytes);
    block.record(&bytes[..17]);
    assert_eq!(decode(&columns(&block), 2, block.bytes()).unwrap(), block);
}

#[test]
fn each_refusal_has_its_reason() {
    let mut block = Block::new();
    block.record(&open(7, 1, b"/x", 1));
    let (bytes, size) = (columns(&block), block.bytes());
    assert_eq!(decode(&bytes[..bytes.len() - 1], 1, size), Err(BadColumns::Short));
    assert_eq!(decode(&bytes, 2, size), Err(BadColumns::Short));
    assert_eq!(decode(&bytes, 0, size), Err(BadColumns::More));
    assert_eq!(decode(&bytes, 1, size - 8), Err(BadColumns::More));
    assert_eq!(decode(&[], 0, 0), Err(BadColumns::Short));
}
