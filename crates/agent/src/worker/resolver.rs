//! Answers the engine's questions from the host's own files.

use engine::{Engine, Fact, Question};
use model::wire::Record;

use super::host::cgroups::{Cgroups, Lookup};
use super::host::process;
use super::host::users::Names;
use super::recorder::Recorder;

/// Names and paths of this host.
#[derive(Debug)]
pub(crate) struct Resolver {
    users: Names,
    groups: Names,
    cgroups: Cgroups,
}

impl Resolver {
    /// Reads what is there now.
    pub(crate) fn new() -> Resolver {
        Resolver { users: Names::users(), groups: Names::groups(), cgroups: Cgroups::new() }
    }

    /// Tells the engine, and who records, what it lacks for this record.
    pub(crate) fn answer(
        &mut self,
        engine: &mut Engine,
        recorder: &mut Recorder,
        record: &Record<'_>,
    ) {
        for question in engine.questions(record) {
            if let Some(fact) = self.fact(question) {
                recorder.fact(&fact);
                engine.learn(fact);
            }
        }
    }

    /// Reads changed files again, and tells the engine the new names.
    pub(crate) fn refresh(&mut self, engine: &mut Engine, recorder: &mut Recorder) {
        let mut learn = |fact| {
            recorder.fact(&fact);
            engine.learn(fact);
        };
        if self.users.refresh() {
            for (id, name) in self.users.all() {
                learn(Fact::User { id, name: name.into() });
            }
        }
        if self.groups.refresh() {
            for (id, name) in self.groups.all() {
                learn(Fact::Group { id, name: name.into() });
            }
        }
    }

    /// An empty answer says that the host does not know either.
    fn fact(&mut self, question: Question) -> Option<Fact> {
        let bytes = |name: Option<&str>| name.unwrap_or_default().as_bytes().to_vec();
        Some(match question {
            Question::User(id) => Fact::User { id, name: bytes(self.users.get(id)) },
            Question::Group(id) => Fact::Group { id, name: bytes(self.groups.get(id)) },
            Question::Cgroup(id) => match self.cgroups.find(id) {
                Lookup::Path(path) => Fact::Cgroup { id, path: path.into() },
                Lookup::Gone => Fact::Cgroup { id, path: Vec::new() },
                Lookup::Later => return None,
            },
            Question::Membership { pid, start } => {
                let hierarchies = process::cgroups(pid, start).unwrap_or_default();
                Fact::Membership { pid, start, hierarchies }
            }
        })
    }
}
