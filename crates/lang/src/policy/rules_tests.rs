//! Rules of rule files that deny, as a policy.

use model::policy::{Errno, Object, Operation, Rule, Verdict};

use super::{Policies, RULES, load};
use crate::diagnostic::Code;

fn rule(more: &str, query: &str) -> String {
    format!(
        "[[rule]]\nid = \"one\"\nname = \"One\"\ndescription = \"d\"\nseverity = \"high\"\n{more}\n\
         query = '''\n{query}\n'''\n"
    )
}

fn read(more: &str, query: &str) -> Policies {
    load([("r.toml".to_owned(), rule(more, query))])
}

/// The rules of the policy that a query makes.
fn made(query: &str) -> Vec<Rule> {
    let mut all = read("response = [\"deny\"]", query);
    assert!(!all.has_errors(), "{query}: {:?}", all.diagnostics);
    assert_eq!(all.policies.len(), 1, "{query}");
    let policy = all.policies.remove(0);
    assert_eq!(policy.name, RULES);
    policy.rules
}

/// Why the kernel does not decide a query.
fn obstacle(query: &str) -> String {
    let all = read("response = [\"deny\"]", query);
    assert!(all.policies.is_empty(), "{query}");
    let [one] = all.diagnostics.as_slice() else { panic!("{query}: {:?}", all.diagnostics) };
    assert_eq!(one.code, Code::LatePlacement, "{one:?}");
    format!("{one:?}")
}

fn words(rule: &Rule) -> Vec<&'static str> {
    rule.operations.iter().map(Operation::name).collect()
}

fn paths(rule: &Rule) -> Vec<&str> {
    let mut all = Vec::new();
    for object in &rule.objects {
        let Object::Path(path) = object else { panic!("{object:?} is no path") };
        all.push(path.as_str());
    }
    all
}

#[test]
fn a_rule_is_who_does_what_to_which_things() {
    let all = made(
        "file where event.action == \"open\" and file.Ext.open.write == false and \
         file.path == \"/etc/shadow\" and process.executable like \"/opt/*\" and user.id == \"33\"",
    );
    let [one] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((one.id.as_str(), one.verdict), ("one", Verdict::Deny(Errno::default())));
    assert_eq!(words(one), ["read"]);
    assert_eq!(paths(one), ["/etc/shadow"]);
    assert_eq!(one.subject.executables, ["/opt/*/**"]);
    assert_eq!(one.subject.users, ["33"]);
    assert_eq!((one.place.file.as_str(), one.place.line), ("r.toml", 2));
    assert_eq!(one.message.as_deref(), Some("One"));
}

#[test]
fn an_execution_is_of_the_program_that_starts() {
    let all = made("process where event.type == \"start\" and process.name in (\"nc\", \"ncat\")");
    let [one] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((words(one), paths(one)), (vec!["execute"], vec!["**/nc", "**/ncat"]));
    assert!(one.subject.executables.is_empty());
}

#[test]
fn what_is_said_of_a_peer_holds_together() {
    let all = made(
        "network where event.action == \"connection_attempted\" and \
         cidrMatch(destination.ip, \"10.0.0.0/8\") and cidrMatch(destination.ip, \"10.1.0.0/16\", \
         \"192.0.2.0/24\") and destination.port >= 80 and destination.port < 90",
    );
    let [one] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(words(one), ["connect"]);
    let [Object::Peer(peer)] = one.objects.as_slice() else { panic!("{:?}", one.objects) };
    assert_eq!(peer.network, Some(("10.1.0.0".parse().unwrap(), 16)));
    assert_eq!((peer.ports, peer.protocol), (Some((80, 89)), None));
}

#[test]
fn alternatives_are_rules_of_their_own() {
    let all = made(
        "file where event.action == \"deletion\" and \
         ((file.path == \"/a\" and process.name == \"x\") or (file.path == \"/b\" and \
         process.name == \"y\"))",
    );
    let ids: Vec<&str> = all.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["one.1", "one.2"]);
    assert_eq!((paths(&all[0]), paths(&all[1])), (vec!["/a"], vec!["/b"]));
}

#[test]
fn letters_of_either_size_are_both_meant() {
    let all = made("file where event.action == \"deletion\" and file.path : \"/A-1\"");
    assert_eq!(paths(&all[0]), ["/A-1", "/[aA]-1"]);
}

#[test]
fn the_last_step_of_a_sequence_waits_for_the_others() {
    let all = made(
        "sequence by process.entity_id with maxspan=1m\n\
         [file where event.action == \"open\" and process.args == \"x\"]\n\
         [network where event.action == \"connection_attempted\"]",
    );
    let [one] = all.as_slice() else { panic!("{all:?}") };
    let after = one.after.as_ref().unwrap();
    assert_eq!((after.sequence.as_deref(), after.operations.is_empty()), (Some("one"), true));
    assert_eq!((words(one), one.objects.as_slice()), (vec!["connect"], &[Object::Any][..]));
}

#[test]
fn what_the_kernel_cannot_decide_is_refused_with_the_reason() {
    let open = "file where event.action == \"open\" and ";
    for (query, why) in [
        (format!("{open}not file.path == \"/a\""), "no label for all but some `file.path`"),
        (format!("{open}process.args == \"-e\""), "no label for `process.args`"),
        (format!("{open}file.path == \"/a\" and file.name == \"a\""), "two patterns"),
        (format!("{open}file.path like \"/a?\""), "one character that may also be a slash"),
        ("file where file.path == \"/a\"".to_owned(), "`rename`, which the kernel decides by both"),
        ("process where event.type == \"end\"".to_owned(), "`exit`, which no hook precedes"),
        (
            "sequence by user.id [file where event.action == \"open\"] \
             [network where event.action == \"bind\"]"
                .to_owned(),
            "join all steps by `process.entity_id`",
        ),
        (
            "sequence by process.entity_id [file where event.action == \"open\"] \
             [network where event.action == \"bind\"] until [process where event.type == \"end\"]"
                .to_owned(),
            "does not follow `until`",
        ),
    ] {
        let said = obstacle(&query);
        assert!(said.contains(why), "{query}: {said}");
    }
}

#[test]
fn rules_that_only_alert_or_may_come_late_make_no_policy() {
    let query = "file where event.action == \"open\" and file.path == \"/a\"";
    assert!(read("", query).policies.is_empty());
    let late = "process where event.type == \"end\"";
    let all = read("response = [\"deny\"]\nplacement = \"any\"", late);
    assert!(all.policies.is_empty() && !all.has_errors(), "{:?}", all.diagnostics);
}

#[test]
fn rules_stand_beside_policies() {
    let policy = "apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules: \
                  [{id: a, deny: read, files: [/x]}]\n";
    let query = "file where event.action == \"deletion\" and file.path == \"/a\"";
    let rules = rule("response = [\"deny\", \"kill\"]", query);
    let all = load([("p.yaml".to_owned(), policy.to_owned()), ("r.toml".to_owned(), rules)]);
    assert!(all.diagnostics.iter().all(|one| !one.is_error()), "{:?}", all.diagnostics);
    let names: Vec<&str> = all.policies.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["p", RULES]);
    assert_eq!(all.policies[1].rules[0].verdict, Verdict::Kill);
    assert_eq!(all.sources.len(), 2);
}
