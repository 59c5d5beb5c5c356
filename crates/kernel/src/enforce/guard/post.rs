//! Where questions about files are answered: a group, a thread that answers, and one that watches it.
//!
//! To tell of a file, the kernel opens it for the thread that reads the question. Where a file is made of
//! others, or served by somebody, that open asks in its turn, and whoever reads waits for an answer. So
//! such filesystems have posts of their own, what their threads ask goes to the post for all other files,
//! which never waits for anybody; and where layers lie upon layers, the thread that watches steps in.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::setpriority_process;
use rustix::thread::gettid;

use super::fanotify::{Asked, Group};
use super::hash::{Executed, Held};
use super::layers::Layers;
use super::request::Request;
use super::{DEADLINE, Judge};
use crate::error::Error;

/// How often who watches looks, and who answers for its end, in milliseconds.
pub(super) const TICK: u16 = 100;
/// How often who steps in looks whether it is still needed, in milliseconds.
const HELP: u16 = 5;
/// Whoever asks waits for these threads, also where all CPUs are busy.
const NICE: i32 = -10;
/// Questions that are answered before marks are looked after again.
const ROUND: usize = 64;

/// What the guard did.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) asked: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) unmarked: AtomicU64,
}

/// Who decides, and what is held meanwhile.
pub(super) struct Decider {
    pub(super) judge: Box<dyn Judge>,
    pub(super) held: Held,
}

/// What all posts of a guard have in common.
pub(super) struct Common {
    decider: Mutex<Decider>,
    layers: Mutex<Layers>,
    pub(super) totals: Totals,
    pub(super) stop: AtomicBool,
    /// Whether what nobody could look at goes through.
    unseen: bool,
}

impl Common {
    pub(super) fn new(judge: Box<dyn Judge>) -> Arc<Common> {
        let unseen = judge.allows_unseen();
        let decider = Mutex::new(Decider { judge, held: Held::default() });
        let (totals, stop) = (Totals::default(), AtomicBool::new(false));
        Arc::new(Common { decider, layers: Mutex::default(), totals, stop, unseen })
    }

    pub(super) fn decider(&self) -> MutexGuard<'_, Decider> {
        lock(&self.decider)
    }

    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Whether a request goes through. A thread of this process never waits for itself.
    fn allows(&self, asked: &Asked) -> bool {
        if is_own(asked.tid) {
            return true;
        }
        self.totals.asked.fetch_add(1, Ordering::Relaxed);
        let Some(request) = Request::of(asked, &self.layers) else { return self.unseen };
        let mut decider = self.decider();
        let Decider { judge, held } = &mut *decider;
        let allow = judge.allows(&request, &mut Executed::of(&asked.file, held));
        if !allow {
            self.totals.denied.fetch_add(1, Ordering::Relaxed);
        }
        allow
    }
}

fn is_own(tid: u32) -> bool {
    Path::new("/proc/self/task").join(tid.to_string()).exists()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread that answers is at.
#[derive(Debug, Default)]
enum Stage {
    /// It waits for requests.
    #[default]
    Waiting,
    /// It reads requests, since then.
    Reading(Instant),
    /// It decides one, since then; the number of its descriptor unless the deadline answered it.
    Deciding(Option<i32>, Instant),
    /// It has ended.
    Ended,
}

/// A group and who answers it.
pub(super) struct Post {
    pub(super) group: Group,
    pub(super) common: Arc<Common>,
    stage: Mutex<Stage>,
}

impl Post {
    pub(super) fn new(common: &Arc<Common>) -> Result<Arc<Post>, Error> {
        let (group, common, stage) = (Group::new()?, Arc::clone(common), Mutex::default());
        Ok(Arc::new(Post { group, common, stage }))
    }

    /// Starts a thread that answers here by `serve`, and the one that watches it.
    pub(super) fn start(
        self: &Arc<Self>,
        name: &str,
        serve: impl FnOnce(&Post) + Send + 'static,
    ) -> Result<[JoinHandle<()>; 2], Error> {
        let of = |name: String| Builder::new().name(name);
        let failed = |error| Error::io("start a thread of the guard", error);
        let (first, second) = (Arc::clone(self), Arc::clone(self));
        let watch = of(format!("{name}-late")).spawn(move || {
            hurry();
            second.watch();
        });
        let watch = watch.map_err(failed)?;
        let serve = of(name.to_owned()).spawn(move || {
            let _over = End(&first);
            hurry();
            serve(&first);
        });
        Ok([serve.map_err(failed)?, watch])
    }

    /// Answers until the guard ends.
    pub(super) fn serve(&self) {
        while !self.common.is_over() {
            wait(&self.group, TICK);
            self.answers();
        }
        self.finish();
    }

    /// Who asked before another guard had its marks is asked about by this one alone.
    pub(super) fn finish(&self) {
        while self.answers() {}
    }

    /// Answers who waits; whether anybody did.
    pub(super) fn answers(&self) -> bool {
        let mut any = false;
        for _ in 0..ROUND {
            let Some(asked) = self.read() else { break };
            any = true;
            *lock(&self.stage) = Stage::Deciding(Some(asked.file.as_raw_fd()), Instant::now());
            let allow = self.common.allows(&asked);
            // Before the descriptor is closed and its number is another's.
            let stage = lock(&self.stage);
            if matches!(*stage, Stage::Deciding(Some(_), _)) {
                self.answer(&asked, allow);
            }
        }
        *lock(&self.stage) = Stage::Waiting;
        any
    }

    fn read(&self) -> Option<Asked> {
        *lock(&self.stage) = Stage::Reading(Instant::now());
        self.group.question().unwrap_or_default()
    }

    /// Does what may take long and is not an answer.
    pub(super) fn busy<T>(&self, work: impl FnOnce() -> T) -> T {
        *lock(&self.stage) = Stage::Deciding(None, Instant::now());
        let done = work();
        *lock(&self.stage) = Stage::Waiting;
        done
    }

    fn answer(&self, asked: &Asked, allow: bool) {
        // Who cannot be answered any more is gone.
        let _answered = self.group.answer(asked, allow);
    }

    /// Answers what has waited for too long, and what waits while the other thread cannot go on.
    fn watch(&self) {
        let common = &self.common;
        loop {
            std::thread::sleep(Duration::from_millis(TICK.into()));
            let mut stage = lock(&self.stage);
            let is_late = match &mut *stage {
                Stage::Reading(since) => {
                    let waits = since.elapsed() >= Duration::from_millis(TICK.into());
                    drop(stage);
                    if waits {
                        self.help();
                    }
                    continue;
                }
                Stage::Ended => true,
                // The other thread was told to end, and answers what waits before it does.
                _ if common.is_over() => false,
                Stage::Waiting => false,
                Stage::Deciding(_, since) if since.elapsed() < DEADLINE => false,
                Stage::Deciding(number, _) => {
                    if let Some(number) = number.take() {
                        common.totals.late.fetch_add(1, Ordering::Relaxed);
                        let _answered = self.group.answer_number(number, common.unseen);
                    }
                    true
                }
            };
            let has_ended = matches!(*stage, Stage::Ended);
            drop(stage);
            if has_ended && common.is_over() {
                return;
            }
            if is_late {
                // Nobody else answers what waits behind it.
                while let Ok(Some(asked)) = self.group.question() {
                    common.totals.late.fetch_add(1, Ordering::Relaxed);
                    self.answer(&asked, common.unseen || is_own(asked.tid));
                }
            }
        }
    }

    /// Answers one by one while the other thread waits for what it reads: it may wait for one of them.
    fn help(&self) {
        while matches!(*lock(&self.stage), Stage::Reading(_)) {
            wait(&self.group, HELP);
            while let Ok(Some(asked)) = self.group.question() {
                self.answer(&asked, self.common.allows(&asked));
            }
        }
    }
}

/// Takes precedence over other threads of this host; without the right to, it is as they are.
fn hurry() {
    let _as_others = setpriority_process(Some(gettid()), NICE);
}

/// Says that the thread that answers has ended, however it did.
struct End<'a>(&'a Post);

impl Drop for End<'_> {
    fn drop(&mut self) {
        *lock(&self.0.stage) = Stage::Ended;
    }
}

/// An interrupted wait is one that ended.
pub(super) fn wait(group: &Group, milliseconds: u16) {
    let mut fds = [PollFd::new(group.as_fd(), PollFlags::POLLIN)];
    let _ready = poll(&mut fds, PollTimeout::from(milliseconds));
}
