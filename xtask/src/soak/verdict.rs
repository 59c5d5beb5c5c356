//! What a soak came to: each promise with its figures, and whether it held.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::figures::Figures;
use super::sample::Sample;
use super::scene::Calm;

/// Memory that a process may have more in the second half than in the first, after a warm-up: what allocators keep
/// of a peak comes and goes by so much. What is lost with each event, at some 2,000 events a second, is more
/// within minutes: 16 bytes of each are 55 MB in half an hour.
const GROWTH_KIB: u64 = 8 * 1024;
/// The same as a part of what it has.
const GROWTH_PART: u64 = 10;
/// Threads and descriptors that a process may have more: somebody who asks at that moment.
const MORE: u64 = 3;
/// Reasons that are shown of each promise.
const SHOWN: usize = 5;

/// What was planted, and where it is.
#[derive(Debug, Clone, Default)]
pub(super) struct End {
    pub(super) seconds: u64,
    pub(super) events: f64,
    pub(super) dropped: f64,
    pub(super) marks: u64,
    pub(super) marks_seen: u64,
    pub(super) alerts: u64,
    pub(super) arrived: u64,
    pub(super) output_lost: u64,
    pub(super) refused: u64,
    pub(super) backlog: u64,
    pub(super) kills: u64,
    pub(super) restarts: f64,
}

/// Of one kind of process: what it had at each look, and at each calm moment.
#[derive(Debug, Default)]
struct History {
    /// Most memory in each round.
    kib: Vec<u64>,
    peak: u64,
    threads: Vec<u64>,
    fds: Vec<u64>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) reloads: u64,
    pub(super) policies: u64,
    /// Changes that were asked for and not answered in time.
    unanswered: u64,
    pub(super) end: Option<End>,
    processes: BTreeMap<String, History>,
    compared: u64,
    unaccounted: Vec<String>,
    contradictions: Vec<String>,
    stuck: Vec<String>,
}

/// A promise, what was seen of it, and what speaks against it.
type Promise = (&'static str, String, Vec<String>);

impl Verdict {
    /// A change was asked for. Where a worker has just been killed, or the host is overloaded, nobody may answer in
    /// time; that is told, and the next round asks again.
    pub(super) fn asked(&mut self, answered: bool, which: impl FnOnce(&mut Verdict) -> &mut u64) {
        *(if answered { which(self) } else { &mut self.unanswered }) += 1;
    }

    /// Takes a look at the processes while they work.
    pub(super) fn see(&mut self, processes: &BTreeMap<String, Sample>) {
        for (name, sample) in processes {
            let history = self.processes.entry(name.clone()).or_default();
            history.peak = history.peak.max(sample.kib);
        }
    }

    /// Holds the figures against themselves and those before.
    pub(super) fn consistent(&mut self, before: Option<&Figures>, now: &Figures) {
        self.contradictions.extend(before.map(|before| before.fell(now)).unwrap_or_default());
        self.contradictions.extend(now.contradictions());
    }

    /// Threads that work or wait although there is nothing to do.
    pub(super) fn stuck(&mut self, process: &str, threads: &[String]) {
        self.stuck.extend(threads.iter().map(|thread| format!("{process}: {thread}")));
    }

    /// Between two calm moments of one worker: what was sent has been delivered, and what was done was seen.
    pub(super) fn compare(&mut self, before: &Calm, after: &Calm) {
        for (name, sample) in &after.processes {
            let history = self.processes.entry(name.clone()).or_default();
            history.kib.push(history.peak.max(sample.kib));
            history.peak = 0;
            history.threads.push(sample.threads);
            history.fds.push(sample.fds);
        }
        if !before.figures.same_worker(&after.figures) {
            self.unaccounted.push("the worker ended although nobody killed it".to_owned());
            return;
        }
        self.compared += 1;
        if after.open.least > before.open.most || after.open.most < before.open.least {
            self.unaccounted.push(format!(
                "sent and not delivered: {:?} before, {:?} after",
                before.open, after.open
            ));
        }
        let grown = |name: &str, label: &str| {
            after.figures.sum(name, label) - before.figures.sum(name, label)
        };
        let seen =
            grown("events_sent_total", "operation=\"exec\"") + grown("events_dropped_total", "");
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let started = (after.programs - before.programs) as f64;
        if seen < started {
            self.unaccounted.push(format!("{started} programs started, {seen} sent or dropped"));
        }
    }

    /// How many promises held, and how many did not.
    pub(super) fn counts(&self) -> (usize, usize) {
        let promises = self.promises();
        let failed = promises.iter().filter(|one| !one.2.is_empty()).count();
        (promises.len() - failed, failed)
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, seen, against) in self.promises() {
            let word = if against.is_empty() { "ok  " } else { "FAIL" };
            text.extend([word, " ", name, ": ", &seen, "\n"]);
            text.extend(against.iter().take(SHOWN).map(|reason| format!("     {reason}\n")));
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let each = self.promises().into_iter().map(|(name, seen, against)| {
            json!({ "promise": name, "seen": seen, "held": against.is_empty(), "against": against })
        });
        json!({ "promises": each.collect::<Vec<_>>() })
    }

    fn promises(&self) -> Vec<Promise> {
        let end = self.end.clone().unwrap_or_default();
        let mut all = vec![self.worked(&end), self.memory(), self.handles()];
        let seen = format!(
            "{} events sent, {} dropped and counted, held together {} times",
            end.events, end.dropped, self.compared
        );
        let mut against = self.unaccounted.clone();
        if self.compared == 0 {
            against.push("nothing was compared".to_owned());
        }
        all.push(("seen = delivered + dropped", seen, against));
        all.push(marks(&end));
        all.push(outputs(&end));
        let looks = format!("looked at {} times", 2 * self.compared);
        all.push(("no thread is stuck", looks.clone(), self.stuck.clone()));
        all.push(("figures agree with themselves", looks, self.contradictions.clone()));
        all
    }

    /// A soak in which nothing happened shows nothing.
    fn worked(&self, end: &End) -> Promise {
        let seen = format!(
            "{} s, {} reloads of rules, {} of policies, {} changes unanswered, {} kills of the worker and {} restarts, {} requests refused \
             by the output",
            end.seconds,
            self.reloads,
            self.policies,
            self.unanswered,
            end.kills,
            end.restarts,
            end.refused
        );
        let mut against = Vec::new();
        let counts = [self.reloads, self.policies, end.kills, end.refused, end.marks];
        if counts.contains(&0) {
            against.push("something of it never happened".to_owned());
        }
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        if (end.kills as f64 - end.restarts).abs() > 0.5 {
            against.push("a worker ended that nobody killed".to_owned());
        }
        ("all of it happened", seen, against)
    }

    /// The first round warms up; the halves of the others are compared.
    fn memory(&self) -> Promise {
        let mut against = Vec::new();
        let each = self.processes.iter().filter_map(|(name, history)| {
            let (first, second) = halves(&history.kib)?;
            let bound = first + GROWTH_KIB.max(first / GROWTH_PART);
            if second > bound {
                against.push(format!("{name}: {first} KiB, then {second} KiB"));
            }
            Some(format!("{name} {} MiB, then {} MiB", first / 1024, second / 1024))
        });
        let seen = each.collect::<Vec<_>>().join("; ");
        if seen.is_empty() {
            against.push("too few rounds to compare".to_owned());
        }
        ("memory does not grow after warm-up", seen, against)
    }

    fn handles(&self) -> Promise {
        let mut against = Vec::new();
        let mut each = Vec::new();
        for (name, history) in &self.processes {
            for (what, all) in [("threads", &history.threads), ("descriptors", &history.fds)] {
                let Some((first, second)) = halves(all) else { continue };
                if second > first + MORE {
                    against.push(format!("{name}: {first} {what}, then {second}"));
                }
                each.push(format!("{name} {second} {what}"));
            }
        }
        ("threads and descriptors do not grow", each.join("; "), against)
    }
}

fn marks(end: &End) -> Promise {
    let missing = end.marks.saturating_sub(end.marks_seen);
    let seen = format!("{} planted, {} told", end.marks, end.marks_seen);
    let mut against = Vec::new();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    if missing as f64 > end.dropped {
        against.push(format!("{missing} are missing, and only {} were counted", end.dropped));
    }
    ("each planted event is an alert or counted", seen, against)
}

fn outputs(end: &End) -> Promise {
    let missing = end.alerts.saturating_sub(end.arrived);
    let seen = format!(
        "{} alerts, {} arrived, {} given up and counted, {} bytes wait",
        end.alerts, end.arrived, end.output_lost, end.backlog
    );
    let mut against = Vec::new();
    if missing > end.output_lost {
        against.push(format!("{missing} never arrived, and {} were counted", end.output_lost));
    }
    ("each alert reaches the output or is counted", seen, against)
}

/// The medians of the halves, without the first.
fn halves(all: &[u64]) -> Option<(u64, u64)> {
    let rest = all.get(1..)?;
    let (first, second) = rest.split_at(rest.len() / 2);
    Some((median(first)?, median(second)?))
}

fn median(values: &[u64]) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(kib: &[u64]) -> Verdict {
        let history = History { kib: kib.to_vec(), ..History::default() };
        Verdict { processes: BTreeMap::from([("guard".to_owned(), history)]), ..Verdict::default() }
    }

    #[test]
    fn growth_after_warm_up_is_found_and_warm_up_is_none() {
        let steady = [10_000, 90_000, 90_100, 90_000, 90_200];
        assert!(verdict(&steady).memory().2.is_empty());
        let grows = [10_000, 50_000, 60_000, 70_000, 80_000];
        assert_eq!(verdict(&grows).memory().2, ["guard: 60000 KiB, then 80000 KiB"]);
        assert!(!verdict(&[10_000]).memory().2.is_empty(), "one round shows nothing");
    }

    #[test]
    fn what_is_missing_has_to_be_counted() {
        let end = End { marks: 10, marks_seen: 8, dropped: 2.0, ..End::default() };
        assert!(marks(&end).2.is_empty());
        assert_eq!(marks(&End { dropped: 1.0, ..end }).2.len(), 1);
        let end = End { alerts: 5, arrived: 4, ..End::default() };
        assert_eq!(outputs(&end).2, ["1 never arrived, and 0 were counted"]);
        assert!(outputs(&End { output_lost: 1, ..end }).2.is_empty());
    }
}
