//! What was denied, by whom and why: told in the log, kept for `aegisbpf why`.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::policy::Operation;
use model::wire::{RecDenial, Span};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use policy::verdicts::Answer;
use serde::Serialize;
use zerocopy::FromBytes;

use crate::policy::store::About;
use crate::render::escape::piece;

/// Denials that are kept: their list fits into one message to the worker.
const KEPT: usize = 100;
/// Letters of an object that are kept.
const OBJECT_MAX: usize = 256;
/// Lines of the log in one round: a flood of denials is not to become a flood of lines.
const TOLD: usize = 20;
/// `DENIAL_WOULD` and `DENIAL_AUDIT` of wire.h.
const WOULD: u16 = 1;
const AUDIT: u16 = 2;
/// Of the kernel's `dev_t`.
const MINOR_BITS: u32 = 20;
/// `AF_INET` and `AF_INET6`.
const INET: u16 = 2;
const INET6: u16 = 10;
/// Nanoseconds of the clock in which `/proc` tells when a process started.
const TICK: u64 = 10_000_000;

/// One denial.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Denial {
    /// Its name: generation and number.
    pub(super) id: String,
    /// When.
    time: String,
    /// `denied`, `would be denied` or `reported`.
    outcome: &'static str,
    operation: &'static str,
    /// Path or address; of a file that LSM programs denied, its number.
    object: Option<String>,
    /// Such a file: its filesystem, in the kernel's encoding, and its number there.
    file: Option<(u64, u64)>,
    pid: u32,
    uid: u32,
    /// What the process runs, if it still does.
    executable: Option<String>,
    generation: u64,
    /// Policy and id of the rule, and where it is written.
    rule: Option<String>,
    place: Option<String>,
}

/// The denials of late.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    kept: VecDeque<Denial>,
    count: u64,
}

impl Evidence {
    /// The denials that are kept, the newest first.
    pub(super) fn list(&self) -> Vec<&Denial> {
        self.kept.iter().rev().collect()
    }

    /// Takes in what the kernel told, ends processes that are to be ended, and tells the log.
    pub(super) fn take(&mut self, records: &[Vec<u8>], about: Option<&About>) {
        for (at, bytes) in records.iter().enumerate() {
            let Ok((record, _)) = RecDenial::read_from_prefix(bytes) else {
                tracing::error!(bytes = bytes.len(), "a denial could not be read");
                continue;
            };
            // LSM programs have done it themselves; then there is nobody any more.
            if record.answer == Answer::Kill as u16 && record.flags & (WOULD | AUDIT) == 0 {
                end(&record);
            }
            self.count += 1;
            let denial = self.denial(&record, bytes, about);
            if at < TOLD {
                tracing::warn!(
                    id = denial.id,
                    rule = denial.rule.as_deref().unwrap_or("none"),
                    operation = denial.operation,
                    object = denial.object.as_deref().unwrap_or(""),
                    pid = denial.pid,
                    executable = denial.executable.as_deref().unwrap_or("?"),
                    "{}",
                    denial.outcome
                );
            }
            if self.kept.len() == KEPT {
                self.kept.pop_front();
            }
            self.kept.push_back(denial);
        }
        if let Some(more) = records.len().checked_sub(TOLD).filter(|more| *more > 0) {
            tracing::warn!(more, "more was denied at the same time");
        }
    }

    fn denial(&self, record: &RecDenial, bytes: &[u8], about: Option<&About>) -> Denial {
        let about = about.filter(|about| about.generation == record.generation);
        let rule = about.and_then(|about| about.rules.get(record.rule as usize));
        let operation = Operation::ALL.get(usize::from(record.operation));
        Denial {
            id: format!("{}-{}", record.generation, self.count),
            time: wall_clock(record.h.time),
            outcome: match record.flags {
                flags if flags & WOULD != 0 => "would be denied",
                flags if flags & AUDIT != 0 => "reported",
                _ => "denied",
            },
            operation: operation.map_or("?", |one| one.name()),
            object: object(record, bytes),
            file: (span(bytes, record.path).is_none() && record.ino != 0)
                .then_some((record.dev, record.ino)),
            pid: record.h.pid,
            uid: record.h.uid,
            executable: is_same(record).then(|| executable(record.h.pid)).flatten(),
            generation: record.generation,
            rule: rule.map(|rule| format!("{}/{}", rule.policy, rule.id)),
            place: rule.map(|rule| format!("{}:{}", rule.file, rule.line)),
        }
    }
}

/// Ends a process, if the one of that number is still the one that was denied.
fn end(record: &RecDenial) {
    let Ok(pid) = i32::try_from(record.h.pid) else { return };
    if !is_same(record) {
        return;
    }
    match kill(Pid::from_raw(pid), Signal::SIGKILL) {
        Ok(()) => tracing::warn!(pid, "a process was ended, as its rule says"),
        Err(error) => tracing::error!(pid, %error, "a process could not be ended"),
    }
}

/// Whether the process of that number began when the one of the record did.
fn is_same(record: &RecDenial) -> bool {
    super::judge::started(record.h.pid).is_some_and(|start| start == record.h.start / TICK)
}

fn executable(pid: u32) -> Option<String> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(piece(&path.to_string_lossy()))
}

fn object(record: &RecDenial, bytes: &[u8]) -> Option<String> {
    let port = record.port;
    let [a, b, c, d, ..] = record.address;
    let address = match record.family {
        INET => Some(IpAddr::from(Ipv4Addr::new(a, b, c, d))),
        INET6 => Some(IpAddr::from(Ipv6Addr::from(record.address))),
        _ => None,
    };
    match address {
        Some(IpAddr::V6(address)) => Some(format!("[{address}]:{port}/{}", record.protocol)),
        Some(address) => Some(format!("{address}:{port}/{}", record.protocol)),
        None => {
            let Some(path) = span(bytes, record.path) else { return number(record) };
            let text = String::from_utf8_lossy(path).into_owned();
            Some(piece(&text).chars().take(OBJECT_MAX).collect())
        }
    }
}

/// A file without a path, as `/proc/self/mountinfo` and `find -inum` call it.
fn number(record: &RecDenial) -> Option<String> {
    let (major, minor) = (record.dev >> MINOR_BITS, record.dev & ((1 << MINOR_BITS) - 1));
    (record.ino != 0).then(|| format!("inode {} of device {major}:{minor}", record.ino))
}

fn span(bytes: &[u8], span: Span) -> Option<&[u8]> {
    let bytes = bytes.get(usize::from(span.off)..)?.get(..usize::from(span.len))?;
    (!bytes.is_empty()).then_some(bytes)
}

/// Time since boot as a time of the calendar.
fn wall_clock(since_boot: u64) -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or_default();
    let now = seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
    let ago = i64::try_from(now.saturating_sub(since_boot)).unwrap_or(i64::MAX);
    let ago = jiff::SignedDuration::from_nanos(ago);
    let then = jiff::Timestamp::now().checked_sub(ago).unwrap_or_default();
    then.to_string()
}
