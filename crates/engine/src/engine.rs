//! The engine: records in, events and their matches out.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::alert::Match;
use model::field::FieldId;
use model::op::Kind;
use model::program::Program;
use model::value::{Fields, Value};
use model::wire::{Body, FLAG_NO_CREDS, Record};
use serde_json::{Map, Value as Json};
use smallvec::SmallVec;

use crate::detect::{Counters, Detector, Event, Found, Limits};
use crate::eval::{self, Compiled};
use crate::facts::{Fact, Facts, Question};
use crate::host::{Host, Known};
use crate::process::NO_ID;
use crate::scratch::Scratch;
use crate::table::{Table, TableStats};
use crate::view::{Scene, View};

/// Questions that one record can raise.
pub type Questions = SmallVec<[Question; 4]>;

/// Documents of events that a later match may name; the oldest go first. Some ten kilobytes each.
const KEPT_MAX: usize = 8_192;

/// What an engine has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records taken, those that are no events included.
    pub records: u64,
    /// Events shown to the rules.
    pub events: u64,
    /// Matches of rules.
    pub matches: u64,
    /// The process table.
    pub table: TableStats,
}

/// Follows the processes of one host and runs a program over its events. Reads no clock and does
/// no I/O: the same records and facts give the same matches.
#[derive(Debug)]
pub struct Engine {
    program: Arc<Program>,
    detector: Detector,
    /// Events that are members of partial matches, by number.
    kept: BTreeMap<u64, Arc<Map<String, Json>>>,
    host: Known,
    facts: Facts,
    table: Table,
    scratch: Scratch,
    /// What the event at hand completed.
    found: Vec<Found>,
    stats: Stats,
}

impl Engine {
    /// An engine that knows no process yet. Fails if the program breaks a bound of [`eval`].
    pub fn new(program: Arc<Program>, host: Host) -> Result<Engine, eval::CompileError> {
        Engine::with(program, host, Limits::default())
    }

    /// The same with bounds, and the secret of join keys, of one's own.
    pub fn with(
        program: Arc<Program>,
        host: Host,
        limits: Limits,
    ) -> Result<Engine, eval::CompileError> {
        let compiled = Arc::new(Compiled::new(Arc::clone(&program))?);
        Ok(Engine {
            detector: Detector::new(compiled, limits),
            kept: BTreeMap::new(),
            program,
            host: Known::new(host),
            facts: Facts::default(),
            table: Table::default(),
            scratch: Scratch::default(),
            found: Vec::new(),
            stats: Stats::default(),
        })
    }

    /// What has to be looked up before [`Engine::push`], so that the event shows names. Events are
    /// complete without the answers; the fields are then absent.
    pub fn questions(&self, record: &Record<'_>) -> Questions {
        let mut open = Questions::new();
        let header = record.header();
        let mut ask = |question| {
            if !self.facts.knows(question) && !open.contains(&question) {
                open.push(question);
            }
        };
        if header.cgroup != 0 {
            ask(Question::Cgroup(header.cgroup));
        }
        let creds = header.flags & FLAG_NO_CREDS == 0;
        let real = match record.body() {
            Body::Task(task) => task.ruid,
            Body::Ids(ids) => ids.ruid,
            _ => NO_ID,
        };
        let users = [if creds { header.uid } else { NO_ID }, real];
        users.into_iter().filter(|id| *id != NO_ID).for_each(|id| ask(Question::User(id)));
        if creds && header.gid != NO_ID {
            ask(Question::Group(header.gid));
        }
        open
    }

    /// Takes an answer.
    pub fn learn(&mut self, fact: Fact) {
        self.facts.learn(fact);
    }

    /// Takes a record: updates the process table, then evaluates, then calls back once for the
    /// event with its matches (possibly none). A process found at start is no event.
    pub fn push(&mut self, record: &Record<'_>, each: &mut dyn FnMut(&View<'_>, &[Match<'_>])) {
        self.stats.records += 1;
        let applied = self.table.apply(record);
        if record.kind() == Kind::Task {
            return;
        }
        self.stats.events += 1;
        let process = applied.slot.and_then(|slot| self.table.get(slot));
        let scene = Scene {
            table: &self.table,
            facts: &self.facts,
            host: &self.host,
            scratch: &self.scratch,
        };
        let view = View::new(record, process, applied.old_uid, self.stats.events, scene);
        let identity = || self.host.event(record.as_bytes());
        let time = self.host.wall(record.header().time);
        let event = Live { view: &view, number: self.stats.events, time, identity: &identity };
        self.found.clear();
        self.detector.push(&event, &mut self.found);
        self.stats.matches += self.found.len() as u64;
        let kept = &self.kept;
        let earlier = |found: &Found| -> Vec<(u64, Arc<Map<String, Json>>)> {
            let known = |number: &u64| Some((*number, Arc::clone(kept.get(number)?)));
            found.members.iter().filter_map(known).collect()
        };
        let earlier: Vec<_> = self.found.iter().map(earlier).collect();
        let matches: SmallVec<[Match<'_>; 4]> = self
            .found
            .iter()
            .zip(&earlier)
            .filter_map(|(found, earlier)| {
                let rule = self.program.rules.get(usize::try_from(found.rule).ok()?)?;
                let (id, members) = (found.id, found.members.as_slice());
                Some(Match { rule: &rule.meta, id, members, earlier })
            })
            .collect();
        each(&view, &matches);
        // Only what has state can name this event again.
        if self.detector.holds_last() && self.detector.partials() > 0 {
            self.kept.insert(self.stats.events, Arc::new(model::json::document(&view)));
            if self.kept.len() > KEPT_MAX {
                self.kept.pop_first();
            }
        }
        drop(matches);
        self.scratch.reset();
    }

    /// Event time has come to `now`, ns since the Unix epoch, though no event came: what a rule
    /// waited for in vain is then certain. Told to `each` as rule and match.
    pub fn tick(&mut self, now: i64, each: &mut dyn FnMut(&Match<'_>)) {
        self.found.clear();
        self.detector.tick(now, &mut self.found);
        self.stats.matches += self.found.len() as u64;
        for found in &self.found {
            let rule = usize::try_from(found.rule).ok().and_then(|it| self.program.rules.get(it));
            let Some(rule) = rule else { continue };
            let known = |number: &u64| Some((*number, Arc::clone(self.kept.get(number)?)));
            let earlier: Vec<_> = found.members.iter().filter_map(known).collect();
            let (id, members) = (found.id, found.members.as_slice());
            each(&Match { rule: &rule.meta, id, members, earlier: &earlier });
        }
    }

    /// Goes on with another program, at once and as a whole; rules that did not change keep their
    /// partial matches. If it cannot run, the old one stays.
    pub fn replace(&mut self, program: Arc<Program>) -> Result<(), eval::CompileError> {
        let compiled = Arc::new(Compiled::new(Arc::clone(&program))?);
        self.detector.replace(compiled);
        self.program = program;
        Ok(())
    }

    /// What each rule did so far, in the order of the program.
    pub fn counters(&self) -> Vec<Counters> {
        let rules = u32::try_from(self.program.rules.len()).unwrap_or(u32::MAX);
        (0..rules).map(|rule| self.detector.counters(rule)).collect()
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        Stats { table: self.table.stats(), ..self.stats }
    }
}

/// A view in its place in the stream.
struct Live<'l> {
    view: &'l View<'l>,
    number: u64,
    time: i64,
    identity: &'l dyn Fn() -> u64,
}

impl Fields for Live<'_> {
    fn get(&self, field: FieldId) -> Value<'_> {
        self.view.get(field)
    }
}

impl Event for Live<'_> {
    fn number(&self) -> u64 {
        self.number
    }

    fn time(&self) -> i64 {
        self.time
    }

    fn identity(&self) -> u64 {
        (self.identity)()
    }
}

#[cfg(test)]
mod tests;
