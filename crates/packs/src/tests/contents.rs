//! Rules against what their manifest says of them, and against what the operator grants.

use super::given::*;
use crate::{Code, Compiled, Diff, Level, Refusal, make};

/// A pack with one rule, whose query and further lines are given.
fn one(query: &str, more: &str) -> Pack {
    pack_of(query, more, "")
}

fn rule(query: &str, more: &str) -> String {
    let rule = RULE.replace("process where process.name == \"nc\"", query);
    rule.replace("severity = \"low\"\n", &format!("severity = \"low\"\n{more}\n"))
}

fn pack_of(query: &str, more: &str, source: &str) -> Pack {
    let source = format!("{SOURCE}{source}");
    Pack::with(&[("pack.toml", &source), ("rules/one.toml", &rule(query, more))])
}

fn refusals(pack: &Pack, level: Level, grant: &str) -> Vec<Code> {
    let compiled = judged(pack, level, grant).unwrap();
    compiled.refusals().map(|refusal| refusal.code).collect()
}

#[test]
fn a_manifest_that_says_less_than_the_rules_do_is_refused() {
    let pen = Pen::new();
    let ring = ring(&[&pen], &trust(""));
    let refused = |pack: &Pack| {
        pack.sign(&pen);
        codes(compile(pack, &ring, &trust("")))
    };
    let by = "process where process.name == \"nc\" and user.id == \"0\"";
    let fields = |list: &str| pack_of(by, "", &format!("fields = [{list}]\n"));
    assert_eq!(refused(&fields("\"process.name\", \"user.id\"")), []);
    assert_eq!(refused(&fields("\"process.name\", \"user.id\", \"user.name\"")), [], "more");
    assert_eq!(refused(&fields("\"process.name\"")), [Code::Field]);
    assert_eq!(refused(&fields("")), [Code::Field, Code::Field]);
    let deny = |words: &str| {
        let asked = format!("capabilities = [{words}]\n");
        pack_of("file where file.path == \"/etc/shadow\"", "response = [\"kill\"]", &asked)
    };
    assert_eq!(refused(&deny("\"alert\"")), [Code::NotAsked]);
    let asked = codes(compile_local(&deny("\"alert\", \"kill\"")));
    assert_eq!(asked, [], "the control");
}

fn compile_local(pack: &Pack) -> Result<Compiled, Vec<Refusal>> {
    judged(pack, Level::Local, "")
}

#[test]
fn fields_are_found_wherever_a_rule_asks_for_them() {
    let cases = [
        (
            "sequence by user.id [process where true] [file where file.name == \"x\"]",
            "file.name user.id",
        ),
        ("process where length(process.args) > 2", "process.args"),
        (
            "process where process.name in (\"a\", process.parent.name)",
            "process.name process.parent.name",
        ),
        ("process where true | unique host.name", "host.name"),
        ("process where child of [file where file.path == \"/x\"]", "file.path"),
    ];
    for (query, expected) in cases {
        for dialect in ["elastic", "classic"] {
            let text = rule(query, &format!("dialect = \"{dialect}\""));
            let loaded = lang::load([("rules/one.toml".to_owned(), text)]);
            let Some(rule) = loaded.program.rules.first() else { continue };
            let view = crate::RuleView::new(rule, &loaded.program, "x", crate::Kind::Eql);
            let found: Vec<&str> = view.fields.iter().map(String::as_str).collect();
            assert_eq!(found.join(" "), expected, "{query} ({dialect})");
        }
    }
}

#[test]
fn the_list_of_rules_must_be_the_rules() {
    let pen = Pen::new();
    let ring = ring(&[&pen], &trust(""));
    let refused = |change: fn(&Pack)| {
        let pack = Pack::small();
        change(&pack);
        pack.sign(&pen);
        codes(compile(&pack, &ring, &trust("")))
    };
    assert_eq!(refused(|_| {}), []);
    let renamed = |pack: &Pack| pack.forge("\"id\": \"one\"", "\"id\": \"two\"");
    assert_eq!(refused(renamed), [Code::NotListed, Code::NotListed]);
    let other_kind = |pack: &Pack| pack.forge("\"eql\"", "\"sigma\"");
    assert_eq!(refused(other_kind), [Code::NotListed]);
    let hidden = |pack: &Pack| {
        let two = RULE.replace("\"one\"", "\"two\"");
        pack.put("rules/one.toml", format!("{RULE}{two}").as_bytes());
        pack.build();
        let entry = "    },\n    {\n      \"file\": \"rules/one.toml\",\n      \"id\": \"two\",\n      \
                     \"kind\": \"eql\"\n    }\n";
        pack.forge(entry, "    }\n");
    };
    assert_eq!(refused(hidden), [Code::NotListed], "a rule that nobody was told of");
    let broken = |pack: &Pack| {
        let text = RULE.replace("process where", "process were");
        let old = crate::Sha256::of(RULE.as_bytes()).to_string();
        let (size, new) = (format!("\"size\": {}", RULE.len()), crate::Sha256::of(text.as_bytes()));
        pack.put("rules/one.toml", text.as_bytes());
        pack.forge(&size, &format!("\"size\": {}", text.len()));
        pack.forge(&old, &new.to_string());
    };
    assert_eq!(refused(broken), [Code::Rule, Code::NotListed]);
}

#[test]
fn a_rule_does_only_what_was_granted() {
    let kill = || one("process where process.name == \"nc\"", "response = [\"kill\"]");
    let grant = "[[grant]]\nkey = \"KEY\"\ncapabilities = [\"kill\"]";
    assert_eq!(refusals(&kill(), Level::Signed, ""), [Code::NotGranted]);
    assert_eq!(refusals(&kill(), Level::Signed, grant), []);
    assert_eq!(refusals(&kill(), Level::Untrusted, grant), [Code::Level], "whatever is granted");
    let compiled = judged(&kill(), Level::Signed, grant).unwrap();
    let may = compiled.rules()[0].may;
    assert!(may.permits("kill") && may.permits("alert"), "{may}");
    assert!(!may.permits("deny"), "neither asked for nor granted: {may}");
    let modest = judged(&Pack::small(), Level::Signed, grant).unwrap();
    assert!(!modest.rules()[0].may.permits("kill"), "granted and not asked for");
}

#[test]
fn a_grant_for_a_directory_holds_for_what_is_really_there() {
    let outer = tempfile::tempdir().unwrap();
    let granted = outer.path().join("granted");
    std::fs::create_dir(&granted).unwrap();
    let pack = one("process where process.name == \"nc\"", "response = [\"kill\"]");
    let pen = Pen::new();
    pack.sign(&pen);
    let text = format!("[[grant]]\ndirectory = {granted:?}\ncapabilities = [\"kill\"]");
    let (trust, engine) = (trust(&text), engine());
    let ring = ring(&[&pen], &trust);
    let loaded = |path: &std::path::Path| {
        let opened = crate::Untrusted::open(path, files::Trust::Owner).unwrap();
        let pack = opened.verify(&judge(&ring, &engine)).unwrap().compile(&trust).unwrap();
        pack.refusals().next().is_none()
    };
    let inside = granted.join("p.kpack");
    std::fs::write(&inside, pack.to_file()).unwrap();
    assert!(loaded(&inside), "the control");
    assert!(!loaded(pack.path()), "elsewhere");
    let link = granted.join("link");
    std::os::unix::fs::symlink(pack.path(), &link).unwrap();
    assert!(!loaded(&link), "a link out of it");
    let outside = outer.path().join("p.kpack");
    std::fs::copy(&inside, &outside).unwrap();
    assert!(!loaded(&granted.join("../p.kpack")), "a way out of it");
}

#[test]
fn state_and_regular_expressions_are_granted_by_level() {
    let sequence = || one("sequence by process.pid [process where true] [file where true]", "");
    let regex = || one("process where process.name regex \"n[ca]t?\"", "");
    for pack in [sequence, regex] as [fn() -> Pack; 2] {
        assert_eq!(refusals(&pack(), Level::Local, ""), []);
        assert_eq!(refusals(&pack(), Level::Signed, ""), [Code::NotGranted]);
        let grant = "[[grant]]\nkey = \"KEY\"\ncapabilities = [\"state\", \"regex\"]";
        assert_eq!(refusals(&pack(), Level::Untrusted, grant), []);
    }
}

#[test]
fn a_deny_that_the_kernel_decides_needs_to_be_inline_too() {
    let deny = || {
        one(
            "file where event.action == \"open\" and file.path == \"/etc/shadow\"",
            "response = [\"deny\"]",
        )
    };
    let grant = |words: &str| format!("[[grant]]\nkey = \"KEY\"\ncapabilities = [{words}]");
    assert_eq!(refusals(&deny(), Level::Signed, &grant("\"deny\"")), [Code::NotGranted]);
    assert_eq!(refusals(&deny(), Level::Signed, &grant("\"deny\", \"inline\"")), []);
}

#[test]
fn strangers_have_no_regular_expression_without_a_bound_on_its_cost() {
    let slow = || one("process where process.command_line regex \"(a+)+b\"", "");
    let grant = "[[grant]]\nkey = \"KEY\"\ncapabilities = [\"regex\"]";
    assert_eq!(codes(judged(&slow(), Level::Untrusted, grant)), [Code::Costly]);
    assert_eq!(refusals(&slow(), Level::Signed, grant), [], "the same from a trusted key");
}

#[test]
fn sigma_rules_are_packed_as_well_and_not_taken_from_strangers() {
    let sigma = "title: A\nid: 5f0d8d4e-7f3e-4f3c-9a55-0f4e3c2b1a00\nlogsource:\n  category: \
                 process_creation\n  product: linux\ndetection:\n  a:\n    Image|endswith: /nc\n  \
                 condition: a\nlevel: low\ntags:\n  - attack.t1059\n";
    let pack = Pack::with(&[("pack.toml", SOURCE), ("rules/a.yml", sigma)]);
    let compiled = compile_local(&pack).unwrap();
    let view = &compiled.rules()[0].view;
    assert_eq!((view.kind.as_str(), view.file.as_str()), ("sigma", "rules/a.yml"));
    assert!(pack.manifest().contains("\"kind\": \"sigma\""), "{}", pack.manifest());
    let pen = Pen::new();
    pack.sign(&pen);
    let from = |word: &str| {
        let trust = trust(&format!("[[key]]\nid = \"{}\"\ntrust = \"{word}\"", pen.id()));
        codes(verify(&pack, &ring(&[&pen], &trust)))
    };
    assert_eq!((from("signed"), from("untrusted")), (vec![], vec![Code::Kind]));
}

#[test]
fn text_of_a_rule_cannot_forge_the_output() {
    let pack = Pack::with(&[
        ("pack.toml", SOURCE),
        ("rules/one.toml", &RULE.replace("\"One\"", "\"One\\u001b[2J\\u202e\\ntwo\"")),
    ]);
    let compiled = compile_local(&pack).unwrap();
    assert_eq!(compiled.rules()[0].view.name, "One\\u{1b}[2J\\u{202e}\\ntwo");
}

#[test]
fn a_reviewer_sees_what_changed() {
    let old = compile_local(&Pack::small()).unwrap();
    let query = "process where process.name regex \"n.*\" and user.id == \"0\"";
    let new = pack_of(query, "response = [\"kill\"]", "");
    new.put("README.md", b"read me");
    new.build();
    let new = compile_local(&new).unwrap();
    let diff = Diff::new(&old, &new);
    assert_eq!(diff.changed[0].0, "one");
    for what in ["query", "responses", "capabilities", "fields", "cost"] {
        assert!(diff.changed[0].1.contains(&what), "{what}: {:?}", diff.changed);
    }
    assert_eq!(diff.capabilities.added, ["kill", "regex"]);
    assert_eq!(diff.fields.added, ["user.id"]);
    assert_eq!(diff.files.added, ["README.md"]);
    assert_eq!(diff.changed_files, ["rules/one.toml"]);
    assert!(diff.rules.is_empty() && diff.signers.is_empty());
    assert!(Diff::new(&old, &old).is_empty());
}

#[test]
fn an_author_is_told_what_is_wrong_before_anything_is_signed() {
    let made = |files: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        codes(make(dir.path(), &engine(), now()))
    };
    let rule = ("rules/one.toml", RULE);
    assert_eq!(made(&[("pack.toml", SOURCE), rule]), []);
    assert_eq!(made(&[rule]), [Code::MissingFile]);
    assert_eq!(made(&[("pack.toml", "id = 1"), rule]), [Code::Value]);
    assert_eq!(made(&[("pack.toml", &SOURCE.replace("small", "Small Pack")), rule]), [Code::Value]);
    assert_eq!(
        made(&[("pack.toml", &format!("{SOURCE}capabilities = [\"fly\"]")), rule]),
        [Code::UnknownCapability]
    );
    assert_eq!(
        made(&[("pack.toml", SOURCE), ("rules/One.toml", RULE), ("rules/one.toml", "")]),
        [Code::Folded]
    );
    assert_eq!(
        made(&[("pack.toml", SOURCE), ("rules/one.toml", "[[rule]]")]).first(),
        Some(&Code::Rule)
    );
    // Where tests are, broken files are what is wanted.
    assert_eq!(made(&[("pack.toml", SOURCE), rule, ("tests/bad.toml", "[[rule]]")]), []);
}
