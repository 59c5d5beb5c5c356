//! The processes that were there before: records of the kernel's task iterator, to which the
//! arguments are added, because only the process's own memory holds those.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use model::value::List;
use model::wire::{Body, Builder, RECORD_MAX, RecHeader, RecTask, Record, TASK_KTHREAD};

use super::host::process;

/// Bytes read of one snapshot: some 100,000 processes. More are learned when they act.
const SNAPSHOT_MAX: u64 = 64 * 1024 * 1024;
/// Bytes read at once.
const CHUNK: usize = 256 * 1024;

/// What a snapshot held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Processes.
    pub(crate) processes: u64,
    /// Records that could not be decoded.
    pub(crate) malformed: u64,
}

/// Reads all records and gives each to `each`.
pub(crate) fn read(fd: OwnedFd, each: &mut dyn FnMut(&Record<'_>)) -> std::io::Result<Taken> {
    let mut source = File::from(fd).take(SNAPSHOT_MAX);
    let mut taken = Taken::default();
    let mut buffer: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let got = source.read(&mut chunk)?;
        if got == 0 {
            break;
        }
        buffer.extend_from_slice(chunk.get(..got).unwrap_or_default());
        let used = records(&buffer, &mut taken, each);
        buffer.drain(..used);
        // What is no record ends the reading: there is no telling where the next one begins.
        if buffer.len() > RECORD_MAX as usize * 2 {
            taken.malformed += 1;
            return Ok(taken);
        }
    }
    if !buffer.is_empty() {
        taken.malformed += 1;
    }
    Ok(taken)
}

/// Handles the whole records at the start of the buffer, and tells how many bytes they took.
fn records(buffer: &[u8], taken: &mut Taken, each: &mut dyn FnMut(&Record<'_>)) -> usize {
    let mut used = 0;
    while let Some(len) = next_len(buffer.get(used..).unwrap_or_default()) {
        let Some(bytes) = buffer.get(used..used + len) else { break };
        // The buffer begins, and each record ends, at a multiple of eight, as records must.
        match Record::parse(bytes) {
            Ok(record) => {
                taken.processes += 1;
                with_arguments(&record, each);
            }
            Err(error) => {
                tracing::debug!(%error, "a process in the snapshot cannot be decoded");
                taken.malformed += 1;
            }
        }
        used += len;
    }
    used
}

/// Length of the record at the start, padded to eight bytes; `None` when it is not told, or absurd.
fn next_len(bytes: &[u8]) -> Option<usize> {
    let at = std::mem::offset_of!(RecHeader, len);
    let len: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    let len = usize::try_from(u32::from_ne_bytes(len)).ok()?;
    let sane = (size_of::<RecHeader>()..=RECORD_MAX as usize).contains(&len);
    sane.then(|| len.next_multiple_of(8))
}

/// Gives the record on, with its arguments where the process still has them.
fn with_arguments(record: &Record<'_>, each: &mut dyn FnMut(&Record<'_>)) {
    let arguments = match record.body() {
        Body::Task(task) if task.task_flags & TASK_KTHREAD == 0 && task.args.len == 0 => {
            process::arguments(task.h.pid, task.h.start).map(|args| rebuilt(record, task, &args))
        }
        _ => None,
    };
    match arguments.as_deref().map(Record::parse) {
        Some(Ok(complete)) => each(&complete),
        _ => each(record),
    }
}

fn rebuilt(record: &Record<'_>, task: &RecTask, args: &[u8]) -> Vec<u8> {
    let mut fixed = *task;
    let mut tail = Builder::<RecTask>::new();
    fixed.comm = tail.push(record.bytes(task.comm));
    fixed.exe = tail.push(record.bytes(task.exe));
    fixed.script = tail.push(record.bytes(task.script));
    fixed.env = tail.push(record.bytes(task.env));
    fixed.cwd = tail.push(record.bytes(task.cwd));
    fixed.args = tail.push(args);
    fixed.argc = u32::try_from(List::Nul(args).len()).unwrap_or(u32::MAX);
    fixed.args_bytes = u32::try_from(args.len()).unwrap_or(u32::MAX);
    tail.finish(&fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::wire::KIND_TASK;
    use zerocopy::FromZeros;

    fn task(pid: u32) -> Vec<u8> {
        let mut tail = Builder::<RecTask>::new();
        let mut fixed = RecTask { task_flags: TASK_KTHREAD, ..RecTask::new_zeroed() };
        fixed.h.kind = u16::try_from(KIND_TASK).unwrap();
        fixed.h.pid = pid;
        fixed.comm = tail.push(b"x");
        tail.finish(&fixed)
    }

    fn through_a_file(bytes: &[u8]) -> (Taken, Vec<u32>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot");
        std::fs::write(&path, bytes).unwrap();
        let mut pids = Vec::new();
        let fd = File::open(&path).unwrap().into();
        let taken = read(fd, &mut |record| pids.push(record.header().pid)).unwrap();
        (taken, pids)
    }

    #[test]
    fn all_records_are_read_and_a_cut_one_is_counted() {
        let bytes: Vec<u8> = (1..=3000).flat_map(task).collect();
        assert!(bytes.len() > CHUNK, "records lie across the border of two reads");
        let (taken, pids) = through_a_file(&bytes);
        assert_eq!(taken, Taken { processes: 3000, malformed: 0 });
        assert_eq!(pids, (1..=3000).collect::<Vec<_>>());
        let (taken, _) = through_a_file(&bytes[..bytes.len() - 8]);
        assert_eq!(taken, Taken { processes: 2999, malformed: 1 });
    }

    #[test]
    fn arguments_are_added() {
        let bytes = task(7);
        let record = Record::parse(&bytes).unwrap();
        let Body::Task(fixed) = record.body() else { panic!() };
        let rebuilt = rebuilt(&record, fixed, b"sleep\x001\0");
        let record = Record::parse(&rebuilt).unwrap();
        let Body::Task(task) = record.body() else { panic!() };
        assert_eq!(record.bytes(task.args), b"sleep\x001\0");
        assert_eq!((task.argc, record.bytes(task.comm)), (2, b"x".as_slice()));
    }
}
