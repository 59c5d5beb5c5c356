//! Leaves out what the operator does not want to be told again.

use std::borrow::Cow;
use std::path::PathBuf;

use model::alert::Match;
use model::value::Fields;
use serde_json::{Value as Json, json};

use super::publisher::Publisher;
use crate::audit::Audit;
use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::suppressions::{Places, Suppressions, Watch};

/// Where suppressions are, if it is not said.
const DIRECTORY: &str = "/etc/aegisbpf/suppressions.d";

/// The suppressions in force, and who looks whether their files change.
#[derive(Debug)]
pub(crate) struct Suppressing {
    all: Suppressions,
    watch: Watch,
}

/// All places that suppressions are read from, whether something is there or not.
pub(crate) fn places(args: &RunArgs) -> Vec<PathBuf> {
    match &args.suppressions[..] {
        [] => vec![PathBuf::from(DIRECTORY)],
        named => named.to_vec(),
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

impl Suppressing {
    /// Reads them. What is wrong keeps the agent from starting: half of them would hide half of what was
    /// meant.
    pub(crate) fn start(args: &RunArgs, audit: &Audit) -> Result<Suppressing, Failure> {
        let places = Places { paths: places(args), may_lack: args.suppressions.is_empty() };
        let wrong = |error: String| {
            Failure::new(Exit::Config, format!("cannot use the suppressions: {error}"))
                .help("docs/incidents.md says what such a file holds")
        };
        // Before they are read: what changes meanwhile is read again.
        let seen = places.print();
        let all = places.open().map_err(wrong)?;
        if !all.is_empty() {
            note(audit, &all);
        }
        let watch = Watch::start(places, seen, args.no_watch)
            .map_err(|e| Failure::new(Exit::Internal, format!("cannot start a thread: {e}")))?;
        Ok(Suppressing { all, watch })
    }

    /// Somebody wants all that is read to be read again.
    pub(super) fn ask(&self) {
        self.watch.ask();
    }

    /// The matches that are told and acted upon.
    pub(super) fn left<'m, 'a>(
        &mut self,
        event: Option<&dyn Fields>,
        matches: &'m [Match<'a>],
    ) -> Cow<'m, [Match<'a>]> {
        self.all.left(event, matches, &now)
    }

    /// Takes what was read since, and tells what is over.
    pub(super) fn look(&mut self, publisher: &mut Publisher, audit: &Audit) {
        match self.watch.take() {
            Some(Ok(new)) if self.all.is_same(&new) => {}
            Some(Ok(new)) => {
                self.all.replace(new);
                note(audit, &self.all);
                tracing::info!("the suppressions have changed");
            }
            Some(Err(error)) => {
                let message = format!("the suppressions stay as they were: {error}");
                tracing::warn!("{message}");
                publisher.about_suppressions(
                    "suppressions_refused",
                    &message,
                    &json!({ "reason": error }),
                );
            }
            None => {}
        }
        for one in self.all.ended(now()) {
            let message = format!(
                "suppression `{}` of rule `{}` is over: its alerts are told again",
                one.id, one.rule
            );
            tracing::info!("{message}");
            let about = json!({ "suppression": one.id, "rule": one.rule, "file": one.file });
            publisher.about_suppressions("suppression_ended", &message, &about);
            audit.note("suppression-ended", about);
        }
    }

    /// Matches covered so far.
    pub(super) fn covered(&self) -> u64 {
        self.all.covered()
    }

    /// For `aegisbpf suppressions`.
    pub(super) fn document(&self) -> Json {
        self.all.document(now())
    }
}

/// Which suppressions are in force from now on, for the audit log.
fn note(audit: &Audit, all: &Suppressions) {
    audit.note("suppressions-changed", json!({ "suppressions": all.ids() }));
}
