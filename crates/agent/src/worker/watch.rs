//! Notices that rule files have changed.
//!
//! It looks, and is not told: a directory that does not exist yet, that is mounted over, or that is
//! on a network file system is looked at all the same, and nothing has to be kept in step. A look
//! is one stat(2) for each file. A change counts once two looks in a row have found the same, so
//! that half of what somebody copies is never loaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::rules::directories;
use super::{broker, packs};
use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::seccomp;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Endings of what a pack and a directory of keys are made of.
const PACKED: &[&str] = &[
    "kpack", "json", "minisig", "sshsig", "sig", "pub", "toml", "yml", "yaml", "wasm", "lua",
    "luau",
];

/// What the files looked like when they were last read, sound or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<AtomicU64>);

impl Seen {
    /// The files are about to be read: what they look like.
    pub(crate) fn note(&self, args: &RunArgs) -> u64 {
        let print = print(args);
        self.set(print);
        print
    }

    /// They looked so when they were last read.
    pub(crate) fn set(&self, print: u64) {
        self.0.store(print, Ordering::Release);
    }

    /// What they looked like when they were last read.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn is(&self, print: u64) -> bool {
        self.get() == print
    }
}

/// Starts the thread that looks; it ends with the process. `changed` is set when the rules are to
/// be read again.
pub(crate) fn start(args: &RunArgs, seen: Seen, changed: Arc<AtomicBool>) -> Result<(), Failure> {
    let args = args.clone();
    let look = move || {
        seccomp::thread(seccomp::Kind::Watch);
        let mut watch = Watch::default();
        loop {
            std::thread::sleep(PERIOD);
            if watch.look(&seen, print(&args)) {
                changed.store(true, Ordering::Relaxed);
            }
        }
    };
    std::thread::Builder::new()
        .name("watch".into())
        .spawn(look)
        .map(drop)
        .map_err(|e| Failure::new(Exit::Internal, format!("cannot start a thread: {e}")))
}

/// What all files look like that decide which rules run: whoever may look at them is asked.
pub(crate) fn print(args: &RunArgs) -> u64 {
    broker::look().unwrap_or_else(|| look(args))
}

/// The same, by this process.
pub(crate) fn look(args: &RunArgs) -> u64 {
    let rules = files::fingerprint(&directories(args), PACKED);
    let packs = files::fingerprint(&packs::watched(args), PACKED);
    rules ^ packs.rotate_left(1)
}

/// Two looks.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    last: u64,
    /// What was asked to be read; it is not asked for twice.
    asked: Option<u64>,
}

impl Watch {
    /// Whether the files have changed since they were read, and have come to rest.
    pub(crate) fn look(&mut self, seen: &Seen, now: u64) -> bool {
        let is_at_rest = std::mem::replace(&mut self.last, now) == now;
        if seen.is(now) {
            self.asked = None;
            return false;
        }
        let wanted = is_at_rest && self.asked != Some(now);
        if wanted {
            self.asked = Some(now);
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_when_it_has_come_to_rest() {
        let (mut watch, seen) = (Watch::default(), Seen::default());
        seen.0.store(1, Ordering::Relaxed);
        let mut looks = |seen: &Seen, prints: &[u64]| {
            prints.iter().map(|print| watch.look(seen, *print)).collect::<Vec<_>>()
        };
        assert_eq!(looks(&seen, &[1, 1, 2, 3, 3, 3]), [false, false, false, false, true, false]);
        seen.0.store(3, Ordering::Relaxed);
        assert_eq!(looks(&seen, &[3, 1, 1]), [false, false, true], "and back again");
        // Somebody had them read meanwhile, by hand.
        seen.0.store(4, Ordering::Relaxed);
        assert_eq!(looks(&seen, &[4, 4, 4]), [false; 3]);
    }
}
