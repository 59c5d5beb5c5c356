//! Carries out what rules ask for after the fact: kills, stops and lets go on. Only the guard acts, and
//! nothing is done that is not in the audit log before.
//!
//! | module | knows |
//! |---|---|
//! | `grants` | which rule may ask for what; read by a process of its own, not told by the worker |
//! | `limits` | how often is acted, and when something else must be wrong |
//! | `protected` | who is never acted on |
//! | `process` | a process that cannot be taken for another one |

mod grants;
mod limits;
mod process;
mod protected;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Map, Value as Json, json};

use crate::audit::Audit;
use crate::proto::{Act, Verb};
use grants::Grants;
use limits::{Limits, Room};
use process::{Gone, Held};
use protected::Protected;

pub(crate) use grants::print as print_grants;
pub(crate) use limits::Bounds;

/// What acts.
#[derive(Debug)]
pub(super) struct Actor {
    enforce: bool,
    grants: Grants,
    limits: Limits,
    protected: Protected,
    audit: Arc<Audit>,
    figures: Figures,
}

/// What became of what was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Figures {
    done: u64,
    would: u64,
    refused: u64,
    failed: u64,
}

/// What is decided of a request.
enum Decision {
    Do(Held),
    Would,
    Refused(String),
}

impl Actor {
    /// Nothing was done yet.
    pub(super) fn new(
        enforce: bool,
        bounds: Bounds,
        protect: &[PathBuf],
        audit: Arc<Audit>,
    ) -> Actor {
        Actor {
            enforce,
            grants: Grants::default(),
            limits: Limits::new(bounds),
            protected: Protected::new(protect),
            audit,
            figures: Figures::default(),
        }
    }

    /// A request of the worker.
    pub(super) fn act(&mut self, act: &Act, worker: u32) {
        let mut about = about(act);
        match self.decide(act, worker, &mut about) {
            Decision::Refused(reason) => {
                self.figures.refused += 1;
                about.insert("decision".to_owned(), "refused".into());
                about.insert("reason".to_owned(), reason.clone().into());
                // Somebody who makes a rule match over and over fills no disk.
                self.audit.note_of(&format!("{} {reason}", act.rule), "response", Json::Object(about));
            }
            Decision::Would => {
                self.figures.would += 1;
                about.insert("decision".to_owned(), "would".into());
                self.audit.note_of(&act.rule, "response", Json::Object(about));
            }
            Decision::Do(held) => {
                about.insert("decision".to_owned(), "do".into());
                match self.audit.write("response", Json::Object(about)) {
                    Ok(number) => self.carry_out(act, &held, worker, number),
                    Err(error) => {
                        self.figures.refused += 1;
                        tracing::error!(rule = act.rule, %error, "not done: it cannot be written down");
                    }
                }
            }
        }
    }

    fn decide(&mut self, act: &Act, worker: u32, about: &mut Map<String, Json>) -> Decision {
        if let Err(reason) = self.grants.allow(&act.rule, act.verb) {
            return Decision::Refused(reason);
        }
        let held = match Held::of(act.pid, act.start) {
            Ok(held) => held,
            Err(Gone::Ended) => return Decision::Refused("it has ended".to_owned()),
            Err(Gone::Replaced) => {
                return Decision::Refused("another process has its number".to_owned());
            }
        };
        let path = held.executable().map(|path| path.to_string_lossy().into_owned());
        about.insert("executable".to_owned(), path.into());
        if let Some(reason) = self.protected.spares(&held, Some(worker)) {
            return Decision::Refused(reason);
        }
        if !self.enforce {
            return Decision::Would;
        }
        match self.limits.take(&act.rule, Instant::now()) {
            Room::There => Decision::Do(held),
            Room::Rule => Decision::Refused("this rule acts too often".to_owned()),
            Room::All => Decision::Refused("all rules together act too often".to_owned()),
            Room::Open { first } => {
                if first {
                    let about = json!({ "rule": act.rule, "bounds": self.limits.bounds() });
                    self.audit.note("responses-off", about);
                }
                Decision::Would
            }
        }
    }

    fn carry_out(&mut self, act: &Act, held: &Held, worker: u32, number: u64) {
        let done = match act.verb {
            Verb::Stop => held.signal(Signal::STOP).map(|()| 1),
            Verb::Continue => held.signal(Signal::CONT).map(|()| 1),
            Verb::Kill => held.signal(Signal::KILL).map(|()| 1),
            Verb::KillTree => self.kill_tree(held, worker),
        };
        let about = match done {
            Ok(processes) => {
                self.figures.done += 1;
                json!({ "of": number, "outcome": "done", "processes": processes })
            }
            Err(error) => {
                self.figures.failed += 1;
                json!({ "of": number, "outcome": "failed", "reason": error.to_string() })
            }
        };
        self.audit.note("response-outcome", about);
    }

    /// Ends a process and all that came from it; how many they were.
    fn kill_tree(&self, held: &Held, worker: u32) -> std::io::Result<usize> {
        held.signal(Signal::STOP)?;
        let spared = |pid: u32| {
            // Who cannot be held any more needs no mercy.
            process::any(pid).is_some_and(|one| self.protected.spares(&one, Some(worker)).is_some())
        };
        let (all, whole) = process::descendants(held, spared);
        if !whole {
            tracing::warn!(pid = held.pid, "a tree of processes grew faster than it was stopped");
        }
        for one in &all {
            if let Err(error) = one.signal(Signal::KILL) {
                tracing::debug!(pid = one.pid, %error, "it ended by itself");
            }
        }
        held.signal(Signal::KILL)?;
        Ok(all.len() + 1)
    }
}

fn about(act: &Act) -> Map<String, Json> {
    let alert: String = act.alert.iter().map(|byte| format!("{byte:02x}")).collect();
    let about = json!({
        "response": act.verb.as_str(),
        "rule": act.rule,
        "alert": alert,
        "pid": act.pid,
        "start": act.start,
    });
    if let Json::Object(map) = about { map } else { Map::new() }
}
