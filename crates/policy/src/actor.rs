//! Processes in words: what a person says of a process, as the tables see it.
//!
//! For `lint`, `explain` and `diff`, which ask about processes that need not run and names that need
//! not exist on the host where they are asked.

use model::policy::{Container, Subject};

use crate::bits::Bits;
use crate::compile::Compiled;
use crate::pattern::Pattern;
use crate::subjects::{Facts, Process, Resolve, Selector, wildcard};
use crate::tables::Content;

/// The only cgroup that a described process is in.
const CGROUP: u64 = 1;
/// Users and groups of which only the name was said.
const NAMED: u32 = u32::MAX - 1;

/// A process as it is described.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// Path of the executable.
    pub executable: String,
    /// Path of the script that it interprets.
    pub script: Option<String>,
    /// SHA-256 of the executable.
    pub hash: Option<[u8; 32]>,
    /// Its user.
    pub user: Identity,
    /// Its groups.
    pub groups: Vec<Identity>,
    /// Its cgroup; units and slices of systemd are parts of it.
    pub cgroup: String,
    /// Its container: name, image and labels as they are, no patterns.
    pub container: Option<Container>,
    /// Whether it belongs to a login session.
    pub login: bool,
    /// Executables of its ancestors, the oldest first.
    pub ancestors: Vec<String>,
    /// Whether it did all deeds that rules with `after` wait for.
    pub armed: bool,
}

/// A user or group: a number, a name, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The number.
    pub id: Option<u32>,
    /// The name.
    pub name: Option<String>,
}

impl Identity {
    /// The superuser or his group.
    pub fn root() -> Identity {
        Identity { id: Some(0), name: Some("root".to_owned()) }
    }

    /// From a word of a policy: a number, or else a name.
    pub fn of(word: &str) -> Identity {
        match word.parse() {
            Ok(id) => Identity { id: Some(id), name: None },
            Err(_) => Identity { id: None, name: Some(word.to_owned()) },
        }
    }

    fn number(&self) -> u32 {
        self.id.unwrap_or(NAMED)
    }

    fn is_called(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

impl Resolve for Actor {
    fn user(&self, name: &str) -> Option<u32> {
        self.user.is_called(name).then(|| self.user.number())
    }

    fn group(&self, name: &str) -> Option<u32> {
        let at = self.groups.iter().position(|group| group.is_called(name))?;
        self.groups.get(at).map(|group| group.id.unwrap_or(group_number(at)))
    }

    fn cgroups(&self, path: &str) -> Vec<u64> {
        let path = path.trim_end_matches('/');
        let below = self.cgroup.strip_prefix(path);
        let inside = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        inside.then_some(CGROUP).into_iter().collect()
    }

    fn units(&self, name: &str) -> Vec<u64> {
        self.cgroup.split('/').any(|part| part == name).then_some(CGROUP).into_iter().collect()
    }

    fn containers(&self, wanted: &Container) -> Vec<u64> {
        let fits = self.container.as_ref().is_some_and(|own| {
            let text = |wanted: &Option<String>, own: &Option<String>| {
                wanted.as_deref().is_none_or(|wanted| {
                    own.as_deref().is_some_and(|own| wildcard(wanted.as_bytes(), own.as_bytes()))
                })
            };
            text(&wanted.name, &own.name)
                && text(&wanted.image, &own.image)
                && wanted.labels.iter().all(|label| own.labels.contains(label))
        });
        fits.then_some(CGROUP).into_iter().collect()
    }
}

/// Groups without a number must differ from each other.
fn group_number(at: usize) -> u32 {
    NAMED.saturating_sub(u32::try_from(at).unwrap_or_default())
}

impl Compiled {
    /// The process as the tables see it.
    pub fn process(&self, actor: &Actor) -> Process {
        let tables = &self.tables;
        let maps = self.symbols.resolve(actor);
        let groups: Vec<u32> = (actor.groups.iter().enumerate())
            .map(|(at, group)| group.id.unwrap_or(group_number(at)))
            .collect();
        let labels = |path: &str| tables.label_path(path.as_bytes());
        let script = actor.script.as_deref().map(labels).unwrap_or_default();
        let base = Facts {
            executable: &[],
            script: &[],
            hash: Content::Other,
            user: maps.user(actor.user.number()),
            group: maps.group(&groups),
            cgroup: maps.cgroup(CGROUP),
            login: actor.login,
        };
        let mut process = Process::default();
        for ancestor in &actor.ancestors {
            let executable = labels(ancestor);
            let facts = Facts { executable: executable.as_slice(), ..base };
            process = tables.subjects.exec(&facts, &process);
        }
        let executable = labels(&actor.executable);
        let facts = Facts {
            executable: executable.as_slice(),
            script: script.as_slice(),
            hash: actor.hash.map_or(Content::Other, Content::Is),
            ..base
        };
        process = tables.subjects.exec(&facts, &process);
        if actor.armed {
            process.armed = process.fits & tables.subjects.after;
        }
        process
    }

    /// The subjects, other than "every process", that a process has.
    pub fn selectors_of(&self, process: &Process) -> Vec<&Selector> {
        let bits = process.fits & !Bits::one(0);
        bits.iter().filter_map(|bit| self.selectors.get(usize::from(bit))).collect()
    }

    /// Paths of executables called so, as the policies write them.
    pub fn executables_called(&self, name: &str) -> Vec<&str> {
        let paths = self.selectors.iter().flat_map(|one| &one.subject.executables);
        let mut found: Vec<&str> = paths
            .map(String::as_str)
            .filter(|path| path.starts_with('/') && path.rsplit('/').next() == Some(name))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// A process that a subject describes, and nothing more.
pub fn example(subject: &Subject) -> Actor {
    let path = |patterns: &[String]| {
        let pattern = Pattern::parse(patterns.first()?).ok()?;
        Some(String::from_utf8_lossy(&pattern.example()).into_owned())
    };
    let cgroup = match (subject.cgroups.first(), subject.units.first()) {
        (Some(path), Some(unit)) => format!("{}/{unit}", path.trim_end_matches('/')),
        (Some(path), None) => path.clone(),
        (None, Some(unit)) => format!("/system.slice/{unit}"),
        (None, None) => "/system.slice/other.service".to_owned(),
    };
    let plain = |text: &Option<String>| text.as_deref().map(|one| one.replace(['*', '?'], "x"));
    Actor {
        executable: path(&subject.executables).unwrap_or_else(|| ORDINARY.to_owned()),
        script: path(&subject.scripts),
        hash: subject.hashes.first().copied(),
        user: subject
            .users
            .first()
            .map_or(Identity { id: Some(ORDINARY_ID), name: None }, |word| Identity::of(word)),
        groups: subject.groups.first().map(|word| Identity::of(word)).into_iter().collect(),
        cgroup,
        container: subject.containers.first().map(|one| Container {
            name: plain(&one.name),
            image: plain(&one.image),
            labels: one.labels.clone(),
        }),
        login: subject.login_session.unwrap_or_default(),
        ancestors: path(&subject.ancestors).into_iter().collect(),
        armed: false,
    }
}

/// A program that no policy means in particular.
pub const ORDINARY: &str = "/usr/bin/some-program";
/// A user that no policy means in particular.
pub const ORDINARY_ID: u32 = 64_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_fit_any_part_of_a_text() {
        for (pattern, text, fits) in [
            ("web-*", "web-1", true),
            ("web-*", "db-1", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(wildcard(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_described_process_is_in_its_unit_its_slice_and_above_and_in_no_other() {
        let actor = Actor { cgroup: "/system.slice/a.service".to_owned(), ..Actor::default() };
        assert_eq!(actor.units("a.service"), [CGROUP]);
        assert_eq!(actor.units("system.slice"), [CGROUP]);
        assert!(actor.units("b.service").is_empty());
        assert_eq!(actor.cgroups("/system.slice/"), [CGROUP]);
        assert!(actor.cgroups("/system").is_empty(), "not below, only spelled alike");
    }
}
