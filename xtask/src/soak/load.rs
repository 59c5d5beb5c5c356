//! What the host does meanwhile: programs that a rule is about, opens of a file that is watched, connections. At a
//! steady rate, so that one round is like another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::bench::flood::MARK;
use crate::sh;

/// How often a portion of each is done.
const PERIOD: Duration = Duration::from_millis(500);
/// Programs in it that each raise an alert: some megabytes of alerts in a minute.
const MARKS: u64 = 5;
/// Programs that no rule is about.
const PROGRAMS: u64 = 10;
/// Opens of the watched file. They are not counted: where fanotify tells them, the same open of one process is told once
/// while the first waits.
const OPENS: u64 = 1_000;
/// Connections.
const CONNECTS: u64 = 20;

/// Programs that do these.
const LOADS: u64 = 4;

/// What was done so far.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) marks: AtomicU64,
    /// Programs, those that do it included.
    pub(super) programs: AtomicU64,
}

/// Work that goes on until it is told to stop.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Load {
    /// Begins.
    pub(super) fn start(watched: PathBuf, done: Arc<Done>) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                let begin = Instant::now();
                portion(&watched, &done)?;
                std::thread::sleep(PERIOD.saturating_sub(begin.elapsed()));
            }
            Ok(())
        });
        Load { stop, thread }
    }

    /// Ends, when what was begun is done.
    pub(super) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        match self.thread.join() {
            Ok(done) => done,
            Err(_) => bail!("the load panicked"),
        }
    }
}

fn portion(watched: &Path, done: &Done) -> Result<()> {
    // Each mark is another one, in all rounds.
    let from = done.marks.load(Ordering::Acquire);
    let prefix = format!("{MARK}{from}.");
    let (marks, programs) = (MARKS.to_string(), PROGRAMS.to_string());
    let (opens, connects) = (OPENS.to_string(), CONNECTS.to_string());
    let load = |words: &[&str]| sh::capture(sh::cmd(sh::release("bench-load")).args(words));
    load(&["exec", &marks, &prefix])?;
    done.marks.fetch_add(MARKS, Ordering::Release);
    load(&["exec", &programs])?;
    load(&["open", &watched.to_string_lossy(), &opens])?;
    load(&["connect", &connects])?;
    done.programs.fetch_add(MARKS + PROGRAMS + LOADS, Ordering::Release);
    Ok(())
}
