//! `kestrel pack`: exit status, JSON, the record of installed packs. What a refusal means is tested
//! where it is made; what `docs/packs.md` shows is tested with it.

use std::process::Command;

use super::Place;

const SOURCE: &str = "id = \"small\"\nversion = \"1.0.0\"\nserial = 5\nmin_engine = \"0.1.0\"\n\
                      not_after = \"2099-01-01T00:00:00Z\"\n";
const RULE: &str = r#"[[rule]]
id = "one"
name = "One"
description = "A rule."
severity = "low"
query = '''process where process.name == "nc"'''
[[rule.test]]
name = "it"
alert = true
event = { event.category = "process", process.name = "nc" }
"#;

/// A place with a pack and a key.
fn place() -> Place {
    let place = Place::with(&[("p/pack.toml", SOURCE), ("p/rules/one.toml", RULE)]);
    std::fs::create_dir(place.path().join("keys")).unwrap();
    let made = Command::new("minisign")
        .args(["-G", "-W", "-p", "keys/me.pub", "-s", "me.key"])
        .current_dir(place.path())
        .output()
        .expect("minisign: `cargo xtask setup`");
    assert!(made.status.success());
    place
}

/// Builds and signs what is in `p`, as one file.
fn signed(place: &Place, file: &str) {
    let remove = place.path().join("p").read_dir().unwrap().map(|entry| entry.unwrap().path());
    for path in remove.filter(|path| path.extension().is_some_and(|end| end == "minisig")) {
        std::fs::remove_file(path).unwrap();
    }
    for args in [
        &["pack", "build", "p"] as &[&str],
        &["pack", "sign", "p", "--key", "me.key"],
        &["pack", "build", "p", "--file", file],
    ] {
        let done = place.kestrel(args);
        assert_eq!(done.code, 0, "{args:?}: {}", done.err);
    }
}

fn version(place: &Place, serial: u64) {
    let text = SOURCE.replace("serial = 5", &format!("serial = {serial}"));
    std::fs::write(place.path().join("p/pack.toml"), text).unwrap();
}

#[test]
fn a_signed_pack_is_verified_and_an_older_one_is_refused_once_it_is_noted() {
    let place = place();
    signed(&place, "5.kpack");
    version(&place, 4);
    signed(&place, "4.kpack");
    let verify = |file: &str, more: &[&str]| {
        let mut args = vec!["pack", "verify", file, "--keys", "keys", "-o", "json"];
        args.extend(["--state", "state.json"]);
        args.extend(more);
        let done = place.kestrel(&args);
        (done.code, done.json())
    };
    let (code, found) = verify("5.kpack", &["--record"]);
    assert_eq!((code, found["change"].as_str()), (0, Some("new")), "{found}");
    assert_eq!((found["level"].as_str(), found["loaded"].as_u64()), (Some("signed"), Some(1)));
    let (code, found) = verify("5.kpack", &[]);
    assert_eq!((code, found["change"].as_str()), (0, Some("same")), "{found}");
    let (code, found) = verify("4.kpack", &["--record"]);
    assert_eq!((code, found["refusals"][0]["code"].as_str()), (1, Some("E141")), "{found}");
    let (code, found) = verify("4.kpack", &["--record", "--force"]);
    assert_eq!((code, found["change"].as_str()), (0, Some("forced")), "{found}");
    assert_eq!(found["before"]["serial"], 5);
    let (code, found) = verify("5.kpack", &[]);
    assert_eq!((code, found["change"].as_str()), (0, Some("newer")), "what was forced is noted");
}

#[test]
fn time_and_strictness_are_judged_as_told() {
    let place = place();
    signed(&place, "p.kpack");
    let verify = |more: &[&str]| {
        let mut args = vec!["pack", "verify", "p.kpack", "--keys", "keys"];
        args.extend(more);
        place.kestrel(&args)
    };
    assert!(verify(&[]).out.contains("level signed, signed by "));
    assert!(verify(&["--strict"]).out.contains("level untrusted, signed by "));
    let late = verify(&["--at", "2099-01-01T00:00:00Z"]);
    assert!(late.code == 1 && late.err.contains("[E140] p.kpack: good until 2099"), "{}", late.err);
    let unknown = place.kestrel(&["pack", "verify", "p.kpack"]);
    assert!(unknown.code == 1 && unknown.err.contains("[E132]"), "{}", unknown.err);
    assert_eq!(verify(&["--record"]).code, 2, "noted where?");
    assert_eq!(place.kestrel(&["pack", "sign", "p.kpack"]).code, 2, "with what?");
}

#[test]
fn nobody_signs_rules_that_fail_their_tests_or_files_that_were_not_built() {
    let place = place();
    let bad = RULE.replace("process.name = \"nc\"", "process.name = \"ls\"");
    std::fs::write(place.path().join("p/rules/one.toml"), bad).unwrap();
    let built = place.kestrel(&["pack", "build", "p"]);
    assert!(built.code == 1 && built.err.contains("test `it`"), "{}", built.err);
    std::fs::write(place.path().join("p/rules/one.toml"), RULE).unwrap();
    assert_eq!(place.kestrel(&["pack", "build", "p"]).code, 0);
    version(&place, 9);
    let done = place.kestrel(&["pack", "sign", "p", "--key", "me.key"]);
    assert!(done.code == 1 && done.err.contains("[E119] p/pack.toml"), "{}", done.err);
}

#[test]
fn nobody_signs_a_manifest_that_says_less_than_the_rules_do() {
    let place = place();
    std::fs::write(place.path().join("p/pack.toml"), format!("{SOURCE}fields = []\n")).unwrap();
    for args in [
        &["pack", "build", "p", "--file", "p.kpack"] as &[&str],
        &["pack", "sign", "p", "--key", "me.key"],
    ] {
        let done = place.kestrel(args);
        assert!(done.code == 1 && done.err.contains("[E153]"), "{args:?}: {}", done.err);
    }
    assert!(!place.path().join("p.kpack").exists());
}

#[test]
fn a_change_makes_old_signatures_worthless_and_says_so() {
    let place = place();
    signed(&place, "p.kpack");
    version(&place, 6);
    let done = place.kestrel(&["pack", "build", "p", "--file", "q.kpack"]);
    assert!(done.code == 1 && done.err.contains("sign it again"), "{}", done.err);
    assert!(!place.path().join("q.kpack").exists());
}

#[test]
fn what_is_inspected_and_compared_is_told_to_programs_too() {
    let place = place();
    signed(&place, "old.kpack");
    version(&place, 6);
    let more = RULE.replace("\"low\"", "\"high\"");
    std::fs::write(place.path().join("p/rules/one.toml"), more).unwrap();
    signed(&place, "new.kpack");
    let shown = place.kestrel(&["pack", "inspect", "new.kpack", "--keys", "keys", "-o", "json"]);
    let shown = shown.json();
    assert_eq!(shown["fields"], serde_json::json!(["process.name"]));
    assert_eq!(shown["rules"][0]["may"], serde_json::json!(["alert"]));
    assert_eq!(shown["signers"].as_array().map(Vec::len), Some(1));
    let args = ["pack", "diff", "old.kpack", "new.kpack", "--keys", "keys", "-o", "json"];
    let changed = place.kestrel(&args).json();
    assert_eq!(changed["changed_rules"][0]["what"], serde_json::json!(["severity"]));
    let refused = place.kestrel(&["pack", "inspect", "new.kpack", "-o", "json"]);
    assert_eq!(refused.code, 1);
    assert_eq!(refused.json()["refusals"][0]["code"], "E132");
}

#[test]
fn a_file_is_signed_in_place() {
    let place = place();
    for args in [
        &["pack", "build", "p", "--file", "p.kpack"] as &[&str],
        &["pack", "sign", "p.kpack", "--key", "me.key"],
        &["pack", "sign", "p.kpack", "--key", "me.key"],
        &["pack", "verify", "p.kpack", "--keys", "keys"],
    ] {
        let done = place.kestrel(args);
        assert_eq!(done.code, 0, "{args:?}: {}", done.err);
    }
    let shown = place.kestrel(&["pack", "inspect", "p.kpack", "--keys", "keys", "-o", "json"]);
    assert_eq!(shown.json()["signers"].as_array().map(Vec::len), Some(1), "twice is once");
}

#[test]
fn a_script_that_would_not_run_is_told_with_its_code_and_takes_its_rules_along() {
    let place = place();
    let asks = RULE
        .replace("\"one\"", "\"asks\"")
        .replace("\"nc\"'''", "\"nc\" and own.f(process.name)'''");
    let table = "[[script]]\nname = \"own\"\nfile = \"own.wasm\"\n";
    // Two MiB of memory: less than somebody trusted may have, and more than a stranger.
    let module = "(module (memory (export \"memory\") 32) (func (export \"kestrel_abi_v1\"))
        (func (export \"f\") (param i32) (result i32) (i32.const 1)))";
    std::fs::write(place.path().join("p/rules/asks.toml"), format!("{table}{asks}")).unwrap();
    std::fs::write(place.path().join("p/rules/own.wasm"), wat::parse_str(module).unwrap()).unwrap();
    signed(&place, "p.kpack");
    let verify = |more: &[&str]| {
        let mut args = vec!["pack", "verify", "p.kpack", "--keys", "keys", "--state", "state.json"];
        args.extend(more);
        place.kestrel(&args)
    };
    let strange = verify(&["--strict", "--record"]);
    assert!(strange.code == 1 && strange.out.contains("verified, 1 rules of 2"), "{}", strange.out);
    assert!(strange.err.contains("[E151] p.kpack/rules/own.wasm: S010: "), "{}", strange.err);
    assert!(!place.path().join("state.json").exists(), "what does not run whole is not noted");
    let found = verify(&["--strict", "-o", "json"]).json();
    assert_eq!((found["rules"].as_u64(), found["loaded"].as_u64()), (Some(2), Some(1)), "{found}");
    let trusted = verify(&[]);
    assert!(trusted.code == 0 && trusted.out.contains("verified, 2 rules"), "{}", trusted.err);
}
