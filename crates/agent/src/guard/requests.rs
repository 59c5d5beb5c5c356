//! What the worker asks of the guard, and what it is told. Whoever has taken the worker over asks the same way:
//! it may do what its rules were granted (`act`), and changes are asked for elsewhere (`changes`).

use std::os::fd::AsFd;
use std::time::Instant;

use super::child::Worker;
use super::report::Doctor;
use super::{Guard, figures};
use crate::proto::{self, ProtoError, Request};

/// Requests handled before the other descriptors get their turn.
const REQUESTS_AT_ONCE: usize = 32;

impl Guard<'_> {
    /// Answers what the worker has asked so far, as far as others need not wait for it.
    pub(super) fn requests(&mut self, worker: &mut Worker) -> Result<(), ProtoError> {
        for _ in 0..REQUESTS_AT_ONCE {
            let Some(request) = proto::receive_request(worker.socket())? else { return Ok(()) };
            let answer = self.answer(worker, &request);
            match answer {
                // The answer is lost; a worker that does not read asks again when it lives.
                Err(ProtoError::Full) => tracing::warn!("the worker does not read its messages"),
                other => other?,
            }
        }
        Ok(())
    }

    /// Answers one request. An error says that the worker is to be ended.
    pub(super) fn answer(
        &mut self,
        worker: &mut Worker,
        request: &Request,
    ) -> Result<(), ProtoError> {
        let socket = worker.socket();
        match request {
            Request::Counters => {
                let counters = figures::of(self).to_string();
                proto::send_counters(socket, &counters)
            }
            // Root asks for changes, and asks us.
            Request::Undo(..) => Err(ProtoError::Field("wish: the worker changes nothing")),
            Request::Policy(_, asked) if asked.is_change() => {
                Err(ProtoError::Field("wish: the worker changes nothing"))
            }
            Request::Policy(number, asked) => {
                proto::send_policy(socket, &self.prevention.answer(*number, *asked).to_string())
            }
            Request::Arm(arm) => {
                self.prevention.arm(arm);
                Ok(())
            }
            Request::Act(act) => {
                self.actor.act(act, self.scene(worker.pid()));
                Ok(())
            }
            Request::Pulse(rules, readings) => {
                let now = Instant::now();
                (self.heard, worker.heard, self.rules) = (now, now, *rules);
                if worker.readings != *readings {
                    worker.readings = *readings;
                    self.readings = self.readings.wrapping_add(1);
                }
                self.tell_ready(worker);
                Ok(())
            }
            Request::Rules => {
                self.actor.rules_changed();
                Ok(())
            }
            Request::Snapshot => match self.sensors.snapshot() {
                Ok(fd) => proto::send_snapshot(socket, fd.as_fd()),
                Err(error) => {
                    tracing::error!(%error, "the processes that exist cannot be listed");
                    Err(ProtoError::Gone)
                }
            },
            Request::Subscribe(interest) => match self.sensors.subscribe(interest) {
                Ok(attached) => {
                    proto::send_report(socket, &Doctor::of(&attached).json().to_string())?;
                    (worker.ready, worker.heard) = (true, Instant::now());
                    self.tell_ready(worker);
                    Ok(())
                }
                Err(error) => {
                    tracing::error!(%error, "the sensors refuse what the rules need");
                    Err(ProtoError::Gone)
                }
            },
        }
    }
}
