//! Standard output of the agent: a bounded queue and one thread that writes.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::queue::{Bounds, Line, LineReceiver, LineSender, Notice, channel};
use crate::exit::{Exit, Failure};
use crate::seccomp;

/// What may wait for a slow reader. More is dropped and counted.
const WAITING: Bounds = Bounds { lines: 4096, bytes: 4 * 1024 * 1024 };
/// Lines written together, when more wait.
const BATCH: u64 = 64;
/// Bytes written together, about; a line is some 10 KB.
const BATCH_BYTES: usize = 256 << 10;

/// The queue to standard output.
#[derive(Debug)]
pub(crate) struct Output {
    lines: LineSender,
    dropped: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
    writer: JoinHandle<()>,
}

impl Output {
    /// Starts the writer. After a predecessor that was killed it begins with an empty line: a pipe
    /// may hold the beginning of one that was never finished.
    pub(crate) fn start(notice: Notice, is_successor: bool) -> Result<Output, Failure> {
        let (lines, receiver) = channel(WAITING, notice);
        let written = Arc::<AtomicU64>::default();
        let count = Arc::clone(&written);
        let writer = std::thread::Builder::new()
            .name("output".into())
            .spawn(move || {
                seccomp::thread(seccomp::Kind::Output);
                write_all(receiver, is_successor, &count);
            })
            .map_err(|e| Failure::new(Exit::Internal, format!("cannot start a thread: {e}")))?;
        Ok(Output { dropped: lines.dropped(), lines, written, writer })
    }

    /// Puts a line out; never waits.
    pub(crate) fn put(&mut self, line: Line) {
        self.lines.offer(line);
    }

    /// Waits until what was put in is written, at most for `limit`: for the moments in which
    /// nothing may get lost and nothing else is to be done.
    pub(crate) fn settle(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.has_written(self.accepted()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lines put in so far that were not dropped.
    pub(crate) fn accepted(&self) -> u64 {
        self.lines.accepted()
    }

    /// Whether so many have been written, or none will be any more.
    pub(crate) fn has_written(&self, lines: u64) -> bool {
        self.written.load(Ordering::Acquire) >= lines || self.lines.is_closed()
    }

    /// Tells of losses when there is room again.
    pub(crate) fn tidy(&mut self) {
        self.lines.tell_loss();
    }

    /// Lines lost so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits, and ends.
    pub(crate) fn finish(self) {
        drop(self.lines);
        if self.writer.join().is_err() {
            tracing::error!("the output thread died");
        }
    }
}

fn write_all(mut lines: LineReceiver, is_successor: bool, written: &AtomicU64) {
    let mut out = anstream::stdout().lock();
    let mut text = String::new();
    if is_successor {
        text.push('\n');
    }
    while let Some(first) = lines.next_blocking() {
        // One write for whole lines, so that a worker that is killed rarely leaves a torn one.
        let (mut next, mut count) = (Some(first), 0);
        while let Some(line) = next {
            count += 1;
            text.push_str(&line);
            text.push('\n');
            let has_room = count < BATCH && text.len() <= BATCH_BYTES;
            next = if has_room { lines.next_now() } else { None };
        }
        let result = out.write_all(text.as_bytes());
        text.clear();
        let result = result.and_then(|()| out.flush());
        written.fetch_add(count, Ordering::Release);
        if let Err(error) = result {
            // The agent goes on: alerts are still counted, and read through the control socket.
            let gone = error.kind() == ErrorKind::BrokenPipe;
            tracing::warn!(%error, gone, "standard output is closed: nothing more is printed");
            return;
        }
    }
}
