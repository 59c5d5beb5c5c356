//! What a way of enforcing must be able to do so that a rule holds, beside knowing its names.

use model::policy::{Operation, Operations};

use crate::subjects::Selector;
use crate::verdicts::{Effect, RuleInfo};

/// Operations on files that are asked about where no LSM program loads.
pub const ASKED: [Operation; 3] = [Operation::Read, Operation::Write, Operation::Execute];

/// What must be known of processes and files, beside their names. Where no LSM program loads, the guard
/// of files makes a process up from `/proc` when it asks, and nobody has followed what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Known {
    /// Which script its interpreter was given.
    Script,
    /// What it did to files.
    Deed,
    /// That it was armed, when it asks for a file.
    Armed,
    /// What a file holds that is executed.
    Hash,
    /// The same of who uses the network.
    HashOfPeer,
    /// Who made a file.
    Maker,
    /// Which names there are below a domain.
    Wildcard,
}

impl Known {
    /// All of them.
    pub const ALL: [Known; 7] = [
        Known::Script,
        Known::Deed,
        Known::Armed,
        Known::Hash,
        Known::HashOfPeer,
        Known::Maker,
        Known::Wildcard,
    ];

    /// What rules say with it.
    pub fn text(self) -> &'static str {
        match self {
            Known::Script => "a `script` as subject",
            Known::Deed => "what is done to files as `after`",
            Known::Armed => "`after` in a rule about files",
            Known::Hash => "a hash",
            Known::HashOfPeer => "a `hash` as subject in a rule about the network",
            Known::Maker => "`createdBy`",
            Known::Wildcard => "a domain with a wildcard",
        }
    }

    /// Why it takes LSM programs; none if it does not.
    pub fn why(self) -> Option<&'static str> {
        Some(match self {
            Known::Script => "only LSM programs see which script an interpreter is started for",
            Known::Deed => "the guard of files, which is asked instead, arms nobody",
            Known::Armed => {
                "the guard of files, which is asked instead, does not know who is armed"
            }
            Known::Hash | Known::Wildcard => return None,
            Known::HashOfPeer => "programs of cgroups cannot hash a file",
            Known::Maker => "only LSM programs are told who makes a file",
        })
    }
}

/// All that a rule needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Operations that must be denied, or noticed.
    pub operations: Operations,
    /// What must be known of processes.
    pub known: Vec<Known>,
}

/// What one of the rules needs. Operations count only if it is carried out: what is reported beside
/// them is told for what it is.
pub fn of(rule: &RuleInfo, selectors: &[Selector]) -> Needs {
    let mut needs = Needs::default();
    if rule.enforced && rule.effect == Effect::Deny {
        needs.operations = Operations(rule.operations.0 | rule.after.0);
    }
    let files = |of: Operations| ASKED.iter().any(|one| of.has(*one));
    let selector = selectors.get(usize::from(rule.bit));
    let hashed = selector.is_some_and(|one| !one.subject.hashes.is_empty());
    let network = Operation::ALL.iter().any(|one| rule.operations.has(*one) && is_network(*one));
    let waits = !rule.after.is_empty() || rule.sequence.is_some();
    let found = [
        (Known::Script, selector.is_some_and(|one| !one.subject.scripts.is_empty())),
        (Known::Deed, files(rule.after)),
        (Known::Armed, waits && files(rule.operations)),
        (Known::Hash, hashed || rule.objects.contains(&Known::Hash)),
        (Known::HashOfPeer, hashed && network),
        (Known::Maker, rule.objects.contains(&Known::Maker)),
        (Known::Wildcard, rule.objects.contains(&Known::Wildcard)),
    ];
    needs.known.extend(found.into_iter().filter(|one| one.1).map(|one| one.0));
    needs
}

/// Whether it is denied by programs of cgroups where no LSM program loads.
fn is_network(operation: Operation) -> bool {
    use Operation::{Accept, Bind, Connect, Listen, RawSocket, Receive, Send};
    matches!(operation, Accept | Bind | Connect | Listen | RawSocket | Receive | Send)
}

#[cfg(test)]
mod tests {
    use model::policy::{Errno, Mode, Subject, Trigger, Verdict};

    use super::*;
    use crate::compile;
    use crate::tests::agree::options;
    use crate::tests::table::{path, policy, rule};

    /// What a rule that denies these needs, changed like this.
    fn needs(operations: &[Operation], change: impl FnOnce(&mut model::policy::Rule)) -> Needs {
        let mut rule = rule("r", operations, &[path("/a")], Verdict::Deny(Errno::Perm));
        change(&mut rule);
        let compiled = compile(&[policy(vec![rule])], &options(Mode::Enforce)).unwrap();
        of(&compiled.rules[0], &compiled.selectors)
    }

    fn after(operation: Operation) -> Trigger {
        let operations = Operations::default().with(operation);
        Trigger { operations, objects: vec![model::policy::Object::Any], sequence: None }
    }

    #[test]
    fn what_a_rule_needs_is_what_it_says() {
        use Operation::{Connect, Delete, Execute, Read};
        let asked =
            |all: &[Operation]| all.iter().fold(Operations::default(), |all, one| all.with(*one));
        let plain = needs(&[Read, Delete], |_| {});
        assert_eq!(plain, Needs { operations: asked(&[Read, Delete]), known: Vec::new() });
        assert_eq!(needs(&[Read], |rule| rule.verdict = Verdict::Audit), Needs::default());
        let script = Subject { scripts: vec!["/s".into()], ..Subject::default() };
        assert_eq!(needs(&[Connect], |rule| rule.subject = script).known, [Known::Script]);
        let armed = needs(&[Connect], |rule| rule.after = Some(after(Read)));
        assert_eq!(armed, Needs { operations: asked(&[Read, Connect]), known: vec![Known::Deed] });
        assert_eq!(needs(&[Read], |rule| rule.after = Some(after(Connect))).known, [Known::Armed]);
        let both = needs(&[Read], |rule| rule.after = Some(after(Read)));
        assert_eq!(both.known, [Known::Deed, Known::Armed]);
        assert!(needs(&[Connect], |rule| rule.after = Some(after(Connect))).known.is_empty());
        let hashed = Subject { hashes: vec![[7; 32]], ..Subject::default() };
        let by = |operations: &[Operation]| needs(operations, |rule| rule.subject = hashed.clone());
        assert_eq!(by(&[Read]).known, [Known::Hash]);
        assert_eq!(by(&[Read, Connect]).known, [Known::Hash, Known::HashOfPeer]);
        let of =
            needs(&[Execute], |rule| rule.objects = vec![model::policy::Object::Hash([7; 32])]);
        assert_eq!(of.known, [Known::Hash]);
        let made = model::policy::Object::CreatedBy(Box::new(Subject {
            users: vec!["1".into()],
            ..Subject::default()
        }));
        assert_eq!(needs(&[Read], |rule| rule.objects = vec![made.clone()]).known, [Known::Maker]);
        let trigger = Trigger { objects: vec![made], ..after(Read) };
        let armed = needs(&[Connect], |rule| rule.after = Some(trigger));
        assert_eq!(armed.known, [Known::Deed, Known::Maker]);
        let named = |name: &str| {
            let name = name.to_owned();
            needs(&[Connect], |rule| {
                rule.objects = vec![model::policy::Object::Domain { name, ports: None }];
            })
        };
        assert_eq!(named("*.example.org").known, [Known::Wildcard]);
        assert!(named("example.org").known.is_empty());
        let sequence = Trigger { sequence: Some("s".into()), ..Trigger::default() };
        assert_eq!(needs(&[Read], |rule| rule.after = Some(sequence)).known, [Known::Armed]);
    }
}
