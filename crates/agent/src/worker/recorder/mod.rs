//! Recording, as the event thread sees it: what the engine is told is copied into a block, and full
//! blocks are given on.
//!
//! The event thread never waits for a disk or a reader. Between it and the thread that packs and
//! writes stands a queue of [`QUEUE`] blocks; a block that finds it full is dropped, counted, and the
//! next one tells how much is missing. While nobody records, nothing is copied.
//!
//! | module | does |
//! |---|---|
//! | `writer` | packs blocks and gives them to whoever records |
//! | `history` | keeps the recent past in files |
//! | `serve` | recordings through the control socket |

pub(super) mod history;
pub(super) mod serve;
mod writer;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use capture::block::Loss;
use capture::{Block, Head, RuleSet};
use engine::{Engine, Fact, Host};
use model::alert::Match;

use crate::cli::record::History;
use crate::exit::{Exit, Failure};
use writer::{Shared, Work};

/// Blocks that wait for the writer: some 16 MiB, a second and more of the heaviest load.
const QUEUE: usize = 16;
/// Blocks whose room is used again.
const SPARE: usize = QUEUE + 2;
/// How long what happened may wait in a block that is not full.
const AGE: Duration = Duration::from_secs(1);

/// The event thread's half.
#[derive(Debug)]
pub(crate) struct Recorder {
    work: Option<SyncSender<Work>>,
    spare: Receiver<Block>,
    writer: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    about: About,
    rules: RuleSet,
    block: Block,
    /// When the first item came into the block.
    since: Instant,
    /// Number of the next block.
    number: u64,
    /// Dropped since the last block that was taken.
    untold: Loss,
    /// What was lost in the kernel, as it was told last.
    counters: String,
}

/// What is the same in all heads of a worker.
#[derive(Debug)]
struct About {
    host: Host,
    kernel: String,
    session: String,
    rows: usize,
}

/// Who records, for the status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Recordings that run, the history included.
    pub(crate) recordings: u64,
    /// Items that no recording has, because the writer was too slow.
    pub(crate) lost: u64,
    /// Frames that one recording lacks, because its reader or the disk was too slow.
    pub(crate) frames_lost: u64,
}

impl Recorder {
    /// Starts the writer. With a history recording begins now, before the engine knows anything.
    pub(crate) fn start(
        (host, rows): (Host, usize),
        rules: RuleSet,
        state: &Path,
        history: Option<History>,
    ) -> Result<Recorder, Failure> {
        let (work, waiting) = sync_channel(QUEUE);
        let (give_back, spare) = sync_channel(SPARE);
        let shared = Arc::new(Shared::default());
        let history = history.map(|bounds| history::Files::open(state, bounds)).transpose()?;
        let writer = writer::start(waiting, give_back, Arc::clone(&shared), history);
        let writer = writer.map_err(|error| {
            Failure::new(Exit::Internal, format!("cannot start the recorder: {error}"))
        })?;
        let kernel = super::read_limited(Path::new("/proc/sys/kernel/osrelease"), 256);
        let kernel = String::from_utf8_lossy(&kernel.unwrap_or_default()).trim().to_owned();
        let session = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let mut recorder = Recorder {
            work: Some(work),
            spare,
            writer: Some(writer),
            shared,
            about: About { host, kernel, session, rows },
            rules,
            block: Block::default(),
            since: Instant::now(),
            number: 0,
            untold: Loss::default(),
            counters: String::new(),
        };
        if recorder.shared.wants_segment() {
            let head = Head { whole: true, ..recorder.head(0) };
            recorder.send(Work::Segment(Box::new(head), Vec::new()));
        }
        Ok(recorder)
    }

    /// Whether anybody records.
    pub(crate) fn is_on(&self) -> bool {
        self.shared.recordings() > 0
    }

    /// A record, as it came.
    pub(crate) fn record(&mut self, bytes: &[u8]) {
        self.put(|block| block.record(bytes));
        if self.block.is_full() {
            self.give();
        }
    }

    /// What the host told the engine.
    pub(crate) fn fact(&mut self, fact: &Fact) {
        self.put(|block| block.fact(fact));
    }

    /// Time went on without a record.
    pub(crate) fn tick(&mut self, now: u64) {
        self.put(|block| block.tick(now));
    }

    /// A rule found something.
    pub(crate) fn matched(&mut self, found: &Match<'_>) {
        self.put(|block| block.matched(found.id, &found.rule.id, found.members));
    }

    /// A script is asked again.
    pub(crate) fn released(&mut self, script: &str) {
        self.put(|block| block.release(script));
    }

    /// Other rules run from here on.
    pub(crate) fn rules(&mut self, rules: RuleSet) {
        // The list of a host is far below what one item can hold.
        let json = serde_json::to_string(&rules).unwrap_or_default();
        self.put(|block| block.rules(&json));
        self.rules = rules;
    }

    /// What sources and rings lost so far.
    pub(crate) fn counters(&mut self, counters: &serde_json::Value) {
        let lost = counters.get("lost").map(ToString::to_string).unwrap_or_default();
        if self.is_on() && lost != self.counters {
            self.put(|block| block.counters(&lost));
            self.counters = lost;
        }
    }

    /// Somebody reads a recording from here on; false if the writer is too busy or has gone.
    pub(crate) fn join(&mut self, client: serve::Sender, engine: &Engine) -> bool {
        self.give();
        let head = self.head(engine.stats().events);
        let state = capture::state::of(engine);
        self.shared.count(1);
        let joined = self.send(Work::Join(client, Box::new(head), state));
        if !joined {
            self.shared.count(-1);
        }
        joined
    }

    /// What is due: a block that has waited long enough, a file of history that is full.
    pub(crate) fn tidy(&mut self, engine: &Engine) {
        if !self.block.is_empty() && self.since.elapsed() >= AGE {
            self.give();
        }
        if self.shared.wants_segment() {
            self.give();
            let head = self.head(engine.stats().events);
            let state = capture::state::of(engine);
            self.send(Work::Segment(Box::new(head), state));
        }
    }

    /// For the status.
    pub(crate) fn figures(&self) -> Figures {
        self.shared.figures()
    }

    /// Gives on what is left, and waits until all of it is written.
    pub(crate) fn finish(&mut self) {
        self.give();
        drop(self.work.take());
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the thread that records died");
        }
    }

    fn put(&mut self, item: impl FnOnce(&mut Block)) {
        if !self.is_on() {
            return;
        }
        if self.block.is_empty() {
            self.since = Instant::now();
            if self.untold != Loss::default() {
                self.block.loss(self.untold);
            }
        }
        item(&mut self.block);
    }

    /// Gives the block to the writer, or drops and counts it.
    fn give(&mut self) {
        if self.block.is_empty() {
            return;
        }
        let mut next = self.spare.try_recv().unwrap_or_default();
        next.clear();
        let block = std::mem::replace(&mut self.block, next);
        let (items, bytes) = (u64::from(block.items()), block.bytes() as u64);
        if self.send(Work::Block(self.number, block)) {
            self.number += 1;
            self.untold = Loss::default();
        } else {
            // An item that told of an earlier loss was lost with it, and is part of this one.
            self.untold.items += items;
            self.untold.bytes += bytes;
            self.shared.lost(items);
        }
    }

    fn send(&mut self, work: Work) -> bool {
        let sent = self.work.as_ref().map(|sender| sender.try_send(work));
        match sent {
            Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_))) | None => false,
            Some(Err(TrySendError::Disconnected(_))) => {
                self.work = None;
                false
            }
        }
    }

    fn head(&self, events_before: u64) -> Head {
        Head {
            wire: model::wire::WIRE_VERSION,
            little_endian: cfg!(target_endian = "little"),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: self.about.kernel.clone(),
            session: self.about.session.clone(),
            first_frame: self.number,
            events_before,
            whole: false,
            began: i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default(),
            host: (&self.about.host).into(),
            rows: self.about.rows,
            rules: self.rules.clone(),
        }
    }
}
