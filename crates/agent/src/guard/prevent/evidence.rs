//! What was denied, by whom and why: told in the log, noted in the audit log, kept for `aegisbpf why`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::policy::Operation;
use model::wire::{RecDenial, Span};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use policy::verdicts::Answer;
use serde::Serialize;
use serde_json::{Value as Json, json};
use zerocopy::FromBytes;

use super::thing;
use crate::audit::Audit;
use crate::guard::image;
use crate::policy::store::About;
use crate::render::escape::piece;

/// Rules and outcomes that are counted apart, and what the others are called: their list has to fit into
/// the message with all counters.
const BY_RULE_MAX: usize = 256;
const OTHER: &str = crate::metrics::OTHER;
/// Denials that are kept: their list fits into one message to the worker.
const KEPT: usize = 100;
/// Letters of an object, and of the words of a rule, that are kept.
const OBJECT_MAX: usize = 256;
/// Lines of the log in one round: a flood of denials is not to become a flood of lines. Who has not
/// been told of in a round goes before who has, so that nobody hides in the flood of another.
const TOLD: usize = 20;
/// Processes, with what denied them, that are told of in one round: as many as a message takes.
const FIRST: usize = KEPT;
/// `DENIAL_WOULD` and `DENIAL_AUDIT` of wire.h.
const WOULD: u16 = 1;
const AUDIT: u16 = 2;
/// `WHY_SELF` of wire.h.
const SELF: u16 = 5;
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
    /// The peer: address, port and protocol.
    peer: Option<(IpAddr, u16, u16)>,
    /// Such a file: its filesystem, in the kernel's encoding, and its number there.
    file: Option<(u64, u64)>,
    pid: u32,
    /// When the process began, in nanoseconds since boot and at least to the tick of `/proc`; 0: it is not known.
    start: u64,
    uid: u32,
    /// What the process runs, if it still does.
    executable: Option<String>,
    generation: u64,
    /// Policy and id of the rule, where it is written, and what it says for people.
    rule: Option<String>,
    place: Option<String>,
    severity: Option<String>,
    message: Option<String>,
}

/// How many requests came to what, since the agent was started.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Verdicts {
    denied: u64,
    would_deny: u64,
    reported: u64,
    killed: u64,
    /// Denials that were counted and not told one by one: too many came at the same moment.
    pub(super) untold: u64,
}

/// The denials of late.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    kept: VecDeque<Denial>,
    count: u64,
    verdicts: Verdicts,
    /// The same by rule and outcome.
    by_rule: BTreeMap<(String, &'static str), u64>,
    /// What the worker was not told yet.
    fresh: VecDeque<Denial>,
}

impl Evidence {
    /// The denials that are kept, the newest first.
    pub(super) fn list(&self) -> Vec<&Denial> {
        self.kept.iter().rev().collect()
    }

    /// How many requests came to what.
    pub(super) fn verdicts(&self) -> Verdicts {
        self.verdicts
    }

    /// What the worker is to be told next: few enough for one message, as is what is kept.
    pub(super) fn fresh(&mut self) -> Vec<Denial> {
        self.fresh.drain(..).collect()
    }

    /// The worker could not be told these.
    pub(super) fn untold(&mut self, denials: usize) {
        self.verdicts.untold += u64::try_from(denials).unwrap_or_default();
    }

    /// Takes in what the kernel told, ends processes that are to be ended, and tells the log; the audit log
    /// has what was denied, of each rule the first at once and others by their number each minute.
    pub(super) fn take(&mut self, records: &[Vec<u8>], about: Option<&About>, audit: &Audit) {
        let mut acted = BTreeMap::<(String, &'static str), (Denial, u64)>::new();
        let read = |bytes: &Vec<u8>| RecDenial::read_from_prefix(bytes).ok().map(|read| read.0);
        let read: Vec<Option<RecDenial>> = records.iter().map(read).collect();
        let news = news(&read);
        for (at, (bytes, record)) in records.iter().zip(read).enumerate() {
            let Some(record) = record else {
                tracing::error!(bytes = bytes.len(), "a denial could not be read");
                continue;
            };
            let is_kill = record.answer == Answer::Kill as u16;
            let (outcome, told) = match record.flags {
                flags if flags & WOULD != 0 => ("would_deny", &mut self.verdicts.would_deny),
                flags if flags & AUDIT != 0 => ("reported", &mut self.verdicts.reported),
                _ if is_kill => ("killed", &mut self.verdicts.killed),
                _ => ("denied", &mut self.verdicts.denied),
            };
            let alike = 1 + u64::from(record.untold);
            *told += alike;
            let rule = rule_of(&record, about).unwrap_or_else(|| OTHER.to_owned());
            self.count_rule(rule.clone(), outcome, alike);
            // LSM programs have done it themselves; then there is nobody any more.
            if is_kill && record.flags & (WOULD | AUDIT) == 0 {
                end(&record);
            }
            self.count += 1;
            // Of a flood only the end is kept.
            let told = news.contains(&at);
            if told || at + KEPT >= records.len() {
                let denial = self.denial(&record, bytes, about);
                self.keep(denial, told);
            }
            if record.flags & (WOULD | AUDIT) == 0 {
                let one = acted.entry((rule, outcome));
                let one = one.or_insert_with(|| (self.denial(&record, bytes, about), 0));
                one.1 = one.1.saturating_add(alike);
            }
        }
        for ((rule, outcome), (denial, times)) in acted {
            audit.note_times(&rule, outcome, json!(denial), times);
        }
        if let Some(more) = records.len().checked_sub(news.len()).filter(|more| *more > 0) {
            self.untold(more);
            tracing::warn!(more, "more was denied at the same time");
        }
    }

    fn count_rule(&mut self, rule: String, outcome: &'static str, more: u64) {
        let mut key = (rule, outcome);
        if self.by_rule.len() >= BY_RULE_MAX && !self.by_rule.contains_key(&key) {
            OTHER.clone_into(&mut key.0);
        }
        *self.by_rule.entry(key).or_default() += more;
    }

    /// How many requests came to what, by rule.
    pub(super) fn by_rule(&self) -> Vec<Json> {
        let one = |((rule, outcome), count): (&(String, &str), &u64)| json!({ "rule": rule, "outcome": outcome, "count": count });
        self.by_rule.iter().map(one).collect()
    }

    fn keep(&mut self, denial: Denial, told: bool) {
        if told {
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
            self.fresh.push_back(denial.clone());
            if self.fresh.len() > KEPT {
                self.fresh.pop_front();
                self.untold(1);
            }
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(denial);
    }

    fn denial(&self, record: &RecDenial, bytes: &[u8], about: Option<&About>) -> Denial {
        let about = about.filter(|about| about.generation == record.generation);
        let rule = about.and_then(|about| about.rules.get(record.rule as usize));
        let operation = Operation::ALL.get(usize::from(record.operation));
        let name = rule_of(record, about);
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
            peer: peer(record),
            file: (span(bytes, record.path).is_none() && record.ino != 0 && record.dev != 0)
                .then_some((record.dev, record.ino)),
            pid: record.h.pid,
            start: record.h.start,
            uid: record.h.uid,
            executable: is_same(record).then(|| executable(record.h.pid)).flatten(),
            generation: record.generation,
            rule: name,
            place: rule.map(|rule| format!("{}:{}", rule.file, rule.line)),
            severity: rule.map(|rule| rule.severity.clone()),
            message: rule.and_then(|rule| Some(short(rule.message.as_deref()?))),
        }
    }
}

/// Policy and id of the rule that decided.
fn rule_of(record: &RecDenial, about: Option<&About>) -> Option<String> {
    let about = about.filter(|about| about.generation == record.generation);
    let rule = about.and_then(|about| about.rules.get(record.rule as usize));
    rule.map(|rule| format!("{}/{}", rule.policy, rule.id))
        .or_else(|| (record.why == SELF).then(|| "self-protection".to_owned()))
}

/// Which records are told, by their places: of each process and rule the first one, then others.
fn news(records: &[Option<RecDenial>]) -> BTreeSet<usize> {
    let (mut known, mut first, mut more) = (BTreeSet::new(), Vec::new(), Vec::new());
    for (at, record) in records.iter().enumerate() {
        let Some(record) = record else { continue };
        let is_new = known.insert((record.rule, record.flags, record.h.pid, record.h.start));
        if is_new { first.push(at) } else { more.push(at) }
    }
    let some = TOLD.saturating_sub(first.len());
    first.into_iter().take(FIRST).chain(more.into_iter().take(some)).collect()
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
    let path = image::executable(pid)?;
    Some(piece(&path.to_string_lossy()))
}

/// Other side of a connection, if the request was about one.
fn peer(record: &RecDenial) -> Option<(IpAddr, u16, u16)> {
    let [a, b, c, d, ..] = record.address;
    let address = match record.family {
        INET => IpAddr::from(Ipv4Addr::new(a, b, c, d)),
        INET6 => IpAddr::from(Ipv6Addr::from(record.address)),
        _ => return None,
    };
    Some((address, record.port, record.protocol))
}

fn object(record: &RecDenial, bytes: &[u8]) -> Option<String> {
    match peer(record) {
        Some((IpAddr::V6(address), port, protocol)) => {
            Some(format!("[{address}]:{port}/{protocol}"))
        }
        Some((address, port, protocol)) => Some(format!("{address}:{port}/{protocol}")),
        None => match span(bytes, record.path) {
            Some(path) => Some(short(&String::from_utf8_lossy(path))),
            None => number(record),
        },
    }
}

fn short(text: &str) -> String {
    piece(text).chars().take(OBJECT_MAX).collect()
}

/// A file without a path, as `/proc/self/mountinfo` and `find -inum` call it.
fn number(record: &RecDenial) -> Option<String> {
    if record.dev == 0 {
        let operation = Operation::ALL.get(usize::from(record.operation));
        return operation.and_then(|operation| thing::name(*operation, record.ino));
    }
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

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    /// More than any kernel numbers.
    const NOBODY: u32 = 1 << 30;

    fn record(pid: u32, rule: u32) -> RecDenial {
        let mut record = RecDenial::new_zeroed();
        (record.h.pid, record.rule) = (pid, rule);
        record
    }

    #[test]
    fn what_was_denied_is_in_the_audit_log_to_the_last_one_and_what_would_be_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::at(dir.path());
        let bytes = |flags: u16, untold| {
            let mut record = record(NOBODY, 1);
            (record.answer, record.flags, record.untold) = (Answer::Perm as u16, flags, untold);
            zerocopy::IntoBytes::as_bytes(&record).to_vec()
        };
        let mut evidence = Evidence::default();
        evidence.take(&[bytes(WOULD, 0), bytes(AUDIT, 9)], None, &audit);
        assert_eq!(audit.lines(|_| true).unwrap().len(), 0, "the control");
        evidence.take(&[bytes(0, 0)], None, &audit);
        let first = audit.lines(|action| action == "denied").unwrap();
        assert_eq!(first.len(), 1, "at once: {first:?}");
        assert_eq!((&first[0]["pid"], &first[0]["id"]), (&json!(NOBODY), &json!("0-3")));
        evidence.take(&vec![bytes(0, 4); 1_000], None, &audit);
        audit.service(true);
        let all = audit.lines(|action| action == "denied").unwrap();
        let left_out = |line: &Json| line["left_out"].as_u64().unwrap_or_default();
        let told: u64 = all.iter().map(|line| 1 + left_out(line)).sum();
        assert_eq!((all.len(), told, evidence.verdicts().denied), (2, 5_001, 5_001), "{all:?}");
    }

    #[test]
    fn nobody_hides_in_the_flood_of_another() {
        let flood = vec![Some(record(1, 1)); 1_000];
        let others = [Some(record(2, 1)), Some(record(1, 2)), None];
        let both = news(&[&flood[..], &others].concat());
        assert!(both.contains(&1_000) && both.contains(&1_001), "{both:?}");
        assert_eq!(both.len(), TOLD);
        assert_eq!(news(&flood).into_iter().collect::<Vec<_>>(), (0..TOLD).collect::<Vec<_>>());
        let many: Vec<_> = (0..1_000).map(|pid| Some(record(pid, 1))).collect();
        assert_eq!(news(&many).len(), FIRST);
    }
}
