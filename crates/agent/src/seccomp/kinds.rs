//! Processes and threads that have a list of their own.

use std::str::FromStr;

/// A kind of process or thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The privileged half, with what carries out actions and puts policies in force.
    Guard,
    /// The half that evaluates rules, as a whole.
    Worker,
    /// Asks the resolver, as nobody.
    Resolve,
    /// Parses answers of name servers, as nobody.
    Answers,
    /// Tells somebody elsewhere, as nobody.
    Post,
    /// Reads what rules may do.
    Grants,
    /// Hands what is in the spool to outputs: files, the journal, and processes that send.
    Forward,
    /// Hands alerts to an output elsewhere, as nobody.
    Sender,
    /// The worker's main thread: rings, engine, scripts.
    Events,
    /// Reads what the guard says.
    Link,
    /// Writes alerts.
    Output,
    /// Writes what other outputs are to be told.
    Spool,
    /// Serves the control socket.
    Control,
    /// Reads rules, compiles scripts and keeps generations.
    Rules,
    /// Looks whether files of rules have changed.
    Watch,
    /// Packs and writes recordings.
    Recorder,
    /// Writes the worker's lines of the audit log.
    Audit,
    /// Keeps incidents on the disk.
    Incidents,
    /// Reads suppressions again when they have changed.
    Suppressions,
}

use Kind::{
    Answers, Audit, Control, Events, Forward, Grants, Guard, Incidents, Link, Output, Post,
    Recorder, Resolve, Rules, Sender, Spool, Suppressions, Watch, Worker,
};

impl Kind {
    /// All, in the order of the table.
    pub(super) const ALL: &'static [Kind] = &[
        Guard,
        Worker,
        Resolve,
        Answers,
        Post,
        Grants,
        Forward,
        Sender,
        Events,
        Link,
        Output,
        Spool,
        Control,
        Rules,
        Watch,
        Recorder,
        Audit,
        Incidents,
        Suppressions,
    ];

    /// What the process or thread is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Guard => "aegisbpf",
            Worker | Events => "aegisbpf-worker",
            Resolve => "aegisbpf-names",
            Answers => "aegisbpf-answer",
            Post => "aegisbpf-post",
            Grants => "aegisbpf-grants",
            Forward => "aegisbpf-output",
            Sender => "aegisbpf-send",
            Link => "guard",
            Output => "output",
            Spool => "spool",
            Control => "control",
            Rules => "rules",
            Watch => "watch",
            Recorder => "recorder",
            Audit => "audit",
            Incidents => "incidents",
            Suppressions => "suppressions",
        }
    }

    /// The kinds that are under its list beside itself: what it may call, they may need.
    pub(super) fn holds(self) -> &'static [Kind] {
        match self {
            Guard => Kind::ALL,
            Worker => &[
                Events,
                Link,
                Output,
                Spool,
                Control,
                Rules,
                Watch,
                Recorder,
                Audit,
                Incidents,
                Suppressions,
            ],
            Forward => &[Sender],
            _ => &[],
        }
    }
}

/// Names of processes that are told on their command line which they are; those that read rules have
/// options that say it.
impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Kind, String> {
        let mut told = [Resolve, Answers, Post, Forward, Sender].into_iter();
        told.find(|kind| kind.name() == name).ok_or_else(|| format!("no process is called {name}"))
    }
}
