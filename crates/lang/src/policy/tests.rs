//! What policy text means, and that no text whatever breaks its readers.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use model::policy::{Errno, Mode, Object, Operation, Place, Policy, Verdict};
use proptest::prelude::*;

use super::{INCLUDES, Policies, include, load};
use crate::render;

fn one(name: &str, text: &str) -> Policies {
    load([(name.to_owned(), text.to_owned())])
}

fn policy(text: &str) -> Policy {
    let mut loaded = one("p.yaml", text);
    assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    loaded.policies.remove(0)
}

/// A policy with these lines under `spec`.
pub(super) fn spec(lines: &str) -> String {
    format!("apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {{name: a}}\nspec:\n{lines}")
}

fn complains(text: &str, expected: &Expect) {
    let loaded = one("p.yaml", text);
    assert!(loaded.policies.is_empty(), "{:#?}", loaded.policies);
    let shown: Vec<String> = loaded
        .diagnostics
        .iter()
        .map(|found| {
            let place = text.get(found.span.clone()).unwrap_or("OUTSIDE");
            let help = found.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{} at `{}`: {}{help}", found.code.as_str(), place.trim_end(), found.message)
        })
        .collect();
    expected.assert_eq(&shown.join("\n"));
}

pub(super) const FULL: &str = r#"
  mode: enforce
  subjects:
    web: {executable: /usr/sbin/nginx, user: [www-data, 33], descendants: true}
  allowOnly:
    - {id: web-only, subject: web, operations: [execute, connect], include: base-system}
  rules:
    - id: keys
      subject: web
      deny: [read, write]
      files: [/etc/shadow, "/etc/ssl/private/**"]
      errno: EACCES
      severity: high
      message: The web server has no business with keys.
    - id: upstream
      subject: web
      allow: connect
      peers: ["10.0.0.0/8:443/tcp", "[2001:db8::/32]:80-90", ":53/udp", "192.0.2.1"]
      domains: ["*.example.org:443"]
    - id: window
      allow: write
      files: /etc/shadow
      until: 2026-12-24T18:00:00Z
      reason: migration
      author: ops
    - id: leak
      kill: connect
      after: {operations: read, files: "/etc/ssl/private/**"}
    - {id: raw, deny: [raw-socket, io-uring]}
    - {id: caps, audit: capability, capabilities: [CAP_SYS_ADMIN, net_raw]}
"#;

#[test]
fn a_whole_policy_is_read() {
    let policy = policy(&spec(FULL));
    assert_eq!((policy.name.as_str(), policy.mode), ("a", Some(Mode::Enforce)));
    let rule = |id: &str| policy.rules.iter().find(|rule| rule.id == id).unwrap();

    let keys = rule("keys");
    assert_eq!(keys.verdict, Verdict::Deny(Errno::Access));
    assert_eq!(keys.subject.executables, ["/usr/sbin/nginx"]);
    assert_eq!(keys.subject.users, ["www-data", "33"]);
    assert!(keys.subject.descendants);
    assert_eq!(keys.operations.iter().collect::<Vec<_>>(), [Operation::Read, Operation::Write]);
    assert_eq!(keys.objects.len(), 2);
    assert_eq!(keys.place.line, 12, "the line of `- id: keys`");

    let shown: Vec<String> =
        rule("upstream").objects.iter().map(|one| format!("{one:?}")).collect();
    expect![[r#"
        Peer(Peer { network: Some((10.0.0.0, 8)), ports: Some((443, 443)), protocol: Some(6) })
        Peer(Peer { network: Some((2001:db8::, 32)), ports: Some((80, 90)), protocol: None })
        Peer(Peer { network: None, ports: Some((53, 53)), protocol: Some(17) })
        Peer(Peer { network: Some((192.0.2.1, 32)), ports: None, protocol: None })
        Domain { name: "*.example.org", ports: Some((443, 443)) }"#]]
    .assert_eq(&shown.join("\n"));

    let window = rule("window").exception.as_ref().unwrap();
    assert_eq!(window.until, 1_798_135_200);
    assert_eq!(rule("leak").verdict, Verdict::Kill);
    assert_eq!(rule("leak").after.as_ref().unwrap().objects.len(), 1);
    assert_eq!(rule("raw").objects, [Object::Any]);
    assert_eq!(rule("caps").objects, [Object::Capability(21), Object::Capability(13)]);

    assert_eq!(policy.allow_lists.len(), 1);
    let loader = rule("web-only.base-system.loader");
    assert_eq!(loader.operations.iter().collect::<Vec<_>>(), [Operation::Execute]);
    assert_eq!(loader.subject, policy.allow_lists[0].subject);
    assert_eq!(loader.place.file, "include:base-system");
    assert!(
        !policy.rules.iter().any(|rule| rule.id.ends_with("time-and-language")),
        "reading is not limited, so nothing need allow it"
    );
}

#[test]
fn toml_means_the_same_as_yaml() {
    let toml = r#"
apiVersion = "aegisbpf.io/v1"
kind = "Policy"
metadata = { name = "a" }
[spec]
mode = "audit"
[[spec.rules]]
id = "keys"
subject = { executable = ["/bin/a", "/bin/b"] }
deny = ["read"]
files = ["/k"]
"#;
    let yaml = spec(
        "  mode: audit\n  rules:\n    - {id: keys, subject: {executable: [/bin/a, /bin/b]}, deny: read, files: /k}\n",
    );
    let mut of_toml = one("p.toml", toml);
    assert!(of_toml.diagnostics.is_empty(), "{:#?}", of_toml.diagnostics);
    let mut of_yaml = policy(&yaml);
    of_toml.policies[0].rules[0].place = Place::default();
    of_yaml.rules[0].place = Place::default();
    assert_eq!(of_toml.policies[0], of_yaml);
}

#[test]
fn each_mistake_is_shown_where_it_is() {
    complains(
        "apiVersion: aegisbpf.io/v2\nkind: Polici\nmetadata: {name: A b}\nspec: {rules: []}\n",
        &expect![[r"
            E050 at `aegisbpf.io/v2`: `apiVersion` is `aegisbpf.io/v2`, this version reads `aegisbpf.io/v1` (write `apiVersion: aegisbpf.io/v1`)
            E050 at `Polici`: `kind` is `Polici`, this version reads `Policy` (write `kind: Policy`)
            E004 at `A b`: this must be a name of small letters, digits, `-` and `.`
            E002 at `{rules: []}`: the policy has no rule"]],
    );
    complains(
        &spec(
            "  rules:\n    - {id: a, deny: [reed], files: [shadow]}\n    - {id: a, deny: read, kill: read}\n    - {id: b, files: /x}\n    - {id: c, deny: connect, files: /x}\n    - {id: d, deny: connect, peers: 10.1.2.3/8}\n    - {id: e, subjct: x, deny: read}\n    - {id: f, subject: wob, deny: read}\n    - {id: g, audit: read, until: tomorrow}\n    - {id: h, kill: read, errno: EPERM}\n    - {id: i, subject: {descendants: true}, deny: read}\n",
        ),
        &expect![[r"
            E004 at `reed`: there is no operation `reed` (`read` is one)
            E004 at `shadow`: this must be an absolute path, or a pattern that starts with `**/` (`**/shadow` is this name in any directory)
            E006 at `a`: two rules are called `a`
            E004 at `kill`: a rule has one verdict
            E002 at `{id: b, files: /x}`: the rule has no verdict (write one of `allow`, `deny`, `kill`, `audit` with the operations, as `deny: [read, write]`)
            E004 at `files`: no operation of the rule can be about `files` (`files` goes with read, write, create, delete, rename, link, attributes, execute, map-code)
            E004 at `10.1.2.3/8`: this must be an address, as `10.0.0.0/8`, `192.0.2.1:443`, `[2001:db8::/32]:80-90` or `:53/udp`
            E003 at `subjct`: unknown key `subjct` (`subject` is a key)
            E004 at `wob`: no subject is called `wob` (name it under `spec.subjects`, or write it here as a map)
            E004 at `tomorrow`: this must be a time with its zone, as `2026-12-24T18:00:00Z`
            E004 at `errno`: only `deny` returns an error of choice
            E002 at `{descendants: true}`: the subject names nobody (leave `subject` out to mean every process)"]],
    );
}

#[test]
fn what_yaml_could_hide_is_refused() {
    complains(
        &spec("  rules: &r\n    - {id: a, deny: read}\n  allowOnly: *r\n"),
        &expect!["E041 at `*r`: aliases are not read: write the value where it is used"],
    );
    complains(
        &spec("  rules:\n    - {id: a, deny: !x read}\n"),
        &expect!["E041 at `read`: tags have no meaning in a policy"],
    );
    complains(
        &spec("  rules:\n    - {id: a, id: b, deny: read}\n"),
        &expect!["E004 at `id`: `id` is given twice"],
    );
    complains(
        &format!("{}{}", "[".repeat(40), "]".repeat(40)),
        &expect!["E005 at `[`: lists and maps nest deeper than 32"],
    );
    complains("", &expect!["E002 at ``: the file holds no policy"]);
    complains(
        "spec: [",
        &expect!["E041 at ``: while parsing a node, did not find expected node content"],
    );
}

#[test]
fn places_count_bytes_and_not_characters() {
    let text = spec("  rules:\n    - {id: a, message: \"ä€\", deny: read, ünknown: 1}\n");
    let loaded = one("p.yaml", &text);
    assert_eq!(&text[loaded.diagnostics[0].span.clone()], "ünknown");
}

#[test]
fn includes_are_policies_without_a_mistake() {
    for name in INCLUDES {
        let text = include(name).unwrap();
        let loaded = one(name, text);
        assert!(loaded.diagnostics.is_empty(), "{name}: {:#?}", loaded.diagnostics);
        assert!(loaded.policies[0].rules.iter().all(|rule| rule.verdict == Verdict::Allow));
    }
    assert!(include("nothing").is_none());
}

#[test]
fn a_large_policy_is_read_in_time() {
    let mut rules = String::new();
    for n in 0..10_000 {
        writeln!(rules, "    - {{id: r{n}, deny: [read, write], files: [/srv/data/{n}/secret]}}")
            .unwrap();
    }
    let text = spec(&format!("  rules:\n{rules}"));
    let started = std::time::Instant::now();
    assert_eq!(policy(&text).rules.len(), 10_000);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn two_policies_of_a_name_are_one_too_many() {
    let text = spec("  rules:\n    - {id: a, deny: read}\n");
    let loaded = load([("p.yaml".to_owned(), text.clone()), ("q.yaml".to_owned(), text)]);
    assert_eq!(loaded.policies.len(), 1);
    assert_eq!(loaded.diagnostics[0].file, "q.yaml");
    let many = "---\n".to_owned() + &spec("  rules:\n    - {id: a, deny: read}\n");
    let other = many.replace("name: a", "name: b");
    assert_eq!(one("p.yaml", &(many + &other)).policies.len(), 2);
}

fn piece() -> impl Strategy<Value = String> {
    let pieces = vec![
        "apiVersion",
        ": ",
        "aegisbpf.io/v1",
        "\n",
        "  ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "rules",
        "spec:",
        "id",
        "deny",
        "read",
        "files",
        "/x/**",
        "peers",
        "[::1]:80",
        "10.0.0.0/8",
        "\"",
        "'",
        "|\n",
        ">\n",
        "&a",
        "*a",
        "!!str",
        "---\n",
        "#",
        "ä",
        "\u{0}",
        "\t",
        "?",
        "subject",
        "executable",
        "until",
        "2026-01-01T00:00:00Z",
        "999999999999999999999",
        "~",
        "%",
    ];
    prop_oneof![9 => prop::sample::select(pieces).prop_map(str::to_owned), 1 => "\\PC{0,3}"]
}

proptest! {
    /// Any text gives policies or a finding, whose place is within it, and which can be shown.
    #[test]
    fn any_text_is_answered(pieces in prop::collection::vec(piece(), 0..40), toml: bool) {
        let text = pieces.concat();
        let loaded = one(if toml { "p.toml" } else { "p.yaml" }, &text);
        prop_assert!(!loaded.policies.is_empty() || loaded.has_errors());
        for found in &loaded.diagnostics {
            prop_assert!(text.get(found.span.clone()).is_some(), "{found:?}");
            prop_assert!(!render::text(found, &loaded.sources, false).is_empty());
        }
    }
}
