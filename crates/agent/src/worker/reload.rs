//! Reads the rules again while those that were read before go on running.
//!
//! Reading and compiling take a while, so a thread of its own does it; the event thread only
//! swaps what is ready between two records. That thread is always there: one that the event thread
//! started later would be allowed no more than that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ::packs::Sha256;
use engine::Prepared;
use model::interest::Interest;
use tokio::sync::oneshot;

use super::acts::Acts;
use super::arms::Arms;
use super::board::{Reload, RuleInfo, RuleSet};
use super::generations::{Ask, Generations, OnTrial};
use super::rules::Rules;
use super::scripts;
use crate::cli::{Accept, RunArgs};
use crate::exit::{Exit, Failure};
use crate::operator;
use crate::rules::Content;
use crate::seccomp;

/// Clients that wait for the rules at the same time, and different things that they wait for.
const WAITING_MAX: usize = 8;
/// Jobs of the thread that wait: a reading, and the end of the trial before it, have to fit.
const JOBS_MAX: usize = 4;
/// Digits of the number for what a rule is: no two of some thousands are alike by chance.
const DIGITS: usize = 16;

/// What a client is told: the number of subscriptions after which the new rules get all they need,
/// or why the old ones stay, and how whoever asked ends therefore.
pub(crate) type Answer = oneshot::Sender<Result<u64, (Exit, String)>>;

/// Rules that are ready to run.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// For the engine.
    pub(crate) prepared: Prepared,
    /// For the sensors.
    pub(crate) interest: Interest,
    /// For the status.
    pub(crate) set: RuleSet,
    /// For the health of rules.
    pub(crate) infos: Arc<[RuleInfo]>,
    /// The scripts that they ask.
    pub(crate) scripts: Arc<[scripts::Info]>,
    /// For the guard.
    pub(crate) arms: Arms,
    /// What matches ask the guard for.
    pub(crate) acts: Acts,
    /// For recordings.
    pub(crate) recorded: capture::RuleSet,
    /// What they mean for a trial.
    pub(crate) trial: OnTrial,
}

/// The same, with what it takes to keep them.
#[derive(Debug)]
pub(crate) struct Made {
    /// What is to run.
    pub(crate) fresh: Fresh,
    /// All rules by id, and a number for what each is.
    pub(crate) rules: BTreeMap<String, String>,
    /// What they were made of, or why that cannot be kept.
    pub(crate) contents: Result<Vec<Content>, String>,
    /// The digest of that, once it is known.
    pub(crate) sha256: Option<String>,
    /// Whose word was enough.
    pub(crate) operator: Option<operator::Files>,
}

/// What was asked for, and who waits for it.
#[derive(Debug)]
struct Next {
    ask: Ask,
    clients: Vec<Answer>,
    /// Packs that are taken although they would not; as many as clients wait.
    accept: Vec<Accept>,
}

/// What came of it: what was asked for, the rules or why there are none, and who waits.
pub(crate) type Outcome = (Ask, Result<Fresh, Failure>, Vec<Answer>);

/// What the thread is to do.
#[derive(Debug)]
enum Job {
    /// Read rules.
    Answer(Ask, Box<RunArgs>),
    /// Write down that the trial of a generation is over.
    Passed(u64),
}

/// At most one reading at a time; who asks meanwhile gets the next one.
#[derive(Debug)]
pub(crate) struct Reloader {
    args: RunArgs,
    results: Receiver<Result<Fresh, Failure>>,
    jobs: SyncSender<Job>,
    /// The reading that runs, and its clients.
    running: Option<(Ask, Vec<Answer>)>,
    /// Those after it.
    next: VecDeque<Next>,
}

impl Reloader {
    /// Nothing has been asked for.
    pub(crate) fn new(args: &RunArgs, generations: Arc<Generations>) -> Reloader {
        let (sender, results) = sync_channel(1);
        let (jobs, waiting) = sync_channel(JOBS_MAX);
        let thread = std::thread::Builder::new().name("rules".into()).spawn(move || {
            seccomp::thread(seccomp::Kind::Rules);
            for job in waiting {
                match job {
                    // The event thread has ended if nobody takes it.
                    Job::Answer(ask, args) => drop(sender.send(generations.answer(ask, &args))),
                    Job::Passed(generation) => generations.passed(generation),
                }
            }
        });
        if let Err(error) = thread {
            tracing::error!(%error, "no rules will be read again: there is no thread for it");
        }
        Reloader { args: args.clone(), results, jobs, running: None, next: VecDeque::new() }
    }

    /// Asks for rules. A client that is one too many is dropped, and told so. `accept`: a pack that the
    /// reading takes although it would not.
    pub(crate) fn ask(&mut self, ask: Ask, accept: Option<Accept>, answer: Option<Answer>) {
        let same = self
            .next
            .back_mut()
            .filter(|last| matches!((&last.ask, &ask), (Ask::Directories(_), Ask::Directories(_))));
        if let Some(last) = same {
            if last.clients.len() < WAITING_MAX {
                last.clients.extend(answer);
                last.accept.extend(accept);
            }
        } else if self.next.len() < WAITING_MAX {
            let (clients, accept) = (answer.into_iter().collect(), accept.into_iter().collect());
            self.next.push_back(Next { ask, clients, accept });
        } else {
            tracing::warn!(?ask, "too much is asked of rules at once");
        }
        self.start();
    }

    fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some(Next { ask, clients, accept }) = self.next.pop_front() else { return };
        let args = Box::new(RunArgs { accept, ..self.args.clone() });
        if self.jobs.try_send(Job::Answer(ask.clone(), args)).is_ok() {
            self.running = Some((ask, clients));
            return;
        }
        tracing::error!(?ask, "the rules stay as they were: nobody is there to read others");
        for client in clients {
            let gone = (Exit::Internal, "nobody is there to read rules".to_owned());
            // Whoever does not wait any more need not be told.
            drop(client.send(Err(gone)));
        }
    }

    /// What came of the reading, and who waits for it, once it has ended.
    pub(crate) fn result(&mut self) -> Option<Outcome> {
        let mut result = self.results.try_recv().ok()?;
        if let Ok(fresh) = &mut result {
            fresh.set.reload = Some(Reload::now(None));
        }
        let (ask, clients) = self.running.take()?;
        self.start();
        Some((ask, result, clients))
    }

    /// The trial of a generation is over, and nothing was wrong.
    pub(crate) fn passed(&self, generation: u64) {
        if self.jobs.try_send(Job::Passed(generation)).is_err() {
            tracing::error!("that a trial is over is not written down: too much waits");
        }
    }
}

/// Compiles rules that were read.
pub(crate) fn ready(rules: Rules) -> Result<Made, Failure> {
    let (set, infos, recorded) = (rules.set(), rules.infos(), rules.recorded());
    let arms = Arms::of(&rules.loaded.program, &rules.terms);
    let acts = Acts::of(&rules);
    let program = Arc::new(rules.loaded.program);
    let scripts::Ready { runtime, infos: script_infos, own: _ } = rules.scripts;
    let prepared = Prepared::with_scripts(Arc::clone(&program), runtime);
    let prepared = prepared.map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let interest = engine::interest::of(&program);
    let numbered = program.rules.iter().zip(prepared.digests()).map(|(rule, finds)| {
        let text = format!("{finds:016x} {:?}", rule.meta);
        let mut is = Sha256::of(text.as_bytes()).to_string();
        is.truncate(DIGITS);
        (rule.meta.id.clone(), is)
    });
    let (rules_by_id, trial) = (numbered.collect(), OnTrial::Over);
    let fresh = Fresh {
        prepared,
        interest,
        set,
        infos,
        scripts: script_infos,
        arms,
        acts,
        recorded,
        trial,
    };
    let (contents, operator) = (rules.contents, rules.operator);
    Ok(Made { fresh, rules: rules_by_id, contents, sha256: None, operator })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Audit;
    use crate::cli::{Cli, Command};
    use crate::rules::Why;
    use crate::worker::watch::Seen;
    use clap::Parser;
    use std::time::{Duration, Instant};

    fn wait(reloader: &mut Reloader) -> Outcome {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(result) = reloader.result() {
                return result;
            }
            assert!(Instant::now() < end, "the thread has not answered");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn who_asks_while_rules_are_read_gets_the_next_reading() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let state = dir.path().join("state");
        let words = ["aegisbpf", "run", "--rules", path, "--state-dir", state.to_str().unwrap()];
        let Command::Run(args) = Cli::parse_from(words).command else { panic!() };
        let audit = Arc::new(Audit::at(&state));
        let generations = Arc::new(Generations::new(&args, Seen::default(), audit));
        let mut reloader = Reloader::new(&args, generations);
        let reload = || Ask::Directories(Why::Reload.into());
        assert!(reloader.result().is_none(), "nobody asked");
        let (one, _) = oneshot::channel();
        reloader.ask(reload(), None, Some(one));
        for _ in 0..WAITING_MAX + 3 {
            let (more, _) = oneshot::channel();
            reloader.ask(reload(), None, Some(more));
        }
        std::fs::write(dir.path().join("bad.toml"), "[[rule]]\n").unwrap();
        let (_, _, clients) = wait(&mut reloader);
        assert_eq!(clients.len(), 1);
        let (_, second, clients) = wait(&mut reloader);
        assert_eq!(second.unwrap_err().exit, Exit::Config, "what is wrong now is seen");
        assert_eq!(clients.len(), WAITING_MAX);
        assert!(reloader.result().is_none() && reloader.running.is_none());
    }
}
