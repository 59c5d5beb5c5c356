//! What a selector is called that makes files: the same in each generation that has it, whatever its bit
//! is there. Files are known by it, so that they stay known when policies are replaced.

use model::policy::{Container, Subject};
use sha2::{Digest, Sha256};

use crate::subjects::Selector;

/// Collects what a selector says, each text with its length before it, so that no two say the same.
struct Told(Sha256);

impl Told {
    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }

    fn text(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.update(bytes);
    }

    fn texts(&mut self, texts: &[impl AsRef<[u8]>]) {
        self.number(texts.len());
        for text in texts {
            self.text(text.as_ref());
        }
    }

    fn container(&mut self, container: &Container) {
        for text in [&container.name, &container.image] {
            self.texts(text.as_slice());
        }
        self.number(container.labels.len());
        for (key, value) in &container.labels {
            self.texts(&[key, value]);
        }
    }
}

/// The id of a selector: 64 bits of a digest of what it says, and never 0.
pub(crate) fn id(selector: &Selector) -> u64 {
    let Subject {
        executables,
        hashes,
        scripts,
        users,
        groups,
        cgroups,
        units,
        containers,
        ancestors,
        descendants,
        login_session,
    } = &selector.subject;
    let mut told = Told(Sha256::new());
    for texts in [executables, scripts, users, groups, cgroups, units, ancestors] {
        told.texts(texts);
    }
    told.texts(hashes);
    told.number(containers.len());
    for container in containers {
        told.container(container);
    }
    told.number(usize::from(*descendants));
    told.number(login_session.map_or(0, |login| 1 + usize::from(login)));
    told.number(usize::from(selector.grants));
    let digest = told.0.finalize();
    let first = digest.first_chunk().copied().map_or(0, u64::from_le_bytes);
    first.max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::policy::{Errno, Mode, Object, Operation, Verdict};

    use super::*;
    use crate::compile;
    use crate::tables::Created;
    use crate::tests::agree::options;
    use crate::tests::table::{path, policy, rule};

    fn of(subject: Subject) -> Selector {
        Selector { subject, after: None, grants: false }
    }

    #[test]
    fn selectors_that_say_something_else_have_other_ids() {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let plain = Subject::default;
        let name = |name: &str| Container { name: Some(name.to_owned()), ..Container::default() };
        let image =
            |image: &str| Container { image: Some(image.to_owned()), ..Container::default() };
        let label = Container { labels: vec![("a".into(), "b".into())], ..Container::default() };
        let all = [
            plain(),
            Subject { executables: texts(&["/a"]), ..plain() },
            Subject { executables: texts(&["/a", "/b"]), ..plain() },
            Subject { executables: texts(&["/a/b"]), ..plain() },
            Subject { scripts: texts(&["/a"]), ..plain() },
            Subject { users: texts(&["/a"]), ..plain() },
            Subject { groups: texts(&["/a"]), ..plain() },
            Subject { cgroups: texts(&["/a"]), ..plain() },
            Subject { units: texts(&["/a"]), ..plain() },
            Subject { ancestors: texts(&["/a"]), ..plain() },
            Subject { hashes: vec![[1; 32]], ..plain() },
            Subject { hashes: vec![[2; 32]], ..plain() },
            Subject { containers: vec![name("a")], ..plain() },
            Subject { containers: vec![image("a")], ..plain() },
            Subject { containers: vec![label], ..plain() },
            Subject { containers: vec![name("a"), name("b")], ..plain() },
            Subject { descendants: true, ..plain() },
            Subject { login_session: Some(false), ..plain() },
            Subject { login_session: Some(true), ..plain() },
        ];
        let mut ids: BTreeSet<u64> = all.iter().cloned().map(|one| id(&of(one))).collect();
        assert!(ids.insert(id(&Selector { grants: true, ..of(plain()) })));
        assert_eq!(ids.len(), all.len() + 1);
    }

    /// Files on hosts that run are known by these numbers: a build that counts otherwise forgets them.
    #[test]
    fn the_same_selector_has_the_same_id_in_every_build() {
        let subject = Subject { executables: vec!["/usr/sbin/nginx".into()], ..Subject::default() };
        assert_eq!(id(&of(subject)), 11_631_187_796_744_600_875);
    }

    /// What is compiled of one rule about files by their maker, after so many about other subjects.
    fn compiled(before: usize, verdict: Verdict, mode: Mode) -> Created {
        let subject = |name: String| Subject { executables: vec![name], ..Subject::default() };
        let maker = Subject { hashes: vec![[7; 32]], ..subject("/maker".to_owned()) };
        let mut rules: Vec<_> = (0..before)
            .map(|number| {
                let id = format!("other-{number}");
                let mut other = rule(&id, &[Operation::Read], &[path("/a")], verdict);
                other.subject = subject(format!("/other-{number}"));
                other
            })
            .collect();
        let object = Object::CreatedBy(Box::new(maker));
        rules.push(rule("made", &[Operation::Read], &[object], verdict));
        let compiled = compile(&[policy(rules)], &options(mode)).unwrap();
        let [one] = compiled.tables.things.created.as_slice() else { panic!("not one") };
        *one
    }

    #[test]
    fn a_maker_has_another_bit_and_the_same_id_where_other_rules_come_before() {
        let deny = Verdict::Deny(Errno::Perm);
        let (first, later) = (compiled(0, deny, Mode::Enforce), compiled(3, deny, Mode::Enforce));
        assert_ne!(first.bit, later.bit);
        assert_eq!(first.id, later.id);
    }

    #[test]
    fn it_is_in_force_if_what_is_denied_is_carried_out() {
        let deny = Verdict::Deny(Errno::Perm);
        assert!(compiled(0, deny, Mode::Enforce).in_force);
        assert!(!compiled(0, deny, Mode::Audit).in_force);
        assert!(!compiled(0, Verdict::Allow, Mode::Enforce).in_force);
    }

    /// A process whose hash cannot be had made what may be denied, and nothing that is allowed.
    #[test]
    fn who_is_known_by_a_hash_is_another_maker_to_rules_that_allow() {
        let [deny, allow] = [Verdict::Deny(Errno::Perm), Verdict::Allow]
            .map(|verdict| compiled(0, verdict, Mode::Enforce).id);
        assert_ne!(deny, allow);
    }
}
