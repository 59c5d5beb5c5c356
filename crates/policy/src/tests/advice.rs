//! What `lint`, `edit` and `diff` say of policies as people write them.

use model::policy::{Mode, Operation, Policy, Verdict};

use crate::diff::{Change, Side, diff};
use crate::edit::{self, Edit};
use crate::lint::roles::{Places, Role, all};
use crate::lint::{What, lint};
use crate::question::Question;
use crate::{Compiled, Options, compile};

const NOW: i64 = 1_700_000_000;

fn options() -> Options {
    Options { generation: 1, mode: Mode::Enforce, now: NOW }
}

/// A policy with these lines under `spec`.
fn read(spec: &str) -> (Vec<Policy>, Compiled) {
    let text =
        format!("apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n{spec}");
    let loaded = lang::policy::load([("p.yaml".to_owned(), text)]);
    assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    let compiled = compile(&loaded.policies, &options()).unwrap();
    (loaded.policies, compiled)
}

fn roles() -> Vec<Role> {
    all(&Places {
        agent: "/usr/bin/aegisbpf".to_owned(),
        policies: "/etc/aegisbpf/policies.d".to_owned(),
        state: "/var/lib/aegisbpf".to_owned(),
        shell: "/bin/bash".to_owned(),
    })
}

/// Findings as `rule: what`.
fn findings(spec: &str) -> Vec<String> {
    let (policies, compiled) = read(spec);
    let id = |rule: u32| compiled.rules[rule as usize].id.clone();
    let found = lint(&policies, &compiled, &roles());
    let shown = found.into_iter().map(|one| {
        let what = match one.what {
            What::Contradicted(by) => format!("contradicted by {}", id(by)),
            What::Shadowed(by) => format!("shadowed by {}", id(by)),
            What::NeverArmed(by) => format!("never armed: {}", id(by)),
            What::LocksOut { role, needs, .. } => {
                format!("locks out {role}: {} {}", needs[0].0.name(), needs[0].1)
            }
            other => format!("{other:?}"),
        };
        format!("{}: {what}", id(one.rule))
    });
    shown.collect()
}

#[test]
fn a_sound_policy_has_no_finding() {
    let found = findings(
        r#"
  subjects: {web: {executable: /usr/sbin/nginx, descendants: true}}
  allowOnly: [{id: only, subject: web, operations: execute}]
  rules:
    - {id: keys, subject: web, deny: [read, write], files: [/etc/shadow, "/home/*/.ssh/**"]}
    - {id: helper, subject: web, allow: execute, files: /usr/sbin/nginx}
    - {id: carved-out, subject: web, deny: connect, peers: 10.0.0.0/8}
    - {id: watched, audit: read, files: /etc/shadow}
    - {id: leak, subject: web, after: {operations: read, files: "/srv/private/**"}, deny: connect}
    - {id: link-by-name, subject: web, allow: link, files: "/home/a/.ssh/**"}
"#,
    );
    assert_eq!(found, [""; 0]);
}

#[test]
fn rules_that_decide_nothing_are_found_with_the_rule_that_does() {
    let web = "subject: {executable: /usr/sbin/nginx}";
    let one = |lines: &str| findings(&format!("  rules:\n{}", lines.replace("WEB", web)));
    // The same words in another order: precedence knows no order.
    for lines in [
        "    - {id: a, WEB, allow: read, files: /srv/a/x}\n    - {id: b, WEB, deny: read, files: /srv/a/**}\n",
        "    - {id: b, deny: read, files: /srv/a/**}\n    - {id: a, WEB, allow: read, files: /srv/a/x}\n",
    ] {
        assert_eq!(one(lines), ["a: contradicted by b"], "{lines}");
    }
    // A part that is denied, of what is allowed, is how exceptions to the rule are written.
    let list = "  allowOnly: [{id: l, WEB, operations: read}]\n".replace("WEB", web);
    let part = "    - {id: a, WEB, allow: read, files: /srv/a/**}\n    - {id: b, WEB, deny: read, files: /srv/a/x}\n";
    assert_eq!(findings(&format!("{list}  rules:\n{}", part.replace("WEB", web))), [""; 0]);
    // One subject is not another.
    let other =
        "    - {id: a, deny: read, files: /srv/a}\n    - {id: b, WEB, kill: read, files: /srv/a}\n";
    assert_eq!(one(other), [""; 0], "killing comes first, for some");
    let all = "    - {id: a, kill: read, files: /srv/a/**}\n    - {id: b, WEB, deny: [read], files: /srv/a/b}\n";
    assert_eq!(one(all), ["b: shadowed by a"]);
    let more = "    - {id: a, kill: read, files: /srv/a/**}\n    - {id: b, WEB, deny: [read, write], files: /srv/a/b}\n";
    assert_eq!(one(more), [""; 0], "writing is denied by nobody else");
    assert_eq!(one("    - {id: a, WEB, allow: read, files: /srv/a}\n"), ["a: Idle"]);
    let loose = "    - {id: a, WEB, allow: read, files: /srv/a.pem}\n    - {id: b, deny: read, files: '**/*.pem'}\n";
    assert_eq!(one(loose), [""; 0], "a pattern without a root may fit the same file");
    let never = "    - {id: a, WEB, after: {operations: read, files: /srv/a/b}, deny: connect}\n    - {id: b, deny: read, files: /srv/a/**}\n";
    assert_eq!(one(never), ["a: never armed: b"]);
    let over = "    - {id: a, allow: read, files: /srv/a, until: 2020-01-01T00:00:00Z, reason: r, author: a}\n";
    assert_eq!(one(over), ["a: Expired"]);
    assert_eq!(one("    - {id: a, WEB, deny: read, files: '**/*a*'}\n"), ["a: Wide(\"**/*a*\")"]);
}

#[test]
fn who_keeps_the_host_running_is_not_locked_out() {
    let one = |rule: &str| findings(&format!("  rules: [{rule}]\n"));
    assert_eq!(
        one("{id: a, deny: read, files: /etc/shadow}"),
        ["a: locks out sshd: read /etc/shadow"]
    );
    assert_eq!(
        one("{id: a, deny: write, files: '/usr/bin/**'}"),
        ["a: locks out the package manager: create /usr/bin/some-program"]
    );
    assert_eq!(
        one("{id: a, deny: accept, peers: ':22/tcp'}"),
        [""; 0],
        "the port of a peer is not the port that is listened on"
    );
    assert_eq!(
        one("{id: a, deny: bind, peers: ':22/tcp'}"),
        ["a: locks out sshd: bind 0.0.0.0 port 22"]
    );
    assert_eq!(one("{id: a, deny: bpf, subject: {executable: '/usr/bin/*'}}").len(), 1);
    assert_eq!(
        one("{id: a, deny: execute, files: '/usr/bin/*', subject: {loginSession: true}}"),
        ["a: locks out the operator's own shell: execute /usr/bin/sudo"]
    );
    let everything = one("{id: a, deny: file}");
    assert!(everything.contains(&"a: Everything(Read)".to_owned()), "{everything:?}");
    for role in ["the agent itself", "init", "sshd", "the package manager", "own shell"] {
        assert!(everything.iter().any(|one| one.contains(role)), "{role}: {everything:?}");
    }
    // A list without rules for everybody is the same.
    let list =
        findings("  allowOnly: [{id: l, subject: {user: [root, 64999]}, operations: execute}]\n");
    assert!(list.contains(&"l: Everything(Execute)".to_owned()), "{list:?}");
    // What is only reported locks nobody out.
    let audit = findings("  mode: audit\n  rules: [{id: a, deny: file}]\n");
    assert!(audit.is_empty(), "{audit:?}");
}

fn edited(spec: &str, question: &str) -> (Option<Edit>, Verdict) {
    let (policies, compiled) = read(spec);
    let question = Question::parse(question).unwrap();
    let edit = edit::smallest(&policies, &compiled, &options(), &question);
    let changed = edit.as_ref().map_or(policies.clone(), |edit| edit::apply(&policies, edit));
    let compiled = compile(&changed, &options()).unwrap();
    let process = compiled.process(&question.actor);
    let labels = question.labels(&compiled);
    (edit, compiled.tables.decide(&process, question.operation, &labels).verdict)
}

#[test]
fn the_smallest_edit_allows_what_was_asked() {
    let listed = "
  allowOnly: [{id: l, subject: {executable: /bin/x}, operations: [read, execute]}]
  rules: [{id: r, subject: {executable: /bin/x}, allow: read, files: /srv/a}]\n";
    let (edit, verdict) = edited(listed, "open /srv/b as /bin/x");
    assert!(matches!(edit, Some(Edit::Object { rule: 0, .. })), "{edit:?}");
    assert_eq!(verdict, Verdict::Allow);
    let (edit, verdict) = edited(listed, "exec /srv/a as /bin/x");
    let wanted = Edit::Operation { rule: 0, operation: Operation::Execute };
    assert_eq!((edit, verdict), (Some(wanted), Verdict::Allow));
    assert_eq!(edited(listed, "open /srv/a as /bin/x"), (None, Verdict::Allow), "it is allowed");

    let denied = "  rules: [{id: r, deny: read, files: /srv/**}]\n";
    let (edit, verdict) = edited(denied, "open /srv/b as /bin/x");
    let Some(Edit::Rule { rule, .. }) = edit else { panic!("{edit:?}") };
    assert!(rule.exception.is_some(), "only an exception outranks a denial");
    assert_eq!(rule.subject.executables, ["/bin/x"], "for whom it was asked, not for all");
    assert_eq!(verdict, Verdict::Allow);
    // Renaming is denied because reading is: to name it is enough.
    let (edit, verdict) = edited(denied, "rename /srv/b as /bin/x");
    let Some(Edit::Rule { rule, .. }) = edit else { panic!("{edit:?}") };
    assert_eq!((rule.exception, verdict), (None, Verdict::Allow));
}

#[test]
fn a_difference_tells_rules_and_requests() {
    let (old, one) = read(
        "  rules:
    - {id: a, deny: read, files: /srv/a}
    - {id: gone, deny: connect, peers: 10.0.0.0/8}
    - {id: same, deny: read, files: /srv/s}\n",
    );
    let (new, two) = read(
        "  rules:
    - {id: same, deny: read, files: /srv/s}
    - {id: a, deny: [read, write], files: /srv/a, severity: high}
    - {id: new, subject: {unit: x.service}, kill: execute, files: /srv/n}\n",
    );
    let before = Side { policies: &old, compiled: &one };
    let after = Side { policies: &new, compiled: &two };
    let found = diff(before, after);
    let rules: Vec<_> =
        found.rules.iter().map(|one| (one.id.as_str(), one.change.clone())).collect();
    let changed = Change::Changed(vec!["operations", "severity"]);
    assert_eq!(rules, [("a", changed), ("gone", Change::Removed), ("new", Change::Added)]);
    let turned: Vec<_> = (found.turned.iter())
        .map(|one| (one.question.operation, one.before.verdict == Verdict::Allow))
        .collect();
    let expected =
        [(Operation::Connect, false), (Operation::Write, true), (Operation::Execute, true)];
    assert_eq!(turned, expected);
    assert_eq!(found.turned[2].after.verdict, Verdict::Kill, "asked by a process of the unit");
    let same = diff(before, before);
    assert!(same.rules.is_empty() && same.turned.is_empty() && same.tried == 3, "{same:?}");
}
