//! The event thread: from a record in a ring to an alert, in one call stack.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use engine::Engine;
use kernel::rings::Rings;
use model::interest::Interest;
use model::wire::Record;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value as Json;
use tokio::sync::oneshot;

use super::acts::Acts;
use super::arms::Arms;
use super::board::{Board, Figures};
use super::changes::Changing;
use super::control::untaxed;
use super::denied::Denied;
use super::generations::Ask;
use super::health::processor_time;
use super::hub::Command;
use super::link::{Asker, Link, News};
use super::output::Output;
use super::publisher::Publisher;
use super::recorder::Recorder;
use super::resolver::Resolver;
use super::scripts;
use super::settle::Settling;
use super::snapshot;
use super::suppressing::Suppressing;
use super::taken::Taken;
use crate::audit::Audit;
use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::proto::{Request, WATCH_MAX};

/// Records handled before anything else gets its turn.
const BUDGET: usize = 4096;
/// The same at start and end, where the time is short.
const BUDGET_CATCHING_UP: usize = 256;
/// Longest wait for records: clients and the guard are noticed within it.
const WAIT: Duration = Duration::from_millis(50);
/// How often figures are published and clients that left are forgotten.
const TICK: Duration = Duration::from_millis(200);
/// How long the records that wait may take at start and end: a flood must not keep the agent from
/// answering or ending.
const LAST: Duration = Duration::from_secs(1);
/// How long after its time a record may come: what some sources in user space need, with room. No
/// rule is told earlier that something did not happen.
const LATE: Duration = Duration::from_millis(500);
/// How often the health of rules is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the files with names are looked at.
const NAMES: Duration = Duration::from_secs(2);

/// What the event thread owns.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(super) engine: Engine,
    resolver: Resolver,
    pub(super) publisher: Publisher,
    pub(super) recorder: Recorder,
    pub(super) rules_want: Interest,
    asked: Interest,
    pub(super) subscriptions: u64,
    malformed: u64,
    pub(super) taken: Taken,
    pub(super) board: Arc<Board>,
    pub(super) guard: Asker,
    pub(super) changing: Changing,
    settling: Settling,
    pub(super) arms: Arms,
    pub(super) acts: Acts,
    pub(super) scripts: scripts::Watch,
    pub(super) audit: Arc<Audit>,
    pub(super) suppressing: Suppressing,
    denied: Denied,
    show_events: bool,
}

impl Worker {
    /// A worker that has seen nothing yet.
    pub(crate) fn new(
        engine: Engine,
        rules_want: Interest,
        (publisher, recorder): (Publisher, Recorder),
        (arms, acts, scripts): (Arms, Acts, Arc<[scripts::Info]>),
        (args, changing, audit, suppressing): (&RunArgs, Changing, Arc<Audit>, Suppressing),
        board: Arc<Board>,
        guard: Asker,
    ) -> Worker {
        warn_of_watches(&rules_want);
        Worker {
            engine,
            resolver: Resolver::new(),
            publisher,
            recorder,
            rules_want,
            asked: Interest::default(),
            subscriptions: 0,
            malformed: 0,
            taken: Taken::new(),
            board,
            guard,
            changing,
            settling: Settling::default(),
            arms,
            acts,
            scripts: watch_of(scripts),
            audit,
            suppressing,
            denied: Denied::default(),
            show_events: args.events,
        }
    }

    /// Tells the guard that there are rules that want something done, if there are.
    pub(crate) fn introduce(&self) -> Result<(), Failure> {
        self.pulse();
        if self.acts.is_empty() { Ok(()) } else { self.guard.ask(&Request::Rules) }
    }

    /// Tells the guard that this thread goes on.
    pub(super) fn pulse(&self) {
        let rules = u32::try_from(self.publisher.health.infos().len()).unwrap_or(u32::MAX);
        self.guard.offer(&Request::Pulse(rules, self.changing.readings));
    }

    /// Asks the sensors for what rules and clients need, if that has changed.
    pub(crate) fn subscribe(&mut self) -> Result<(), Failure> {
        let mut wanted = self.rules_want.clone();
        wanted.kinds = wanted.kinds.union(self.publisher.hub.wants());
        if self.show_events && self.subscriptions > 0 {
            wanted.kinds = wanted.kinds.union(untaxed(self.board.taxing()));
        }
        if self.subscriptions == 0 || wanted != self.asked {
            self.guard.ask(&Request::Subscribe(wanted.clone()))?;
            self.asked = wanted;
            self.subscriptions += 1;
        }
        Ok(())
    }

    /// Takes the processes that were there before.
    pub(crate) fn read_snapshot(&mut self, fd: OwnedFd) {
        let Worker { engine, resolver, recorder, .. } = self;
        let taken = snapshot::read(fd, &mut |record| {
            resolver.answer(engine, recorder, record);
            recorder.record(record.as_bytes());
            engine.push(record, &mut |_, _| {});
        });
        match taken {
            Ok(taken) => {
                self.malformed += taken.malformed;
                tracing::info!(processes = taken.processes, "processes that were there before");
            }
            Err(error) => tracing::error!(%error, "the processes cannot be listed in full"),
        }
    }

    /// Handles what waited in the rings while there was no worker, before anything else can go
    /// wrong: a worker that answers has caught up.
    pub(crate) fn catch_up(&mut self, rings: &mut Rings) {
        let end = Instant::now() + LAST;
        while self.drain(rings, now_ns(), BUDGET_CATCHING_UP) > 0 && Instant::now() < end {}
        self.publisher.output.settle(LAST);
        self.settling.step(rings, &self.publisher.output);
    }

    /// Works until the guard says stop, or has gone.
    pub(crate) fn work(
        mut self,
        mut rings: Rings,
        link: &Link,
        commands: &Receiver<Command>,
    ) -> Result<Exit, Failure> {
        let [mut tick, mut names, mut look] = [Instant::now(); 3];
        loop {
            self.taken.waiting = rings.waiting();
            match link.news() {
                Some(News::Gone) => {
                    // What was found is told, also when nothing more can be found.
                    self.tell_denials(u64::MAX);
                    self.publisher.output.settle(LAST);
                    return Ok(Exit::Ok);
                }
                Some(News::Stop) => break,
                Some(News::Snapshot(fd)) => self.read_snapshot(fd),
                Some(News::Denials(json)) => self.denied.take(&json, now_ns()),
                Some(News::Notice(json)) => self.publisher.notice(&json),
                None => {}
            }
            while let Ok(command) = commands.try_recv() {
                self.command(command)?;
            }
            self.hear(link.wants_reload());
            self.take_rules()?;
            let now = Instant::now();
            if now.duration_since(tick) >= TICK {
                tick = now;
                self.tick()?;
            }
            if now.duration_since(look) >= LOOK {
                look = now;
                let notices = self.publisher.health.look(now_ns() / 1_000_000_000);
                self.publisher.notices(notices);
                self.look_at_trial();
                self.pulse();
            }
            if now.duration_since(names) >= NAMES {
                names = now;
                self.resolver.refresh(&mut self.engine, &mut self.recorder);
                if self.recorder.is_on() {
                    // What the kernel lost belongs into the recording; the answer is on the board.
                    self.guard.ask(&Request::Counters)?;
                }
            }
            let time = now_ns();
            let handled = self.drain(&mut rings, time, BUDGET);
            self.tell_denials(time);
            if handled == 0 {
                self.pass(time);
                let internal = |e| Failure::new(Exit::Internal, format!("cannot wait: {e}"));
                rings.wait(WAIT).map_err(internal)?;
            }
        }
        // What happened before the word to stop is handled, whatever the merge window.
        let end = Instant::now() + LAST;
        while self.drain(&mut rings, u64::MAX, BUDGET_CATCHING_UP) > 0 && Instant::now() < end {}
        self.tell_denials(u64::MAX);
        let notices = self.publisher.health.finish();
        self.publisher.notices(notices);
        self.publish_figures();
        self.recorder.finish();
        self.publisher.finish();
        Ok(Exit::Ok)
    }

    fn drain(&mut self, rings: &mut Rings, now: u64, budget: usize) -> usize {
        let Worker {
            engine,
            resolver,
            publisher,
            recorder,
            malformed,
            taken,
            arms,
            acts,
            guard,
            suppressing,
            ..
        } = self;
        let handled = rings.drain_until(now, budget, &mut |bytes| {
            let lines = publisher.output.accepted();
            match Record::parse(bytes) {
                Ok(record) => {
                    taken.count(record.kind());
                    resolver.answer(engine, recorder, &record);
                    recorder.record(record.as_bytes());
                    let is_sample = publisher.health.wants_sample();
                    let begun = is_sample.then(processor_time);
                    if is_sample {
                        engine.measure_next(processor_time);
                    }
                    let (mut is_event, mut acting) = (false, None);
                    let time = record.header().time;
                    engine.push(&record, &mut |view, matches| {
                        is_event = true;
                        acting = view.acting();
                        for matched in matches {
                            recorder.matched(matched);
                        }
                        let matches = suppressing.left(Some(view), matches);
                        acts.tell(&matches, Some(view), time, guard);
                        publisher.event(view, &matches);
                    });
                    if let Some(process) = acting.filter(|_| !engine.near().is_empty()) {
                        arms.tell(engine.near(), process, record.header().time, guard);
                    }
                    if let Some(begun) = begun.filter(|_| is_event) {
                        taken.times.add(processor_time().saturating_sub(begun));
                        publisher.health.sample(engine.costs());
                    }
                }
                Err(error) => {
                    recorder.record(bytes);
                    *malformed += 1;
                    tracing::debug!(%error, "a record cannot be decoded");
                }
            }
            // What is still on its way out would be lost with this process.
            publisher.output.accepted() == lines
        });
        self.settling.step(rings, &self.publisher.output);
        handled
    }

    /// Tells what was denied, by who is known now or, some time after it came, as it is.
    fn tell_denials(&mut self, now: u64) {
        while let Some(document) = self.denied.next(&self.engine, now) {
            self.publisher.denial(document);
        }
    }

    /// All records have been handled: time goes on without them.
    fn pass(&mut self, now: u64) {
        let late = u64::try_from(LATE.as_nanos()).unwrap_or(u64::MAX);
        let Worker { engine, publisher, recorder, acts, guard, suppressing, .. } = self;
        let now = now.saturating_sub(late);
        recorder.tick(now);
        engine.tick(now, &mut |matched| {
            recorder.matched(matched);
            for matched in suppressing.left(None, std::slice::from_ref(matched)).iter() {
                acts.tell(std::slice::from_ref(matched), None, now, guard);
                publisher.late(matched);
            }
        });
    }

    fn command(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Recent(stream, answer) => {
                tell(answer, self.publisher.hub.recent(stream));
            }
            Command::Join(client, answer) => {
                let joined = self.publisher.hub.join(*client);
                self.subscribe()?;
                tell(answer, joined.then_some(self.subscriptions));
            }
            Command::Reload(ask, accept, answer) => {
                if matches!(ask, Ask::Directories(_)) {
                    self.suppressing.ask();
                }
                self.changing.reloader.ask(ask, accept, Some(answer));
            }
            Command::Release { name, who, reason, answer } => {
                tell(answer, self.release(&name, who, &reason));
            }
            Command::Record(frames, answer) => {
                let joined = self.recorder.join(frames, &self.engine);
                tell(answer, joined);
            }
            Command::Metrics(answer) => {
                tell(answer, self.metrics());
            }
            Command::Incidents(answer) => {
                tell(answer, self.publisher.incidents());
            }
            Command::Suppressions(answer) => {
                tell(answer, self.suppressing.document());
            }
            Command::Rules(answer) => {
                let health = &self.publisher.health;
                let figures = health.figures(self.engine.counters());
                let infos = Arc::clone(health.infos());
                let mut scripts = self.scripts.list(self.engine.scripts());
                for reason in scripts.iter_mut().filter_map(|one| one.get_mut("quarantined")) {
                    if let Json::String(reason) = reason {
                        self.publisher.conceal(reason);
                    }
                }
                tell(answer, (infos, figures, scripts));
            }
        }
        Ok(())
    }

    /// Tells what scripts did beyond their terms since the last time.
    pub(super) fn take_incidents(&mut self) {
        if self.scripts.is_empty() {
            return;
        }
        let mut incidents = self.engine.scripts().incidents();
        for incident in &mut incidents {
            self.publisher.conceal(&mut incident.detail);
            self.changing.incident(incident, &self.scripts);
        }
        for told in self.scripts.take(incidents, &self.audit) {
            self.publisher.script(&told);
        }
    }

    /// Asks a script again that was in quarantine; whether there was one of that name.
    fn release(&mut self, name: &str, who: u32, reason: &str) -> bool {
        let mut released = false;
        for number in self.scripts.named(name) {
            released |= self.engine.scripts().release(number);
        }
        if released {
            self.recorder.released(name);
            let about = serde_json::json!({ "script": name, "uid": who, "reason": reason });
            self.audit.note("script-released", about);
        }
        released
    }

    fn tick(&mut self) -> Result<(), Failure> {
        self.take_incidents();
        self.suppressing.look(&mut self.publisher, &self.audit);
        self.publisher.hub.tidy();
        self.publisher.output.tidy();
        self.publisher.keep_incidents();
        self.recorder.counters(&self.board.counters());
        self.recorder.tidy(&self.engine);
        self.subscribe()?;
        self.publish_figures();
        Ok(())
    }

    /// Lets the control socket know how far we are.
    pub(crate) fn publish_figures(&mut self) {
        let (script_calls, script_violations, script_quarantined) =
            self.scripts.sums(self.engine.scripts());
        let (stats, publisher) = (self.engine.stats(), &self.publisher);
        let [rules_slow, rules_noisy] = publisher.health.ailing();
        let recorded = self.recorder.figures();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.board.put_figures(Figures {
            seen: publisher.seen(),
            events: stats.events,
            malformed: self.malformed,
            alerts: publisher.alerts(),
            alerts_suppressed: publisher.health.suppressed(),
            alerts_covered: self.suppressing.covered(),
            rules_slow,
            rules_noisy,
            alerts_repeated: stats.repeats,
            output_dropped: publisher.output.stdout.dropped(),
            spool_dropped: publisher.output.spool.as_ref().map_or(0, Output::dropped),
            processes: count(stats.table.running),
            processes_ended: count(stats.table.ended),
            processes_evicted: stats.table.evicted,
            image_bytes: count(stats.table.image_bytes),
            member_bytes: count(stats.document_bytes),
            members_evicted: stats.documents_evicted,
            partials_evicted: stats.evictions,
            unresolved: stats.table.unresolved,
            clients: count(publisher.hub.clients()),
            script_calls,
            script_violations,
            script_quarantined,
            audit_lost: self.audit.lost(),
            recordings: recorded.recordings,
            actions_asked: self.acts.asked(),
            actions_left_out: self.acts.left_out(),
            recording_lost: recorded.lost,
            recording_frames_lost: recorded.frames_lost,
        });
    }
}

/// Answers a client, unless it has left.
fn tell<T>(client: oneshot::Sender<T>, answer: T) {
    if client.send(answer).is_err() {
        tracing::debug!("a client left while it asked");
    }
}

fn watch_of(scripts: Arc<[scripts::Info]>) -> scripts::Watch {
    let mut watch = scripts::Watch::default();
    watch.replace(scripts);
    watch
}

pub(super) fn warn_of_watches(interest: &Interest) {
    if interest.watch.len() > WATCH_MAX {
        tracing::warn!(
            watches = interest.watch.len(),
            limit = WATCH_MAX,
            "the rules name more files than can be watched; the rest is not"
        );
    }
}

/// Now, on the clock of the records.
pub(super) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}
