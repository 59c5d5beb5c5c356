//! What a file holds that cannot be hashed: it may be what is denied, and is nothing that is allowed.

use model::policy::{AllowList, Errno, Mode, Object, Operation, Operations, Subject, Verdict};

use super::agree::options;
use super::table::{path, policy, rule};
use crate::bits::Bits;
use crate::subjects::{Facts, Process};
use crate::{Compiled, Content, Why, compile};

const DENY: Verdict = Verdict::Deny(Errno::Perm);
const EXECUTE: &[Operation] = &[Operation::Execute];
const READ: &[Operation] = &[Operation::Read];

/// A process of which only its executable's content says anything.
fn process(compiled: &Compiled, hash: Content) -> Process {
    let facts = Facts {
        executable: &[],
        script: &[],
        hash,
        user: Bits::ALL,
        group: Bits::ALL,
        cgroup: Bits::ALL,
        login: false,
    };
    compiled.tables.subjects.exec(&facts, &Process::default())
}

#[test]
fn an_object_without_a_hash_is_denied_as_any_and_allowed_as_none() {
    let list = |compiled: &Compiled, content: Content| {
        let labels = compiled.tables.label_content(&content);
        let subject = process(compiled, Content::Other);
        let decision = compiled.tables.decide(&subject, Operation::Execute, &labels);
        (decision.verdict, decision.why)
    };
    let denies = policy(vec![
        rule("allow", EXECUTE, &[Object::Hash([1; 32])], Verdict::Allow),
        rule("deny", EXECUTE, &[Object::Hash([2; 32])], DENY),
    ]);
    let compiled = compile(std::slice::from_ref(&denies), &options(Mode::Enforce)).unwrap();
    assert_eq!(list(&compiled, Content::Is([2; 32])), (DENY, Why::Rule(1)));
    assert_eq!(list(&compiled, Content::Is([3; 32])), (Verdict::Allow, Why::Default));
    assert_eq!(list(&compiled, Content::Unknown), (DENY, Why::Rule(1)));
    let mut allows = denies;
    allows.rules.truncate(1);
    allows.allow_lists = vec![AllowList {
        id: "list".to_owned(),
        subject: Subject::default(),
        operations: Operations::default().with(Operation::Execute),
        errno: Errno::Perm,
        place: allows.rules[0].place.clone(),
    }];
    let compiled = compile(&[allows], &options(Mode::Enforce)).unwrap();
    assert_eq!(list(&compiled, Content::Is([1; 32])), (Verdict::Allow, Why::Rule(0)));
    assert_eq!(list(&compiled, Content::Is([3; 32])), (DENY, Why::List(1)));
    assert_eq!(list(&compiled, Content::Unknown), (DENY, Why::List(1)));
}

#[test]
fn a_subject_without_a_hash_is_denied_as_any_and_allowed_as_none() {
    let by = |verdict, object: &str| {
        let mut rule = rule("r", READ, &[path(object)], verdict);
        rule.subject = Subject { hashes: vec![[7; 32]], ..Subject::default() };
        rule
    };
    let all = policy(vec![
        by(DENY, "/denied"),
        by(Verdict::Allow, "/allowed"),
        rule("others", READ, &[path("/other")], DENY),
    ]);
    let compiled = compile(&[all], &options(Mode::Enforce)).unwrap();
    let names = |content| {
        let process = process(&compiled, content);
        let bits = compiled.tables.subjects.bits(&process);
        [0, 1].map(|rule: usize| bits.has(compiled.rules[rule].bit))
    };
    assert_eq!(names(Content::Is([7; 32])), [true, true]);
    assert_eq!(names(Content::Is([8; 32])), [false, false]);
    assert_eq!(names(Content::Other), [false, false]);
    assert_eq!(names(Content::Unknown), [true, false]);
    let tables = &compiled.tables;
    assert_eq!(crate::Tables::parse(&tables.encode().unwrap()).unwrap(), *tables);
}
