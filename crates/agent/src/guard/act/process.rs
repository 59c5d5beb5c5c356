//! A process that is acted on, and cannot be taken for another one.
//!
//! A number of a process is given again as soon as it is free. So it is held by a descriptor first, and
//! then it is looked at when it started: what is signalled is what was meant, or nothing.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::super::image;
use super::super::prevent::{TICK, started};

/// A thread of the kernel: the flag among those of `/proc/PID/stat`.
const PF_KTHREAD: u32 = 0x0020_0000;
/// Processes of one tree; beyond that the root and those are dealt with, and that is said.
const TREE_MAX: usize = 4_096;
/// How often a tree is looked through for processes that were made meanwhile.
const ROUNDS: usize = 16;
/// Processes of a tree that are named in the audit log; all are counted.
pub(super) const NAMED_MAX: usize = 64;

/// Why a process is not the one that was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// Nobody has its number.
    Ended,
    /// Somebody else has its number.
    Replaced,
    /// It was of another boot.
    Boot,
}

impl fmt::Display for Gone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Gone::Ended => "it has ended",
            Gone::Replaced => "it has ended, and another process has its number",
            Gone::Boot => "it was of another boot",
        })
    }
}

/// The boot that processes are of now; empty where nobody tells.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// A process that is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) pid: u32,
    fd: OwnedFd,
}

impl Held {
    /// The process of this number that started then, ns since boot. One that is ending is gone: nothing
    /// can be done to it, and it does nothing any more.
    pub(super) fn of(pid: u32, start: u64) -> Result<Held, Gone> {
        let held = Held::any(pid).ok_or(Gone::Ended)?;
        match started(pid) {
            Some(ticks) if ticks != start / TICK => Err(Gone::Replaced),
            Some(_) if !held.is_ending() => Ok(held),
            _ => Err(Gone::Ended),
        }
    }

    /// Whoever has this number now.
    pub(super) fn any(pid: u32) -> Option<Held> {
        let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let fd = pidfd_open(number, PidfdFlags::empty()).ok()?;
        Some(Held { pid, fd })
    }

    /// Signals it, and nobody else.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(self.fd.as_fd(), signal)?)
    }

    /// Whether it was stopped by a signal.
    pub(super) fn is_stopped(&self) -> bool {
        let fields = stat(self.pid);
        fields.is_some_and(|fields| fields.starts_with('T'))
    }

    /// The user that it runs as.
    pub(super) fn uid(&self) -> Option<u32> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// The file that it executes; none if it is ending, or is of the kernel.
    pub(super) fn image(&self) -> io::Result<Option<Metadata>> {
        image::image(self.pid)
    }

    /// The name of that file.
    pub(super) fn executable(&self) -> Option<PathBuf> {
        image::executable(self.pid)
    }

    /// Whether it is of the kernel, and executes no file.
    pub(super) fn is_of_the_kernel(&self) -> bool {
        let flags = stat(self.pid).and_then(|fields| fields.split(' ').nth(6)?.parse().ok());
        flags.is_some_and(|flags: u32| flags & PF_KTHREAD != 0)
    }

    fn is_ending(&self) -> bool {
        matches!(self.image(), Ok(None)) && !self.is_of_the_kernel()
    }
}

/// Each process and its parent, as far as they can be read.
fn parents() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, parent(pid)?))).collect()
}

/// What `/proc` tells of a process behind the name of its program, its state first.
fn stat(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything; it ends at the last parenthesis.
    text.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
}

/// The parent of a process; 0 if it has none.
pub(super) fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.split(' ').nth(1)?.parse().ok()
}

/// The descendants of a process that are not spared, each stopped before its children are looked for:
/// who is stopped makes no more of them. False if there are more than can be held.
pub(super) fn descendants(root: &Held, spared: impl Fn(u32) -> bool) -> (Vec<Held>, bool) {
    let mut found: Vec<Held> = Vec::new();
    for _ in 0..ROUNDS {
        let all = parents();
        let known = |pid: u32| pid == root.pid || found.iter().any(|one| one.pid == pid);
        let new: Vec<u32> = all
            .iter()
            .filter(|(pid, parent)| known(*parent) && !known(*pid) && !spared(*pid))
            .map(|one| one.0)
            .collect();
        if new.is_empty() {
            return (found, true);
        }
        for pid in new {
            if found.len() >= TREE_MAX {
                return (found, false);
            }
            // Its parent was read before it was held: it must still be a child of the tree.
            let Some(held) = Held::any(pid) else { continue };
            let inside = parent(pid)
                .is_some_and(|of| of == root.pid || found.iter().any(|one| one.pid == of));
            if inside && held.signal(Signal::STOP).is_ok() {
                found.push(held);
            }
        }
    }
    (found, false)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    fn within(limit: Duration, is: impl Fn() -> bool) -> bool {
        let start = Instant::now();
        while !is() {
            if start.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn who_is_ending_is_gone_and_who_is_of_the_kernel_executes_nothing() {
        let mut child = Command::new("true").spawn().unwrap();
        let start = started(child.id()).unwrap() * TICK;
        // Nobody has waited for it: it keeps its number, and nothing else.
        assert!(within(PATIENCE, || Held::of(child.id(), start).err() == Some(Gone::Ended)));
        assert_eq!(started(child.id()).map(|ticks| ticks * TICK), Some(start), "it has its number");
        child.wait().unwrap();
        let own = Held::any(std::process::id()).unwrap();
        assert!(!own.is_ending() && !own.is_of_the_kernel());
        // Its threads are not to be seen in a container.
        if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n") {
            let kernel = Held::any(2).unwrap();
            assert!(kernel.is_of_the_kernel() && !kernel.is_ending());
        }
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_executes_what_it_did() {
        let script = "import ctypes, threading, time\n\
                      threading.Thread(target=time.sleep, args=(60,)).start()\n\
                      print(flush=True)\n\
                      ctypes.CDLL(None).syscall(60, 0)";
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let link = PathBuf::from(format!("/proc/{}/exe", child.id()));
        let before = Held::any(child.id()).unwrap().executable();
        assert!(within(PATIENCE, || !link.exists()), "its first thread has ended");
        let held = Held::of(child.id(), started(child.id()).unwrap() * TICK).unwrap();
        assert_eq!(held.executable(), before);
        assert!(before.unwrap().to_string_lossy().contains("python"));
        held.signal(Signal::KILL).unwrap();
        child.wait().unwrap();
    }
}
