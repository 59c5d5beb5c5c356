//! What can be done, and undone: all that an action is, and nothing of whether it may be.
//!
//! A new kind of action is one more variant here: it says how it is done, and, if it can be undone, how.
//! What is kept of it on the disk is the variant itself, so it holds all that undoing it needs. What takes
//! longer than a look at the kernel is a command of this program, run by a [process of its own](super::children).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::aim::Place;
use super::kept::Kept;
use super::process::{self, Gone, Held};
use super::protected::Protected;
use crate::guard::{isolate, quarantine};
use crate::policy::adhoc::Adhoc;
use crate::policy::load::now;
use crate::policy::store::Store;
use crate::proto::Verb;

/// A process, as it can be found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, ns since boot.
    pub(crate) start: u64,
    /// The boot that both are of.
    pub(crate) boot: String,
}

/// A file that is moved aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// Its path, which need not be text.
    pub(crate) path: Vec<u8>,
    /// Number of its device, if it is known.
    pub(crate) device: Option<u64>,
    /// Number of its inode, if it is known.
    pub(crate) inode: Option<u64>,
}

impl Taken {
    pub(super) fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub(crate) enum Deed {
    /// A process ends.
    Kill(Process),
    /// A process and all that came from it end.
    KillTree(Process),
    /// A process stops where it is.
    Stop(Process),
    /// A stopped process goes on.
    Continue(Process),
    /// A file is moved aside.
    Quarantine(Taken),
    /// A cgroup is cut off the network, or the host.
    Isolate {
        /// Directory of the cgroup; none for the host.
        cgroup: Option<PathBuf>,
        /// The boot that it is of: no isolation outlives it.
        boot: String,
    },
    /// Something is denied from now on.
    Deny {
        /// A path, a peer.
        what: String,
        /// The program to which it is denied; none for all.
        by: Option<String>,
        /// What is denied of it, in the words of policies; the usual, if none.
        #[serde(default)]
        operations: Vec<String>,
    },
    /// The recording around an alert is kept.
    Capture {
        /// The alert.
        alert: String,
    },
    /// Somebody elsewhere is told.
    Webhook {
        /// What they are told: JSON.
        document: String,
    },
}

/// How something is done.
pub(super) enum Doing {
    /// It was done, or failed.
    Now(Result<Json, String>),
    /// By this command of ours.
    By(Vec<OsString>),
    /// The recording around this alert is kept.
    Keep(String),
    /// This is told to whom the operator named.
    Post(String),
}

impl Deed {
    /// What it was done to, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Deed::Kill(one) => format!("kill process {}", one.pid),
            Deed::KillTree(one) => format!("kill process {} and all that came from it", one.pid),
            Deed::Stop(one) => format!("stop process {}", one.pid),
            Deed::Continue(one) => format!("continue process {}", one.pid),
            Deed::Quarantine(one) => format!("quarantine {}", one.path().display()),
            Deed::Isolate { cgroup: None, .. } => "isolate the host".to_owned(),
            Deed::Isolate { cgroup: Some(one), .. } => format!("isolate {}", one.display()),
            Deed::Capture { alert } => format!("capture {alert}"),
            Deed::Webhook { .. } => "webhook".to_owned(),
            Deed::Deny { what, by: None, .. } => format!("deny {what}"),
            Deed::Deny { what, by: Some(by), .. } => format!("deny {what} to {by}"),
        }
    }

    /// What was asked for.
    pub(super) fn verb(&self) -> Verb {
        match self {
            Deed::Kill(_) => Verb::Kill,
            Deed::KillTree(_) => Verb::KillTree,
            Deed::Stop(_) => Verb::Stop,
            Deed::Continue(_) => Verb::Continue,
            Deed::Quarantine(_) => Verb::Quarantine,
            Deed::Isolate { cgroup: Some(_), .. } => Verb::Isolate,
            Deed::Isolate { cgroup: None, .. } => Verb::IsolateHost,
            Deed::Deny { .. } => Verb::Deny,
            Deed::Capture { .. } => Verb::Capture,
            Deed::Webhook { .. } => Verb::Webhook,
        }
    }

    /// How long it stays in effect, if no longer than this; none if until somebody undoes it.
    pub(super) fn lasts(&self, limit: i64) -> Option<i64> {
        match self {
            // A file that came back by itself would be what it was.
            Deed::Quarantine(_) => None,
            Deed::Isolate { .. } => {
                let longest = i64::try_from(isolate::LONGEST.as_secs()).unwrap_or(i64::MAX);
                Some(limit.min(longest))
            }
            _ => Some(limit),
        }
    }

    /// Whether it is done at once or not at all.
    pub(super) fn is_at_once(&self) -> bool {
        matches!(self, Deed::Stop(_))
    }

    /// Whether it makes no sense to do it again while it is in effect.
    pub(super) fn is_once(&self) -> bool {
        matches!(self, Deed::Isolate { .. } | Deed::Deny { .. })
    }

    /// Does it, for so many seconds if it lasts.
    pub(super) fn act(
        &self,
        id: u64,
        (rule, seconds): (&str, i64),
        held: Option<&Held>,
        (protected, worker): (&Protected, u32),
        place: &Place,
    ) -> Doing {
        let signal = |signal| {
            held.map_or_else(
                || Err(io::ErrorKind::NotFound.into()),
                |held| held.signal(signal).map(|()| json!({})),
            )
        };
        let done = match self {
            Deed::Kill(_) => signal(Signal::KILL),
            Deed::Stop(_) => signal(Signal::STOP),
            Deed::Continue(_) => signal(Signal::CONT),
            Deed::KillTree(_) => {
                let held = held.ok_or_else(|| io::ErrorKind::NotFound.into());
                held.and_then(|held| kill_tree(held, protected, worker))
            }
            Deed::Isolate { cgroup, .. } => {
                let seconds = u64::try_from(seconds).unwrap_or_default();
                let limit = std::time::Duration::from_secs(seconds);
                let cgroup = cgroup.as_deref();
                let begun = isolate::begin(&place.runtime, &name(id), cgroup, &place.peers, limit);
                let peers = isolate::peers(&place.peers);
                let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
                let done =
                    begun.map(|one| json!({ "isolation": one.name(), "within_reach": peers }));
                return Doing::Now(done.map_err(|error| error.to_string()));
            }
            Deed::Capture { alert } => return Doing::Keep(alert.clone()),
            Deed::Webhook { document } => return Doing::Post(document.clone()),
            Deed::Quarantine(taken) => return Doing::By(take(id, rule, taken, place)),
            Deed::Deny { what, by, operations } => {
                let add = ["block", "add", what, "--id", &name(id), "--where-possible"];
                let mut words = words(&add, place);
                words.extend(operations.iter().map(|one| format!("--operations={one}").into()));
                words.push("--ttl".into());
                words.push(format!("{seconds}s").into());
                words.push(format!("--reason=rule {rule}, action {id}").into());
                words.push(format!("--runtime-dir={}", place.runtime.display()).into());
                words.extend(by.iter().map(|by| format!("--as={by}").into()));
                return Doing::By(words);
            }
        };
        Doing::Now(done.map_err(|error| error.to_string()))
    }

    /// Undoes it.
    pub(super) fn undo(&self, id: u64, place: &Place) -> Doing {
        if !self.is_in_effect(id, place) {
            return Doing::Now(Ok(json!({ "reason": "it is in effect no more" })));
        }
        Doing::Now(match self {
            Deed::Stop(process) => match process.hold() {
                Ok(held) => held
                    .signal(Signal::CONT)
                    .map(|()| json!({}))
                    .map_err(|error| format!("the process does not go on: {error}")),
                // Nobody is stopped any more, which is what was asked for.
                Err(gone) => Ok(json!({ "process": gone.to_string() })),
            },
            Deed::Isolate { .. } => lift(&place.runtime, &name(id)),
            Deed::Quarantine(_) => {
                let mut words = words(&["quarantine", "restore", &name(id)], place);
                words.push(format!("--reason=action {id} is undone").into());
                return Doing::By(words);
            }
            Deed::Deny { .. } => {
                let mut words = words(&["block", "del", &name(id)], place);
                words.push(format!("--reason=action {id} is undone").into());
                words.push(format!("--runtime-dir={}", place.runtime.display()).into());
                return Doing::By(words);
            }
            Deed::Kill(_)
            | Deed::KillTree(_)
            | Deed::Continue(_)
            | Deed::Capture { .. }
            | Deed::Webhook { .. } => Err(format!("{} cannot be undone", self.describe())),
        })
    }

    /// Whether it may be in effect, as far as that can be seen.
    pub(super) fn is_in_effect(&self, id: u64, place: &Place) -> bool {
        match self {
            Deed::Stop(one) => one.boot == process::boot(),
            Deed::Quarantine(_) => quarantine::has(&place.state, &name(id)),
            Deed::Isolate { boot, .. } => {
                let found = isolate::all(&place.runtime);
                let has = |all: Vec<_>| {
                    all.iter().any(|one: &kernel::isolate::Isolation| one.name() == name(id))
                };
                *boot == process::boot() && found.map_or(true, has)
            }
            Deed::Deny { .. } => {
                Adhoc::read(&Store::at(&place.state)).map_or(true, |all| all.has(&name(id)))
            }
            Deed::Kill(_)
            | Deed::KillTree(_)
            | Deed::Continue(_)
            | Deed::Capture { .. }
            | Deed::Webhook { .. } => false,
        }
    }

    /// What can be seen of it when nobody knows whether it was done: the agent ended meanwhile.
    pub(super) fn seen(process: &Process) -> String {
        match process.hold() {
            Err(gone) => gone.to_string(),
            Ok(held) if held.is_stopped() => "it is stopped".to_owned(),
            Ok(_) => "it runs".to_owned(),
        }
    }
}

impl Kept {
    /// Whether it is in effect no more by itself: of another boot, or undone by an operator.
    pub(super) fn is_over(&self, place: &Place) -> bool {
        match &self.deed {
            Deed::Stop(Process { boot, .. }) | Deed::Isolate { boot, .. } => {
                *boot != process::boot()
            }
            // Whoever was to do it may be about to, also for an agent that was killed.
            Deed::Quarantine(_) => {
                let limit = i64::try_from(2 * super::children::LIMIT.as_secs()).unwrap_or(i64::MAX);
                now() > self.since.saturating_add(limit) && !self.deed.is_in_effect(self.id, place)
            }
            Deed::Deny { .. } => false,
            Deed::Kill(_)
            | Deed::KillTree(_)
            | Deed::Continue(_)
            | Deed::Capture { .. }
            | Deed::Webhook { .. } => true,
        }
    }
}

/// How an action is called where it leaves something: in quarantine, among blocks and isolations.
fn name(id: u64) -> String {
    format!("action-{id}")
}

fn words(words: &[&str], place: &Place) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.iter().map(OsString::from).collect();
    words.extend(["--state-dir".into(), place.state.clone().into_os_string()]);
    words
}

fn take(id: u64, rule: &str, taken: &Taken, place: &Place) -> Vec<OsString> {
    let mut words = words(&["quarantine", "take", "--id", &name(id)], place);
    words.push(format!("--reason=rule {rule}, action {id}").into());
    words.extend(taken.inode.map(|inode| format!("--inode={inode}").into()));
    words.extend(taken.device.map(|device| format!("--device={device}").into()));
    for path in &place.protect {
        words.extend(["--protect".into(), path.clone().into_os_string()]);
    }
    words.push(taken.path().into());
    words
}

fn lift(runtime: &Path, name: &str) -> Result<Json, String> {
    let all = isolate::all(runtime).map_err(|error| error.to_string())?;
    let mut meant = all.into_iter().filter(|one| one.name() == name);
    let lifted = meant.try_for_each(kernel::isolate::Isolation::lift);
    lifted.map(|()| json!({})).map_err(|error| error.to_string())
}

impl Process {
    /// Holds it, if it is still there.
    pub(super) fn hold(&self) -> Result<Held, Gone> {
        if self.boot != process::boot() {
            return Err(Gone::Boot);
        }
        Held::of(self.pid, self.start)
    }
}

/// Ends a process and all that came from it, but for what is spared.
///
/// All are stopped before the first is ended, and children are ended before their parents: whoever goes
/// on after a crash finds those that are left below the root.
pub(super) fn kill_tree(held: &Held, protected: &Protected, worker: u32) -> io::Result<Json> {
    held.signal(Signal::STOP)?;
    // Who cannot be held any more needs no mercy.
    let spared = |pid| Held::any(pid).is_some_and(|one| protected.spares(&one, worker).is_some());
    let (all, whole) = process::descendants(held, spared);
    for one in all.iter().rev() {
        if let Err(error) = one.signal(Signal::KILL) {
            tracing::debug!(pid = one.pid, %error, "it ended by itself");
        }
    }
    held.signal(Signal::KILL)?;
    let pids: Vec<u32> = all.iter().map(|one| one.pid).take(process::NAMED_MAX).collect();
    Ok(json!({ "processes": all.len() + 1, "descendants": pids, "whole": whole }))
}
