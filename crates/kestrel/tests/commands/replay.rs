//! `kestrel replay` and `kestrel hunt`: what they print, compare and refuse. The recordings are made as
//! the agent makes them; those of a real agent are replayed by the agent's own tests.

use std::fs;
use std::sync::Arc;

use capture::{Block, Head, RuleSet, Writer};
use engine::{Engine, Host, Limits};
use model::program::Program;
use model::wire::{Builder, KIND_OPEN, RecFile, RecHeader, Record, WIRE_VERSION};
use serde_json::Value;
use zerocopy::FromZeros;

use super::Place;

/// Opens of one of two files; the second is what the rule looks for.
const EVENTS: u64 = 400;

const RULE: &str = "[[rule]]\nid = \"r\"\nname = \"Shadow\"\ndescription = \"D.\"\n\
                    severity = \"low\"\nquery = 'file where file.path == \"/etc/shadow\"'\n";

fn open(number: u64) -> Vec<u8> {
    let mut tail = Builder::<RecFile>::new();
    let h = RecHeader {
        kind: u16::try_from(KIND_OPEN).unwrap(),
        pid: 7,
        start: 1,
        time: (number + 1) * 2_000_000_000,
        ..RecHeader::new_zeroed()
    };
    let mut fixed = RecFile { h, ..RecFile::new_zeroed() };
    fixed.path = tail.push(if number.is_multiple_of(8) { b"/etc/shadow" } else { b"/etc/passwd" });
    tail.finish(&fixed)
}

fn program() -> Program {
    lang::load([("r.toml".to_owned(), RULE.to_owned())]).program
}

fn head() -> Head {
    Head {
        wire: WIRE_VERSION,
        little_endian: cfg!(target_endian = "little"),
        agent: "test".to_owned(),
        kernel: "6.1".to_owned(),
        session: "s".to_owned(),
        first_frame: 0,
        events_before: 0,
        whole: true,
        began: 0,
        host: (&Host::default()).into(),
        rows: Limits::default().rows,
        rules: RuleSet::of(&program(), [("r.toml", RULE)].into_iter()),
    }
}

/// A recording in many frames, and the ids of the alerts in it.
fn recording(head: &Head) -> (Vec<u8>, Vec<String>) {
    let mut engine = Engine::new(Arc::new(program()), Host::default()).unwrap();
    let mut writer = Writer::begin(Vec::new(), head, &[]).unwrap();
    let (mut block, mut ids) = (Block::new(), Vec::new());
    for number in 0..EVENTS {
        let bytes = open(number);
        let record = Record::parse(&bytes).unwrap();
        block.record(record.as_bytes());
        engine.push(&record, &mut |_, matches| {
            for matched in matches {
                block.matched(matched.id, &matched.rule.id, matched.members);
                ids.push(format!("{:032x}", matched.id));
            }
        });
        if number % 10 == 9 {
            writer.block(&block).unwrap();
            block.clear();
        }
    }
    (writer.end().unwrap(), ids)
}

fn place(bytes: &[u8]) -> Place {
    let place = Place::with(&[("r.toml", RULE)]);
    fs::write(place.path().join("a.rec"), bytes).unwrap();
    place
}

#[test]
fn alerts_are_those_of_the_engine_on_any_number_of_threads() {
    let (bytes, ids) = recording(&head());
    let place = place(&bytes);
    let mut outputs = Vec::new();
    for threads in ["1", "2", "8"] {
        let args = ["replay", "a.rec", "--rules", "r.toml", "-o", "ndjson", "--threads", threads];
        let done = place.kestrel(&args);
        assert_eq!(done.code, 1, "alerts are findings: {}", done.err);
        outputs.push(done.out);
    }
    assert!(outputs.iter().all(|output| *output == outputs[0]));
    let alerts: Vec<Value> =
        outputs[0].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<&str> = alerts.iter().map(|one| one["alert"]["id"].as_str().unwrap()).collect();
    assert_eq!(found, ids);
    let event = &alerts[1]["events"][0];
    assert_eq!(event["document"]["file"]["path"], "/etc/shadow");
    assert_eq!((&event["position"], &alerts[1]["input"]), (&9.into(), &"a.rec".into()));
    let text = place.kestrel(&["replay", "a.rec", "--rules", "r.toml"]);
    assert_eq!(text.out.lines().count(), ids.len(), "{}", text.out);
    assert!(text.err.contains(&format!("1 rules: {} alerts", ids.len())), "{}", text.err);
}

#[test]
fn a_recording_is_compared_with_what_was_found_live() {
    let (bytes, ids) = recording(&head());
    let place = place(&bytes);
    let done = place.kestrel(&["replay", "a.rec", "--rules", "r.toml", "--verify"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{}", done.out);
    assert!(done.out.ends_with("equal: 400 records, 0 differences\n"), "{}", done.out);
    let args = ["replay", "a.rec", "--rules", "r.toml", "--verify", "-o", "ndjson"];
    let json = place.kestrel(&args).json();
    assert_eq!((&json["equal"], &json["live"]), (&true.into(), &json["replayed"]));
    assert_eq!((&json["live"]["alerts"], &json["open"]), (&ids.len().into(), &0.into()));
    // Torn at the end: what is sound is equal.
    fs::write(place.path().join("a.rec"), &bytes[..bytes.len() * 3 / 4]).unwrap();
    let done = place.kestrel(&args);
    let json = done.json();
    assert_eq!((done.code, &json["equal"]), (0, &true.into()), "{}", done.err);
    assert!(done.err.contains("it is sound up to byte") && done.err.contains("was not closed"));
    let alerts = json["live"]["alerts"].as_u64().unwrap();
    assert!((10..ids.len() as u64).contains(&alerts), "{alerts}");
    // Damaged in the middle: what can be read is, and that something is missing is a finding.
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    fs::write(place.path().join("a.rec"), damaged).unwrap();
    let done = place.kestrel(&args);
    let json = done.json();
    assert_eq!((done.code, &json["different"]), (1, &0.into()), "{}", done.err);
    assert_eq!(json["records"], EVENTS - 10, "one frame is lost");
    assert!(done.err.contains("[checksum]"), "{}", done.err);
}

#[test]
fn other_rules_are_refused_unless_they_are_wanted() {
    let (bytes, ids) = recording(&head());
    let place = place(&bytes);
    let other = RULE.replace("/etc/shadow", "/etc/passwd");
    fs::write(place.path().join("other.toml"), &other).unwrap();
    let done = place.kestrel(&["replay", "a.rec", "--rules", "other.toml"]);
    assert_eq!((done.code, done.out.as_str()), (1, ""));
    for part in ["[other-rules]", "r.toml as it was recorded is not given", "--force"] {
        assert!(done.err.contains(part), "{part}: {}", done.err);
    }
    let args = ["replay", "a.rec", "--rules", "other.toml", "--force", "--verify", "-o", "ndjson"];
    let done = place.kestrel(&args);
    let json = done.json();
    assert_eq!((done.code, &json["equal"]), (1, &false.into()));
    assert_eq!(json["live"]["alerts"], ids.len());
    assert_eq!(json["replayed"]["alerts"], EVENTS - ids.len() as u64);
    assert_eq!(json["recording"]["other_rules"], 1);
}

#[test]
fn each_refusal_has_its_code() {
    let of = |head: &Head| recording(head).0;
    let sound = of(&head());
    let mut headless = sound.clone();
    headless[50] ^= 1;
    let mut version = sound.clone();
    version[8] = 9;
    let cases: [(&str, Vec<u8>); 7] = [
        ("no-recording", b"{\"event\": 1}\n".repeat(9)),
        ("no-recording", sound[..30].to_vec()),
        ("version", version),
        ("wire-version", of(&Head { wire: 99, ..head() })),
        ("byte-order", of(&Head { little_endian: cfg!(target_endian = "big"), ..head() })),
        ("head", headless),
        (
            "head",
            Writer::begin(Vec::new(), &Head { events_before: u64::MAX, ..head() }, &[])
                .and_then(Writer::end)
                .unwrap(),
        ),
    ];
    for (code, bytes) in cases {
        let place = place(&bytes);
        let done = place.kestrel(&["replay", "a.rec", "--rules", "r.toml"]);
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{code}");
        assert!(done.err.contains(&format!("a.rec: [{code}] ")), "{code}: {}", done.err);
    }
    let place = place(&sound);
    let done = place.kestrel(&["replay", "nothing.rec", "--rules", "r.toml"]);
    assert!(done.code == 1 && done.err.contains("[unreadable]"), "{}", done.err);
    fs::create_dir(place.path().join("empty")).unwrap();
    let done = place.kestrel(&["replay", "empty", "--rules", "r.toml"]);
    assert!(done.code == 1 && done.err.contains("no recording (*.rec)"), "{}", done.err);
}

#[test]
fn a_hunt_finds_what_the_rule_found() {
    let (bytes, ids) = recording(&head());
    let place = place(&bytes);
    let positions = |args: &[&str]| {
        let done = place.kestrel(args);
        let lines = done.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let at = |alert: Value| alert["events"][0]["position"].as_u64().unwrap();
        (lines.map(at).collect::<Vec<u64>>(), done)
    };
    let (live, _) = positions(&["replay", "a.rec", "--rules", "r.toml", "-o", "ndjson"]);
    assert_eq!(live.len(), ids.len());
    for query in ["file where file.path == \"/etc/shadow\"", "file.path == \"/etc/shadow\""] {
        let (found, done) = positions(&["hunt", query, "a.rec", "-o", "ndjson"]);
        assert_eq!((found, done.code, done.err.as_str()), (live.clone(), 0, ""));
    }
    // The last hundred of four hundred events, two seconds apart.
    let query = "file.path == \"/etc/shadow\"";
    let since = "1970-01-01T00:10:01Z";
    let (found, _) = positions(&["hunt", query, "a.rec", "-o", "ndjson", "--since", since]);
    assert_eq!(found, live.iter().copied().filter(|at| *at > 300).collect::<Vec<u64>>());
    let text = place.kestrel(&["hunt", query, "a.rec", "--since", since]).out;
    // The first that fits of those is the 305th.
    assert!(text.starts_with("1970-01-01T00:10:10.000000000Z  open"), "{text}");
    let done = place.kestrel(&["hunt", "file.pth == 1", "a.rec"]);
    assert!(done.code == 1 && done.err.contains("file.path"), "it says what is near: {}", done.err);
    let done = place.kestrel(&["hunt", "true", "nothing.rec"]);
    assert!(done.code == 1 && done.err.contains("[unreadable]"), "{}", done.err);
}

#[test]
fn a_directory_is_its_segments_and_those_before_a_time_are_left_out() {
    let (bytes, ids) = recording(&head());
    let place = place(&bytes);
    fs::create_dir(place.path().join("h")).unwrap();
    // All events are of the time from two seconds on, after the last one began.
    for (name, began) in [("1.rec", 1), ("2.rec", 1_000_000_000), ("3.rec", 1_500_000_000)] {
        // Of another worker each: nothing goes on.
        let head = Head { began, session: name.to_owned(), ..head() };
        fs::write(place.path().join("h").join(name), recording(&head).0).unwrap();
    }
    fs::write(place.path().join("h/note.txt"), "no recording").unwrap();
    let count = |more: &[&str]| {
        let args = ["hunt", "file.path == \"/etc/shadow\"", "h", "-o", "ndjson"];
        place.kestrel(&[&args[..], more].concat()).out.lines().count()
    };
    assert_eq!(count(&[]), 3 * ids.len());
    // The first ended when the second began.
    assert_eq!(count(&["--since", "1970-01-01T00:00:01.2Z"]), 2 * ids.len());
    // The last began after that, and what the others tell happened later.
    assert_eq!(count(&["--until", "1970-01-01T00:00:01.3Z"]), 0);
    let two = ["--since", "1970-01-01T00:00:02Z", "--until", "1970-01-01T00:00:18Z"];
    assert_eq!(count(&two), 2, "of the last, the first and one sixteen seconds later");
    let replay = |more: &[&str]| {
        let args = ["replay", "h", "--rules", "r.toml", "-o", "ndjson"];
        place.kestrel(&[&args[..], more].concat())
    };
    assert_eq!(replay(&two).out.lines().count(), 2, "{}", replay(&two).err);
    let verified = |more: &[&str]| replay(&[&["--verify"], more].concat());
    let done = verified(&[]);
    assert_eq!(done.json()["live"]["alerts"], 3 * ids.len(), "{}", done.err);
    let done = verified(&["--since", "1970-01-01T00:00:01.2Z"]);
    assert_eq!(done.json()["live"]["alerts"], 2 * ids.len(), "all of the files that tell of it");
    let done = replay(&["--since", "yesterday"]);
    assert!(done.code == 2 && done.err.contains("`2h`"), "{}", done.err);
}

#[test]
fn tests_of_rules_run_on_recordings() {
    let (bytes, ids) = recording(&head());
    let place = place(&bytes);
    let test = |name: &str, alert: bool, file: &str| {
        format!("[[rule.test]]\nname = \"{name}\"\nalert = {alert}\nrecording = \"{file}\"\n")
    };
    let quiet = RULE.replace("/etc/shadow", "/etc/group").replace("\"r\"", "\"q\"");
    let write = |rule: &str| fs::write(place.path().join("t.toml"), rule).unwrap();
    write(&format!("{RULE}{}{quiet}{}", test("a", true, "a.rec"), test("b", false, "a.rec")));
    let done = place.kestrel(&["test", "t.toml"]);
    assert!(done.out.contains("ok: 2 rules, 2 tests: 2 passed, 0 failed"), "{}", done.out);
    // What fails says why; the control is above.
    fs::write(place.path().join("cut.rec"), &bytes[..bytes.len() - 9]).unwrap();
    let loud = format!("expected no alert, got {} in a.rec", ids.len());
    for (rule, alert, file, why) in [
        (&quiet[..], true, "a.rec", "expected an alert, got none in a.rec"),
        (RULE, false, "a.rec", &loud),
        (RULE, true, "cut.rec", "cut.rec: [checksum] the recording is damaged or cut off"),
        (RULE, true, "no.rec", "no.rec: [unreadable] "),
        (RULE, true, "../a.rec", "../a.rec: [unreadable] "),
        (RULE, true, "r.toml", "r.toml: this is no recording"),
    ] {
        write(&format!("{rule}{}", test("t", alert, file)));
        let done = place.kestrel(&["test", "t.toml"]);
        assert!(done.code == 1 && done.out.contains(why), "{why}: {} {}", done.out, done.err);
    }
}

/// Whether a path fits a pattern, asked of a Wasm module.
const WAT: &str = r#"(module
  (import "kestrel_v1" "glob" (func $glob (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "kestrel_abi_v1"))
  (func (export "below") (param $path i32) (result i32)
    (call $glob (i32.const 0) (local.get $path))))"#;

#[test]
fn scripts_give_the_same_alerts_however_they_are_run() {
    let (bytes, ids) = recording(&head());
    let place = place(&bytes);
    let rule = "[[script]]\nname = \"own\"\nfile = \"own.wasm\"\nfields = [\"file.path\"]\n\
                globs = { tmp = \"/etc/sh*\" }\n[[rule]]\nid = \"r\"\nname = \"R\"\n\
                description = \"D.\"\nseverity = \"low\"\nquery = 'file where own.below(file.path)'\n";
    fs::write(place.path().join("s.toml"), rule).unwrap();
    fs::write(place.path().join("own.wasm"), wat::parse_str(WAT).unwrap()).unwrap();
    let mut outputs = Vec::new();
    for backend in ["native", "pulley"] {
        for threads in ["1", "8"] {
            let mut args = vec!["--wasm", backend, "replay", "a.rec", "--rules", "s.toml"];
            args.extend(["--force", "-o", "ndjson", "--threads", threads]);
            let done = place.kestrel(&args);
            assert_eq!(done.err, "", "{backend}");
            outputs.push(done.out);
        }
    }
    assert_eq!(outputs[0].lines().count(), ids.len());
    assert!(outputs.iter().all(|output| *output == outputs[0]), "byte by byte");
}
