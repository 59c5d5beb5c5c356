//! Which rule may ask for what.
//!
//! The worker evaluates what strangers wrote, so it is not asked: a process of its own reads the rules as
//! the worker does, with the same options and under the same filter of system calls, and has seen no
//! event before it says what each of them may do. What it does not name may nothing.
//!
//! It reads the operator's directories. Only after a rollback it reads what the worker kept, and only if
//! that is a set of files which it has read from those directories before: of such sets we write down the
//! digests, in `granted.json`.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::Builder;

use model::capability::{Capabilities, Capability};
use model::program::{Program, Rule};
use serde::{Deserialize, Serialize};

use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::policy::store;
use crate::proto::Verb;
use crate::seccomp::Kind;
use crate::worker::{confine, in_force, wanted};

/// Bytes of all grants: as many rules as are ever loaded, with their ids.
const GRANTS_MAX: u64 = 16 << 20;

/// Sets of rules that are remembered: more than generations are kept.
const SETS_MAX: usize = 64;
/// Bytes of all their digests.
const SETS_BYTES_MAX: u64 = 64 << 10;

/// What rules may do, as far as it is known.
#[derive(Debug)]
pub(super) struct Grants {
    known: HashMap<String, Grant>,
    coming: Option<Receiver<Result<Answer, String>>>,
    /// Asked for again while they were read.
    again: bool,
    sets: Sets,
}

/// Digests of sets of rules that were read from the operator's directories, the oldest first.
#[derive(Debug)]
struct Sets {
    path: PathBuf,
    all: Vec<String>,
}

/// What the reader says.
#[derive(Debug, Default)]
struct Answer {
    /// The digest of what it read from the operator's directories; none if it read something else.
    set: Option<String>,
    grants: Vec<Grant>,
}

impl Sets {
    fn open(state: &Path) -> Sets {
        let path = state.join("granted.json");
        let all = match store::read(&path, SETS_BYTES_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::error!(%error, "rules of before a rollback may do nothing");
                }
                Vec::new()
            }
        };
        Sets { path, all }
    }

    fn add(&mut self, set: String) {
        if self.all.last() == Some(&set) {
            return;
        }
        self.all.retain(|one| *one != set);
        self.all.push(set);
        let surplus = self.all.len().saturating_sub(SETS_MAX);
        self.all.drain(..surplus);
        let kept = serde_json::to_vec(&self.all).map_err(std::io::Error::other);
        if let Err(error) = kept.and_then(|bytes| store::replace(&self.path, &bytes)) {
            tracing::error!(%error, "after a rollback to these rules they may do nothing");
        }
    }
}

/// One rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    /// Its id.
    pub(super) rule: String,
    /// SHA-256 of the file that it came from.
    pub(super) sha256: String,
    /// What it may ask for.
    pub(super) may: Vec<String>,
    /// Seconds after which what it did ends, if it says so.
    pub(super) ttl: Option<u32>,
}

impl Grants {
    /// None are known yet; the sets of before are those of this state directory.
    pub(super) fn new(state: &Path) -> Grants {
        let sets = Sets::open(state);
        Grants { known: HashMap::new(), coming: None, again: false, sets }
    }

    /// Has them read, again or for the first time. Until they are there the old ones hold.
    pub(super) fn ask(&mut self, arguments: &[OsString]) {
        if self.coming.is_some() {
            self.again = true;
            return;
        }
        let (sender, coming) = sync_channel(1);
        let (arguments, sets) = (arguments.to_vec(), self.sets.all.join("\n"));
        let started = Builder::new().name("grants".to_owned()).spawn(move || {
            // The guard has ended if nobody takes it.
            drop(sender.send(asked(&arguments, &sets)));
        });
        match started {
            Ok(_) => self.coming = Some(coming),
            Err(error) => tracing::error!(%error, "what rules may do cannot be read"),
        }
    }

    /// Takes them when they are there; true if they were read just now, or cannot be.
    pub(super) fn service(&mut self, arguments: &[OsString]) -> bool {
        let Some(coming) = &self.coming else { return false };
        match coming.try_recv() {
            Ok(Ok(Answer { set, grants })) => {
                if let Some(set) = set {
                    self.sets.add(set);
                }
                self.put(grants);
            }
            Ok(Err(error)) => tracing::error!(error, "what rules may do cannot be read"),
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => {
                tracing::error!("whoever read what rules may do is gone");
            }
        }
        self.coming = None;
        if std::mem::take(&mut self.again) {
            self.ask(arguments);
            return false;
        }
        true
    }

    /// These hold from now on.
    pub(super) fn put(&mut self, all: Vec<Grant>) {
        self.known = all.into_iter().map(|one| (one.rule.clone(), one)).collect();
    }

    /// Whether they are being read.
    pub(super) fn are_coming(&self) -> bool {
        self.coming.is_some()
    }

    /// Whether any were read.
    pub(super) fn are_known(&self) -> bool {
        !self.known.is_empty()
    }

    /// Seconds after which what a rule did ends, if it says so.
    pub(super) fn ttl(&self, rule: &str) -> Option<u32> {
        self.known.get(rule)?.ttl
    }

    /// What is known of a rule that may ask for this; why it may not.
    pub(super) fn allow(&self, rule: &str, verb: Verb) -> Result<&Grant, String> {
        let Some(grant) = self.known.get(rule) else {
            return Err("no rule of this id was granted an action".to_owned());
        };
        if grant.may.iter().any(|one| one == verb.as_str()) {
            Ok(grant)
        } else {
            Err(format!("`{}` was not granted to this rule", verb.as_str()))
        }
    }
}

fn asked(arguments: &[OsString], sets: &str) -> Result<Answer, String> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("grants").args(arguments);
    // What is wrong with rules is what the worker says, too.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(sets.as_bytes()).map_err(|error| error.to_string())?;
    }
    let mut text = String::new();
    let read = child.stdout.take().map(|out| out.take(GRANTS_MAX).read_to_string(&mut text));
    let status = child.wait().map_err(|error| error.to_string())?;
    read.transpose().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("their reader ended with {status}"));
    }
    let mut lines = text.lines();
    let first = lines.next().ok_or("their reader said nothing")?;
    let set = serde_json::from_str(first).map_err(|error| error.to_string())?;
    let grants: Result<_, _> = lines.map(serde_json::from_str).collect();
    Ok(Answer { set, grants: grants.map_err(|error| error.to_string())? })
}

/// `aegisbpf grants`: the set that was read, as JSON, and what each rule may do that asks for anything, one
/// a line. Standard input names the sets that are known.
pub(crate) fn print(args: &RunArgs) -> Result<Exit, Failure> {
    if let Err(error) = rustix::thread::set_name(c"aegisbpf-grants") {
        tracing::debug!(%error, "the process keeps its name");
    }
    confine(args, Kind::Grants)?;
    let mut known = String::new();
    std::io::stdin().take(SETS_BYTES_MAX).read_to_string(&mut known)?;
    let known: BTreeSet<String> = known.lines().map(str::to_owned).collect();
    let (rules, set) = in_force(args, &known)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::json!(set))?;
    let sources = rules.loaded.sources.iter();
    let texts: HashMap<&str, &str> =
        sources.map(|one| (one.name.as_str(), one.text.as_str())).collect();
    let all = rules.loaded.program.rules.iter().zip(&rules.loaded.origins).zip(&rules.terms);
    for ((rule, origin), terms) in all {
        let id = &rule.meta.id;
        let mut may = granted(rule, &rules.loaded.program, terms.may);
        // What a script may is within the terms of its rules.
        let scripts = rules.scripts.infos.iter().filter(|info| info.loaded);
        for script in scripts.filter(|info| info.rules.contains(id)) {
            may.extend(Verb::ALL.iter().filter(|verb| {
                let needed = Capability::for_action(verb.as_str());
                needed.is_some_and(|needed| script.may.contains(&needed.as_str()))
            }));
        }
        if may.is_empty() {
            continue;
        }
        let text = texts.get(origin.file.as_str()).copied().unwrap_or_default();
        let sha256 = packs::Sha256::of(text.as_bytes()).to_string();
        let may = may.into_iter().map(|verb| verb.as_str().to_owned()).collect();
        let ttl = rule.meta.response_ttl;
        let line = serde_json::to_string(&Grant { rule: id.clone(), sha256, may, ttl });
        writeln!(out, "{}", line.unwrap_or_default())?;
    }
    Ok(Exit::Ok)
}

/// What a rule asks for and was granted.
fn granted(rule: &Rule, program: &Program, may: Capabilities) -> Vec<Verb> {
    wanted(rule, program, may).map(|(verb, _)| verb).collect()
}
