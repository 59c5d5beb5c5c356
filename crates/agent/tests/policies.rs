//! The commands about policies that need neither a running agent nor privilege.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::lab::AGENT;

/// A directory with policies.
pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk(tempfile::Builder::new().prefix("policy-").tempdir_in("/tmp").unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A policy file with these lines under `spec`.
    pub(crate) fn policy(&self, name: &str, spec: &str) -> PathBuf {
        let path = self.path(&format!("{name}.yaml"));
        fs::write(&path, document(name, spec)).unwrap();
        path
    }
}

pub(crate) fn document(name: &str, spec: &str) -> String {
    format!("apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {{name: {name}}}\nspec:\n{spec}")
}

/// Runs `policy` with these words and paths.
pub(crate) fn policy(words: &[&str], paths: &[&Path]) -> Output {
    let command = &mut Command::new(AGENT);
    command.arg("policy").args(words).args(paths).env("SHELL", "/bin/bash").output().unwrap()
}

pub(crate) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A policy that nothing is wrong with.
pub(crate) const SOUND: &str = r#"
  subjects: {web: {executable: /usr/sbin/nginx, descendants: true}}
  rules:
    - id: keys
      subject: web
      deny: [read, write]
      files: [/etc/shadow, "/home/*/.ssh/**"]
"#;

#[test]
fn a_sound_policy_has_no_finding_and_a_size() {
    let desk = Desk::new();
    let sound = desk.policy("sound", SOUND);
    let lint = policy(&["lint"], &[&sound]);
    assert_eq!(
        (code(&lint), out(&lint).as_str()),
        (Some(0), "1 policy with 1 rules: 0 errors, 0 warnings\n")
    );
    let plan = policy(&["plan", "-o", "json"], &[&sound]);
    let plan = json(&plan);
    assert_eq!((plan["rules"].as_u64(), plan["subjects"].as_u64()), (Some(1), Some(2)));
    assert_eq!(plan["operations"], serde_json::json!({"read": 1, "write": 1}));
    assert!(plan["bytes"].as_u64().unwrap() > 1000);
    let text = out(&policy(&["plan"], &[&sound]));
    assert!(text.contains("patterns       3 "), "{text}");
}

#[test]
fn each_code_of_tables_is_shown_at_its_place() {
    let desk = Desk::new();
    let cases = [
        ("E053", "  rules: [{id: a, deny: read, files: '/a/../b'}]\n", "/a/../b"),
        ("E054", "  rules: [{id: a, deny: read, files: /etc/shadow}]\n", "a"),
        ("E055", "  rules: [{id: a, deny: read}]\n", "a"),
        (
            "W020",
            "  rules: [{id: a, allow: read, files: /srv/x}, {id: b, deny: read, files: /srv/**}]\n",
            "a",
        ),
        ("W021", "  rules: [{id: a, allow: read, files: /srv/x}]\n", "a"),
        ("W022", "  rules: [{id: a, subject: {user: '7'}, deny: read, files: '/*/**'}]\n", "/*/**"),
        (
            "W023",
            "  rules: [{id: a, subject: {user: nobody-here}, deny: read, files: /x}]\n",
            "nobody-here",
        ),
    ];
    for (wanted, spec, place) in cases {
        let file = desk.policy("p", spec);
        let lint = policy(&["lint", "-o", "json"], &[&file]);
        assert_eq!(code(&lint), Some(1), "{wanted}");
        let found = json(&lint);
        let all = found["diagnostics"].as_array().unwrap();
        let one = all.iter().find(|one| one["code"] == wanted);
        let one = one.unwrap_or_else(|| panic!("{wanted} is not among {all:#?}"));
        let text = fs::read_to_string(&file).unwrap();
        let at = |end: &str| usize::try_from(one["span"][end].as_u64().unwrap()).unwrap();
        assert_eq!(&text[at("start")..at("end")], place, "{wanted}: {one:#}");
        assert_eq!(one["rule"], "a");
        let shown = out(&policy(&["lint"], &[&file]));
        assert!(shown.contains(&format!("[{wanted}]")) && shown.contains("p.yaml:5:"), "{shown}");
    }
}

#[test]
fn operations_that_a_tier_lacks_are_named_and_accepted_by_name() {
    let desk = Desk::new();
    let spec =
        "  rules: [{id: a, subject: {user: '7'}, deny: [read, delete, link], files: /srv/**}]\n";
    let file = desk.policy("p", spec);
    let lint = |more: &[&str]| policy(&[&["lint"], more].concat(), &[&file]);
    assert_eq!(code(&lint(&[])), Some(0));
    assert_eq!(code(&lint(&["--tier", "lsm"])), Some(0));
    let fallback = lint(&["--tier", "fallback"]);
    let text = out(&fallback);
    assert_eq!(code(&fallback), Some(1));
    assert!(text.contains("`delete` cannot") && text.contains("`link` cannot"), "{text}");
    assert!(!text.contains("`read` cannot"), "{text}");
    let one = lint(&["--tier", "fallback", "--accept-degraded", "delete"]);
    assert!(!out(&one).contains("`delete`") && out(&one).contains("`link`"), "{}", out(&one));
    assert_eq!(code(&lint(&["--tier", "fallback", "--accept-degraded", "delete,link"])), Some(0));
    assert_eq!(code(&lint(&["--accept-degraded", "delet"])), Some(2));
}

#[test]
fn an_errno_that_a_tier_does_not_return_is_named() {
    let desk = Desk::new();
    let rule = "id: a, subject: {user: '7'}, errno: EACCES";
    let file = |what: &str| desk.policy("p", &format!("  rules: [{{{rule}, {what}}}]\n"));
    let lint = |tier: &str, file: &Path| policy(&["lint", "--tier", tier], &[file]);
    let read = file("deny: read, files: /srv/x");
    assert_eq!(code(&lint("lsm", &read)), Some(0));
    let found = out(&lint("fallback", &read));
    assert!(found.contains("[W024]") && found.contains("EPERM"), "{found}");
    let connect = file("deny: connect, peers: 192.0.2.1");
    assert_eq!(code(&lint("fallback", &connect)), Some(0), "programs of cgroups return it");
}

#[test]
fn what_only_lsm_programs_know_of_processes_is_named_and_cannot_be_accepted() {
    let desk = Desk::new();
    let cases = [
        ("subject: {script: /srv/a.py}, deny: connect", "script", "which script"),
        ("deny: connect, after: {operations: read, files: /srv/key}", "after", "arms nobody"),
        (
            "subject: {user: '7'}, deny: read, files: /srv/x, after: {operations: connect}",
            "after",
            "who is armed",
        ),
    ];
    for (rule, word, why) in cases {
        let file = desk.policy("p", &format!("  rules: [{{id: a, {rule}}}]\n"));
        let lint = |more: &[&str]| policy(&[&["lint", "-o", "json"], more].concat(), &[&file]);
        assert_eq!(code(&lint(&["--tier", "lsm"])), Some(0), "{rule}: {}", out(&lint(&[])));
        let found = lint(&["--tier", "fallback", "--accept-degraded", "read,connect"]);
        let all = json(&found)["diagnostics"].as_array().unwrap().clone();
        let [one] = all.as_slice() else { panic!("{rule}: {all:#?}") };
        assert_eq!((&one["code"], &one["rule"]), (&"E056".into(), &"a".into()), "{rule}");
        let text = fs::read_to_string(&file).unwrap();
        let at = |end: &str| usize::try_from(one["span"][end].as_u64().unwrap()).unwrap();
        assert_eq!(&text[at("start")..at("end")], word, "{rule}: {one:#}");
        assert!(one.to_string().contains(why), "{rule}: {one:#}");
    }
    let armed = "deny: connect, peers: 192.0.2.1, after: {operations: connect, peers: 192.0.2.2}";
    let file = desk.policy("p", &format!("  rules: [{{id: a, {armed}}}]\n"));
    let found = policy(&["lint", "--tier", "fallback"], &[&file]);
    assert_eq!(code(&found), Some(0), "the network alone follows processes: {}", out(&found));
}

#[test]
fn bad_input_is_answered_by_a_code_and_exit_code_1() {
    let desk = Desk::new();
    let sound = document("p", SOUND);
    let half = &sound[..sound.find("subject: web").unwrap() + 8];
    let nonsense: Vec<u8> =
        (0..10_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let cases: [(&str, &str, &[u8]); 8] = [
        ("empty.yaml", "E002", b""),
        ("version.yaml", "E050", sound.replace("io/v1", "io/v9").leak().as_bytes()),
        ("key.yaml", "E003", sound.replace("subject: web", "subjct: web").leak().as_bytes()),
        ("half.yaml", "E0", half.as_bytes()),
        ("half.toml", "E001", b"apiVersion = \"aegisbpf.io/v1\nkind"),
        ("text.yaml", "E051", b"\xff\xfe\x00"),
        ("large.yaml", "E051", &nonsense),
        ("small.yaml", "E051", &nonsense[..100_000]),
    ];
    for (name, wanted, bytes) in cases {
        let file = desk.path(name);
        fs::write(&file, bytes).unwrap();
        for words in [&["lint"][..], &["plan"], &["export"], &["explain", "open /x as y"]] {
            let output = policy(words, &[&file]);
            let text = out(&output) + &err(&output);
            assert_eq!(code(&output), Some(1), "{name} {words:?}: {text}");
            assert!(text.contains(&format!("[{wanted}")) && text.contains(name), "{name}: {text}");
        }
    }
    let missing = desk.path("missing.yaml");
    let output = policy(&["lint"], &[&missing]);
    assert_eq!(code(&output), Some(1));
    assert!(
        out(&output).contains("E051") && out(&output).contains("missing.yaml"),
        "{}",
        out(&output)
    );
    let empty = desk.path("empty");
    fs::create_dir(&empty).unwrap();
    let output = policy(&["lint"], &[&empty]);
    assert_eq!(code(&output), Some(1));
    assert!(out(&output).contains("holds no policy file"), "{}", out(&output));
}

#[test]
fn a_request_is_explained_by_rule_line_and_edit() {
    let desk = Desk::new();
    let file = desk.policy("web", SOUND);
    let ask = |question: &str, more: &[&str]| {
        let words = [&["explain", question][..], more].concat();
        policy(&words, &[&file])
    };
    let denied = ask("open /etc/shadow as nginx", &[]);
    let text = out(&denied);
    assert_eq!(code(&denied), Some(0));
    for part in [
        "read /etc/shadow as /usr/sbin/nginx: denied (EPERM)",
        "web/keys denies it",
        "web.yaml:8",
        "until:",
    ] {
        assert!(text.contains(part), "`{part}` is missing in {text}");
    }
    // The edit is what it says: with it, the request is allowed.
    let edit: Vec<&str> = text.split("add to `rules`:\n").nth(1).unwrap().lines().collect();
    let edited = format!("{SOUND}{}\n", edit.join("\n"));
    let file = desk.policy("edited", &edited);
    let allowed = policy(&["explain", "open /etc/shadow as nginx"], &[&file]);
    assert!(out(&allowed).contains(": allowed\n"), "{}{}", out(&allowed), err(&allowed));
    let other = out(&ask("open /etc/shadow as cat", &[]));
    assert!(
        other.contains("as /usr/bin/cat: allowed") && other.contains("another subject"),
        "{other}"
    );
    let document = json(&ask("open /etc/shadow as nginx", &["-o", "json"]));
    assert_eq!(document["decided_by"]["rule"], "web/keys");
    assert_eq!(document["decided_by"]["line"], 8);
    assert_eq!(code(&ask("frob /etc/shadow", &[])), Some(2));
}

#[test]
fn a_difference_is_told_in_words() {
    let desk = Desk::new();
    let old = desk.policy("p", SOUND);
    fs::create_dir(desk.path("new")).unwrap();
    let new = desk.path("new/p.yaml");
    fs::write(&new, document("p", &SOUND.replace("[read, write]", "read"))).unwrap();
    let text = out(&policy(&["diff"], &[&old, &new]));
    assert!(text.contains("~ p/keys: other operations"), "{text}");
    let line =
        "write /etc/shadow as /usr/sbin/nginx: was denied (EPERM) by p/keys, will be allowed";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("2 of 4 sample requests"), "{text}");
    let same = out(&policy(&["diff"], &[&old, &old]));
    assert!(same.contains("no rule changes") && same.contains("no answer changes, of 4"), "{same}");
    let document = json(&policy(&["diff", "-o", "json"], &[&old, &new]));
    assert_eq!(document["rules"][0]["change"], "changed");
    assert_eq!(document["requests"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_exported_says_the_same() {
    let desk = Desk::new();
    let list =
        "  allowOnly: [{id: l, subject: {user: '7'}, operations: execute, include: base-system}]\n";
    let file = desk.policy("p", &format!("{SOUND}{list}"));
    for (form, name) in [("yaml", "x.yaml"), ("json", "y.yaml")] {
        let export = policy(&["export", "-o", form], &[&file]);
        assert_eq!(code(&export), Some(0), "{}", err(&export));
        assert!(out(&export).contains("l.base-system.loader"), "includes are written out");
        let written = desk.path(name);
        fs::write(&written, out(&export)).unwrap();
        let diff = out(&policy(&["diff"], &[&file, &written]));
        assert!(
            diff.contains("no rule changes") && diff.contains("no answer changes"),
            "{form}: {diff}"
        );
    }
}
