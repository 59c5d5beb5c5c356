//! Rules that ask scripts of their pack: what counts as theirs, and what is refused.

use model::capability::Capabilities;

use super::given::*;
use crate::{Code, Compiled, Diff, Kind, Level, make};

/// A pack whose rule asks a script; `table` are further lines of it.
fn pack(kind: &str, table: &str, source: &str) -> Pack {
    let declared = format!("[[script]]\nname = \"own\"\nfile = \"lib/own.{kind}\"\n{table}\n");
    let asks = "process where process.name == \"nc\" and own.is_it(process.args)";
    let rule = RULE.replace("process where process.name == \"nc\"", asks);
    let other = RULE.replace("id = \"one\"", "id = \"other\"");
    Pack::with_files(&[
        ("pack.toml", format!("{SOURCE}{source}")),
        ("rules/one.toml", declared + &rule),
        ("rules/other.toml", other),
        (&format!("rules/lib/own.{kind}"), "what it does".to_owned()),
    ])
}

/// Why rules are not loaded.
fn left_out(compiled: &Compiled) -> Vec<(&str, Code)> {
    let all = compiled.rules().iter();
    all.filter_map(|one| Some((one.view.id.as_str(), one.refused.as_ref()?.code))).collect()
}

const GRANT: &str = "[[grant]]\nkey = \"KEY\"\ncapabilities = [\"kill\", \"state\"]\n";

#[test]
fn a_script_is_a_file_of_the_pack_and_its_needs_are_those_of_its_rules() {
    let pack = pack("wasm", "fields = [\"user.id\"]\ncapabilities = [\"state\"]", "");
    let manifest = pack.manifest();
    for wanted in [
        "\"rules/lib/own.wasm\"",
        "\"kind\": \"wasm\"",
        "\"kind\": \"eql\"",
        "\"user.id\"",
        "\"state\"",
    ] {
        assert!(manifest.contains(wanted), "{wanted}: {manifest}");
    }
    let compiled = judged(&pack, Level::Local, "").unwrap();
    assert_eq!(left_out(&compiled), []);
    let [script] = compiled.scripts() else { panic!() };
    assert_eq!((script.file.as_str(), script.size), ("rules/lib/own.wasm", 12));
    assert_eq!(
        (script.functions.as_slice(), script.asks),
        (["is_it".to_owned()].as_slice(), script.may)
    );
    assert_eq!(script.budget, Level::Local.terms().budget);
    assert_eq!(&*compiled.program().scripts[0].code, b"what it does");
    let rule = &compiled.rules()[0].view;
    assert_eq!((rule.kind, rule.scripts.as_slice()), (Kind::Wasm, ["own".to_owned()].as_slice()));
    assert!(rule.fields.contains("user.id") && rule.fields.contains("process.args"));
    assert_eq!(compiled.cost().questions, 1);
}

#[test]
fn what_a_script_reads_and_asks_for_is_declared_granted_and_within_the_level() {
    let table = "fields = [\"user.id\"]\ncapabilities = [\"kill\"]";
    let refused = |source: &str| codes(judged(&pack("wasm", table, source), Level::Local, GRANT));
    let fields = "fields = [\"process.args\", \"process.name\"]\n";
    assert_eq!(refused(""), [], "the control: they are found");
    assert_eq!(refused(fields), [Code::Field], "a field that only the script reads");
    assert_eq!(refused("capabilities = [\"alert\"]\n"), [Code::NotAsked]);
    let granted = judged(&pack("wasm", table, ""), Level::Signed, GRANT).unwrap();
    assert_eq!(left_out(&granted), []);
    assert_eq!(granted.scripts()[0].may.words(), ["alert", "kill"]);
    let alone = judged(&pack("wasm", table, ""), Level::Signed, "").unwrap();
    assert_eq!(left_out(&alone), [("one", Code::NotGranted)], "and the other is loaded");
    assert_eq!(alone.scripts()[0].may, Capabilities::NONE, "no loaded rule asks it");
    let strange = judged(&pack("wasm", table, ""), Level::Untrusted, GRANT).unwrap();
    assert_eq!(left_out(&strange), [("one", Code::Level)], "whatever was granted");
}

#[test]
fn strangers_bring_wasm_and_no_luau() {
    let wasm = judged(&pack("wasm", "", ""), Level::Untrusted, "").unwrap();
    assert_eq!(left_out(&wasm), []);
    assert_eq!(wasm.scripts()[0].budget, Level::Untrusted.terms().budget);
    assert!(wasm.scripts()[0].budget.work < Level::Local.terms().budget.work);
    assert_eq!(codes(judged(&pack("luau", "", ""), Level::Untrusted, "")), [Code::Kind]);
    assert_eq!(codes(judged(&pack("luau", "", ""), Level::Signed, "")), [], "the control");
}

#[test]
fn a_script_that_is_not_in_the_pack_is_refused() {
    let pack = pack("wasm", "", "");
    std::fs::remove_dir_all(pack.at("rules/lib")).unwrap();
    assert_eq!(codes(make(pack.path(), &engine(), now())), [Code::MissingFile]);
    assert_eq!(codes(judged(&pack, Level::Local, "")), [Code::MissingFile], "as of any file");
    // Nor one that is there and was signed as something else.
    let other = self::pack("wasm", "", "");
    other.put("rules/lib/own.wasm", b"another one!");
    assert_eq!(codes(judged(&other, Level::Local, "")), [Code::Digest]);
    // The manifest lists no file that the rule names.
    let named = self::pack("wasm", "", "");
    let text = std::fs::read_to_string(named.at("rules/one.toml")).unwrap();
    named.put("rules/one.toml", text.replace("lib/own.wasm", "lib/its.wasm").as_bytes());
    assert_eq!(codes(make(named.path(), &engine(), now())), [Code::MissingFile]);
}

#[test]
fn a_reviewer_is_told_what_of_a_script_is_another() {
    let of = |table: &str, code: &[u8]| {
        let pack = pack("wasm", table, "");
        pack.put("rules/lib/own.wasm", code);
        pack.build();
        judged(&pack, Level::Local, "").unwrap()
    };
    let (old, new) = (of("", b"a"), of("fields = [\"user.id\"]", b"b"));
    let diff = Diff::new(&old, &new);
    assert_eq!(diff.changed_scripts, [("own".to_owned(), vec!["code", "fields"])]);
    assert_eq!(diff.fields.added, ["user.id"]);
    assert!(Diff::new(&old, &of("", b"a")).is_empty(), "the control");
}
