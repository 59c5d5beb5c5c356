//! What the engine cannot know from records and asks for: user and group names, cgroup paths.
//!
//! The engine does no I/O. [`crate::Engine::questions`] says what it lacks, the caller looks it up
//! and tells it with [`crate::Engine::learn`]. An empty name or path says that the host does not
//! know either, and is not asked for again.

use std::collections::VecDeque;
use std::hash::Hash;

use hashbrown::HashMap;

use crate::cgroup::Cgroup;
use crate::process::Process;

/// Most users, groups and cgroups remembered, each. A host has hundreds; a churn of containers
/// makes new cgroups for ever, and the oldest are forgotten first.
pub const FACTS_MAX: usize = 8192;
/// Longest name or path remembered.
pub const FACT_BYTES_MAX: usize = 4096;

/// Something to look up on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// Name of a user id.
    User(u32),
    /// Name of a group id.
    Group(u32),
    /// Path of a cgroup (v2) id.
    Cgroup(u64),
    /// Cgroups (v1) of a process.
    Membership {
        /// Its pid.
        pid: u32,
        /// Its start, ns since boot.
        start: u64,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Name of a user.
    User {
        /// User id.
        id: u32,
        /// Its name; empty: there is none.
        name: Vec<u8>,
    },
    /// Name of a group.
    Group {
        /// Group id.
        id: u32,
        /// Its name; empty: there is none.
        name: Vec<u8>,
    },
    /// Path of a cgroup below the root of the v2 hierarchy.
    Cgroup {
        /// Cgroup id.
        id: u64,
        /// Its path; empty: it is gone.
        path: Vec<u8>,
    },
    /// Cgroups of a process. Kept with the process, and handed on to its children.
    Membership {
        /// Its pid.
        pid: u32,
        /// Its start, ns since boot.
        start: u64,
        /// What `/proc/PID/cgroup` shows; empty: the process is gone.
        hierarchies: Vec<u8>,
    },
}

/// All answers so far.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    users: Oldest<u32, Box<[u8]>>,
    groups: Oldest<u32, Box<[u8]>>,
    cgroups: Oldest<u64, Cgroup>,
}

impl Facts {
    pub(crate) fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::User { id, name } => self.users.put(id, bounded(name)),
            Fact::Group { id, name } => self.groups.put(id, bounded(name)),
            Fact::Cgroup { id, path } => self.cgroups.put(id, Cgroup::parse(&bounded(path))),
            // Known to the table of processes.
            Fact::Membership { .. } => {}
        }
    }

    /// All of them, each kind in the order in which it is forgotten.
    pub(crate) fn each(&self, told: &mut dyn FnMut(Fact)) {
        for (id, name) in self.users.iter() {
            told(Fact::User { id, name: name.to_vec() });
        }
        for (id, name) in self.groups.iter() {
            told(Fact::Group { id, name: name.to_vec() });
        }
        for (id, cgroup) in self.cgroups.iter() {
            told(Fact::Cgroup { id, path: cgroup.path().unwrap_or_default().to_vec() });
        }
    }

    pub(crate) fn knows(&self, question: Question) -> bool {
        match question {
            Question::User(id) => self.users.get(id).is_some(),
            Question::Group(id) => self.groups.get(id).is_some(),
            Question::Cgroup(id) => self.cgroups.get(id).is_some(),
            Question::Membership { .. } => false,
        }
    }

    pub(crate) fn user(&self, id: u32) -> Option<&[u8]> {
        self.users.get(id).map(|name| &**name).filter(|name| !name.is_empty())
    }

    pub(crate) fn group(&self, id: u32) -> Option<&[u8]> {
        self.groups.get(id).map(|name| &**name).filter(|name| !name.is_empty())
    }

    pub(crate) fn cgroup(&self, id: u64) -> Option<&Cgroup> {
        self.cgroups.get(id)
    }

    /// The cgroup that tells most of a process: that of version 2 with that id, or that of
    /// version 1, where hosts have both and only the latter names the container.
    pub(crate) fn place<'a>(&'a self, id: u64, process: Option<&'a Process>) -> Option<&'a Cgroup> {
        let unified = self.cgroup(id);
        let place = process.and_then(|process| process.place.as_ref()).map(|place| &*place.cgroup);
        let rank = |cgroup: &Cgroup| match cgroup.path() {
            _ if cgroup.container().is_some() => 3,
            None => 0,
            Some(b"/") => 1,
            Some(_) => 2,
        };
        // Of equals `max_by_key` takes the last.
        [place, unified].into_iter().flatten().max_by_key(|cgroup| rank(cgroup))
    }
}

fn bounded(mut text: Vec<u8>) -> Box<[u8]> {
    text.truncate(FACT_BYTES_MAX);
    text.into_boxed_slice()
}

/// A map that forgets the oldest key when it is full.
#[derive(Debug)]
struct Oldest<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Oldest<K, V> {
    fn default() -> Self {
        Oldest { map: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash, V> Oldest<K, V> {
    fn get(&self, key: K) -> Option<&V> {
        self.map.get(&key)
    }

    fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.order.iter().filter_map(|key| Some((*key, self.map.get(key)?)))
    }

    fn put(&mut self, key: K, value: V) {
        if self.map.insert(key, value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > FACTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_an_empty_answer_is_remembered() {
        let mut facts = Facts::default();
        for id in 0..=u32::try_from(FACTS_MAX).unwrap() {
            facts.learn(Fact::User { id, name: b"someone".to_vec() });
        }
        assert!(!facts.knows(Question::User(0)) && facts.knows(Question::User(1)));
        assert_eq!(facts.users.map.len(), FACTS_MAX);
        facts.learn(Fact::User { id: 1, name: Vec::new() });
        assert!(facts.knows(Question::User(1)), "not asked again");
        assert_eq!(facts.user(1), None, "but absent");
    }
}
