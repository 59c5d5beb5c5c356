//! The engine: records in, events and their matches out.

use std::sync::Arc;

use model::alert::Match;
use model::field::{self, FieldId};
use model::op::Kind;
use model::program::Program;
use model::script::Scripts;
use model::value::{Fields, Value};
use model::wire::{Body, FLAG_NO_CREDS, FLAG_NO_START, Record};
use serde_json::{Map, Value as Json};
use smallvec::SmallVec;

use crate::cgroup::Cgroup;
use crate::detect::{Counters, Detector, Event, Found, Limits};
use crate::eval::{self, Compiled, NoScripts};
use crate::facts::{Fact, Facts, Question};
use crate::host::{Host, Known};
use crate::process::{Key, NO_ID};
use crate::repeats::Repeats;
use crate::scratch::Scratch;
use crate::table::{Table, TableStats};
use crate::variables::Variables;
use crate::view::{Scene, View};
use kept::Kept;

mod find;
mod kept;
mod recall;

pub use recall::Known as Recalled;

/// Questions that one record can raise.
pub type Questions = SmallVec<[Question; 4]>;

/// What an engine has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records taken, those that are no events included.
    pub records: u64,
    /// Events shown to the rules.
    pub events: u64,
    /// Matches of rules.
    pub matches: u64,
    /// Matches left out, because they would have said the same again.
    pub repeats: u64,
    /// Partial matches that were given up for lack of room, and results that pipes had none for.
    pub evictions: u64,
    /// Documents of their members that were: an alert names such an event by its number alone.
    pub documents_evicted: u64,
    /// Bytes of those that are kept.
    pub document_bytes: usize,
    /// The process table.
    pub table: TableStats,
}

/// A program that is ready to run. Making it takes a while, so it is best made on another thread
/// than the one that pushes records.
#[derive(Debug)]
pub struct Prepared {
    program: Arc<Program>,
    compiled: Arc<Compiled>,
    variables: Variables,
    scripts: Box<dyn Scripts>,
}

impl Prepared {
    /// Fails if the program breaks a bound of [`eval`].
    pub fn new(program: Arc<Program>) -> Result<Prepared, eval::CompileError> {
        Prepared::with_scripts(program, Box::new(NoScripts))
    }

    /// The same with what runs the scripts of the program; without it they answer no.
    pub fn with_scripts(
        program: Arc<Program>,
        scripts: Box<dyn Scripts>,
    ) -> Result<Prepared, eval::CompileError> {
        let variables = Variables::of(&program);
        let compiled = Arc::new(Compiled::new(Arc::clone(&program))?);
        Ok(Prepared { program, compiled, variables, scripts })
    }

    /// For each rule a number for what it finds, scripts that it asks included: where that is the
    /// same, so is what the rule finds. It does not depend on the other rules, unless it counts them.
    pub fn digests(&self) -> impl Iterator<Item = u64> {
        self.compiled.plans().iter().map(|plan| plan.digest)
    }
}

/// Follows the processes of one host and runs a program over its events. Reads no clock and does
/// no I/O: the same records and facts give the same matches.
#[derive(Debug)]
pub struct Engine {
    program: Arc<Program>,
    detector: Detector,
    kept: Kept,
    host: Known,
    facts: Facts,
    table: Table,
    scratch: Scratch,
    /// What the event at hand completed.
    found: Vec<Found>,
    repeats: Repeats,
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
        Engine::with_scripts(program, host, limits, Box::new(NoScripts))
    }

    /// The same with what runs the scripts of the program.
    pub fn with_scripts(
        program: Arc<Program>,
        host: Host,
        limits: Limits,
        scripts: Box<dyn Scripts>,
    ) -> Result<Engine, eval::CompileError> {
        Ok(Engine::of(Prepared::with_scripts(program, scripts)?, host, limits))
    }

    /// The same of a program that is ready.
    pub fn of(prepared: Prepared, host: Host, limits: Limits) -> Engine {
        let Prepared { program, compiled, variables, scripts } = prepared;
        Engine {
            program,
            detector: Detector::with_scripts(compiled, limits, scripts),
            kept: Kept::default(),
            host: Known::new(host),
            facts: Facts::default(),
            table: Table::new(variables),
            scratch: Scratch::default(),
            found: Vec::new(),
            repeats: Repeats::default(),
            stats: Stats::default(),
        }
    }

    /// Runs another program from the next record on, at once and as a whole. All that is known of
    /// the host stays; rules that did not change keep their partial matches, and scripts what they
    /// remember.
    pub fn swap(&mut self, prepared: Prepared) {
        let Prepared { program, compiled, variables, scripts } = prepared;
        self.detector.replace_with(compiled, scripts);
        let old = std::mem::replace(&mut self.program, program);
        self.table.variables = variables;
        let number = |id: &str| self.program.rules.iter().position(|rule| rule.meta.id == id);
        self.repeats.renumber(|rule| {
            let rule = old.rules.get(usize::try_from(rule).ok()?)?;
            u32::try_from(number(&rule.meta.id)?).ok()
        });
    }

    /// What runs the scripts of the program: how they fare, what they did, and to release them.
    pub fn scripts(&mut self) -> &mut dyn Scripts {
        self.detector.scripts()
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
        if let Some(Key { pid, start }) = self.unplaced(record) {
            open.push(Question::Membership { pid, start });
        }
        open
    }

    /// The acting process, if it may be in a container that only version 1 of cgroups knows of.
    /// Asked once for a family of processes, and again at an exec in other namespaces: a runtime
    /// puts a process into its container before that executes the first program there.
    fn unplaced(&self, record: &Record<'_>) -> Option<Key> {
        let header = record.header();
        let start = if record.has(FLAG_NO_START) { 0 } else { header.start };
        if !self.host.host.cgroup_v1 || header.pid == 0 {
            return None;
        }
        let known = self.table.resolve(header.pid, start, header.time);
        let known = known.and_then(|slot| self.table.get(slot));
        let unified = [header.cgroup, known.map_or(0, |process| process.cgroup)];
        let unified = unified.into_iter().find(|id| *id != 0).and_then(|id| self.facts.cgroup(id));
        if unified.is_some_and(|cgroup| cgroup.container().is_some()) {
            return None;
        }
        let place = known.and_then(|process| process.place.as_ref());
        let is_due = match record.body() {
            // A fork is where its parent is; whatever ended can be asked no more.
            Body::Task(_) if matches!(record.kind(), Kind::Fork | Kind::Exit) => false,
            Body::Task(task) if record.kind() == Kind::Exec => {
                place.is_none_or(|place| place.namespaces != (task.ns_pid, task.ns_mnt))
            }
            _ => place.is_none(),
        };
        let key = known.map_or(Key { pid: header.pid, start }, |process| process.key);
        Some(key).filter(|key| is_due && key.start != 0)
    }

    /// Takes an answer.
    pub fn learn(&mut self, fact: Fact) {
        if let Fact::Membership { pid, start, hierarchies } = &fact {
            self.table.place(Key { pid: *pid, start: *start }, Cgroup::of_process(hierarchies));
        } else {
            self.facts.learn(fact);
        }
    }

    /// Takes a record: updates the process table, then evaluates, then calls back once for the
    /// event with its matches (possibly none). A process found at start is no event, nor is an end
    /// that is told twice.
    pub fn push(&mut self, record: &Record<'_>, each: &mut dyn FnMut(&View<'_>, &[Match<'_>])) {
        self.stats.records += 1;
        let applied = self.table.apply(record);
        if record.kind() == Kind::Task || applied.again {
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
        let number = self.stats.events;
        let event = Live { view: &view, number, time, identity: &identity };
        self.found.clear();
        self.detector.push(&event, &mut self.found);
        let found = self.found.len();
        if let (Value::Str(path), Some(process)) = (view.get(field::FILE_PATH), view.key()) {
            let time = record.header().time;
            self.found.retain(|found| {
                // Of several events each says something of its own.
                let is_alone = found.members.as_slice() == [number];
                !(is_alone && self.repeats.is_repeat(found.rule, process, path, time))
            });
        }
        self.stats.matches += self.found.len() as u64;
        self.stats.repeats += (found - self.found.len()) as u64;
        let earlier: Vec<_> = self.found.iter().map(|found| self.kept.members(found)).collect();
        let matches: SmallVec<[Match<'_>; 4]> = self
            .found
            .iter()
            .zip(&earlier)
            .filter_map(|(found, earlier)| matched(&self.program, found, earlier))
            .collect();
        each(&view, &matches);
        // Only what has state can name this event again.
        if let Some(origin) = self.detector.holder() {
            self.kept.put(number, origin, &model::json::document(&view));
        }
        drop(matches);
        self.scratch.reset();
    }

    /// Sequences of the program, by number, to which the last record was the last event but one, and
    /// how long before it they began, ns.
    pub fn near(&self) -> &[(u32, i64)] {
        self.detector.near()
    }

    /// The time since boot has come to `now`, in ns, though no record came: what a rule waited for
    /// in vain is then certain, and what is over is freed. Calls back once for each match.
    pub fn tick(&mut self, now: u64, each: &mut dyn FnMut(&Match<'_>)) {
        self.found.clear();
        self.detector.tick(self.host.wall(now), &mut self.found);
        self.stats.matches += self.found.len() as u64;
        for found in &self.found {
            let earlier = self.kept.members(found);
            if let Some(matched) = matched(&self.program, found, &earlier) {
                each(&matched);
            }
        }
        if self.detector.held() == 0 {
            self.kept.clear();
        }
    }

    /// What each rule did so far, in the order of the program.
    pub fn counters(&self) -> Vec<Counters> {
        let rules = u32::try_from(self.program.rules.len()).unwrap_or(u32::MAX);
        (0..rules).map(|rule| self.detector.counters(rule)).collect()
    }

    /// The next event is measured with this clock, which counts nanoseconds. The engine itself reads
    /// none, and no match depends on what it says.
    pub fn measure_next(&mut self, clock: fn() -> u64) {
        self.detector.measure_next(clock);
    }

    /// What rules, by number, took for the event that was measured; see [`Detector::costs`].
    pub fn costs(&self) -> &[(u32, u64)] {
        self.detector.costs()
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        let lost = |counters: Counters| counters.evictions + counters.dropped;
        Stats {
            evictions: self.counters().into_iter().map(lost).sum(),
            documents_evicted: self.kept.evicted,
            document_bytes: self.kept.bytes(),
            table: self.table.stats(),
            ..self.stats
        }
    }
}

fn matched<'m>(
    program: &'m Program,
    found: &'m Found,
    earlier: &'m [(u64, Arc<Map<String, Json>>)],
) -> Option<Match<'m>> {
    let rule = program.rules.get(usize::try_from(found.rule).ok()?)?;
    let Found { id, members, said, .. } = found;
    Some(Match { rule: &rule.meta, id: *id, members, earlier, said })
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
