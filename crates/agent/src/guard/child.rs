//! The worker as the guard sees it: a child process at the other end of a socket.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::broker::Broker;
use super::user::User;
use crate::cli::{Format, OnExit, RunArgs};
use crate::exit::{Exit, Failure};
use crate::proto;
use crate::state;

/// How long a worker that was told to stop may take before it is killed. Its outputs may be slow.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// How long what an ended worker asked for last may take: lines of the audit log.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// A running worker.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Child,
    socket: OwnedFd,
    /// Does things for it, and ends when it has ended and all is done.
    served: JoinHandle<()>,
    /// When it was started.
    pub(crate) since: Instant,
    /// It has read its rules and subscribed: what it asked for at start was right.
    pub(crate) ready: bool,
    /// When its event thread said last that it goes on.
    pub(crate) heard: Instant,
    /// Readings of rules that had ended by then.
    pub(crate) readings: u32,
}

impl Worker {
    /// Starts one: this same executable, whose standard input is the socket. It is a user of its own with
    /// nothing but the group of that, and works in a directory that is its own. `anew`: its options are not
    /// those of the one before it.
    pub(super) fn spawn(
        args: &RunArgs,
        (user, broker): (&User, &Arc<Broker>),
        (started, restarts): (u64, u32),
        anew: bool,
    ) -> Result<Worker, Failure> {
        let fault = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Internal, format!("cannot start the worker: {error}"))
        };
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|error| fault(&error))?;
        let own = state::prepare(&args.state_dir, user.uid, user.gid)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("aegisbpf-worker").args(arguments(args, started, restarts, anew));
        // By its descriptor: what leads there may be closed to the worker.
        command.current_dir(format!("/proc/self/fd/{}", own.as_raw_fd()));
        if rustix::process::geteuid().is_root() {
            // Other groups are given up with that.
            command.uid(user.uid).gid(user.gid);
        }
        // Only the guard speaks for the agent.
        command.env_remove("NOTIFY_SOCKET").stdin(Stdio::from(theirs));
        let process = command.spawn().map_err(|error| fault(&error))?;
        let (serves, asks) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|error| fault(&error))?;
        let served = broker.start(serves)?;
        proto::send_broker(&ours, asks.as_fd()).map_err(|error| fault(&error))?;
        let now = Instant::now();
        let (heard, since) = (now, now);
        Ok(Worker { process, socket: ours, served, since, ready: false, heard, readings: 0 })
    }

    /// It was ready, and its event thread has said nothing for so long that it never will.
    pub(crate) fn is_stuck(&self, silence: Duration) -> bool {
        self.ready && self.heard.elapsed() > silence
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Our end of the socket.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        match self.process.try_wait() {
            Ok(status) => status,
            Err(error) => {
                tracing::error!(%error, "cannot ask for the worker's state");
                None
            }
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) -> Option<ExitStatus> {
        if let Err(error) = self.process.kill() {
            tracing::warn!(%error, "cannot kill the worker");
        }
        self.process.wait().ok()
    }

    /// Lets it handle what is in the rings, and ends it.
    pub(crate) fn stop(&mut self) {
        if let Err(error) = proto::send_stop(&self.socket) {
            tracing::debug!(%error, "the worker cannot be told to stop");
        }
        let deadline = Instant::now() + STOP_WAIT;
        while self.ended().is_none() {
            if Instant::now() >= deadline {
                tracing::warn!("the worker did not stop in time and is killed");
                self.kill();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A guard that goes takes its worker along, and leaves none of its last lines unwritten.
impl Drop for Worker {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill();
        }
        let deadline = Instant::now() + LAST_WAIT;
        while !self.served.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn arguments(args: &RunArgs, started: u64, restarts: u32, anew: bool) -> Vec<std::ffi::OsString> {
    let mut list: Vec<std::ffi::OsString> = vec!["worker".into()];
    list.extend(["--started".into(), started.to_string().into()]);
    list.extend(["--restarts".into(), restarts.to_string().into()]);
    if !args.forward.is_empty() {
        list.extend(["--kept".into(), args.spool.to_string().into()]);
    }
    list.extend(anew.then(|| "--anew".into()));
    list.extend(["--state-dir".into(), state::OWN.into()]);
    list.extend(options(args));
    list
}

/// The operator's words, for a process of the agent that reads rules.
fn options(args: &RunArgs) -> Vec<std::ffi::OsString> {
    let mut list: Vec<std::ffi::OsString> = Vec::new();
    list.extend(["--runtime-dir".into(), args.runtime_dir.clone().into()]);
    for dir in &args.rules {
        list.extend(["--rules".into(), dir.clone().into()]);
    }
    for dir in &args.packs {
        list.extend(["--packs".into(), dir.clone().into()]);
    }
    for path in &args.suppressions {
        list.extend(["--suppressions".into(), path.clone().into()]);
    }
    for (name, path) in [("--keys", &args.keys), ("--trust", &args.trust)] {
        if let Some(path) = path {
            list.extend([name.into(), path.clone().into()]);
        }
    }
    let output = match args.output {
        Format::Compact => "compact",
        Format::Json => "json",
        Format::Ocsf => "ocsf",
        Format::Cef => "cef",
    };
    list.extend(["--output".into(), output.into()]);
    list.extend(["--max-alerts".into(), args.max_alerts.to_string().into()]);
    for path in &args.policy {
        list.extend(["--policy".into(), path.clone().into()]);
    }
    for (name, who) in [("--user", &args.user), ("--group", &args.group)] {
        if let Some(who) = who {
            list.extend([name.into(), who.into()]);
        }
    }
    if let Some(cgroup) = &args.cgroup {
        list.extend(["--cgroup".into(), cgroup.clone().into()]);
    }
    for peer in &args.isolate_allow {
        list.extend(["--isolate-allow".into(), peer.to_string().into()]);
    }
    if let Some(path) = &args.redact {
        list.extend(["--redact".into(), path.clone().into()]);
    }
    list.extend(["--history".into(), args.history.to_string().into()]);
    let trial = format!("{}s", args.rules_trial.as_secs());
    list.extend(["--rules-trial".into(), trial.into()]);
    let on_exit = match args.on_exit {
        OnExit::Keep => "keep",
        OnExit::Release => "release",
    };
    list.extend(["--on-exit".into(), on_exit.into()]);
    let switches = [
        ("--seccomp", args.seccomp),
        ("--audit", args.audit),
        ("--enforce", args.enforce),
        ("--keep-going", args.keep_going),
        ("--strict", args.strict),
        ("--events", args.events),
        ("--no-alerts", args.no_alerts),
        ("--no-watch", args.no_watch),
    ];
    list.extend(switches.iter().filter(|(_, on)| *on).map(|(name, _)| name.into()));
    list
}

/// The same for one that looks at what the worker keeps, from outside.
pub(super) fn reader_options(args: &RunArgs) -> Vec<std::ffi::OsString> {
    let mut list = options(args);
    list.extend(["--state-dir".into(), state::of_worker(&args.state_dir).into()]);
    list
}

/// The code of an ended process, negative for the signal that killed it.
pub(super) fn exit_code(status: Option<ExitStatus>) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .map_or(-1, |status| status.code().unwrap_or_else(|| -status.signal().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command as Verb};
    use clap::Parser;

    #[test]
    fn the_worker_gets_all_that_the_operator_said() {
        let words = "aegisbpf run --rules a --rules b --packs k --packs l --suppressions s --keys n --trust t --strict --keep-going --runtime-dir /r -o compact \
                     --events --no-alerts --no-watch --max-alerts 7 --policy p --enforce \
                     --state-dir /s --redact /f --cgroup /c --on-exit release --history 8MiB,2h --user u --group g \
                     --seccomp --isolate-allow 192.0.2.1:443 --isolate-allow 2001:db8::/32 --rules-trial 7s";
        let Verb::Run(run) = Cli::parse_from(words.split_whitespace()).command else { panic!() };
        let mut words: Vec<std::ffi::OsString> = vec!["aegisbpf".into()];
        words.extend(arguments(&run, 7, 3, true));
        let Verb::Worker(worker) = Cli::parse_from(words).command else { panic!() };
        // Its state is its own.
        assert_eq!(worker.run.state_dir, std::path::Path::new(state::OWN));
        let told = RunArgs { state_dir: run.state_dir.clone(), ..worker.run };
        assert_eq!(format!("{run:?}"), format!("{told:?}"));
        assert_eq!((worker.started, worker.restarts, worker.anew), (7, 3, true));
    }
}
