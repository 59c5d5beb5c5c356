//! The records that are measured: lives of short processes and what they do to files.

use std::collections::BTreeMap;

use model::wire::{
    Builder, KIND_CREATE, KIND_EXEC, KIND_EXIT, KIND_FORK, KIND_OPEN, KIND_UNLINK,
    PROVIDER_TRACEPOINT, RecFile, RecHeader, RecTask, Record,
};
use zerocopy::FromZeros;

/// Lives in the mix; each is one fork, one exec, [`FILES`] file events and one exit.
const LIVES: u32 = 20_000;
/// File events of a process.
const FILES: u64 = 7;
/// Time between two records: a million events a second.
const STEP_NS: u64 = 1_000;

/// Records one after another, each padded to eight bytes, as a ring holds them.
pub(crate) struct Mix {
    words: Vec<u64>,
    /// Where each record begins and how long it is, in bytes.
    pub(crate) places: Vec<(usize, usize)>,
}

impl Mix {
    pub(crate) fn new() -> Mix {
        let mut mix = Mix { words: Vec::new(), places: Vec::new() };
        let mut time = 1_000_000_000;
        let mut tick = || {
            time += STEP_NS;
            time
        };
        for life in 0..LIVES {
            let start = tick();
            let pid = 1000 + life % 30_000;
            mix.push(&task(KIND_FORK, start, pid, start));
            mix.push(&task(KIND_EXEC, tick(), pid, start));
            for number in 0..FILES {
                let kind = match number % 3 {
                    0 => KIND_OPEN,
                    1 => KIND_CREATE,
                    _ => KIND_UNLINK,
                };
                mix.push(&file(kind, tick(), pid, start));
            }
            mix.push(&task(KIND_EXIT, tick(), pid, start));
        }
        mix
    }

    fn push(&mut self, record: &[u8]) {
        self.places.push((self.words.len() * 8, record.len()));
        let words = record.chunks_exact(8).filter_map(|word| word.try_into().ok());
        self.words.extend(words.map(u64::from_ne_bytes));
    }

    /// The records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = zerocopy::IntoBytes::as_bytes(self.words.as_slice());
        self.places.iter().map(move |(at, len)| bytes.get(*at..at + len).unwrap_or_default())
    }

    /// Says what the mix is: without it the figures mean nothing.
    pub(crate) fn describe(&self) {
        let mut sizes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for bytes in self.records() {
            let name = Record::parse(bytes).map_or("unreadable", |record| record.kind().name());
            let entry = sizes.entry(name).or_default();
            *entry = (entry.0 + 1, bytes.len());
        }
        println!("{} records in {} lives of processes:", self.places.len(), LIVES);
        for (name, (count, bytes)) in sizes {
            println!("  {name:7} {count:7} of {bytes} bytes");
        }
    }
}

fn header(kind: u32, time: u64, pid: u32, start: u64) -> RecHeader {
    let mut header = RecHeader::new_zeroed();
    header.kind = u16::try_from(kind).unwrap_or_default();
    header.provider = u16::try_from(PROVIDER_TRACEPOINT).unwrap_or_default();
    (header.time, header.start) = (time, start);
    (header.pid, header.tid, header.cgroup) = (pid, pid, 4242);
    header
}

fn task(kind: u32, time: u64, pid: u32, start: u64) -> Vec<u8> {
    let mut tail = Builder::<RecTask>::new();
    let mut fixed = RecTask::new_zeroed();
    fixed.h = header(kind, time, pid, start);
    (fixed.ppid, fixed.parent_start) = (1, 1_000_000);
    fixed.comm = tail.push(b"cc1");
    if kind == KIND_EXEC {
        fixed.exe = tail.push(b"/usr/lib/gcc/x86_64-linux-gnu/12/cc1");
        fixed.script = tail.push(b"/usr/lib/gcc/x86_64-linux-gnu/12/cc1");
        fixed.args = tail.push(b"cc1\0-quiet\0-imultiarch\0x86_64-linux-gnu\0main.c\0-o\0main.s\0");
        fixed.cwd = tail.push(b"/home/user/src/project");
        fixed.argc = 7;
    }
    tail.finish(&fixed)
}

fn file(kind: u32, time: u64, pid: u32, start: u64) -> Vec<u8> {
    let mut tail = Builder::<RecFile>::new();
    let mut fixed = RecFile::new_zeroed();
    fixed.h = header(kind, time, pid, start);
    fixed.path = tail.push(b"/home/user/src/project/build/objects/main.s");
    (fixed.ino, fixed.mode) = (1_234_567, 0o100_644);
    tail.finish(&fixed)
}
