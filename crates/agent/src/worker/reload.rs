//! Reads the rules again while those that were read before go on running.
//!
//! Reading and compiling take a while, so a thread of its own does it; the event thread only
//! swaps what is ready between two records.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use engine::Prepared;
use model::interest::Interest;
use tokio::sync::oneshot;

use super::arms::Arms;
use super::board::{Reload, RuleInfo, RuleSet};
use super::rules;
use super::scripts;
use super::watch::Seen;
use crate::audit::Audit;
use crate::cli::{Accept, RunArgs};
use crate::exit::{Exit, Failure};

/// Clients that wait for the rules at the same time.
const WAITING_MAX: usize = 8;

/// What a client is told: the number of subscriptions after which the new rules get all they need,
/// or why the old ones stay.
pub(crate) type Answer = oneshot::Sender<Result<u64, String>>;

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
    /// For recordings.
    pub(crate) recorded: capture::RuleSet,
}

/// At most one reading at a time; who asks meanwhile gets the next one.
#[derive(Debug)]
pub(crate) struct Reloader {
    args: RunArgs,
    seen: Seen,
    audit: Arc<Audit>,
    results: Receiver<Result<Fresh, Failure>>,
    sender: SyncSender<Result<Fresh, Failure>>,
    /// Clients of the reading that runs; `None`: none runs.
    running: Option<Vec<Answer>>,
    /// Clients of the next one; `None`: nobody asked.
    next: Option<Vec<Answer>>,
    /// Packs that the next one takes although it would not; as many as clients wait.
    accept: Vec<Accept>,
}

impl Reloader {
    /// Nothing has been asked for.
    pub(crate) fn new(args: &RunArgs, seen: Seen, audit: Arc<Audit>) -> Reloader {
        let (sender, results) = sync_channel(1);
        let (running, next, accept) = (None, None, Vec::new());
        Reloader { args: args.clone(), seen, audit, results, sender, running, next, accept }
    }

    /// Asks for the rules to be read. A client that is one too many is dropped, and told so.
    pub(crate) fn ask(&mut self, answer: Option<Answer>) {
        let next = self.next.get_or_insert_with(Vec::new);
        next.extend(answer.filter(|_| next.len() < WAITING_MAX));
        self.start();
    }

    /// Lets the reading that is asked for next take a pack that it would refuse.
    pub(crate) fn accept(&mut self, accept: Option<Accept>) {
        if self.next.as_ref().is_none_or(|next| next.len() < WAITING_MAX) {
            self.accept.extend(accept);
        }
    }

    fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some(clients) = self.next.take() else { return };
        self.running = Some(clients);
        let (seen, sender) = (self.seen.clone(), self.sender.clone());
        let args = RunArgs { accept: std::mem::take(&mut self.accept), ..self.args.clone() };
        let audit = Arc::clone(&self.audit);
        let thread = std::thread::Builder::new().name("rules".into()).spawn(move || {
            seen.note(&args);
            // The event thread has ended if nobody takes it.
            drop(sender.send(read(&args, &audit)));
        });
        if let Err(error) = thread {
            let failure = Failure::new(Exit::Internal, format!("cannot start a thread: {error}"));
            drop(self.sender.try_send(Err(failure)));
        }
    }

    /// What came of the reading, and who waits for it, once it has ended.
    pub(crate) fn result(&mut self) -> Option<(Result<Fresh, Failure>, Vec<Answer>)> {
        let result = self.results.try_recv().ok()?;
        let clients = self.running.take().unwrap_or_default();
        self.start();
        Some((result, clients))
    }
}

fn read(args: &RunArgs, audit: &Audit) -> Result<Fresh, Failure> {
    let rules = rules::read(args, rules::When::Reload, audit)?;
    let (mut set, infos) = (rules.set(), rules.infos());
    set.reload = Some(Reload::now(None));
    let arms = Arms::of(&rules.loaded.program, &rules.terms);
    let recorded = rules.recorded();
    let program = Arc::new(rules.loaded.program);
    let scripts::Ready { runtime, infos: script_infos } = rules.scripts;
    let prepared = Prepared::with_scripts(Arc::clone(&program), runtime);
    let prepared = prepared.map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let interest = engine::interest::of(&program);
    Ok(Fresh { prepared, interest, set, infos, scripts: script_infos, arms, recorded })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use std::time::{Duration, Instant};

    fn wait(reloader: &mut Reloader) -> (Result<Fresh, Failure>, Vec<Answer>) {
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
        let words = ["aegisbpf", "run", "--rules", dir.path().to_str().unwrap()];
        let Command::Run(args) = Cli::parse_from(words).command else { panic!() };
        let mut reloader = Reloader::new(&args, Seen::default(), Arc::new(Audit::at(dir.path())));
        assert!(reloader.result().is_none(), "nobody asked");
        let (one, _) = oneshot::channel();
        reloader.ask(Some(one));
        for _ in 0..WAITING_MAX + 3 {
            let (more, _) = oneshot::channel();
            reloader.ask(Some(more));
        }
        std::fs::write(dir.path().join("bad.toml"), "[[rule]]\n").unwrap();
        let (_, clients) = wait(&mut reloader);
        assert_eq!(clients.len(), 1);
        let (second, clients) = wait(&mut reloader);
        assert_eq!(second.unwrap_err().exit, Exit::Config, "what is wrong now is seen");
        assert_eq!(clients.len(), WAITING_MAX);
        assert!(reloader.result().is_none() && reloader.running.is_none());
    }
}
