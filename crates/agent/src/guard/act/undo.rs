//! How actions end: an operator rolls them back, their time is over, or a crash came between a decision
//! and what came of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::children::Job;
use super::deed::{Deed, Doing, Process};
use super::kept::Kept;
use super::process::{self, Held};
use super::{Actor, deed};
use crate::exit::{Exit, Failure};
use crate::policy::load::now;
use crate::proto::{Undo, Verb, What};

/// Seconds until what could not be undone is tried again.
const RETRY: i64 = 60;

/// Why an action ends.
#[derive(Debug, Clone, Copy)]
enum End<'a> {
    /// An operator said so.
    RolledBack(&'a Undo),
    /// Its time is over.
    Expired,
}

impl Actor {
    /// Says what came of decisions that the log leaves open: an agent before this one ended meanwhile.
    /// What it did and can be undone is looked after from now on.
    pub(in crate::guard) fn begin(&mut self) -> Result<(), Failure> {
        let lines = self.audit.lines(|action| action.starts_with("response"));
        let lines = lines.map_err(|error| {
            Failure::new(Exit::Failed, format!("the audit log cannot be read: {error}"))
                .help("see `aegisbpf audit verify`; give another --state-dir to begin a new one")
        })?;
        for (of, line) in open(&lines) {
            let done = self.left(of, line);
            let word = if done.is_ok() { "interrupted" } else { "failed" };
            self.outcome(of, word, done);
        }
        self.expire(now());
        Ok(())
    }

    /// What can be told of a decision without an outcome, and what of it must be brought to its end.
    fn left(&mut self, of: u64, line: &Json) -> Result<Json, String> {
        if line["action"] == "response-undo" {
            let is_there = self.keep.has(of);
            return Ok(json!({ "undone": !is_there, "reason": INTERRUPTED }));
        }
        let number = |name: &str| line.get(name).and_then(Json::as_u64).unwrap_or_default();
        let pid = u32::try_from(number("pid")).unwrap_or_default();
        let process = Process { pid, start: number("start"), boot: process::boot() };
        // Nothing is in effect whose way back is not on the disk.
        let kept = self.keep.of(|one| one.id == of);
        let in_effect = kept.iter().any(|one| one.deed.is_in_effect(of, &self.place));
        let (mut seen, mut more) = (Deed::seen(&process), json!({}));
        if line["response"] == "kill-tree"
            && let Ok(held) = process.hold()
            && held.is_stopped()
        {
            // It had begun: what is stopped already would stay so without anybody knowing.
            more = self.finish(&held)?;
            "it was stopped, and its tree is ended now".clone_into(&mut seen);
        }
        let about = json!({ "process": seen, "in_effect": in_effect, "reason": INTERRUPTED });
        let (Json::Object(mut about), Json::Object(more)) = (about, more) else {
            return Ok(json!({}));
        };
        about.extend(more);
        Ok(Json::Object(about))
    }

    fn finish(&self, held: &Held) -> Result<Json, String> {
        if let Some(reason) = self.protected.spares(held, 0) {
            return Err(reason);
        }
        deed::kill_tree(held, &self.protected, 0).map_err(|error| error.to_string())
    }

    /// Does what an operator said about actions, and tells what came of it.
    pub(in crate::guard) fn undo(&mut self, undo: &Undo) -> Json {
        let meant: Vec<Kept> = match &undo.what {
            What::Resume => return self.resume(undo),
            What::One(id) => self.keep.of(|one| one.id == *id),
            What::Rule(rule) => self.keep.of(|one| one.rule == *rule),
            What::Since(time) => self.keep.of(|one| one.since >= *time),
        };
        if meant.is_empty() {
            return json!({ "error": self.nothing(&undo.what) });
        }
        let undone = meant.iter().map(|one| {
            let done = self.end(one, End::RolledBack(undo));
            let goes_on = done == Ok(false);
            let about = json!({ "id": one.id, "was": one.deed.describe(), "error": done.err() });
            with(about, "goes_on", goes_on)
        });
        json!({ "undone": undone.collect::<Vec<_>>() })
    }

    /// Why there is nothing to undo.
    fn nothing(&self, what: &What) -> String {
        let What::One(id) = what else {
            return "no such action is in effect; `aegisbpf actions list` shows them".to_owned();
        };
        let line = self.audit.lines(|action| action == "response").unwrap_or_default();
        match line.iter().find(|line| line["seq"] == *id && line["decision"] == "do") {
            None => format!("{id} is no action; `aegisbpf actions list` shows them"),
            Some(line) if verb(line).is_some_and(Verb::is_reversible) => {
                format!("action {id} is in effect no more; `aegisbpf actions show {id}` tells why")
            }
            Some(line) => {
                let verb = line["response"].as_str().unwrap_or_default();
                format!("action {id} cannot be undone: it was `{verb}`")
            }
        }
    }

    /// Acts again after the breaker has tripped.
    fn resume(&mut self, undo: &Undo) -> Json {
        if !self.limits.is_open() {
            return json!({ "error": "the circuit breaker has not tripped" });
        }
        let about = json!({ "uid": undo.uid, "reason": undo.reason });
        if let Err(error) = self.audit.write("responses-on", about) {
            return json!({ "error": format!("it cannot be written down: {error}") });
        }
        self.limits.close();
        json!({ "resumed": true })
    }

    /// Ends what is over, and forgets what was of another boot.
    pub(super) fn expire(&mut self, now: i64) {
        let is_over = |one: &Kept| one.until <= now || one.is_over(&self.place);
        for one in self.keep.of(|one| !self.children.has(one.id) && is_over(one)) {
            if let Err(reason) = self.end(&one, End::Expired) {
                tracing::error!(id = one.id, reason, "an action whose time is over goes on");
            }
        }
    }

    /// Undoes one; false if that takes a while.
    fn end(&mut self, one: &Kept, end: End<'_>) -> Result<bool, String> {
        if self.children.has(one.id) {
            return Err("it is being done or undone: ask again".to_owned());
        }
        let (word, mut about) = match end {
            End::Expired => ("expired", Map::new()),
            End::RolledBack(undo) => {
                let about = json!({ "uid": undo.uid, "reason": undo.reason });
                ("rolled-back", about.as_object().cloned().unwrap_or_default())
            }
        };
        about.insert("of".to_owned(), one.id.into());
        about.insert("rule".to_owned(), one.rule.clone().into());
        about.insert("was".to_owned(), one.deed.describe().into());
        about.insert("decision".to_owned(), word.into());
        // Letting go is done although it cannot be written down: `note` tells and counts that.
        self.audit.note("response-undo", Json::Object(about));
        let done = match one.deed.undo(one.id, &self.place) {
            Doing::Now(done) => done,
            Doing::Keep(_) | Doing::Post(_) => return Ok(true),
            Doing::By(words) => {
                let (id, rule, verb) = (one.id, one.rule.clone(), one.deed.verb());
                let job = Job { id, rule, verb, end: Some(word), words, input: None };
                match self.children.begin(job) {
                    Ok(()) => return Ok(false),
                    Err(reason) => Err(reason),
                }
            }
        };
        let result = done.clone().map(|_| true);
        self.undone(one.id, word, done);
        result
    }

    /// One was undone, or was not: then it is tried again later.
    pub(super) fn undone(&mut self, id: u64, word: &str, done: Result<Json, String>) {
        match &done {
            Ok(_) => self.keep.remove(id),
            Err(reason) => {
                tracing::error!(id, reason, "an action is not undone");
                self.keep.postpone(id, now().saturating_add(RETRY));
            }
        }
        self.outcome(id, word, done);
    }
}

fn verb(line: &Json) -> Option<Verb> {
    Verb::from_name(line["response"].as_str()?)
}

fn with(mut about: Json, name: &str, value: bool) -> Json {
    if let (true, Some(about)) = (value, about.as_object_mut()) {
        about.insert(name.to_owned(), value.into());
    }
    about
}

const INTERRUPTED: &str = "the agent ended before it could say what came of this";

/// The decisions that no outcome names, by number: the last line that says what was to be done.
fn open(lines: &[Json]) -> BTreeMap<u64, &Json> {
    let mut open = BTreeMap::new();
    for line in lines {
        let number = |name: &str| line.get(name).and_then(Json::as_u64);
        match (line["action"].as_str(), line["decision"].as_str()) {
            (Some("response"), Some("do")) => drop(number("seq").map(|seq| open.insert(seq, line))),
            (Some("response-undo"), _) => drop(number("of").map(|of| open.insert(of, line))),
            (Some("response-outcome"), _) => drop(number("of").map(|of| open.remove(&of))),
            _ => {}
        }
    }
    open
}
