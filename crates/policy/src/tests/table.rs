//! Cases one by one: precedence, implied operations, moves, networks, what the compiler refuses.

use model::policy::*;
use model::program::Severity;

use super::agree::options;
use crate::network::Endpoint;
use crate::subjects::Process;
use crate::{Bits, Compiled, Labels, Why, compile};

pub(crate) fn rule(
    id: &str,
    operations: &[Operation],
    objects: &[Object],
    verdict: Verdict,
) -> Rule {
    Rule {
        id: id.to_owned(),
        subject: Subject::default(),
        operations: operations.iter().fold(Operations::default(), |all, one| all.with(*one)),
        objects: objects.to_vec(),
        verdict,
        severity: Severity::Low,
        message: None,
        exception: None,
        after: None,
        place: Place::default(),
    }
}

pub(crate) fn path(pattern: &str) -> Object {
    Object::Path(pattern.to_owned())
}

pub(crate) fn net(network: &str, prefix: u8, port: Option<u16>) -> Object {
    Object::Peer(Peer {
        network: Some((network.parse().unwrap(), prefix)),
        ports: port.map(|port| (port, port)),
        protocol: None,
    })
}

pub(crate) fn policy(rules: Vec<Rule>) -> Policy {
    Policy { name: "p".to_owned(), rules, ..Policy::default() }
}

const DENY: Verdict = Verdict::Deny(Errno::Perm);

/// A policy with something in every table.
pub(crate) fn everything() -> Policy {
    use Operation::{Capability, Connect, Execute, Read, Signal};
    let subject = Subject {
        executables: vec!["/usr/bin/*".to_owned()],
        hashes: vec![[9; 32]],
        ..Subject::default()
    };
    let peer = Peer { network: None, ports: Some((1, 9)), protocol: Some(17) };
    let objects = [
        path("/etc/**"),
        path("*secret*"),
        Object::Hash([2; 32]),
        Object::Capability(21),
        Object::Process(Box::new(subject.clone())),
        Object::CreatedBy(Box::new(subject.clone())),
        net("10.0.0.0", 8, Some(80)),
        net("2001:db8::", 32, None),
        Object::Peer(peer),
    ];
    let mut policy =
        policy(vec![rule("r", &[Read, Execute, Signal, Connect, Capability], &objects, DENY)]);
    policy.allow_lists.push(AllowList {
        id: "l".to_owned(),
        subject,
        operations: Operations::default().with(Execute),
        errno: Errno::Access,
        place: Place::default(),
    });
    policy
}

fn compiled(rules: Vec<Rule>) -> Compiled {
    compile(&[policy(rules)], &options(Mode::Enforce)).unwrap()
}

/// A process that every rule without a subject is about.
fn anybody() -> Process {
    Process { fits: Bits::one(0), ..Process::default() }
}

fn ask(compiled: &Compiled, operation: Operation, labels: &Labels) -> (Verdict, Why) {
    let decision = compiled.tables.decide(&anybody(), operation, labels);
    (decision.verdict, decision.why)
}

fn ask_path(compiled: &Compiled, operation: Operation, path: &str) -> (Verdict, Why) {
    ask(compiled, operation, &compiled.tables.label_path(path.as_bytes()))
}

fn except(mut rule: Rule, until: i64) -> Rule {
    rule.verdict = Verdict::Allow;
    rule.exception = Some(Exception { until, reason: "r".to_owned(), author: "a".to_owned() });
    rule
}

#[test]
fn precedence_is_as_the_page_says_and_order_never_matters() {
    let read = |id, verdict| rule(id, &[Operation::Read], &[path("/etc/**")], verdict);
    let now = super::random::NOW;
    let all = [
        read("allow", Verdict::Allow),
        read("audit", Verdict::Audit),
        read("deny", Verdict::Deny(Errno::Access)),
        read("kill", Verdict::Kill),
        except(read("over", DENY), now),
        except(read("exception", DENY), now + 1),
    ];
    for (take, verdict, why) in [
        (0, Verdict::Allow, None),
        (1, Verdict::Allow, Some("allow")),
        (2, Verdict::Allow, Some("allow")),
        (3, Verdict::Deny(Errno::Access), Some("deny")),
        (4, Verdict::Kill, Some("kill")),
        (5, Verdict::Kill, Some("kill")),
        (6, Verdict::Allow, Some("exception")),
    ] {
        let mut rules = all[..take].to_vec();
        for _ in 0..2 {
            let compiled = compiled(rules.clone());
            let (found, reason) = ask_path(&compiled, Operation::Read, "/etc/shadow");
            assert_eq!(found, verdict, "{take}");
            let id = match reason {
                Why::Rule(rule) => Some(compiled.rules[rule as usize].id.as_str()),
                other => {
                    assert_eq!(other, Why::Default);
                    None
                }
            };
            assert_eq!(id, why, "{take}");
            let audited = |path: &[u8]| {
                let labels = compiled.tables.label_path(path);
                compiled.tables.decide(&anybody(), Operation::Read, &labels).audited
            };
            assert_eq!(audited(b"/etc/shadow"), take >= 2, "{take}");
            assert!(!audited(b"/usr"));
            // The control: another path, another operation.
            assert_eq!(ask_path(&compiled, Operation::Read, "/usr").1, Why::Default);
            assert_eq!(ask_path(&compiled, Operation::Execute, "/etc/x").1, Why::Default);
            rules.reverse();
        }
    }
}

#[test]
fn an_allow_list_denies_what_no_rule_allows() {
    let mut policy =
        policy(vec![rule("usr", &[Operation::Execute], &[path("/usr/**")], Verdict::Allow)]);
    policy.allow_lists.push(AllowList {
        id: "list".to_owned(),
        subject: Subject::default(),
        operations: Operations::default().with(Operation::Execute),
        errno: Errno::NoEntry,
        place: Place::default(),
    });
    let compiled = compile(&[policy], &options(Mode::Enforce)).unwrap();
    let ask = |operation, path| ask_path(&compiled, operation, path);
    assert_eq!(ask(Operation::Execute, "/usr/bin/ls"), (Verdict::Allow, Why::Rule(0)));
    assert_eq!(ask(Operation::Execute, "/tmp/ls"), (Verdict::Deny(Errno::NoEntry), Why::List(1)));
    assert_eq!(ask(Operation::Read, "/tmp/ls"), (Verdict::Allow, Why::Default));
}

#[test]
fn denied_reading_writing_and_executing_take_other_operations_with_them() {
    use Operation::{Attributes, Create, Delete, Link, MapCode, Read, Rename};
    let all = [Create, Delete, Rename, Link, Attributes, MapCode];
    for (source, implied) in [
        (Read, &[Rename, Link][..]),
        (Operation::Write, &[Create, Delete, Rename, Link, Attributes]),
        (Operation::Execute, &[MapCode]),
    ] {
        let denied = rule("deny", &[source], &[path("/k")], DENY);
        let by_name = rule("by name", &[Rename], &[path("/k")], Verdict::Allow);
        let plain = compiled(vec![denied.clone()]);
        let named = compiled(vec![denied.clone(), by_name]);
        let lifted = compiled(vec![denied.clone(), except(denied.clone(), i64::MAX)]);
        for operation in all {
            let expected = if implied.contains(&operation) {
                (DENY, Why::Implied(0))
            } else {
                (Verdict::Allow, Why::Default)
            };
            assert_eq!(ask_path(&plain, operation, "/k"), expected, "{operation:?}");
            assert_eq!(ask_path(&plain, operation, "/l"), (Verdict::Allow, Why::Default));
            assert_eq!(ask_path(&lifted, operation, "/k"), (Verdict::Allow, Why::Default));
            if operation == Rename {
                assert_eq!(ask_path(&named, operation, "/k"), (Verdict::Allow, Why::Rule(1)));
            } else {
                assert_eq!(ask_path(&named, operation, "/k"), expected);
            }
        }
    }
}

#[test]
fn a_directory_stays_where_something_below_it_is_denied() {
    let rules = vec![
        rule("key", &[Operation::Read], &[path("/srv/*/private/key")], DENY),
        rule("ssh", &[Operation::Execute], &[path("**/.ssh/rc")], DENY),
        rule("any", &[Operation::Connect], &[path("/opt/x/y")], DENY),
        rule("free", &[Operation::Read], &[path("/usr/x/y")], Verdict::Allow),
    ];
    let compiled = compiled(rules);
    let moved = |path: &str| {
        let labels = compiled.tables.label_moved(compiled.tables.start(path.as_bytes()));
        let rename = ask(&compiled, Operation::Rename, &labels);
        assert_eq!(ask(&compiled, Operation::Mount, &labels), rename, "{path}");
        assert_eq!(ask(&compiled, Operation::Read, &labels).0, Verdict::Allow, "{path}");
        rename
    };
    for path in ["/srv", "/srv/a", "/srv/a/private"] {
        assert_eq!(moved(path), (DENY, Why::Rule(0)), "{path}");
    }
    assert_eq!(moved("/home/u/.ssh"), (DENY, Why::Rule(1)));
    let hashed = compiled.tables.label_path(b"/srv/a/private/key");
    let joined = Labels::default().with(&hashed, &compiled.tables.verdicts);
    assert_eq!(joined, hashed);
    assert!(joined.with(&Labels::UNRESOLVED, &compiled.tables.verdicts).unresolved);
    assert_eq!(moved(""), (DENY, Why::Rule(0)));
    for path in ["/srv/a/public", "/srv/a/private/x", "/home/u", "/opt", "/opt/x", "/usr", "/srvx"]
    {
        assert_eq!(moved(path), (Verdict::Allow, Why::Default), "{path}");
    }
}

#[test]
fn the_strongest_of_what_is_below_is_kept_for_each_subject() {
    let who = |name: &str| Subject { users: vec![name.to_owned()], ..Subject::default() };
    let mut first = rule("first", &[Operation::Read], &[path("/d/a")], DENY);
    let mut second = rule("second", &[Operation::Read], &[path("/d/b")], DENY);
    (first.subject, second.subject) = (who("1"), who("2"));
    let compiled = compiled(vec![first, second]);
    let labels = compiled.tables.label_moved(compiled.tables.start(b"/d"));
    for (bit, why) in [(1, Why::Rule(0)), (2, Why::Rule(1)), (0, Why::Default)] {
        let process = Process { fits: Bits::one(bit), ..Process::default() };
        assert_eq!(compiled.tables.decide(&process, Operation::Rename, &labels).why, why);
    }
}

#[test]
fn reading_goes_on_at_a_mount() {
    let rules = vec![
        rule("deep", &[Operation::Read], &[path("/mnt/data/x/**")], DENY),
        rule("texts", &[Operation::Write], &[path("**/data/x*")], DENY),
    ];
    let compiled = compiled(rules);
    let tables = &compiled.tables;
    for (mount, inside) in [("/mnt", "/data/x"), ("/mnt/data/", "/x"), ("/", "/mnt/data/x")] {
        let at = tables.paths.read(tables.start(mount.as_bytes()), inside.as_bytes());
        assert_eq!(tables.label_at(at), tables.label_path(b"/mnt/data/x"), "{mount}");
        assert_eq!(tables.label_at(at).as_slice().len(), 2);
        let other = tables.paths.read(tables.start(b"/media"), inside.as_bytes());
        assert_ne!(tables.label_at(other), tables.label_at(at), "{mount}");
    }
}

#[test]
fn a_file_has_the_labels_of_all_its_names() {
    let rules = vec![
        rule("etc", &[Operation::Read], &[path("/etc/shadow")], DENY),
        rule("alias", &[Operation::Write], &[path("/jail/etc/shadow")], DENY),
        rule("home", &[Operation::Execute], &[path("/home/**")], DENY),
    ];
    let tables = compiled(rules).tables;
    // A filesystem with volumes, as btrfs has: one is the root, one the homes; a bind mount.
    let mounts = [
        tables.mount(b"/", b"/@"),
        tables.mount(b"/home", b"/@home"),
        tables.mount(b"/jail/etc/", b"/@/etc"),
    ];
    let label = |path: &str| tables.label_path(path.as_bytes()).as_slice().to_vec();
    let both = [label("/etc/shadow"), label("/jail/etc/shadow")].concat();
    assert_eq!(both.len(), 2);
    assert_eq!(tables.label_inside(&mounts, b"/@/etc/shadow").as_slice(), both);
    assert_eq!(tables.label_inside(&mounts, b"/@home/u/x").as_slice(), label("/home/u/x"));
    assert_eq!(tables.label_inside(&mounts, b"/@/usr"), Labels::default());
    assert_eq!(tables.label_inside(&mounts, b"/@homes"), Labels::UNRESOLVED);
    assert_eq!(tables.label_inside(&mounts, b"/other"), Labels::UNRESOLVED);
}

#[test]
fn an_explanation_names_what_decided_and_what_nearly_did() {
    use crate::explain::Part;
    let read = [Operation::Read];
    let mut other = rule("other subject", &read, &[path("/k")], DENY);
    other.subject.users = vec!["7".to_owned()];
    let mut after = rule("after", &read, &[path("/k")], DENY);
    after.after = Some(Trigger {
        operations: Operations::default().with(Operation::Write),
        objects: vec![path("/t")],
        sequence: None,
    });
    let compiled = compiled(vec![
        rule("deny", &read, &[path("/k")], DENY),
        rule("every", &read, &[Object::Any], Verdict::Allow),
        rule("object", &read, &[path("/l")], DENY),
        rule("operation", &[Operation::Execute], &[path("/k")], DENY),
        rule("far", &[Operation::Execute], &[path("/l")], DENY),
        except(rule("over", &read, &[path("/k")], DENY), 0),
        other,
        after,
    ]);
    let tables = &compiled.tables;
    // Bit 1 is the other subject, bit 2 every process after the deed.
    let subject = Process { fits: Bits::one(0) | Bits::one(2), ..Process::default() };
    let labels = tables.label_path(b"/k");
    let told = compiled.explain(&subject, Operation::Read, &labels);
    assert_eq!(told.decision.why, Why::Rule(0));
    assert_eq!(told.fits, [0, 1]);
    let near = [(3, Part::Operation), (6, Part::Subject), (7, Part::After), (2, Part::Object)];
    assert_eq!((told.near.as_slice(), told.more), (&near[..], 0));
    // Reading that is denied explains making a link; the deed arms the last rule.
    assert_eq!(compiled.explain(&subject, Operation::Link, &labels).fits, [0]);
    let deed = tables.decide(&subject, Operation::Write, &tables.label_path(b"/t"));
    assert_eq!(deed.arms, Bits::one(2));
    let armed = Process { armed: deed.arms, ..subject };
    assert_eq!(compiled.explain(&armed, Operation::Read, &labels).fits, [0, 1, 7]);
    // A directory above: what denied its move fits, though it names another operation.
    let moved = tables.label_moved(tables.start(b""));
    let told = compiled.explain(&subject, Operation::Mount, &moved);
    assert_eq!(told.decision.why, Why::Rule(told.fits[0]));
    assert_eq!(told.fits, [0]);
    let many = (0..40).map(|at| rule("r", &read, &[path(&format!("/{at}"))], DENY));
    let compiled = self::compiled(many.collect());
    let told = compiled.explain(&anybody(), Operation::Read, &Labels::default());
    assert_eq!((told.near.len(), told.more), (16, 24));
}

#[test]
fn names_of_the_network_fit_whole_labels() {
    let named = |name: &str| Object::Domain { name: name.to_owned(), ports: None };
    let connect = [Operation::Connect];
    let compiled = compiled(vec![
        rule("one", &connect, &[named("example.org")], DENY),
        rule("below", &connect, &[named("*.example.org")], DENY),
    ]);
    let peer = Endpoint { address: "192.0.2.1".parse().unwrap(), port: 443, protocol: 6 };
    let why = |name: &str| {
        let labels =
            compiled.tables.label_peer(&peer, Operation::Connect, &compiled.classes_of(name));
        ask(&compiled, Operation::Connect, &labels).1
    };
    assert_eq!(why("Example.org."), Why::Rule(0));
    assert_eq!(why("a.example.org"), Why::Rule(1));
    assert_eq!(why("b.a.example.org"), Why::Rule(1));
    for name in ["badexample.org", "example.org.evil", ".example.org", "org", ""] {
        assert_eq!(why(name), Why::Default, "{name}");
    }
}

#[test]
fn a_plan_counts_what_is_needed() {
    let compiled = compile(&[everything()], &options(Mode::Enforce)).unwrap();
    let plan = compiled.plan().unwrap();
    assert_eq!((plan.rules, plan.selectors, plan.selectors_left), (2, 2, 254));
    // Two patterns of objects and one of executables; both versions also have "any address".
    assert_eq!((plan.paths.patterns, plan.paths.hits, plan.networks), (3, 1, 4));
    assert_eq!(plan.bytes, compiled.tables.encode().unwrap().len());
    let about = |wanted| plan.operations.iter().find(|one| one.0 == wanted).unwrap().1;
    assert_eq!((about(Operation::Execute), about(Operation::Read)), (2, 1));
    assert_eq!(about(Operation::Write), 0);
}

#[test]
fn too_many_labels_and_unknown_objects_are_refused_only_to_whom_something_is_denied() {
    let contains = |at: usize| path(&format!("*{}*", char::from(b'a' + u8::try_from(at).unwrap())));
    let read = [Operation::Read];
    let labels_of = |verdict| {
        let rules = (0..10).map(|at| rule(&format!("r{at}"), &read, &[contains(at)], verdict));
        let mut rules: Vec<Rule> = rules.collect();
        for rule in &mut rules {
            rule.subject.users = vec!["7".to_owned()];
        }
        let compiled = compiled(rules);
        let labels = compiled.tables.label_path(b"/abcdefghij");
        (compiled, labels)
    };
    let (allowing, labels) = labels_of(Verdict::Allow);
    assert_eq!(labels.as_slice().len(), crate::limits::LABELS_MAX);
    assert!(!labels.unresolved);
    assert_eq!(ask(&allowing, Operation::Read, &labels).1, Why::Default);
    let (denying, labels) = labels_of(DENY);
    assert!(labels.unresolved);
    assert_eq!(ask(&denying, Operation::Read, &labels).1, Why::Default, "nothing denied to it");
    let seven = Process { fits: Bits::one(1), ..Process::default() };
    let decide = |operation| denying.tables.decide(&seven, operation, &Labels::UNRESOLVED);
    assert_eq!(decide(Operation::Read).why, Why::Unresolved);
    assert_eq!(decide(Operation::Link).why, Why::Unresolved, "implied by reading");
    assert_eq!(decide(Operation::Write).why, Why::Default);
}

#[test]
fn addresses_in_every_dress() {
    use Operation::{Bind, Connect};
    let rules = vec![
        rule("ten", &[Operation::Connect, Operation::Bind], &[net("10.0.0.0", 8, Some(80))], DENY),
        rule(
            "local",
            &[Operation::Connect],
            &[net("127.0.0.0", 8, None), net("::1", 128, None)],
            DENY,
        ),
    ];
    let compiled = compiled(rules);
    let why = |operation, address: &str, port| {
        let peer = Endpoint { address: address.parse().unwrap(), port, protocol: 6 };
        ask(&compiled, operation, &compiled.tables.label_peer(&peer, operation, &[])).1
    };
    for address in ["10.9.9.9", "::ffff:10.1.1.1", "64:ff9b::10.1.1.1"] {
        assert_eq!(why(Connect, address, 80), Why::Rule(0), "{address}");
        assert_eq!(why(Connect, address, 81), Why::Default, "{address}");
    }
    for address in ["0.0.0.0", "::", "127.1.2.3", "::ffff:0.0.0.0"] {
        assert_eq!(why(Connect, address, 9), Why::Rule(1), "{address}");
    }
    // To be bound to any address is to be bound to the denied one.
    for address in ["0.0.0.0", "::"] {
        assert_eq!(why(Bind, address, 80), Why::Rule(0), "{address}");
        assert_eq!(why(Bind, address, 81), Why::Default, "{address}");
    }
    assert_eq!(why(Connect, "11.0.0.1", 80), Why::Default);
    // Ports in the wrong order fit nothing.
    let ports = Some((90, 80));
    let peer = |ports| Object::Peer(Peer { network: None, ports, protocol: None });
    let backwards = self::compiled(vec![
        rule("r", &[Connect], &[peer(ports)], DENY),
        rule("s", &[Connect], &[peer(Some((95, 99)))], Verdict::Audit),
    ]);
    for port in [79, 80, 85, 90, 91] {
        let peer = Endpoint { address: "10.0.0.1".parse().unwrap(), port, protocol: 6 };
        let labels = backwards.tables.label_peer(&peer, Connect, &[]);
        assert_eq!(ask(&backwards, Connect, &labels).1, Why::Default, "{port}");
    }
    assert_eq!(why(Connect, "2001:db8::1", 80), Why::Default);
}

#[test]
fn what_cannot_be_compiled_says_why() {
    let read = [Operation::Read];
    let failed = |rules: Vec<Rule>| {
        let error = compile(&[policy(rules)], &options(Mode::Enforce)).unwrap_err();
        (error.code(), error.to_string())
    };
    let (code, text) = failed(vec![rule("bad", &read, &[path("/a/../b")], DENY)]);
    assert_eq!(code, "T001");
    assert!(text.starts_with("bad: path pattern \"/a/../b\", at \"..\""), "{text}");
    let (code, text) = failed(vec![rule("net", &read, &[net("10.0.0.0", 33, None)], DENY)]);
    assert_eq!(
        (code, text.as_str()),
        ("T004", "net: a prefix of 33 bits is longer than the address (32 bits)")
    );
    let (code, text) = failed(vec![rule("cap", &read, &[Object::Capability(64)], DENY)]);
    assert_eq!((code, text.as_str()), ("T006", "cap: there is no capability 64"));
    let subjects = (0..256).map(|user| {
        let mut rule = rule("many", &read, &[Object::Any], DENY);
        rule.subject.users = vec![user.to_string()];
        rule
    });
    let (code, text) = failed(subjects.clone().collect());
    assert_eq!(code, "T002");
    assert!(text.contains("different subjects: at most 256"), "{text}");
    assert!(compile(&[policy(subjects.take(255).collect())], &options(Mode::Enforce)).is_ok());
    let texts =
        (0..65).map(|at| rule(&format!("r{at}"), &read, &[path(&format!("*x{at}*"))], DENY));
    let (code, text) = failed(texts.clone().collect());
    assert_eq!(code, "T002");
    assert!(text.contains("`*name*`"), "{text}");
    assert!(compile(&[policy(texts.take(64).collect())], &options(Mode::Enforce)).is_ok());
}
