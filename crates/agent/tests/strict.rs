//! Strict mode in a running agent: what it takes from nobody, and what rules of strangers may use. Each
//! is beside the same pack by the same key without strict mode.

use std::time::Duration;

use serde_json::Value;

use crate::lab::{Agent, Lab, root, until};
use crate::packs::{Packs, left_out, rule, rules, run};
use crate::scripts::module;

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the trusted key is granted: all that could make a difference.
const GRANT: &str = "[[grant]]\nkey = \"KEY\"\ncapabilities = [\"state\", \"regex\", \"kill\"]\n";

/// A rule about one program, and what else it is.
fn one(id: &str, more: &str) -> String {
    rule(id, &format!("process.executable == \"$LAB{id}\""), more)
}

/// A rule about one program that asks a script of its own.
fn asks(id: &str, file: &str, more: &str) -> String {
    let table = format!("[[script]]\nname = \"{id}\"\nfile = \"{file}\"\n{more}\n");
    let condition = format!("process.executable == \"$LAB{id}\" and {id}.f(process.executable)");
    table + &rule(id, &condition, "")
}

const SIGMA: &str = "title: Sigma\nid: 5f0d8d4e-7f3e-4f3c-9a55-0f4e3c2b1a00\nlogsource:\n  category: \
                     process_creation\n  product: linux\ndetection:\n  a:\n    Image|endswith: /sigma\n  \
                     condition: a\nlevel: low\n";
const LUAU: &str = "return { f = function(path) return true end }\n";
/// A function that does nothing but to say yes.
const YES: &str = "(func (export \"f\") (param i32) (result i32) (i32.const 1))";
/// More work than a stranger's call may do, and less than that of somebody trusted.
const WORK: &str = "(func (export \"f\") (param i32) (result i32) (local $i i32)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 50000))))
    (i32.const 1))";
/// Remembers a hundred things more with each call.
const REMEMBERS: &str = "(import \"kestrel_v1\" \"state_put\"
      (func $put (param i32 i32 i32 i32 i64) (result i32)))
    (global $n (mut i32) (i32.const 0))
    (func (export \"f\") (param i32) (result i32) (local $i i32)
      (loop $again
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (i32.store (i32.const 0) (global.get $n))
        (drop (call $put (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4) (i64.const 600000)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $i) (i32.const 100))))
      (i32.const 1))";
/// Says as much about an event as anybody may.
const TALKS: &str = "(import \"kestrel_v1\" \"emit\" (func $emit (param i32 i32 i32) (result i32)))
    (func (export \"f\") (param i32) (result i32)
      (drop (call $emit (i32.const -1) (i32.const 0) (i32.const 0)))
      (drop (call $emit (i32.const -1) (i32.const 0) (i32.const 0)))
      (drop (call $emit (i32.const -1) (i32.const 0) (i32.const 0)))
      (drop (call $emit (i32.const -1) (i32.const 0) (i32.const 0)))
      (i32.const 1))";
/// A module that begins with more memory than strangers have.
const LARGE: &str = "(module (memory (export \"memory\") 20) (func (export \"kestrel_abi_v1\"))
    (func (export \"f\") (param i32) (result i32) (i32.const 1)))";

/// Packs that strict mode refuses, each with its code.
const REFUSED: &[(&str, &str)] = &[
    ("unsigned", "[E130]"),
    ("luau", "[E150]"),
    ("sigma", "[E150]"),
    ("kills", "[E156]"),
    ("costly", "[E157]"),
    ("large", "[S010]"),
];
/// Those that it takes.
const TAKEN: &[&str] = &["fine", "remembers", "script", "talks", "works"];

fn fill(packs: &Packs<'_>) {
    let put = |name: &str, rules: &str| {
        packs.signed(name, 1, &[("r.toml", rules.as_bytes())]);
    };
    let script = |name: &str, more: &str, code: &[u8]| {
        let file = format!("{name}.wasm");
        let rules = asks(name, &file, more);
        packs.signed(name, 1, &[("r.toml", rules.as_bytes()), (&file, code)]);
    };
    packs.trust(GRANT);
    packs.unsigned("unsigned", 1, &[("r.toml", one("unsigned", "").as_bytes())]);
    let luau = asks("luau", "luau.luau", "");
    packs.signed("luau", 1, &[("r.toml", luau.as_bytes()), ("luau.luau", LUAU.as_bytes())]);
    packs.signed("sigma", 1, &[("r.yml", SIGMA.as_bytes())]);
    put("kills", &one("kills", "response = [\"kill\"]"));
    put("costly", &rule("costly", "process.command_line regex \"(a+)+b\"", ""));
    put("fine", &one("fine", ""));
    script("script", "", &module(YES));
    script("works", "", &module(WORK));
    script("remembers", "capabilities = [\"state\"]", &module(REMEMBERS));
    script("talks", "", &module(TALKS));
    script("large", "", &wat::parse_str(LARGE).unwrap());
}

fn start(lab: &Lab, packs: &Packs<'_>, options: &[&str]) -> Agent {
    let mut command = packs.command();
    command.args(options).arg("--no-watch");
    lab.launch(command)
}

#[test]
fn strict_mode_takes_signed_wasm_and_eql_only() {
    if !root("strict_mode_takes_signed_wasm_and_eql_only") {
        return;
    }
    let lab = Lab::new();
    let packs = Packs::new(&lab);
    fill(&packs);
    let plain = packs.command().arg("--strict").arg("--rules").arg(lab.path("rules")).output();
    let plain = plain.unwrap();
    let said = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert!(plain.status.code() == Some(78) && said.contains("[E148]"), "{said}");

    let agent = start(&lab, &packs, &["--strict", "--keep-going"]);
    let mut found = run(&lab);
    found.sort();
    assert_eq!(found, TAKEN);
    let all = rules(&lab);
    for (name, code) in REFUSED {
        let mut reasons = all["left_out"].as_array().unwrap().iter();
        let is_its = |one: &&Value| one["file"].as_str().unwrap().contains(&format!("/{name}"));
        let reason = reasons.find(is_its).unwrap_or_else(|| panic!("{name}: {all}"));
        assert!(reason["reason"].as_str().unwrap().contains(code), "{name}: {reason}");
    }
    for rule in all["rules"].as_array().unwrap() {
        assert_eq!(rule["level"], "untrusted", "whoever signed it");
    }
    agent.alert(lab.run_scratch("fine"), PATIENCE).expect("what is taken runs");
    // Two are loaded without their rule.
    let loaded = TAKEN.len() + 2;
    assert_eq!(packs.audited("pack-loaded").len(), loaded);
    assert!(lab.ask(&["reload"]).status.success());
    assert_eq!(packs.audited("pack-loaded").len(), 2 * loaded, "each load is written down");
    assert!(agent.stop().success());

    // The control: the same key, the same packs.
    std::fs::remove_dir_all(lab.path("state")).unwrap();
    let agent = start(&lab, &packs, &[]);
    assert_eq!(left_out(&lab), "[]");
    assert_eq!(run(&lab).len(), TAKEN.len() + REFUSED.len());
    agent.alert(lab.run_scratch("luau"), PATIENCE).expect("Luau of somebody trusted");
    agent.alert(lab.run_scratch("sigma"), PATIENCE).expect("Sigma of somebody trusted");
    assert!(agent.stop().success());
}

/// What a script did beyond its terms, by cause, once its program ran so many times.
fn causes(lab: &Lab, name: &str, runs: usize) -> (Value, Value) {
    for _ in 0..runs {
        lab.run_scratch(name);
    }
    let script = || {
        let all = rules(lab);
        let mut all = all["scripts"].as_array().unwrap().iter();
        all.find(|script| script["name"] == name).unwrap().clone()
    };
    // What is in quarantine is asked no more.
    let is_over = |it: &Value| it["state"] != "ok" || it["calls"].as_u64() >= Some(runs as u64);
    until("it was asked", PATIENCE, || is_over(&script()));
    // Incidents are taken a moment after the answer.
    std::thread::sleep(Duration::from_millis(500));
    let it = script();
    (it["causes"].clone(), it["state"].clone())
}

#[test]
fn strangers_have_less_of_everything() {
    if !root("strangers_have_less_of_everything") {
        return;
    }
    let lab = Lab::new();
    let packs = Packs::new(&lab);
    fill(&packs);
    // Six times four texts are more than twice ten: a minute may end in between.
    let calls = [("works", 3), ("remembers", 3), ("talks", 6), ("script", 3)];
    let agent = start(&lab, &packs, &["--strict", "--keep-going"]);
    let found = calls.map(|(name, runs)| causes(&lab, name, runs));
    let [works, remembers, talks, script] = &found;
    assert_eq!(works, &(serde_json::json!({ "budget": 3 }), "quarantined".into()), "and three");
    assert_eq!(remembers.0, serde_json::json!({ "state": 1 }), "256 entries");
    assert!(talks.0["flood"].as_u64() >= Some(1), "10 texts a minute: {talks:?}");
    assert_eq!(script, &(serde_json::json!({}), "ok".into()), "the neighbour");
    // 60 alerts of a rule in a minute.
    for _ in 0..125 {
        lab.run_scratch("fine");
    }
    let notice = agent.notice("rule_noisy", PATIENCE).expect("it is told");
    assert_eq!(
        (&notice["rule"]["id"], &notice["aegisbpf"]["health"]["limit"]),
        (&"fine".into(), &60.into())
    );
    assert!(agent.stop().success());

    std::fs::remove_dir_all(lab.path("state")).unwrap();
    let agent = start(&lab, &packs, &[]);
    for (name, runs) in calls {
        let nothing = (serde_json::json!({}), Value::from("ok"));
        assert_eq!(causes(&lab, name, runs), nothing, "{name} of somebody trusted");
    }
    for _ in 0..125 {
        lab.run_scratch("fine");
    }
    let all = || rules(&lab)["rules"].as_array().unwrap().clone();
    let fine = || all().into_iter().find(|rule| rule["id"] == "fine").unwrap();
    until("all of them are counted", PATIENCE, || fine()["matches"] == 125);
    assert_eq!((&fine()["state"], &fine()["suppressed"]), (&"ok".into(), &0.into()));
    assert!(agent.stop().success());
}
