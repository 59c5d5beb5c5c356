//! What the service manager is told: that the agent is ready, reads again, ends, and lives.
//!
//! Without `NOTIFY_SOCKET` nobody is told, and nothing else changes.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// How long an event thread may be silent, which says each second that it goes on. A machine that is
/// overloaded does not keep it so long; a rule or a script that never ends does.
const SILENCE: Duration = Duration::from_mins(1);
/// How often it is told within its patience that the agent lives: some of it may be spent on loading programs.
const TIMES: u32 = 8;

/// Tells the service manager.
#[derive(Debug)]
pub(super) struct Notify {
    /// How long it waits to hear that we live.
    watchdog: Option<Duration>,
    told: Instant,
    is_ready: bool,
    /// It was told that something is read, by the readings that had ended then.
    reading: Option<u32>,
    status: String,
}

impl Notify {
    /// Nothing was told yet.
    pub(super) fn new() -> Notify {
        Notify {
            watchdog: sd_notify::watchdog_enabled(),
            told: Instant::now(),
            is_ready: false,
            reading: None,
            status: String::new(),
        }
    }

    /// Rules run and sources are attached; `readings` of rules have ended so far.
    pub(super) fn ready(&mut self, readings: u32, status: &str) {
        let ends = self.reading.is_some_and(|before| readings != before);
        if !self.is_ready || ends {
            (self.is_ready, self.reading) = (true, None);
            status.clone_into(&mut self.status);
            tell(&[NotifyState::Ready, NotifyState::Status(status)]);
        } else if self.status != status {
            status.clone_into(&mut self.status);
            tell(&[NotifyState::Status(status)]);
        }
    }

    /// Configuration and rules are read again; `readings` have ended before.
    pub(super) fn reading(&mut self, readings: u32) {
        if !self.is_ready || self.reading.is_some() {
            return;
        }
        self.reading = Some(readings);
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "there is no monotonic clock"),
        }
    }

    /// How long an event thread may be silent: its worker is to be another before the service manager loses
    /// its patience with all of the agent.
    pub(super) fn silence(&self) -> Duration {
        self.watchdog.map_or(SILENCE, |limit| SILENCE.min(limit / 2))
    }

    /// The agent lives; told now and then.
    pub(super) fn lives(&mut self) {
        if self.watchdog.is_some_and(|limit| self.told.elapsed() >= limit / TIMES) {
            self.told = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// The agent ends; nothing else is told behind that.
    pub(super) fn ends(&mut self) {
        (self.is_ready, self.watchdog) = (false, None);
        tell(&[NotifyState::Stopping, NotifyState::Status("ending")]);
    }
}

/// Who cannot be told is told nothing: the agent goes on.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
