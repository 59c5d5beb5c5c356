//! Where alerts leave the worker: bounded queues, each with a thread that writes, to standard output and to the
//! spool.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::queue::{Bounds, Line, LineReceiver, LineSender, Notice, channel};
use crate::exit::{Exit, Failure};
use crate::seccomp::{self, Kind};

/// What may wait for a slow reader. More is dropped and counted.
const WAITING: Bounds = Bounds { lines: 4096, bytes: 4 * 1024 * 1024 };
/// Lines written together, when more wait.
const BATCH: u64 = 64;
/// Bytes written together, about; a line is some 10 KB.
const BATCH_BYTES: usize = 256 << 10;

/// A queue and the thread that writes what is in it.
#[derive(Debug)]
pub(crate) struct Output {
    lines: LineSender,
    dropped: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
    ending: Arc<AtomicBool>,
    writer: JoinHandle<()>,
}

impl Output {
    /// Starts the writer. `write` gets whole lines, and whether all is to end; what it cannot write ends the
    /// thread.
    pub(crate) fn start(
        kind: Kind,
        notice: Notice,
        write: impl FnMut(&str, &AtomicBool) -> io::Result<()> + Send + 'static,
    ) -> Result<Output, Failure> {
        let (lines, receiver) = channel(WAITING, notice);
        let (written, ending) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, end) = (Arc::clone(&written), Arc::clone(&ending));
        let writer = std::thread::Builder::new()
            .name(kind.name().into())
            .spawn(move || {
                seccomp::thread(kind);
                write_all(receiver, write, &end, &count);
            })
            .map_err(|e| Failure::new(Exit::Internal, format!("cannot start a thread: {e}")))?;
        Ok(Output { dropped: lines.dropped(), lines, written, ending, writer })
    }

    /// The queue to standard output. After a predecessor that was killed it begins with an empty line: a
    /// pipe may hold the beginning of one that was never finished.
    pub(crate) fn stdout(notice: Notice, is_successor: bool) -> Result<Output, Failure> {
        let mut is_torn = is_successor;
        Output::start(Kind::Output, notice, move |text, _| {
            let mut out = anstream::stdout().lock();
            if std::mem::take(&mut is_torn) {
                out.write_all(b"\n")?;
            }
            let result = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            if let Err(error) = &result {
                // The agent goes on: alerts are still counted, and read through the control socket.
                let gone = error.kind() == ErrorKind::BrokenPipe;
                tracing::warn!(%error, gone, "standard output is closed: nothing more is printed");
            }
            result
        })
    }

    /// Puts a line out; never waits.
    pub(crate) fn put(&mut self, line: Line) {
        self.lines.offer(line);
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
        self.ending.store(true, Ordering::Release);
        drop(self.lines);
        if self.writer.join().is_err() {
            tracing::error!("the output thread died");
        }
    }
}

fn write_all(
    mut lines: LineReceiver,
    mut write: impl FnMut(&str, &AtomicBool) -> io::Result<()>,
    ending: &AtomicBool,
    written: &AtomicU64,
) {
    let mut text = String::new();
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
        let result = write(&text, ending);
        text.clear();
        written.fetch_add(count, Ordering::Release);
        if result.is_err() {
            return;
        }
    }
}

/// All ways out: standard output, and the spool if other outputs read that.
#[derive(Debug)]
pub(crate) struct Outputs {
    /// Standard output.
    pub(crate) stdout: Output,
    /// The spool.
    pub(crate) spool: Option<Output>,
}

/// Lines put into each of them.
pub(crate) type Accepted = [u64; 2];

impl Outputs {
    fn all(&self) -> impl Iterator<Item = &Output> {
        std::iter::once(&self.stdout).chain(&self.spool)
    }

    /// Lines put in so far that were not dropped.
    pub(crate) fn accepted(&self) -> Accepted {
        [self.stdout.accepted(), self.spool.as_ref().map_or(0, Output::accepted)]
    }

    /// Whether so many have been written, or none will be any more.
    pub(crate) fn has_written(&self, lines: Accepted) -> bool {
        self.all().zip(lines).all(|(one, lines)| one.has_written(lines))
    }

    /// Waits until what was put in is written, at most for `limit`: for the moments in which
    /// nothing may get lost and nothing else is to be done.
    pub(crate) fn settle(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.has_written(self.accepted()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Tells of losses when there is room again.
    pub(crate) fn tidy(&mut self) {
        self.stdout.tidy();
        if let Some(spool) = &mut self.spool {
            spool.tidy();
        }
    }

    /// Writes what waits, and ends.
    pub(crate) fn finish(self) {
        // First what stays: a reader of standard output may be slow.
        if let Some(spool) = self.spool {
            spool.finish();
        }
        self.stdout.finish();
    }
}
