//! What each output tells of itself: for `status`, and for whoever makes metrics of it.

use serde::Serialize;

/// Letters of an error: all outputs together must fit into one message of the guard.
const ERROR_MAX: usize = 200;

/// The figures of one output, since the forwarder started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    /// Its name.
    pub(crate) name: String,
    /// Where it goes, without anything that could be a secret: the scheme.
    pub(crate) scheme: String,
    /// `ok`, or `retrying` while the receiver does not take what is told.
    pub(crate) state: &'static str,
    /// Items that have arrived.
    pub(crate) sent: u64,
    /// Items below its minimum.
    pub(crate) passed_over: u64,
    /// Items that the receiver does not want, whenever they come.
    pub(crate) refused: u64,
    /// Items that were given up because the spool ran over, or that were damaged there.
    pub(crate) lost: u64,
    /// Tries that failed.
    pub(crate) failures: u64,
    /// Bytes of the spool that wait.
    pub(crate) backlog_bytes: u64,
    /// The time of the first item that waits.
    pub(crate) waiting_since: Option<String>,
    /// The last failure.
    pub(crate) last_error: Option<String>,
    /// When it was.
    pub(crate) last_error_time: Option<String>,
    /// When something last arrived.
    pub(crate) last_sent_time: Option<String>,
}

impl Progress {
    /// Nothing has been told yet.
    pub(crate) fn new(name: &str, scheme: &str) -> Progress {
        let (name, scheme) = (name.to_owned(), scheme.to_owned());
        Progress { name, scheme, state: "ok", ..Progress::default() }
    }

    /// So many have arrived.
    pub(crate) fn arrived(&mut self, count: usize) {
        if count > 0 {
            self.sent += count as u64;
            self.last_sent_time = Some(now());
        }
    }

    /// A try failed.
    pub(crate) fn failed(&mut self, why: &str) {
        self.failures += 1;
        self.state = "retrying";
        self.note(why);
    }

    /// Something is wrong that another try does not mend.
    pub(crate) fn note(&mut self, why: &str) {
        self.last_error = Some(why.chars().take(ERROR_MAX).collect());
        self.last_error_time = Some(now());
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
