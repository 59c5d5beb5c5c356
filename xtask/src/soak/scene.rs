//! The agent, and everything that changes around it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::figures::{Figures, Open};
use super::load::{Done, Load};
use super::receiver::Receiver;
use super::sample::{self, Sample};
use super::verdict::{End, Verdict};
use crate::bench::agent::{self, Agent};
use crate::bench::flood;
use crate::sh;

/// How often each process is looked at.
const SAMPLE: Duration = Duration::from_secs(1);
/// How long what waits may take until it is done, after the work has ended.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long an output that was away may take: its pauses grow to half a minute.
const OUTPUT_PATIENCE: Duration = Duration::from_mins(2);
/// What is kept of alerts and events on the disk.
const HISTORY: &str = "64MiB,1h";

/// A moment without work, looked at twice.
#[derive(Debug)]
pub(super) struct Calm {
    pub(super) figures: Figures,
    pub(super) open: Open,
    /// Programs that were started so far.
    pub(super) programs: u64,
    pub(super) processes: BTreeMap<String, Sample>,
}

/// All of it.
pub(super) struct Scene {
    dir: PathBuf,
    agent: Agent,
    receiver: Receiver,
    rules: PathBuf,
    watched: PathBuf,
    done: Arc<Done>,
    changes: u64,
    kills: u64,
}

impl Scene {
    pub(super) fn start() -> Result<Scene> {
        let dir = agent::scratch("soak")?;
        let (rules, watched) = flood::rules(&dir)?;
        let receiver = Receiver::start()?;
        let policy = dir.join("policy.yaml");
        std::fs::write(&policy, text_of_policy(0))?;
        let (address, policy) = (receiver.address(), policy.to_string_lossy().into_owned());
        let options = ["--config", "/dev/null", "--seccomp", "--enforce", "--on-exit", "release"];
        let more = ["--history", HISTORY, "--forward", &address, "--policy", &policy];
        // Only what is reloaded here is read anew, so that it is known when.
        let all = [&options[..], &more[..], &["--no-watch"][..]].concat();
        let agent = Agent::start_with(&dir, Some(&rules), &all)?;
        // The agent reads a copy that is root's: what is written there is what it reads next.
        let rules = sh::rules_of_root_at(&rules);
        let done = Arc::new(Done::default());
        Ok(Scene { dir, agent, receiver, rules, watched, done, changes: 0, kills: 0 })
    }

    /// Works for so long; in between rules and policies change and the output fails, and if that is asked for the
    /// worker is killed.
    pub(super) fn work(
        &mut self,
        round: u32,
        time: Duration,
        kill: bool,
        verdict: &mut Verdict,
    ) -> Result<()> {
        let load = Load::start(self.watched.clone(), Arc::clone(&self.done));
        let (start, mut step) = (Instant::now(), 0);
        let mut before: Option<Figures> = None;
        while start.elapsed() < time {
            let begin = Instant::now();
            self.change(round, step, kill, verdict)?;
            step += 1;
            verdict.see(&self.processes());
            // While one worker follows on another nobody answers.
            if let Ok(figures) = self.figures() {
                verdict.consistent(before.as_ref(), &figures);
                before = Some(figures);
            }
            sleep(SAMPLE.saturating_sub(begin.elapsed()));
        }
        self.receiver.fail(false);
        load.stop()
    }

    /// What happens in a second of a round.
    fn change(&mut self, round: u32, step: u32, kill: bool, verdict: &mut Verdict) -> Result<()> {
        match (step, kill) {
            (1, _) => self.receiver.fail(true),
            (2, _) => {
                self.changes += 1;
                let name = self.rules.join("changing.toml");
                std::fs::write(name, text_of_rule(self.changes))?;
                verdict.asked(self.agent.ask(&["reload"]).is_ok(), |all| &mut all.reloads);
            }
            (3, true) => {
                let worker = self.agent.worker().context("there is no worker")?;
                agent::signal("KILL", worker)?;
                self.kills += 1;
            }
            (4, false) => {
                let path = self.dir.join("policy.yaml");
                std::fs::write(&path, text_of_policy(round + 1))?;
                let path = path.to_string_lossy().into_owned();
                let applied = self.agent.command(&["policy", "apply", &path, "--reason", "soak"]);
                verdict.asked(applied.is_ok(), |all| &mut all.policies);
            }
            (6, _) => self.receiver.fail(false),
            _ => {}
        }
        Ok(())
    }

    /// Waits until what was done has been dealt with, and looks twice.
    pub(super) fn calm(&mut self, verdict: &mut Verdict) -> Result<Calm> {
        let start = Instant::now();
        let mut last = None;
        // What the worker has shown to the rules changes no more, but for what others on this host do.
        while start.elapsed() < PATIENCE {
            let figures = self.figures();
            if let Ok(figures) = figures {
                let handled = (figures.sent() - figures.delivered(), figures.sum("ring_bytes", ""));
                if last == Some(handled) || handled.1 == 0.0 && last.is_some() {
                    break;
                }
                last = Some(handled);
            }
            sleep(SAMPLE / 2);
        }
        let first = self.figures().context("the agent does not answer after work has ended")?;
        let before = self.processes();
        let looked = Instant::now();
        sleep(SAMPLE);
        let second = self.figures()?;
        let processes = self.processes();
        let apart = u64::try_from(looked.elapsed().as_nanos())?;
        for (name, sample) in &processes {
            let stuck = before.get(name).map(|one| one.stuck(sample, apart)).unwrap_or_default();
            verdict.stuck(name, &stuck);
        }
        verdict.consistent(Some(&first), &second);
        let open = Open::between(&first, &second);
        let programs = self.done.programs.load(Ordering::Acquire);
        Ok(Calm { figures: second, open, programs, processes })
    }

    /// The work has ended: all that was planted has to be somewhere.
    pub(super) fn settle(self, verdict: &mut Verdict, last: &Calm, time: Duration) -> Result<()> {
        let marks = self.done.marks.load(Ordering::Acquire);
        let all_told = || self.printed().is_ok_and(|(seen, _)| seen.len() as u64 >= marks);
        agent::until(PATIENCE, all_told);
        let (seen, ids) = self.printed()?;
        agent::until(OUTPUT_PATIENCE, || self.receiver.ids().is_superset(&ids));
        let status: Value = serde_json::from_str(&self.agent.status()?)?;
        let output = status.pointer("/kernel_counters/outputs/all/0").context("no output")?;
        let number = |key: &str| output.get(key).and_then(Value::as_u64).unwrap_or_default();
        let arrived = self.receiver.ids();
        verdict.end = Some(End {
            seconds: time.as_secs(),
            events: last.figures.sent(),
            dropped: last.figures.dropped(),
            marks,
            marks_seen: seen.len() as u64,
            alerts: ids.len() as u64,
            arrived: ids.intersection(&arrived).count() as u64,
            output_lost: number("lost") + number("refused"),
            refused: self.receiver.refused(),
            backlog: number("backlog_bytes"),
            kills: self.kills,
            restarts: last.figures.sum("worker_restarts_total", ""),
        });
        let log = self.agent.log();
        self.agent.stop().with_context(|| log)?;
        std::fs::remove_dir_all(&self.dir).context("scratch directory")
    }

    /// Marks and ids of the alerts on standard output.
    fn printed(&self) -> Result<(BTreeSet<String>, HashSet<String>)> {
        let (mut marks, mut ids) = (BTreeSet::new(), HashSet::new());
        for line in self.agent.alerts()?.lines() {
            // A worker that was killed may leave the beginning of a line; its successor tells it again.
            let Ok(document) = serde_json::from_str::<Value>(line) else { continue };
            let Some(id) = document.pointer("/alert/id").and_then(Value::as_str) else { continue };
            ids.insert(id.to_owned());
            if document.pointer("/rule/id").and_then(Value::as_str) == Some("bench-mark") {
                let args = document.pointer("/process/args").and_then(Value::as_array);
                let mark = args.into_iter().flatten().filter_map(Value::as_str);
                // Who starts them has what they begin with among its own words.
                let is_mark = |arg: &&str| arg.starts_with(flood::MARK) && !arg.ends_with('.');
                marks.extend(mark.filter(is_mark).map(str::to_owned));
            }
        }
        Ok((marks, ids))
    }

    fn figures(&self) -> Result<Figures> {
        Ok(Figures::of(&self.agent.ask(&["metrics"])?))
    }

    /// The guard and all that it started, by what they are. A second one of a kind has a number.
    fn processes(&self) -> BTreeMap<String, Sample> {
        let guard = self.agent.guard();
        let mut all = BTreeMap::new();
        let each = sample::children(guard).into_iter().chain([(guard, "guard".to_owned())]);
        for (pid, name) in each {
            if let Ok(sample) = Sample::of(pid) {
                all.entry(name).or_insert(sample);
            }
        }
        all
    }
}

/// A rule that never matches, another one each time.
fn text_of_rule(number: u64) -> String {
    format!(
        "[[rule]]\nid = \"soak-changing\"\nname = \"Changes\"\n\
         description = \"Number {number} of the soak.\"\nseverity = \"informational\"\nattack = []\n\
         query = '''process where process.name == \"nobody-{number}\"'''\n"
    )
}

/// A policy about nobody, with another peer each time: two kinds of policies, so that programs come and go.
fn text_of_policy(number: u32) -> String {
    let operations = if number.is_multiple_of(2) { "connect" } else { "[connect, bind]" };
    format!(
        "apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {{name: soak}}\nspec:\n  rules:\n    - id: nobody\n      \
         subject: {{executable: /nonexistent/{number}}}\n      deny: {operations}\n      peers: '192.0.2.1:9'\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_another_text() {
        assert_ne!(text_of_rule(1), text_of_rule(2));
        assert_ne!(text_of_policy(1), text_of_policy(3));
        assert!(text_of_policy(1).contains("bind") && !text_of_policy(2).contains("bind"));
    }
}
