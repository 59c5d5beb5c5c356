//! Signals, which the guard reads from a descriptor.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::exit::{Exit, Failure};

/// Signals are read from a descriptor; the worker keeps ignoring them, and ends by our word.
pub(crate) fn block_signals() -> Result<SignalFd, Failure> {
    let set: SigSet =
        [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    set.thread_block()
        .and_then(|()| SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC))
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot watch signals: {error}")))
}

/// What signals have told.
#[derive(Default)]
pub(super) struct Told {
    /// End.
    pub(super) stop: bool,
    /// Read again.
    pub(super) reload: bool,
}

/// Reads the waiting signals.
pub(super) fn read_signals(signals: &SignalFd) -> Result<Told, Failure> {
    let mut told = Told::default();
    loop {
        match signals.read_signal() {
            Ok(Some(signal)) => {
                let number = signal.ssi_signo;
                told.reload |= number == Signal::SIGHUP as u32;
                told.stop |= [Signal::SIGTERM, Signal::SIGINT].iter().any(|s| number == *s as u32);
            }
            // A policy on trial may deny even that: it waits until the trial is over.
            Ok(None) | Err(nix::errno::Errno::EPERM | nix::errno::Errno::EACCES) => {
                return Ok(told);
            }
            Err(error) => {
                let message = format!("cannot read signals: {error}");
                return Err(Failure::new(Exit::Internal, message));
            }
        }
    }
}
