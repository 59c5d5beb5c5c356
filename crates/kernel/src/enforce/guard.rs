//! Prevention for files where no LSM program loads: a thread that the kernel asks before protected
//! files are opened, executed or read.
//!
//! Only what is protected has a mark, so other files cost nothing. Who opens a protected file waits
//! for the answer. A request that has waited for [`DEADLINE`] is answered by a second thread, as the
//! operator said; when this process ends, the kernel lets through what waits and all that comes
//! after it: that gap lasts until the guard is back.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::fanotify::{Asked, Group};
pub use super::guard_hash::Executed;
use super::guard_hash::Held;
use super::guard_marks::Marks;
pub use super::guard_request::{Identity, Request, Wanted};
pub use super::programs::running;
use crate::error::Error;

/// How long a request may wait for the guard.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// How often the second thread looks, and the first one for its end.
const TICK: u16 = 100;

/// Decides: who loads the guard knows policies, this crate does not.
pub trait Judge: Send {
    /// Whether names anywhere may be protected, so that whole filesystems must be marked.
    fn everywhere(&self) -> bool;
    /// Whether programs are known by what they hold, so that it is asked before anything is executed.
    fn executables(&self) -> bool;
    /// Files that are protected by their whole path.
    fn named(&self) -> Vec<PathBuf>;
    /// Whether something below a directory may be protected, by the path that the host sees.
    fn below(&mut self, directory: &Path) -> bool;
    /// Whether a file right in a directory may be protected, there or not: then all files in it are
    /// asked about.
    fn children(&mut self, directory: &Path) -> bool;
    /// Whether a file is protected under this path.
    fn concerns(&self, file: &Path) -> bool;
    /// A file that gets a mark of its own: it stays protected whatever becomes of its name.
    fn known(&mut self, file: Identity, path: &Path);
    /// Something was mounted or unmounted.
    fn remounted(&mut self);
    /// Whether a request goes through. What is hashed for it is hashed of `file`.
    fn allows(&mut self, request: &Request, file: &mut Executed) -> bool;
    /// Whether what could not even be looked at, or was not answered in time, goes through.
    fn allows_unseen(&self) -> bool;
}

/// What the guard did.
#[derive(Debug, Default)]
struct Totals {
    asked: AtomicU64,
    denied: AtomicU64,
    late: AtomicU64,
    unmarked: AtomicU64,
}

/// What the guard did since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GuardCounters {
    /// Requests that waited for an answer.
    pub asked: u64,
    /// Requests that were denied.
    pub denied: u64,
    /// Requests that the deadline answered.
    pub late: u64,
    /// Files and directories that could not be marked.
    pub unmarked: u64,
}

/// What the first thread is at.
#[derive(Debug, Default)]
enum Stage {
    /// It waits for requests.
    #[default]
    Waiting,
    /// It decides one, since then; the number of its descriptor unless the deadline answered it.
    Deciding(Option<i32>, Instant),
    /// It has ended.
    Ended,
}

type Current = Arc<Mutex<Stage>>;

/// The guard. Dropping it lets everything through.
#[derive(Debug)]
pub struct Guard {
    stop: Arc<AtomicBool>,
    totals: Arc<Totals>,
    threads: Vec<JoinHandle<()>>,
}

impl Guard {
    /// Marks what is protected, and answers from then on.
    pub fn start(judge: Box<dyn Judge>) -> Result<Guard, Error> {
        let group = Group::new()?;
        let other = group.share()?;
        let (stop, totals) = (Arc::new(AtomicBool::new(false)), Arc::new(Totals::default()));
        let current = Current::default();
        let unseen = judge.allows_unseen();
        let marks = Marks::new()?;
        let mut work = Work {
            group,
            marks,
            judge,
            totals: Arc::clone(&totals),
            current: Arc::clone(&current),
            held: Held::default(),
        };
        // From the first mark on somebody may wait, so the thread marks, too, and then answers.
        let (ready, begun) = std::sync::mpsc::channel();
        let halt = Arc::clone(&stop);
        let first = Builder::new().name("guard".to_owned()).spawn(move || {
            let marked = work.mark();
            let failed = marked.is_err();
            let _waiting = End(Arc::clone(&work.current));
            let told = ready.send(marked).is_ok();
            if told && !failed {
                work.run(&halt);
            }
        });
        let first = first.map_err(|error| Error::io("start the guard's thread", error))?;
        let watch = Watch { group: other, current, totals: Arc::clone(&totals), unseen };
        let halt = Arc::clone(&stop);
        let second = Builder::new().name("guard-deadline".to_owned());
        let second = second.spawn(move || watch.run(&halt));
        let second = second.map_err(|error| Error::io("start the guard's deadline", error))?;
        let guard = Guard { stop, totals, threads: vec![first, second] };
        let gone = |_| Error::io("start the guard", std::io::Error::other("its thread ended"));
        begun.recv().map_err(gone)??;
        Ok(guard)
    }

    /// What it did so far.
    pub fn counters(&self) -> GuardCounters {
        let of = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let Totals { asked, denied, late, unmarked } = &*self.totals;
        let (asked, denied, late, unmarked) = (of(asked), of(denied), of(late), of(unmarked));
        GuardCounters { asked, denied, late, unmarked }
    }

    /// Whether it still answers.
    pub fn is_alive(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to do.
            let _ended = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that the first thread has ended, however it did.
struct End(Current);

impl Drop for End {
    fn drop(&mut self) {
        *lock(&self.0) = Stage::Ended;
    }
}

/// The thread that answers.
struct Work {
    group: Group,
    marks: Marks,
    judge: Box<dyn Judge>,
    totals: Arc<Totals>,
    current: Current,
    held: Held,
}

impl Work {
    /// Marks all that is there. Whoever asks meanwhile is answered as later.
    fn mark(&mut self) -> Result<(), Error> {
        self.marks.begin(&mut *self.judge)?;
        while self.marks.waits() {
            self.step()?;
            self.answers();
        }
        // Last, since from then on every open waits for this thread.
        self.marks.filesystems(&self.group, &*self.judge)
    }

    /// One step of marking. A disk that does not answer must not keep who asks: after the deadline the
    /// other thread answers.
    fn step(&mut self) -> Result<(), Error> {
        *lock(&self.current) = Stage::Deciding(None, Instant::now());
        let done = self.marks.step(&self.group, &mut *self.judge);
        *lock(&self.current) = Stage::Waiting;
        self.totals.unmarked.store(self.marks.failed(), Ordering::Relaxed);
        done
    }

    fn run(&mut self, stop: &AtomicBool) {
        use std::os::fd::AsFd;
        while !stop.load(Ordering::Acquire) {
            if !self.marks.waits() {
                let mut fds = [
                    PollFd::new(self.group.as_fd(), PollFlags::POLLIN),
                    PollFd::new(self.marks.as_fd(), PollFlags::POLLIN),
                ];
                // An interrupted wait is one that ended.
                let _ready = poll(&mut fds, PollTimeout::from(TICK));
            }
            // New names first: who opens one waits until it has its mark. What cannot be looked at now
            // is looked at in the next round; what cannot be marked is counted.
            let _again = self.marks.look(&self.group, &mut *self.judge);
            let _counted = self.step();
            self.answers();
            self.held.let_go(Instant::now());
        }
        // Who asked before another guard had its marks is asked about by this one alone.
        while self.answers() {}
    }

    /// Answers who waits; whether anybody did.
    fn answers(&mut self) -> bool {
        let questions = self.group.questions().unwrap_or_default();
        for asked in &questions {
            self.answer(asked);
        }
        !questions.is_empty()
    }

    fn answer(&mut self, asked: &Asked) {
        *lock(&self.current) = Stage::Deciding(Some(asked.file.as_raw_fd()), Instant::now());
        self.totals.asked.fetch_add(1, Ordering::Relaxed);
        let allow = is_own(asked.tid)
            || match Request::of(asked) {
                Some(request) => {
                    let mut file = Executed::of(&asked.file, &mut self.held);
                    self.judge.allows(&request, &mut file)
                }
                None => self.judge.allows_unseen(),
            };
        if !allow {
            self.totals.denied.fetch_add(1, Ordering::Relaxed);
        }
        // Before the descriptor is closed and its number is another's.
        let mut current = lock(&self.current);
        if matches!(*current, Stage::Deciding(Some(_), _)) {
            // Who cannot be answered any more is gone.
            let _answered = self.group.answer(asked, allow);
        }
        *current = Stage::Waiting;
    }
}

/// A thread of this process never waits for itself.
fn is_own(tid: u32) -> bool {
    Path::new("/proc/self/task").join(tid.to_string()).exists()
}

/// The thread that answers what has waited for too long.
struct Watch {
    group: Group,
    current: Current,
    totals: Arc<Totals>,
    unseen: bool,
}

impl Watch {
    fn run(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(TICK.into()));
            let mut current = lock(&self.current);
            // The first thread was told to end, and what waits is let through, or denied by the guard
            // that is there instead.
            if stop.load(Ordering::Acquire) {
                return;
            }
            match &mut *current {
                Stage::Waiting => continue,
                Stage::Deciding(_, since) if since.elapsed() < DEADLINE => continue,
                Stage::Deciding(number, _) => {
                    if let Some(number) = number.take() {
                        self.totals.late.fetch_add(1, Ordering::Relaxed);
                        let _answered = self.group.answer_number(number, self.unseen);
                    }
                }
                Stage::Ended => {}
            }
            drop(current);
            // Nobody else answers what waits behind it.
            for asked in self.group.questions().unwrap_or_default() {
                self.totals.late.fetch_add(1, Ordering::Relaxed);
                let _answered = self.group.answer(&asked, self.unseen);
            }
        }
    }
}
