//! A set of rules that was read becomes a generation; one that comes back becomes the one in force.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::{Generations, OnTrial, now};
use crate::exit::{Exit, Failure};
use crate::rules::about::{Changes, Entry, Kind, digest};
use crate::rules::standing::Broken;
use crate::rules::{About, Cause, Held, Standing, Why};
use crate::worker::reload::{Fresh, Made};

impl Generations {
    /// Keeps what was read from the directories, whose files looked so. Rules run also if they cannot be
    /// kept: that is told, and counted.
    pub(super) fn keep(&self, mut made: Made, cause: &Cause, print: u64) -> Fresh {
        match self.put(&mut made, cause, print) {
            Ok((standing, trial)) => self.fresh(made, &standing, trial),
            Err(error) => {
                self.unkept.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "the rules run, and nobody can go back to them");
                let about = json!({
                    "generation": null,
                    "why": cause.why.as_str(),
                    "who": cause.who,
                    "rules": made.fresh.set.loaded,
                    "not_kept": error.to_string(),
                });
                self.audit.note("rules-loaded", about);
                let nothing = Standing { since: now(), ..Standing::default() };
                self.fresh(made, &nothing, OnTrial::Over)
            }
        }
    }

    fn put(&self, made: &mut Made, cause: &Cause, print: u64) -> io::Result<(Standing, OnTrial)> {
        let contents = made.contents.as_ref().map_err(|error| io::Error::other(error.clone()))?;
        let files: Vec<Entry> = contents.iter().map(Entry::from).collect();
        let sha256 = digest(&files, self.args.strict);
        made.sha256 = Some(sha256.clone());
        let mut locked = self.store.lock()?;
        let before = locked.standing.active.and_then(|active| self.store.about(active).ok());
        let about = match &before {
            Some(before) if before.sha256 == sha256 => before.clone(),
            _ => {
                let generation = locked.next()?;
                let about = Self::about(generation, made, (files, sha256), before.as_ref(), cause);
                locked.put(&about, contents)?;
                about
            }
        };
        let trial = self.trial(&mut locked.standing, &about, cause.why);
        let standing = &mut locked.standing;
        if standing.active != Some(about.generation) || standing.since.is_empty() {
            standing.since = now();
        }
        standing.active = Some(about.generation);
        (standing.reading, standing.print, standing.held) = (None, print, None);
        let standing = standing.clone();
        self.tell(&about, before.as_ref(), cause);
        locked.save()?;
        Ok((standing, trial))
    }

    /// What is known of a new generation.
    fn about(
        generation: u64,
        made: &Made,
        (files, sha256): (Vec<Entry>, String),
        before: Option<&About>,
        cause: &Cause,
    ) -> About {
        let (keys, revoked) = match (&made.operator, before) {
            (Some(files), _) => (files.known.clone(), files.revoked.clone()),
            (None, Some(before)) => (before.keys.clone(), before.revoked.clone()),
            (None, None) => Default::default(),
        };
        let nothing = std::collections::BTreeMap::new();
        About {
            generation,
            made: now(),
            cause: cause.clone(),
            before: before.map(|before| before.generation),
            sha256,
            rules_sha256: made.fresh.recorded.digest.clone(),
            refused: made.fresh.set.refused,
            changes: Changes::between(before.map_or(&nothing, |it| &it.rules), &made.rules),
            rules: made.rules.clone(),
            keys,
            revoked,
            files,
        }
    }

    /// Puts a generation on trial if there is one to go back to, and it is not the same.
    fn trial(&self, standing: &mut Standing, about: &About, why: Why) -> OnTrial {
        let is_new = standing.active != Some(about.generation);
        if !is_new && why != Why::Start {
            return OnTrial::AsBefore;
        }
        // While one is on trial, the one before it is the last that is known to be sound.
        let sound = if is_new { standing.trial.or(standing.active) } else { standing.trial };
        let sound = sound.and_then(|sound| self.store.about(sound).ok());
        let sound = sound.filter(|sound| sound.sha256 != about.sha256);
        let sound = sound.filter(|_| !self.args.rules_trial.is_zero());
        standing.trial = sound.as_ref().map(|sound| sound.generation);
        let Some(sound) = sound else { return OnTrial::Over };
        let Changes { added, changed, .. } = Changes::between(&sound.rules, &about.rules);
        OnTrial::Begins(about.generation, added.into_iter().chain(changed).collect())
    }

    /// Writes down what came into force, and whose word is enough since then.
    fn tell(&self, about: &About, before: Option<&About>, cause: &Cause) {
        let counts = |ids: &Vec<String>| ids.len();
        let is_new = before.is_none_or(|before| before.generation != about.generation);
        let Changes { added, removed, changed } = &about.changes;
        let line = json!({
            "generation": about.generation,
            "before": before.map(|before| before.generation),
            "sha256": about.sha256,
            "rules_sha256": about.rules_sha256,
            "rules": about.rules.len(),
            "refused": about.refused,
            "why": cause.why.as_str(),
            "who": cause.who,
            "reason": cause.reason,
            "new": is_new,
            "changes": is_new.then(|| json!({
                "added": counts(added), "removed": counts(removed), "changed": counts(changed),
            })),
        });
        self.audit.note("rules-loaded", line);
        let Some(before) = before.filter(|_| is_new) else { return };
        let generation = about.generation;
        let lacks = |known: &[String], of: &[String], action: &str| {
            let known: BTreeSet<&String> = known.iter().collect();
            for key in of.iter().filter(|key| !known.contains(key)) {
                self.audit.note(action, json!({ "key": key, "generation": generation }));
            }
        };
        lacks(&before.keys, &about.keys, "key-added");
        lacks(&about.keys, &before.keys, "key-removed");
        lacks(&before.revoked, &about.revoked, "key-revoked");
        lacks(&about.revoked, &before.revoked, "key-restored");
        let [old, new] = [before, about].map(trust);
        if old != new {
            let line = json!({ "before": old, "after": new, "generation": generation });
            self.audit.note("trust-changed", line);
        }
    }

    /// Makes a generation the one in force that runs instead of what the directories hold.
    pub(super) fn take_back(&self, held: &Held, strictly: bool) -> Result<Fresh, Failure> {
        let made = self.stored(held.generation, strictly)?;
        let failed = |error: io::Error| {
            let message = format!("going back to other rules cannot be written down: {error}");
            Failure::new(Exit::Failed, message).help("the rules stay as they were")
        };
        let mut locked = self.store.lock().map_err(failed)?;
        let standing = &mut locked.standing;
        let from = standing.active;
        let is_known = standing.held.as_ref() == Some(held);
        if from != Some(held.generation) {
            standing.since = now();
        }
        let broken = held.cause.why == Why::Revert && standing.trial.is_some();
        if let Some(from) = from.filter(|_| broken) {
            let reason = held.cause.reason.clone().unwrap_or_default();
            standing.reverted.insert(from, Broken { time: now(), reason });
            self.reverted.fetch_add(1, Ordering::Relaxed);
        }
        (standing.trial, standing.reading) = (None, None);
        (standing.active, standing.held) = (Some(held.generation), Some(held.clone()));
        let standing = standing.clone();
        let action = match held.cause.why {
            _ if is_known => "rules-loaded",
            Why::Revert => "rules-reverted",
            _ => "rules-rollback",
        };
        let line = json!({
            "generation": held.generation,
            "before": from,
            "sha256": made.sha256,
            "rules_sha256": made.fresh.recorded.digest,
            "rules": made.fresh.set.loaded,
            "refused": made.fresh.set.refused,
            "why": held.cause.why.as_str(),
            "who": held.cause.who,
            "reason": held.cause.reason,
        });
        self.audit.note(action, line);
        locked.save().map_err(failed)?;
        Ok(self.fresh(made, &standing, OnTrial::Over))
    }
}

/// The digest of the file that says whom the operator trusts.
fn trust(about: &About) -> Option<String> {
    let file = about.files.iter().find(|entry| entry.kind == Kind::Trust)?;
    Some(file.sha256.to_string())
}
