//! The engine: records in, events and their matches out.

use std::sync::Arc;

use model::alert::Match;
use model::field;
use model::op::Kind;
use model::program::Program;
use model::value::{Fields, Value};
use model::wire::{Body, FLAG_NO_CREDS, FLAG_NO_START, Record};
use smallvec::SmallVec;

use crate::cgroup::Cgroup;
use crate::eval::{self, Compiled};
use crate::facts::{Fact, Facts, Question};
use crate::host::{Host, Known};
use crate::process::{Key, NO_ID};
use crate::repeats::Repeats;
use crate::scratch::Scratch;
use crate::table::{Table, TableStats};
use crate::variables::Variables;
use crate::view::{Scene, View};

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
    /// The process table.
    pub table: TableStats,
}

/// A program that is ready to run. Making it takes a while, so it is best made on another thread
/// than the one that pushes records.
#[derive(Debug)]
pub struct Prepared {
    program: Arc<Program>,
    compiled: Compiled,
    variables: Variables,
}

impl Prepared {
    /// Fails if the program breaks a bound of [`eval`].
    pub fn new(program: Arc<Program>) -> Result<Prepared, eval::CompileError> {
        let variables = Variables::of(&program);
        Ok(Prepared { compiled: Compiled::new(Arc::clone(&program))?, program, variables })
    }
}

/// Follows the processes of one host and runs a program over its events. Reads no clock and does
/// no I/O: the same records and facts give the same matches.
#[derive(Debug)]
pub struct Engine {
    program: Arc<Program>,
    compiled: Compiled,
    evaluation: eval::Scratch,
    host: Known,
    facts: Facts,
    table: Table,
    scratch: Scratch,
    /// Indices of the rules that matched the event at hand.
    hits: Vec<u32>,
    repeats: Repeats,
    stats: Stats,
}

impl Engine {
    /// An engine that knows no process yet. Fails if the program breaks a bound of [`eval`].
    pub fn new(program: Arc<Program>, host: Host) -> Result<Engine, eval::CompileError> {
        let Prepared { program, compiled, variables } = Prepared::new(program)?;
        Ok(Engine {
            compiled,
            evaluation: eval::Scratch::default(),
            program,
            host: Known::new(host),
            facts: Facts::default(),
            table: Table::new(variables),
            scratch: Scratch::default(),
            hits: Vec::new(),
            repeats: Repeats::default(),
            stats: Stats::default(),
        })
    }

    /// Runs another program from the next record on. All that is known of the host stays.
    pub fn swap(&mut self, prepared: Prepared) {
        let Prepared { program, compiled, variables } = prepared;
        (self.program, self.compiled) = (program, compiled);
        self.evaluation = eval::Scratch::default();
        self.table.variables = variables;
        self.repeats.clear();
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
        self.hits.clear();
        self.compiled.eval(&view, &mut self.evaluation, &mut self.hits);
        let found = self.hits.len();
        if let (Value::Str(path), Some(process)) = (view.get(field::FILE_PATH), view.key()) {
            let time = record.header().time;
            self.hits.retain(|rule| !self.repeats.is_repeat(*rule, process, path, time));
        }
        self.stats.matches += self.hits.len() as u64;
        self.stats.repeats += (found - self.hits.len()) as u64;
        let matches: SmallVec<[Match<'_>; 4]> = self
            .hits
            .iter()
            .filter_map(|rule| self.program.rules.get(usize::try_from(*rule).ok()?))
            .map(|rule| Match {
                rule: &rule.meta,
                id: self.host.alert(&rule.meta.id, record.as_bytes()),
            })
            .collect();
        each(&view, &matches);
        drop(matches);
        self.scratch.reset();
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        Stats { table: self.table.stats(), ..self.stats }
    }
}

#[cfg(test)]
mod tests;
