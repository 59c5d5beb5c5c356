//! SIGHUP: the configuration is read again, and a worker with the new options takes the place of the old one,
//! which goes on until the new one has found its rules sound. The same way another one takes over when the clock
//! of the host was set.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use super::broker::Broker;
use super::child::exit_code;
use super::child::{self, Worker};
use super::{Guard, reload};
use crate::config::{self, Effective};
use crate::exit::Failure;
use crate::proto;

/// Requests that are taken of a worker that has ended: what a socket holds.
const LAST_MAX: usize = 1_024;

/// What is configured, and who is to take over.
#[derive(Debug)]
pub(super) struct Configured {
    /// What holds.
    pub(super) now: Effective,
    /// What is to hold once this worker has read its rules.
    next: Option<Next>,
}

/// Who is to take over, what is done for it, by which options, and why.
#[derive(Debug)]
struct Next {
    worker: Worker,
    broker: Arc<Broker>,
    merged: Effective,
    reason: Reason,
}

/// Why another worker takes over.
#[derive(Debug)]
enum Reason {
    /// These options are others now.
    Options(Vec<String>),
    /// The clock was set.
    Clock,
}

impl Configured {
    /// What an agent starts with.
    pub(super) fn new(now: Effective) -> Configured {
        Configured { now, next: None }
    }

    /// The worker that is to take over can be heard here.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.next.as_ref().map(|next| next.worker.socket())
    }
}

impl Guard<'_> {
    /// Somebody wants all to be read again.
    pub(super) fn reread(&mut self, worker: &Worker) {
        self.notify.reading(self.readings);
        self.actor.reload();
        match config::of_this_process(self.args) {
            Ok(read) => {
                if !self.follow(worker, &read) {
                    reload(worker);
                }
            }
            Err(failure) => {
                self.refuse(worker, &failure.to_string());
                // The rules are read again all the same, as the options of now say.
                reload(worker);
            }
        }
    }

    /// Whether another worker is on its way because of this.
    fn follow(&mut self, worker: &Worker, read: &Effective) -> bool {
        let (applied, kept) = self.configured.now.differs(read);
        if !kept.is_empty() {
            let list = kept.join(", ");
            tracing::warn!(kept = list, "changed options that need a restart of the agent");
            self.audit.note("config-kept", json!({ "keys": kept }));
            let message = format!("these options were changed and need a restart: {list}");
            self.actor.notice("config_kept", &message, &json!({ "keys": kept }));
        }
        if applied.is_empty() {
            return false;
        }
        let spawned = self.configured.now.followed_by(read);
        match spawned.and_then(|merged| self.successor(merged, Reason::Options(applied))) {
            // One that was on its way is ended: it would be of the configuration before.
            Ok(next) => self.configured.next = Some(next),
            Err(failure) => self.refuse(worker, &failure.to_string()),
        }
        self.configured.next.is_some()
    }

    /// The clock was set: a worker that starts now tells the times of events by it.
    pub(super) fn tell_time_anew(&mut self, worker: &Worker) {
        let away = self.clock.away();
        tracing::warn!(seconds = away.as_secs(), "the clock was set: another worker takes over");
        if self.configured.next.is_some() {
            // One is on its way already, and it may have looked at the clock before.
            return;
        }
        match self.successor(self.configured.now.clone(), Reason::Clock) {
            Ok(next) => self.configured.next = Some(next),
            Err(failure) => {
                tracing::error!(pid = worker.pid(), %failure, "events have the times of before");
            }
        }
    }

    /// A worker that is to take over.
    fn successor(&self, merged: Effective, reason: Reason) -> Result<Next, Failure> {
        // Other files may be the operator's by these options.
        let broker = Broker::new(&merged.args, self.user.clone(), Arc::clone(&self.audit));
        let broker = Arc::new(broker);
        let (who, count) = ((&self.user, &broker), (self.started, self.restarts));
        let worker = Worker::spawn(&merged.args, who, count, true)?;
        Ok(Next { worker, broker, merged, reason })
    }

    /// The configuration stays as it was.
    fn refuse(&mut self, worker: &Worker, reason: &str) {
        tracing::error!(reason, "the configuration stays as it was");
        self.audit.note("config-refused", json!({ "reason": reason }));
        let message = format!("the configuration stays as it was: {reason}");
        self.actor.notice("config_refused", &message, &json!({ "reason": reason }));
        self.readings = self.readings.wrapping_add(1);
        self.tell_ready(worker);
    }

    /// Lets the next worker take over once it has read its rules.
    pub(super) fn hand_over(&mut self, worker: &mut Worker) {
        let Some(mut next) = self.configured.next.take() else { return };
        match word(&next.worker) {
            Word::None => self.configured.next = Some(next),
            Word::Gone => {
                let code = exit_code(next.worker.kill());
                match next.reason {
                    Reason::Options(_) => self.refuse(worker, &format!(
                        "the worker that was to follow it ended with {code}; its reason is on standard error"
                    )),
                    Reason::Clock => tracing::error!(code, "events have the times of before: no other worker took over"),
                }
            }
            Word::Said => {
                worker.stop();
                // What it asked for at the end is not lost with it.
                self.last_requests(worker);
                let Next { worker: other, broker, merged, reason } = next;
                *worker = other;
                self.broker = broker;
                self.greet(worker);
                if let Reason::Options(applied) = reason {
                    self.changed(&merged, &applied);
                }
                self.configured.now = merged;
            }
        }
    }

    /// The worker has other options now.
    fn changed(&mut self, merged: &Effective, applied: &[String]) {
        tracing::info!(keys = applied.join(", "), "the configuration was read again");
        self.audit.note("config-changed", json!({ "keys": applied }));
        self.actor.follow(child::reader_options(&merged.args));
        self.readings = self.readings.wrapping_add(1);
    }

    /// What a worker asked for before it ended.
    fn last_requests(&mut self, worker: &mut Worker) {
        for _ in 0..LAST_MAX {
            let Ok(Some(request)) = proto::receive_request(worker.socket()) else { return };
            if let Err(error) = self.answer(worker, &request) {
                tracing::debug!(%error, "a worker that has ended is not answered");
            }
        }
    }
}

/// What a worker has said so far.
enum Word {
    None,
    Said,
    Gone,
}

fn word(worker: &Worker) -> Word {
    let mut fds = [PollFd::from_borrowed_fd(worker.socket(), PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&now)) {
        Ok(0) | Err(_) => Word::None,
        Ok(_) => {
            let [said] = fds.map(|fd| fd.revents());
            let is_there = said.contains(PollFlags::IN) && !said.contains(PollFlags::HUP);
            if is_there { Word::Said } else { Word::Gone }
        }
    }
}
