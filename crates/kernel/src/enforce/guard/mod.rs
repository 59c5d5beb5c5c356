//! Prevention for files where no LSM program loads: a thread that the kernel asks before protected
//! files are opened, executed or read.
//!
//! Only what is protected has a mark, so other files cost nothing. Who opens a protected file waits
//! for the answer. A request that has waited for [`DEADLINE`] is answered by a second thread, as the
//! operator said; when this process ends, the kernel lets through what waits and all that comes
//! after it: that gap lasts until the guard is back.

mod fanotify;
pub(super) mod hash;
mod layers;
mod marks;
pub mod offer;
mod post;
mod posts;
mod request;

use std::fmt;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use super::programs::running;
use crate::error::Error;
pub use hash::Executed;
use marks::Marks;
use post::{Common, Post, TICK, Totals};
use posts::{Posts, end};
pub use request::{Identity, Inside, Request, Wanted};

/// How long a request may wait for the guard.
pub const DEADLINE: Duration = Duration::from_secs(2);

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

/// The guard. Dropping it lets everything through.
pub struct Guard {
    direct: Arc<Post>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Guard").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl Guard {
    /// Marks what is protected, and answers from then on.
    pub fn start(judge: Box<dyn Judge>) -> Result<Guard, Error> {
        let direct = Post::new(&Common::new(judge))?;
        let mut work =
            Work { posts: Posts::new(&direct), direct: Arc::clone(&direct), marks: Marks::new()? };
        // From the first mark on somebody may wait, so the thread marks, too, and then answers.
        let (ready, begun) = std::sync::mpsc::channel();
        let threads = direct.start("guard", move |_| {
            let marked = work.mark();
            let failed = marked.is_err();
            if ready.send(marked).is_ok() && !failed {
                work.run();
            }
        })?;
        let guard = Guard { direct, threads: threads.into() };
        let gone = |_| Error::io("start the guard", std::io::Error::other("its thread ended"));
        begun.recv().map_err(gone)??;
        Ok(guard)
    }

    /// What it did so far.
    pub fn counters(&self) -> GuardCounters {
        let of = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let Totals { asked, denied, late, unmarked } = &self.direct.common.totals;
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
        self.direct.common.stop.store(true, Ordering::Release);
        end(&mut self.threads, std::iter::once(&*self.direct));
    }
}

/// The thread that marks, and answers for most files.
struct Work {
    direct: Arc<Post>,
    posts: Posts,
    marks: Marks,
}

impl Work {
    /// Marks all that is there. Whoever asks meanwhile is answered as later.
    fn mark(&mut self) -> Result<(), Error> {
        self.marks.begin(&mut *self.direct.common.decider().judge)?;
        while self.marks.waits() {
            self.step()?;
            self.direct.answers();
        }
        // Last, since from then on every open waits for this thread.
        self.marks.filesystems(&mut self.posts, &*self.direct.common.decider().judge)
    }

    /// One step of marking. A disk that does not answer must not keep who asks: after the deadline the
    /// other thread answers.
    fn step(&mut self) -> Result<(), Error> {
        let Work { direct, posts, marks } = self;
        let done = direct.busy(|| marks.step(posts, &mut *direct.common.decider().judge));
        direct.common.totals.unmarked.store(marks.failed(), Ordering::Relaxed);
        done
    }

    fn run(&mut self) {
        while !self.direct.common.is_over() {
            if !self.marks.waits() {
                let mut fds = [
                    PollFd::new(self.direct.group.as_fd(), PollFlags::POLLIN),
                    PollFd::new(self.marks.as_fd(), PollFlags::POLLIN),
                ];
                // An interrupted wait is one that ended.
                let _ready = poll(&mut fds, PollTimeout::from(TICK));
            }
            // New names first: who opens one waits until it has its mark. What cannot be looked at now
            // is looked at in the next round; what cannot be marked is counted.
            let Work { direct, posts, marks } = self;
            let _again = marks.look(posts, &mut *direct.common.decider().judge);
            let _counted = self.step();
            self.direct.answers();
            self.direct.common.decider().held.let_go(Instant::now());
        }
        self.direct.finish();
    }
}
