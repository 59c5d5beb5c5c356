//! Which rule may ask for what.
//!
//! The worker evaluates what strangers wrote, so it is not asked: a process of its own reads the rules as
//! the worker does, with the same options and under the same filter of system calls, and has seen no
//! event before it says what each of them may do. What it does not name may nothing.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::Builder;

use model::capability::Capabilities;
use model::program::Response;
use serde::{Deserialize, Serialize};

use crate::audit::Audit;
use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::proto::Verb;
use crate::worker::rules;

/// Bytes of all grants: as many rules as are ever loaded, with their ids.
const GRANTS_MAX: u64 = 16 << 20;

/// What rules may do, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Grants {
    known: HashMap<String, Vec<String>>,
    coming: Option<Receiver<Result<HashMap<String, Vec<String>>, String>>>,
}

/// One rule.
#[derive(Debug, Serialize, Deserialize)]
struct Grant {
    rule: String,
    may: Vec<String>,
}

impl Grants {
    /// Has them read, again or for the first time. Until they are there the old ones hold.
    pub(super) fn ask(&mut self, arguments: Vec<String>) {
        let (sender, coming) = sync_channel(1);
        let started = Builder::new().name("grants".to_owned()).spawn(move || {
            // Nobody waits any more if a newer question was asked.
            drop(sender.send(asked(&arguments)));
        });
        match started {
            Ok(_) => self.coming = Some(coming),
            Err(error) => tracing::error!(%error, "what rules may do cannot be read"),
        }
    }

    /// Takes them when they are there.
    pub(super) fn service(&mut self) {
        let Some(coming) = &self.coming else { return };
        match coming.try_recv() {
            Ok(Ok(known)) => self.known = known,
            Ok(Err(error)) => tracing::error!(error, "what rules may do cannot be read"),
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {
                tracing::error!("whoever read what rules may do is gone");
            }
        }
        self.coming = None;
    }

    /// Whether a rule may ask for this; why not.
    pub(super) fn allow(&self, rule: &str, verb: Verb) -> Result<(), String> {
        let Some(may) = self.known.get(rule) else {
            return Err("no rule of this id was granted anything".to_owned());
        };
        if may.iter().any(|one| one == verb.as_str()) {
            Ok(())
        } else {
            Err(format!("`{}` was not granted to this rule", verb.as_str()))
        }
    }
}

fn asked(arguments: &[String]) -> Result<HashMap<String, Vec<String>>, String> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("grants").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = child.stdout.take().map(|out| out.take(GRANTS_MAX).read_to_string(&mut text));
    let status = child.wait().map_err(|error| error.to_string())?;
    read.transpose().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    let line = |line: &str| serde_json::from_str::<Grant>(line).map(|one| (one.rule, one.may));
    text.lines().map(line).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// `aegisbpf grants`: what each rule may do that asks for anything, one a line.
pub(crate) fn print(args: &RunArgs) -> Result<Exit, Failure> {
    crate::seccomp::no_network()?;
    let audit = Audit::at(&args.state_dir);
    let rules = rules::read(args, rules::When::Reload, &audit)?;
    let mut out = std::io::stdout().lock();
    for (rule, terms) in rules.loaded.program.rules.iter().zip(&rules.terms) {
        let may = granted(&rule.meta.responses, terms.may);
        if !may.is_empty() {
            let line = serde_json::to_string(&Grant { rule: rule.meta.id.clone(), may });
            writeln!(out, "{}", line.unwrap_or_default())?;
        }
    }
    Ok(Exit::Ok)
}

/// What a rule asks for and was granted.
fn granted(asked: &[Response], may: Capabilities) -> Vec<String> {
    let verbs = asked.iter().filter(|one| may.permits(&one.action));
    verbs.filter_map(|one| Verb::from_name(&one.action)).map(|one| one.as_str().to_owned()).collect()
}
