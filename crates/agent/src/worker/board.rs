//! What the event thread and the guard last said about themselves, for the control socket to read.

use std::sync::{Mutex, MutexGuard, PoisonError};

use model::op::KindSet;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use tokio::sync::watch;

use crate::rules::Held;

/// Figures of the event thread, published a few times a second.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Figures {
    /// Events handled, by operation.
    pub(crate) seen: Map<String, Json>,
    /// Events handled.
    pub(crate) events: u64,
    /// Records that could not be decoded.
    pub(crate) malformed: u64,
    /// Alerts raised.
    pub(crate) alerts: u64,
    /// Alerts counted and not told, because their rule had raised too many.
    pub(crate) alerts_suppressed: u64,
    /// Matches that a suppression covers.
    pub(crate) alerts_covered: u64,
    /// Ids of rules that cost too much.
    pub(crate) rules_slow: Vec<String>,
    /// Ids of rules that raise too many alerts.
    pub(crate) rules_noisy: Vec<String>,
    /// Alerts left out, because they would have said of the same file what was just said.
    pub(crate) alerts_repeated: u64,
    /// Lines that standard output was too slow for.
    pub(crate) output_dropped: u64,
    /// Lines that the disk was too slow for, so that no other output gets them.
    pub(crate) spool_dropped: u64,
    /// Running processes in the table.
    pub(crate) processes: u64,
    /// Ended processes that are still known.
    pub(crate) processes_ended: u64,
    /// Processes forgotten early because the table was full.
    pub(crate) processes_evicted: u64,
    /// Bytes of executables, arguments and environments in the table.
    pub(crate) image_bytes: u64,
    /// Bytes of events that are kept because a later alert may name them.
    pub(crate) member_bytes: u64,
    /// Such events that were given up for lack of room: an alert names them by number alone.
    pub(crate) members_evicted: u64,
    /// Partial matches of sequences that were given up for lack of room.
    pub(crate) partials_evicted: u64,
    /// Events of a process that is not in the table.
    pub(crate) unresolved: u64,
    /// Connected readers of events and alerts.
    pub(crate) clients: u64,
    /// Questions to scripts.
    pub(crate) script_calls: u64,
    /// What scripts did beyond their terms.
    pub(crate) script_violations: u64,
    /// Scripts in quarantine.
    pub(crate) script_quarantined: u64,
    /// Lines that could not be written to the audit log.
    pub(crate) audit_lost: u64,
    /// Recordings that run, the history included.
    pub(crate) recordings: u64,
    /// Actions that the guard was asked for.
    pub(crate) actions_asked: u64,
    /// Matches whose rule wants an action, and for which none was asked: nobody could be named, or they
    /// were too old.
    pub(crate) actions_left_out: u64,
    /// Items that no recording has, because the writer was too slow.
    pub(crate) recording_lost: u64,
    /// Frames that one recording lacks, because its reader or the disk was too slow.
    pub(crate) recording_frames_lost: u64,
}

/// The rules that run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct RuleSet {
    /// Rules that are loaded.
    pub(crate) loaded: usize,
    /// Rules that were left out (`--keep-going`).
    pub(crate) refused: usize,
    /// Where they came from.
    pub(crate) directories: Vec<String>,
    /// The rules that were left out, and why; told by `aegisbpf rules`.
    #[serde(skip)]
    pub(crate) left_out: Vec<LeftOut>,
    /// How the last reading of the rules ended, if there was one after the start.
    pub(crate) reload: Option<Reload>,
    /// Which generation of rules they are.
    pub(crate) generation: Option<Generation>,
}

/// The generation of rules that runs.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Generation {
    /// Its number; absent where it could not be kept.
    pub(crate) number: Option<u64>,
    /// SHA-256 over the list of its files.
    pub(crate) sha256: String,
    /// Since when it runs, in RFC 3339.
    pub(crate) since: String,
    /// The same in seconds since boot.
    #[serde(skip)]
    pub(crate) began: u64,
    /// It is on trial until then, in seconds since boot.
    #[serde(skip)]
    pub(crate) trial_until: Option<u64>,
    /// Why the directories are not read, if they are not.
    pub(crate) held: Option<Held>,
    /// The files in the directories have changed since.
    pub(crate) changed: bool,
    /// Generations that broke since this worker started.
    pub(crate) reverted: u64,
    /// Generations that could not be kept since then.
    pub(crate) unkept: u64,
}

/// A rule that runs, by what its author wrote.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct RuleInfo {
    /// Its identifier.
    pub(crate) id: String,
    /// Its name for people.
    pub(crate) name: String,
    /// How bad a match is.
    pub(crate) severity: &'static str,
    /// `own`, `elastic` or `sigma`.
    pub(crate) format: &'static str,
    /// The file it came from.
    pub(crate) file: String,
    /// Where it could be decided: `kernel`, `armed` or `engine`.
    pub(crate) placement: &'static str,
    /// It raises no alerts of its own: only correlations count it.
    pub(crate) silent: bool,
    /// `shipped`, `signed`, `local` or `untrusted`.
    pub(crate) level: &'static str,
    /// Id and version of its pack.
    pub(crate) pack: Option<String>,
    /// Keys that signed the pack.
    pub(crate) signers: Vec<String>,
    /// What it may do.
    pub(crate) may: Vec<&'static str>,
    /// Alerts that it may raise in a minute; 0: as many as any.
    pub(crate) max_alerts: u64,
}

/// A rule, or a whole file, that does not run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct LeftOut {
    /// Its identifier, where it is known.
    pub(crate) id: Option<String>,
    /// The file it came from.
    pub(crate) file: String,
    /// Why.
    pub(crate) reason: String,
}

/// How a reading of the rules ended.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Reload {
    /// When, in RFC 3339.
    pub(crate) time: String,
    /// Why the rules stay as they were; absent when they were replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Reload {
    /// It has ended now.
    pub(crate) fn now(error: Option<String>) -> Reload {
        Reload { time: jiff::Timestamp::now().to_string(), error }
    }
}

/// The board. Locks are held only to copy.
#[derive(Debug)]
pub(crate) struct Board {
    figures: Mutex<Figures>,
    rules: Mutex<RuleSet>,
    report: Mutex<Json>,
    counters: Mutex<Json>,
    reports: watch::Sender<u64>,
    counted: watch::Sender<u64>,
    policies: watch::Sender<Json>,
}

impl Board {
    /// Nothing is known yet.
    pub(crate) fn new() -> Board {
        Board {
            figures: Mutex::default(),
            rules: Mutex::default(),
            report: Mutex::default(),
            counters: Mutex::default(),
            reports: watch::Sender::new(0),
            counted: watch::Sender::new(0),
            policies: watch::Sender::new(Json::Null),
        }
    }

    /// The event thread's figures.
    pub(crate) fn figures(&self) -> Figures {
        lock(&self.figures).clone()
    }

    /// Replaces them.
    pub(crate) fn put_figures(&self, figures: Figures) {
        *lock(&self.figures) = figures;
    }

    /// The rules that run.
    pub(crate) fn rules(&self) -> RuleSet {
        lock(&self.rules).clone()
    }

    /// Replaces them.
    pub(crate) fn put_rules(&self, rules: RuleSet) {
        *lock(&self.rules) = rules;
    }

    /// Changes what is told of the generation that runs.
    pub(crate) fn generation(&self, change: impl FnOnce(&mut Generation)) {
        if let Some(generation) = &mut lock(&self.rules).generation {
            change(generation);
        }
    }

    /// Notes how a reading of the rules ended that replaced nothing.
    pub(crate) fn put_reload(&self, reload: Reload) {
        lock(&self.rules).reload = Some(reload);
    }

    /// What is attached.
    pub(crate) fn report(&self) -> Json {
        lock(&self.report).clone()
    }

    /// Replaces it, and lets those know who wait for their subscription.
    pub(crate) fn put_report(&self, json: &str) {
        store(&self.report, json, "report");
        self.reports.send_modify(|count| *count += 1);
    }

    /// What the kernel half sent and lost.
    pub(crate) fn counters(&self) -> Json {
        lock(&self.counters).clone()
    }

    /// Replaces it, and lets those know who asked.
    pub(crate) fn put_counters(&self, json: &str) {
        store(&self.counters, json, "counters");
        self.counted.send_modify(|count| *count += 1);
    }

    /// The last answer of the guard about policies.
    pub(crate) fn policies(&self) -> watch::Receiver<Json> {
        self.policies.subscribe()
    }

    /// Replaces it, and lets those know who asked.
    pub(crate) fn put_policies(&self, json: &str) {
        match serde_json::from_str(json) {
            Ok(json) => drop(self.policies.send_replace(json)),
            Err(error) => tracing::error!(%error, "the guard sent what is no JSON"),
        }
    }

    /// How many reports came.
    pub(crate) fn reports(&self) -> watch::Receiver<u64> {
        self.reports.subscribe()
    }

    /// How many counters came.
    pub(crate) fn counted(&self) -> watch::Receiver<u64> {
        self.counted.subscribe()
    }

    /// Operations that are observed only at the price of a tax on every system call.
    pub(crate) fn taxing(&self) -> KindSet {
        let report = lock(&self.report);
        let operations = report.get("operations").and_then(Json::as_array);
        let taxing = |operation: &&Json| operation.get("taxes") == Some(&Json::Bool(true));
        operations
            .into_iter()
            .flatten()
            .filter(taxing)
            .filter_map(|operation| {
                crate::render::kind_by_name(operation.get("operation")?.as_str()?)
            })
            .collect()
    }
}

fn store(place: &Mutex<Json>, text: &str, what: &str) {
    match serde_json::from_str(text) {
        Ok(json) => *lock(place) = json,
        Err(error) => tracing::error!(%error, what, "the guard sent what is no JSON"),
    }
}

/// A thread that died while it held the lock only copied: the data are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
