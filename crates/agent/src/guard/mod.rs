//! The privileged half: loads the sensors, starts the worker, and keeps both going.
//!
//! It parses nothing foreign but the fixed messages of [`crate::proto`], opens no network, and
//! knows neither rules nor fields.

mod act;
mod backoff;
mod broker;
pub(crate) mod capabilities;
mod changes;
mod child;
mod clock;
mod descriptors;
mod figures;
mod forwarding;
pub(crate) mod image;
pub(crate) mod isolate;
pub(crate) mod namespaces;
mod notify;
mod prevent;
pub(crate) mod quarantine;
mod report;
mod requests;
mod reread;
pub(crate) mod runtime;
mod signals;
mod user;

pub(crate) use act::{end_with_the_guard, print_grants, read_kept};
pub(crate) use prevent::{as_nobody, read_answers, resolve};
pub(crate) use report::{Doctor, failure};
pub(crate) use signals::block_signals;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use capture::audit::Signer;
use kernel::Sensors;
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::set_no_new_privs;

use crate::audit::{self, Audit, Look};
use crate::cli::RunArgs;
use crate::config::Effective;
use crate::exit::{Exit, Failure};
use crate::policy::store::Who;
use crate::proto::{self, ProtoError};
use crate::seccomp;
use crate::state;
use act::{Actor, Scene};
use backoff::Backoff;
use broker::Broker;
use capabilities::Does;
use changes::Changes;
use child::{Worker, exit_code};
use clock::Clock;
use forwarding::Forwarding;
use notify::Notify;
use prevent::{Keeper, Prevention};
use reread::Configured;
use runtime::Runtime;
use signals::read_signals;
use user::User;

/// How long nobody may say that events are handled, workers that are started again and again included,
/// before the service manager is told no more that the agent lives.
const UNHEARD: Duration = Duration::from_mins(3);
/// How long a source may keep to itself what it has not told yet: some do not wake us for each record.
const SERVICE_PERIOD: Duration = Duration::from_millis(50);

/// What can be judged of the options before anything is started: the worker's user, and the key of the audit log. What came
/// from a file is named with its line.
pub(crate) fn check(configured: &Effective) -> Result<(User, Option<Signer>), Failure> {
    let args = &configured.args;
    if args.events && !args.output.is_for_events() {
        let message = "--events prints events as `compact` or `json`; OCSF and CEF are for alerts";
        return Err(configured.blame("events", Failure::new(Exit::Usage, message)));
    }
    forwarding::check(args).map_err(|failure| configured.blame("forward", failure))?;
    let readers = user::readers(args).map_err(|failure| configured.blame("group", failure))?;
    let user = User::find(args, readers).map_err(|failure| configured.blame("user", failure))?;
    let key = audit::key(args.audit_key.as_deref());
    let key = key.map_err(|failure| configured.blame("audit-key", failure))?;
    Ok((user, key))
}

/// Runs until a signal ends it.
pub(crate) fn run(configured: &Effective) -> Result<Exit, Failure> {
    let args = &configured.args;
    let (user, key) = check(configured)?;
    let signals = block_signals()?;
    namespaces::enter(args.enforce)?;
    let files = args.enforce || quarantine::is_there(&args.state_dir);
    capabilities::give_up_the_rest(Does { files, group: user.readers.is_some() })?;
    set_no_new_privs(true).map_err(|error| {
        Failure::new(Exit::Internal, format!("the agent cannot do without new privileges: {error}"))
    })?;
    descriptors::take_all()?;
    state::judge(&args.state_dir)?;
    if args.seccomp {
        seccomp::process(seccomp::Kind::Guard)?;
    }
    let runtime = Runtime::claim(&args.runtime_dir, user.readers)?;
    let audit = Arc::new(Audit::signed(&args.state_dir, args.audit_size.0, key));
    quarantine::settle_at_start(&args.state_dir, &audit);
    let started = seconds_since_boot();
    let broker = Arc::new(Broker::new(args, user.clone(), Arc::clone(&audit)));
    let mut worker = Worker::spawn(args, (&user, &broker), (started, 0), false)?;
    // Nothing is loaded into the kernel for rules that cannot run.
    let mut reload = false;
    if let Some(end) = first_word(&signals, &mut worker, &mut reload)? {
        return Ok(end);
    }
    let sensors = Sensors::load(kernel::Options::default()).map_err(|error| failure(&error))?;
    audit.note("agent-started", about(args, &user));
    let keeper = Keeper::new(args);
    let mut actor = Actor::new(args, child::reader_options(args), Arc::clone(&audit));
    actor.begin()?;
    let mut prevention = Prevention::new(args, Arc::clone(&audit));
    prevention.begin(keeper.begin()?)?;
    let changes = Changes::open(&args.runtime_dir)?;
    let sweeper = isolate::Sweeper::new(&args.runtime_dir, &args.state_dir);
    let backoff = Backoff::new();
    let restarts = 0;
    let mut guard = Guard {
        args,
        user,
        broker,
        sensors,
        prevention,
        keeper,
        actor,
        sweeper,
        changes,
        forwarding: Forwarding::new(args),
        signals,
        served: Instant::now(),
        started,
        look: Look::new(&args.state_dir),
        audit,
        backoff,
        clock: Clock::new(),
        restarts,
        reload,
        configured: Configured::new(configured.clone()),
        notify: Notify::new(),
        heard: Instant::now(),
        readings: 0,
        rules: 0,
    };
    let end = guard.supervise(worker);
    guard.prevention.end();
    guard.forwarding.end();
    // The sensors are detached before the lock is given up.
    drop(guard);
    drop(runtime);
    end
}

/// What is written down of an agent that starts or ends.
fn about(args: &RunArgs, user: &User) -> serde_json::Value {
    serde_json::json!({
        "who": Who::me(),
        "version": env!("CARGO_PKG_VERSION"),
        "user": user.name,
        "mode": if args.enforce { "enforce" } else { "audit" },
        "within_reach": isolate::peers(&args.isolate_allow).iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// Waits until the worker has read its rules; how we end if it ended instead, or a signal came.
fn first_word(
    signals: &SignalFd,
    worker: &mut Worker,
    reload: &mut bool,
) -> Result<Option<Exit>, Failure> {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(worker.socket(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        let waited = rustix::io::retry_on_intr(|| poll(&mut fds, None));
        waited.map_err(|e| Failure::new(Exit::Internal, format!("cannot wait: {e}")))?;
        let [word, signal] = fds.map(|fd| fd.revents());
        if word.contains(PollFlags::IN) && !word.contains(PollFlags::HUP) {
            return Ok(None);
        }
        if !word.is_empty() {
            let code = exit_code(worker.kill());
            let failed = || Failure::new(Exit::Internal, format!("the worker ended with {code}"));
            return Exit::if_final(code).map(Some).ok_or_else(failed);
        }
        if !signal.is_empty() {
            let told = read_signals(signals)?;
            *reload |= told.reload;
            if told.stop {
                return Ok(Some(Exit::Ok));
            }
        }
    }
}

/// Only root can load sensors; say so before the kernel says it in its own words.
pub(crate) fn privilege() -> Result<(), Failure> {
    privilege_for("loading sensors into the kernel needs root")
}

/// The same for what else needs root.
pub(crate) fn privilege_for(what: &str) -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::new(Exit::Permission, what).help("run it with sudo"))
}

fn seconds_since_boot() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or_default()
}

/// What stays while workers come and go.
struct Guard<'a> {
    args: &'a RunArgs,
    user: User,
    broker: Arc<Broker>,
    sensors: Sensors,
    prevention: Prevention,
    keeper: Keeper,
    actor: Actor,
    sweeper: isolate::Sweeper,
    changes: Changes,
    forwarding: Forwarding,
    signals: SignalFd,
    /// When sources and all else that works for a moment at a time got their last one.
    served: Instant,
    started: u64,
    look: Look,
    audit: Arc<Audit>,
    backoff: Backoff,
    clock: Clock,
    restarts: u32,
    /// The worker is to read its rules again as soon as it can be told.
    reload: bool,
    configured: Configured,
    notify: Notify,
    /// When an event thread said last that it goes on.
    heard: Instant,
    /// Readings of rules and configuration that have ended.
    readings: u32,
    /// Rules that run.
    rules: u32,
}

/// Why the wait for descriptors ended.
#[derive(Default)]
struct Ready {
    worker: bool,
    sensors: bool,
    signals: bool,
}

impl Guard<'_> {
    fn supervise(&mut self, first: Worker) -> Result<Exit, Failure> {
        let mut worker = first;
        loop {
            self.greet(&worker);
            let Some(code) = self.serve(&mut worker)? else {
                self.notify.ends();
                worker.stop();
                return Ok(Exit::Ok);
            };
            // It has said on standard error what is wrong. What a directory lacks may be there again: the agent
            // has run with it before.
            let end = Exit::if_final(code).filter(|end| *end != Exit::RuntimeDir);
            if let Some(end) = end.filter(|_| !worker.ready) {
                return Ok(end);
            }
            self.prevention.suffered();
            let lived = worker.since.elapsed();
            let delay = self.backoff.delay(lived);
            tracing::error!(
                pid = worker.pid(),
                code,
                lived_ms = u64::try_from(lived.as_millis()).unwrap_or(u64::MAX),
                delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                "the worker ended and is started again; events wait in the rings"
            );
            if self.pause(delay)? {
                return Ok(Exit::Ok);
            }
            self.restarts = self.restarts.saturating_add(1);
            let Some(next) = self.another()? else { return Ok(Exit::Ok) };
            worker = next;
        }
    }

    /// Starts a worker, as often as it takes: what is missing now (memory, descriptors, a disk that can be
    /// written) may be there again, and an agent that ends would end enforcement. `None` when a signal ends us.
    fn another(&mut self) -> Result<Option<Worker>, Failure> {
        loop {
            let (options, who) = (&self.configured.now.args, (&self.user, &self.broker));
            let failure = match Worker::spawn(options, who, (self.started, self.restarts), false) {
                Ok(worker) => return Ok(Some(worker)),
                Err(failure) => failure,
            };
            let delay = self.backoff.delay(Duration::ZERO);
            tracing::error!(%failure, "no worker can be started: it is tried again; what is in force stays so");
            if self.pause(delay)? {
                return Ok(None);
            }
        }
    }

    /// Hands over the rings. From now on the worker's own doings are the agent's.
    fn greet(&mut self, worker: &Worker) {
        self.set_own(worker.pid());
        if let Err(error) = proto::send_rings(worker.socket(), self.sensors.ring_fds()) {
            tracing::error!(%error, "cannot hand the rings to the worker");
        }
        if std::mem::take(&mut self.reload) {
            self.reread(worker);
        }
    }

    /// Says whose doings are the agent's own. An alert about the write of an alert would never end.
    fn set_own(&mut self, worker: u32) {
        let own = [Some(std::process::id()), Some(worker), self.forwarding.pid()];
        let own: Vec<u32> = own.into_iter().flatten().filter(|pid| *pid != 0).collect();
        if let Err(error) = self.sensors.set_own(&own) {
            tracing::error!(%error, "what the agent itself does will be reported");
        }
    }

    /// Serves one worker: its exit code when it ends, `None` when a signal ends us.
    fn serve(&mut self, worker: &mut Worker) -> Result<Option<i32>, Failure> {
        loop {
            let ready = self.wait(Some(worker), None)?;
            if ready.signals {
                let told = read_signals(&self.signals)?;
                if told.stop {
                    return Ok(None);
                }
                if told.reload {
                    self.reread(worker);
                }
            }
            if ready.sensors {
                self.service(worker.pid());
                self.tell(worker);
            }
            if ready.worker
                && let Err(error) = self.requests(worker)
            {
                // It has gone, or it says what no worker of ours says.
                if !matches!(error, ProtoError::Gone) {
                    tracing::error!(%error, "the worker broke the protocol and is ended");
                }
                return Ok(Some(exit_code(worker.kill())));
            }
            if worker.ready && self.clock.was_set() {
                self.tell_time_anew(worker);
            }
            self.hand_over(worker);
            if worker.is_stuck(self.notify.silence()) {
                tracing::error!(
                    pid = worker.pid(),
                    "the event thread is stuck: the worker is ended"
                );
                self.audit.note("worker-stuck", serde_json::json!({ "pid": worker.pid() }));
                return Ok(Some(exit_code(worker.kill())));
            }
            if ready.signals
                && let Some(status) = worker.ended()
            {
                return Ok(Some(exit_code(Some(status))));
            }
        }
    }

    /// Waits before a restart; true when a signal ends us meanwhile. User-space sources go on.
    fn pause(&mut self, delay: Duration) -> Result<bool, Failure> {
        let until = Instant::now() + delay;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let ready = self.wait(None, Some(left))?;
            if ready.signals {
                let told = read_signals(&self.signals)?;
                // The next worker is told.
                self.reload |= told.reload;
                if told.stop {
                    return Ok(true);
                }
            }
            if ready.sensors {
                self.service(0);
            }
        }
    }

    fn wait(&self, worker: Option<&Worker>, limit: Option<Duration>) -> Result<Ready, Failure> {
        let sensors = self.sensors.poll_fd();
        let signals = self.signals.as_fd();
        let mut fds = vec![
            PollFd::from_borrowed_fd(signals, PollFlags::IN),
            PollFd::from_borrowed_fd(sensors, PollFlags::IN),
        ];
        if let Some(worker) = worker {
            fds.push(PollFd::from_borrowed_fd(worker.socket(), PollFlags::IN));
        }
        let fixed = fds.len();
        let others = self.prevention.fds().chain(self.changes.fds()).chain(self.configured.fd());
        fds.extend(others.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let limit = limit.map_or(SERVICE_PERIOD, |limit| limit.min(SERVICE_PERIOD));
        let limit = Some(Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        match poll(&mut fds, limit.as_ref()) {
            Ok(0) => return Ok(Ready { sensors: true, ..Ready::default() }),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
            Err(error) => {
                return Err(Failure::new(Exit::Internal, format!("cannot wait: {error}")));
            }
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let heard = ready.clone().skip(fixed).any(|ready| ready);
        let mut next = || ready.next().unwrap_or(false);
        let (signals, sensors) = (next(), next());
        // A worker that has much to say keeps nobody else from their turn.
        let sensors = sensors || heard || self.served.elapsed() >= SERVICE_PERIOD;
        Ok(Ready { signals, sensors, worker: worker.is_some() && next() })
    }

    fn service(&mut self, worker: u32) {
        self.served = Instant::now();
        if let Err(error) = self.sensors.service() {
            tracing::warn!(%error, "a sensor could not be read");
        }
        self.prevention.service();
        self.keeper.service(self.prevention.about());
        self.actor.service(self.scene(worker));
        self.sweeper.service();
        self.change();
        if self.forwarding.service() {
            self.set_own(worker);
        }
        self.look.service();
        if self.heard.elapsed() < UNHEARD {
            self.notify.lives();
        }
    }

    /// Lets the service manager know what runs.
    fn tell_ready(&mut self, worker: &Worker) {
        if worker.ready {
            let (rules, mode) = (self.rules, self.prevention.mode());
            self.notify.ready(self.readings, &format!("{rules} rules run; {mode}"));
        }
    }

    fn scene(&self, worker: u32) -> Scene {
        Scene { worker, off: self.prevention.is_off() }
    }

    /// Tells the worker what was denied, and what else belongs among the alerts.
    fn tell(&mut self, worker: &Worker) {
        if !worker.ready {
            return;
        }
        if let Some((denials, text)) = self.prevention.fresh()
            && let Err(error) = proto::send_denials(worker.socket(), &text)
        {
            tracing::debug!(%error, "the worker is not told what was denied");
            self.prevention.untold(denials);
        }
        if let Some(notice) = self.actor.next_notice()
            && let Err(error) = proto::send_notice(worker.socket(), &notice.to_string())
        {
            tracing::debug!(%error, "the worker is not told what the guard has to say");
            self.actor.untold(notice);
        }
    }
}

fn reload(worker: &Worker) {
    if let Err(error) = proto::send_reload(worker.socket()) {
        tracing::error!(%error, "the worker cannot be told to read the rules again");
    }
}
