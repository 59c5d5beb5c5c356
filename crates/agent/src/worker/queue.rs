//! A bounded queue of lines between the event thread and whoever writes them out.
//!
//! The event thread never waits: what does not fit is counted, and the reader is told how many
//! lines it lost as soon as there is room again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc::{self, Receiver, Sender};

/// A line, shared by all who want it; without its newline.
pub(crate) type Line = Arc<str>;

/// Bounds of one queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Lines.
    pub(crate) lines: usize,
    /// Bytes of all waiting lines.
    pub(crate) bytes: usize,
}

/// Makes the line that tells of lost ones.
pub(crate) type Notice = fn(u64) -> String;

/// The notice in a stream of JSON lines.
pub(crate) fn json_notice(lost: u64) -> String {
    format!("{{\"lost\":{lost}}}")
}

/// The notice among lines for people.
pub(crate) fn text_notice(lost: u64) -> String {
    format!("... {lost} lines lost: the reader is too slow")
}

/// The event thread's end.
#[derive(Debug)]
pub(crate) struct LineSender {
    sender: Sender<Line>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
    bytes: usize,
    notice: Notice,
    /// Lost since the reader was last told.
    untold: u64,
    /// Lines put in, notices included.
    accepted: u64,
}

/// The reader's end.
#[derive(Debug)]
pub(crate) struct LineReceiver {
    receiver: Receiver<Line>,
    waiting: Arc<AtomicUsize>,
}

/// A new queue.
pub(crate) fn channel(bounds: Bounds, notice: Notice) -> (LineSender, LineReceiver) {
    let (sender, receiver) = mpsc::channel(bounds.lines);
    let waiting = Arc::new(AtomicUsize::new(0));
    let sender = LineSender {
        sender,
        waiting: Arc::clone(&waiting),
        dropped: Arc::default(),
        bytes: bounds.bytes,
        notice,
        untold: 0,
        accepted: 0,
    };
    (sender, LineReceiver { receiver, waiting })
}

impl LineSender {
    /// Puts a line in, or counts it as lost.
    pub(crate) fn offer(&mut self, line: Line) {
        self.tell_loss();
        if self.untold > 0 || !self.put(line) {
            self.untold += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells the reader of a loss if there is one and room for it.
    pub(crate) fn tell_loss(&mut self) {
        if self.untold > 0 && self.put((self.notice)(self.untold).into()) {
            self.untold = 0;
        }
    }

    /// Whether the reader has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// A counter of all lines lost.
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// How many lines went in so far, notices included.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    fn put(&mut self, line: Line) -> bool {
        let len = line.len();
        if self.waiting.load(Ordering::Relaxed).saturating_add(len) > self.bytes {
            return false;
        }
        // Counted first: the reader must never subtract what was not yet added.
        self.waiting.fetch_add(len, Ordering::Relaxed);
        let sent = self.sender.try_send(line).is_ok();
        self.accepted += u64::from(sent);
        if !sent {
            self.waiting.fetch_sub(len, Ordering::Relaxed);
        }
        sent
    }
}

impl LineReceiver {
    /// The next line, in the way of futures; `None` when the sender has gone.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Line>> {
        self.receiver.poll_recv(context).map(|line| self.count(line))
    }

    /// The next line, for a thread without a runtime.
    pub(crate) fn next_blocking(&mut self) -> Option<Line> {
        let line = self.receiver.blocking_recv();
        self.count(line)
    }

    /// A line that waits already.
    pub(crate) fn next_now(&mut self) -> Option<Line> {
        let line = self.receiver.try_recv().ok();
        self.count(line)
    }

    fn count(&self, line: Option<Line>) -> Option<Line> {
        if let Some(line) = &line {
            self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_told() {
        let (mut sender, mut receiver) = channel(Bounds { lines: 2, bytes: 1000 }, json_notice);
        for text in ["a", "b", "c", "d"] {
            sender.offer(text.into());
        }
        assert_eq!(sender.dropped().load(Ordering::Relaxed), 2);
        assert_eq!(receiver.next_now().as_deref(), Some("a"));
        assert_eq!(receiver.next_now().as_deref(), Some("b"));
        sender.offer("e".into());
        assert_eq!(receiver.next_now().as_deref(), Some(r#"{"lost":2}"#));
        assert_eq!(receiver.next_now().as_deref(), Some("e"));
        assert_eq!(receiver.next_now(), None);
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let (mut sender, mut receiver) = channel(Bounds { lines: 100, bytes: 40 }, json_notice);
        sender.offer("x".repeat(30).into());
        sender.offer("y".repeat(30).into());
        assert_eq!(sender.dropped().load(Ordering::Relaxed), 1);
        assert!(receiver.next_now().unwrap().starts_with('x'));
        sender.offer("z".repeat(25).into());
        assert_eq!(receiver.next_now().as_deref(), Some(r#"{"lost":1}"#));
        assert!(receiver.next_now().unwrap().starts_with('z'));
        drop(receiver);
        assert!(sender.is_closed());
    }
}
