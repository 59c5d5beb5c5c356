//! Packs blocks and gives them to whoever records: once for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;

use axum::body::Bytes;
use capture::frame::{Kind, Packer};
use capture::{Block, Head};
use tokio::sync::mpsc::error::TrySendError;

use super::history::Files;
use super::{Figures, serve};
use crate::seccomp;

/// What the event thread gives on.
#[derive(Debug)]
pub(super) enum Work {
    /// What happened, and its number.
    Block(u64, Block),
    /// Somebody reads from here on.
    Join(serve::Sender, Box<Head>, Vec<Block>),
    /// The history goes on in another file.
    Segment(Box<Head>, Vec<Block>),
}

/// What both threads know.
#[derive(Debug, Default)]
pub(super) struct Shared {
    recordings: AtomicU64,
    segment: AtomicBool,
    lost: AtomicU64,
    frames_lost: AtomicU64,
}

impl Shared {
    pub(super) fn recordings(&self) -> u64 {
        self.recordings.load(Ordering::Relaxed)
    }

    /// One recording more or less.
    pub(super) fn count(&self, change: i64) {
        self.recordings.fetch_add(change.cast_unsigned(), Ordering::Relaxed);
    }

    /// Whether the history needs another file; told once.
    pub(super) fn wants_segment(&self) -> bool {
        self.segment.swap(false, Ordering::Relaxed)
    }

    pub(super) fn want_segment(&self) {
        self.segment.store(true, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, items: u64) {
        self.lost.fetch_add(items, Ordering::Relaxed);
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            recordings: self.recordings(),
            lost: self.lost.load(Ordering::Relaxed),
            frames_lost: self.frames_lost.load(Ordering::Relaxed),
        }
    }
}

/// Starts the thread; it ends when the event thread does.
pub(super) fn start(
    work: Receiver<Work>,
    spare: SyncSender<Block>,
    shared: Arc<Shared>,
    history: Option<Files>,
) -> std::io::Result<JoinHandle<()>> {
    let packer = Packer::new()?;
    if history.is_some() {
        shared.count(1);
        shared.want_segment();
    }
    let mut writer = Writer { packer, shared, history, clients: Vec::new(), next: 0 };
    std::thread::Builder::new().name("recorder".into()).spawn(move || {
        seccomp::thread(seccomp::Kind::Recorder);
        for one in work {
            writer.take(one, &spare);
        }
        writer.end();
    })
}

struct Writer {
    packer: Packer,
    shared: Arc<Shared>,
    history: Option<Files>,
    clients: Vec<serve::Sender>,
    /// Number of the next frame.
    next: u64,
}

impl Writer {
    fn take(&mut self, work: Work, spare: &SyncSender<Block>) {
        match work {
            Work::Block(number, mut block) => {
                self.next = number + 1;
                if let Some(frame) = self.pack(Kind::Items, number, &block) {
                    self.give(&frame);
                }
                block.clear();
                // Room for another block; without it one is made.
                drop(spare.try_send(block));
            }
            Work::Join(client, head, state) => {
                let frames = self.beginning(&head, &state);
                let taken = frames.is_some_and(|frames| {
                    frames.into_iter().all(|frame| client.try_send(frame).is_ok())
                });
                if taken {
                    self.clients.push(client);
                } else {
                    tracing::warn!("a recording was not begun: its reader does not read");
                    self.shared.count(-1);
                }
            }
            Work::Segment(head, state) => {
                let end = self.pack(Kind::End, self.next, &Block::default());
                let frames = self.beginning(&head, &state);
                if let (Some(history), Some(frames), Some(end)) =
                    (self.history.as_mut(), frames, end)
                {
                    history.rotate(&end, &frames);
                }
            }
        }
        if self.history.as_mut().is_some_and(Files::is_due) {
            self.shared.want_segment();
        }
    }

    /// Gives a frame to all who record. Who does not take it lacks it, and its number tells so.
    fn give(&mut self, frame: &Bytes) {
        if self.history.as_mut().is_some_and(|history| !history.write(frame)) {
            self.shared.frames_lost.fetch_add(1, Ordering::Relaxed);
        }
        let shared = &self.shared;
        self.clients.retain(|client| match client.try_send(frame.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                shared.frames_lost.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Closed(_)) => {
                shared.count(-1);
                false
            }
        });
    }

    fn end(&mut self) {
        let Some(end) = self.pack(Kind::End, self.next, &Block::default()) else { return };
        if let Some(history) = self.history.as_mut() {
            history.close(&end);
        }
        for client in self.clients.drain(..) {
            // A reader that has gone needs no end.
            drop(client.try_send(end.clone()));
        }
    }

    /// Head and state as frames.
    fn beginning(&mut self, head: &Head, state: &[Block]) -> Option<Vec<Bytes>> {
        let mut frames = Vec::with_capacity(state.len() + 1);
        match head.frame(&mut self.packer) {
            Ok(frame) => frames.push(frame.into()),
            Err(error) => {
                tracing::error!(%error, "a recording cannot be begun");
                return None;
            }
        }
        for block in state {
            frames.push(self.pack(Kind::State, 0, block)?);
        }
        Some(frames)
    }

    fn pack(&mut self, kind: Kind, number: u64, block: &Block) -> Option<Bytes> {
        match self.packer.block(kind, number, block) {
            Ok(frame) => Some(frame.into()),
            Err(error) => {
                // Its number is missing, so that readers know.
                tracing::error!(%error, "a block cannot be packed");
                self.shared.frames_lost.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}
