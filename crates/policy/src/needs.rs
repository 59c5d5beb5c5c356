//! What a way of enforcing must be able to do so that a rule holds, beside knowing its names.

use model::policy::{Operation, Operations};

use crate::subjects::Selector;
use crate::verdicts::{Effect, RuleInfo};

/// Operations on files that are asked about where no LSM program loads.
pub const ASKED: [Operation; 3] = [Operation::Read, Operation::Write, Operation::Execute];

/// What only who has followed a process knows of it. Where no LSM program loads, the guard of files
/// makes a process up from `/proc` when it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Past {
    /// Which script its interpreter was given.
    Script,
    /// What it did to files.
    Deed,
    /// That it was armed, when it asks for a file.
    Armed,
}

impl Past {
    /// All of them.
    pub const ALL: [Past; 3] = [Past::Script, Past::Deed, Past::Armed];

    /// What rules say with it.
    pub fn text(self) -> &'static str {
        match self {
            Past::Script => "a `script` as subject",
            Past::Deed => "what is done to files as `after`",
            Past::Armed => "`after` in a rule about files",
        }
    }

    /// Why it takes LSM programs.
    pub fn why(self) -> &'static str {
        match self {
            Past::Script => "only LSM programs see which script an interpreter is started for",
            Past::Deed => "the guard of files, which is asked instead, arms nobody",
            Past::Armed => "the guard of files, which is asked instead, does not know who is armed",
        }
    }
}

/// All that a rule needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Operations that must be denied, or noticed.
    pub operations: Operations,
    /// What must be known of processes.
    pub past: Vec<Past>,
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
    let waits = !rule.after.is_empty() || rule.sequence.is_some();
    let found = [
        (Past::Script, selector.is_some_and(|one| !one.subject.scripts.is_empty())),
        (Past::Deed, files(rule.after)),
        (Past::Armed, waits && files(rule.operations)),
    ];
    needs.past.extend(found.into_iter().filter(|one| one.1).map(|one| one.0));
    needs
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
        use Operation::{Connect, Delete, Read};
        let asked =
            |all: &[Operation]| all.iter().fold(Operations::default(), |all, one| all.with(*one));
        let plain = needs(&[Read, Delete], |_| {});
        assert_eq!(plain, Needs { operations: asked(&[Read, Delete]), past: Vec::new() });
        assert_eq!(needs(&[Read], |rule| rule.verdict = Verdict::Audit), Needs::default());
        let script = Subject { scripts: vec!["/s".into()], ..Subject::default() };
        assert_eq!(needs(&[Connect], |rule| rule.subject = script).past, [Past::Script]);
        let armed = needs(&[Connect], |rule| rule.after = Some(after(Read)));
        assert_eq!(armed, Needs { operations: asked(&[Read, Connect]), past: vec![Past::Deed] });
        assert_eq!(needs(&[Read], |rule| rule.after = Some(after(Connect))).past, [Past::Armed]);
        let both = needs(&[Read], |rule| rule.after = Some(after(Read)));
        assert_eq!(both.past, [Past::Deed, Past::Armed]);
        assert!(needs(&[Connect], |rule| rule.after = Some(after(Connect))).past.is_empty());
        let sequence = Trigger { sequence: Some("s".into()), ..Trigger::default() };
        assert_eq!(needs(&[Read], |rule| rule.after = Some(sequence)).past, [Past::Armed]);
    }
}
