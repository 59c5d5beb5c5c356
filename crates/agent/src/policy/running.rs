//! A running agent as the one who carries policies out, and nobody if none runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::policy::Mode;
use serde_json::Value as Json;

use super::deploy::{Enforce, Nobody};
use super::offer::Offer;
use super::store::Staged;
use crate::client;
use crate::exit::{Exit, Failure};
use crate::proto::{Policy, Request};

/// How often a trial is asked after.
const PERIOD: Duration = Duration::from_millis(500);
/// How much longer than it should a trial may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// The agent of a runtime directory.
#[derive(Debug)]
pub(crate) struct Running {
    runtime: PathBuf,
    about: Json,
    trial: Option<Duration>,
}

/// What the agent says of policies; none if no agent runs.
pub(crate) fn ask(runtime: &Path) -> Result<Option<Json>, Failure> {
    // Root is answered by the guard itself: what is compiled depends on it. Others only look.
    let answer = if rustix::process::geteuid().is_root() {
        client::change(runtime, &Request::Policy(0, Policy::Show))
    } else {
        client::get_and_load(runtime, "/v1/policy").and_then(client::Answer::json)
    };
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.exit == Exit::NotRunning => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn text<'a>(of: &'a Json, name: &str) -> Option<&'a str> {
    of.get(name)?.as_str()
}

/// Who carries policies out, on trial for so long if given. Without an agent nobody does, and what
/// the last agent was started with decides how they are compiled.
pub(crate) fn enforcer(
    runtime: &Path,
    trial: Option<Duration>,
) -> Result<Box<dyn Enforce>, Failure> {
    let runtime = runtime.to_owned();
    match ask(&runtime)? {
        Some(about) => Ok(Box::new(Running { runtime, about, trial })),
        None if trial.is_some() => {
            Err(Failure::new(Exit::NotRunning, "no agent runs: nobody can watch the new policies")
                .help("start one with `aegisbpf run`, or leave out --canary"))
        }
        None => Ok(Box::new(Nobody { mode: Mode::Audit })),
    }
}

impl Enforce for Running {
    fn name(&self) -> Option<String> {
        let tier = text(&self.about, "tier").unwrap_or("none");
        Some(format!("the agent (tier {tier})"))
    }

    fn mode(&self) -> Mode {
        if text(&self.about, "mode") == Some("enforce") { Mode::Enforce } else { Mode::Audit }
    }

    fn offer(&self) -> Offer {
        Offer::of_document(self.about.get("missing").unwrap_or(&Json::Null))
    }

    fn put(&mut self, staged: &Staged) -> Result<(), Failure> {
        let trial = self.trial.map_or(0, |trial| trial.as_secs());
        let trial = u32::try_from(trial).unwrap_or(u32::MAX);
        let put = Request::Policy(0, Policy::Put(staged.generation, trial));
        match client::change(&self.runtime, &put) {
            Ok(_) => Ok(()),
            Err(failure) if failure.exit == Exit::Unreachable => {
                settle(&self.runtime, staged.generation, failure)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Whether a generation came into force although its answer was lost. The agent answers one question
/// after the other, so what it says next is what has become of it.
fn settle(runtime: &Path, generation: u64, lost: Failure) -> Result<(), Failure> {
    match ask(runtime) {
        Ok(Some(about)) if about.get("generation") == Some(&generation.into()) => Ok(()),
        // It says what else is in force.
        Ok(Some(_)) => Err(lost),
        Ok(None) | Err(_) => Err(lost.help(
            "an agent that starts again puts in force what `aegisbpf policy history` names last; \
             `aegisbpf policy show` tells as soon as it answers",
        )),
    }
}

/// Waits until a trial is over; the reason if it failed.
pub(crate) fn wait(runtime: &Path, trial: Duration) -> Result<Option<String>, Failure> {
    let end = Instant::now() + trial + GRACE;
    loop {
        // An agent that does not answer is judged by its guard; one that is gone enforces nothing.
        if let Ok(Some(about)) = ask(runtime)
            && about.get("trial_left_s").is_none_or(Json::is_null)
        {
            return Ok(text(&about, "trial_failed").map(str::to_owned));
        }
        if Instant::now() >= end {
            return Err(Failure::new(
                Exit::Unreachable,
                "the agent does not say how the trial ended",
            )
            .help("`aegisbpf policy show` does, as soon as the agent answers"));
        }
        std::thread::sleep(PERIOD);
    }
}
