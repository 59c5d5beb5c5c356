//! One input through the rules: events in order, alerts out.
//!
//! Whether an event satisfies the conditions of rules depends on the event alone, so blocks of
//! events are decoded and evaluated on as many threads as there may be. What has state goes on from
//! there in the order of the events, on the thread of the caller, which also reads. Blocks go
//! around the workers in turn, so their results come back in order and no queue is longer than
//! what is in flight.
//!
//! | module | does |
//! |---|---|
//! | `batch` | blocks of documents, and where their events wait |
//! | `worker` | a block of documents: which conditions does each satisfy |
//! | `stage` | what these mean in the order of time |
//! | `spent` | where the time goes |

mod batch;
mod spent;
mod stage;
mod worker;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use engine::eval::Compiled;

use crate::alert::Alert;
use crate::input::{Names, Order, Report, Source};
use batch::Batch;
pub(crate) use spent::{Clock, Spent};
use stage::Stage;
use worker::Worker;

/// Events that are kept back to put them in order: recorders with several threads write events
/// some milliseconds late.
pub(crate) const WINDOW: usize = 1_024;
/// The same where everything is read before something is shown, as in a search.
pub(crate) const WINDOW_MAX: usize = 1 << 20;
/// Blocks that each worker may be behind: one at work, and enough waiting to never be idle.
const IN_FLIGHT: usize = 4;

/// What is done with the events of an input.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) names: Arc<Names>,
    pub(crate) order: Order,
    /// Threads that decode and evaluate. An input that somebody writes right now is done by one.
    pub(crate) threads: usize,
    pub(crate) clock: Clock,
}

/// What becomes of the alerts of an input.
pub(crate) trait Sink {
    fn alert(&mut self, alert: &Alert<'_>) -> io::Result<()>;

    /// Some events are done, and so many bytes of the input with them.
    fn progress(&mut self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }
}

/// How an input ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) report: Report,
    /// Partial matches that were given up at a limit, and results that pipes had no room for.
    pub(crate) lost: u64,
    pub(crate) bytes: u64,
    /// What scripts did that they may not.
    pub(crate) incidents: Vec<String>,
    pub(crate) spent: Spent,
}

impl Stream {
    /// Takes an input from its beginning to its end. The same events give the same alerts in the
    /// same order on any number of threads.
    pub(crate) fn run(&self, path: &Path, sink: &mut dyn Sink) -> io::Result<Ended> {
        let mut source = Source::open(path)?;
        let mut stage = Stage::new(self);
        if self.threads <= 1 || source.live() {
            self.alone(&mut source, &mut stage, sink)?;
        } else {
            thread::scope(|scope| {
                let (senders, receivers): (Vec<_>, Vec<_>) = (0..self.threads)
                    .map(|_| {
                        let (to, blocks) = sync_channel::<Batch>(IN_FLIGHT);
                        let (batches, from) = sync_channel::<Batch>(IN_FLIGHT);
                        scope.spawn(move || Worker::new(self).serve(&blocks, &batches));
                        (to, from)
                    })
                    .unzip();
                self.shared(&mut source, &mut stage, sink, &senders, &receivers)
            })?;
        }
        stage.finish(&source, sink)?;
        Ok(stage.end(source.bytes()))
    }

    fn alone(
        &self,
        source: &mut Source,
        stage: &mut Stage<'_>,
        sink: &mut dyn Sink,
    ) -> io::Result<()> {
        let mut worker = Worker::new(self);
        while let Some(mut batch) = stage.read(source)? {
            worker.work(&mut batch);
            stage.take(batch, source, sink)?;
            sink.progress(source.bytes())?;
        }
        Ok(())
    }

    /// The workers end when the caller drops `senders`.
    fn shared(
        &self,
        source: &mut Source,
        stage: &mut Stage<'_>,
        sink: &mut dyn Sink,
        senders: &[SyncSender<Batch>],
        receivers: &[Receiver<Batch>],
    ) -> io::Result<()> {
        let gone = || io::Error::other("a thread that reads events has failed");
        let (mut given, mut taken) = (senders.iter().cycle(), receivers.iter().cycle());
        let (mut flying, mut more) = (0, true);
        loop {
            while more && flying < self.threads * IN_FLIGHT {
                let batch = stage.read(source)?;
                more = batch.is_some();
                if let Some(batch) = batch {
                    let worker = given.next().ok_or_else(gone)?;
                    worker.send(batch).map_err(|_| gone())?;
                    flying += 1;
                }
            }
            if flying == 0 {
                return Ok(());
            }
            let batch = taken.next().and_then(|worker| worker.recv().ok()).ok_or_else(gone)?;
            flying -= 1;
            stage.take(batch, source, sink)?;
            sink.progress(source.bytes())?;
        }
    }
}
